"""What models of rays share: space, batches, visual hull, occupancy, drawing."""

from __future__ import annotations

import dataclasses
import logging
import math
import re
from pathlib import Path

import forked
import imageio.v3 as iio
import numpy as np
import pytest
import torch
from torch import Tensor

from nerfkit import cameras, models
from nerfkit.contracts import Cameras, HasDensity, Rays, Samples, SceneModel
from nerfkit.core import choose_core
from nerfkit.core.reference_core import ReferenceCore
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.models.fields.appearance import Appearance
from nerfkit.models.fields.batches import PixelBatches
from nerfkit.models.fields.depth import Colorless, distance_at, refined
from nerfkit.models.fields.draw import Drawn, composite, middles
from nerfkit.models.fields.hull import fitting_cube, possible_cells
from nerfkit.models.fields.marcher import Marcher
from nerfkit.models.fields.occupied import OccupiedSpace
from nerfkit.models.fields.space import Space
from nerfkit.models.ngp.config import Config
from nerfkit.models.ngp.model import Model

RADIUS = 0.3  # of the ball that the photos show
SMALL = Config(batch=4096, grid_cells=32, log2_size=12, levels=4, finest=64, samples=64)


def paint(normal: Tensor) -> Tensor:
    """The ball's colours: waves, so that photos tell where the surface is."""
    return 0.5 + 0.4 * torch.sin(9 * normal)


