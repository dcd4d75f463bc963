"""What is left of a pruned scene, fitted to how the whole scene looked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nerfkit import value_transforms as values
from nerfkit.contracts import Cameras, Gaussians, RenderCore
from nerfkit.progress import ProgressSink, quiet
from nerfkit.splats.blocks import select
from nerfkit.splats.stream import put, sound

STEPS = 400
_SSIM_WEIGHT = 0.2
_RATES = {"log_scales": 0.005, "logits": 0.03, "quats": 0.002, "dc": 0.006, "higher": 0.0006}
_MEANS_RATE = 0.02  # of a Gaussian's own size at a step
_LAST_RATE = 0.1  # of the rates, at the last step


def refit(
    core: RenderCore,
    pruned: Gaussians,
    cameras: Sequence[Cameras],
    pictures: Sequence[Tensor],
    background: Tensor,
    *,
    near: float,
    steps: int = STEPS,
    seed: int = 0,
    progress: ProgressSink = quiet,
) -> Gaussians:
    """Changes the Gaussians, but not their number, until they look more like the pictures.

    L1 and SSIM on one picture a step, as in training (Kerbl et al. 2023, eq. 7), with rates that fall to a tenth.

    Args:
        cameras: one pinhole camera (C = 1) for each picture.
        pictures: [H, W, 3] uint8.
        background: [3] behind the pictures.
        near: Gaussians nearer than this to a camera are left out.
    """
    rows: dict[str, Tensor] = {
        "moves": torch.zeros_like(pruned.means),  # in units of the Gaussian's own size, so that one rate suits all
        "log_scales": values.log_from_scale(pruned.scales),
        "logits": values.logit_from_opacity(pruned.opacities),
        "quats": torch.nn.functional.normalize(pruned.quats, dim=1),
        "dc": pruned.sh[:, :1].clone(),
        "higher": pruned.sh[:, 1:].clone(),
    }
    for tensor in rows.values():
        tensor.requires_grad_()
    groups = [{"params": [rows[name]], "lr": _RATES.get(name, _MEANS_RATE)} for name in rows]
    optimizer = torch.optim.Adam(groups, eps=1e-15, foreach=True)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, _LAST_RATE ** (1 / steps))
    sizes = pruned.scales.mean(1, keepdim=True)
    rng = torch.Generator().manual_seed(seed)
    queue: list[int] = []
    for step in range(steps):
        queue = queue or torch.randperm(len(cameras), generator=rng).tolist()
        index = queue.pop()
        drawn = core.rasterize(_activated(pruned, rows, sizes), cameras[index], background, near=near)
        target = core.target((pictures[index].float() / 255).permute(2, 0, 1).contiguous())
        optimizer.zero_grad()
        core.photometric_loss(drawn.rgb, target, _SSIM_WEIGHT).backward()
        optimizer.step()
        schedule.step()
        progress("fitting what is left", step + 1, steps)
    with torch.no_grad():
        fitted = _activated(pruned, {name: tensor.detach() for name, tensor in rows.items()}, sizes)
        lost = ~sound(fitted)  # of values so large that their gradients aren't finite
        put(fitted, lost, select(pruned, lost))
    return fitted


def _activated(pruned: Gaussians, rows: dict[str, Tensor], sizes: Tensor) -> Gaussians:
    return Gaussians(
        means=pruned.means + rows["moves"] * sizes,
        quats=rows["quats"],
        scales=values.scale_from_log(rows["log_scales"]),
        opacities=values.opacity_from_logit(rows["logits"]),
        sh=torch.cat([rows["dc"], rows["higher"]], 1),
        antialiased=pruned.antialiased,
    )
