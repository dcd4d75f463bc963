"""3D Gaussians as a scene model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Channel, Gaussians, RenderCore, Rendering
from nerfkit.core.directions import unit
from nerfkit.core.optim import FusedAdam
from nerfkit.core.types import Layers, PhotoStep, Rasterized, SplatStats, Target
from nerfkit.errors import NerfkitError
from nerfkit.models.devices import sent
from nerfkit.models.gaussians import consistency, density, geometry
from nerfkit.models.gaussians.config import COARSE_UNTIL, Config, default_cap
from nerfkit.models.gaussians.exposure import PictureExposures
from nerfkit.models.gaussians.parameters import (
    NAMES,
    Parameters,
    activate,
    add_gradients,
    initial,
    raise_sh_degree,
    select_rows,
    sh_columns,
    sort_along_curve,
)
from nerfkit.models.gaussians.targets import Targets, halved
from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_SH_DEGREE_EVERY = 0.08  # progress between two degrees
_RANDOM_UNTIL = 0.8  # progress until which colours behind scenes without an alpha channel are random
_TIDY_EVERY = 10  # densifications
_FLOATER_DISTANCE = 0.02  # scene units (cameras lie in the unit ball): nearer to a camera is no scene


class Model:
    """The Gaussians, their optimizer, and the photos they are fitted to."""

    name: ClassVar[str] = "gaussians"

    def __init__(self, config: Config, scene: Scene, core: RenderCore, params: Parameters):
        """On the device of the parameters; cameras and background stay on the CPU, from where they go with a launch."""
        self.config, self.scene, self.core, self.device = config, scene, core, params["means"].device
        self.params = {name: params[name].requires_grad_() for name in NAMES}
        rates = {"means": config.means_lr, "quats": config.quats_lr, "log_scales": config.scales_lr,
                 "logit_opacities": config.opacities_lr, "sh": config.sh_lr}  # fmt: skip
        groups = [
            {"params": [self.params[name]], "lr": rates[name], "base": rates[name], "name": name} for name in NAMES
        ]
        self.optimizer = FusedAdam(groups, core)
        self._set_sh_columns()
        self.optimizers = {"adam": self.optimizer}
        self.exposures: PictureExposures | None = None
        if config.exposure == "on":
            self.exposures = PictureExposures(scene, core, config.exposure_lr, self.device)
            self.optimizers["exposures"] = self.exposures.optimizer
        is_white = scene.has_alpha if config.background in (None, "auto") else config.background != "black"
        self.background = torch.ones(3) if is_white else torch.zeros(3)  # of renders
        self.stats = SplatStats.zeros(len(self), self.device)
        self.cap = config.cap or default_cap(scene, self.device.type)
        self.first_count = len(self)
        self.events = 0  # densifications done
        self.queue: list[int] = []  # views left in this pass over the photos
        self.ignores_masks = config.masks == "ignore" and not scene.has_alpha
        self.targets = Targets(scene, core, self.device, self.ignores_masks, self.background)
        self._rng = torch.Generator().manual_seed(0)
        self.neighbours: list[list[int]] | None = None  # of each training photo, places in scene.train

    @classmethod
    def create(cls, config: Config, scene: Scene, core: RenderCore, device: torch.device) -> Self:
        """Begins from the scene's sparse points.

        Raises:
            NerfkitError: the scene has no points or no training views, or the options make no sense.
        """
        config.check(cls.name)
        if not scene.train:
            raise NerfkitError(f"{scene.source}: no photos are left to train on; --hold-out-every 0 trains on all")
        rng = torch.Generator().manual_seed(1)
        points, colors = scene.points, scene.point_colors
        cap = config.cap or default_cap(scene, device.type)
        if len(points) > cap:
            chosen = torch.randperm(len(points), generator=rng)[:cap].sort().values
            points, colors = points[chosen], colors[chosen]
        return cls(config, scene, core, initial(points, colors, config.initial_opacity, rng, device))

    def __len__(self) -> int:
        return len(self.params["means"])

    # --- training -----------------------------------------------------------------------------------------

    def losses(self, progress: float, rng: torch.Generator) -> Mapping[str, Tensor]:
        """L1 + SSIM on one photo, and what makes surfaces; every photo is used once before any is used again.

        Where the photo's loss is that of the drawn colours as they are, its gradients are found at once.
        """
        self._rng = rng
        if not self.queue:
            self.queue = torch.randperm(len(self.scene.train), generator=rng).tolist()
        photo = self.queue.pop()
        index = self.scene.train[photo]
        level = self._level(progress)
        background = torch.rand(3, generator=rng) if self._is_random_behind(progress) else self.background
        densifying = self.config.density == "split" and progress < self.config.densify_until
        camera = halved(self.scene.views[index].camera, level)
        shaping = self._is_shaping(progress)
        stats = self.stats if densifying else None
        target, shown = self.targets.of(index, background, level)
        if not shaping and shown is None and self.exposures is None:
            losses = {"photo": self._learned(camera, background, target, stats)}
        else:
            splats = activate(self.params, self.config.antialiased)
            layers: Layers = "rgb+depth+normal" if shaping else "rgb"
            drawn = self.core.rasterize(splats, camera, background, layers=layers, median_depth=shaping, stats=stats)
            self._note_drawn(drawn)
            image = self._exposed(drawn, photo, background)
            if shown is not None:  # what is hidden is as it should be: nothing is learned of it
                image = torch.lerp(target.planes, image, shown)
            losses = {"photo": self.core.photometric_loss(image, target, self.config.ssim_weight)}
            if shaping:
                losses |= self._surface_losses(drawn, camera)
            if shaping and self.config.patch_weight and progress >= self.config.patch_from:
                losses["patches"] = self.config.patch_weight * self._patch_loss(photo, drawn, splats, level, rng)
        if self.config.density == "mcmc":  # Kheradmand et al. 2024, eq. 10
            losses["opacity"] = 0.01 * torch.sigmoid(self.params["logit_opacities"]).mean()
            losses["scale"] = 0.01 * self.params["log_scales"].exp().mean()
        return losses

    def _surface_losses(self, drawn: Rasterized, camera: Cameras) -> dict[str, Tensor]:
        """What brings Gaussians onto the surface that one view shows."""
        return {
            "normal": self.config.normal_weight * geometry.normal_loss(drawn, camera),
            "median": self.config.median_weight * geometry.median_loss(drawn),
            "flatness": self.config.flat_weight * geometry.flatness_loss(self.params["log_scales"]),
        }

    def _learned(self, camera: Cameras, background: Tensor, target: Target, stats: SplatStats | None) -> Tensor:
        """The loss of a photo, whose gradients the parameters get."""
        splats = self.gaussians()
        step = self.core.photo_step(splats, camera, background, target, self.config.ssim_weight, stats=stats)
        self._note_drawn(step)
        add_gradients(self.params, splats, step.gradients)
        return step.loss

    def _note_drawn(self, drawn: Rasterized | PhotoStep) -> None:
        if self.config.sparse_adam and drawn.in_view is not None:
            self.optimizer.drawn = (drawn.in_view != 0).to(torch.uint8)

    def _exposed(self, drawn: Rasterized, photo: int, background: Tensor) -> Tensor:
        """The drawn colours [3, H, W] as the training photo has them."""
        if self.exposures is None:
            return drawn.rgb
        is_cut_out = not self.ignores_masks and self.scene.views[self.scene.train[photo]].has_mask
        behind = (sent(background, self.device), 1 - drawn.alpha) if is_cut_out else None
        return self.exposures.expose(drawn.rgb, photo, behind)

    def _is_shaping(self, progress: float) -> bool:
        """Whether this step is also for the surface: a share of them are, from some progress on."""
        if not self.config.geometry or progress < self.config.geometry_from:
            return False
        return float(torch.rand((), generator=self._rng)) < self.config.geometry_share

    def _patch_loss(self, photo: int, drawn: Rasterized, splats: Gaussians, level: int, rng: torch.Generator) -> Tensor:
        """How unlike the surface of this training photo looks in a neighbouring one, chosen at random; both halved as
        ``drawn`` is."""
        if self.neighbours is None:
            self.neighbours = consistency.neighbours([self.scene.views[index].camera for index in self.scene.train])
        near = self.neighbours[photo]
        if not near:
            return torch.zeros((), device=self.device)
        other = near[int(torch.randint(len(near), (), generator=rng))]
        here, there = (self.scene.views[self.scene.train[place]] for place in (photo, other))
        half = halved(there.camera, max(level, 1))  # tells well enough what is in front of what
        with torch.no_grad():
            depth = self.core.rasterize(
                splats, half, self.background, degree=0, layers="rgb+depth", median_depth=True
            ).median_depth
        assert depth is not None
        return consistency.patch_loss(
            drawn, halved(here.camera, level), self.targets.greys(here, level), halved(there.camera, level),
            self.targets.greys(there, level), depth, rng,
        )  # fmt: skip

    def after_backward(self, progress: float) -> None:
        """Nothing: the backward pass itself gathers the statistics."""

    def after_step(self, progress: float) -> None:
        """Densifies when it is time, raises the SH degree, and sets the learning rates."""
        if self.config.density == "mcmc":
            density.add_noise(self.config, self.params, self._group("means")["lr"], self._rng)
        due = density.due_events(self.config, progress)
        if due > self.events:
            self.events = due
            self._densify(density.target_count(self.config, self.first_count, self.cap, due))
        degree = min(self.config.sh_degree, int(progress / _SH_DEGREE_EVERY))
        if (degree + 1) ** 2 > self.params["sh"].shape[1]:
            raise_sh_degree(self.params, self.optimizer, degree)
            self._set_sh_columns()
        for group in self.optimizer.param_groups:
            final = self.config.means_final_lr if group["name"] == "means" else self.config.final_lr
            group["lr"] = group["base"] * final**progress
        if self.exposures is not None:
            self.exposures.set_rate(progress)
            if not self.queue:
                self.exposures.center()

    def _densify(self, target: int) -> None:
        if self.config.density == "mcmc":
            density.relocate(self.config, self.params, self.optimizer, target, self._rng)
        else:
            density.grow_by_gradient(self.config, self.params, self.optimizer, self.stats, target, self._rng)
        if self.events % _TIDY_EVERY == 0 or self.events == self.config.densify_events:
            self._remove_floaters()
            sort_along_curve(self.params, self.optimizer)
        self.stats = SplatStats.zeros(len(self), self.device)

    def _remove_floaters(self) -> None:
        centers = torch.cat([self.scene.views[i].camera.world_from_cam[:, :3, 3] for i in self.scene.train])
        rows = (~density.near_cameras(self.params, centers, _FLOATER_DISTANCE)).nonzero()[:, 0]
        if len(rows) < len(self):
            select_rows(self.params, self.optimizer, rows, torch.zeros_like(rows, dtype=torch.bool))

    def _group(self, name: str) -> dict[str, Any]:
        return next(group for group in self.optimizer.param_groups if group["name"] == name)

    def _set_sh_columns(self) -> None:
        self._group("sh")["columns"] = sh_columns(self.params["sh"].shape[1])

    def _is_random_behind(self, progress: float) -> bool:
        """Whether this step has another colour behind the scene. Before black, dark things are learned as holes.

        The last steps of photos that fill their frames are before the colour of renders: what little is still
        see-through then would else have learnt to be before the mean of all colours, and renders be too dark.
        """
        if self.config.background in (None, "auto"):
            return self.scene.has_alpha or progress < _RANDOM_UNTIL
        return self.config.background == "random"

    def _level(self, progress: float) -> int:
        """How often the photos' sides are halved at this point of the training.

        Coarse photos first: they cost a fraction, and what they teach holds for the fine ones (as in Chen et al.
        2025, DashGaussian).
        """
        levels, until = self.config.coarse_levels, self.config.coarse_until
        until = COARSE_UNTIL if until is None else until
        return 0 if progress >= until else levels - int(progress / until * levels)

    # --- use ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def render(
        self, camera: Cameras, channels: frozenset[Channel] = frozenset({"rgb"}), progress: ProgressSink = quiet
    ) -> Rendering:
        """Draws one pinhole camera over the model's background.

        ``extras["median_depth"]`` [H, W] comes with depth: the mean depth of the middle half of the light, 0 where
        less than half of it is gone.
        """
        layers: Layers = "rgb"
        if "depth" in channels:
            layers = "rgb+depth"
        if "normal" in channels:
            layers = "rgb+depth+normal"
        drawn = self.core.rasterize(
            self.gaussians(), camera, self.background, layers=layers, median_depth="depth" in channels
        )
        out = Rendering(background=self.background)
        if "rgb" in channels:
            out.rgb = drawn.rgb.permute(1, 2, 0).clamp(0, 1)
        if "alpha" in channels:
            out.alpha = drawn.alpha
        if "depth" in channels:
            out.depth = drawn.mean_depth()
            if drawn.median_depth is not None:
                out.extras["median_depth"] = drawn.median_depth
        if "normal" in channels:
            out.normal = unit(drawn.normal).permute(1, 2, 0)
        return out

    @torch.no_grad()
    def cropped(self, inside: Callable[[Tensor], Tensor]) -> Model:
        """The Gaussians whose centres are ``inside``, for drawing alone: what learns is left with the whole model."""
        part = copy.copy(self)
        keep = inside(self.params["means"].detach())
        part.params = {name: tensor.detach()[keep] for name, tensor in self.params.items()}
        return part

    def gaussians(self) -> Gaussians:
        """The model's Gaussians in the scene frame, detached."""
        return activate({name: tensor.detach() for name, tensor in self.params.items()}, self.config.antialiased)

    def statistics(self) -> Mapping[str, float]:
        return {"gaussians": len(self)}

    # --- checkpoints --------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "params": {name: tensor.detach() for name, tensor in self.params.items()},
            "moments": self.optimizer.moments(self.params),
            "rates": {group["name"]: group["lr"] for group in self.optimizer.param_groups},
            "stats": vars(self.stats),
            "cap": self.cap,
            "first_count": self.first_count,
            "events": self.events,
            "queue": self.queue,
            "exposures": None if self.exposures is None else self.exposures.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for group in self.optimizer.param_groups:
            name = group["name"]
            self.params[name] = state["params"][name].to(self.device, copy=True).requires_grad_()
            group["params"] = [self.params[name]]
            group["lr"] = state["rates"][name]
        self.optimizer.restore(self.params, state["moments"])
        self._set_sh_columns()
        self.stats = SplatStats(**{name: tensor.to(self.device, copy=True) for name, tensor in state["stats"].items()})
        self.cap = int(state.get("cap", self.cap))  # goes on elsewhere as it began
        self.first_count, self.events = int(state["first_count"]), int(state["events"])
        self.queue = [int(i) for i in state["queue"]]
        if self.exposures is not None:
            self.exposures.load_state_dict(state["exposures"])
