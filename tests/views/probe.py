"""What ffprobe and ffmpeg, programs no one here wrote, find in a file."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def streams(path: Path, *arguments: str) -> Any:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is missing: install ffmpeg")
    command = ["ffprobe", "-v", "error", *arguments, "-of", "json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def stream(path: Path) -> dict[str, Any]:
    """The only stream, with ``fps``, ``seconds`` and ``frames`` counted."""
    found = streams(path, "-show_streams", "-show_format", "-count_frames")
    (one,) = found["streams"]
    top, bottom = one["avg_frame_rate"].split("/")
    return one | {
        "fps": int(top) / int(bottom),
        "seconds": float(found["format"].get("duration", "nan")),
        "frames": int(one["nb_read_frames"]),
    }


def times(path: Path) -> list[float]:
    """When each frame is shown, seconds."""
    return sorted(float(packet["pts_time"]) for packet in streams(path, "-show_packets")["packets"])


def decoded(path: Path, layout: str = "rgb24", *before: str) -> np.ndarray:
    """All frames [F, H, W, C] as ffmpeg shows them."""
    one, channels = streams(path, "-show_streams")["streams"][0], {"rgb24": 3, "rgba": 4}[layout]
    command = [FFMPEG, "-v", "error", *before, "-i", str(path), "-f", "rawvideo", "-pix_fmt", layout, "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, one["height"], one["width"], channels)


def floats(path: Path, channels: int) -> np.ndarray:
    """The planes [C, H, W] of a picture of floats, in ffmpeg's order: green, blue, red, alpha."""
    one = streams(path, "-show_streams")["streams"][0]
    layout = {3: "gbrpf32le", 4: "gbrapf32le"}[channels]
    command = [FFMPEG, "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", layout, "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.float32).reshape(channels, one["height"], one["width"])
