"""What each training photo's colours are of the scene's: an affine map for its exposure, white balance and flare."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.data.scene import Scene
from nerfkit.models.exposure import initial

RATE = 0.1  # of the learning rate of the field


class Exposures:
    """A matrix [3, 4] of each training photo that its rays' colours go through before they are compared.

    As Kerbl et al. 2024 (A Hierarchical 3D Gaussian Representation, section 5). The mean of all photos' maps is the
    identity: that is the scene's own exposure, which renders have. Each map begins as the sparse points tell it.
    """

    def __init__(self, scene: Scene, device: torch.device):
        self.scene, self.identity = scene, torch.eye(3, 4, device=device)
        self.offsets = torch.zeros(len(scene.train), 3, 4, device=device).requires_grad_()
        self.has_begun = False  # not before training: a run is drawn without its photos

    def expose(self, rgb: Tensor, photos: Tensor, alpha: Tensor | None = None) -> Tensor:
        """Colours [R, 3] as training photos number [P] have them, of each R / P rays, one after the other.

        Differentiable.

        Args:
            alpha: [R] that colours are premultiplied by; None: they are before a background that photos show, too.
        """
        if not self.has_begun:
            self.begin()
        matrix = self.identity + self.offsets.index_select(0, photos)
        shift = matrix[:, None, :, 3]
        of_photo = rgb.view(len(photos), -1, 3)
        if alpha is not None:
            shift = shift * alpha.view(len(photos), -1, 1)
        return (of_photo @ matrix[:, :, :3].mT + shift).view_as(rgb)

    @torch.no_grad()
    def begin(self) -> None:
        """Sets the maps to what the sparse points tell."""
        self.has_begun = True
        self.offsets.copy_(initial(self.scene))

    @torch.no_grad()
    def center(self) -> None:
        """Makes the mean of all maps the identity."""
        self.offsets -= self.offsets.mean(0)
