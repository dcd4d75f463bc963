"""tiny-cuda-nn for hash grids and small networks (Müller 2021, "tiny-cuda-nn"; Müller et al. 2022), through tinycudann.

Whatever its modules hold is ours: they are called with our tables and weights as their parameters.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from nerfkit.contracts import RenderCore
from nerfkit.core.arguments import check_table
from nerfkit.core.delegate import Delegating
from nerfkit.core.hash_grid import HashGrid
from nerfkit.core.types import Output
from nerfkit.errors import NerfkitError

log = logging.getLogger("nerfkit")

_FUSED_WIDTHS = (16, 32, 64, 128)  # of FullyFusedMLP's hidden layers
_BLOCK = 16  # inputs and outputs of a network are filled up to a multiple of this
_ALIGNED = 8  # entries of a level are filled up to a multiple of this


class TcnnCore(Delegating):
    """Encodes and runs small networks through tiny-cuda-nn; everything else is done by another core.

    **Hash grid**: equal, in single precision. tiny-cuda-nn puts vertices at ``x (B b^l - 1) + 0.5``, where our levels
    have them at ``x N``: of one call with all levels the steps between levels would be other ones than ours. A level
    alone, of base resolution ``B = N + 1``, at positions moved by half a cell, reads the very same vertices, which it
    numbers and hashes as we do. So each level is a module of its own: one launch a level instead of one for all, that
    is, slower than tiny-cuda-nn is where its own levels are what is wanted.

    **Networks**: FullyFusedMLP, in half precision, with what follows the last layer in single precision. Values are off
    by about 5e-4, gradients by up to 3 %, since a value near zero may be on either side of its ReLU; gradients of
    weights beyond 65504 / 128 overflow. It takes hidden layers of one width, 16, 32, 64 or 128. Other networks are left
    to the other core.
    """

    name = "tcnn"

    def __init__(self, rest: RenderCore):
        super().__init__(rest)
        import tinycudann

        self._tcnn = tinycudann
        self._level = functools.cache(self._make_level)
        self._network = functools.cache(self._make_network)

    def hash_encode(self, positions: Tensor, table: Tensor, grid: HashGrid) -> Tensor:
        """Features [S, L F]: see :func:`nerfkit.core.reference_hash_grid.hash_encode`."""
        check_table(table, grid)
        if len(positions) == 0:  # no kernel is launched for nothing
            return self.rest.hash_encode(positions, table, grid)
        inside = positions.clamp(0, 1)
        features = []
        for resolution, (first, end) in zip(grid.resolutions.tolist(), pairwise(grid.offsets.tolist()), strict=True):
            level = self._level(resolution, grid.features, grid.log2_size)
            entries = pad(table[first:end], (0, 0, 0, -(end - first) % _ALIGNED))
            features.append(_call(level, inside - 0.5 / resolution, entries))
        return torch.cat(features, 1)

    def _make_level(self, resolution: int, features: int, log2_size: int) -> Any:
        config = {
            "otype": "HashGrid", "n_levels": 1, "n_features_per_level": features, "log2_hashmap_size": log2_size,
            "base_resolution": resolution + 1, "per_level_scale": 2.0, "interpolation": "Linear",
        }  # fmt: skip
        entries = min(-(-((resolution + 1) ** 3) // _ALIGNED) * _ALIGNED, 1 << log2_size)
        return _emptied(self._tcnn.Encoding(3, config, dtype=torch.float32), entries * features)

    def mlp(
        self,
        input: Tensor,
        weights: Tensor,
        widths: Sequence[int],
        shared: Tensor | None = None,
        index: Tensor | None = None,
        output: Output = "linear",
    ) -> Tensor:
        """A network without biases [S, widths[-1]]: see :func:`nerfkit.core.reference.mlp`."""
        if len(input) == 0 or not _fits(tuple(widths), self.rest.name):
            return self.rest.mlp(input, weights, widths, shared, index, output)
        if shared is not None and index is not None:
            input = torch.cat([input, shared[index.long()]], 1)
        last = _call(self._network(tuple(widths)), input, _blocks(weights, widths))
        return last if output == "linear" else getattr(torch, output)(last)

    def _make_network(self, widths: tuple[int, ...]) -> Any:
        config = {
            "otype": "FullyFusedMLP", "activation": "ReLU", "output_activation": "None",
            "n_neurons": widths[1], "n_hidden_layers": len(widths) - 2,
        }  # fmt: skip
        weights = sum(before * after for before, after in pairwise(_in_blocks(widths)))
        return _emptied(self._tcnn.Network(widths[0], widths[-1], config), weights)


@functools.cache  # so that it is said once
def _fits(widths: tuple[int, ...], otherwise: str) -> bool:
    hidden = set(widths[1:-1])
    if len(hidden) == 1 and hidden.issubset(_FUSED_WIDTHS):
        return True
    shape = "-".join(map(str, widths))
    log.warning("--backend tcnn: no fused kernel for a network of widths %s; %s runs it", shape, otherwise)
    return False


def _in_blocks(widths: Sequence[int]) -> list[int]:
    """The widths as tiny-cuda-nn has them: the first and the last are multiples of 16."""
    first, *hidden, last = widths
    return [first + -first % _BLOCK, *hidden, last + -last % _BLOCK]


def _blocks(weights: Tensor, widths: Sequence[int]) -> Tensor:
    """Our matrices [out, in] with zeros beside and below, one after the other.

    tiny-cuda-nn fills the input up with ones, for networks to learn biases by; zeros keep them out of ours.
    """
    matrices = weights.split([before * after for before, after in pairwise(widths)])
    filled = []
    for matrix, own, theirs in zip(matrices, pairwise(widths), pairwise(_in_blocks(widths)), strict=True):
        filled.append(pad(matrix.view(own[1], own[0]), (0, theirs[0] - own[0], 0, theirs[1] - own[1])).flatten())
    return torch.cat(filled)


def _emptied(module: Any, parameters: int) -> Any:
    """A module without the parameters that it begins with: ours are given with every call.

    Raises:
        NerfkitError: it has another number of them than this file thinks.
    """
    if module.params.numel() != parameters:
        raise NerfkitError(
            f"--backend tcnn: {type(module).__name__} has {module.params.numel()} parameters, expected {parameters}: "
            "another version of tiny-cuda-nn, or a GPU older than compute capability 7.5; use --backend nerfkit"
        )
    module.params = torch.nn.Parameter(module.params.new_empty(0))
    return module


def _call(module: Any, input: Tensor, parameters: Tensor) -> Tensor:
    return torch.func.functional_call(module, {"params": parameters.flatten()}, (input,)).to(input)
