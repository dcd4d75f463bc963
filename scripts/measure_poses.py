"""Measures ``nerfkit poses`` against reference poses: ``python scripts/measure_poses.py PHOTOS OUT [REFERENCE]``.

REFERENCE is a transforms.json with the same photos; without one only the report is printed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from nerfkit import poses
from nerfkit.poses.compare import NamedPose, pose_errors


def named_poses(transforms: Path) -> list[NamedPose]:
    """Photo names and world_from_cam [4, 4], OpenCV axes."""
    flip = torch.diag(torch.tensor([1.0, -1, -1, 1], dtype=torch.float64))
    frames = json.loads(transforms.read_text())["frames"]
    return [
        (frame["file_path"], torch.tensor(frame["transform_matrix"], dtype=torch.float64) @ flip) for frame in frames
    ]


def main() -> None:
    photos, out, *reference = map(Path, sys.argv[1:])
    print(json.dumps(poses.estimate(photos, out).to_json()))
    if reference:
        print(pose_errors(named_poses(out / "transforms.json"), named_poses(reference[0])))


if __name__ == "__main__":
    main()
