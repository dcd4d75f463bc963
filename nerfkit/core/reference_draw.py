"""Triangle meshes to pixels in plain PyTorch: the definition that the kernels are tested against.

Edge functions after Pineda, "A Parallel Algorithm for Polygon Rasterization", SIGGRAPH 1988, with the top-left fill
rule of GPUs; barycentric coordinates with perspective after Heckbert and Moreton, "Interpolation for Polygon Texture
Mapping and Shading", 1991, eq. 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.core.types import FacePixels

_SUBPIXELS = 256  # corners are snapped to this fraction of a pixel
_FARTHEST_PIXEL = 2.0**21
_FARTHEST = 3e38
_PIXELS_AT_ONCE = 1 << 21
_NONE = (1 << 63) - 1


def draw_mesh(vertices: Tensor, faces: Tensor, width: int, height: int) -> FacePixels:
    """The nearest face at every pixel centre (+0.5), seen from either side.

    Corners are snapped to 1/256 pixel, and whether a centre lies inside is decided in whole numbers: on an edge that
    two faces share it belongs to the face for which it is a top or left edge, so that a closed surface has neither
    cracks nor pixels drawn twice. Of faces at one depth the one with the lowest number is drawn. Faces are left out
    that have a corner whose depth is not positive (they reach behind the camera: nothing is clipped), or one that
    lies 2^21 pixels away or more.

    With edge functions e_i, which are the corners' shares of the triangle's area: the depth is
    ``1 / sum(e_i / z_i)``, the barycentric coordinates are ``(e_i / z_i) / sum(e_j / z_j)``. Where all depths are 1
    the mesh is flat and its vertices may be texels.

    Args:
        vertices: [V, 3], x and y in pixels and depth along the optical axis.
        faces: [F, 3] int32.
        width, height: of the picture.

    Not differentiable.
    """
    corners = vertices.detach()[faces.long()]  # [F, 3, 3]
    near = (corners[..., :2].abs() < _FARTHEST_PIXEL).all(2) & (corners[..., 2] > 0) & (corners[..., 2] < _FARTHEST)
    number = near.all(1).nonzero()[:, 0]
    corners = corners[number].double()
    grid = (corners[..., :2] * _SUBPIXELS + 0.5).floor().long()  # [F, 3, 2]
    size = grid.new_tensor([width, height])
    half = _SUBPIXELS // 2
    low = ((grid.amin(1) - half + _SUBPIXELS - 1) // _SUBPIXELS).clamp_min(0)
    high = torch.minimum((grid.amax(1) - half) // _SUBPIXELS, size - 1)
    across, down = (high - low + 1).clamp_min(0).unbind(1)
    best = grid.new_full((height * width,), _NONE)
    tests = across * down
    for part in _parts(tests):
        rows = torch.repeat_interleave(part, tests[part])  # a row for each pixel of each face's box
        local = torch.arange(len(rows), device=rows.device) - torch.repeat_interleave(
            tests[part].cumsum(0) - tests[part], tests[part]
        )
        x, y = low[rows, 0] + local % across[rows], low[rows, 1] + local // across[rows]
        inside, shares = _evaluate(grid[rows], corners[rows, :, 2], x, y)
        depth = (1 / shares.sum(1)).float()[inside]
        key = depth.view(torch.int32).long() << 32 | number[rows[inside]]  # positive floats sort like their bits
        best.scatter_reduce_(0, (y * width + x)[inside], key, "amin")
    return _resolve(best, vertices, faces, width, height)


def _parts(tests: Tensor) -> list[Tensor]:
    """The faces that have pixels to test, in groups of bounded work."""
    busy = tests.nonzero()[:, 0]
    if not len(busy):
        return []
    group = tests[busy].cumsum(0) // _PIXELS_AT_ONCE
    return list(busy.split(group.unique_consecutive(return_counts=True)[1].tolist()))


def _evaluate(grid: Tensor, z: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Whether pixels [P] belong to triangles [P, 3, 2], and the corners' shares of 1 / depth [P, 3] there."""
    point = torch.stack([x, y], 1) * _SUBPIXELS + _SUBPIXELS // 2  # [P, 2]
    area = _cross(grid[:, 1] - grid[:, 0], grid[:, 2] - grid[:, 0])
    turn = torch.where(area < 0, -1, 1)
    inside, shares = area != 0, []
    for corner in range(3):
        start, end = grid[:, (corner + 1) % 3], grid[:, (corner + 2) % 3]
        along = (end - start) * turn[:, None]
        edge = _cross(along, point - start)
        owned = (along[:, 1] < 0) | ((along[:, 1] == 0) & (along[:, 0] > 0))  # a left edge, or a top one
        inside = inside & ((edge > 0) | ((edge == 0) & owned))
        shares.append(edge.double() / ((area * turn).clamp_min(1).double() * z[:, corner]))
    return inside, torch.stack(shares, 1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _resolve(best: Tensor, vertices: Tensor, faces: Tensor, width: int, height: int) -> FacePixels:
    pixel = (best != _NONE).nonzero()[:, 0]
    face = best.new_full((height * width,), -1, dtype=torch.int32)
    depth = vertices.new_zeros(height * width, dtype=torch.float32)
    barycentrics = vertices.new_zeros(height * width, 3, dtype=torch.float32)
    nearest = best[pixel] & 0xFFFFFFFF
    corners = vertices.detach()[faces[nearest].long()].double()  # [P, 3, 3]
    grid = (corners[..., :2] * _SUBPIXELS + 0.5).floor().long()
    _, shares = _evaluate(grid, corners[..., 2], pixel % width, pixel // width)
    face[pixel] = nearest.int()
    depth[pixel] = (best[pixel] >> 32).int().view(torch.float32)
    barycentrics[pixel] = (shares / shares.sum(1, keepdim=True)).float()
    return FacePixels(face.reshape(height, width), barycentrics.reshape(height, width, 3), depth.reshape(height, width))