def write_ball(folder: Path, count: int = 24, side: int = 48, dimmed: float = 1.0) -> Path:
    """Photos of a painted ball at the origin with alpha, as transforms.json; two of four are ``dimmed``."""
    import json

    (folder / "images").mkdir(parents=True)
    frames = []
    for index in range(count):
        angle, height = 2 * np.pi * index / count, 0.6 * (-1) ** index
        eye = torch.tensor([np.cos(angle), np.sin(angle), height], dtype=torch.float32)
        pose = cameras.look_at(eye, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
        camera = Cameras(pose[None], torch.tensor([[0.9 * side, 0.9 * side, side / 2, side / 2]]), side, side)
        pixels = cameras.pixel_centers(side, side).view(-1, 2)
        rays = cameras.rays(camera, torch.zeros(len(pixels), dtype=torch.int64), pixels)
        b = (rays.origins * rays.directions).sum(1)
        inside = b * b - (rays.origins**2).sum(1) + RADIUS**2
        t = -b - inside.clamp_min(0).sqrt()
        normal = (rays.origins + t[:, None] * rays.directions) / RADIUS
        light = dimmed if index % 4 < 2 else 1.0
        rgba = torch.cat([light * paint(normal), (inside > 0)[:, None].float()], 1) * (inside > 0)[:, None]
        iio.imwrite(folder / f"images/{index:02d}.png", (rgba.view(side, side, 4) * 255).byte().numpy())
        pose[:3, 1:3] *= -1
        frames.append({"file_path": f"images/{index:02d}.png", "transform_matrix": pose.tolist()})
    intrinsics = {"fl_x": 0.9 * side, "fl_y": 0.9 * side, "cx": side / 2, "cy": side / 2, "w": side, "h": side}
    (folder / "transforms.json").write_text(json.dumps({**intrinsics, "frames": frames}))
    return folder


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene.load(write_ball(tmp_path_factory.mktemp("ball") / "scene"))


@pytest.fixture(scope="module")
def radius(ball: Scene) -> float:
    return RADIUS * ball.scene_from_world.scale


@pytest.fixture(scope="module")
def trained(ball: Scene) -> Model:
    model = Model.create(SMALL, ball, choose_core(), torch.device("cpu"))
    train(model, 500)
    return model


# --- space ------------------------------------------------------------------------------------------------


def test_contraction_keeps_the_cube_and_holds_all_of_space() -> None:
    def contract(xyz: Tensor) -> Tensor:
        return Space(contracted=True).to_cube(xyz, ReferenceCore(), -2, 2)

    inner = torch.rand(100, 3, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(contract(inner), inner)
    outer = torch.randn(1000, 3, dtype=torch.float64) * 100
    size = outer.abs().amax(1)
    torch.testing.assert_close(contract(outer).abs().amax(1), torch.where(size > 1, 2 - 1 / size.clamp_min(1), size))
    directions = torch.nn.functional.normalize(outer, dim=1)
    torch.testing.assert_close(torch.nn.functional.normalize(contract(outer), dim=1), directions)


@pytest.mark.parametrize("contracted", [False, True])
def test_the_unit_cube_is_filled(contracted: bool) -> None:
    space = Space((1.0, 2.0, 3.0), 0.5, contracted, 3 if contracted else 1)
    corner = space.local(torch.tensor([[1.5, 2.5, 3.5], [0.5, 1.5, 2.5], [1.0, 2.0, 3.0]]))
    side = 0.25 if contracted else 0.5
    cube = torch.tensor([[0.5 + side] * 3, [0.5 - side] * 3, [0.5] * 3])
    torch.testing.assert_close(space.to_cube(corner, choose_core()), cube)
    torch.testing.assert_close(space.to_cube(corner, choose_core(), -1, 1), 2 * cube - 1)


def test_ranges_are_where_rays_are_inside() -> None:
    space = Space(half=0.5)
    origins = torch.tensor([[-2.0, 0, 0], [0, 0, 0], [-2, 2, 0], [0, 0.5, -1]])
    directions = torch.tensor([[1.0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]])
    ranges = space.ranges(Rays(origins, directions, torch.zeros(4, dtype=torch.int64)), 0.1, choose_core())
    torch.testing.assert_close(ranges[:2], torch.tensor([[1.5, 2.5], [0.1, 0.5]]))
    assert ranges[2, 0] >= ranges[2, 1]  # passes by
    torch.testing.assert_close(ranges[3], torch.tensor([0.5, 1.5]))  # along a face


# --- batches ----------------------------------------------------------------------------------------------


def test_batches_are_the_photos_pixels(ball: Scene) -> None:
    batch = PixelBatches(ball, choose_core()).draw(500, torch.Generator().manual_seed(3))
    assert batch.alphas is not None
    assert 0.1 < float(batch.alphas.mean()) < 0.9
    for index in range(0, len(batch.colors), 37):
        view = ball.views[ball.train[int(batch.rays.camera_index[index])]]
        xyz = batch.rays.origins[index] + 0.7 * batch.rays.directions[index]
        pixel, _ = cameras.project(view.camera, xyz[None])
        x, y = (pixel[0, 0] - 0.5).round().long().tolist()
        mask = view.mask()
        assert mask is not None
        torch.testing.assert_close(batch.alphas[index], mask[y, x] / 255)
        torch.testing.assert_close(batch.colors[index], view.image()[y, x] / 255 * (mask[y, x] / 255))
    white = batch.over(torch.ones(3))
    torch.testing.assert_close(white[batch.alphas == 0], torch.ones(int((batch.alphas == 0).sum()), 3))


def test_every_photo_is_drawn_from_in_a_pass(ball: Scene) -> None:
    batches, rng = PixelBatches(ball, choose_core()), torch.Generator().manual_seed(0)
    seen = {int(index) for _ in range(2) for index in batches.draw(6, rng).rays.camera_index}
    assert len(seen) > 6


# --- hull -------------------------------------------------------------------------------------------------


def test_the_hull_holds_the_ball_and_little_else(ball: Scene, radius: float) -> None:
    cells = possible_cells(ball, torch.zeros(3), 1.0, 64, by_alpha=True)
    axis = (torch.arange(64) + 0.5) / 32 - 1
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    center = ball.scene_from_world.points(torch.zeros(1, 3, dtype=torch.float64))[0].float()
    distance = torch.stack([x, y, z], -1).sub(center).norm(dim=-1)
    assert bool(cells[distance < radius].all())
    assert float((cells & (distance > 1.5 * radius + 0.1)).sum()) == 0
    found = fitting_cube(cells, torch.zeros(3), 1.0)
    assert found is not None
    assert radius <= found[1] < 1.6 * radius + 0.1


def test_no_cell_no_cube() -> None:
    assert fitting_cube(torch.zeros(8, 8, 8, dtype=torch.bool), torch.zeros(3), 1.0) is None


# --- occupancy --------------------------------------------------------------------------------------------


def density_of_ball(xyz: Tensor) -> Tensor:
    return torch.where(xyz.norm(dim=1) < 0.3, 100.0, 0.0)


@pytest.mark.parametrize("levels", [1, 3])
def test_occupied_is_where_density_is(levels: int) -> None:
    space = Space(half=0.5, contracted=levels > 1, cascades=levels)
    occupied = OccupiedSpace(space, torch.ones(levels, 16, 16, 16, dtype=torch.bool), 0.01)
    rng = torch.Generator().manual_seed(0)
    for _ in range(30):
        occupied.refresh(density_of_ball, 4000, rng)
    points = torch.rand(5000, 3, generator=rng) * 1.6 - 0.8
    holds = occupied.grid.holds(points)
    assert bool(holds[points.norm(dim=1) < 0.28].all())
    assert not bool(holds[points.norm(dim=1) > 0.3 + 0.12].any())


def test_what_vanishes_is_forgotten_and_emptiness_is_looked_at_again(caplog: pytest.LogCaptureFixture) -> None:
    occupied = OccupiedSpace(Space(), torch.ones(1, 16, 16, 16, dtype=torch.bool), 0.01)
    rng = torch.Generator().manual_seed(0)
    occupied.refresh(density_of_ball, 1 << 20, rng)
    some = int(occupied.grid.unpack().sum())
    assert 0 < some < 16**3
    for _ in range(200):
        occupied.refresh(lambda xyz: torch.zeros(len(xyz)), 1 << 20, rng)
    assert bool(occupied.grid.unpack().all())
    assert "empty everywhere" in caplog.text


# --- drawing ----------------------------------------------------------------------------------------------


def test_the_median_distance_is_where_half_the_light_is_gone() -> None:
    offsets = torch.tensor([0, 3, 3, 5], dtype=torch.int32)
    start = torch.tensor([1.0, 2, 3, 1, 2])
    samples = Samples(start, start + 1, offsets, torch.tensor([0, 0, 0, 2, 2], dtype=torch.int32))
    drawn = Drawn(torch.zeros(3, 3), torch.zeros(3), torch.tensor([0.2, 0.4, 0.2, 0.1, 0.2]), samples)
    inside = math.log(0.8 / 0.5) / math.log(0.8 / 0.4)  # of the sample in which light falls from 0.8 to 0.4
    assert distance_at(drawn, 0.5).tolist() == pytest.approx([2 + inside, 0.0, 0.0])
    assert distance_at(drawn, 0.8).tolist() == pytest.approx([2.0, 0.0, 2 + math.log(9 / 8) / math.log(9 / 7)])
    mean = torch.tensor([[0.2 * 1.5 + 0.4 * 2.5 + 0.2 * 3.5], [0], [0.1 * 1.5 + 0.2 * 2.5]])
    torch.testing.assert_close(drawn.sum_of(middles(samples)[:, None]), mean)


class Wall:
    """Solid from z = 0 on, with mist of the density before it."""

    sample_bytes, cones = 4, False

    def __init__(self, density: float, mist: float = 0.0):
        self.inside, self.mist = density, mist

    def density(self, xyz_local: Tensor, variance: Tensor | None = None) -> Tensor:
        return torch.where(xyz_local[:, 2] > 0, self.inside, self.mist)

    def shade(
        self, xyz_local: Tensor, rays: Rays, ray_index: Tensor, variance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.density(xyz_local), torch.ones_like(xyz_local)


def rays_at_wall(count: int) -> Rays:
    """From heights that lie anyhow to the samples, straight down the z axis and slanting."""
    origins = torch.tensor([0.1, 0.05, -0.9]) + torch.linspace(0, 0.1, count)[:, None] * torch.tensor([0.0, 0, 1])
    directions = torch.nn.functional.normalize(torch.tensor([[0.1, 0.0, 1.0]]), dim=1).expand(count, 3)
    return Rays(origins, directions, torch.full((count,), -1))


@pytest.mark.parametrize("density", [60.0, 1000.0])
def test_depth_is_finer_than_the_march(density: float) -> None:
    space, core, rays = Space(half=1.0), choose_core(), rays_at_wall(97)
    possible = torch.ones(1, 32, 32, 32, dtype=torch.bool)
    marcher, wall = Marcher(space, possible, core, 64, 0.02), Wall(density)
    step = marcher.steps.least
    drawn = marcher.draw(wall, rays)[-1]
    truth = -rays.origins[:, 2] / rays.directions[:, 2] + math.log(2) / density
    coarse, fine = distance_at(drawn, 0.5), distance_at(refined(wall, rays, drawn, core), 0.5)
    assert float((coarse - truth).abs().max()) > 0.4 * step  # a sample tells no more than its middle
    # Half of a half (the sample and the gap before it, in four), and a bit since opacities are kept below 1.
    assert float((fine - truth).abs().max()) < 0.31 * step
    assert float((fine - truth).mean()) == pytest.approx(0, abs=0.06 * step)


def test_pictures_without_colors_pass_mist_by_and_ask_for_none() -> None:
    space, core, rays = Space(half=1.0), choose_core(), rays_at_wall(9)
    possible = torch.ones(1, 32, 32, 32, dtype=torch.bool)
    marcher, field = Marcher(space, possible, core, 64, 0.02), Wall(1000.0, mist=1.0)
    solid = marcher.for_surfaces(field)
    through, past = marcher.draw(Colorless(field), rays)[-1], solid.draw(Colorless(field), rays)[-1]
    assert past.looked_at < 0.7 * through.looked_at and bool((past.rgb == 0).all())
    truth = -rays.origins[:, 2] / rays.directions[:, 2]
    assert float((distance_at(refined(field, rays, past, core), 0.5) - truth).abs().max()) < 0.3 * marcher.steps.least
    assert bool(marcher.occupied.grid.unpack().all())  # the one that trains stays as it was
    mist = marcher.for_surfaces(Wall(1.0, mist=1.0))  # nothing is solid: what there is, is drawn
    assert float((1 - mist.draw(Wall(1.0, mist=1.0), rays)[-1].transmittance).min()) > 0.5


def test_rounds_of_samples_are_those_of_one_march_in_order() -> None:
    space, core, rays = Space(half=1.0), choose_core(), rays_at_wall(9)
    marcher = Marcher(space, torch.ones(1, 32, 32, 32, dtype=torch.bool), core, 256, 0.02)
    fog = Wall(3.0, mist=3.0)  # lets light through for several rounds
    whole, rounds = marcher.draw(Colorless(fog), rays)[-1], marcher.for_surfaces(fog).draw(Colorless(fog), rays)[-1]
    counts, of_whole = rounds.samples.offsets.diff(), whole.samples.offsets.diff()
    assert bool((counts > 24).all()) and bool((counts <= of_whole).all())
    rank = torch.arange(len(whole.samples.t_start)) - whole.samples.offsets[whole.samples.ray_index]
    first = rank < counts[whole.samples.ray_index]
    for name in ("t_start", "t_end", "ray_index"):
        assert torch.equal(getattr(rounds.samples, name), getattr(whole.samples, name)[first]), name
    torch.testing.assert_close(rounds.weights, whole.weights[first])
    assert float((rounds.transmittance - whole.transmittance).max()) < 0.03  # what is left of the light isn't followed


@pytest.mark.parametrize(("density", "looked_at"), [(3.0, 1.0), (200.0, 0.9)])
def test_pictures_are_those_of_one_march_but_for_what_lies_in_the_dark(density: float, looked_at: float) -> None:
    space, core, rays = Space(half=1.0), choose_core(), rays_at_wall(9)
    marcher = Marcher(space, torch.ones(1, 32, 32, 32, dtype=torch.bool), core, 256, 0.02)
    wall = Wall(density, mist=0.5)
    ranges, jitter = space.ranges(rays, marcher.near, core), torch.full((9,), 0.5)
    whole = composite(wall, rays, core.march(rays, ranges, jitter, marcher.occupied.grid, marcher.steps), core)
    drawn = marcher.draw(wall, rays)[-1]
    background = torch.tensor([0.2, 0.5, 0.9])
    assert float((drawn.over(background) - whole.over(background)).abs().max()) < 0.25 / 255
    assert drawn.looked_at <= looked_at * whole.shaded


def test_a_trained_model_shows_the_ball(ball: Scene, trained: Model, radius: float) -> None:
    assert isinstance(trained, SceneModel)
    view = ball.views[ball.held_out[0]]
    drawn = trained.render(view.camera, frozenset({"rgb", "alpha", "depth", "normal"}))
    mask = view.mask()
    assert drawn.rgb is not None and drawn.alpha is not None and drawn.depth is not None and drawn.normal is not None
    assert mask is not None
    assert float((drawn.alpha - mask / 255).abs().mean()) < 0.05
    middle = ball.views[0].camera.height // 2
    center = ball.scene_from_world.points(torch.zeros(1, 3, dtype=torch.float64))[0].float()
    expected = float((view.camera.world_from_cam[0, :3, 3] - center).norm()) - radius
    assert float(drawn.depth[middle, middle]) == pytest.approx(expected, rel=0.06)
    assert float(drawn.extras["median_depth"][middle, middle]) == pytest.approx(expected, rel=0.06)
    sure = drawn.extras["confidence"]
    assert float(sure.min()) >= 0 and float(sure.max()) <= 1 and float(sure[0, 0]) == 0
    assert float(sure[middle - 6 : middle + 6, middle - 6 : middle + 6].mean()) > 0.3
    plain = trained.render(view.camera, frozenset({"alpha", "depth"}))
    assert plain.rgb is None and plain.alpha is not None
    assert float((plain.alpha - drawn.alpha).abs().mean()) < 0.02
    near = (plain.extras["median_depth"] - drawn.extras["median_depth"]).abs()
    assert float(near[sure > 0.2].max()) < 0.02  # in fuzz mist counts
    assert int((sure > 0.2).sum()) > 100
    towards = -view.camera.world_from_cam[0, :3, 2]
    near_middle = drawn.normal[middle - 6 : middle + 6, middle - 6 : middle + 6].reshape(-1, 3)
    assert float((near_middle @ towards).mean()) > 0.55
    assert bool((drawn.normal[0, 0] == 0).all())
    truth = view.image() / 255 * (mask / 255)[..., None] + (1 - mask / 255)[..., None]
    assert float(((drawn.rgb - truth) ** 2).mean()) < 0.01


def test_density_and_radiance_are_those_of_the_scene(ball: Scene, trained: Model, radius: float) -> None:
    assert isinstance(trained, HasDensity)
    center = ball.scene_from_world.points(torch.zeros(1, 3, dtype=torch.float64)).float()
    direction = torch.tensor([[0.0, 0, 1]])
    shell = center + 0.97 * radius * torch.nn.functional.normalize(torch.randn(200, 3), dim=1)
    assert float(trained.density(shell).median()) > 5 / radius
    assert float(trained.density(center + 2 * radius * direction)) == 0
    colors = trained.radiance(center + radius * direction, -direction)
    normal = torch.tensor([[0.0, 0, 1]]).double() @ ball.scene_from_world.rotation
    torch.testing.assert_close(colors, paint(normal.float()), atol=0.15, rtol=0)


def test_an_empty_model_says_so(ball: Scene) -> None:
    model = Model.create(SMALL, ball, choose_core(), torch.device("cpu"))
    assert isinstance(model.sampler, Marcher)
    model.sampler.occupied.grid.bits.zero_()
    with pytest.raises(NerfkitError, match="the model is empty"):
        model.render(ball.views[0].camera)


def test_rays_follow_the_batch_of_samples(ball: Scene, trained: Model) -> None:
    rng = torch.Generator().manual_seed(1)
    trained.losses(0.5, rng)
    before = trained.sample_count
    trained.losses(0.5, rng)
    trained.after_step(1.0)
    assert 0.5 * SMALL.batch < trained.sample_count - before < 1.5 * SMALL.batch


def test_the_batch_shrinks_to_fit_into_the_memory(ball: Scene, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "nerfkit"):
        small = Model.create(Config(memory=0.02), ball, choose_core(), torch.device("cpu"))
    assert 1024 <= small.batch < small.config.batch
    assert "to fit into 0.02 GiB" in caplog.text
    half = Model.create(Config(memory=0.01), ball, choose_core(), torch.device("cpu"))
    assert half.batch == pytest.approx(small.batch / 2, abs=1)
    with pytest.raises(NerfkitError, match=r"--ngp\.memory 0\.0001: a training step of the ngp model takes at least"):
        Model.create(Config(memory=0.0001), ball, choose_core(), torch.device("cpu"))


def gib_of_training(name: str, folder: Path, options: dict[str, object], memory: float) -> tuple[int, int, float]:
    """The batches with a tenth and with all of the memory, and how far the process grows by training with
    the latter and drawing a picture."""

    def used() -> float:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found is not None
        return int(found[1]) / 2**20

    def take_steps(memory: float, steps: int) -> SceneModel:
        config = models.config_class(name)(batch=1 << 19, memory=memory, **options)
        model = models.model_class(name).create(config, scene, choose_core(), torch.device("cpu"))
        train(model, steps)
        return model

    scene = Scene.load(folder)
    tenth = take_steps(memory / 10, 3).batch
    before = used()
    model = take_steps(memory, 30)
    model.render(scene.views[0].camera)
    return tenth, model.batch, used() - before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ngp", {"grid_cells": 32, "log2_size": 12}),
        ("ngp", {"grid_cells": 32, "log2_size": 12, "sampler": "proposals"}),
        ("nerf", {"grid_cells": 32}),
        ("nerf", {"preset": "paper", "depth": 4, "width": 64, "skip": 2, "bf16": False}),
    ],
)
def test_a_training_step_stays_within_its_memory(name: str, options: dict[str, object], tmp_path: Path) -> None:
    status, given = forked.run(gib_of_training, name, write_ball(tmp_path / "scene"), options, 0.12)
    assert status == 0, given
    tenth, batch, gib = given
    assert 5 * tenth < batch < 1 << 19, "the memory is what bounds the batch"
    assert 0.01 < gib < 0.12, "neither more than was allowed, nor next to nothing"


def test_the_distortion_loss_is_that_of_the_rays(ball: Scene, trained: Model) -> None:
    config = trained.config
    try:
        trained.config = dataclasses.replace(config, distortion=0.5)
        losses = trained.losses(0.5, torch.Generator().manual_seed(1))
    finally:
        trained.config = config
    assert losses.keys() == {"photo", "distortion"}
    assert 0 < losses["distortion"].item() < 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": 3}, "--ngp.features 3: must be 1, 2, 4 or 8"),
        ({"sh_degree": 5}, "--ngp.sh-degree 5: must be 0 to 3"),
        ({"width": 0}, "--ngp.width 0: must be 1 to 1024"),
        ({"coarsest": 64, "finest": 32}, "--ngp.coarsest 64: must be from 1 to --ngp.finest 32"),
        ({"batch": 1}, "--ngp.batch 1: must be 1024 or more"),
        ({"grid_cells": 100}, "--ngp.grid-cells 100: must be a multiple of 32"),
    ],
)
def test_options_without_sense_are_told(ball: Scene, options: dict[str, int], words: str) -> None:
    with pytest.raises(NerfkitError, match=words.replace(".", r"\.")):
        Model.create(Config(**options), ball, choose_core(), torch.device("cpu"))


