"""Adds noise to the poses of a transforms.json, imports them as they are and adjusted, and says how far both are off.

``python scripts/bench_noisy_poses.py SCENE/transforms.json OUT --noise 0.5,1 2,3`` writes ``OUT/noisy_0.5_1`` and what
``nerfkit poses --import`` makes of it, ``OUT/given_0.5_1`` and ``OUT/adjusted_0.5_1``, which can be trained on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from nerfkit.poses import import_poses
from nerfkit.poses.compare import pose_errors, read_poses
from nerfkit.poses.importing import Refine

WAYS: tuple[tuple[str, Refine], ...] = (("given", "no"), ("adjusted", "auto"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("transforms", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--noise", nargs="+", default=["0.5,1"], help="degrees and percent of the extent, root mean square"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    truth = read_poses(options.transforms)
    for noise in options.noise:
        degrees, percent = map(float, noise.split(","))
        name = f"{degrees:g}_{percent:g}"
        folder = options.out / f"noisy_{name}"
        folder.mkdir(parents=True, exist_ok=True)
        changed = noisy(options.transforms, degrees, percent, options.seed)
        (folder / "transforms.json").write_text(json.dumps(changed))
        for kind, refine in WAYS:
            target = options.out / f"{kind}_{name}"
            report = import_poses(folder, target, refine=refine)
            errors = asdict(pose_errors(read_poses(target / "transforms.json"), truth))
            found = {"points": report.points, "agreement": report.agreement, "refinement": report.refinement}
            print(json.dumps({"noise": noise, "poses": kind, **errors, **found}), flush=True)


def noisy(file: Path, degrees: float, percent: float, seed: int) -> dict[str, Any]:
    """The content of a transforms.json, without points, whose photos that are there have noisy poses."""
    data: dict[str, Any] = json.loads(file.read_text())
    data.pop("ply_file_path", None)
    there = [frame for frame in data["frames"] if (file.parent / frame["file_path"]).is_file()]
    data["frames"] = sorted(there, key=lambda frame: str(frame["file_path"]))
    poses = np.array([frame["transform_matrix"] for frame in data["frames"]])
    extent = np.linalg.norm(np.ptp(poses[:, :3, 3], axis=0))
    rng = np.random.default_rng(seed)
    for frame, pose in zip(data["frames"], poses, strict=True):
        turn = rng.normal(size=3) * np.radians(degrees) / np.sqrt(3)
        pose[:3, :3] = pose[:3, :3] @ Rotation.from_rotvec(turn).as_matrix()
        pose[:3, 3] += rng.normal(size=3) * percent / 100 * extent / np.sqrt(3)
        frame |= {"file_path": str((file.parent / frame["file_path"]).resolve()), "transform_matrix": pose.tolist()}
        if "mask_path" in frame:
            frame["mask_path"] = str((file.parent / frame["mask_path"]).resolve())
    return data


if __name__ == "__main__":
    main()
