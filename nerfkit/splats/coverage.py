"""What is left of the opacity of antialiased Gaussians, and Gaussians for viewers that know nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nerfkit.cameras import project
from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core._header import constants
from nerfkit.core.reference import rotation_of

_MOST_VIEWS = 64  # that say how large Gaussians are usually seen


def coverage(gaussians: Gaussians, eye: Tensor, focal: float) -> Tensor:
    """The share [N] of their opacity that Gaussians have once blurred to a pixel's size (Yu et al. 2024, eq. 10).

    As :func:`nerfkit.core.reference.project` has it in the middle of a picture: with the covariance across the line of
    sight r in place of its projection, whose determinant is ``r^T adj(Sigma) r``.

    Args:
        eye: [3] from where they are seen.
        focal: in pixels.
    """
    ray = gaussians.means - eye.to(gaussians.means)
    distance = ray.norm(dim=1).clamp_min(1e-12)
    along = torch.einsum("nij,ni->nj", rotation_of(gaussians.quats), ray / distance[:, None]).square()  # by axes
    pixels = (gaussians.scales * (focal / distance)[:, None]).square()  # variances
    x, y, z = pixels.unbind(1)
    determinant = (along * torch.stack([y * z, z * x, x * y], 1)).sum(1)
    trace = (pixels * (1 - along)).sum(1)
    blur = constants()["SCREEN_BLUR"]
    share = determinant / (determinant + blur * trace + blur**2)
    return share.clamp_min(constants()["COVERAGE_MIN"] ** 2).sqrt()


@torch.no_grad()
def plain(gaussians: Gaussians, cameras: Sequence[Cameras]) -> Gaussians:
    """Gaussians that look as antialiased ones do from where the cameras are, drawn without regard to their size.

    Each keeps its mean coverage in the views that see it. From nearer they are too faint, from farther too strong:
    as all are that were trained to be drawn so.

    Args:
        cameras: one pinhole camera (C = 1) for each view, in the Gaussians' frame.
    """
    if not gaussians.antialiased:
        return gaussians
    total, views = torch.zeros_like(gaussians.opacities), torch.zeros_like(gaussians.opacities)
    for camera in cameras[:: -(-len(cameras) // _MOST_VIEWS) or 1]:
        pixels, depth = project(camera, gaussians.means.to(camera.world_from_cam))
        inside = (pixels[0] >= 0) & (pixels[0] < pixels.new_tensor([camera.width, camera.height]))
        seen = (inside.all(1) & (depth[0] > 0)).to(total)
        focal = float(camera.intrinsics[0, :2].mean())
        total += seen * coverage(gaussians, camera.world_from_cam[0, :3, 3], focal)
        views += seen
    share = torch.where(views > 0, total / views.clamp_min(1), 1)
    return replace(gaussians, opacities=gaussians.opacities * share, antialiased=False)
