"""Exposures of photos that are compared as whole pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import RenderCore
from nerfkit.core.optim import FusedAdam
from nerfkit.data.scene import Scene
from nerfkit.models.exposure import Exposures

_FINAL_LR = 0.1  # what is left of the learning rate at the end


class PictureExposures(Exposures):
    """Maps for one photo at a time: each is a parameter of its own, so that its moments rest while others are drawn."""

    def __init__(self, scene: Scene, core: RenderCore, lr: float, device: torch.device):
        super().__init__(scene, device)
        self.lr = lr
        self.parameters = [self.offsets[photo].requires_grad_() for photo in range(len(scene.train))]  # in its memory
        self.optimizer = FusedAdam([{"params": self.parameters, "lr": lr}], core)

    def expose(self, image: Tensor, photo: int, behind: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """The drawn picture [3, H, W] as training photo number ``photo`` would have it. Differentiable.

        Args:
            behind: the background [3] and how much of it is seen [H, W], where the photo has it too as it is: behind a
                mask.
        """
        self.begin()
        matrix = self.identity + self.parameters[photo]
        flat = torch.addmm(matrix[:, 3:], matrix[:, :3], image.flatten(1)).view_as(image)
        if behind is None:
            return flat
        background, share = behind
        left = background - (matrix[:, :3] @ background + matrix[:, 3])
        return flat + left[:, None, None] * share

    def set_rate(self, progress: float) -> None:
        self.optimizer.param_groups[0]["lr"] = self.lr * _FINAL_LR**progress

    def state_dict(self) -> dict[str, Any]:
        moments = self.optimizer.moments(dict(enumerate(self.parameters)))
        zero = torch.zeros_like(self.identity)
        states = [moments.get(photo, {"m": zero, "v": zero, "step": 0}) for photo in range(len(self.parameters))]
        return {
            "offsets": self.offsets,
            "m": torch.stack([state["m"] for state in states]),
            "v": torch.stack([state["v"] for state in states]),
            "steps": [int(state["step"]) for state in states],
            "has_begun": self.has_begun,
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.has_begun = bool(state.get("has_begun", True))
        self.offsets.copy_(state["offsets"])
        parts = zip(state["m"], state["v"], state["steps"])
        moments = {photo: {"m": m, "v": v, "step": step} for photo, (m, v, step) in enumerate(parts)}
        self.optimizer.restore(dict(enumerate(self.parameters)), moments)
