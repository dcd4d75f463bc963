"""How many rays a training step takes, so that their samples fill a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nerfkit.models.fields.draw import Room

MOST_RAYS = 1 << 15
LOOKED_AT_PER_SAMPLE = 4  # samples that are only looked at cost a fraction of those that are shaded
_FASTEST = 2.0  # growth from step to step
_FILLED = 0.9  # of a room, where what doesn't fit is lost…
_OVERFULL = 0.7  # of the rays are left where the room was full: how many would fit isn't known then
_KEEPS_RAYS = 0.92, 1.2  # by how much the number of rays may be off until it changes…
_KEEPS_ROOM = 0.5, 1.0  # …and how full the room for what is looked at may be, less that margin
_HEARD = 8  # steps whose mean is asked: photos differ…
_FAR_OFF = 1.5  # …or one, if there could be so many times as many rays
_PARTS = 4  # of a batch, by which that room changes


@dataclass(frozen=True)
class Count:
    """Samples of a training step."""

    rays: int
    looked_at: int
    shaded: int


class Pace:
    """The number of rays, and the room for samples, that the next step is to have."""

    def __init__(self, batch: int, rays: int):
        """Args: batch: samples to shade in a step. rays: to begin with."""
        self.batch, self.rays = batch, rays
        self.room = Room(LOOKED_AT_PER_SAMPLE * batch, batch)
        self._heard: list[Count] = []  # of steps with as many rays

    def follow(self, count: Count) -> None:
        """Takes as many rays as would have filled the batch."""
        self.rays = _times(count.rays, self._share(count))

    def follow_seldom(self, count: Count) -> None:
        """Nearly fills a room, and changes only what is off by far: steps are recorded anew for it."""
        if count.rays != self.rays:  # which has changed since
            return
        self._heard.append(count)
        if len(self._heard) < _HEARD and self._share(count) * _FILLED < _FAR_OFF:
            return
        count, self._heard = _mean(self._heard), []
        share = self._share(count) * (_FILLED if count.shaded < self.batch else _OVERFULL)
        if not _KEEPS_RAYS[0] <= share <= _KEEPS_RAYS[1]:
            self.rays = _times(self.rays, share)
        wanted = count.looked_at * self.rays / count.rays / _FILLED
        if not _KEEPS_ROOM[0] <= wanted / self.room.looked_at <= _KEEPS_ROOM[1]:
            parts = min(math.ceil(wanted / self.batch * _PARTS) + 1, LOOKED_AT_PER_SAMPLE * _PARTS)
            self.room = Room(parts * self.batch // _PARTS, self.batch)

    def _share(self, count: Count) -> float:
        """By how much there could have been more rays."""
        of_looked_at = LOOKED_AT_PER_SAMPLE * self.batch / max(1, count.looked_at)
        return min(self.batch / max(1, count.shaded), of_looked_at, _FASTEST)


def _mean(counts: Sequence[Count]) -> Count:
    """Of steps with as many rays."""
    looked_at, shaded = sum(count.looked_at for count in counts), sum(count.shaded for count in counts)
    return Count(counts[0].rays, looked_at // len(counts), shaded // len(counts))


def _times(rays: int, share: float) -> int:
    return max(1, min(int(rays * share), MOST_RAYS))
