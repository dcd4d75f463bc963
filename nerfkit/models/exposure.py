"""What photos' exposures are to models that learn them: affine maps that begin as the sparse points tell."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.data import exposure
from nerfkit.data.scene import Scene


def initial(scene: Scene) -> Tensor:
    """Offsets [T, 3, 4] of each training photo's map from the identity; zero where the points don't tell."""
    gains = exposure.gains(scene)
    if gains is None:
        return torch.zeros(len(scene.train), 3, 4)
    gains = gains / gains.mean(0)
    return torch.cat([torch.diag_embed(gains - 1), (exposure.TOE * (gains - 1))[:, :, None]], 2)
