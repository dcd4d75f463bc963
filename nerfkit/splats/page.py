"""Gaussians as a web page: turned into the viewer's frame, packed, and with the cameras that it starts with."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Gaussians, RenderCore
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.splats import formats, sog, upright
from nerfkit.splats.judge import NEAR, draw, near_of, orbit
from nerfkit.splats.upright import Up
from nerfkit.splats.vantage import middle
from nerfkit.webpage.scene import Look, ScenePage

FORMAT = ".sog"  # of the formats that the viewer reads the smallest: docs/benchmarks.md
KEYFRAMES = 24  # of the path around the scene
_STILL = (960, 720)  # pixels
_QUALITY = 80  # of its JPEG
_USUAL = (0.1, 1000.0)  # radius that half of the Gaussians are within, in the viewer's units
_COARSE = 1e-3  # of that radius: a step between neighbouring places that shows
_NEAREST = 0.2  # of a camera's distance from the middle: nearer it doesn't look at anything


@dataclass(frozen=True)
class Shown:
    """How Gaussians are shown, in their own frame."""

    path: Cameras  # a closed path, which starts at the page's first view
    middle: Tensor  # [3] what to orbit around
    background: Tensor  # [3] sRGB, 0 to 1
    up: Up
    near: float = NEAR  # what is nearer to a camera isn't drawn

    @classmethod
    def around(cls, gaussians: Gaussians, up: Up) -> Shown:
        """From a ring around the middle of Gaussians that come without cameras, before black."""
        ring = orbit(gaussians, up, per_ring=KEYFRAMES)[:KEYFRAMES]
        poses = torch.cat([camera.world_from_cam for camera in ring])
        intrinsics = torch.cat([camera.intrinsics for camera in ring])
        path = Cameras(poses, intrinsics, ring[0].width, ring[0].height)
        return cls(path, middle(gaussians.means)[0], torch.zeros(3), up, near_of(gaussians))


def empty_page(core: RenderCore, gaussians: Gaussians, shown: Shown, title: str, *, plays: bool = False) -> ScenePage:
    """The page of a scene with its still, but without the splats (:func:`packed`), as ``sog``.

    Args:
        plays: the page starts by moving along the path.
    """
    first = shown.path[0]
    slope = min(first.width, first.height) / 2 / float(first.intrinsics[0, :2].max())
    return ScenePage(
        title=title,
        sog=b"",
        still=_jpeg(draw(core, gaussians, _still_of(first, slope), shown.background, shown.near)),
        background=_point(shown.background),
        path=_looks(shown),
        angle=math.degrees(2 * math.atan(slope)),
        plays=plays,
        antialiased=gaussians.antialiased,
    )


def file_from(up: Up) -> Similarity:
    """The frame of a page's file, whose -Y the viewer takes for up, from one whose up is that axis."""
    return upright.turn("-y").inverse().compose(upright.turn(up))


def within_reach(gaussians: Gaussians) -> Similarity:
    """Where the viewer can show Gaussians of any size at any place, by single precision and its limits of nearness.

    Those of usual coordinates stay as they are: in VR their unit is a metre.
    """
    center, radius = middle(gaussians.means)
    scale = 1.0 if _USUAL[0] <= radius <= _USUAL[1] else 10.0 ** -round(math.log10(radius))
    moved = sog.step_at(float(center.abs().max())) > _COARSE * radius
    offset = center if moved else torch.zeros(3, dtype=torch.float64)
    return Similarity(scale, torch.eye(3, dtype=torch.float64), -scale * offset)


def packed(gaussians: Gaussians, settings: Mapping[str, Any] | None = None) -> bytes:
    """The file of Gaussians in its own frame (:func:`file_from`).

    Args:
        settings: what the format's own ``write`` takes beside the Gaussians.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"scene{FORMAT}"
        formats.write(file, gaussians, settings=settings)
        return file.read_bytes()


def write(path: Path, page: ScenePage) -> None:
    """Writes a page, atomically. Raises NerfkitError: it cannot be written."""
    words = page.html()
    with atomic(path) as partial:
        partial.write_text(words, encoding="utf-8")


def room(limit: int, empty: ScenePage) -> int:
    """Bytes that the splats' file may have where the page may have ``limit``, by its :func:`empty_page`.

    Raises:
        NerfkitError: the page without splats is larger.
    """
    left = (limit - empty.size()) // 4 * 3  # base64
    if left <= 0:
        raise NerfkitError(
            f"--max-size of {limit / 1e6:g} MB: a page is {empty.size() / 1e6:.2f} MB without any splats; allow more, "
            "or write a .sog file, which any viewer opens"
        )
    return left


def _looks(shown: Shown) -> list[Look]:
    """Each camera's place, and the point on its axis that is nearest to the middle, in the viewer's frame."""
    turn = upright.turn(shown.up)
    poses = shown.path.world_from_cam.double()
    eyes, axes = poses[:, :3, 3], poses[:, :3, 2]
    away = shown.middle.double() - eyes
    along = torch.maximum((away * axes).sum(1), _NEAREST * away.norm(dim=1)).clamp_min(1e-6)
    targets = eyes + along[:, None] * axes
    return [Look(_point(eye), _point(target)) for eye, target in zip(turn.points(eyes), turn.points(targets))]


def _still_of(camera: Cameras, slope: float) -> Cameras:
    """The same place, with a picture of the still's size; ``slope`` is the tangent of half the shorter side's angle."""
    width, height = _STILL
    focal = min(_STILL) / 2 / slope
    return Cameras(camera.world_from_cam, torch.tensor([[focal, focal, width / 2, height / 2]]), width, height)


def _jpeg(image: Tensor) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    pixels = (image * 255).round().to(torch.uint8).numpy()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY, optimize=True, progressive=True)
    return buffer.getvalue()


def _point(values: Tensor) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 6) for value in values)
    return x, y, z
