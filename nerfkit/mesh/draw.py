"""Pictures of meshes: what a camera sees of one, by its texture, its vertices' colours, or its shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.contracts import Cameras, Mesh, RenderCore
from nerfkit.core.types import FacePixels
from nerfkit.errors import NerfkitError
from nerfkit.mesh.geometry import vertex_normals
from nerfkit.mesh.sample import Pyramid, texel_coordinates

Shading = Literal["auto", "texture", "colors", "normals", "clay"]
SAMPLES = 2  # along a pixel's side, unless asked for otherwise
_CLAY = 205.0  # grey of a lit surface, sRGB


@dataclass(frozen=True)
class Drawing:
    """A picture of a mesh."""

    rgb: np.ndarray  # [H, W, 3] uint8, blended with the background at the mesh's rim
    mask: np.ndarray  # [H, W] bool: the mesh fills the whole pixel
    depth: np.ndarray  # [H, W] float32 at the pixel's centre, 0 where there is no mesh


def draw(
    mesh: Mesh,
    camera: Cameras,
    *,
    shading: Shading = "auto",
    samples: int = SAMPLES,
    background: tuple[int, int, int] = (255, 255, 255),
    core: RenderCore | None = None,
    texture: Pyramid | None = None,
) -> Drawing:
    """Draws both sides of a mesh, unlit but for "clay".

    Pixels are means of ``samples`` x ``samples`` points; between the texture's sizes (halves, quarters…) is blended by
    how many texels a point stands for, so that nothing flickers from afar. Faces that reach behind the camera are left
    out.

    Args:
        mesh: in the camera's frame of reference.
        camera: one pinhole camera.
        shading: by the texture; by the vertices' colours; by the normals ("normals", x y z as r g b); as grey clay lit
            from the camera; or "auto", the first that the mesh has of texture, colours and clay.
        samples: points along a pixel's side.
        background: sRGB.
        core: whose operator draws; by default the best one of the CPU.
        texture: the mesh's own (:func:`sizes_of`), where several pictures are drawn.

    Raises:
        NerfkitError: the mesh lacks what the shading needs.
    """
    shading = _choose(mesh, shading)
    fine = cameras.resize(camera, camera.width * samples, camera.height * samples)
    drawn = face_pixels(mesh, fine, core)
    row, column = (drawn.face >= 0).nonzero(as_tuple=True)
    face = drawn.face[row, column].numpy()
    weights = drawn.barycentrics[row, column]
    rgb = torch.tensor(background, dtype=torch.float32).expand(fine.height, fine.width, 3).clone()
    if len(face):
        rgb[row, column] = shade(mesh, fine, shading, face, weights, texture)
    covered = (drawn.face >= 0).float()
    mask = _pooled(covered[None], samples)[0] == 1
    mean = _pooled(rgb.permute(2, 0, 1), samples).permute(1, 2, 0)
    depth = drawn.depth if samples == 1 else face_pixels(mesh, camera, core).depth
    return Drawing(mean.round().clamp(0, 255).to(torch.uint8).numpy(), mask.numpy(), depth.numpy())


def sizes_of(mesh: Mesh) -> Pyramid | None:
    """A mesh's texture for :func:`draw`, if it has one: making it takes half as long as drawing a picture."""
    return None if mesh.texture is None else Pyramid(mesh.texture)


def face_pixels(mesh: Mesh, camera: Cameras, core: RenderCore | None = None) -> FacePixels:
    """The nearest face at every pixel centre of a pinhole camera in the mesh's frame, with both sides of faces.

    Faces that reach behind the camera are left out.
    """
    if core is None:
        from nerfkit.core import choose_core

        core = choose_core()
    faces = torch.from_numpy(np.ascontiguousarray(mesh.faces, np.int32))
    return core.draw_mesh(projected(mesh.vertices, camera), faces, camera.width, camera.height)


def depth_map(mesh: Mesh, camera: Cameras) -> Tensor:
    """Depth [H, W] float32 at the pixel centres, inf where no face is; both sides of faces count."""
    drawn = face_pixels(mesh, camera)
    return torch.where(drawn.face >= 0, drawn.depth, torch.inf)


