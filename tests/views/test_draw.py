"""What is done to a drawing before it is a picture: background, crop, samples, the photos' cameras."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import world

from nerfkit.cameras import look_at, project, resize
from nerfkit.contracts import Cameras, Gaussians, Rendering
from nerfkit.core import choose_core
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.models.fields.crop import Cropped
from nerfkit.models.fields.ndc import NdcSpace
from nerfkit.models.fields.space import Space
from nerfkit.models.gaussians.config import Config
from nerfkit.models.gaussians.model import Model
from nerfkit.value_transforms import dc_from_rgb, logit_from_opacity
from nerfkit.views import boxes, draw, frustums
from nerfkit.views.assembly import Source, Style, assembled

ALL: draw.Channels = frozenset({"rgb", "alpha", "depth", "normal"})


def camera_from(eye: tuple[float, float, float], width: int = 96, height: int = 72, focal: float = 80) -> Cameras:
    pose = look_at(torch.tensor(eye), torch.zeros(3), world.UP)
    return Cameras(pose[None], torch.tensor([[focal, focal, width / 2, height / 2]]), width, height)


def gaussians_at(places: list[list[float]], colors: list[list[float]], opacity: float = 0.99) -> Model:
    """A model of small balls."""
    here = torch.device("cpu")
    model = Model.create(Config(background="white"), world.scene_of(world.ring(4)), choose_core("auto", here), here)
    count = len(places)
    model.params = {
        "means": torch.tensor(places),
        "quats": torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        "log_scales": torch.full((count, 3), 0.1).log(),
        "logit_opacities": logit_from_opacity(torch.full((count,), opacity)),
        "sh": dc_from_rgb(torch.tensor(colors))[:, None],
    }
    assert isinstance(model.gaussians(), Gaussians)
    return model


def test_another_background_shows_through_what_is_transparent() -> None:
    model, camera = gaussians_at([[0.0, 0, 0]], [[1.0, 0, 0]], 0.6), camera_from((0.9, 0, 0))
    plain, of_model = draw.of_model(model), draw.of_model(model)(camera, ALL)
    assert (
        of_model.rgb is not None
        and of_model.alpha is not None
        and float(of_model.alpha.max()) == pytest.approx(0.6, abs=0.01)
    )
    assert torch.allclose(of_model.rgb[0, 0], torch.ones(3))  # white, as trained
    blue = draw.over(plain, (0.0, 0.0, 1.0))(camera, frozenset({"rgb"})).rgb
    nothing = draw.over(plain, "transparent")(camera, frozenset({"rgb"}))
    assert blue is not None and nothing.rgb is not None and nothing.alpha is not None
    assert torch.allclose(blue[0, 0], torch.tensor([0.0, 0, 1]))
    middle = torch.tensor([0.6, 0, 0.4])
    assert torch.allclose(blue[36, 48], middle, atol=0.02)
    assert torch.allclose(nothing.rgb[36, 48], torch.tensor([0.6, 0, 0]), atol=0.02)
    again = nothing.rgb + (1 - nothing.alpha[..., None])  # over white
    assert torch.allclose(again, of_model.rgb, atol=1e-5)
    assert draw.over(plain, "scene") is plain


def test_a_model_that_does_not_say_its_background() -> None:
    drawing = draw.over(draw.of_model(world.Model()), (0.0, 0.0, 1.0))
    with pytest.raises(NerfkitError, match="--background: this model's background isn't known"):
        drawing(camera_from((1.0, 0.0, 0.0)), frozenset({"rgb"}))


def test_samples_are_averaged() -> None:
    plain, camera = draw.of_model(world.Model()), camera_from((0.9, 0.2, 0.05))
    fine = draw.supersampled(plain, 3)(camera, ALL)
    large = plain(resize(camera, 288, 216), ALL)
    assert fine.rgb is not None and large.rgb is not None and fine.depth is not None and large.depth is not None
    assert torch.allclose(fine.rgb[10, 20], large.rgb[30:33, 60:63].mean((0, 1)), atol=1e-6)
    assert fine.rgb.shape == (72, 96, 3) and fine.alpha is not None
    edge = (fine.alpha > 0.05) & (fine.alpha < 0.95)
    assert edge.any() and not ((plain(camera, ALL).alpha > 0.05) & (plain(camera, ALL).alpha < 0.95)).any()  # type: ignore[operator]
    solid = fine.alpha == 1
    assert float(fine.depth[solid].min()) >= float(large.depth[large.depth > 0].min())
    assert fine.normal is not None and torch.allclose(
        fine.normal[solid].norm(dim=1), torch.ones(int(solid.sum())), atol=1e-4
    )
    seen = fine.depth > 0
    assert float(fine.depth[seen & edge].min()) > 0.4  # not mixed with the zeros of what isn't seen


def test_crop_of_gaussians() -> None:
    model = gaussians_at([[0.0, -0.3, 0], [0.0, 0.3, 0]], [[1.0, 0, 0], [0.0, 1, 0]])
    camera, needed = camera_from((0.9, 0, 0)), frozenset({"rgb", "alpha"})
    whole = draw.of_model(model)(camera, needed)
    part = draw.of_model(boxes.cropped(model, [(-1, 0, -1, 1, 1, 1)]))(camera, needed)
    assert whole.alpha is not None and part.alpha is not None
    assert float(whole.alpha[36, 22]) > 0.9 and float(whole.alpha[36, 73]) > 0.9
    assert sorted([float(part.alpha[36, 22]) > 0.9, float(part.alpha[36, 73]) > 0.9]) == [False, True]
    both = boxes.cropped(model, [(-1, 0, -1, 1, 1, 1), (-1, -1, -1, 1, -0.1, 1)])
    assert torch.equal(draw.of_model(both)(camera, needed).rgb, whole.rgb)  # type: ignore[arg-type]
    assert len(model) == 2  # it is left alone
    turned = Similarity(2.0, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], [0, 0, 0])  # +y is the boxes' +x
    other = boxes.cropped(model, [(0, -9, -9, 0.7, 9, 9)], turned)
    assert torch.equal(draw.of_model(other)(camera, needed).rgb, part.rgb)  # type: ignore[arg-type]
    with pytest.raises(NerfkitError, match="a ball model can't be cropped"):
        boxes.cropped(world.Model(), [(0, 0, 0, 1, 1, 1)])  # type: ignore[arg-type]
    nowhere = Style(crop=[(7, 7, 7, 8, 8, 8)])
    with pytest.raises(NerfkitError, match="--crop: nothing of the scene lies in there"):
        assembled([Source(model, world.scene_of(world.ring(4)), "it")], nowhere, camera)


def flat(camera: Cameras, channels: draw.Channels, moment: float = 0.0) -> Rendering:
    """A black wall across the view, 2 units away, in the right half; nothing in the left."""
    wall = (torch.arange(camera.width) >= camera.width / 2).expand(camera.height, camera.width).float()
    return Rendering(torch.zeros(camera.height, camera.width, 3), wall, wall * 2)


@pytest.mark.parametrize("distance", [1.5, 2.5])
def test_lines_are_hidden_by_what_is_nearer(distance: float) -> None:
    camera = Cameras(torch.eye(4)[None], torch.tensor([[80.0, 80, 48, 36]]), 96, 72)
    start, end = torch.tensor([[-1.0, 0.1, distance]]), torch.tensor([[1.0, 0.1, distance]])
    lines = frustums.Lines(start, end, (1.0, 0.5, 0.0))
    drawn = frustums.with_lines(flat, [lines])(camera, frozenset({"rgb"}))
    assert drawn.rgb is not None and drawn.alpha is not None
    row = int(project(camera, start)[0][0, 0, 1])
    ink = drawn.rgb[row - 1 : row + 2, :, 0].amax(0)
    assert float(ink[20:44].min()) > 0.5
    assert (float(ink[52:80].min()) > 0.5) == (distance < 2) and (float(ink[52:80].max()) < 0.01) == (distance > 2)
    assert float(drawn.alpha[row - 1 : row + 2, 20:44].amax(0).min()) > 0.5  # lines aren't transparent
    behind = dataclasses.replace(lines, start=-start, end=-end)
    nothing = frustums.with_lines(flat, [behind])(camera, frozenset({"rgb"})).rgb
    assert nothing is not None and float(nothing.max()) == 0


def test_lines_take_the_depth_of_mist_only_where_they_are() -> None:
    def mist(camera: Cameras, channels: draw.Channels, moment: float = 0.0) -> Rendering:
        shape = camera.height, camera.width
        return Rendering(torch.zeros(*shape, 3), torch.full(shape, 0.3), torch.full(shape, 2.0))

    camera = Cameras(torch.eye(4)[None], torch.tensor([[80.0, 80, 48, 36]]), 96, 72)
    lines = frustums.Lines(torch.tensor([[-1.0, 0.1, 1.5]]), torch.tensor([[1.0, 0.1, 1.5]]), (1.0, 0.5, 0.0))
    drawn = frustums.with_lines(mist, [lines])(camera, frozenset({"rgb", "depth"}))
    assert drawn.rgb is not None and drawn.depth is not None
    inked = drawn.rgb[..., 0] > 0
    assert 0 < int(inked.sum()) < 300
    assert bool((drawn.depth[inked] == 0).all()) and bool((drawn.depth[~inked] == 2).all())


def test_the_photos_cameras_are_where_they_are() -> None:
    scene = world.scene_of(world.ring(6), held_out=[2])
    lines = frustums.of_scene(scene)
    assert [len(one.start) for one in lines] == [5 * 11, 11]
    eye = scene.views[2].camera.world_from_cam[0, :3, 3]
    assert torch.allclose(lines[1].start[:4], eye.expand(4, 3), atol=1e-6)
    corners, _ = project(scene.views[2].camera, lines[1].end[:4])
    assert np.allclose(corners[0].numpy(), [[0, 0], [64, 0], [64, 48], [0, 48]], atol=1e-2)


def test_crop_of_a_field() -> None:
    space = Space(center=(0.5, 0.0, 0.0), half=1.0)

    class Mist:
        sample_bytes, cones = 4, False

        def density(self, xyz_local: torch.Tensor, variance: torch.Tensor | None = None) -> torch.Tensor:
            return torch.full((len(xyz_local),), 3.0)

    field = Cropped(Mist(), space, boxes.inside([(0, -1, -1, 0.6, 1, 1)], Similarity.identity()))  # type: ignore[arg-type]
    scene_points = torch.tensor([[0.1, 0, 0], [0.59, 0.9, 0], [0.61, 0, 0], [-0.1, 0, 0]])
    assert field.density(space.local(scene_points)).tolist() == [3, 3, 0, 0]
    reference = reference_camera()
    ndc = NdcSpace(cam_from_scene=tuple(map(tuple, reference.tolist())), plane=0.5, slope=1.2)
    beyond = torch.tensor([[0.1, 0.2, -0.3], [0.4, -2.0, 0.5]])
    assert torch.allclose(ndc.scene(ndc.local(beyond)), beyond, atol=1e-5)


def reference_camera() -> torch.Tensor:
    """A reference camera at (0, 2, 0) that looks along -y: [3, 4]."""
    pose = look_at(torch.tensor([0.0, 2, 0]), torch.zeros(3), world.UP)
    return torch.linalg.inv(pose)[:3]
