"""What each training photo's colours are of the scene's: an affine map for its exposure, white balance and flare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import RenderCore
from nerfkit.core.optim import FusedAdam
from nerfkit.data.scene import Scene
from nerfkit.models.exposure import initial

_FINAL_LR = 0.1  # what is left of the learning rate at the end


class Exposures:
    """A matrix [3, 4] of each training photo that its drawn picture goes through before the two are compared.

    As in the exposures of Kerbl et al. 2024 (A Hierarchical 3D Gaussian Representation, section 5): nearly exact,
    since an exposure multiplies ``s + 0.055`` of an sRGB value s. The mean of all photos' maps is the identity: that
    is the scene's own exposure, which renders have. Each photo's map begins as the sparse points tell it.
    """

    def __init__(self, scene: Scene, core: RenderCore, lr: float, device: torch.device):
        self.scene, self.lr, self.device = scene, lr, device
        self.identity = torch.eye(3, 4, device=device)
        self.offsets = [torch.zeros(3, 4, device=device).requires_grad_() for _ in scene.train]
        self.has_begun = False  # not before training: a run is drawn without its photos
        self.optimizer = FusedAdam([{"params": self.offsets, "lr": lr}], core)

    def expose(self, image: Tensor, photo: int, behind: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """The drawn picture [3, H, W] as training photo number ``photo`` would have it. Differentiable.

        Args:
            behind: the background [3] and how much of it is seen [H, W], where the photo has it too as it is: behind a
                mask.
        """
        if not self.has_begun:
            self.begin()
        matrix = self.identity + self.offsets[photo]
        flat = torch.addmm(matrix[:, 3:], matrix[:, :3], image.flatten(1)).view_as(image)
        if behind is None:
            return flat
        background, share = behind
        left = background - (matrix[:, :3] @ background + matrix[:, 3])
        return flat + left[:, None, None] * share

    @torch.no_grad()
    def begin(self) -> None:
        """Sets the maps to what the sparse points tell."""
        self.has_begun = True
        for offset, first in zip(self.offsets, initial(self.scene)):
            offset.copy_(first)

    @torch.no_grad()
    def center(self) -> None:
        """Makes the mean of all maps the identity."""
        mean = torch.stack(self.offsets).mean(0)
        for offset in self.offsets:
            offset -= mean

    def set_rate(self, progress: float) -> None:
        self.optimizer.param_groups[0]["lr"] = self.lr * _FINAL_LR**progress

    def state_dict(self) -> dict[str, Any]:
        states = [self.optimizer.state.get(offset, {}) for offset in self.offsets]
        zero = torch.zeros_like(self.identity)
        return {
            "offsets": torch.stack([offset.detach() for offset in self.offsets]),
            "m": torch.stack([state.get("m", zero) for state in states]),
            "v": torch.stack([state.get("v", zero) for state in states]),
            "steps": [int(state.get("step", 0)) for state in states],
            "has_begun": self.has_begun,
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.has_begun = bool(state.get("has_begun", True))
        for index, offset in enumerate(self.offsets):
            offset.copy_(state["offsets"][index])
            moments = {name: state[name][index].to(self.device, copy=True) for name in ("m", "v")}
            self.optimizer.state[offset] = {"step": int(state["steps"][index]), **moments}
