"""Stand-ins for what needs a GPU, in plain PyTorch, to test what calls it: gsplat's kernels, under its own Python,
and all of tiny-cuda-nn, which is not to be had as a package, by what it publishes.

They take the arguments that the originals take, and no others.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

# --- gsplat 1.5 -------------------------------------------------------------------------------------------

_ALPHA_CUT, _ALPHA_MOST, _LEFT_LEAST, _SIGMAS = 1 / 255, 0.999, 1e-4, 3.33


class GsplatKernels:
    """The kernels that gsplat's Python calls, for one pinhole camera: by its own PyTorch versions where it has some.

    What the kernels leave unwritten is NaN here. They take contiguous arrays in single precision, as checked.
    """

    CameraModelType, PINHOLE = "camera models", "pinhole"  # an enumeration and what it holds, side by side

    @staticmethod
    def projection_ewa_3dgs_fused_fwd(
        means: Tensor, covars: None, quats: Tensor, scales: Tensor, opacities: Tensor, viewmats: Tensor, Ks: Tensor,
        width: int, height: int, eps2d: float, near_plane: float, far_plane: float, radius_clip: float,
        calc_compensations: bool, camera_model: str,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        _check(means, quats, scales, opacities, viewmats, Ks)
        assert covars is None and radius_clip == 0
        size, depth_range = (width, height), (near_plane, far_plane)
        _, means2d, depths, conics, left = _projected(means, quats, scales, viewmats, Ks, size, eps2d, depth_range)
        opacities = opacities * left[0] if calc_compensations else opacities
        a, b, c = conics.unbind(-1)
        variances = torch.stack([c, a], -1) / (a * c - b * b)[..., None]
        sigmas = (2 * (opacities / _ALPHA_CUT).log()).sqrt().clamp_max(_SIGMAS)  # NaN where nothing is to be seen
        radii = (sigmas[:, None] * variances.sqrt()).ceil()
        inside = ((means2d + radii > 0) & (means2d - radii < torch.tensor(size))).all(-1)
        seen = inside & (depths > near_plane) & (depths < far_plane) & (opacities >= _ALPHA_CUT)
        unwritten = torch.where(seen, 0.0, math.nan)
        radii = torch.where(seen[..., None], radii, 0).int()
        left = torch.where(seen, left, 0) if calc_compensations else None
        return radii, means2d + unwritten[..., None], depths + unwritten, conics + unwritten[..., None], left

    @staticmethod
    def projection_ewa_3dgs_fused_bwd(
        means: Tensor, covars: None, quats: Tensor, scales: Tensor, viewmats: Tensor, Ks: Tensor, width: int,
        height: int, eps2d: float, camera_model: str, radii: Tensor, conics: Tensor,
        compensations: Tensor | None, v_means2d: Tensor, v_depths: Tensor, v_conics: Tensor,
        v_compensations: Tensor | None, v_viewmats: bool,
    ) -> tuple[Tensor | None, ...]:  # fmt: skip
        _check(v_means2d, v_depths, v_conics)
        assert not v_viewmats
        seen = (radii[0] > 0).all(-1)
        given = [leaf.detach()[seen].requires_grad_() for leaf in (means, quats, scales)]
        with torch.enable_grad():
            _, *results, left = _projected(*given, viewmats, Ks, (width, height), eps2d)
            wanted = [v[:, seen] for v in (v_means2d, v_depths, v_conics)]
            if compensations is not None:
                assert v_compensations is not None
                results, wanted = [*results, left], [*wanted, v_compensations[:, seen]]
            found = torch.autograd.grad(results, given, wanted)
        v_means, v_quats, v_scales = (_spread(v, seen) for v in found)
        return v_means, None, v_quats, v_scales, None

    @staticmethod
    def spherical_harmonics_fwd(degree: int, dirs: Tensor, coeffs: Tensor, masks: Tensor) -> Tensor:
        _check(dirs, coeffs)
        colors = _torch_impl()._spherical_harmonics(degree, dirs, coeffs)
        return torch.where(masks[..., None], colors, math.nan)

    @staticmethod
    def spherical_harmonics_bwd(
        num_bases: int, degree: int, dirs: Tensor, coeffs: Tensor, masks: Tensor, v_colors: Tensor, v_dirs: bool
    ) -> tuple[Tensor, Tensor]:
        _check(v_colors)
        assert num_bases == coeffs.shape[-2] and v_dirs
        given = [leaf.detach()[masks].requires_grad_() for leaf in (coeffs, dirs)]
        with torch.enable_grad():
            colors = _torch_impl()._spherical_harmonics(degree, given[1], given[0])
            # of degree 0 colours look the same from everywhere
            found = torch.autograd.grad(colors, given, v_colors[masks], allow_unused=True, materialize_grads=True)
        return _spread(found[0], masks), _spread(found[1], masks)

    @staticmethod
    def intersect_tile(
        means2d: Tensor, radii: Tensor, depths: Tensor, image_ids: None, gaussian_ids: None, images: int,
        tile_size: int, tile_width: int, tile_height: int, sort: bool, segmented: bool,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        _check(means2d, depths)
        assert images == 1 and sort and not segmented
        return _torch_impl()._isect_tiles(means2d.nan_to_num(), radii, depths, tile_size, tile_width, tile_height)

    @staticmethod
    def intersect_offset(isect_ids: Tensor, images: int, tile_width: int, tile_height: int) -> Tensor:
        return _torch_impl()._isect_offset_encode(isect_ids, images, tile_width, tile_height)

    @staticmethod
    def rasterize_to_pixels_3dgs_fwd(
        means2d: Tensor, conics: Tensor, colors: Tensor, opacities: Tensor, backgrounds: Tensor | None,
        masks: None, width: int, height: int, tile_size: int, offsets: Tensor, flatten_ids: Tensor,
    ) -> tuple[Tensor, Tensor, None]:  # fmt: skip
        _check(means2d, conics, colors, opacities)
        image = torch.full((1, height, width, colors.shape[-1]), math.nan)
        alpha = torch.full((1, height, width, 1), math.nan)
        for pixels, listed in _tiles(width, height, tile_size, offsets, flatten_ids):
            away = pixels[:, None] + 0.5 - means2d[0, listed]
            values = (array[0, listed] for array in (conics, colors, opacities))
            x, y = pixels.long().unbind(1)
            image[0, y, x], alpha[0, y, x, 0] = _blend(away, *values, backgrounds)
        return image, alpha, None

    @staticmethod
    def rasterize_to_pixels_3dgs_bwd(
        means2d: Tensor, conics: Tensor, colors: Tensor, opacities: Tensor, backgrounds: Tensor | None,
        masks: None, width: int, height: int, tile_size: int, offsets: Tensor, flatten_ids: Tensor,
        render_alphas: Tensor, last_ids: None, v_colors: Tensor, v_alphas: Tensor, absgrad: bool,
    ) -> tuple[Tensor | None, ...]:  # fmt: skip
        """The gradient of the projected means is summed up over the pixels: once as it is, once absolute."""
        _check(v_colors, v_alphas)
        v_abs, *sums = (torch.zeros_like(array) for array in (means2d, means2d, conics, colors, opacities))
        for pixels, listed in _tiles(width, height, tile_size, offsets, flatten_ids):
            away = (pixels[:, None] + 0.5 - means2d[0, listed]).requires_grad_()
            leaves = [array.detach()[0, listed].requires_grad_() for array in (conics, colors, opacities)]
            x, y = pixels.long().unbind(1)
            with torch.enable_grad():
                drawn = _blend(away, *leaves, backgrounds)
            v_drawn = v_colors[0, y, x], v_alphas[0, y, x, 0]
            v_away, *others = torch.autograd.grad(drawn, [away, *leaves], v_drawn)
            v_abs[0].index_add_(0, listed, v_away.abs().sum(0))
            for total, found in zip(sums, [-v_away.sum(0), *others], strict=True):
                total[0].index_add_(0, listed, found)
        return v_abs if absgrad else None, *sums


def gsplat_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets gsplat's own Python call what is above in place of its kernels; skips a test where gsplat is missing."""
    if importlib.util.find_spec("gsplat") is None:
        pytest.skip("gsplat is not installed: pip install gsplat==1.5.3, which needs no GPU to be imported")
    backend = ModuleType("gsplat.cuda._backend")
    backend._C = GsplatKernels  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, backend.__name__, backend)