# --- appearance -------------------------------------------------------------------------------------------


def test_renders_see_the_mean_of_the_photos_appearances() -> None:
    appearance = Appearance(photos=2, size=3)
    with torch.no_grad():
        appearance.params["appearance"].copy_(torch.tensor([[0.0, 2, 4], [2.0, 4, 8]]))
    rays = Rays(torch.zeros(3, 3), torch.zeros(3, 3), torch.tensor([1, -1, 0]))
    beside = appearance.beside(torch.ones(3, 1), rays)
    assert beside.tolist() == [[1, 2, 4, 8], [1, 1, 3, 6], [1, 0, 2, 4]]


def test_what_differs_between_photos_goes_into_their_appearance(tmp_path: Path) -> None:
    scene = Scene.load(write_ball(tmp_path / "scene", dimmed=0.4))
    losses = {}
    for size in (0, 2):
        config = dataclasses.replace(SMALL, appearance=size, background="black")
        model = Model.create(config, scene, choose_core(), torch.device("cpu"))
        losses[size] = sum(train(model, 300)[-50:])
    assert losses[2] < 0.7 * losses[0]


def train(model: Model, steps: int) -> list[float]:
    """Trains a new model; gives the loss of each step."""
    rng, losses = torch.Generator().manual_seed(0), []
    for step in range(steps):
        loss = torch.stack(list(model.losses(step / steps, rng).values())).sum()
        loss.backward()
        model.optimizer.step()
        model.optimizer.zero_grad()
        model.after_step(step / steps)
        losses.append(float(loss.detach()))
    return losses
