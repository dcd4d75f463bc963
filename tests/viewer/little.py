"""A run of a few coloured Gaussians, and the photos that it is a run of."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch

from nerfkit.cameras import look_at
from nerfkit.train import checkpoint
from nerfkit.train.config import TrainConfig
from nerfkit.train.fit import fit
from nerfkit.train.run import Run
from nerfkit.value_transforms import dc_from_rgb


def write_scene(folder: Path, count: int = 9, width: int = 48, height: int = 32) -> Path:
    """Photos of an orange square on blue, from a ring of cameras, as ``transforms.json``."""
    (folder / "images").mkdir(parents=True)
    image = np.full((height, width, 3), (40, 60, 140), np.uint8)
    image[10:24, 16:34] = (230, 140, 30)
    frames = []
    for index in range(count):
        angle = 2 * math.pi * index / count
        pose = look_at(
            torch.tensor([2 * math.cos(angle), 2 * math.sin(angle), 0.7]), torch.zeros(3), torch.tensor([0.0, 0, 1])
        )
        pose[:3, 1:3] *= -1  # transforms.json has OpenGL's camera axes
        iio.imwrite(folder / f"images/{index:03d}.png", image)
        frames.append({"file_path": f"images/{index:03d}.png", "transform_matrix": pose.tolist()})
    camera = {"fl_x": 50.0, "fl_y": 50.0, "cx": width / 2, "cy": height / 2, "w": width, "h": height}
    (folder / "transforms.json").write_text(json.dumps({**camera, "frames": frames}))
    return folder


def config(scene: Path, steps: int = 40) -> TrainConfig:
    out = TrainConfig(scene, steps=steps, device="cpu", downscale=1, threads=1, eval_every=0)
    out.model_options.cap = 400
    out.model_options.geometry = False
    return out


def make_run(folder: Path) -> Run:
    return fit(folder / "run", config(write_scene(folder / "scene")))


def make_vivid(run: Run, folder: Path) -> Run:
    """The run with three balls, red, green and yellow, in place of what it has learnt in a second."""
    shutil.copytree(run.path, folder)
    vivid = Run.open(folder)
    saved = checkpoint.load_newest(vivid.checkpoints)
    params = saved.state["model"]["params"]
    count = len(params["means"])
    rng, ball = torch.Generator().manual_seed(1), torch.arange(count) % 3
    centers = torch.tensor([[0.0, 0, 0], [0.35, 0, 0.1], [-0.1, 0.3, -0.1]])[ball]
    around = torch.nn.functional.normalize(torch.randn(count, 3, generator=rng), dim=1)
    params["means"] = centers + 0.12 * around
    params["log_scales"] = torch.full((count, 3), 0.03).log()
    params["logit_opacities"] = torch.full((count,), 4.0)
    colors = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.95, 0.85, 0.1]])[ball]
    params["sh"] = torch.cat([dc_from_rgb(colors)[:, None], 0.05 * around[:, :, None].expand(-1, 3, 3)], 1)
    saved.state["model"]["moments"] = {}
    checkpoint.save(vivid.checkpoints, saved)
    return vivid
