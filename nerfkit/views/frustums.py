"""Training cameras drawn into a picture: the lines of their frustums, hidden by what is nearer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.cameras import project
from nerfkit.contracts import Cameras, Rendering
from nerfkit.data.scene import Scene
from nerfkit.views.draw import Channels, Draw

TRAINING, HELD_OUT = (1.0, 0.58, 0.1), (0.2, 0.65, 1.0)  # sRGB
SIZE = 0.06  # a frustum's depth, of the cameras' median distance from the focus
_PIECES = 48  # of a line, each of which is seen or hidden
_SLACK = 0.01  # of its depth, that a line may lie behind what is seen: depth has an error
_OPAQUE = 0.5  # alpha that hides what is behind
_EDGES = [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1), (5, 6), (6, 7), (7, 5)]
_UP_MARK = ((0.3, -0.1), (0.7, -0.1), (0.5, -0.35))  # a triangle above the picture, in its widths and heights


@dataclasses.dataclass(frozen=True)
class Lines:
    """Lines of one colour."""

    start: Tensor  # [L, 3] scene frame
    end: Tensor  # [L, 3]
    color: tuple[float, float, float]


def of_scene(scene: Scene) -> list[Lines]:
    """The frustums of a scene's photos, those for training in one colour and those held out in another."""
    eyes = torch.cat([view.camera.world_from_cam[:, :3, 3] for view in scene.views])
    size = SIZE * float(eyes.norm(dim=1).median())
    held_out = set(scene.held_out)
    kinds = [(TRAINING, [i for i in range(len(scene.views)) if i not in held_out]), (HELD_OUT, sorted(held_out))]
    lines = []
    for color, indices in kinds:
        corners = [_corners(scene.views[index].camera, size) for index in indices]
        if corners:
            points = torch.stack(corners)  # [C, 8, 3]
            start, end = (torch.cat([points[:, edge[k]] for edge in _EDGES]) for k in (0, 1))
            lines.append(Lines(start, end, color))
    return lines


def _corners(camera: Cameras, size: float) -> Tensor:
    """The eye, the picture's four corners, and a mark above it: [8, 3]."""
    fx, fy, cx, cy = (float(value) for value in camera.intrinsics[0])
    pixels = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), *_UP_MARK]
    rays = [((u * camera.width - cx) / fx, (v * camera.height - cy) / fy, 1.0) for u, v in pixels]
    points = torch.tensor([(0.0, 0.0, 0.0), *rays]) * size
    pose = camera.world_from_cam[0].float().cpu()
    return points @ pose[:3, :3].T + pose[:3, 3]


def with_lines(draw: Draw, lines: Sequence[Lines], width: float = 1.5, near: float = 0.01) -> Draw:
    """The drawing (of pinhole cameras) with lines that are hidden where they lie behind what is drawn.

    Args:
        width: of the lines, for a picture 1000 pixels high.
        near: scene units; what is nearer to the eye isn't drawn.
    """

    def overlaid(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        if "rgb" not in channels:
            return draw(camera, channels, moment)
        drawn = draw(camera, channels | {"depth", "alpha"}, moment)
        assert drawn.rgb is not None and drawn.alpha is not None and drawn.depth is not None
        seen = drawn.alpha > _OPAQUE
        depth = torch.where(seen, drawn.depth, torch.inf).cpu().numpy()
        rgb, alpha, covered = drawn.rgb, drawn.alpha, torch.zeros_like(seen)
        for one in lines:
            ink = torch.from_numpy(_ink(one, camera, depth, width, near)).to(rgb)
            rgb = rgb + ink[..., None] * (torch.tensor(one.color).to(rgb) - rgb)
            alpha, covered = alpha + ink * (1 - alpha), covered | (ink > 0)
        faint = covered & ~seen  # lines are opaque, and what is behind them has a depth of mist
        return dataclasses.replace(drawn, rgb=rgb, alpha=alpha, depth=torch.where(faint, 0, drawn.depth))

    return overlaid


def _ink(
    lines: Lines, camera: Cameras, depth: NDArray[np.float32], width: float, near: float
) -> NDArray[np.float32]:  # fmt: skip
    """How much of each pixel [H, W] the lines cover."""
    steps = torch.linspace(0, 1, _PIECES + 1)[:, None, None]
    points = lines.start + steps * (lines.end - lines.start)  # [P + 1, L, 3]
    own = dataclasses.replace(camera, world_from_cam=camera.world_from_cam.cpu(), intrinsics=camera.intrinsics.cpu())
    pixels, depths = project(own, points.reshape(-1, 3))
    at, z = pixels[0].numpy(), depths[0].numpy()
    whole = np.floor(np.nan_to_num(at, nan=-1, posinf=-1, neginf=-1)).clip(-2, 1e6).astype(int)
    column, row = whole[:, 0], whole[:, 1]
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height) & (z > near)
    behind = depth[row.clip(0, camera.height - 1), column.clip(0, camera.width - 1)]
    seen = (inside & (z < behind * (1 + _SLACK))).reshape(_PIECES + 1, -1)
    drawn = seen[1:] & seen[:-1]
    fixed = np.round((at - 0.5) * 16).reshape(_PIECES + 1, -1, 2)  # OpenCV has pixel centres at 0
    ink = np.zeros(depth.shape, np.uint8)
    thickness = max(1, round(width * camera.height / 1000))
    for piece, line in zip(*drawn.nonzero(), strict=True):
        start, end = (fixed[k, line].astype(int).tolist() for k in (piece, piece + 1))
        cv2.line(ink, start, end, 255, thickness, cv2.LINE_AA, 4)
    return ink.astype(np.float32) / np.float32(255)
