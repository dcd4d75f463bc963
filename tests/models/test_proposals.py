"""Samples where guides propose to look."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from test_fields import RADIUS, SMALL, train, write_ball
from torch import Tensor

from nerfkit.contracts import Rays, Samples
from nerfkit.core import choose_core
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.models.fields.crop import Cropped
from nerfkit.models.fields.draw import Sampler, composite
from nerfkit.models.fields.guide import GuideField
from nerfkit.models.fields.marcher import Marcher
from nerfkit.models.fields.proposals import Proposals
from nerfkit.models.fields.space import Space
from nerfkit.models.nerf.sampler import CoarseToFine
from nerfkit.models.ngp.config import Config
from nerfkit.models.ngp.model import Model
from nerfkit.train.metrics import psnr

CPU = torch.device("cpu")
ENDLESS = dataclasses.replace(SMALL, space="contracted")
POSSIBLE = torch.ones(1, 32, 32, 32, dtype=torch.bool)


class Slabs:
    """Dense between 0 and 0.1 on the x axis, and again from 0.5 on; one is as bright as 1, the other as 0.5."""

    sample_bytes, cones = 4, False

    def density(self, xyz_local: Tensor, variance: Tensor | None = None) -> Tensor:
        x = xyz_local[:, 0]
        return torch.where(((x > 0) & (x < 0.1)) | (x > 0.5), 80.0, 0.0)

    def shade(
        self, xyz_local: Tensor, rays: Rays, ray_index: Tensor, variance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.density(xyz_local), torch.where(xyz_local[:, :1] < 0.3, 1.0, 0.5).expand(-1, 3)


def rays_along_x(count: int) -> Rays:
    y = torch.linspace(-0.5, 0.5, count)
    origins = torch.stack([torch.full((count,), -0.9), y, torch.zeros(count)], 1)
    return Rays(origins, torch.tensor([[1.0, 0, 0]]).expand(count, 3), torch.full((count,), -1))


def proposals(guides: list[GuideField | Slabs], space: Space, count: int = 16) -> Proposals:
    return Proposals(space, POSSIBLE, guides, choose_core(), 0.02, (*([64, 32][: len(guides)]), count))


# --- samples ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [Space(), Space(contracted=True, cascades=5)], ids=["a box", "endless"])
@pytest.mark.parametrize("random", [True, False])
def test_samples_ascend_and_rays_that_miss_have_none(space: Space, random: bool) -> None:
    sampler, rays = proposals([Slabs(), Slabs()], space), rays_along_x(5)
    rays.origins[3] += torch.tensor([0.0, 1e3, 0])
    drawn = sampler.draw(Slabs(), rays, torch.Generator().manual_seed(0) if random else None)[-1]
    samples = drawn.samples
    assert bool((samples.t_end >= samples.t_start).all())
    if space.contracted:  # those of the fourth ray, which misses, have no length
        assert samples.offsets.tolist() == [0, 16, 32, 48, 64, 80]
        assert torch.equal(samples.t_start[48:64], samples.t_end[48:64])
        assert drawn.rgb[3].tolist() == [0, 0, 0] and float(drawn.transmittance[3]) == 1
    else:
        assert samples.offsets.tolist() == [0, 16, 32, 48, 48, 64]
    for ray in (0, 1, 2, 4):
        own = slice(*samples.offsets[ray : ray + 2].tolist())
        assert torch.equal(samples.t_start[own][1:], samples.t_end[own][:-1])
    assert drawn.looked_at == (5 if space.contracted else 4) * (64 + 32)
    samples = dataclasses.replace(samples, t_start=samples.t_start[:48], t_end=samples.t_end[:48])
    near = (samples.t_start > 0.8) & (samples.t_end < 1.1)  # the first slab begins at 0.9
    assert float(near.float().mean()) > 0.7


def test_nothing_to_draw_is_drawn_as_nothing() -> None:
    rays = rays_along_x(2)
    rays = dataclasses.replace(rays, origins=rays.origins + torch.tensor([0.0, 1e3, 0]))
    drawn = proposals([Slabs(), Slabs()], Space()).draw(Slabs(), rays, torch.Generator().manual_seed(0))[-1]
    assert drawn.shaded == 0 and drawn.transmittance.tolist() == [1, 1] and not drawn.losses


def test_guides_learn_where_the_field_has_its_weights() -> None:
    space, rng = Space(contracted=True, cascades=4), torch.Generator().manual_seed(0)
    guides = [GuideField(space, choose_core(), 12, finest, rng) for finest in (64, 128)]
    sampler, rays = proposals([*guides], space), rays_along_x(64)
    optimizer = torch.optim.Adam([param for guide in guides for param in guide.params.values()], lr=1e-2)

    def share() -> float:
        """Of the samples that lie about the first slab."""
        samples = sampler.draw(Slabs(), rays)[-1].samples
        return float(((samples.t_end > 0.85) & (samples.t_start < 1.05)).float().mean())

    before = share()
    learnt = 0
    for _ in range(150):
        losses = sampler.draw(Slabs(), rays, rng)[-1].losses
        if losses:
            losses["proposals"].backward()
            optimizer.step()
            optimizer.zero_grad()
            learnt += 1
        sampler.after_step(Slabs(), rng)
    assert before < 0.3 and share() > 0.6
    assert 64 < learnt < 100  # in every step first, later in some


def through_marcher(space: Space) -> Sampler:
    return Marcher(space, POSSIBLE, choose_core(), 128, 0.02)


def through_proposals(space: Space) -> Sampler:
    return proposals([Slabs(), Slabs()], space)


def through_coarse(space: Space) -> Sampler:
    return CoarseToFine(space, Slabs(), choose_core(), 0.02, 32, 16, False)


@pytest.mark.parametrize("sampler_of", [through_marcher, through_proposals, through_coarse])
def test_what_a_crop_uncovers_is_seen(sampler_of: Callable[[Space], Sampler]) -> None:
    """Samples must not gather at what was cut away."""
    space = Space()

    def crop(field: Slabs) -> Cropped:
        return Cropped(field, space, lambda xyz: xyz[:, 0] > 0.3)

    sampler = sampler_of(space)
    assert float((sampler.draw(Slabs(), rays_along_x(3))[-1].rgb - 1).abs().max()) < 0.06
    drawn = sampler.cropped(crop).draw(crop(Slabs()), rays_along_x(3))[-1]
    assert float((drawn.rgb - 0.5).abs().max()) < 0.06


# --- the model --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene.load(write_ball(tmp_path_factory.mktemp("ball") / "scene"))


@pytest.fixture(scope="module")
def trained(ball: Scene) -> Model:
    model = Model.create(ENDLESS, ball, choose_core(), CPU)
    train(model, 400)
    return model


def test_space_without_end_is_drawn_where_guides_propose(ball: Scene, trained: Model) -> None:
    assert isinstance(trained.sampler, Proposals)
    assert isinstance(Model.create(SMALL, ball, choose_core(), CPU).sampler, Marcher)
    grid = Model.create(dataclasses.replace(ENDLESS, sampler="grid"), ball, choose_core(), CPU)
    assert isinstance(grid.sampler, Marcher) and not any("guide" in name for name in grid.params)


def test_it_learns_what_the_photos_show(ball: Scene, trained: Model) -> None:
    view = ball.views[ball.held_out[0]]
    mask = view.mask()
    assert mask is not None
    alpha = mask.float()[..., None] / 255
    truth = view.image().float() / 255 * alpha + trained.background * (1 - alpha)
    drawn = trained.render(view.camera, frozenset({"rgb", "depth", "normal"}))
    assert drawn.rgb is not None and psnr(drawn.rgb, truth) > 17  # a blank picture: 11
    depth = drawn.extras["median_depth"][mask > 250]
    center = ball.scene_from_world.points(torch.zeros(1, 3, dtype=torch.float64))[0].float()
    nearest = (view.camera.world_from_cam[0, :3, 3] - center).norm() - RADIUS * ball.scene_from_world.scale
    assert float((depth > 0).float().mean()) > 0.9
    assert float(depth[depth > 0].quantile(0.1)) == pytest.approx(float(nearest), rel=0.1)


def test_it_goes_on_as_it_was(ball: Scene, trained: Model) -> None:
    again = Model.create(ENDLESS, ball, choose_core(), CPU)
    again.load_state_dict(trained.state_dict())
    assert isinstance(again.sampler, Proposals) and again.sampler.count == 400
    camera = ball.views[0].camera
    assert torch.equal(again.render(camera).rgb, trained.render(camera).rgb)  # type: ignore[arg-type]
    losses = [sum(train(model, 3)) for model in (again, trained)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_checkpoint_of_other_parameters_is_refused(ball: Scene, trained: Model) -> None:
    grid = Model.create(dataclasses.replace(ENDLESS, sampler="grid"), ball, choose_core(), CPU)
    with pytest.raises(NerfkitError, match=r"guide_0\.table.*put that config\.toml back"):
        grid.load_state_dict(trained.state_dict())


def test_runs_from_before_guides_keep_their_grid() -> None:
    assert Config.kept({"levels": 4}).sampler == "grid"
    assert Config.kept({"sampler": "auto"}).sampler == "auto" == Config().sampler
    with pytest.raises(TypeError):
        Config.kept({"guides": 3})


def test_densities_are_known_where_cameras_look(ball: Scene, trained: Model) -> None:
    inside = ball.scene_from_world.points(torch.zeros(1, 3, dtype=torch.float64)).float()
    assert float(trained.density(inside)) > 1
    assert float(trained.density(inside + 1e4)) == 0


class Leaves:
    """What is learned of each of 8 samples, by itself."""

    sample_bytes, cones = 4, False

    def __init__(self) -> None:
        self.of_density, self.of_color = torch.full((8,), 2.0).requires_grad_(), torch.zeros(8, 3).requires_grad_()

    def density(self, xyz_local: Tensor, variance: Tensor | None = None) -> Tensor:
        return self.of_density.exp()

    def shade(
        self, xyz_local: Tensor, rays: Rays, ray_index: Tensor, variance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.of_density.exp(), self.of_color.sigmoid()


def test_what_is_near_a_camera_learns_by_the_square_of_its_distance() -> None:
    edges_ = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.1, 1.5, 2.5])
    samples = Samples(edges_[:-1], edges_[1:], torch.tensor([0, 8], dtype=torch.int32), torch.zeros(8).int())
    found = []
    for whole_from in (0.0, 1.0):
        leaves = Leaves()
        drawn = composite(leaves, rays_along_x(1), samples, choose_core(), whole_from=whole_from)
        (drawn.rgb * torch.tensor([1.0, 2, 3])).sum().backward()
        found.append((drawn.rgb.detach(), leaves.of_density.grad, leaves.of_color.grad))
    assert torch.equal(found[0][0], found[1][0])
    share = torch.tensor([0.05, 0.15, 0.25, 0.4, 0.6, 0.9, 1, 1]) ** 2
    torch.testing.assert_close(found[1][1], found[0][1] * share)
    torch.testing.assert_close(found[1][2], found[0][2] * share[:, None])
    assert Space(contracted=True).learnt_whole_from == 1 and Space().learnt_whole_from == 0
