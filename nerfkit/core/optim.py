"""Adam through the core's fused kernel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import RenderCore


class FusedAdam:
    """Adam (Kingma & Ba 2015) with one pass over memory per step, and a learning rate per column if wanted.

    A group's ``lr`` is a float; ``columns`` [L], when given, multiplies it and repeats over the parameter's
    entries (L divides its size, and is 64 at most): SH coefficients use it to let the higher ones learn more slowly.
    It lies on the CPU, wherever the parameters do: the core hands the rates to its kernel by value.

    ``drawn`` [R], set before a step, leaves those rows of the parameters as they are whose entry is 0 (Mallick et al.
    2024, "Taming 3DGS"): Gaussians that no pixel saw would else go on by what is left of their momentum. It holds for
    one step.

    Used as an optimizer of ``torch.optim`` is, but none of them: theirs import torch's compiler when the first is made,
    for which every training would wait a second or two.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        core: RenderCore,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-15,
    ):
        usual = {"betas": betas, "eps": eps, "columns": torch.ones(1)}
        self.param_groups = [{**usual, **group, "params": list(group["params"])} for group in groups]
        self.state: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.core = core
        self.drawn: Tensor | None = None

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for group in self.param_groups:
            for param in group["params"]:
                param.grad = None

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            lr = group["columns"] * group["lr"]
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state.update(step=0, m=torch.zeros_like(param), v=torch.zeros_like(param))
                if "flat" not in state:  # views, made once: a GPU waits for each
                    state["flat"] = [array.view(-1) for array in (param.detach(), state["m"], state["v"])]
                state["step"] += 1
                flat, m, v = state["flat"]
                grad = param.grad.reshape(-1)
                self.core.adam(flat, grad, m, v, state["step"], lr, group["betas"], group["eps"], self.drawn)
        self.drawn = None

    def moments(self, params: Mapping[Any, Tensor]) -> dict[Any, dict[str, Any]]:
        """``m``, ``v`` and ``step`` of the parameters that had a step, by their names: what a checkpoint keeps."""
        had_steps = {name: self.state[param] for name, param in params.items() if self.state.get(param)}
        return {name: {part: state[part] for part in ("m", "v", "step")} for name, state in had_steps.items()}

    def restore(self, params: Mapping[Any, Tensor], moments: Mapping[Any, Mapping[str, Any]]) -> None:
        """Goes on from :meth:`moments`, of parameters that may lie elsewhere now."""
        self.state.clear()
        for name, param in params.items():
            if name in moments:
                saved = {part: moments[name][part].to(param.device, copy=True) for part in ("m", "v")}
                self.state[param] = {"step": int(moments[name]["step"]), **saved}

    def replace(self, param: Tensor, new: Tensor, update: Callable[[Tensor], Tensor]) -> None:
        """Puts ``new`` in place of ``param`` and carries its moments over through ``update``."""
        state: Mapping[str, Any] = self.state.pop(param, {})
        for group in self.param_groups:
            group["params"] = [new if p is param else p for p in group["params"]]
        if state:
            self.state[new] = {"step": state["step"], "m": update(state["m"]), "v": update(state["v"])}
