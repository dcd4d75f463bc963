"""The pinhole pictures that a wide picture is put together from: faces of a cube, or strips for eyes that turn.

What a drawing shows near its edges depends a little on where it looks (splats are flattened on its plane and sorted by
its depth), so parts overlap and fade into each other: no seam is left.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nerfkit.cameras import pixel_centers
from nerfkit.contracts import Cameras
from nerfkit.views.lenses import Equirect, Lens, sideways

OVERLAP = math.radians(4)  # that a face reaches beyond its cube's edge
FINER = 1.2  # a part's pixels in its middle, where they are largest, in one of the wide picture's

# Face's axes (right, down, forward) in the camera's: front, right, back, left, up, down.
_FACES = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
    ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
    ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
)

# A strip is drawn from one place, where its middle column's eye is. At its edges that is half its width times the
# eye's distance from the middle too far ahead or behind, which moves what is a line of sight above the horizon by a
# pixel at the usual 30 eye distances away, if strips are as wide as this many pixels.
_STRIP = 85
_FEWEST, _MOST = 24, 72  # strips around the horizon
_BANDS = (50.0, 62.0, 74.0, 90.0)  # degrees of latitude that they end at; each has one distance between the eyes…
_THINNED = (1, 2, 3, 0)  # …and so many times fewer strips; 0: a single part around the pole, for both eyes
_BAND_OVERLAP = math.radians(2)
_STRIP_OVERLAP = 0.25  # of half a strip's width


@dataclass(frozen=True)
class Part:
    """A pinhole picture, and where its pixels go."""

    cam_from_part: Tensor  # [3, 3]
    aside: Tensor  # [3] where its eye is, camera axes, in distances of the eye from the middle
    focal: float  # pixels
    size: tuple[int, int]  # width and height of what is needed of it
    center: tuple[float, float]  # cx cy
    target: Tensor  # [P] of the wide picture's pixels, row by row
    at: Tensor  # [P, 2] the part's pixels for them
    share: Tensor  # [P] of what they show; over the parts they add up to 1
    stretch: Tensor  # [P] distance from the eye in a unit of the part's depth


def parts_of(lens: Lens, camera: Cameras) -> Sequence[Part]:
    """The parts of a camera's picture through a lens."""
    if isinstance(lens, Equirect) and lens.eye:
        return _strips(camera.width, camera.height)
    fx, fy, cx, cy = camera.intrinsics[0].tolist()
    return _cube(lens, camera.width, camera.height, (fx, fy, cx, cy))


@dataclass(frozen=True)
class _Piece:
    """A part's pose, and how much it counts for which pixels, beside others."""

    rotation: Tensor  # [3, 3] columns are its axes
    aside: Tensor  # [3]
    target: Tensor  # [P] pixels, row by row
    share: Tensor  # [P]


@functools.lru_cache(maxsize=2)
def _cube(lens: Lens, width: int, height: int, intrinsics: tuple[float, float, float, float]) -> Sequence[Part]:
    directions = _directions(lens, width, height, intrinsics)
    return _fitted(_faces(directions), directions, FINER * lens.finest(width, height, intrinsics[0]))


@functools.lru_cache(maxsize=2)
def _strips(width: int, height: int) -> Sequence[Part]:
    lens = Equirect()
    directions = _directions(lens, width, height, (1.0, 1.0, 0.0, 0.0))
    return _fitted(_pieces(width, height), directions, FINER * lens.finest(width, height, 0.0))


def _directions(lens: Lens, width: int, height: int, intrinsics: tuple[float, ...]) -> Tensor:
    """Unit directions [H * W, 3] of a picture's pixels, camera axes."""
    camera = Cameras(torch.eye(4)[None], torch.tensor([intrinsics]), width, height)
    return lens.rays(camera, pixel_centers(width, height).view(-1, 2)).directions