def projected(vertices: np.ndarray, camera: Cameras) -> Tensor:
    """Vertices [V, 3] as a pinhole camera sees them: x and y in pixels, and depth [V, 3] float32."""
    points = torch.from_numpy(np.asarray(vertices, np.float64))
    pixels, depth = cameras.project(cameras.moved(camera, points), points)
    return torch.cat([pixels[0], depth[0, :, None]], 1).float()


def interpolate(mesh: Mesh, values: np.ndarray, face: np.ndarray, weights: Tensor) -> Tensor:
    """Values [V, C] of the vertices at points [P] of faces, by their barycentric coordinates [P, 3]: [P, C] float32."""
    corners = torch.from_numpy(np.ascontiguousarray(mesh.faces, np.int64))[torch.from_numpy(face).long()]
    own = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    out = own[corners[:, 0]] * weights[:, :1]
    for corner in (1, 2):
        out += own[corners[:, corner]] * weights[:, corner : corner + 1]
    return out


def _choose(mesh: Mesh, shading: Shading) -> Shading:
    textured = mesh.texture is not None and mesh.uvs is not None
    if shading == "auto":
        return "texture" if textured else "colors" if mesh.colors is not None else "clay"
    if shading == "texture" and not textured:
        raise NerfkitError("the mesh has no texture to draw it with")
    if shading == "colors" and mesh.colors is None:
        raise NerfkitError("the mesh has no colours to draw it with")
    return shading


def shade(
    mesh: Mesh, camera: Cameras, shading: Shading, face: np.ndarray, weights: Tensor, texture: Pyramid | None = None
) -> Tensor:
    """Colours [P, 3] float32, 0..255, of points on faces."""
    if shading == "texture":
        assert mesh.texture is not None
        return textured(mesh, texture or Pyramid(mesh.texture), camera, face, weights)
    if shading == "colors":
        assert mesh.colors is not None
        return interpolate(mesh, mesh.colors, face, weights)
    own = mesh.normals if mesh.normals is not None else vertex_normals(mesh)
    normals = torch.nn.functional.normalize(interpolate(mesh, own, face, weights), dim=1)
    if shading == "normals":
        return (normals + 1) * 127.5
    points = interpolate(mesh, mesh.vertices, face, weights)
    towards = torch.nn.functional.normalize(camera.world_from_cam[0, :3, 3].float() - points, dim=1)
    facing = (normals * towards).sum(1, keepdim=True).abs()
    return (_CLAY * (0.25 + 0.75 * facing)).expand(-1, 3)


def textured(mesh: Mesh, texture: Pyramid, camera: Cameras, face: np.ndarray, weights: Tensor) -> Tensor:
    """Colours [P, 3] float32, 0..255, that points on faces have by a texture of the mesh."""
    assert mesh.uvs is not None
    height, width = texture.levels[0].shape[1:]
    texels = texel_coordinates(mesh.uvs, width, height)
    level = texture_level(mesh, texels, camera)[torch.from_numpy(face).long()]
    return texture.sample(interpolate(mesh, texels, face, weights), level)


def texture_level(mesh: Mesh, texels: np.ndarray, camera: Cameras) -> Tensor:
    """log2 of the texels that a pixel of each face is wide, [F] float32; negative where texels are larger."""
    places = projected(mesh.vertices, camera).numpy()[:, :2]
    ratio = np.abs(_areas(mesh, texels)) / np.maximum(np.abs(_areas(mesh, places)), 1e-12)
    return torch.from_numpy(0.5 * np.log2(np.clip(np.nan_to_num(ratio), 1e-6, 1e9))).float()


def _areas(mesh: Mesh, places: np.ndarray) -> np.ndarray:
    a, b, c = (places[mesh.faces[:, corner]].astype(np.float64) for corner in range(3))
    area: np.ndarray = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    return area


def _pooled(planes: Tensor, samples: int) -> Tensor:
    return planes if samples == 1 else torch.nn.functional.avg_pool2d(planes[None], samples)[0]
