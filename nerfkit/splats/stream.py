"""Splats that are read, changed and written block by block, so that a file of any size needs little memory.

A :class:`Splats` gives its Gaussians from the first to the last as often as it is asked; nothing is kept of them
between the blocks. :func:`load` is for whoever needs all of them at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.progress import ProgressSink
from nerfkit.splats.blocks import blocks, degree_of, select

log = logging.getLogger("nerfkit")

_SMALLEST_SCALE = 1e-20  # so that scales stay above zero in float32


class Splats(Protocol):
    """Gaussians in blocks of one to :data:`nerfkit.splats.blocks.BLOCK`."""

    @property
    def degree(self) -> int:
        """The SH degree of all of them."""

    @property
    def most(self) -> int:
        """How many there are at most: a file may hold some that cannot be drawn, which are left out on the way."""

    @property
    def antialiased(self) -> bool:
        """Whether all of them are (see :class:`nerfkit.contracts.Gaussians`)."""

    def blocks(self) -> Iterator[Gaussians]:
        """All of them, from the first on. Raises NerfkitError: the file that they come from is damaged."""


@dataclass(frozen=True, eq=False)
class InMemory:
    """Gaussians that are there."""

    gaussians: Gaussians

    @property
    def degree(self) -> int:
        return degree_of(self.gaussians)

    @property
    def most(self) -> int:
        return len(self.gaussians)

    @property
    def antialiased(self) -> bool:
        return self.gaussians.antialiased

    def blocks(self) -> Iterator[Gaussians]:
        for rows in blocks(len(self.gaussians)):
            yield select(self.gaussians, rows)


@dataclass(eq=False)
class InFile:
    """Those of a file, without what cannot be drawn: not finite, or without an orientation. It is told once."""

    path: Path
    degree: int
    most: int
    decoded: Callable[[], Iterator[Gaussians]]  # all rows of the file, as stored
    antialiased: bool = False  # by the file's word
    _told: bool = False

    def blocks(self) -> Iterator[Gaussians]:
        bad = 0
        try:
            for block in self.decoded():
                block.scales.clamp_min_(_SMALLEST_SCALE)
                block.opacities.clamp_(0, 1)  # of glTF, which could have others; what is no number stays none
                good = sound(block)
                lost = len(block) - int(good.sum())
                bad += lost
                if lost < len(block):
                    yield replace(select(block, good) if lost else block, antialiased=self.antialiased)
        except OSError as error:
            raise NerfkitError(f"{self.path}: cannot be read ({error.strerror or error})") from None
        if bad and bad == self.most:
            raise NerfkitError(f"{self.path}: none of its {bad:,} Gaussians has finite values; it is damaged")
        if bad and not self._told:
            self._told = True
            told = "%s: %d of %d Gaussians have values that are not finite, and are left out"
            log.warning(told, self.path, bad, self.most)


@dataclass(frozen=True, eq=False)
class Picked:
    """Those for whose rows a mask [N] is true."""

    splats: Splats
    mask: Tensor
    most: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "most", int(self.mask.sum()))

    @property
    def degree(self) -> int:
        return self.splats.degree

    @property
    def antialiased(self) -> bool:
        return self.splats.antialiased

    def blocks(self) -> Iterator[Gaussians]:
        for rows, block in numbered(self.splats):
            kept = self.mask[rows]
            if kept.any():
                yield select(block, kept)


@dataclass(frozen=True, eq=False)
class Changed:
    """Each block changed, without regard to the others."""

    splats: Splats
    change: Callable[[Gaussians], Gaussians]
    degree: int

    @property
    def most(self) -> int:
        return self.splats.most

    @property
    def antialiased(self) -> bool:
        return self.splats.antialiased

    def blocks(self) -> Iterator[Gaussians]:
        return map(self.change, self.splats.blocks())


@dataclass(frozen=True, eq=False)
class Joined:
    """Several, one after the other; parts of fewer SH bands get zeros for the others.

    Antialiased are they only where all parts are: one way of drawing has to do for the whole.
    """

    parts: Sequence[Splats]

    @property
    def degree(self) -> int:
        return max(part.degree for part in self.parts)

    @property
    def most(self) -> int:
        return sum(part.most for part in self.parts)

    @property
    def antialiased(self) -> bool:
        return all(part.antialiased for part in self.parts)

    def blocks(self) -> Iterator[Gaussians]:
        coefficients = (self.degree + 1) ** 2
        for part in self.parts:
            for g in part.blocks():
                lacking = coefficients - g.sh.shape[1]
                sh = torch.nn.functional.pad(g.sh, (0, 0, 0, lacking)) if lacking else g.sh
                yield Gaussians(g.means, g.quats, g.scales, g.opacities, sh, self.antialiased)


@dataclass(frozen=True, eq=False)
class Watched:
    """As another, telling how far it has been gone through, each time from the start."""

    splats: Splats
    progress: ProgressSink
    stage: str = "Gaussians"

    @property
    def degree(self) -> int:
        return self.splats.degree

    @property
    def most(self) -> int:
        return self.splats.most

    @property
    def antialiased(self) -> bool:
        return self.splats.antialiased

    def blocks(self) -> Iterator[Gaussians]:
        done = 0
        for block in self.splats.blocks():
            done += len(block)
            self.progress(self.stage, done, self.most)
            yield block


def stream(splats: Splats | Gaussians) -> Splats:
    return InMemory(splats) if isinstance(splats, Gaussians) else splats


def load(splats: Splats) -> Gaussians:
    """All Gaussians at once: one float32 copy of them, 56 bytes each and 12 more for each SH coefficient."""
    if isinstance(splats, InMemory):
        return splats.gaussians
    out = replace(empty(splats.most, splats.degree), antialiased=splats.antialiased)
    count = 0
    for rows, block in numbered(splats):
        put(out, rows, block)
        count = rows.stop
    return out if count == len(out) else select(out, slice(0, count))


def numbered(splats: Splats) -> Iterator[tuple[slice, Gaussians]]:
    """The blocks with the rows that they are."""
    start = 0
    for block in splats.blocks():
        yield slice(start, start + len(block)), block
        start += len(block)


def gather(splats: Splats, part: Callable[[Gaussians], Tensor]) -> Tensor:
    """What ``part`` gives of each block [n, ...], of all [N, ...]."""
    out: Tensor | None = None
    count = 0
    for rows, block in numbered(splats):
        found = part(block)
        if out is None:
            out = found.new_empty(splats.most, *found.shape[1:])
        out[rows] = found
        count = rows.stop
    return torch.empty(0) if out is None else out[:count]


def empty(count: int, degree: int) -> Gaussians:
    """Room for Gaussians of an SH degree."""
    sh = torch.empty(count, (degree + 1) ** 2, 3)
    return Gaussians(torch.empty(count, 3), torch.empty(count, 4), torch.empty(count, 3), torch.empty(count), sh)


def put(out: Gaussians, rows: slice | Tensor, block: Gaussians) -> None:
    """Copies a block to rows of others: a slice, or an index for each of its own."""
    out.means[rows], out.quats[rows], out.scales[rows] = block.means, block.quats, block.scales
    out.opacities[rows], out.sh[rows] = block.opacities, block.sh


def sound(g: Gaussians) -> Tensor:
    """Which can be drawn [N]: all values are finite, and there is an orientation."""
    parts = (g.means, g.quats, g.scales, g.opacities[:, None], g.sh.flatten(1))
    finite = torch.stack([part.isfinite().all(1) for part in parts]).all(0)
    lengths = g.quats.norm(dim=1)  # 0 or infinite also where float32 doesn't hold their squares
    return finite & (lengths > 0) & lengths.isfinite()
