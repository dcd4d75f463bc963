"""The forward and the backward pass of a training step.

A step of a neural field is a hundred small kernels, which a GPU does faster than Python can launch them: an H200 had
nothing to do for 72 % of a step of NGP. Where a model's steps are fixed (:class:`nerfkit.contracts.HasFixedSteps`),
both passes are recorded as a CUDA graph, which is launched as one.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nerfkit.contracts import FixedStep, HasFixedSteps, SceneModel
from nerfkit.train.graphs import Graphs, Outputs

_REHEARSALS = 3  # of a kind of step before it is recorded
_MOST = 4  # recordings that are kept: each holds a step's memory

log = logging.getLogger("nerfkit")


@dataclass(frozen=True)
class _Recording:
    inputs: Sequence[Tensor]
    names: Sequence[str]  # of the losses
    outputs: Outputs  # the losses, their sum, and the parameters' gradients
    replay: Callable[[], None]


class Passes:
    """Finds losses and leaves gradients in a model's parameters."""

    def __init__(self, model: SceneModel, device: torch.device):
        self.model = model
        self._graphs: Graphs | None = None
        if device.type == "cuda" and isinstance(model, HasFixedSteps) and os.environ.get("NERFKIT_GRAPHS") != "off":
            self._graphs = Graphs(device)
        self._can_record = True
        self._seen: Counter[Hashable] = Counter()  # rehearsals of each kind
        self._recordings: dict[Hashable, _Recording] = {}

    def run(self, progress: float, rng: torch.Generator) -> tuple[Mapping[str, Tensor], Tensor]:
        """The losses and their sum, detached."""
        step = None
        if self._graphs is not None:
            assert isinstance(self.model, HasFixedSteps)
            step = self.model.fixed_step(rng)
        if step is None:
            losses = self.model.losses(progress, rng)
            total = backward(losses)
            return {name: value.detach() for name, value in losses.items()}, total
        return self._fixed(step)

    def _fixed(self, step: FixedStep) -> tuple[Mapping[str, Tensor], Tensor]:
        assert self._graphs is not None
        recording = self._recordings.get(step.kind)
        if recording is None and self._can_record and self._seen[step.kind] >= _REHEARSALS:
            recording = self._record(step)
        if recording is not None:
            for own, given in zip(recording.inputs, step.inputs, strict=True):
                own.copy_(given, non_blocking=True)
            recording.replay()
            return self._taken(recording.names, recording.outputs)
        self._seen[step.kind] += 1
        names: list[str] = []
        return self._taken(names, self._graphs.rehearse(lambda: self._work(step, step.inputs, names)))

    def _record(self, step: FixedStep) -> _Recording | None:
        """A recording of such a step; None, and none of any other, where a GPU doesn't record it."""
        assert self._graphs is not None
        inputs = [tensor.clone() for tensor in step.inputs]
        names: list[str] = []
        try:
            outputs, replay = self._graphs.record(lambda: self._work(step, inputs, names), step.rng)
        except RuntimeError as error:
            log.warning("steps can't be recorded, and are launched kernel by kernel: %s", str(error).partition("\n")[0])
            self._can_record = False
            return None
        while len(self._recordings) >= _MOST:
            del self._recordings[next(iter(self._recordings))]
        self._recordings[step.kind] = _Recording(inputs, names, outputs, replay)
        return self._recordings[step.kind]

    def _work(self, step: FixedStep, inputs: Sequence[Tensor], names: list[str]) -> Outputs:
        for parameter in parameters_of(self.model):
            parameter.grad = None
        losses = step.losses(*inputs)
        names[:] = losses
        total = backward(losses)
        return [*(value.detach() for value in losses.values()), total, *(p.grad for p in parameters_of(self.model))]

    def _taken(self, names: Sequence[str], outputs: Outputs) -> tuple[Mapping[str, Tensor], Tensor]:
        """The losses and their sum, of the outputs, whose gradients the parameters get."""
        for parameter, gradient in zip(parameters_of(self.model), outputs[len(names) + 1 :], strict=True):
            parameter.grad = gradient
        losses = {name: value for name, value in zip(names, outputs) if value is not None}
        total = outputs[len(names)]
        assert total is not None
        return losses, total


def parameters_of(model: SceneModel) -> list[Tensor]:
    """All that a model's optimizers change."""
    groups = [group for optimizer in model.optimizers.values() for group in optimizer.param_groups]
    return [parameter for group in groups for parameter in group["params"]]


def backward(losses: Mapping[str, Tensor]) -> Tensor:
    """Gradients of the losses' sum, which is given, detached: what it was computed from must not outlive the step."""
    values = list(losses.values())
    total = values[0] if len(values) == 1 else torch.stack(values).sum()
    if not total.requires_grad:
        return total
    # In this thread: that of PyTorch's own for a GPU would have to be woken, and waited for, in every step.
    with torch.autograd.set_multithreading_enabled(False):
        total.backward()  # type: ignore[no-untyped-call]
    return total.detach()
