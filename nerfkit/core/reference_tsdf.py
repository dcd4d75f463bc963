"""TSDF fusion in plain PyTorch: the definition that the kernels are tested against.

Curless and Levoy, "A Volumetric Method for Building Complex Models from Range Images", SIGGRAPH 1996, section 3:
every voxel keeps the weighted mean of the truncated distances to the surfaces that the cameras see along its pixel.
Blocks of voxels lie only where there is a surface: Niessner et al., "Real-time 3D Reconstruction at Scale using Voxel
Hashing", SIGGRAPH Asia 2013, section 4.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.core.volume import BLOCK, BlockMap, Volume

_CHUNK = 1 << 11  # blocks: bounds the memory of the intermediate tensors
_STEP = 4.0  # voxels of depth that one box stands for


def tsdf_mark(map: BlockMap, depth: Tensor, pixels: Tensor, cameras: Cameras) -> None:
    """Marks the blocks of ``map`` that the surfaces of V depth maps reach, in place.

    A pixel with depth d > 0 and a confidence > 0 reaches what lies on its line of sight between d - truncation and
    d + truncation. That piece is cut into parts of at most four voxels of depth, and of each part the box around it is
    taken, wider by a voxel, since a cube of marching cubes needs all its corners, and by half a pixel.

    Args:
        map: the blocks, in the scene frame.
        depth: [V, H, W] float32, z along the optical axis in scene units; 0 (or less) where nothing is seen.
        pixels: [V, H, W, 4] uint8 r g b, and the confidence times 255.
        cameras: V pinhole cameras in the scene frame, H x W pixels.
    """
    for v in range(len(cameras)):
        _mark_view(map, depth[v], pixels[v, ..., 3], cameras[v])


def _mark_view(map: BlockMap, depth: Tensor, confidence: Tensor, camera: Cameras) -> None:
    fx, fy, cx, cy = camera.intrinsics[0].float().tolist()
    row, column = ((depth > 0) & (depth < 1e30) & (confidence > 0)).nonzero(as_tuple=True)
    d = depth[row, column]  # [P]
    pose = camera.world_from_cam[0].float().to(depth.device)
    ray = torch.stack([(column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy, torch.ones_like(d)], -1)
    along = ray @ pose[:3, :3].T / map.voxel_size  # [P, 3] voxels per depth
    start = (pose[:3, 3] - map.origin.to(depth.device)) / map.voxel_size
    margin = 1 + 0.5 * d / (min(fx, fy) * map.voxel_size)
    size = torch.tensor(map.marks.shape, device=depth.device)
    pieces = 1 + int(min(2 * map.truncation / (_STEP * map.voxel_size), 1e4) - 1e-3)
    step = 2 * map.truncation / pieces
    for i in range(pieces):
        ends = [(d - map.truncation + k * step).clamp_min(0) if k == i else d - map.truncation + k * step
                for k in (i, i + 1)]  # fmt: skip
        a, b = (start + z[:, None] * along for z in ends)
        low = ((torch.minimum(a, b) - margin[:, None]) / BLOCK).floor().clamp_min(0)
        high = torch.minimum(((torch.maximum(a, b) + margin[:, None]) / BLOCK).floor(), size - 1.0)
        _mark_boxes(map.marks, low, high)


def _mark_boxes(marks: Tensor, low: Tensor, high: Tensor) -> None:
    """Marks blocks [low, high] of each of P boxes [P, 3]."""
    some = (high >= low).all(-1)
    boxes = torch.cat([low[some], high[some]], -1).long().unique(dim=0)
    low, high = boxes[:, :3], boxes[:, 3:]
    if not len(low):
        return
    nx, ny, nz = ((high - low).amax(0) + 1).tolist()
    for x, y, z in ((x, y, z) for x in range(nx) for y in range(ny) for z in range(nz)):
        at = low + torch.tensor([x, y, z], device=low.device)
        at = at[(at <= high).all(-1)]
        marks[at[:, 0], at[:, 1], at[:, 2]] = 1


def tsdf_integrate(volume: Volume, depth: Tensor, pixels: Tensor, cameras: Cameras) -> None:
    """Fuses V depth maps into ``volume``, in place.

    For a voxel at camera coordinates ``x, y, z`` and pixel ``p``: ``sdf = depth(p) - z``. Where
    ``sdf >= -truncation``, ``tsdf <- (W tsdf + w min(1, sdf / truncation)) / (W + w)`` and ``W <- W + w``.
    Colours are averaged likewise, where also ``sdf <= truncation``.

    ``depth(p)`` interpolates 1/depth between the four nearest pixel centres (+0.5), which is exact on planes; at
    the image's border and where the four are not all seen or differ by more than ``truncation``, it is the depth
    of the pixel that holds ``p``, so that no surface appears between a foreground and its background. Confidence and
    colour are those of the pixel that holds ``p``.

    Args:
        volume: the volume, in the scene frame.
        depth: [V, H, W] float32, z along the optical axis in scene units; 0 (or less) where nothing is seen.
        pixels: [V, H, W, 4] uint8 r g b, and the confidence w times 255. Pixels of confidence 0 are skipped.
        cameras: V pinhole cameras in the scene frame, H x W pixels.

    Not differentiable.
    """
    for start in range(0, len(volume.blocks), _CHUNK):
        part = slice(start, start + _CHUNK)
        voxels = Volume(volume.origin, volume.voxel_size, volume.truncation, volume.blocks[part], volume.tsdf[part],
                        volume.weight[part], volume.color[part])  # fmt: skip
        places = volume.origin.to(depth.device) + volume.voxel_size * voxels.voxels().float()  # [B, 8, 8, 8, 3]
        color = voxels.color.float()
        for v in range(len(cameras)):
            _integrate_view(voxels, color, places, depth[v], pixels[v], cameras[v])
        voxels.color.copy_(color)  # rounded once for all views


def _integrate_view(
    volume: Volume, color: Tensor, places: Tensor, depth: Tensor, pixels: Tensor, camera: Cameras
) -> None:
    u, v, z = _project(places, camera)  # [B, 8, 8, 8] each
    height, width = depth.shape
    column, row = u.floor().long(), v.floor().long()
    inside = (z > 0) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
    column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
    seen = _interpolated(depth, u, v, column, row, volume.truncation)
    pixel = pixels[row, column].float()  # [B, 8, 8, 8, 4]
    w = pixel[..., 3] / 255
    sdf = seen - z
    used = inside & (seen > 0) & (w > 0) & (sdf >= -volume.truncation)
    _average(volume.tsdf, volume.weight, (sdf / volume.truncation).clamp_max(1), w * used)
    near = w * (used & (sdf <= volume.truncation))
    for channel in range(3):
        _average(color[:, channel], color[:, 3].clone(), pixel[..., channel], near)
    color[:, 3] += near


def _project(places: Tensor, camera: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Pixel coordinates and depths of places [..., 3]."""
    x, y, z = places.unbind(-1)
    cam_from_world = camera.cam_from_world[0].float()  # single numbers of the CPU go with any device's tensors
    cam = [m[0] * x + m[1] * y + m[2] * z + m[3] for m in cam_from_world[:3]]
    fx, fy, cx, cy = camera.intrinsics[0].float()
    safe = torch.where(cam[2] > 0, cam[2], torch.ones_like(cam[2]))
    return fx * cam[0] / safe + cx, fy * cam[1] / safe + cy, cam[2]


