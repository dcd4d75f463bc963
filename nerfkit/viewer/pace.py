"""How large the next picture is: what a machine draws in time while the camera moves, finer step by step at rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from nerfkit.contracts import Channel
from nerfkit.viewer.camera import Size

FIRST = 0.15  # seconds for a picture of a new view: with its way to the page it is there within 0.3
GROWTH = 4.0  # times the pixels of the next picture of the same view: twice the width and height
_FEWEST = 32  # pixels of a picture's longer side


@dataclass
class Pace:
    """Pixels a second of each channel, learnt from the pictures that were drawn.

    Those of a new view and those that refine it are counted apart: a small picture takes longer for a pixel, and what
    matters of it is that it comes in time.
    """

    rates: dict[tuple[Channel, bool], float] = field(default_factory=dict)
    unknown: float = 1e4  # before any picture

    def learn(self, channel: Channel, rough: bool, pixels: int, seconds: float) -> None:
        rate, key = pixels / max(seconds, 1e-6), (channel, rough)
        self.rates[key] = rate if key not in self.rates else (self.rates[key] + rate) / 2

    def rate(self, channel: Channel, rough: bool) -> float:
        """Pixels a second; of the other kind of picture while there was none of this one."""
        return self.rates.get((channel, rough), self.rates.get((channel, not rough), self.unknown))

    def next_size(self, channel: Channel, full: Size, shown: int, longest: float = math.inf) -> Size | None:
        """The size of the next picture, of the shape of ``full``.

        Args:
            shown: pixels of the picture that is shown of this very view; 0: there is none yet.
            longest: seconds that it may take.

        Returns:
            None where nothing better can be had.
        """
        most = min(full[0] * full[1], self.rate(channel, False) * longest)
        if shown == 0:
            return scaled(full, min(most, self.rate(channel, True) * FIRST))
        if shown >= 0.9 * most:
            return None
        wanted = max(GROWTH * shown, self.rate(channel, False) * FIRST)
        return scaled(full, most if 1.5 * wanted >= most else wanted)


def scaled(full: Size, pixels: float) -> Size:
    """A size of about so many pixels, of the shape of ``full`` and not above it."""
    shrink = min(1.0, max(math.sqrt(pixels / (full[0] * full[1])), _FEWEST / max(full)))
    return max(2, round(full[0] * shrink)), max(2, round(full[1] * shrink))
