"""The compiled backend: autograd functions over the library's operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core._library import constants, library
from nerfkit.core.native_composite import composite
from nerfkit.core.native_distortion import distortion
from nerfkit.core.native_frequency import frequency_encode
from nerfkit.core.native_hash_grid import hash_encode
from nerfkit.core.native_march import march
from nerfkit.core.native_mlp import mlp
from nerfkit.core.native_rays import rays
from nerfkit.core.native_resample import resample
from nerfkit.core.native_sh import sh_encode
from nerfkit.core.native_tsdf import tsdf_integrate
from nerfkit.core.types import CHANNELS, Layers, Rasterized, SplatStats, Target


def _threads() -> int:
    return torch.get_num_threads()


class NativeCore:
    """The render core through nerfkit's own kernels, on the CPU."""

    name = "nerfkit"
    composite = staticmethod(composite)
    distortion = staticmethod(distortion)
    frequency_encode = staticmethod(frequency_encode)
    hash_encode = staticmethod(hash_encode)
    march = staticmethod(march)
    mlp = staticmethod(mlp)
    rays = staticmethod(rays)
    resample = staticmethod(resample)
    sh_encode = staticmethod(sh_encode)
    tsdf_integrate = staticmethod(tsdf_integrate)

    def __init__(self) -> None:
        library()  # fail here, where the message can still be of use

    def rasterize(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        background: Tensor,
        *,
        degree: int | None = None,
        layers: Layers = "rgb",
        near: float = 0.01,
        median_depth: bool = False,
        stats: SplatStats | None = None,
    ) -> Rasterized:
        """Draws Gaussians: projection, tile intersection, depth sort and compositing (Kerbl et al. 2023).

        Args:
            gaussians: activated values, float32, scene frame. Differentiable in all five arrays.
            camera: one pinhole camera (C = 1). Not differentiable.
            background: [3] behind the colours. Not differentiable.
            degree: SH degree to use; all that ``gaussians.sh`` holds when not given.
            layers: what to draw beside rgb.
            near: Gaussians whose centre is nearer than this are left out.
            median_depth: also gives the depth at which half the light is gone (not differentiable).
            stats: its sums are added to in the backward pass.

        Raises:
            TypeError, ValueError: an array of another type, shape or layout; a camera that is no pinhole.
        """
        if camera.model != "pinhole" or len(camera) != 1:
            raise ValueError(f"rasterize: expected one pinhole camera, got {len(camera)} of model {camera.model}")
        if degree is None:
            degree = int(gaussians.sh.shape[1] ** 0.5) - 1
        elif (degree + 1) ** 2 > gaussians.sh.shape[1]:
            raise ValueError(
                f"rasterize: SH degree {degree} needs {(degree + 1) ** 2} coefficients, got {gaussians.sh.shape[1]}"
            )
        view = _View(
            camera, background.to(torch.float32).contiguous(), degree, CHANNELS[layers], near, median_depth, stats
        )
        g = gaussians
        image, alpha, median = _Rasterize.apply(g.means, g.quats, g.scales, g.opacities, g.sh, view)
        return Rasterized(image, alpha, median if median_depth else None, view.visible, view.instances)

    def target(self, planes: Tensor) -> Target:
        """Prepares a photo [3, H, W] in [0, 1] for :meth:`photometric_loss`."""
        mean, mean_square = torch.empty_like(planes), torch.empty_like(planes)
        library().call("nk_ssim_target", threads=_threads(), target=planes, mean=mean, mean_square=mean_square)
        return Target(planes, mean, mean_square)

    def photometric_loss(self, image: Tensor, target: Target, ssim_weight: float) -> Tensor:
        """``(1 - w) mean |x - y| + w (1 - mean SSIM)`` of planes [3, H, W]; differentiable in ``image``."""
        return _Photometric.apply(image.contiguous(), target, ssim_weight)

    def adam(
        self,
        param: Tensor,
        grad: Tensor,
        m: Tensor,
        v: Tensor,
        step: int,
        lr: Tensor,
        betas: tuple[float, float],
        epsilon: float,
    ) -> None:
        """One Adam step in place (Kingma & Ba 2015); ``lr`` [L] repeats over the parameter's entries."""
        library().call(
            "nk_adam", threads=_threads(), param=param.detach().view(-1), grad=grad.reshape(-1), m=m.view(-1),
            v=v.view(-1), step=step, lr=lr, beta1=betas[0], beta2=betas[1], epsilon=epsilon,
        )  # fmt: skip


