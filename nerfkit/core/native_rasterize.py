"""Drawing Gaussians through the library: projection, tile intersection and compositing, with their gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core._library import call, constants, library_of
from nerfkit.core.types import CHANNELS, Layers, Rasterized, SplatStats


def rasterize(
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
    view = _View(camera, background.to(torch.float32).contiguous(), degree, CHANNELS[layers], near, median_depth, stats)
    g = gaussians
    image, alpha, median = _Rasterize.apply(g.means, g.quats, g.scales, g.opacities, g.sh, view)
    return Rasterized(image, alpha, median if median_depth else None, view.visible, view.instances)


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
        n, threads, tile = len(splats), library_of(splats).threads, int(constants()["TILE"])
        parts = 1 if threads == 1 else 4 * threads
        tiles = -(-self.width // tile) * -(-self.height // tile)
        size = {"width": self.width, "height": self.height}
        order = torch.empty(n, dtype=torch.int32)
        room = torch.empty(parts + 1, dtype=torch.int64)
        out = call("nk_bin", **size, splats=splats, order=order, room=room)
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
        filled = call("nk_fill", **size, T=tiles, M=out.M, order=order, room=room, **lists, **scratch)
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
        call("nk_project_fwd", **_camera_arguments(view), **inputs, splats=splats)
        lists = view.bin(splats)
        image = torch.empty(view.channels, view.height, view.width)
        alpha = torch.empty(view.height, view.width)
        median = torch.empty(view.height, view.width) if view.median else None
        call(
            "nk_rasterize_fwd", background=view.background, image=image, alpha=alpha,
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
        call(
            "nk_rasterize_bwd", absolute=int(view.stats is not None),
            background=view.background, image=image,
            alpha=alpha, grad_image=grad_image.contiguous(),
            grad_alpha=None if grad_alpha is None else grad_alpha.contiguous(),
            scratch=torch.empty(library_of(splats).threads * splats.numel()), grad_splats=grad_splats, **ctx.lists,
        )  # fmt: skip
        if view.stats is not None:
            call(
                "nk_splat_stats", width=view.width, height=view.height, splats=splats,
                grad_splats=grad_splats, **vars(view.stats),
            )  # fmt: skip
        out = {f"grad_{name}": torch.empty_like(tensor) for name, tensor in inputs.items()}
        call("nk_project_bwd", **_camera_arguments(view), **inputs, splats=splats, grad_splats=grad_splats, **out)
        return *out.values(), None


def _camera_arguments(view: _View) -> dict[str, Any]:
    return {
        "degree": view.degree, "width": view.width, "height": view.height, "near": view.near,
        "cam_from_world": view.cam_from_world, "intrinsics": view.intrinsics,
    }  # fmt: skip
