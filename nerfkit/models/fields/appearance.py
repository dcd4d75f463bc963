"""What a photo's colours owe to its exposure, white balance and weather."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Rays


class Appearance:
    """Numbers learned for each training photo, given to the colour network (Martin-Brualla et al. 2021, section 4.1).

    Renders, which are no photo's, see the mean of all.
    """

    def __init__(self, photos: int, size: int, device: torch.device | str = "cpu"):
        """Args: size: numbers of a photo; with 0 there is nothing to learn."""
        self.size = size
        self.params = {"appearance": torch.zeros(photos, size, device=device).requires_grad_()} if size else {}

    def beside(self, directions: Tensor, rays: Rays) -> Tensor:
        """What the colour network is told of rays: directions as encoded [R, D], then the numbers [R, D + size]."""
        if not self.size:
            return directions
        of_photo = self.params["appearance"]
        rows = torch.cat([of_photo, of_photo.mean(0, keepdim=True)])  # the last is that of index -1
        return torch.cat([directions, rows[rays.camera_index]], 1)
