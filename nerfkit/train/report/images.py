"""Held-out views of a report: truth, render and error, small enough to embed."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.files import write_text
from nerfkit.threads import threads
from nerfkit.train.metrics import psnr, ssim

Image = NDArray[np.uint8]
LONGEST_SIDE = 640  # pixels of an embedded image
MOST_VIEWS = 12
FULL_ERROR = 64  # of 255: the brightest color of the error map
COLORS = cv2.COLORMAP_INFERNO
SCORES = "scores.json"


@dataclass(frozen=True)
class Kept:
    """What is known of a pair, and kept in the folder."""

    written: list[int]  # when truth and render were, nanoseconds
    psnr: float
    ssim: float | None
    width: int
    height: int


@dataclass(frozen=True)
class HeldOut:
    name: str
    truth: Path
    render: Path
    psnr: float
    ssim: float | None
    width: int
    height: int


def measure(folder: Path) -> list[HeldOut]:
    """The pairs ``<name>.png`` and ``<name>.truth.png`` of a folder, by name; those that can't be read, or judged, are
    left out.

    A report is renewed after each thing that is made from a run: what was measured is kept in the folder, and holds
    while its two files are as they were.
    """
    known = _known(folder / SCORES)
    truths = sorted(folder.glob("*.truth.png"))
    with threads() as pool:
        scores = list(pool.map(lambda truth: _scores(truth, known), truths))
    kept = {_name(truth): asdict(score) for truth, score in zip(truths, scores) if score is not None}
    if kept != known:
        write_text(folder / SCORES, json.dumps(kept, indent=1) + "\n")
    return [
        HeldOut(_name(truth), truth, _render(truth), score.psnr, score.ssim, score.width, score.height)
        for truth, score in zip(truths, scores)
        if score is not None
    ]


def choose(views: Sequence[HeldOut], count: int = MOST_VIEWS) -> list[HeldOut]:
    """At most ``count`` views: from the worst to the best by PSNR in even steps, given back in their order."""
    if len(views) <= count:
        return list(views)
    ranked = sorted(range(len(views)), key=lambda i: views[i].psnr)
    picks = {ranked[round(k * (len(views) - 1) / (count - 1))] for k in range(count)}
    return [views[i] for i in sorted(picks)]


def triplet(view: HeldOut) -> tuple[str, str, str]:
    """Truth, render and error map as data URIs (JPEG)."""
    truth, render = read(view.truth), read(view.render)
    assert truth is not None and render is not None, "measured before"
    return uri(truth), uri(render), uri(error_map(truth, render))


def error_map(truth: Image, render: Image) -> Image:
    """The mean difference of the channels, [H, W, 3] BGR: black is 0, the brightest FULL_ERROR / 255 and more."""
    error = np.abs(truth.astype(np.float32) - render.astype(np.float32)).mean(-1)
    grey = np.clip(error * (255 / FULL_ERROR), 0, 255).round().astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, COLORS), np.uint8)


def legend() -> str:
    """The error map's colors as stops of a CSS gradient."""
    grey = np.linspace(0, 255, 9).round().astype(np.uint8)[None]
    return ", ".join(f"rgb({r} {g} {b})" for b, g, r in cv2.applyColorMap(grey, COLORS)[0].tolist())


def read(path: Path, flags: int = cv2.IMREAD_COLOR) -> Image | None:
    """[H, W, 3] uint8 BGR, or as OpenCV's ``flags`` have it; None where it can't be read."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)  # not cv2.imread: that fails on some systems' odd names
    except OSError:
        return None
    image: Any = cv2.imdecode(data, flags) if len(data) else None
    return image


def uri(image: Image, longest: int = LONGEST_SIDE) -> str:
    """An image [H, W, 3] BGR as a data URI, shrunk to ``longest`` pixels where it is larger."""
    height, width = image.shape[:2]
    shrink = longest / max(height, width)
    if shrink < 1:
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _known(file: Path) -> dict[str, dict[str, Any]]:
    """What was measured before; nothing where that can't be read."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _scores(truth: Path, known: dict[str, dict[str, Any]]) -> Kept | None:
    written = [_written(truth), _written(_render(truth))]
    before = known.get(_name(truth))
    if isinstance(before, dict) and before.keys() == Kept.__annotations__.keys() and before["written"] == written:
        return Kept(**before)
    return _measure(truth, written)


def _measure(truth_path: Path, written: list[int]) -> Kept | None:
    truth, render = read(truth_path), read(_render(truth_path))
    if truth is None or render is None or truth.shape != render.shape:
        return None
    shown = _judged(truth_path)
    if shown is not None and not shown.any():
        return None
    a, b = (torch.from_numpy(image).float() / 255 for image in (render, truth))
    height, width = truth.shape[:2]
    similarity = ssim(a, b, shown) if min(height, width) >= 11 else None
    return Kept(written, min(psnr(a, b, shown), 100.0), similarity, width, height)


def _judged(truth: Path) -> torch.Tensor | None:
    """Of a photo's file the pixels [H, W] bool that count: all, or those that aren't transparent."""
    image = read(truth, cv2.IMREAD_UNCHANGED)
    return torch.from_numpy(image[..., 3] > 0) if image is not None and image.shape[2:] == (4,) else None


def _render(truth: Path) -> Path:
    return truth.with_name(f"{_name(truth)}.png")


def _name(truth: Path) -> str:
    return truth.name.removesuffix(".truth.png")


def _written(path: Path) -> int:
    """When a file was written, nanoseconds; 0 where it can't be told."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
