"""The learned tensors of the Gaussians, how they begin, and how their number changes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nerfkit.contracts import Gaussians
from nerfkit.core.curve import morton_order
from nerfkit.core.optim import FusedAdam
from nerfkit.core.reference import rotation_of
from nerfkit.value_transforms import (
    dc_from_rgb,
    logit_from_opacity,
    opacity_from_logit,
    opacity_from_logit_vjp,
    scale_from_log,
    scale_from_log_vjp,
)

NAMES = ("means", "quats", "log_scales", "logit_opacities", "sh")
_HIGHER_SH_RATE = 1 / 20  # Kerbl et al. 2023, section 7.1

Parameters = dict[str, Tensor]


def initial(
    points: Tensor, colors: Tensor, opacity: float, rng: torch.Generator, device: torch.device | str = "cpu"
) -> Parameters:
    """One isotropic Gaussian for each sparse point, on the device.

    Args:
        points: [P, 3] scene frame.
        colors: [P, 3] uint8.
        opacity: the same for all.
        rng: draws the rotations, which matter only once the scales differ.
    """
    count = len(points)
    scales = _spacing(points).clamp(1e-4, 0.1)
    made = {
        "means": points.clone(),  # [N, 3]
        "quats": torch.randn(count, 4, generator=rng),  # [N, 4]
        "log_scales": scales.log()[:, None].repeat(1, 3),  # [N, 3]
        "logit_opacities": logit_from_opacity(torch.full((count,), opacity)),  # [N]
        "sh": dc_from_rgb(colors.float() / 255)[:, None, :].clone(),  # [N, 1, 3]: higher degrees are added later
    }
    return {name: tensor.to(device) for name, tensor in made.items()}


def _spacing(points: Tensor, neighbours: int = 3) -> Tensor:
    """Root of the mean squared distance to the nearest points [P]."""
    from scipy.spatial import cKDTree

    if len(points) <= neighbours:
        return torch.full((len(points),), 0.01)
    distances, _ = cKDTree(points.numpy()).query(points.numpy(), k=neighbours + 1)
    return torch.from_numpy(distances[:, 1:]).square().mean(1).sqrt().float()


def activate(params: Parameters, antialiased: bool = False) -> Gaussians:
    """The Gaussians that the tensors stand for; differentiable."""
    return Gaussians(
        params["means"],
        params["quats"],
        scale_from_log(params["log_scales"]),
        opacity_from_logit(params["logit_opacities"]),
        params["sh"],
        antialiased,
    )


def add_gradients(params: Parameters, gaussians: Gaussians, gradients: Mapping[str, Tensor]) -> None:
    """Adds to the gradients of the tensors those of a loss of the Gaussians that they stand for."""
    own = {
        **gradients,
        "log_scales": scale_from_log_vjp(gaussians.scales, gradients["scales"]),
        "logit_opacities": opacity_from_logit_vjp(gaussians.opacities, gradients["opacities"]),
    }
    for name in NAMES:
        param = params[name]
        param.grad = own[name] if param.grad is None else param.grad + own[name]


def sh_columns(coefficients: int) -> Tensor:
    """Learning rates of SH coefficients relative to the constant one's [3 K]; on the CPU, where Adam wants them."""
    columns = torch.full((coefficients, 3), _HIGHER_SH_RATE)
    columns[0] = 1
    return columns.flatten()


def replace(params: Parameters, optimizer: FusedAdam, name: str, new: Tensor, moments: Tensor) -> None:
    """Puts ``new`` in place of a parameter; ``moments`` [N_new] says whose Adam moments each row keeps, -1: none."""
    old = params[name]
    new = new.contiguous().requires_grad_()

    def carry(moment: Tensor) -> Tensor:
        kept = moment[moments.clamp_min(0)]
        if kept.shape != new.shape:  # more SH coefficients than before
            kept = torch.cat([kept, kept.new_zeros(len(kept), new.shape[1] - kept.shape[1], 3)], 1)
        kept[moments < 0] = 0
        return kept.contiguous()

    optimizer.replace(old, new, carry)
    params[name] = new


def select_rows(params: Parameters, optimizer: FusedAdam, rows: Tensor, fresh: Tensor) -> None:
    """Keeps the Gaussians ``rows`` [M] (repeats allowed) in that order; ``fresh`` [M] marks those without moments."""
    moments = torch.where(fresh, -1, rows)
    for name in NAMES:
        replace(params, optimizer, name, params[name].detach()[rows], moments)


def raise_sh_degree(params: Parameters, optimizer: FusedAdam, degree: int) -> None:
    """Adds the coefficients up to ``degree``, at zero."""
    sh = params["sh"].detach()
    extra = sh.new_zeros(len(sh), (degree + 1) ** 2 - sh.shape[1], 3)
    replace(params, optimizer, "sh", torch.cat([sh, extra], 1), torch.arange(len(sh), device=sh.device))


def samples_within(params: Parameters, rows: Tensor, rng: torch.Generator) -> Tensor:
    """A point drawn from each Gaussian of ``rows``: [M, 3]; ``rng`` is of their device."""
    scales = params["log_scales"].detach()[rows].exp()
    offset = scales * torch.randn(scales.shape, generator=rng, device=scales.device)
    rotations = rotation_of(params["quats"].detach()[rows])
    return params["means"].detach()[rows] + (rotations @ offset[:, :, None])[:, :, 0]


def sort_along_curve(params: Parameters, optimizer: FusedAdam) -> None:
    """Puts the Gaussians into Morton order: blocks of neighbours are seen, or not, together."""
    order = morton_order(params["means"].detach())
    select_rows(params, optimizer, order, torch.zeros_like(order, dtype=torch.bool))
