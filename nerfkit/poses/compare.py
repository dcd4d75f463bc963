"""How far estimated poses are from a reference, free of the frame and the scale that pose estimation cannot know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import torch
from torch import Tensor

from nerfkit.data.similarity import align

NamedPose = tuple[str, Tensor]  # photo name, world_from_cam [4, 4]


@dataclass(frozen=True)
class PoseErrors:
    photos: int  # in both lists
    rotation_deg_median: float
    rotation_deg_max: float
    position_percent_median: float  # of the extent: the diagonal of the reference cameras' bounding box
    position_percent_max: float


def read_poses(transforms: Path) -> list[NamedPose]:
    """The photos of a ``transforms.json``: their names and world_from_cam [4, 4] with OpenCV axes."""
    flip = torch.diag(torch.tensor([1.0, -1, -1, 1], dtype=torch.float64))
    frames = json.loads(transforms.read_text())["frames"]
    return [
        (frame["file_path"], torch.tensor(frame["transform_matrix"], dtype=torch.float64) @ flip) for frame in frames
    ]


def pose_errors(estimated: Sequence[NamedPose], reference: Sequence[NamedPose]) -> PoseErrors:
    """Rotation and position errors of the photos in both lists, which are matched by file name without suffix, and
    by as many of the folders above as it takes to tell all photos of a list apart.

    Positions are compared after the similarity that aligns them best (Umeyama 1991); rotations after the
    common rotation that aligns *them* best (the chordal mean), so that neither error hides in the other.

    Raises:
        NerfkitError: fewer than three common photos, or all cameras on one line.
    """
    depth = max(_telling_depth([name for name, _ in poses]) for poses in (estimated, reference))
    wanted = {_tail(name, depth): torch.as_tensor(pose, dtype=torch.float64) for name, pose in reference}
    common = [
        (torch.as_tensor(pose, dtype=torch.float64), wanted[_tail(name, depth)])
        for name, pose in estimated
        if _tail(name, depth) in wanted
    ]
    ours = torch.stack([pose for pose, _ in common]) if common else torch.zeros(0, 4, 4, dtype=torch.float64)
    truth = torch.stack([pose for _, pose in common]) if common else ours  # [N, 4, 4]
    moved = align(ours[:, :3, 3], truth[:, :3, 3]).points(ours[:, :3, 3])
    extent = torch.linalg.norm(truth[:, :3, 3].amax(0) - truth[:, :3, 3].amin(0))
    position = 100 * torch.linalg.norm(moved - truth[:, :3, 3], dim=1) / extent  # [N]
    rotation = _angles(_mean_rotation(truth[:, :3, :3] @ ours[:, :3, :3].mT) @ ours[:, :3, :3], truth[:, :3, :3])
    return PoseErrors(
        len(common), float(rotation.median()), float(rotation.max()), float(position.median()), float(position.max())
    )


def _telling_depth(names: Sequence[str]) -> int:
    """How many parts at the ends of paths tell them apart."""
    deepest = max((len(PurePath(name).parts) for name in names), default=1)
    telling = (depth for depth in range(1, deepest) if len({_tail(name, depth) for name in names}) == len(names))
    return next(telling, deepest)


def _tail(name: str, depth: int) -> tuple[str, ...]:
    return PurePath(name).with_suffix("").parts[-depth:]


def _mean_rotation(rotations: Tensor) -> Tensor:
    """The rotation [3, 3] with the least squared Frobenius distance to all of [N, 3, 3]."""
    u, _, vt = torch.linalg.svd(rotations.sum(0))
    sign = torch.ones(3, dtype=rotations.dtype)
    sign[2] = torch.linalg.det(u @ vt)
    return u @ torch.diag(sign) @ vt


def _angles(a: Tensor, b: Tensor) -> Tensor:
    """Degrees [N] between rotations; by the chord, which stays exact for small angles."""
    chord = torch.linalg.norm(a - b, dim=(1, 2)) / (2 * 2**0.5)  # sin(angle / 2)
    return torch.rad2deg(2 * torch.asin(chord.clamp(max=1)))
