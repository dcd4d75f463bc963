"""What a recorded training step must be: the step itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.models.fields.proposals import Proposals
from nerfkit.train.passes import Passes

SETTLE = 20  # steps after which the number of rays stays
LEARNING, LED = 0, 1001  # numbers of steps in which guides learn, and are only followed


def assert_recorded_as_done(model: Any, device: torch.device, tolerance: float) -> None:
    """Losses and gradients of steps that are recorded are those of the same steps done.

    Args:
        tolerance: relative, of losses and of the norm of each gradient's difference.
    """
    passes, rng = Passes(model, device), torch.Generator().manual_seed(0)
    for _ in range(SETTLE):
        passes.run(0.5, rng)
        model.after_step(0.5)
    guided = isinstance(model.sampler, Proposals)
    for count in (LEARNING, LED) if guided else (LED,):
        model.sampler.count = count
        passes._recordings.clear()
        passes._seen.clear()
        done = [found(passes, rng, seed) for seed in (0, 1, 0)][:2]
        assert not passes._recordings
        recorded = [found(passes, rng, seed) for seed in (0, 1)]
        assert len(passes._recordings) == 1 and done[0]["loss photo"] != done[1]["loss photo"]
        for one, other in zip(done, recorded, strict=True):
            assert one.keys() == other.keys()
            assert any(name.startswith("guide") for name in one) == (count == LEARNING and guided)
            for name, value in one.items():
                difference = float((other[name] - value).norm() / value.norm().clamp_min(1e-20))
                assert difference <= tolerance, (name, difference)


def found(passes: Passes, rng: torch.Generator, seed: int) -> dict[str, Tensor]:
    model: Any = passes.model
    rng.manual_seed(seed)
    model.batches.queue = []
    losses, total = passes.run(0.5, rng)
    gradients = {name: parameter.grad for name, parameter in model.params.items()}
    values = {f"loss {name}": value for name, value in losses.items()} | {"loss": total}
    return {name: value.cpu().clone() for name, value in (values | gradients).items() if value is not None}