def _interpolated(depth: Tensor, u: Tensor, v: Tensor, column: Tensor, row: Tensor, truncation: float) -> Tensor:
    height, width = depth.shape
    nearest = depth[row, column]
    left, top = (u - 0.5).floor(), (v - 0.5).floor()
    whole = (left >= 0) & (top >= 0) & (left + 1 < width) & (top + 1 < height)
    a, b = u - 0.5 - left, v - 0.5 - top  # in [0, 1)
    x0, y0 = (
        left.long().clamp(0, max(0, width - 2)),
        top.long().clamp(0, max(0, height - 2)),
    )
    x1, y1 = (x0 + 1).clamp_max(width - 1), (y0 + 1).clamp_max(height - 1)
    corners = [depth[y0, x0], depth[y0, x1], depth[y1, x0], depth[y1, x1]]
    low = torch.minimum(torch.minimum(corners[0], corners[1]), torch.minimum(corners[2], corners[3]))
    high = torch.maximum(torch.maximum(corners[0], corners[1]), torch.maximum(corners[2], corners[3]))
    smooth = whole & (low > 0) & (high - low <= truncation)
    inverse = [1 / torch.where(smooth, corner, torch.ones_like(corner)) for corner in corners]
    upper = inverse[0] + a * (inverse[1] - inverse[0])
    lower = inverse[2] + a * (inverse[3] - inverse[2])
    return torch.where(smooth, 1 / (upper + b * (lower - upper)), nearest)


def _average(mean: Tensor, total: Tensor, value: Tensor, w: Tensor) -> None:
    """Running weighted mean, in place: ``mean += w / (total + w) (value - mean)``."""
    share = w / (total + w).clamp_min(1e-20)
    mean += share * (value - mean)
    total += w
