"""Wavefront OBJ with a material library and images beside it."""

from __future__ import annotations

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.assets import images
from nerfkit.mesh.geometry import vertex_normals
from nerfkit.mesh.assets.images import ImageFormat
from nerfkit.mesh.assets.parts import Document, Part


def encode(document: Document, stem: str, image_format: ImageFormat = "jpeg", bump: bool = True) -> dict[str, bytes]:
    """The files of an OBJ by what stands behind the stem: first ".obj", then ".mtl" and the images if there are any.

    Colours of meshes without a texture stand behind the coordinates, as three sRGB values in [0, 1]: an extension
    that MeshLab, Blender and trimesh read.

    Args:
        document: one object a part; coordinates are stored as they are.
        stem: the beginning of the names of the files, without blanks (readers differ on those).
        image_format: of base colours; normal maps are PNG.
        bump: names the normal map as ``map_Bump`` too, where many readers look for it, and not only as ``norm``, as
            the PBR extension has it. To the letter of the format, ``map_Bump`` holds heights.
    """
    library = _Library(stem, image_format, bump)
    lines = ["# nerfkit"]
    first = 1  # indices run on over all objects, from 1
    for part in document.parts():
        lines += _object_lines(part, first, library.material(part.mesh))
        first += len(part.mesh.vertices)
    if library.lines:
        lines.insert(1, f"mtllib {stem}.mtl")
    files = {".obj": _text(lines)}
    if library.lines:
        files[".mtl"] = _text(library.lines)
    return files | library.images


class _Library:
    """The materials: one a pair of texture and normal map."""

    def __init__(self, stem: str, image_format: ImageFormat, bump: bool) -> None:
        self.stem, self.image_format, self.bump = stem, image_format, bump
        self.lines: list[str] = []
        self.images: dict[str, bytes] = {}
        self._names: dict[tuple[int, int], str] = {}

    def material(self, mesh: Mesh) -> str | None:
        if mesh.uvs is None or mesh.texture is None:
            return None
        key = id(mesh.texture), id(mesh.normal_map)
        if key not in self._names:
            number = f"_{len(self._names)}" if self._names else ""
            name = self._names[key] = f"{self.stem}{number}"
            color = self._image(f"_base_color{number}", mesh.texture, self.image_format)
            self.lines += [f"newmtl {name}", "Ka 0 0 0", "Kd 1 1 1", "Ks 0 0 0", "d 1", "illum 1", f"map_Kd {color}"]
            if mesh.normal_map is not None:
                normal = self._image(f"_normal{number}", mesh.normal_map, "png")
                self.lines += [f"map_Bump {normal}"] * self.bump + [f"norm {normal}"]
        return self._names[key]

    def _image(self, label: str, image: np.ndarray, image_format: ImageFormat) -> str:
        label += images.SUFFIXES[image_format]
        self.images[label] = images.encode(image, image_format)
        return self.stem + label


def _object_lines(part: Part, first: int, material: str | None) -> list[str]:
    mesh = part.mesh
    lines = [f"o {part.name}", f"g {part.name}"]
    if mesh.colors is not None and material is None:
        rows = np.concatenate([mesh.vertices, mesh.colors / 255], 1)
        lines += _rows("v {:.9g} {:.9g} {:.9g} {:.5g} {:.5g} {:.5g}", rows)
    else:
        lines += _rows("v {:.9g} {:.9g} {:.9g}", mesh.vertices)
    if material is not None and mesh.uvs is not None:
        lines += _rows("vt {:.7g} {:.7g}", mesh.uvs)
    normals = vertex_normals(mesh) if mesh.normals is None else mesh.normals
    lines += _rows("vn {:.5f} {:.5f} {:.5f}", normals)
    if material is not None:
        lines.append(f"usemtl {material}")
    corner = "{0}/{0}/{0}" if material is not None else "{0}//{0}"
    face = "f " + " ".join(corner.replace("0", str(index)) for index in range(3))
    return lines + _rows(face, mesh.faces + first)


def _rows(form: str, values: np.ndarray) -> list[str]:
    return [form.format(*row) for row in values.tolist()]


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
