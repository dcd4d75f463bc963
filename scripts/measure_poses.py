"""Measures ``nerfkit poses`` against reference poses: ``python scripts/measure_poses.py PHOTOS OUT [REFERENCE]``.

REFERENCE is a transforms.json with the same photos; without one only the report is printed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nerfkit import poses
from nerfkit.poses.compare import pose_errors, read_poses


def main() -> None:
    photos, out, *reference = map(Path, sys.argv[1:])
    print(json.dumps(poses.estimate(photos, out).to_json()))
    if reference:
        print(pose_errors(read_poses(out / "transforms.json"), read_poses(reference[0])))


if __name__ == "__main__":
    main()