class _View:
    """What one call of rasterize knows beside the Gaussians, and what its backward pass needs again."""

    def __init__(
        self, camera: Cameras, background: Tensor, degree: int, channels: int, near: float, median: bool,
        stats: SplatStats | None,
    ):  # fmt: skip
        self.cam_from_world = camera.cam_from_world[0].to(torch.float32).contiguous()
        self.intrinsics = camera.intrinsics[0].to(torch.float32).contiguous()
        self.width, self.height = camera.width, camera.height
        self.background, self.degree, self.channels, self.near = background, degree, channels, near
        self.median, self.stats = median, stats
        self.visible = self.instances = 0

    def bin(self, splats: Tensor) -> dict[str, Tensor]:
        """Sorts splats [N, 16] by depth and lists them by tile."""
        n, threads, tile = len(splats), _threads(), int(constants()["TILE"])
        parts = 1 if threads == 1 else 4 * threads
        tiles = -(-self.width // tile) * -(-self.height // tile)
        size = {"threads": threads, "width": self.width, "height": self.height}
        order = torch.empty(n, dtype=torch.int32)
        room = torch.empty(parts + 1, dtype=torch.int64)
        out = library().call("nk_bin", **size, splats=splats, order=order, room=room)
        most = int(room[-1])  # the boxes' tiles: somewhat more than those that the ellipses reach
        lists = {
            "splats": splats,
            "tile_offsets": torch.empty(tiles + 1, dtype=torch.int32),
            "indices": torch.empty(most, dtype=torch.int32),
            "rows": torch.empty(most, dtype=torch.uint8),
        }
        scratch = {
            "notes": torch.empty(most, dtype=torch.int32),
            "tiles_of_splat": torch.empty(n, dtype=torch.int32),
            "part_counts": torch.empty(parts * tiles, dtype=torch.int32),
        }
        filled = library().call("nk_fill", **size, T=tiles, M=out.M, order=order, room=room, **lists, **scratch)
        self.visible, self.instances = out.M, filled.instances
        return {**lists, "walked": torch.empty(tiles, dtype=torch.int32)}


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, sh: Tensor, view: _View
    ) -> Any:
        splats = torch.empty(len(means), int(constants()["SPLAT_SIZE"]))
        inputs = {"means": means, "quats": quats, "scales": scales, "opacities": opacities, "sh": sh}
        inputs = {name: tensor.detach().contiguous() for name, tensor in inputs.items()}
        library().call("nk_project_fwd", **_camera_arguments(view), **inputs, splats=splats)
        lists = view.bin(splats)
        image = torch.empty(view.channels, view.height, view.width)
        alpha = torch.empty(view.height, view.width)
        median = torch.empty(view.height, view.width) if view.median else None
        library().call(
            "nk_rasterize_fwd", threads=_threads(), background=view.background, image=image, alpha=alpha,
            median_depth=median, **lists,
        )  # fmt: skip
        ctx.view, ctx.inputs, ctx.lists = view, inputs, lists
        ctx.save_for_backward(image, alpha)
        ctx.mark_non_differentiable(*([median] if median is not None else []))
        ctx.set_materialize_grads(False)
        return image, alpha, median

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        grad_image, grad_alpha, _ = grads
        image, alpha = ctx.saved_tensors
        view, inputs, splats = ctx.view, ctx.inputs, ctx.lists["splats"]
        if grad_image is None:
            grad_image = torch.zeros_like(image)
        grad_splats = torch.empty_like(splats)
        library().call(
            "nk_rasterize_bwd", threads=_threads(), absolute=int(view.stats is not None),
            background=view.background, image=image,
            alpha=alpha, grad_image=grad_image.contiguous(),
            grad_alpha=None if grad_alpha is None else grad_alpha.contiguous(),
            scratch=torch.empty(_threads() * splats.numel()), grad_splats=grad_splats, **ctx.lists,
        )  # fmt: skip
        if view.stats is not None:
            library().call(
                "nk_splat_stats", threads=_threads(), width=view.width, height=view.height, splats=splats,
                grad_splats=grad_splats, **vars(view.stats),
            )  # fmt: skip
        out = {f"grad_{name}": torch.empty_like(tensor) for name, tensor in inputs.items()}
        library().call(
            "nk_project_bwd", **_camera_arguments(view), **inputs, splats=splats, grad_splats=grad_splats, **out
        )
        return *out.values(), None


def _camera_arguments(view: _View) -> dict[str, Any]:
    return {
        "threads": _threads(), "degree": view.degree, "width": view.width, "height": view.height, "near": view.near,
        "cam_from_world": view.cam_from_world, "intrinsics": view.intrinsics,
    }  # fmt: skip


class _Photometric(torch.autograd.Function):
    """The loss's gradient costs little more than its value, so that the forward pass computes both."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, target: Target, ssim_weight: float) -> Tensor:
        sums = torch.empty(2, dtype=torch.float64)
        grad = torch.empty_like(image) if image.requires_grad else None
        library().call(
            "nk_photometric", threads=_threads(), ssim_weight=ssim_weight, image=image.detach(), target=target.planes,
            mean=target.mean, mean_square=target.mean_square, scratch=torch.empty(3 * image.numel()), sums=sums,
            grad_image=grad,
        )  # fmt: skip
        ctx.grad = grad
        l1, similarity = sums.tolist()
        return image.new_tensor((1 - ssim_weight) * l1 + ssim_weight * (1 - similarity))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        scale = float(grads[0])
        return ctx.grad if scale == 1 else ctx.grad * scale, None, None


def operator_names() -> Sequence[str]:
    """The operators of the loaded library, for `nerfkit doctor` and the tests."""
    return library().operators
