"""Marched rays in rooms of a fixed size."""

from __future__ import annotations

import pytest
import torch

from nerfkit.contracts import Rays
from nerfkit.core import choose_core
from nerfkit.core.packing import SPARE
from nerfkit.models.fields.draw import Drawn, Room
from nerfkit.models.fields.marcher import Marcher
from nerfkit.models.fields.space import Space
from nerfkit.models.ngp.config import Config
from nerfkit.models.ngp.field import NgpField

RAYS = 40
SMALL = Config(log2_size=12, levels=4, finest=64).for_device("cpu")


def some_rays() -> Rays:
    """From all around, to near the middle; the last one misses the cube."""
    rng = torch.Generator().manual_seed(0)
    origins = 2.5 * torch.nn.functional.normalize(torch.randn(RAYS, 3, generator=rng), dim=1)
    directions = torch.nn.functional.normalize(0.3 * torch.randn(RAYS, 3, generator=rng) - origins, dim=1)
    directions[-1] *= -1
    return Rays(origins, directions, torch.zeros(RAYS, dtype=torch.int64))


def drawn_in(room: Room | None) -> tuple[Drawn, dict[str, torch.Tensor], torch.Tensor]:
    """What is drawn, the field's gradients by the rays that are whole, and whether each ray is."""
    core, space, rng = choose_core(), Space(first_log_density=4.0), torch.Generator().manual_seed(1)
    field = NgpField(SMALL, space, 1, core, rng)
    possible = torch.rand(1, 32, 32, 32, generator=rng) < 0.5
    marcher = Marcher(space, possible, core, 64, 0.02)
    drawn = marcher.draw(field, some_rays(), torch.Generator().manual_seed(2), room)[-1]
    whole = torch.ones(RAYS, dtype=torch.bool) if drawn.found is None else drawn.found.whole
    light = torch.rand(RAYS, 3, generator=rng)
    (drawn.over(torch.tensor([0.1, 0.4, 0.7])) * light)[whole].sum().backward()
    return drawn, {name: of.grad for name, of in field.params.items() if of.grad is not None}, whole


def test_what_fits_is_drawn_and_learned_from_as_without_a_room() -> None:
    free, gradients, _ = drawn_in(None)
    looked_at, shaded = free.looked_at, free.shaded
    assert shaded < looked_at and len(gradients) >= 3
    drawn, same, whole = drawn_in(Room(looked_at + 333, shaded + 111))
    assert drawn.found is not None and drawn.shaded == shaded + 111 and bool(whole.all())
    assert (int(drawn.found.looked_at), int(drawn.found.shaded)) == (looked_at, shaded)
    assert torch.equal(drawn.rgb, free.rgb) and torch.equal(drawn.transmittance, free.transmittance)
    assert torch.equal(drawn.weights[:shaded], free.weights) and not drawn.weights[shaded:].any()
    for name, gradient in gradients.items():
        torch.testing.assert_close(same[name], gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("short", ["looked_at", "shaded"])
def test_rays_that_do_not_fit_are_known(short: str) -> None:
    free, _, _ = drawn_in(None)
    halves = {"looked_at": Room(free.looked_at // 2, free.shaded), "shaded": Room(free.looked_at + 1, free.shaded // 2)}
    room = halves[short]
    drawn, _, whole = drawn_in(room)
    assert drawn.found is not None and drawn.shaded == room.shaded
    assert RAYS // 4 < int(whole.sum()) < 3 * RAYS // 4
    assert torch.equal(drawn.rgb[whole], free.rgb[whole])
    first_cut = int(whole.long().argmin())
    assert bool(whole[:first_cut].all()) and not whole[first_cut:].any()
    assert bool(free.rgb[first_cut + 1 :].any()) and not drawn.rgb[first_cut + 1 :].any()
    assert len(drawn.samples.offsets) == RAYS + SPARE + 1 and int(drawn.samples.offsets[-1]) == room.shaded
