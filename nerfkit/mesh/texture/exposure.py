"""Photos made alike: exposure and white balance as a gain of each photo and channel, and which photos are outliers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_ROUNDS = 12
_DARK, _BRIGHT = 12, 243  # values outside say little about the gain: noise and clipping
_HUBER = 0.06  # of the logarithm: beyond, highlights and wrong geometry count less
# Belief that a photo needs no gain, as a share of what its points say: against drift along chains of photos.
_PRIOR = 0.03
_SPREAD = 2.5  # times the usual deviation from the median: there a photo counts half
_AT_ONCE = 1 << 24  # sightings of points: of more, intermediate results would fill gigabytes
_LEAST_DEVIATION = 4.0  # of 255: what photos of a matt surface may differ by


@dataclass(frozen=True)
class Survey:
    """What the V photos show at M points spread over the surface."""

    color: np.ndarray  # [V, M, 3] uint8, of blurred photos
    weight: np.ndarray  # [V, M] float32; 0 where the photo doesn't see the point
    detail: np.ndarray  # [V, M] float32, how far the photo itself differs there from the blurred one

    def part(self, points: slice) -> Survey:
        """Of some of the points."""
        return Survey(self.color[:, points], self.weight[:, points], self.detail[:, points])


def linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB 0..255 to light 0..1 (IEC 61966-2-1)."""
    x = np.asarray(srgb, np.float64) / 255
    light: np.ndarray = np.where(x <= 0.04045, x / 12.92, ((np.maximum(x, 0) + 0.055) / 1.055) ** 2.4)
    return light


def srgb(light: np.ndarray) -> np.ndarray:
    """The inverse of :func:`linear`; light above 1 gives values above 255."""
    x = np.maximum(light, 0)
    value: np.ndarray = 255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return value


def solve_gains(survey: Survey) -> np.ndarray:
    """log of each photo's gain [V, 3]; their mean is 0.

    With log light l of photo v at point m: minimises ``sum of w rho(l[v, m] - g[v] - r[m])`` over gains g and the
    points' own radiance r, in turn, with Huber's rho by reweighting, and a prior that pulls gains
    to 0: what only a long chain of photos says of another is not believed. Of very many sightings some points' are
    looked at, which are spread as all are.
    """
    survey = survey.part(slice(None, None, math.ceil(max(1, survey.weight.size) / _AT_ONCE)))
    usable = (survey.weight > 0) & ((survey.color > _DARK) & (survey.color < _BRIGHT)).all(2)
    usable &= usable.sum(0) >= 2
    views = len(usable)
    if not usable.any():
        return np.zeros((views, 3), np.float32)
    point, view = np.nonzero(usable.T)  # most photos don't see most points
    weight = np.sqrt(survey.weight[view, point] / survey.weight.max())
    sightings = _Sightings(view, weight, np.flatnonzero(np.diff(point, prepend=-1)), views)
    light = np.log(np.maximum(linear(np.arange(256)), 1e-6)).astype(np.float32)
    found = [_solve_gain(light[survey.color[view, point, channel]], sightings) for channel in range(3)]
    gains, errors = (np.stack(parts, -1) for parts in zip(*found, strict=True))
    return gains * _evidence(errors, view, gains)[:, None]


@dataclass(frozen=True)
class _Sightings:
    """S sightings of points by photos, those of a point side by side."""

    view: np.ndarray  # [S]
    weight: np.ndarray  # [S] float32
    first: np.ndarray  # [P], of each point
    views: int

    def of_points(self, values: np.ndarray) -> np.ndarray:
        """Sums [P] of values [S]."""
        total: np.ndarray = np.add.reduceat(values, self.first)
        return total

    def of_views(self, values: np.ndarray) -> np.ndarray:
        """Sums [V]."""
        return np.bincount(self.view, values, self.views)