def _torch_impl() -> Any:
    return importlib.import_module("gsplat.cuda._torch_impl")


def _check(*arrays: Tensor) -> None:
    assert all(array.dtype == torch.float32 and array.is_contiguous() for array in arrays)


def _projected(
    means: Tensor, quats: Tensor, scales: Tensor, viewmats: Tensor, Ks: Tensor, size: tuple[int, int], eps2d: float,
    depth_range: tuple[float, float] = (0.0, math.inf),
) -> tuple[Tensor, ...]:  # fmt: skip
    impl = _torch_impl()
    covars, _ = impl._quat_scale_to_covar_preci(quats, scales, compute_preci=False)
    return impl._fully_fused_projection(means, covars, viewmats, Ks, *size, eps2d, *depth_range, True)  # type: ignore[no-any-return]


def _spread(values: Tensor, where: Tensor) -> Tensor:
    """Values back at the places that a mask has them from; zero elsewhere."""
    whole = values.new_zeros(where.shape + values.shape[1:])
    whole[where] = values
    return whole


def _tiles(width: int, height: int, size: int, offsets: Tensor, flatten_ids: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Pixels [P, 2] x y and Gaussians of each tile; no tile at all, not even an empty one, where nothing is listed."""
    ends = torch.cat([offsets.flatten()[1:], torch.tensor([len(flatten_ids)])])
    for tile, (first, end) in enumerate(zip(offsets.flatten().tolist(), ends.tolist(), strict=True)):
        top, left = (size * place for place in divmod(tile, offsets.shape[-1]))
        rows, columns = torch.arange(top, min(top + size, height)), torch.arange(left, min(left + size, width))
        if len(flatten_ids):
            yield torch.cartesian_prod(rows, columns).flip(1).float(), flatten_ids[first:end].long()


def _blend(
    away: Tensor, conics: Tensor, values: Tensor, opacities: Tensor, backgrounds: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Pictures [P, D] and alphas [P] of Gaussians, near to far, that pixels are `away` [P, G, 2] from."""
    x, y = away.unbind(-1)
    a, b, c = conics.unbind(-1)
    alphas = (opacities * (-(a * x * x + c * y * y) / 2 - b * x * y).exp()).clamp_max(_ALPHA_MOST)
    alphas = torch.where(alphas < _ALPHA_CUT, 0, alphas)
    alphas = torch.where((1 - alphas).cumprod(1) <= _LEFT_LEAST, 0, alphas)  # and all behind the one that fills
    after = torch.cat([torch.ones(len(away), 1), (1 - alphas).cumprod(1)], 1)
    image = (alphas * after[:, :-1]) @ values
    if backgrounds is not None:
        image = image + after[:, -1:] * backgrounds[0]
    return image, 1 - after[:, -1]


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
