"""Packed samples in arrays whose size is settled before the samples are counted: a GPU needs not be waited for."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Rays

SPARE = 1024  # rays that share what room is left: so many, since a thread of a GPU goes along each of them


def fitted(offsets: Tensor, room: int) -> Tensor:
    """The offsets [R + 1] int32 of rays in arrays for ``room`` samples.

    Rays whose samples don't all fit get fewer. Where all do, the last :data:`SPARE` rays share the places left.

    Args:
        offsets: [R + 1] int32, of all samples there are; the last :data:`SPARE` rays have none.
    """
    offsets = offsets.clamp_max(room)
    used = offsets[-1]
    share = torch.arange(SPARE + 1, device=offsets.device)
    offsets[first_spare(offsets) :] = used + (room - used) * share // SPARE
    return offsets


def first_spare(offsets: Tensor) -> int:
    """The first of the spare rays among those with ``offsets``."""
    return len(offsets) - 1 - SPARE


def used_of(offsets: Tensor) -> Tensor:
    """The number [] of samples in ``offsets`` (:func:`fitted`) that are not those of spare rays."""
    return offsets[first_spare(offsets)]


def are_whole(offsets: Tensor, room: int) -> Tensor:
    """Which rays, but for the spare ones, surely have all of their samples in ``offsets`` (:func:`fitted`)."""
    return offsets[1:-SPARE] < room


def with_spares(rays: Rays) -> Rays:
    """The rays, and :data:`SPARE` more, of no camera."""
    pad = torch.nn.functional.pad
    directions = pad(rays.directions, (0, 0, 0, SPARE))
    directions[-SPARE:, 2] = 1
    radii = None if rays.radii is None else pad(rays.radii, (0, SPARE))
    return Rays(pad(rays.origins, (0, 0, 0, SPARE)), directions, pad(rays.camera_index, (0, SPARE), value=-1), radii)
