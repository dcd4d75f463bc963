"""What each training photo's colours are of the scene's: an affine map for its exposure, white balance and flare."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.data.exposure import TOE
from nerfkit.data.scene import Scene


class Exposures:
    """A matrix [3, 4] of each training photo that colours of the scene go through before they are compared with it.

    As in the exposures of Kerbl et al. 2024 (A Hierarchical 3D Gaussian Representation, section 5): nearly exact,
    since an exposure multiplies ``s + 0.055`` of an sRGB value s. The mean of all photos' maps is the identity: that
    is the scene's own exposure, which renders have. Each photo's map begins as the sparse points tell it.
    """

    def __init__(self, scene: Scene, device: torch.device):
        self.scene, self.identity = scene, torch.eye(3, 4, device=device)
        self.offsets = torch.zeros(len(scene.train), 3, 4, device=device)  # of the maps from the identity
        self.has_begun = False  # not before training: a run is drawn without its photos

    @torch.no_grad()
    def begin(self) -> None:
        """Sets the maps to what the sparse points tell, once."""
        if not self.has_begun:
            self.has_begun = True
            self.offsets.copy_(_initial(self.scene))

    @torch.no_grad()
    def center(self) -> None:
        """Makes the mean of all maps the identity."""
        self.offsets -= self.offsets.mean(0)


def _initial(scene: Scene) -> Tensor:
    """Offsets [T, 3, 4] of each training photo's map from the identity; zero where the points don't tell."""
    gains = scene.photo_gains
    if gains is None:
        return torch.zeros(len(scene.train), 3, 4)
    gains = gains / gains.mean(0)
    return torch.cat([torch.diag_embed(gains - 1), (TOE * (gains - 1))[:, :, None]], 2)
