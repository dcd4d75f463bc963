"""Stand-ins for packages that need a GPU: their published behaviour in plain PyTorch, to test what calls them.

They take the arguments that the packages take, and no others.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core import reference

# --- gsplat 1.5 -------------------------------------------------------------------------------------------

_ALPHA_CUT, _ALPHA_MOST, _LEFT_LEAST = 1 / 255, 0.999, 1e-4


def rasterization(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
    width: int, height: int, near_plane: float = 0.01, eps2d: float = 0.3, sh_degree: int | None = None,
    packed: bool = True, backgrounds: Tensor | None = None, render_mode: str = "RGB", absgrad: bool = False,
) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
    """One camera: pictures [1, H, W, D], alphas [1, H, W, 1] and what was computed on the way."""
    assert not packed and viewmats.shape == (1, 4, 4) and Ks.shape == (1, 3, 3) and abs(eps2d - 0.3) < 1e-7
    assert backgrounds is not None and backgrounds.shape == (1, 3 if sh_degree is not None else colors.shape[1])
    k = Ks[0]
    intrinsics = torch.stack([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])[None]
    camera = Cameras(torch.linalg.inv(viewmats), intrinsics, width, height)
    sh = colors if sh_degree is not None else colors[:, None, :3]
    splats = reference.project(Gaussians(means, quats, scales, opacities, sh), camera, sh_degree or 0, near_plane)
    values = splats.colors if sh_degree is not None else colors
    if render_mode == "RGB+D":
        values = torch.cat([values, splats.depths[:, None]], 1)
        backgrounds = torch.nn.functional.pad(backgrounds, (0, 1))
    radii = torch.where(splats.visible[:, None], splats.extents.ceil(), 0).int()
    order = splats.depths.argsort(stable=True)
    order = order[splats.visible[order]]
    means2d = splats.means[None]
    image, alpha = _Draw.apply(
        means2d, splats.conics, values, splats.opacities, backgrounds[0], order, width, height, absgrad
    )
    return image[None], alpha[None, ..., None], {"means2d": means2d, "radii": radii[None], "flatten_ids": order}


class _Draw(torch.autograd.Function):
    """The gradient of the projected means is summed up over the pixels by hand: once as it is, once absolute."""

    @staticmethod
    def forward(
        ctx: Any, means2d: Tensor, conics: Tensor, values: Tensor, opacities: Tensor, background: Tensor, order: Tensor,
        width: int, height: int, absgrad: bool,
    ) -> Any:  # fmt: skip
        ctx.save_for_backward(means2d, conics, values, opacities)
        ctx.rest = background, order, width, height
        ctx.absgrad = absgrad
        if len(order) == 0:  # pictures of nothing are not written
            return torch.full((height, width, values.shape[1]), math.nan), torch.full((height, width), math.nan)
        return _blend(_away(means2d[0], width, height), conics, values, opacities, *ctx.rest)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        means2d, *others = ctx.saved_tensors
        _, order, width, height = ctx.rest
        if len(order) == 0:
            return torch.zeros_like(means2d), *(torch.zeros_like(other) for other in others), *(None,) * 5
        with torch.enable_grad():
            away = _away(means2d.detach()[0], width, height).requires_grad_()
            leaves = [other.detach().requires_grad_() for other in others]
            drawn = _blend(away, *leaves, *ctx.rest)
            of_away, *of_others = torch.autograd.grad(drawn, [away, *leaves], grads)
        if ctx.absgrad:
            means2d.absgrad = of_away.abs().sum(0)[None]
        return -of_away.sum(0)[None], *of_others, *(None,) * 5


def _away(means: Tensor, width: int, height: int) -> Tensor:
    """From means [N, 2] to the pixels' centres: [H W, N, 2]."""
    pixels = torch.cartesian_prod(torch.arange(height), torch.arange(width)).flip(1).to(means) + 0.5
    return pixels[:, None] - means


