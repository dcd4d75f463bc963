"""Rays through pixels through the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Rays
from nerfkit.core._header import constants
from nerfkit.core._library import call


def rays(cameras: Cameras, camera_index: Tensor, pixels: Tensor) -> Rays:
    """Unit rays in the world frame through pixels, and their cones' radii: see :func:`nerfkit.cameras.rays`.

    Differentiable in ``world_from_cam``, ``intrinsics`` and ``distortion`` of the cameras, through origins and
    directions; distortion by the implicit function, not through the iterations that invert it. Not differentiable in
    the pixels, and the radii have no gradient. Gradients depend on the number of threads, by rounding only.

    Args:
        cameras: C cameras of any model; their values are taken in single precision, on the pixels' device.
        camera_index: [R] int64, 0 to C - 1.
        pixels: [R, 2] float32, in pixels, centres at +0.5.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
        RuntimeError: an index of no camera.
    """
    place = pixels.device
    distortion = None if cameras.distortion is None else cameras.distortion.to(place, torch.float32)
    origins, directions, radii = _Rays.apply(  # type: ignore[no-untyped-call]
        cameras.world_from_cam.to(place, torch.float32), cameras.intrinsics.to(place, torch.float32), distortion,
        camera_index, pixels, cameras,
    )  # fmt: skip
    return Rays(origins, directions, camera_index, radii)


class _Rays(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, world_from_cam: Tensor, intrinsics: Tensor, distortion: Tensor | None, camera_index: Tensor,
        pixels: Tensor, cameras: Cameras,
    ) -> Any:  # fmt: skip
        arrays = {
            "world_from_cam": world_from_cam, "intrinsics": intrinsics, "distortion": distortion,
            "camera_index": camera_index, "pixels": pixels,
        }  # fmt: skip
        ctx.arguments = {
            "width": cameras.width, "height": cameras.height,
            "model": int(constants()[f"CAMERA_{cameras.model.upper()}"]),
            **{name: None if array is None else array.detach().contiguous() for name, array in arrays.items()},
        }  # fmt: skip
        origins, directions = (pixels.new_empty(len(pixels), 3) for _ in range(2))
        radii = pixels.new_empty(len(pixels))
        call("nk_rays_fwd", **ctx.arguments, origins=origins, directions=directions, radii=radii)
        ctx.mark_non_differentiable(radii)
        return origins, directions, radii

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        names = ("world_from_cam", "intrinsics", "distortion")
        inputs = {name: ctx.arguments[name] for name in names}
        out = {f"grad_{name}": None if array is None else torch.empty_like(array) for name, array in inputs.items()}
        call(
            "nk_rays_bwd", **ctx.arguments, grad_origins=grads[0].contiguous(), grad_directions=grads[1].contiguous(),
            **out,
        )  # fmt: skip
        return *out.values(), None, None, None
