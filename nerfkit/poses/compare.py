"""How far estimated poses are from a reference, after the best similarity between the two worlds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from nerfkit.errors import NerfkitError


@dataclass(frozen=True)
class PoseErrors:
    """Rotations in degrees, positions in % of the extent (the diagonal of the reference cameras' bounding box)."""

    photos: int  # in both
    rotation_median_deg: float
    rotation_max_deg: float
    position_median_percent: float
    position_max_percent: float


def pose_errors(estimated: Path | Mapping[str, np.ndarray], reference: Path | Mapping[str, np.ndarray]) -> PoseErrors:
    """Compares world-from-camera poses [4, 4] of the photos that both have, by name.

    Args: each side is a ``transforms.json`` (or the folder with it), or poses by photo name. Both sides must
        have the same camera axes.

    Worlds are aligned by camera positions (least squares, with scale). Rotations are compared after removing
    their own mean difference between the worlds: the chordal mean, Hartley et al., "Rotation Averaging",
    IJCV 2013, section 5.3.

    Raises:
        NerfkitError: fewer than three photos in common, or all cameras on one line.
    """
    from nerfkit.data.similarity import align

    a, b = (read_poses(side) if isinstance(side, Path) else side for side in (estimated, reference))
    names = sorted(a.keys() & b.keys())
    if len(names) < 3:
        raise NerfkitError(f"only {len(names)} photos are in both pose files; comparing needs 3")
    pose_a, pose_b = (np.stack([side[name] for name in names]) for side in (a, b))  # [N, 4, 4]
    x_a, x_b = pose_a[:, :3, 3], pose_b[:, :3, 3]
    b_from_a = align(torch.from_numpy(x_a.copy()), torch.from_numpy(x_b.copy()))
    distance = np.linalg.norm(b_from_a.points(torch.from_numpy(x_a.copy())).numpy() - x_b, axis=1)
    percent = 100 * distance / np.linalg.norm(np.ptp(x_b, axis=0))
    degrees = _rotation_errors(pose_a[:, :3, :3], pose_b[:, :3, :3])
    return PoseErrors(
        len(names), float(np.median(degrees)), float(degrees.max()), float(np.median(percent)), float(percent.max())
    )


def read_poses(path: Path) -> dict[str, np.ndarray]:
    """World-from-camera poses [4, 4] of a ``transforms.json``, as they stand there, by photo name without suffix."""
    file = path / "transforms.json" if path.is_dir() else path
    try:
        frames = json.loads(file.read_text())["frames"]
        return {
            PurePosixPath(frame["file_path"]).stem: np.array(frame["transform_matrix"], np.float64) for frame in frames
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NerfkitError(f"{file}: not a readable transforms.json ({error})") from None


def _rotation_errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # [N] degrees
    u, _, vt = np.linalg.svd((b @ a.transpose(0, 2, 1)).sum(0))
    mean = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt  # b_from_a
    left = b.transpose(0, 2, 1) @ mean @ a
    sine = 0.5 * np.linalg.norm(
        np.stack([left[:, 2, 1] - left[:, 1, 2], left[:, 0, 2] - left[:, 2, 0], left[:, 1, 0] - left[:, 0, 1]]), axis=0
    )
    cosine = 0.5 * (np.trace(left, axis1=1, axis2=2) - 1)
    degrees: np.ndarray = np.degrees(np.arctan2(sine, cosine))
    return degrees
