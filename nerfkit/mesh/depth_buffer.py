"""The depth a camera sees of a mesh: a z-buffer in numpy, for evaluation and tests."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nerfkit.cameras import project
from nerfkit.contracts import Cameras, Mesh

_CHUNK = 1 << 22  # pixel tests at once


def depth_buffer(mesh: Mesh, camera: Cameras) -> Tensor:
    """Depth [H, W] float32 at the pixel centres (+0.5), inf where no face is; both sides of faces count.

    Faces that reach behind the camera are left out.
    """
    return torch.from_numpy(_draw(mesh, camera)[0])


def face_buffer(mesh: Mesh, camera: Cameras) -> np.ndarray:
    """Index of the nearest face [H, W] int64, -1 where no face is."""
    return _draw(mesh, camera)[1]


def _draw(mesh: Mesh, camera: Cameras) -> tuple[np.ndarray, np.ndarray]:
    pixels, depths = project(
        camera,
        torch.from_numpy(np.asarray(mesh.vertices, np.float64)).to(camera.world_from_cam),
    )
    corners, z = (
        pixels[0].numpy().astype(np.float64)[mesh.faces],
        depths[0].numpy().astype(np.float64)[mesh.faces],
    )
    low = np.ceil(np.nan_to_num(corners.min(1)) - 0.5).clip(0, [camera.width, camera.height]).astype(np.int64)
    high = np.floor(np.nan_to_num(corners.max(1)) - 0.5).clip(-1, [camera.width - 1, camera.height - 1])
    size = np.maximum(high.astype(np.int64) - low + 1, 0)  # [F, 2] pixel centres in the face's box
    tests = np.where((z > 0).all(1), size[:, 0] * size[:, 1], 0)
    depth = np.full(camera.height * camera.width, np.inf, np.float32)
    nearest = np.full(camera.height * camera.width, -1, np.int64)
    faces = np.flatnonzero(tests)
    batches = np.cumsum(tests[faces]) // _CHUNK
    for batch in np.split(faces, np.flatnonzero(np.diff(batches)) + 1) if len(faces) else []:
        face = np.repeat(batch, tests[batch])
        local = np.arange(len(face)) - np.repeat(np.cumsum(tests[batch]) - tests[batch], tests[batch])
        column, row = (
            low[face, 0] + local % size[face, 0],
            low[face, 1] + local // size[face, 0],
        )
        inside, pixel_depth = _test(corners[face], z[face], column + 0.5, row + 0.5)
        pixel, found, face = (
            (row * camera.width + column)[inside],
            pixel_depth[inside].astype(np.float32),
            face[inside],
        )
        order = np.argsort(-found, kind="stable")  # the nearest is written last
        pixel, found, face = pixel[order], found[order], face[order]
        closer = found < depth[pixel]
        depth[pixel[closer]], nearest[pixel[closer]] = found[closer], face[closer]
    shape = (camera.height, camera.width)
    return depth.reshape(shape), nearest.reshape(shape)


def _test(corners: np.ndarray, z: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether points lie in triangles [T, 3, 2], and their depths: 1/z is affine in the image."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    safe = np.where(area == 0, 1, area)
    wb = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (y - a[:, 1]) * (c[:, 0] - a[:, 0])) / safe
    wc = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (b[:, 1] - a[:, 1]) * (x - a[:, 0])) / safe
    inside = (area != 0) & (wb >= 0) & (wc >= 0) & (wb + wc <= 1)
    inverse = (1 - wb - wc) / z[:, 0] + wb / z[:, 1] + wc / z[:, 2]
    return inside, 1 / np.where(inside, inverse, 1)
