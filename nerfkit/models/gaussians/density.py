"""How Gaussians are added and removed while training. Both ways grow along one schedule up to a cap."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nerfkit.core.optim import FusedAdam
from nerfkit.core.reference import rotation_of
from nerfkit.core.types import SplatStats
from nerfkit.models.devices import generator_on
from nerfkit.models.gaussians.config import Config
from nerfkit.models.gaussians.parameters import Parameters, samples_within, select_rows
from nerfkit.value_transforms import logit_from_opacity

_SPLIT_SHRINK = 1.6  # Kerbl et al. 2023, section 5.2
_CLONE_BELOW = 0.01  # scene units: smaller Gaussians are cloned, larger ones split
_MCMC_GROWTH = 1.05  # Kheradmand et al. 2024: at most 5 % more an event


def due_events(config: Config, progress: float) -> int:
    """How many densification events should have happened by now."""
    if progress < config.densify_from:
        return 0
    share = (progress - config.densify_from) / max(config.densify_until - config.densify_from, 1e-9)
    return min(config.densify_events, 1 + int(share * (config.densify_events - 1)))


def target_count(config: Config, first: int, cap: int, event: int) -> int:
    """The number of Gaussians after the given event: from ``first`` to ``cap``, fast at the start."""
    share = (event / config.densify_events) ** 0.75
    return round(first + max(0, cap - first) * share)


def grow_by_gradient(
    config: Config, params: Parameters, optimizer: FusedAdam, stats: SplatStats, target: int, rng: torch.Generator
) -> None:
    """Prunes, then splits or clones the Gaussians whose position the image pulls at most.

    The score is the mean length of the screen-space position gradient (Kerbl et al. 2023, section 5.2), in its
    absolute form (Ye et al. 2024, AbsGS); instead of a threshold, as many are taken as the schedule has room for.
    A clone shares the opacity with its original so that both together let the same light through (Rota Bulò et
    al. 2024, eq. 9).
    """
    opacities = torch.sigmoid(params["logit_opacities"].detach())
    keep = opacities >= config.prune_opacity
    score = torch.where(keep, stats.grad_sum / stats.count.clamp_min(1), 0)
    room = min(target - int(keep.sum()), int((score > 0).sum()))
    chosen = torch.topk(score, max(room, 0)).indices.sort().values
    largest = params["log_scales"].detach().amax(1).exp()
    split = chosen[largest[chosen] > _CLONE_BELOW]
    clone = chosen[largest[chosen] <= _CLONE_BELOW]

    rng = generator_on(score.device, rng)
    first, second = samples_within(params, split, rng), samples_within(params, split, rng)
    with torch.no_grad():
        shared = 1 - (1 - opacities[clone]).sqrt()
        params["logit_opacities"][clone] = logit_from_opacity(shared)
        params["log_scales"][split] -= math.log(_SPLIT_SHRINK)
        params["means"][split] = first
    kept = keep.nonzero()[:, 0]
    rows = torch.cat([kept, clone, split])
    fresh = torch.arange(len(rows), device=rows.device) >= len(kept)
    select_rows(params, optimizer, rows, fresh)
    with torch.no_grad():
        params["means"][len(rows) - len(split) :] = second


def relocate(config: Config, params: Parameters, optimizer: FusedAdam, target: int, rng: torch.Generator) -> None:
    """Moves dead Gaussians onto live ones and adds new ones there (3DGS-MCMC, Kheradmand et al. 2024, section 4)."""
    opacities = torch.sigmoid(params["logit_opacities"].detach())
    alive = opacities > config.prune_opacity
    live = alive.nonzero()[:, 0]
    if len(live) == 0:
        return
    total = max(len(opacities), min(target, int(_MCMC_GROWTH * len(opacities)) + 1))
    if total == len(live):
        return  # nothing is dead, and there is room for no more
    rng = generator_on(live.device, rng)
    picked = live[torch.multinomial(opacities[live], total - len(live), replacement=True, generator=rng)]
    copies = torch.bincount(picked, minlength=len(opacities)) + 1  # how many share each place
    rows = torch.cat([live, picked])
    opacity, scale = shared_opacity_and_scale(opacities[rows], copies[rows])
    fresh = copies[rows] > 1
    select_rows(params, optimizer, rows, fresh)
    with torch.no_grad():
        params["logit_opacities"].copy_(logit_from_opacity(opacity.clamp(config.prune_opacity, 1 - 1e-4)))
        params["log_scales"] += scale.log()[:, None]


def shared_opacity_and_scale(opacities: Tensor, copies: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity, and factor on the scales, for N equal Gaussians that replace one (Kheradmand et al. 2024, eq. 9).

    ``o_new = 1 - (1 - o)^(1/N)``;
    ``s_new / s = o / sum_{i=1..N} sum_{k=0..i-1} C(i-1, k) (-1)^k o_new^(k+1) / sqrt(k+1)``.
    """
    most = 50  # copies beyond change nothing that is seen
    copies = copies.clamp_max(most)
    shared = 1 - (1 - opacities.double()).pow(1 / copies)
    denominator = torch.zeros_like(shared)
    for count in copies.unique().tolist():
        rows = copies == count
        o = shared[rows]
        total = torch.zeros_like(o)
        for i in range(1, count + 1):
            k = torch.arange(i, dtype=torch.float64, device=o.device)
            binomial = torch.exp(math.lgamma(i) - torch.lgamma(k + 1) - torch.lgamma(i - k))
            terms = binomial * (-1) ** k * o[:, None] ** (k + 1) / (k + 1).sqrt()
            total += terms.sum(1)
        denominator[rows] = total
    factor = torch.where(copies > 1, opacities / denominator, torch.ones_like(denominator))
    return shared.float(), factor.clamp(1e-3, 1).float()


@torch.no_grad()
def add_noise(config: Config, params: Parameters, means_lr: float, rng: torch.Generator) -> None:
    """Stochastic-gradient Langevin noise on the means of nearly transparent Gaussians (ibid., eq. 8)."""
    opacities = torch.sigmoid(params["logit_opacities"])
    strength = torch.sigmoid(-100 * (opacities - 0.005)) * means_lr * config.noise_lr
    factor = rotation_of(params["quats"]) * params["log_scales"].exp()[:, None]  # [N, 3, 3]
    noise = torch.randn(params["means"].shape, generator=generator_on(opacities.device, rng), device=opacities.device)
    params["means"] += strength[:, None] * (factor @ (factor.transpose(1, 2) @ noise[:, :, None]))[:, :, 0]


def near_cameras(params: Parameters, centers: Tensor, distance: float) -> Tensor:
    """Gaussians within ``distance`` of a camera centre [C, 3]: floaters that hide the view. Bool [N]."""
    return torch.cdist(params["means"].detach(), centers.to(params["means"])).amin(1) < distance
