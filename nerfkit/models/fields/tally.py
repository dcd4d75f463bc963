"""What training steps on a GPU have found, heard of later: the next one needs not wait for it."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from nerfkit.models.fields.draw import Found
from nerfkit.models.fields.pace import Count

_BEHIND = 2  # steps: one that is at work, and one that waits for it


class Tally:
    """The numbers of samples of steps, two steps later."""

    def __init__(self, device: torch.device):
        self._found = torch.zeros(2, dtype=torch.int32, device=device)
        self._sent: deque[tuple[int, Tensor, torch.cuda.Event]] = deque()

    def note(self, found: Found) -> None:
        """A part of the step, which may be recorded."""
        self._found.copy_(torch.stack([found.looked_at, found.shaded]))

    def send(self, rays: int) -> None:
        """Sends off what the step of so many rays has found."""
        numbers = self._found.to("cpu", non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._sent.append((rays, numbers, arrived))

    def forget(self) -> None:
        """What was sent is of another state of the model."""
        self._sent.clear()

    def heard(self) -> Count | None:
        """What the step before the last has found; None at the beginning."""
        if len(self._sent) < _BEHIND:
            return None
        rays, numbers, arrived = self._sent.popleft()
        arrived.synchronize()
        looked_at, shaded = numbers.tolist()
        return Count(rays, looked_at, shaded)
