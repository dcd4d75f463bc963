"""Drawing Gaussians through the library: projection, tile intersection and compositing, with their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core._header import constants
from nerfkit.core._library import call, library_of
from nerfkit.core.arguments import checked_degree
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
        layers: what to draw beside rgb. The depth of a Gaussian changes over its pixels: it is that of the densest
            point on the line of sight (Zhang et al. 2024, RaDe-GS).
        near: Gaussians whose centre is nearer than this are left out.
        median_depth: also gives the mean depth of the middle half of the light, which hears of outliers as little as a
            median, but is smooth (not differentiable). Needs depth among the layers.
        stats: its sums are added to in the backward pass.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout; a camera that is no pinhole.
    """
    g = gaussians
    view = View(camera, on_host(background), checked_degree(g, camera, degree), CHANNELS[layers], near, g.antialiased,
                median_depth, stats)  # fmt: skip
    image, alpha, median = _Rasterize.apply(g.means, g.quats, g.scales, g.opacities, g.sh, view)
    return Rasterized(image, alpha, median if median_depth else None, view.visible, view.instances, view.depths)


class View:
    """What a drawing of Gaussians knows beside them, and what its backward pass needs again."""

    def __init__(
        self, camera: Cameras, background: Tensor, degree: int, channels: int, near: float, antialiased: bool,
        median: bool, stats: SplatStats | None,
    ):  # fmt: skip
        self.cam_from_world = on_host(camera.cam_from_world[0])
        self.intrinsics = on_host(camera.intrinsics[0])
        self.width, self.height = camera.width, camera.height
        self.background, self.degree, self.channels, self.near = background, degree, channels, near
        self.antialiased, self.median, self.stats = antialiased, median, stats
        self.visible = self.instances = 0
        self.depths: Tensor | None = None  # [N] of the splats, 0 for those that are not drawn


@dataclass(frozen=True)
class TileLists:
    """The splats of each tile, near to far, as the rasterizer's operators take them."""

    arrays: dict[str, Tensor]
    visible: int  # splats in view
    instances: int  # (splat, tile) pairs


def list_by_tile(splats: Tensor, width: int, height: int) -> TileLists:
    """Sorts splats [N, 16] by depth and lists them by tile."""
    n, own = len(splats), library_of(splats)
    on_gpu = own.lanes == 1
    tiles = -(-width // own.tile) * -(-height // own.tile)
    parts = n if on_gpu else 1 if own.threads == 1 else 4 * own.threads
    size = {"width": width, "height": height}
    order = _new(splats, n, dtype=torch.int32)
    room = _new(splats, parts + 1, dtype=torch.int64)
    out = call("nk_bin", splats=splats, order=order, room=room, **size)
    arrays = {
        "splats": splats,
        "tile_offsets": _new(splats, tiles + 1, dtype=torch.int32),
        "indices": _new(splats, out.pairs, dtype=torch.int32),
        "reach": _new(splats, out.pairs, dtype=torch.uint8),
    }
    scratch = {}
    if not on_gpu:
        scratch = {
            "notes": _new(splats, out.pairs, dtype=torch.int32),
            "tiles_of_splat": _new(splats, n, dtype=torch.int32),
            "part_counts": _new(splats, parts * tiles, dtype=torch.int32),
        }
    filled = call("nk_fill", T=tiles, M=out.M, order=order, room=room, **arrays, **scratch, **size)
    arrays["walked"] = _new(splats, tiles, dtype=torch.int32)
    return TileLists(arrays, out.M, filled.instances)


def on_host(values: Tensor) -> Tensor:
    """Small numbers that a kernel gets by value; waits for the device if they lie on one."""
    return values.to("cpu", torch.float32).contiguous()


def _new(like: Tensor, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return like.new_empty(shape, dtype=dtype)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, sh: Tensor, view: View
    ) -> Any:
        splats = _new(means, len(means), int(constants()["SPLAT_SIZE"]))
        slopes = _new(means, len(means), 2) if view.channels > 3 else None
        inputs = {"means": means, "quats": quats, "scales": scales, "opacities": opacities, "sh": sh}
        inputs = {name: tensor.detach().contiguous() for name, tensor in inputs.items()}
        call("nk_project_fwd", **inputs, splats=splats, slopes=slopes, **camera_arguments(view))
        lists = list_by_tile(splats, view.width, view.height)
        view.visible, view.instances = lists.visible, lists.instances
        view.depths = splats[:, int(constants()["SPLAT_DEPTH"])]
        image = _new(means, view.channels, view.height, view.width)
        alpha = _new(means, view.height, view.width)
        median = _new(means, view.height, view.width) if view.median else None
        call(
            "nk_rasterize_fwd", **lists.arrays, slopes=slopes, image=image, alpha=alpha, median_depth=median,
            background=view.background,
        )  # fmt: skip
        ctx.view, ctx.inputs, ctx.lists = view, inputs, {**lists.arrays, "slopes": slopes}
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
        grad_slopes = None if ctx.lists["slopes"] is None else torch.empty_like(ctx.lists["slopes"])
        own = library_of(splats)
        columns = splats.shape[1] + (0 if grad_slopes is None else 2)
        call(
            "nk_rasterize_bwd", absolute=int(view.stats is not None), **ctx.lists, image=image, alpha=alpha,
            grad_image=grad_image.contiguous(), grad_alpha=None if grad_alpha is None else grad_alpha.contiguous(),
            scratch=None if own.lanes == 1 else _new(splats, own.threads * len(splats) * columns),
            grad_splats=grad_splats, grad_slopes=grad_slopes,
        )  # fmt: skip
        if view.stats is not None:
            call(
                "nk_splat_stats", width=view.width, height=view.height, splats=splats,
                grad_splats=grad_splats, **vars(view.stats),
            )  # fmt: skip
        out = {f"grad_{name}": torch.empty_like(tensor) for name, tensor in inputs.items()}
        call(
            "nk_project_bwd", **inputs, splats=splats, grad_splats=grad_splats, grad_slopes=grad_slopes, **out,
            **camera_arguments(view),
        )  # fmt: skip
        return *out.values(), None


def camera_arguments(view: View) -> dict[str, Any]:
    return {
        "degree": view.degree, "width": view.width, "height": view.height, "near": view.near,
        "cam_from_world": view.cam_from_world, "intrinsics": view.intrinsics, "antialiased": int(view.antialiased),
    }  # fmt: skip