def _faces(directions: Tensor) -> Iterator[_Piece]:
    half_angle = math.pi / 4 + OVERLAP
    for axes in _FACES:
        rotation = torch.tensor(axes, dtype=torch.float32).T
        in_face = directions @ rotation
        z = in_face[:, 2]
        beside = in_face[:, :2].abs().amax(1) / z.clamp_min(1e-9)
        # Full up to OVERLAP before the cube's edge, none from OVERLAP behind it; half on it, where two faces meet.
        share = ((half_angle - torch.atan(beside)) / (2 * OVERLAP)).clamp(0, 1) * (z > 0)
        target = (share > 0).nonzero()[:, 0]
        yield _Piece(rotation, torch.zeros(3), target, share[target])


def _pieces(width: int, height: int) -> Iterator[_Piece]:
    """Strips of longitude in bands of latitude, each with the eye of its middle."""
    longitude = ((torch.arange(width) + 0.5) / width - 0.5) * (2 * math.pi)
    latitude = ((torch.arange(height) + 0.5) / height - 0.5) * math.pi
    around = min(_MOST, max(_FEWEST, math.ceil(width / _STRIP)))
    for low, high, count in _bands(around):
        middle = (low + high) / 2 if count else math.copysign(math.pi / 2, low)
        of_rows = _ramp(latitude - (low + high) / 2, (high - low) / 2, _BAND_OVERLAP)
        rows = of_rows.nonzero()[:, 0]
        for index in range(max(1, count)):
            heading, half = 2 * math.pi * index / max(1, count), math.pi / max(1, count)
            of_columns = torch.ones(width)
            if count:
                off = torch.remainder(longitude - heading + math.pi, 2 * math.pi) - math.pi
                of_columns = _ramp(off, half, _STRIP_OVERLAP * half)
            columns = of_columns.nonzero()[:, 0]
            target = (rows[:, None] * width + columns).view(-1)
            share = (of_rows[rows, None] * of_columns[columns]).view(-1)
            aside = sideways(torch.tensor(heading), torch.tensor(middle))
            yield _Piece(_looking(heading, middle), aside, target, share)


def _bands(around: int) -> Iterator[tuple[float, float, int]]:
    """From which latitude to which (radians, downwards), and how many strips; 0 at a pole."""
    inner = math.radians(_BANDS[0])
    yield -inner, inner, around
    for low, high, thinned in zip(_BANDS, _BANDS[1:], _THINNED[1:], strict=False):
        near, far = math.radians(low), math.radians(high)
        count = math.ceil(around / thinned) if thinned else 0
        yield near, far, count
        yield -far, -near, count


def _ramp(off: Tensor, half: float, overlap: float) -> Tensor:
    """1 within ``half`` of the middle, 0 beyond, and between them over ``overlap`` to either side."""
    return ((half + overlap - off.abs()) / (2 * overlap)).clamp(0, 1)


def _looking(longitude: float, latitude: float) -> Tensor:
    """The axes (columns: right, down, forward) of a part that looks there, upright; [3, 3] camera axes."""
    sin, cos = math.sin(longitude), math.cos(longitude)
    up, level = math.sin(latitude), math.cos(latitude)
    return torch.tensor([[cos, -sin * up, sin * level], [0.0, level, up], [-sin, -cos * up, cos * level]])


def _fitted(pieces: Iterator[_Piece], directions: Tensor, focal: float) -> list[Part]:
    """Parts as large as their pieces need, with shares that add up to 1."""
    found = [piece for piece in pieces if len(piece.target)]
    total = torch.zeros(len(directions))
    for piece in found:
        total.index_add_(0, piece.target, piece.share)
    return [_part(piece, piece.share / total[piece.target], directions[piece.target], focal) for piece in found]


def _part(piece: _Piece, share: Tensor, directions: Tensor, focal: float) -> Part:
    in_part = directions @ piece.rotation
    at = in_part[:, :2] / in_part[:, 2:] * focal
    low, high = (at.amin(0) - 1).floor(), (at.amax(0) + 1).ceil()  # with neighbours to interpolate from
    width, height = (high - low).int().tolist()
    center, stretch = (-float(low[0]), -float(low[1])), 1 / in_part[:, 2]
    return Part(piece.rotation, piece.aside, focal, (width, height), center, piece.target, at - low, share, stretch)
