"""Videos for tests: a camera that glides over a texture, as told, encoded by ffmpeg."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 192  # pixels
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

Image = NDArray[np.uint8]


def texture(seed: int, height: int = HEIGHT, width: int = 2400) -> Image:
    """Coloured blobs of several sizes, [H, W, 3]."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cell, weight in ((64, 1.0), (16, 0.8), (5, 0.6)):
        rough = rng.normal(size=(height // cell + 3, width // cell + 3, 3))
        total += weight * cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 50 * total, 0, 255).astype(np.uint8)


def glide(picture: Image, places: Iterable[float], blurred: Sequence[int] = ()) -> Iterable[Image]:
    """What a window of 320 x 192 pixels shows whose left side is at those columns; ``blurred``: numbers of frames
    smeared over 9 pixels."""
    smear = np.ones((1, 9)) / 9
    for number, place in enumerate(places):
        matrix = np.array([[1.0, 0, -place], [0, 1, 0]])
        frame = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        yield cv2.filter2D(frame, -1, smear) if number in blurred else frame


def encode(path: Path, frames: Iterable[Image], *options: str, fps: float = 30) -> Path:
    """Writes frames [H, W, 3] sRGB losslessly enough; ``options`` are ffmpeg's for the output."""
    command: list[str] = []
    process: subprocess.Popen[bytes] | None = None
    for frame in frames:
        if process is None:
            height, width = frame.shape[:2]
            command = [FFMPEG, "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
            command += ["-r", str(fps), "-i", "-", *(options or ("-crf", "10", "-pix_fmt", "yuv420p")), str(path)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(np.ascontiguousarray(frame).tobytes())
    assert process is not None
    process.communicate()
    assert process.returncode == 0, command
    return path


def remux(source: Path, target: Path, before: Sequence[str], *options: str) -> Path:
    """Copies a video; ``before`` are options of the input."""
    subprocess.run([FFMPEG, "-y", "-v", "error", *before, "-i", source, "-c", "copy", *options, target], check=True)
    return target
