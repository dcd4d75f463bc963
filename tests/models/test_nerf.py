"""The NeRF model: its networks, samplers, cones and normalised device coordinates."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from test_fields import write_ball

from nerfkit import cameras
from nerfkit.contracts import Cameras, Rays, Samples
from nerfkit.core import choose_core
from nerfkit.core.dense import dense
from nerfkit.core.reference_core import ReferenceCore
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.models.fields.cones import cone_moments
from nerfkit.models.fields.marcher import Marcher
from nerfkit.models.fields.ndc import NdcSpace, ndc_space
from nerfkit.models.fields.proposals import Proposals
from nerfkit.models.fields.space import Space
from nerfkit.models.nerf.config import Config
from nerfkit.models.nerf.field import scale_of
from nerfkit.models.nerf.model import Model
from nerfkit.models.nerf.networks import WideNetwork
from nerfkit.models.nerf.sampler import CoarseToFine
from nerfkit.train.metrics import psnr
from nerfkit.train.passes import backward

FAST = Config(batch=4096, grid_cells=32, samples=64, depth=2, width=32, frequencies=5)
PAPER = Config(preset="paper", batch=8192, depth=3, width=64, frequencies=5, coarse=24, fine=24, skip=2, lr=3e-3)


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene.load(write_ball(tmp_path_factory.mktemp("ball"), side=32), downscale=1)


def trained(config: Config, scene: Scene, steps: int) -> Model:
    torch.manual_seed(0)
    model = Model.create(config, scene, choose_core(), torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    for step in range(steps):
        for optimizer in model.optimizers.values():
            optimizer.zero_grad()
        backward(model.losses(step / steps, rng))
        for optimizer in model.optimizers.values():
            optimizer.step()
        model.after_step((step + 1) / steps)
    return model


def held_out_psnr(model: Model, scene: Scene) -> float:
    view = scene.views[scene.held_out[0]]
    mask = view.mask()
    assert mask is not None
    alpha = mask.float()[..., None] / 255
    truth = view.image().float() / 255 * alpha + model.background * (1 - alpha)
    drawn = model.render(view.camera).rgb
    assert drawn is not None
    return psnr(drawn, truth)


@pytest.mark.parametrize(
    "config",
    [
        FAST,
        PAPER,
        dataclasses.replace(FAST, antialias=True),
        dataclasses.replace(PAPER, antialias=True),
        dataclasses.replace(FAST, sampler="proposals"),
    ],
    ids=["fast", "paper", "fast with cones", "paper with cones", "fast by proposals"],
)
def test_it_learns_what_the_photos_show(config: Config, ball: Scene) -> None:
    model = trained(config, ball, 250 if config.preset == "fast" else 150)
    assert held_out_psnr(model, ball) > 17  # a blank picture: 11


# --- samplers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sampler", "mist"),
    [
        ({}, Marcher, 0), ({"space": "contracted"}, Proposals, 0), ({"sampler": "proposals"}, Proposals, 0),
        ({"space": "contracted", "sampler": "grid"}, Marcher, 1),
    ],
)  # fmt: skip
def test_space_without_end_is_drawn_by_proposals(
    options: dict[str, str], sampler: type, mist: float, ball: Scene
) -> None:
    model = Model.create(dataclasses.replace(FAST, **options), ball, choose_core(), torch.device("cpu"))
    assert isinstance(model.sampler, sampler) and model.space.first_log_density == mist
    assert any("guide" in name for name in model.params) == (sampler is Proposals)


def test_the_paper_preset_stays_as_it_is(ball: Scene) -> None:
    config = dataclasses.replace(PAPER, space="contracted")
    model = Model.create(config, ball, choose_core(), torch.device("cpu"))
    assert isinstance(model.sampler, CoarseToFine) and model.space.first_log_density == 1
    assert not any("guide" in name for name in model.params)


def test_older_runs_go_on_as_they_began() -> None:
    assert Config.kept({"depth": 3}).sampler == "grid" and Config.kept({"preset": "paper"}).sampler == "auto"
    assert Config.kept({"sampler": "auto"}).sampler == "auto" == Config().sampler


# --- networks ---------------------------------------------------------------------------------------------


def test_the_paper_preset_is_the_published_network() -> None:
    network = WideNetwork(63, 27, Config(preset="paper").for_device("cpu"), torch.Generator().manual_seed(0))
    count = sum(param.numel() for param in network.params.values())
    assert count == 595_844  # of the original code's figure 7 network
    assert network.params["layer_5.weight"].shape == (256, 256 + 63)


def test_bfloat16_is_near_float32() -> None:
    rng = torch.Generator().manual_seed(0)
    input, weight, bias = (torch.randn(*shape, generator=rng) for shape in ((64, 32), (16, 32), (16,)))
    exact = dense(input, weight, bias, bf16=False)
    weight.requires_grad_()
    near = dense(input, weight, bias, bf16=True)
    assert near.dtype == torch.bfloat16
    assert float((near.detach().float() - exact).norm() / exact.norm()) < 1e-2
    near.float().sum().backward()
    assert weight.grad is not None and weight.grad.dtype == torch.float32


def test_wide_products_come_in_few_sizes() -> None:
    network = WideNetwork(
        9, 9, Config(preset="paper", depth=2, width=8).for_device("cpu"), torch.Generator().manual_seed(0)
    )
    points, of_ray = torch.randn(3000, 9), torch.randn(2, 9)
    sizes = set()
    for count in range(1, 3001, 7):
        hidden = network.hidden(points[:count])
        assert count <= len(hidden) < count + max(64, count / 8)
        sizes.add(len(hidden))
    assert len(sizes) < 40
    short, long = network.hidden(points[:100]), network.hidden(points[:3000])
    torch.testing.assert_close(short[:100], long[:100])
    index = torch.arange(3000) % 2
    colors = [network.color(short, of_ray, index[:100]), network.color(long, of_ray, index)]
    torch.testing.assert_close(colors[0][:100], colors[1][:100])


def test_options_that_are_given_win_over_the_preset() -> None:
    config = Config(preset="paper", depth=3, lr=0.1).for_device("cpu")
    assert (config.depth, config.lr, config.width, config.loss) == (3, 0.1, 256, "l2")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"preset": "quick"}, "preset"), ({"depth": 0}, "depth"), ({"width": 256}, "width"), ({"fine": 0}, "fine"),
        ({"preset": "paper", "sampler": "grid"}, "sampler grid: the paper preset"), ({"sampler": "march"}, "sampler"),
        ({"raw_noise": -1.0}, "raw-noise"), ({"disparity": True}, "disparity"), ({"activation": "elu"}, "activation"),
        ({"antialias": True, "space": "ndc"}, "antialias"), ({"space": "ndc"}, "--space ndc"), ({"batch": 1}, "batch"),
    ],
)  # fmt: skip
def test_senseless_options_are_named(options: dict[str, object], named: str, ball: Scene) -> None:
    with pytest.raises(NerfkitError, match=named):
        Model.create(Config(**options), ball, choose_core(), torch.device("cpu"))  # type: ignore[arg-type]


# --- coarse to fine ---------------------------------------------------------------------------------------


class Slab:
    """A field that is dense between two distances along z, whatever is asked of it."""

    cones = False

    def density(self, xyz: torch.Tensor, variance: torch.Tensor | None = None) -> torch.Tensor:
        return 50.0 * (xyz[:, 2].abs() < 0.1)

    def shade(
        self, xyz: torch.Tensor, rays: Rays, ray_index: torch.Tensor, variance: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.density(xyz), torch.full_like(xyz, 0.5)


def rays_along_z(count: int) -> Rays:
    places = torch.linspace(-0.5, 0.5, count)
    origins = torch.stack([places, torch.zeros(count), torch.full((count,), -3.0)], 1)
    return Rays(origins, torch.tensor([[0.0, 0, 1]]).expand(count, 3), torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize("random", [False, True])
def test_fine_samples_lie_where_the_coarse_field_is(random: bool) -> None:
    sampler = CoarseToFine(Space(), Slab(), choose_core(), 0.02, coarse=16, fine=32, disparity=False)
    coarse, fine = sampler.draw(Slab(), rays_along_z(8), torch.Generator().manual_seed(0) if random else None)
    assert len(coarse.weights) == 8 * 16 and len(fine.weights) == 8 * 48
    middle = (fine.samples.t_start + fine.samples.t_end) / 2 - 3
    assert float((middle.abs() < 0.2).float().mean()) > 0.5  # a tenth of the even ones
    ends = fine.samples.t_end.view(8, -1)
    torch.testing.assert_close(ends[:, :-1], fine.samples.t_start.view(8, -1)[:, 1:])  # no gaps
    torch.testing.assert_close(fine.transmittance, torch.zeros(8), atol=1e-2, rtol=0)


def test_rays_that_miss_have_no_samples() -> None:
    sampler = CoarseToFine(Space(), Slab(), choose_core(), 0.02, coarse=4, fine=4, disparity=False)
    rays = rays_along_z(3)
    rays = dataclasses.replace(rays, origins=rays.origins + torch.tensor([[5.0, 0, 0], [0, 0, 0], [0, 5, 0]]))
    drawn = sampler.draw(Slab(), rays)[-1]
    assert drawn.samples.offsets.tolist() == [0, 0, 8, 8]
    assert drawn.transmittance[0] == 1 and drawn.transmittance[2] == 1


def test_disparity_spreads_samples_over_space_without_end() -> None:
    space = Space(contracted=True, cascades=6)
    sampler = CoarseToFine(space, Slab(), choose_core(), 0.02, coarse=32, fine=1, disparity=True)
    t = torch.tensor([[0.02, 0.5, 1.0, 4.0, 30.0]])
    back = choose_core().intervals(sampler.scale.of(t), space.half, True)
    torch.testing.assert_close(torch.cat([back.t_start[:1], back.t_end])[None], t)
    samples = sampler.draw(Slab(), rays_along_z(1))[0].samples
    length = samples.t_end - samples.t_start
    assert float(length[-1] / length[0]) > 20
    assert int((samples.t_end <= 1).sum()) > 10  # much of it is near


# --- cones ------------------------------------------------------------------------------------------------


def test_cone_moments_are_those_of_points_in_a_cone() -> None:
    rng = torch.Generator().manual_seed(0)
    start, end, radius, count = 1.0, 1.6, 0.2, 400_000
    t = (start**3 + (end**3 - start**3) * torch.rand(count, generator=rng)) ** (1 / 3)  # as many as there is room
    angle = 2 * torch.pi * torch.rand(count, generator=rng)
    r = radius * t * torch.rand(count, generator=rng).sqrt()
    xyz = torch.stack([r * angle.cos(), r * angle.sin(), t], 1)
    ray = Rays(torch.zeros(1, 3), torch.tensor([[0.0, 0, 1]]), torch.zeros(1, dtype=torch.int64))
    samples = Samples(
        torch.tensor([start]), torch.tensor([end]), torch.tensor([0, 1], dtype=torch.int32),
        torch.tensor([0], dtype=torch.int32),
    )  # fmt: skip
    shift, variance = cone_moments(ray, samples, torch.tensor([radius]))
    assert float(shift[0, 2]) == pytest.approx(float(xyz[:, 2].mean()) - (start + end) / 2, rel=0.02)
    torch.testing.assert_close(variance[0], xyz.var(0), rtol=0.02, atol=1e-4)


def test_lengths_on_the_way_to_the_unit_cube() -> None:
    rng = torch.Generator().manual_seed(0)
    for space in (Space(half=0.7), Space(half=0.7, contracted=True, cascades=4)):
        xyz = ((torch.rand(100, 3, generator=rng) * 2 - 1) * 3).double()
        step = 1e-5
        scale = scale_of(space, xyz)
        for axis in range(3):
            offset = torch.zeros(3, dtype=torch.float64)
            offset[axis] = step
            after, before = (space.to_cube(at, ReferenceCore(), -1, 1) for at in (xyz + offset, xyz - offset))
            moved = (after - before)[:, axis] / (2 * step)
            torch.testing.assert_close(moved, scale[:, axis], rtol=1e-4, atol=1e-7)


# --- normalised device coordinates ------------------------------------------------------------------------


def forward_facing(folder: Path, turned: float = 0.0) -> Scene:
    """Photos from places in a plane that all look along +z, with points three to nine units ahead."""
    import json

    import imageio.v3 as iio
    import numpy as np

    (folder / "images").mkdir(parents=True)
    rng, frames = np.random.default_rng(0), []
    for index in range(9):
        eye = torch.tensor([0.3 * (index % 3 - 1), 0.3 * (index // 3 - 1), 0.02 * index])
        aim = eye + torch.tensor([turned * (index - 4), 0.0, 1.0])
        pose = cameras.look_at(eye, aim, torch.tensor([0.0, -1.0, 0.0]))
        iio.imwrite(folder / f"images/{index}.png", rng.integers(0, 255, (24, 32, 3), dtype=np.uint8))
        pose[:3, 1:3] *= -1
        frames.append({"file_path": f"images/{index}.png", "transform_matrix": pose.tolist()})
    xyz = np.stack([*rng.uniform(-1, 1, (2, 200)), rng.uniform(3, 9, 200)], 1)
    lines = [f"{x} {y} {z} 128 128 128" for x, y, z in xyz]
    header = ["ply", "format ascii 1.0", f"element vertex {len(lines)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"property uchar {color}" for color in ("red", "green", "blue")] + ["end_header"]
    (folder / "sparse_pc.ply").write_text("\n".join([*header, *lines]) + "\n")
    data = {
        "fl_x": 30, "fl_y": 30, "cx": 16, "cy": 12, "w": 32, "h": 24, "ply_file_path": "sparse_pc.ply",
        "frames": frames,
    }  # fmt: skip
    (folder / "transforms.json").write_text(json.dumps(data))
    return Scene.load(folder, downscale=1)


@pytest.fixture(scope="module")
def ahead(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return forward_facing(tmp_path_factory.mktemp("ahead") / "scene")


@pytest.fixture(scope="module")
def ndc(ahead: Scene) -> NdcSpace:
    space = ndc_space(ahead)
    assert space is not None
    return space


def scene_rays(scene: Scene) -> Rays:
    parts = []
    for index in scene.train:
        camera: Cameras = scene.views[index].camera
        pixels = cameras.pixel_centers(camera.width, camera.height).view(-1, 2)[::7]
        parts.append(cameras.rays(camera, torch.zeros(len(pixels), dtype=torch.int64), pixels))
    return Rays(*(torch.cat([getattr(part, name) for part in parts]).double() for name in ("origins", "directions")),
                torch.zeros(sum(len(part.origins) for part in parts), dtype=torch.int64))  # fmt: skip


def test_photos_that_look_the_same_way_get_it_and_others_do_not(ahead: Scene, ball: Scene, tmp_path: Path) -> None:
    assert ndc_space(ahead) is not None
    assert ndc_space(ball) is None
    assert ndc_space(forward_facing(tmp_path / "turned", turned=0.4)) is None
    model = Model.create(FAST, ahead, choose_core(), torch.device("cpu"))
    assert isinstance(model.space, NdcSpace)
    cones = Model.create(dataclasses.replace(FAST, antialias=True), ahead, choose_core(), torch.device("cpu"))
    assert cones.space.contracted


def test_all_that_the_photos_see_beyond_the_plane_lies_in_the_cube(ahead: Scene, ndc: NdcSpace) -> None:
    local = ndc.local(ahead.points.double())
    assert float((local.abs().amax(1) <= 1).double().mean()) > 0.98
    ranges = ndc.ranges(ndc.local_rays(scene_rays(ahead)), 0.0, ReferenceCore())
    assert bool((ranges[:, 1] > ranges[:, 0]).all())


def test_rays_stay_lines_and_distances_come_back(ahead: Scene, ndc: NdcSpace) -> None:
    rays = scene_rays(ahead)
    local = ndc.local_rays(rays)
    index = torch.arange(len(rays.origins))
    for share in (0.1, 0.5, 0.9):
        t_local = share * ndc.ranges(local, 0.0, ReferenceCore())[:, 1]
        t = ndc.scene_distances(rays, t_local, index)
        xyz = rays.origins + t[:, None] * rays.directions
        torch.testing.assert_close(ndc.local(xyz), local.origins + t_local[:, None] * local.directions)


def test_surfaces_keep_their_directions(ahead: Scene, ndc: NdcSpace) -> None:
    """The gradient of a function of local points, as a direction in the scene, is its gradient there."""
    xyz = ahead.points.double().requires_grad_()
    local = ndc.local(xyz)
    value = (local[:, 0] * 0.7 + local[:, 1] ** 2 - 1.3 * local[:, 2]).sum()
    of_local, of_scene = torch.autograd.grad(value, [local, xyz])
    found = torch.nn.functional.normalize(ndc.scene_normals(local.detach(), of_local), dim=1)
    torch.testing.assert_close(found, torch.nn.functional.normalize(of_scene, dim=1))


def test_densities_follow_how_space_is_stretched(ahead: Scene, ndc: NdcSpace) -> None:
    xyz = ahead.points.double()[:20]
    volume = torch.stack([torch.det(torch.autograd.functional.jacobian(ndc.local, point)) for point in xyz]).abs()
    torch.testing.assert_close(torch.as_tensor(ndc.stretch(ndc.local(xyz))), volume ** (1 / 3))


def test_rays_that_look_back_see_nothing(ndc: NdcSpace) -> None:
    back = Rays(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, -1.0]]), torch.zeros(1, dtype=torch.int64))
    enter, leave = ndc.ranges(ndc.local_rays(back), 0.0, choose_core())[0].tolist()
    assert enter == leave


def test_it_learns_and_draws_in_it(ahead: Scene) -> None:
    model = trained(FAST, ahead, 20)
    camera = ahead.views[ahead.held_out[0]].camera
    drawn = model.render(camera, frozenset({"rgb", "alpha", "depth", "normal"}))
    assert drawn.depth is not None and drawn.normal is not None
    assert bool(drawn.rgb.isfinite().all()) and bool(drawn.normal.isfinite().all())
    seen = drawn.depth[drawn.depth > 0]
    plane = model.space.plane if isinstance(model.space, NdcSpace) else 0.0
    assert len(seen) and float(seen.min()) > 0.9 * plane
    assert float(model.density(ahead.points).min()) >= 0
