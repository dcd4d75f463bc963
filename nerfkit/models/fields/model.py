"""A scene model whose field is drawn along rays: everything but the field itself and where its samples lie."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.cameras import moved
from nerfkit.contracts import Cameras, Channel, FixedStep, Rays, RenderCore, Rendering
from nerfkit.core.optim import FusedAdam
from nerfkit.errors import NerfkitError
from nerfkit.machine import available_memory
from nerfkit.models.devices import generator_on, seed_of, sent
from nerfkit.models.fields.batches import Batch, PixelBatches
from nerfkit.models.fields.config import FieldConfig
from nerfkit.models.fields.crop import Cropped
from nerfkit.models.fields.depth import Colorless, normals, surface
from nerfkit.models.fields.draw import Drawn, Field, Room, Sampler, middles
from nerfkit.models.fields.exposure import RATE, RayExposures
from nerfkit.models.fields.pace import LOOKED_AT_PER_SAMPLE, MOST_RAYS, Count, Pace
from nerfkit.models.fields.tally import Tally
from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

log = logging.getLogger("nerfkit")

_FIRST_RAYS = 256
_FEWEST_SAMPLES = 1024
_SAMPLE_BYTES = 400  # for a sample's place, colour and gradients, whatever the field
_DRAWN_PER_TRAINED = 4
_LOOKED_AT_SHARE = 3  # samples that are only looked at leave a third as much behind
_HUBER = 0.1  # differences above it count linearly
_EMPTY = 1e-3  # opacity of a pixel that shows nothing


class FieldModel:
    """Batches of rays, losses, learning rates, drawing and checkpoints (:class:`nerfkit.contracts.SceneModel`)."""

    name: ClassVar[str]

    def __init__(
        self, config: FieldConfig, scene: Scene, core: RenderCore, device: torch.device, sampler: Sampler, field: Field,
        groups: list[dict[str, Any]], betas: tuple[float, float],
    ):  # fmt: skip
        """Args: device: where all of this lies."""
        self.config, self.scene, self.core, self.device = config, scene, core, device
        self.sampler, self.field = sampler, field
        self.space = sampler.space
        self.exposures = RayExposures(scene, device) if config.exposure == "on" else None
        if self.exposures is not None:
            groups = [*groups, {"name": "exposure", "params": [self.exposures.offsets], "rate": RATE}]
        groups = [{"rate": 1.0, **group} for group in groups]
        self.optimizer = FusedAdam([{**group, "lr": config.lr * group["rate"]} for group in groups], core, betas=betas)
        self.params = {group["name"]: group["params"][0] for group in groups}
        self.optimizers = {"adam": self.optimizer}
        light = 1.0 if self._background_kind() in ("random", "white") else 0.0
        self.background = torch.full((3,), light, device=device)
        self.ignores_masks = config.masks == "ignore" and not scene.has_alpha
        self.batches = PixelBatches(scene, core, device, self.ignores_masks)
        self.batch, self.drawn_batch = self._fitting_batches()
        self.pace = Pace(self.batch, self._first_rays())
        self.sample_count = 0  # shaded in training so far
        self._rng = torch.Generator().manual_seed(0)
        self._numbers: torch.Generator | None = None  # of the GPU, for fixed steps
        self._shaded = 0  # samples in the last step
        self._tally: Tally | None = None  # of steps whose samples nothing waits for
        self._for_surfaces: Sampler | None = None

    def _fitting_batches(self) -> tuple[int, int]:
        """Samples of a training step, as many as are asked for, or fit into the memory; and those of a picture's part,
        which keep nothing for gradients: more on a GPU, which would else wait for Python."""
        assert self.config.memory is not None and self.config.batch is not None
        ahead = LOOKED_AT_PER_SAMPLE / _LOOKED_AT_SHARE if self.sampler.looks_ahead else 0
        of_sample = (_SAMPLE_BYTES + self.field.sample_bytes) * (1 + ahead)
        memory = self.config.memory
        if self.device.type == "cuda":  # a run that began elsewhere knows that device's memory only
            memory = min(memory, available_memory(str(self.device)) / 2**31)
        most = int(memory * 2**30 / of_sample)
        if most < _FEWEST_SAMPLES:
            raise NerfkitError(
                f"--{self.name}.memory {memory:g}: a training step of the {self.name} model takes at least "
                f"{_FEWEST_SAMPLES * of_sample / 2**30:.2f} GiB; give it more, or a smaller network"
            )
        if most < self.config.batch:
            log.info("a training step takes %d samples instead of %d, to fit into %.2f GiB", most, self.config.batch,
                     memory)  # fmt: skip
        batch = min(self.config.batch, most)
        return batch, min(_DRAWN_PER_TRAINED * batch, most) if self.device.type == "cuda" else batch

    def _first_rays(self) -> int:
        """Rays to begin with; as many as surely fit where memory is short."""
        if self.batch == self.config.batch:
            return _FIRST_RAYS
        return max(1, min(self.batch // self.sampler.usual_samples, _FIRST_RAYS))

    # --- training -----------------------------------------------------------------------------------------

    def losses(self, progress: float, rng: torch.Generator) -> Mapping[str, Tensor]:
        """The difference of random pixels of the training photos, drawn and photographed."""
        self._rng = rng
        return self._losses(self.batches.draw(self.pace.rays, rng), rng)

    def fixed_step(self, rng: torch.Generator) -> FixedStep | None:
        """A step on a GPU that holds the photos, with arrays of samples whose sizes are known."""
        kind = self.sampler.kind_of_step
        # Other cores than nerfkit's may ask what a GPU has found.
        if kind is None or self.core.name != "nerfkit" or not self.batches.are_resident():
            return None
        self._rng = rng
        self._hear()
        places, of_each = self.batches.choose(self.pace.rays, rng)
        room = self.pace.room
        if self._numbers is None:
            self._numbers = torch.Generator(self.device)
        numbers = self._numbers
        numbers.manual_seed(seed_of(rng))

        def losses(places: Tensor) -> Mapping[str, Tensor]:
            return self._losses(self.batches.draw_resident(places, of_each, numbers), numbers, room)

        inputs = (sent(torch.tensor(places), self.device),)
        return FixedStep((kind, len(places), of_each, room), inputs, numbers, losses)

    def _losses(self, batch: Batch, rng: torch.Generator, room: Room | None = None) -> Mapping[str, Tensor]:
        background = self.background
        if self._background_kind() == "random":
            background = torch.rand(len(batch.colors), 3, generator=generator_on(self.device, rng), device=self.device)
        target = batch.over(background)
        passes = self.sampler.draw(self.field, self.space.local_rays(batch.rays), rng, room)
        self._count(passes, len(target))
        losses = {}
        for index, drawn in enumerate(passes):
            of_pass = "photo" if index == len(passes) - 1 else f"photo_{index}"
            seen = batch.where_shown(self._seen(drawn, batch, background), target)
            losses[of_pass] = self._difference(seen, target, None if drawn.found is None else drawn.found.whole)
        losses |= passes[-1].losses
        weight = self.sampler.usual_distortion if self.config.distortion is None else self.config.distortion
        if weight > 0:
            losses["distortion"] = weight * self._distortion(passes[-1])
        return losses

    def _seen(self, drawn: Drawn, batch: Batch, background: Tensor) -> Tensor:
        """The drawn colours [R, 3] as the training photos have them; the background of a cut-out has no exposure."""
        if self.exposures is None:
            return drawn.over(background)
        if batch.alphas is None:
            return self.exposures.expose(drawn.over(background), batch.photos)
        of_scene = self.exposures.expose(drawn.rgb, batch.photos, 1 - drawn.transmittance)
        return of_scene + drawn.transmittance[:, None] * background

    def _distortion(self, drawn: Drawn) -> Tensor:
        """What is spread out along rays (Barron et al. 2022, eq. 15), on a scale where what is far counts little."""
        if drawn.edges is not None:
            start, end = drawn.edges[:, :-1].reshape(-1), drawn.edges[:, 1:].reshape(-1)
        else:
            start, end = (self.sampler.scale.of(t) for t in (drawn.samples.t_start, drawn.samples.t_end))
        return self.core.distortion(drawn.weights, start, end, drawn.samples.offsets)[: len(drawn.rgb)].mean()

    def _difference(self, rgb: Tensor, target: Tensor, counted: Tensor | None = None) -> Tensor:
        """The mean over all rays, or over those that are ``counted`` [R] bool."""
        if counted is not None:
            rgb = torch.where(counted[:, None], rgb, target)
        if self.config.loss == "l2":
            mean = torch.nn.functional.mse_loss(rgb, target)
        else:  # as steep as the square is near zero
            mean = 2 * torch.nn.functional.huber_loss(rgb, target, delta=_HUBER)
        return mean if counted is None else mean * len(rgb) / counted.sum().clamp_min(1)

    def _count(self, passes: list[Drawn], rays: int) -> None:
        """Lets the next step follow what this one has found. A fixed step that is done again finds the same, or tells
        later."""
        found = passes[-1].found
        if found is None:
            count = Count(rays, sum(drawn.looked_at for drawn in passes), sum(drawn.shaded for drawn in passes))
            self._shaded = count.shaded
            self.pace.follow(count)
            return
        if self._tally is None:
            self._tally = Tally(self.device)
        self._tally.note(found)

    def _hear(self) -> None:
        """Follows what the step before the last has found, if it tells only now."""
        count = None if self._tally is None else self._tally.heard()
        if count is not None:
            self.sample_count += count.shaded
            self.pace.follow_seldom(count)

    def after_backward(self, progress: float) -> None:
        """Nothing."""

    def after_step(self, progress: float) -> None:
        """Lets the sampler look where there is anything, and sets the learning rate."""
        if self._tally is None:
            self.sample_count += self._shaded
        else:
            self._tally.send(self.pace.rays)
        self.sampler.after_step(self.field, self._rng)
        self._for_surfaces = None
        config = self.config
        fallen = max(0.0, (progress - config.lr_from) / (1 - config.lr_from)) if config.lr_from < 1 else 0.0
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * group["rate"] * config.final_lr**fallen
        if self.exposures is not None:
            self.exposures.center()

    def _background_kind(self) -> str:
        if self.config.background != "auto":
            return self.config.background
        return "random" if self.scene.has_alpha else "black"

    # --- use ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def render(
        self, camera: Cameras, channels: frozenset[Channel] = frozenset({"rgb"}), progress: ProgressSink = quiet
    ) -> Rendering:
        """Draws one pinhole camera over the model's background, some rays at a time.

        With depth come ``extras["median_depth"]`` [H, W], where half the light is gone, 0 where it never is, and
        ``extras["confidence"]`` [H, W], 0 to 1: how sharply the light ends there. Without colours mist is passed by,
        which hides no surface but takes long to draw.

        Raises:
            NerfkitError: the field is empty.
        """
        camera = moved(camera, self.device)
        pixels = cameras.pixel_centers(camera.width, camera.height).view(-1, 2).to(self.device)

        def through(part: slice) -> Rays:
            first = torch.zeros(len(pixels[part]), dtype=torch.int64, device=self.device)
            return self.core.rays(camera, first, pixels[part])

        out = self._drawn(through, len(pixels), channels, camera.world_from_cam[0, :3, 2], progress)
        out = {name: value.view(camera.height, camera.width, *value.shape[1:]) for name, value in out.items()}
        return self._rendering(out)

    @torch.no_grad()
    def draw_rays(self, rays: Rays, channels: frozenset[Channel] = frozenset({"rgb"})) -> Rendering:
        """What rays of the scene frame [R] see, over the model's background, some at a time.

        Channels are [R] or [R, 3], and depths distances; otherwise as :meth:`render`, errors included.
        """

        def some(part: slice) -> Rays:
            origins, directions, index = (
                whole[part].to(self.device) for whole in (rays.origins, rays.directions, rays.camera_index)
            )
            return Rays(origins, directions, index, None if rays.radii is None else rays.radii[part].to(self.device))

        return self._rendering(self._drawn(some, len(rays.origins), channels))

    def _drawn(
        self, rays_of: Callable[[slice], Rays], count: int, channels: frozenset[Channel], forward: Tensor | None = None,
        progress: ProgressSink = quiet,
    ) -> dict[str, Tensor]:  # fmt: skip
        """The channels of ``count`` rays of no photo, as many at a time as fit into the memory.

        Args:
            forward: [3] along which depths are; None: along each ray.

        Raises:
            NerfkitError: the field is empty.
        """
        if self.sampler.empty:
            raise NerfkitError(
                "the model is empty: its occupancy grid holds nothing, so that every picture would be blank; train it "
                "anew, longer or with a lower --lr, and check the scene's poses"
            )
        field, sampler = self.field, self.sampler
        if not channels & {"rgb", "normal"}:
            field, sampler = Colorless(field), self._surface_sampler()
        parts: list[dict[str, Tensor]] = []
        done, at_once = 0, self._first_rays()
        while done < count:
            rays = rays_of(slice(done, min(done + at_once, count)))
            rays = dataclasses.replace(rays, camera_index=torch.full_like(rays.camera_index, -1))
            drawn = sampler.draw(field, self.space.local_rays(rays))[-1]
            parts.append(self._pixels(drawn, rays, forward, channels))
            done += len(rays.origins)
            share = self.drawn_batch / max(1, drawn.shaded + drawn.looked_at / LOOKED_AT_PER_SAMPLE)
            at_once = max(1, min(int(len(rays.origins) * min(share, 2.0)), MOST_RAYS))
            progress("pixels", done, count)
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _rendering(self, drawn: dict[str, Tensor]) -> Rendering:
        extras: dict[str, Tensor] = {name: drawn.pop(name) for name in ("median_depth", "confidence") if name in drawn}
        return Rendering(**drawn, background=self.background, extras=extras)

    def cropped(self, inside: Callable[[Tensor], Tensor]) -> Self:
        """The model with an empty field wherever points of the scene aren't ``inside``, for drawing alone."""
        part = copy.copy(self)
        part.field = Cropped(self.field, self.space, inside)
        part.sampler = self.sampler.cropped(lambda field: Cropped(field, self.space, inside))
        part._for_surfaces = None
        return part

    def _surface_sampler(self) -> Sampler:
        """The sampler for depth without colours, made once for all pictures of a field that isn't trained meanwhile."""
        if self._for_surfaces is None:
            self._for_surfaces = self.sampler.for_surfaces(self.field)
        return self._for_surfaces

    def _pixels(
        self, drawn: Drawn, rays: Rays, forward: Tensor | None, channels: frozenset[Channel]
    ) -> dict[str, Tensor]:
        """The channels of some rays (scene frame): [R] or [R, 3]."""
        out: dict[str, Tensor] = {}
        alpha = 1 - drawn.transmittance
        if "rgb" in channels:
            out["rgb"] = drawn.over(self.background).clamp(0, 1)
        if "alpha" in channels:
            out["alpha"] = alpha
        if "depth" in channels:
            cosine = 1 if forward is None else rays.directions @ forward  # z of a unit of distance
            t = self.space.scene_distances(rays, middles(drawn.samples), drawn.samples.ray_index)
            mean = drawn.sum_of(t[:, None])[:, 0] / alpha.clamp_min(_EMPTY)
            out["depth"] = torch.where(alpha > _EMPTY, mean * cosine, 0)
            middle, out["confidence"] = surface(self.field, self.space, self.core, drawn, rays)
            out["median_depth"] = middle * cosine
        if "normal" in channels:
            out["normal"] = normals(self.field, self.space, self.core, drawn, rays)
        return out

    @torch.no_grad()
    def density(self, xyz: Tensor) -> Tensor:
        """Volume density [P] at scene points [P, 3], per scene unit; 0 where the model knows that nothing is."""
        local = self.space.local(xyz)
        return torch.where(self.sampler.holds(local), self.field.density(local) * self.space.stretch(local), 0)

    @torch.no_grad()
    def radiance(self, xyz: Tensor, directions: Tensor) -> Tensor:
        """Colours [P, 3] of scene points [P, 3] seen along unit ``directions`` [P, 3]."""
        rays = self.space.local_rays(Rays(xyz, directions, torch.full((len(xyz),), -1, device=xyz.device)))
        index = torch.arange(len(xyz), dtype=torch.int32, device=xyz.device)
        return self.field.shade(self.space.local(xyz), rays, index)[1]

    def statistics(self) -> Mapping[str, float]:
        return {"samples": self.sample_count, "rays": self.pace.rays}

    # --- checkpoints --------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "params": {name: param.detach() for name, param in self.params.items()},
            "moments": self.optimizer.moments(self.params),
            "lr": self.optimizer.param_groups[0]["lr"],
            "sampler": self.sampler.state_dict(),
            "queue": self.batches.queue,
            "ray_count": self.pace.rays,
            "sample_count": self.sample_count,
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises NerfkitError: the state is that of a model with other parts."""
        other = sorted(state["params"].keys() ^ self.params.keys())
        if other:
            raise NerfkitError(
                f"the checkpoint is of a model with other parts ({', '.join(other)}): config.toml is not its own, or "
                "another version of nerfkit made it; put that config.toml back, or train anew"
            )
        for name, param in self.params.items():
            param.copy_(state["params"][name])
        self.optimizer.restore(self.params, state["moments"])
        for group in self.optimizer.param_groups:
            group["lr"] = state["lr"] * group["rate"]
        if self.exposures is not None:
            self.exposures.has_begun = "exposure" in state["moments"]  # not in a checkpoint from before the first step
        self.sampler.load_state_dict(state["sampler"])
        self._for_surfaces = None
        self.batches.queue = [int(place) for place in state["queue"]]
        self.pace = Pace(self.batch, int(state["ray_count"]))
        self.sample_count = int(state["sample_count"])
        if self._tally is not None:
            self._tally.forget()
