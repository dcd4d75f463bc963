"""A small scene with poses, written as transforms.json."""

from __future__ import annotations

import json
import math
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch

from nerfkit.cameras import look_at


def write_scene(folder: Path, count: int = 12, width: int = 24, height: int = 16, alpha: bool = False) -> Path:
    (folder / "images").mkdir(parents=True)
    frames = []
    for index in range(count):
        angle = 2 * math.pi * index / count
        eye = torch.tensor([3 * math.cos(angle), 3 * math.sin(angle), 1.0])
        pose = look_at(eye, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
        pose[:3, 1:3] *= -1  # transforms.json has OpenGL's camera axes
        x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
        channels = [0.5 + 0.4 * np.sin(4 * x + angle), y, 0.5 + 0.3 * np.cos(6 * x * y)]
        channels += [(x > 0.5).astype(float)] if alpha else []
        iio.imwrite(folder / f"images/{index:03d}.png", (np.stack(channels, -1) * 255).astype(np.uint8))
        frames.append({"file_path": f"images/{index:03d}.png", "transform_matrix": pose.tolist()})
    camera = {"fl_x": 30.0, "fl_y": 30.0, "cx": width / 2, "cy": height / 2, "w": width, "h": height}
    (folder / "transforms.json").write_text(json.dumps({**camera, "frames": frames}))
    return folder
