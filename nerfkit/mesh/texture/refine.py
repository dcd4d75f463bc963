"""Texels fitted to the photos by drawing the mesh with them.

A pixel is a weighted mean of four texels (bilinear lookup), so that the sum of squared errors over all photos is
quadratic in the texels, and its gradient is each pixel's error laid back on them with the same weights. Steps are
those of simultaneous algebraic reconstruction (Andersen and Kak 1984, eq. 23): the gradient over the sum of weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nerfkit.contracts import Mesh
from nerfkit.mesh.draw import interpolate, texture_level
from nerfkit.mesh.sample import texel_coordinates
from nerfkit.mesh.texture.photo import Photo

_HUBER = 16.0  # of 255: pixels with larger errors pull no harder; highlights, and what moved
_STEP = 1.0
_TRUSTED = 0.25  # pixels less trusted, near edges of depth, don't count
_BELIEF = 0.5  # weights' worth of belief in the texture as it is: texels that hardly any pixel shows keep their colour


@dataclass(frozen=True)
class Errors:
    """What P pixels say about the four texels that each of them is a mean of."""

    texel: Tensor  # [4, P] int64
    pull: Tensor  # [4, P, 4]: a weight, and errors in r, g and b times it


class Fit:
    """Sums over photos of one pass; the texture [S, S, 3] float32, contiguous, changes in place when the pass ends."""

    def __init__(self, mesh: Mesh, texture: Tensor) -> None:
        assert mesh.uvs is not None
        self.mesh, self.size = mesh, len(texture)
        self.texture = texture.view(-1, 3)
        self.places = texel_coordinates(np.asarray(mesh.uvs, np.float64), self.size, self.size)
        # Of weights, and of errors times these: side by side, since a pixel adds to all four of a texel.
        self.sums = torch.zeros(self.size * self.size, 4)

    def compare(self, photo: Photo) -> Errors:
        """A photo, into which the mesh is drawn, with the texture. The same for several at once."""
        drawn = photo.drawn
        row, column = ((drawn.face >= 0) & (photo.trust >= _TRUSTED)).nonzero(as_tuple=True)
        face = drawn.face[row, column]
        xy = interpolate(self.mesh, self.places, face.numpy(), drawn.barycentrics[row, column])
        # a pixel that spans many texels says little about the four in its middle
        level = texture_level(self.mesh, self.places, photo.camera)[face.long()]
        trust = photo.trust[row, column] * torch.exp2(-2 * level).clamp_max(1)
        index, share = _corners(xy, self.size)
        error = photo.planes[:3, row, column].T.contiguous()
        for texels, part in zip(index, share, strict=True):
            error -= part[:, None] * self.texture.index_select(0, texels)
        trust = trust * (_HUBER / error.abs().amax(1).clamp_min(_HUBER))
        pull = torch.cat([torch.ones(len(error), 1), error], 1)
        return Errors(index, (share * trust)[:, :, None] * pull)

    def add(self, errors: Errors) -> None:
        """Lays a photo's errors back on the texels."""
        for texels, pull in zip(errors.texel, errors.pull, strict=True):
            self.sums.index_add_(0, texels, pull)

    def step(self) -> None:
        """Ends this pass: the texture moves."""
        belief = self.sums[:, 0] + _BELIEF
        for channel in range(3):  # in place: a large texture takes gigabytes
            self.texture[:, channel].addcdiv_(self.sums[:, 1 + channel], belief, value=_STEP).clamp_(0, 255)
        self.sums.zero_()


def _corners(xy: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The four texels around points [P, 2] and their shares in a bilinear lookup: [4, P] int64 and float32."""
    low = (xy - 0.5).floor()
    a, b = (xy - 0.5 - low).unbind(1)
    x0, y0 = low.long().unbind(1)
    x = [part.clamp(0, size - 1) for part in (x0, x0 + 1)]
    y = [part.clamp(0, size - 1) for part in (y0, y0 + 1)]
    index = torch.stack([y[j] * size + x[i] for j in (0, 1) for i in (0, 1)])
    share = torch.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    return index, share
