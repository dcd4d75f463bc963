"""USDZ by OpenUSD's own library: for ARKit's Quick Look, and for engines and tools that read USD."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh.assets import images
from nerfkit.mesh.geometry import vertex_normals
from nerfkit.mesh.assets.glb import ROUGHNESS, linear_from_srgb
from nerfkit.mesh.assets.images import ImageFormat
from nerfkit.mesh.assets.parts import Document, Part
from nerfkit.mesh.requirements import require


def write(path: Path, document: Document, name: str, image_format: ImageFormat = "jpeg") -> None:
    """Writes a USDZ whose default prim ``/name`` holds the parts; +Y is up and a unit is a metre, as ARKit wants it.

    Several levels of detail are the variants LOD0, LOD1… of the variant set LOD, of which the finest is selected.
    Collision shapes have the purpose "guide", so that nothing draws them, and UsdPhysics' schemas.

    Args:
        path: with the suffix .usdz; not atomic.
        document: the meshes, +Y up.
        name: a valid identifier.
        image_format: jpeg or png: USDZ allows no other.
    """
    Sdf, Usd = require("pxr.Sdf"), require("pxr.Usd")
    with tempfile.TemporaryDirectory(prefix="nerfkit-usd-") as folder:
        layer = Path(folder) / f"{name}.usdc"
        stage = Usd.Stage.CreateNew(str(layer))
        files = _Images(Path(folder), name, image_format)
        _fill(stage, document, name, files)
        stage.GetRootLayer().Save()
        archive = Sdf.ZipFileWriter.CreateNew(str(path))  # not compressed, every file at a multiple of 64 bytes
        for file in (layer.name, *files.names()):  # a package's first file is its root layer
            archive.AddFile(str(Path(folder) / file), file)
        if not archive.Save():
            raise NerfkitError(f"{path}: OpenUSD could not write it; is there space left on the disk?")


def read(path: Path) -> Mesh:
    """The drawn meshes of a USD file as one, in the file's coordinates; shape only.

    Raises:
        NerfkitError: it is no USD file.
    """
    Usd, UsdGeom = require("pxr.Usd"), require("pxr.UsdGeom")
    try:
        stage = Usd.Stage.Open(str(path))
    except require("pxr.Tf").ErrorException:
        raise NerfkitError(f"{path}: cannot be read as USD") from None
    vertices: list[np.ndarray] = [np.zeros((0, 3))]
    faces: list[np.ndarray] = [np.zeros((0, 3), np.int64)]
    for prim in stage.Traverse():
        if not prim.IsA(UsdGeom.Mesh) or UsdGeom.Imageable(prim).ComputePurpose() == UsdGeom.Tokens.guide:
            continue
        shape = UsdGeom.Mesh(prim)
        moved = np.array(UsdGeom.Xformable(prim).ComputeLocalToWorldTransform(Usd.TimeCode.Default()))  # of rows
        indices = np.array(shape.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
        faces.append(indices + sum(map(len, vertices)))
        vertices.append(np.array(shape.GetPointsAttr().Get()) @ moved[:3, :3] + moved[3, :3])
    return Mesh(np.concatenate(vertices), np.concatenate(faces))


class _Images:
    """Files beside the layer."""

    def __init__(self, folder: Path, name: str, image_format: ImageFormat) -> None:
        self.folder, self.name, self.image_format = folder, name, image_format
        self._names: dict[int, str] = {}

    def names(self) -> list[str]:
        return list(self._names.values())

    def add(self, image: np.ndarray, what: str, image_format: ImageFormat) -> str:
        if id(image) not in self._names:
            count = sum(1 for known in self._names.values() if what in known)
            label = f"{self.name}_{what}" + (f"_{count}" if count else "") + images.SUFFIXES[image_format]
            (self.folder / label).write_bytes(images.encode(image, image_format))
            self._names[id(image)] = label
        return self._names[id(image)]


def _fill(stage: Any, document: Document, name: str, files: _Images) -> None:
    Kind, Usd, UsdGeom = (require(f"pxr.{module}") for module in ("Kind", "Usd", "UsdGeom"))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, f"/{name}").GetPrim()
    stage.SetDefaultPrim(root)
    Usd.ModelAPI(root).SetKind(Kind.Tokens.component)
    UsdGeom.Scope.Define(stage, f"/{name}/materials")
    levels = [part for part in document.parts() if part.level is not None]
    shapes = [part for part in document.parts() if part.level is None]
    if len(levels) == 1:
        _add_level(stage, name, levels[0], files)
    else:
        variants = root.GetVariantSets().AddVariantSet("LOD")
        for part in levels:
            variants.AddVariant(f"LOD{part.level}")
            variants.SetVariantSelection(f"LOD{part.level}")
            with variants.GetVariantEditContext():
                _add_level(stage, name, part, files)
        variants.SetVariantSelection("LOD0")
    if shapes:
        UsdGeom.Scope.Define(stage, f"/{name}/collision")
    for part in shapes:
        _add_shape(stage, f"/{name}/collision/{_identifier(part.name)}", part.mesh)


def _add_level(stage: Any, name: str, part: Part, files: _Images) -> None:
    Sdf, UsdGeom, UsdShade = (require(f"pxr.{module}") for module in ("Sdf", "UsdGeom", "UsdShade"))
    mesh = part.mesh
    shape = _add_mesh(stage, f"/{name}/{_identifier(part.name)}", mesh)
    primvars = UsdGeom.PrimvarsAPI(shape)
    if mesh.uvs is not None:
        st = primvars.CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex)
        st.Set(_array("Vec2fArray", mesh.uvs))
    elif mesh.colors is not None:
        linear = linear_from_srgb(mesh.colors / 255)  # displayColor is in the scene's linear Rec.709
        shape.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex).Set(_array("Vec3fArray", linear))
    material = _material(stage, f"/{name}/materials/{_identifier(part.name)}", mesh, files)
    UsdShade.MaterialBindingAPI.Apply(shape.GetPrim()).Bind(material)


def _add_shape(stage: Any, path: str, mesh: Mesh) -> None:
    UsdGeom, UsdPhysics = (require(f"pxr.{module}") for module in ("UsdGeom", "UsdPhysics"))
    shape = _add_mesh(stage, path, mesh)
    shape.CreatePurposeAttr(UsdGeom.Tokens.guide)
    UsdPhysics.CollisionAPI.Apply(shape.GetPrim())
    UsdPhysics.MeshCollisionAPI.Apply(shape.GetPrim()).CreateApproximationAttr(UsdPhysics.Tokens.convexHull)


def _add_mesh(stage: Any, path: str, mesh: Mesh) -> Any:
    UsdGeom, Vt = require("pxr.UsdGeom"), require("pxr.Vt")
    shape = UsdGeom.Mesh.Define(stage, path)
    shape.CreatePointsAttr(_array("Vec3fArray", mesh.vertices))
    shape.CreateFaceVertexCountsAttr(Vt.IntArray(len(mesh.faces), 3))
    shape.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(mesh.faces.reshape(-1), np.int32)))
    normals = vertex_normals(mesh) if mesh.normals is None else mesh.normals
    shape.CreateNormalsAttr(_array("Vec3fArray", normals))
    shape.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    shape.CreateExtentAttr(_array("Vec3fArray", np.stack([mesh.vertices.min(0), mesh.vertices.max(0)])))
    shape.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    return shape


def _material(stage: Any, path: str, mesh: Mesh, files: _Images) -> Any:
    """UsdPreviewSurface with the texture, or with the colours of the vertices."""
    Sdf, UsdShade = require("pxr.Sdf"), require("pxr.UsdShade")
    types = Sdf.ValueTypeNames
    material = UsdShade.Material.Define(stage, path)
    surface = _shader(stage, f"{path}/surface", "UsdPreviewSurface")
    surface.CreateInput("roughness", types.Float).Set(ROUGHNESS)
    surface.CreateInput("metallic", types.Float).Set(0.0)
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    diffuse = surface.CreateInput("diffuseColor", types.Color3f)
    if mesh.uvs is None or mesh.texture is None:
        if mesh.colors is not None and mesh.uvs is None:
            colors = _shader(stage, f"{path}/color", "UsdPrimvarReader_float3")
            colors.CreateInput("varname", types.String).Set("displayColor")
            diffuse.ConnectToSource(colors.ConnectableAPI(), "result")
        return material
    st = _shader(stage, f"{path}/st", "UsdPrimvarReader_float2")
    st.CreateInput("varname", types.String).Set("st")
    texture = _texture(
        stage, f"{path}/base_color", st, files.add(mesh.texture, "base_color", files.image_format), "sRGB"
    )
    diffuse.ConnectToSource(texture.ConnectableAPI(), "rgb")
    if mesh.normal_map is not None:
        texture = _texture(stage, f"{path}/normal_map", st, files.add(mesh.normal_map, "normal", "png"), "raw")
        texture.CreateInput("scale", types.Float4).Set((2, 2, 2, 1))  # from [0, 1] to [-1, 1]
        texture.CreateInput("bias", types.Float4).Set((-1, -1, -1, 0))
        surface.CreateInput("normal", types.Normal3f).ConnectToSource(texture.ConnectableAPI(), "rgb")
    return material


def _texture(stage: Any, path: str, st: Any, file: str, color_space: str) -> Any:
    types = require("pxr.Sdf").ValueTypeNames
    texture = _shader(stage, path, "UsdUVTexture")
    texture.CreateInput("file", types.Asset).Set(file)
    texture.CreateInput("sourceColorSpace", types.Token).Set(color_space)
    for axis in ("wrapS", "wrapT"):
        texture.CreateInput(axis, types.Token).Set("clamp")
    texture.CreateInput("st", types.Float2).ConnectToSource(st.ConnectableAPI(), "result")
    texture.CreateOutput("rgb", types.Float3)
    return texture


def _shader(stage: Any, path: str, kind: str) -> Any:
    Sdf, UsdShade = require("pxr.Sdf"), require("pxr.UsdShade")
    shader = UsdShade.Shader.Define(stage, path)
    shader.CreateIdAttr(kind)
    outputs = {
        "UsdPreviewSurface": ("surface", Sdf.ValueTypeNames.Token),
        "UsdPrimvarReader_float2": ("result", Sdf.ValueTypeNames.Float2),
        "UsdPrimvarReader_float3": ("result", Sdf.ValueTypeNames.Float3),
    }
    if kind in outputs:
        shader.CreateOutput(*outputs[kind])
    return shader


def _array(kind: str, values: np.ndarray) -> Any:
    return getattr(require("pxr.Vt"), kind).FromNumpy(np.ascontiguousarray(values, np.float32))


def _identifier(name: str) -> str:
    return name.replace("-", "_")
