"""gsplat as a rasterizer (Ye et al. 2024, "gsplat: An Open-Source Library for Gaussian Splatting"); version 1.5."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Gaussians, RenderCore
from nerfkit.core._header import constants
from nerfkit.core.arguments import checked_degree
from nerfkit.core.delegate import Delegating
from nerfkit.core.photo_step import composed_photo_step
from nerfkit.core.types import Layers, Rasterized, SplatStats


class GsplatCore(Delegating):
    """Rasterizes through ``gsplat.rasterization``; everything else is done by another core.

    Conventions agree: quaternions w x y z of any length, SH in the Inria order, pixel centres at +0.5, the blur added
    to the 2D covariance, the clamped linearisation, the cut at 1/255, absolute gradients. What gsplat does otherwise:

    - a splat's alpha ends at 0.999, not at ALPHA_MAX: splats more opaque than that differ by up to 0.009 where they
      are densest;
    - the splat that would fill a pixel (transmittance 1e-4) is left out, not drawn: 1e-4 a / (1 - a) of it is missing
      at most, with a its alpha;
    - a splat counts as visible where its box, in whole pixels, touches the image; tiles are 16 pixels wide;
    - the gradients' sums have no fixed order: runs don't repeat to the byte;
    - a splat has one depth, that of its mean: calls that ask for depth are left to the other core as a whole.
    """

    name = "gsplat"
    photo_step = composed_photo_step

    def __init__(self, rest: RenderCore):
        super().__init__(rest)
        import gsplat

        self._rasterization = gsplat.rasterization

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
        """Draws Gaussians: see :meth:`nerfkit.core.native.NativeCore.rasterize`."""
        degree = checked_degree(gaussians, camera, degree)
        if median_depth or layers != "rgb" or len(gaussians) == 0:
            return self.rest.rasterize(
                gaussians, camera, background, degree=degree, layers=layers, near=near, median_depth=median_depth,
                stats=stats,
            )  # fmt: skip
        means = gaussians.means
        pose = camera.cam_from_world.to(means)
        behind = background.to(means)
        drawn, alpha, known = self._rasterization(
            means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh, pose,
            matrices(camera).to(means), camera.width, camera.height, near_plane=near,
            eps2d=constants()["SCREEN_BLUR"], sh_degree=degree, packed=False, backgrounds=behind[None],
            absgrad=stats is not None, rasterize_mode="antialiased" if gaussians.antialiased else "classic",
        )  # fmt: skip
        instances = len(known["flatten_ids"])
        if instances == 0:  # gsplat leaves pictures unwritten that nothing is seen in
            whole = torch.ones_like(alpha, dtype=torch.bool)
            drawn = drawn.masked_fill(whole, 0) + behind
            alpha = alpha.masked_fill(whole, 0)
        visible = (known["radii"][0] > 0).all(-1)
        if stats is not None:
            _gather(stats, known["means2d"], visible, camera)
        image = drawn[0].permute(2, 0, 1).contiguous()
        return Rasterized(image, alpha[0, :, :, 0], None, int(visible.sum()), instances, visible)


def matrices(camera: Cameras) -> Tensor:
    """The intrinsics as matrices: [C, 3, 3]."""
    fx, fy, cx, cy = camera.intrinsics.unbind(1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    rows = [[fx, zero, cx], [zero, fy, cy], [zero, zero, one]]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _gather(stats: SplatStats, means: Tensor, visible: Tensor, camera: Cameras) -> None:
    """Lets the backward pass add to the statistics what gsplat leaves at the projected means [1, N, 2]."""
    held: list[Any] = [means]  # let go of by the hook: a tensor's hook that holds the tensor keeps it for ever

    def add(grad: Tensor) -> None:
        stats.add(held.pop().absgrad[0], visible, camera.width, camera.height)

    if means.requires_grad:
        means.register_hook(add)
