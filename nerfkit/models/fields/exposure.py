"""Exposures of photos that are compared by their rays."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.data.scene import Scene
from nerfkit.models.exposure import Exposures

RATE = 0.1  # of the learning rate of the field


class RayExposures(Exposures):
    """Maps for rays of any photos at once; one parameter among those of the field."""

    def __init__(self, scene: Scene, device: torch.device):
        super().__init__(scene, device)
        self.offsets.requires_grad_()

    def expose(self, rgb: Tensor, photos: Tensor, alpha: Tensor | None = None) -> Tensor:
        """Colours [R, 3] as training photos number [P] have them, of each R / P rays, one after the other.

        Differentiable.

        Args:
            alpha: [R] that colours are premultiplied by; None: they are before a background that photos show, too.
        """
        self.begin()
        matrix = self.identity + self.offsets.index_select(0, photos)
        shift = matrix[:, None, :, 3]
        of_photo = rgb.view(len(photos), -1, 3)
        if alpha is not None:
            shift = shift * alpha.view(len(photos), -1, 1)
        return (of_photo @ matrix[:, :, :3].mT + shift).view_as(rgb)