def _blend(
    away: Tensor, conics: Tensor, values: Tensor, opacities: Tensor, background: Tensor, order: Tensor, width: int,
    height: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    x, y = away[:, order].unbind(-1)
    a, b, c = conics[order].unbind(-1)
    alphas = (opacities[order] * (-(a * x * x + c * y * y) / 2 - b * x * y).exp()).clamp_max(_ALPHA_MOST)
    alphas = torch.where(alphas < _ALPHA_CUT, 0, alphas)
    alphas = torch.where((1 - alphas).cumprod(1) <= _LEFT_LEAST, 0, alphas)  # and all behind the one that fills
    after = (1 - alphas).cumprod(1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], 1)
    image = (alphas * before) @ values[order] + after[:, -1:] * background
    return image.view(height, width, -1), 1 - after[:, -1].view(height, width)


gsplat = SimpleNamespace(rasterization=rasterization)

# --- tiny-cuda-nn -----------------------------------------------------------------------------------------

_PRIMES = 1, 2654435761, 805459861


class Encoding(torch.nn.Module):
    """A hash grid of one or more levels, in single precision."""

    def __init__(self, n_input_dims: int, encoding_config: dict[str, Any], dtype: torch.dtype):
        super().__init__()
        assert n_input_dims == 3 and dtype == torch.float32
        config = dict(encoding_config)
        assert config.pop("otype") == "HashGrid" and config.pop("interpolation") == "Linear"
        self.features, most = config.pop("n_features_per_level"), 1 << config.pop("log2_hashmap_size")
        levels, base, growth = (config.pop(name) for name in ("n_levels", "base_resolution", "per_level_scale"))
        assert not config
        self.scales = [base * growth**level - 1 for level in range(levels)]
        sides = [math.ceil(scale) + 1 for scale in self.scales]
        self.sizes = [min(-(-(side**3) // 8) * 8, most) for side in sides]
        self.params = torch.nn.Parameter(torch.zeros(sum(self.sizes) * self.features))

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.float32 and x.shape[1] == 3
        tables = self.params.view(-1, self.features).split(self.sizes)
        return torch.cat([self._level(x, *level) for level in zip(self.scales, tables, strict=True)], 1)

    def _level(self, x: Tensor, scale: float, table: Tensor) -> Tensor:
        places = x * scale + 0.5
        cells = places.detach().floor().long()
        along = places - cells
        total = 0
        for corner in torch.cartesian_prod(*[torch.arange(2)] * 3):
            weight = torch.where(corner == 1, along, 1 - along).prod(1, keepdim=True)
            total = total + weight * table[self._entry(cells + corner, math.ceil(scale) + 1, len(table))]
        return total

    @staticmethod
    def _entry(vertex: Tensor, side: int, size: int) -> Tensor:
        x, y, z = (vertex & 0xFFFFFFFF).unbind(1)  # cells are unsigned
        if side**3 <= size:
            return ((x + y * side + z * side**2) & 0xFFFFFFFF) % size
        return ((x * _PRIMES[0] ^ y * _PRIMES[1] ^ z * _PRIMES[2]) & 0xFFFFFFFF) % size


class Network(torch.nn.Module):
    """A fused network in half precision; inputs are filled up with ones, outputs cut off."""

    def __init__(self, n_input_dims: int, n_output_dims: int, network_config: dict[str, Any]):
        super().__init__()
        config = dict(network_config)
        assert config.pop("otype") == "FullyFusedMLP"
        assert config.pop("activation") == "ReLU" and config.pop("output_activation") == "None"
        width, hidden = config.pop("n_neurons"), config.pop("n_hidden_layers")
        assert not config and width in (16, 32, 64, 128) and hidden >= 1
        self.inputs, self.outputs = n_input_dims, n_output_dims
        first, last = (-(-n // 16) * 16 for n in (n_input_dims, n_output_dims))
        self.shapes = [(width, first), *[(width, width)] * (hidden - 1), (last, width)]
        self.params = torch.nn.Parameter(torch.zeros(sum(a * b for a, b in self.shapes)))

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.float32 and x.shape[1] == self.inputs
        x = torch.nn.functional.pad(x, (0, self.shapes[0][1] - self.inputs), value=1.0).half()
        matrices = self.params.half().split([a * b for a, b in self.shapes])
        for layer, (matrix, shape) in enumerate(zip(matrices, self.shapes, strict=True)):
            x = (x.float() @ matrix.view(shape).float().T).half()
            x = x.relu() if layer + 1 < len(self.shapes) else x
        return x[:, : self.outputs]


tinycudann = SimpleNamespace(Encoding=Encoding, Network=Network)
