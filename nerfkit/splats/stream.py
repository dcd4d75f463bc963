"""Splats that are read, changed and written block by block, so that a file of any size needs little memory.

A :class:`Splats` gives its Gaussians from the first to the last as often as it is asked; nothing is kept of them
between the blocks. :func:`load` is for whoever needs all of them at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.progress import ProgressSink
from nerfkit.splats.blocks import blocks, degree_of, select

log = logging.getLogger("nerfkit")

_SMALLEST_SCALE = 1e-20  # so that scales stay above zero in float32


@dataclass(frozen=True, eq=False)
class Splats:
    """Gaussians in blocks of one to :data:`nerfkit.splats.blocks.BLOCK`, and what is known before any is read.

    ``blocks`` gives all of them, from the first on. It raises NerfkitError: the file that they come from is damaged.
    """

    blocks: Callable[[], Iterator[Gaussians]]
    degree: int  # the SH degree of all of them
    most: int  # how many at most: a file may hold some that cannot be drawn, which are left out on the way
    antialiased: bool = False  # whether all of them are (see contracts.Gaussians)
    whole: Gaussians | None = None  # all of them, where they are in memory

    def giving(self, blocks: Callable[[], Iterator[Gaussians]], **changed: Any) -> Splats:
        """Other blocks made of these: what is known stays as it is, but for what is given."""
        return replace(self, blocks=blocks, whole=None, **changed)


def stream(splats: Splats | Gaussians) -> Splats:
    """Gaussians that are there, or what is a stream already."""
    if isinstance(splats, Splats):
        return splats
    g = splats
    return Splats(lambda: (select(g, rows) for rows in blocks(len(g))), degree_of(g), len(g), g.antialiased, g)


def in_file(
    path: Path, degree: int, most: int, decoded: Callable[[], Iterator[Gaussians]], antialiased: bool = False
) -> Splats:
    """Those of a file, without what cannot be drawn: not finite, or without an orientation. It is told once.

    Args:
        decoded: gives all rows of the file, as stored.
        antialiased: by the file's word.
    """
    told = False

    def drawable() -> Iterator[Gaussians]:
        nonlocal told
        bad = 0
        try:
            for block in decoded():
                block.scales.clamp_min_(_SMALLEST_SCALE)
                block.opacities.clamp_(0, 1)  # of glTF, which could have others; what is no number stays none
                good = sound(block)
                lost = len(block) - int(good.sum())
                bad += lost
                if lost < len(block):
                    yield replace(select(block, good) if lost else block, antialiased=antialiased)
        except OSError as error:
            raise NerfkitError(f"{path}: cannot be read ({error.strerror or error})") from None
        if bad and bad == most:
            raise NerfkitError(f"{path}: none of its {bad:,} Gaussians has finite values; it is damaged")
        if bad and not told:
            told = True
            log.warning("%s: %d of %d Gaussians have values that are not finite, and are left out", path, bad, most)

    return Splats(drawable, degree, most, antialiased)


def picked(splats: Splats, mask: Tensor) -> Splats:
    """Those for whose rows a mask [N] is true."""

    def kept() -> Iterator[Gaussians]:
        for rows, block in numbered(splats):
            if mask[rows].any():
                yield select(block, mask[rows])

    return splats.giving(kept, most=int(mask.sum()))


def changed(splats: Splats, change: Callable[[Gaussians], Gaussians], *, degree: int | None = None) -> Splats:
    """Each block changed, without regard to the others; to another SH degree, if one is given."""
    return splats.giving(lambda: map(change, splats.blocks()), degree=splats.degree if degree is None else degree)


def joined(parts: Sequence[Splats]) -> Splats:
    """Several, one after the other; parts of fewer SH bands get zeros for the others.

    Antialiased are they only where all parts are: one way of drawing has to do for the whole.
    """
    degree, antialiased = max(part.degree for part in parts), all(part.antialiased for part in parts)

    def filled() -> Iterator[Gaussians]:
        for part in parts:
            for g in part.blocks():
                lacking = (degree + 1) ** 2 - g.sh.shape[1]
                sh = torch.nn.functional.pad(g.sh, (0, 0, 0, lacking)) if lacking else g.sh
                yield replace(g, sh=sh, antialiased=antialiased)

    return Splats(filled, degree, sum(part.most for part in parts), antialiased)


def watched(splats: Splats, progress: ProgressSink, stage: str = "Gaussians") -> Splats:
    """As another, telling how far it has been gone through, each time from the start."""

    def told() -> Iterator[Gaussians]:
        done = 0
        for block in splats.blocks():
            done += len(block)
            progress(stage, done, splats.most)
            yield block

    return splats.giving(told)


def load(splats: Splats) -> Gaussians:
    """All Gaussians at once: one float32 copy of them, 56 bytes each and 12 more for each SH coefficient."""
    if splats.whole is not None:
        return splats.whole
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