def _solve_gain(light: np.ndarray, sightings: _Sightings) -> tuple[np.ndarray, np.ndarray]:
    """Of one channel's log light [S]: gains [V] float32, and how much brighter than the points' own all are [S]."""
    count = np.diff(sightings.first, append=len(light))
    gains: np.ndarray = np.zeros(sightings.views, np.float32)
    robust = np.ones_like(light)
    for _ in range(_ROUNDS):
        w = sightings.weight * robust
        own = sightings.of_points((light - gains[sightings.view]) * w) / np.maximum(sightings.of_points(w), 1e-12)
        error = light - np.repeat(own, count)
        gains = sightings.of_views(error * w) / np.maximum((1 + _PRIOR) * sightings.of_views(w), 1e-12)
        gains = (gains - gains.mean()).astype(np.float32)
        robust = np.minimum(1, _HUBER / np.maximum(np.abs(error - gains[sightings.view]), 1e-6))
    return gains, error


def _evidence(error: np.ndarray, view: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Of each photo [V], 0..1: how far its gain is believed, ``1 - (spread / gain)^2`` where that is positive.

    An exposure changes all that a photo shows alike. Where its points differ by more than the gain, it is the surface
    that looks another way from there (gloss, or a shape that is wrong), and the gain is what these happen to sum up to.

    Args:
        error: [S, 3] of sightings, by photos ``view`` [S].
    """
    out = np.zeros(len(gains))
    off = np.abs(error - gains[view])[np.argsort(view, kind="stable")]
    ends = np.cumsum(np.bincount(view, minlength=len(gains)))
    for number, own in enumerate(np.split(off, ends[:-1])):
        if len(own):
            spread = 1.4826 * np.median(own, axis=0)
            out[number] = max(0.0, 1 - float((spread**2).sum()) / max(float((gains[number] ** 2).sum()), 1e-12))
    return out


def table_of(gain: np.ndarray) -> np.ndarray:
    """What a photo's values become when its gain [3] (log) is undone: [3, 256] float32, at most 255."""
    values = srgb(linear(np.arange(256))[None] * np.exp(-gain.astype(np.float64))[:, None])
    return np.clip(values, 0, 255).astype(np.float32)


def agreement(survey: Survey, tables: np.ndarray) -> np.ndarray:
    """How far each photo is believed at each point, [V, M] float32 in (0, 1].

    Where three photos or more see a point, those count less that differ from the weighted median of all by more than
    is usual among them there: something moved, or the surface is not where the mesh is.
    """
    views, points = survey.weight.shape
    belief = np.empty((views, points), np.float32)
    few = max(1, _AT_ONCE // max(1, views))
    for part in (slice(start, start + few) for start in range(0, points, few)):
        belief[:, part] = _agreement(survey.part(part), tables)
    return belief


def _agreement(survey: Survey, tables: np.ndarray) -> np.ndarray:
    views, points = survey.weight.shape
    error = np.zeros((views, points), np.float32)
    for channel in range(3):
        color = np.stack([tables[v, channel][survey.color[v, :, channel]] for v in range(views)])
        error = np.maximum(error, np.abs(color - weighted_median(color, survey.weight)))
    usual = np.maximum(1.4826 * weighted_median(error, survey.weight), _LEAST_DEVIATION)
    belief = 1 / (1 + (error / (_SPREAD * usual)) ** 4)
    enough = (survey.weight > 0).sum(0) >= 3
    return np.where(enough, belief, 1).astype(np.float32)


def weighted_median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Of each column of [V, M], where weights [V, M] are not all 0: [M]."""
    order = np.argsort(values, axis=0)
    until = np.cumsum(np.take_along_axis(weight, order, 0), axis=0)
    middle = (until < until[-1] / 2).sum(0).clip(0, len(values) - 1)
    columns = np.arange(values.shape[1])
    found: np.ndarray = values[order[middle, columns], columns]
    return found


def sharpness(survey: Survey) -> np.ndarray:
    """Of each photo relative to the others that see the same points, [V] in 0.1..1: blurred photos show less detail."""
    seen = survey.weight > 0
    usual = (survey.detail * seen).sum(0) / np.maximum(seen.sum(0), 1)  # [M]
    ratio = (survey.detail * seen).sum(1) / np.maximum((usual * seen).sum(1), 1e-6)
    return np.clip(ratio, 0.1, 1.0)
