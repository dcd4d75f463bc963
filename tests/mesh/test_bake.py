"""Textures from photos: colours come back, exposures are made alike, nothing bleeds, seams don't show."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import cube
import numpy as np
import pytest
import torch

from nerfkit.contracts import Mesh, Rendering
from nerfkit.errors import NerfkitError
from nerfkit.mesh.options import TextureOptions
from nerfkit.mesh.quality.texture_error import held_out_error
from nerfkit.mesh.texture import exposure
from nerfkit.mesh.texture.bake import bake, texture_size
from nerfkit.mesh.texture.exposure import linear, srgb
from nerfkit.mesh.texture.fill import fill_unseen, pad
from nerfkit.mesh.texture.seams import level_seams, seam_differences, seam_edges
from nerfkit.mesh.texture.texels import Texels, texels_of
from nerfkit.mesh.texture.unwrap import charts_of, unwrap

SIZE = 256


@pytest.fixture(scope="module")
def views() -> Any:
    return cube.ring()


@pytest.fixture(scope="module")
def photos(views: Any) -> list[torch.Tensor]:
    return [cube.photo(views[index]) for index in range(len(views))]


def truth(mesh: Mesh, texels: Texels) -> np.ndarray:
    return cube.paint(torch.from_numpy(texels.positions(mesh))).numpy()


def baked_error(mesh: Mesh, scene: Any, **options: Any) -> tuple[np.ndarray, Any]:
    """Of the texels inside of charts: the mean difference from the truth [T], and what bake gave."""
    baked = bake(mesh, scene, TextureOptions(texture_size=SIZE, **options))
    texels = texels_of(mesh, SIZE)
    got = baked.texture.reshape(-1, 3)[texels.index].astype(np.float32)
    return np.abs(got - truth(mesh, texels)).mean(1)[texels.inside], baked


def test_the_colours_of_a_cube_come_back(views: Any, photos: list[torch.Tensor]) -> None:
    mesh = cube.cube()
    scene = cube.scene(views, photos, held_out=(3, 9))
    error, baked = baked_error(mesh, scene)
    assert baked.texture.shape == (SIZE, SIZE, 3) and baked.facts["seen"] == 1
    assert error.mean() < 1.5 and np.quantile(error, 0.99) < 8
    assert baked.facts["exposure_stops"] < 0.02 and baked.facts["outliers"] < 0.02
    mesh.texture = baked.texture
    held_out = held_out_error(mesh, scene)
    assert held_out.views == 2 and held_out.mean_error < 1.5 and held_out.psnr > 38
    mesh.colors = cube.paint(torch.from_numpy(mesh.vertices)).numpy().astype(np.uint8)
    assert held_out_error(mesh, scene, shading="colors").psnr < held_out.psnr - 2


def test_held_out_photos_are_never_asked(views: Any, photos: list[torch.Tensor]) -> None:
    scene = cube.scene(views, photos, held_out=(3,))

    def refuse() -> None:
        raise AssertionError("a held-out photo was asked for")

    scene.views[3].image = scene.views[3].mask = refuse
    bake(cube.cube(), scene, TextureOptions(texture_size=SIZE, refine=1))


def test_refining_lowers_the_error(views: Any, photos: list[torch.Tensor]) -> None:
    mesh, scene = cube.cube(), cube.scene(views, photos)
    plain, fitted = (baked_error(mesh, scene, refine=passes)[0] for passes in (0, 2))
    assert fitted.mean() < 0.95 * plain.mean()


def test_of_very_many_sightings_a_part_is_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    views, points = 9, 4000
    true = random.normal(0, 0.2, (views, 1, 3))
    true -= true.mean(0)
    light = random.uniform(0.1, 0.4, (points, 3)) * np.exp(true + random.normal(0, 0.02, (views, points, 3)))
    weight = np.where(random.random((views, points)) < 0.6, 1, 0).astype(np.float32)
    survey = exposure.Survey(srgb(light).clip(0, 255).round().astype(np.uint8), weight, weight)
    gains = exposure.solve_gains(survey)
    tables = np.stack([exposure.table_of(gain) for gain in gains])
    belief = exposure.agreement(survey, tables)
    monkeypatch.setattr(exposure, "_AT_ONCE", views * points // 5 + 1)
    assert exposure.agreement(survey, tables).tobytes() == belief.tobytes()
    fewer = exposure.solve_gains(survey)
    assert not np.array_equal(fewer, gains)
    for found in (gains, fewer):
        np.testing.assert_allclose(found, true[:, 0], atol=0.02)


def test_exposures_and_white_balance_are_undone(views: Any, photos: list[torch.Tensor]) -> None:
    gains = 0.35 * np.random.default_rng(1).standard_normal((len(views), 3)).astype(np.float32)
    gains -= gains.mean(0)
    exposed = [
        torch.from_numpy(np.clip(srgb(linear(photo.numpy()) * np.exp(gain)), 0, 255))
        for photo, gain in zip(photos, gains, strict=True)
    ]
    mesh, scene = cube.cube(), cube.scene(views, exposed)
    error, baked = baked_error(mesh, scene)
    assert error.mean() < 4
    assert baked.facts["exposure_stops"] == pytest.approx(np.ptp(gains.mean(1)) / math.log(2), rel=0.15)


def test_gains_are_recovered_beside_outliers() -> None:
    rng = np.random.default_rng(0)
    light = rng.uniform(0.1, 0.6, (1, 400, 3))
    gains = rng.normal(0, 0.2, (6, 1, 3))
    gains -= gains.mean(0)
    color = srgb(light * np.exp(gains)).round().astype(np.uint8)
    color[:, ::10] = rng.integers(20, 230, (6, 40, 3))  # a tenth of the points shows something else in every photo
    weight = rng.uniform(0.5, 1, (6, 400)).astype(np.float32)
    weight[rng.random((6, 400)) < 0.4] = 0
    found = exposure.solve_gains(exposure.Survey(color, weight, weight))
    np.testing.assert_allclose(found, gains[:, 0], atol=0.02)
    undone = exposure.table_of(found[0])
    want = srgb(light[0, 1]) - undone[np.arange(3), color[0, 1]]
    assert np.abs(want).max() < 4


def test_what_moved_in_one_photo_is_left_out(views: Any, photos: list[torch.Tensor]) -> None:
    passer = [photo.clone() for photo in photos]
    passer[5][40:110, 40:110] = torch.tensor([255.0, 0.0, 255.0])
    mesh, scene = cube.cube(), cube.scene(views, passer)
    error, baked = baked_error(mesh, scene)
    assert error.mean() < 2.5 and np.quantile(error, 0.97) < 12
    assert baked.facts["outliers"] > 0.01


def test_an_occluder_does_not_paint_what_is_behind_it(views: Any) -> None:
    """A red square floats before one side of a grey wall; cameras that look past it see all of the wall."""
    wall = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32) * 0.5
    front = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32) * 0.1 + [0, 0, 0.25]
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], np.int32)
    unit = (wall[:, :2] + 0.5) * 0.45
    mesh = Mesh(np.concatenate([wall, front]).astype(np.float32), faces, uvs=np.concatenate([unit, unit + 0.5]))
    mesh.colors = np.repeat(np.array([[90, 90, 90], [255, 0, 0]], np.uint8), 4, axis=0)
    from nerfkit.mesh.draw import draw

    above = [index for index in range(len(views)) if views[index].world_from_cam[0, 2, 3] > 0.3]
    images = [torch.from_numpy(draw(mesh, views[index], shading="colors").rgb) for index in above]
    # the real square is a little wider than the mesh says: its rim in the photos lies on the mesh's wall
    chosen = views[above]
    wide = Mesh(mesh.vertices.copy(), faces, mesh.colors)
    wide.vertices[4:, :2] *= 1.06
    images = [torch.from_numpy(draw(wide, chosen[index], shading="colors").rgb) for index in range(len(above))]
    scene = cube.scene(chosen, [image.float() for image in images])
    baked = bake(mesh, scene, TextureOptions(texture_size=SIZE))
    assert len(above) >= 3
    texels = texels_of(mesh, SIZE)
    got = baked.texture.reshape(-1, 3)[texels.index].astype(int)
    behind = (texels.face < 2) & texels.inside
    assert baked.seen.reshape(-1)[texels.index][behind].mean() > 0.97
    assert np.abs(got[behind] - 90).max(1).mean() < 1
    assert (np.abs(got[behind] - 90).max(1) > 30).mean() < 0.01
    assert np.abs(got[(texels.face >= 2) & texels.inside] - [255, 0, 0]).mean() < 3


def test_unseen_texels_carry_on_the_meshs_own_colours() -> None:
    mesh = cube.cube(divisions=8)
    mesh.colors = (cube.paint(torch.from_numpy(mesh.vertices)).numpy() - 30).astype(np.uint8)  # the model is darker
    texels = texels_of(mesh, SIZE)
    want = truth(mesh, texels)
    seen = texels.positions(mesh)[:, 2] < 0.1
    got = fill_unseen(mesh, texels, np.where(seen[:, None], want, 0).astype(np.float32), seen)
    assert np.array_equal(got[seen], want[seen])
    assert np.abs(got - want)[~seen].mean() < 15
    mesh.colors = None  # without: the colours around, carried on
    got = fill_unseen(mesh, texels, np.where(seen[:, None], [[200.0, 100, 50]], 0).astype(np.float32), seen)
    assert np.abs(got - [200, 100, 50]).max() < 1


def test_seams_are_levelled() -> None:
    mesh = cube.cube(divisions=8)
    texels = texels_of(mesh, SIZE)
    colors = truth(mesh, texels)
    uneven = colors + 12 * np.sin(7.0 * charts_of(mesh)[texels.face])[:, None]  # each chart a little off
    edges = seam_edges(mesh)
    assert len(edges) == 12 * 8
    before = np.abs(seam_differences(mesh, texels.image(uneven.astype(np.float32)), edges)).mean()
    leveled = level_seams(mesh, texels, uneven.astype(np.float32))
    after = np.abs(seam_differences(mesh, texels.image(leveled), edges)).mean()
    exact = np.abs(seam_differences(mesh, texels.image(colors), edges)).mean()
    assert before > 5 and after < 0.15 * before and exact < 1
    inner = np.abs(leveled - leveled.mean(0)).mean() / np.abs(colors - colors.mean(0)).mean()
    assert 0.9 < inner < 1.1  # the picture itself stays


def test_padding_leaves_no_empty_texel() -> None:
    image, filled = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), bool)
    image[10:20, 10:20], image[40:50, 30:60] = 50, 200
    filled[10:20, 10:20] = filled[40:50, 30:60] = True
    padded = pad(image, filled)
    assert (padded[filled] == image[filled]).all() and set(np.unique(padded)) == {50, 200}
    assert (padded[:25, :25] == 50).all() and (padded[35:, 32:] == 200).all()


def test_the_models_renders_take_the_photos_place(views: Any, photos: list[torch.Tensor]) -> None:
    class Model:
        def render(self, camera: Any, channels: Any) -> Rendering:
            shape = (camera.height, camera.width)
            return Rendering(rgb=torch.full((*shape, 3), 0.25), alpha=torch.ones(shape))

    mesh, scene = cube.cube(), cube.scene(views, photos)
    options = TextureOptions(texture="model", texture_size=SIZE)
    baked = bake(mesh, scene, options, Model())  # type: ignore[arg-type]
    assert np.abs(baked.texture.astype(int) - 64).max() <= 1
    with pytest.raises(NerfkitError, match="needs the model"):
        bake(mesh, scene, options)


def test_sizes() -> None:
    mesh, near = cube.cube(), cube.ring(6, 700)
    scene = SimpleNamespace(name="x", train=range(6), views=[SimpleNamespace(camera=near[i]) for i in range(6)])
    assert texture_size(mesh, scene, TextureOptions()) in (1024, 2048)
    assert texture_size(mesh, scene, TextureOptions(texture_size=300)) == 300
    with pytest.raises(NerfkitError, match="--texture-size 100: must be 256 to 8192"):
        texture_size(mesh, scene, TextureOptions(texture_size=100))
    with pytest.raises(NerfkitError, match="unwrap it first"):
        bake(Mesh(mesh.vertices, mesh.faces), scene)
    scene.train = []
    with pytest.raises(NerfkitError, match="no training photos"):
        bake(mesh, scene)


def test_unwrapped_charts_lie_beside_each_other() -> None:
    sphere = cube.cube(divisions=6)
    joined = np.unique(sphere.vertices, axis=0, return_inverse=True)
    ball = Mesh(joined[0] / np.linalg.norm(joined[0], axis=1, keepdims=True), joined[1].reshape(-1)[sphere.faces])
    ball.faces = np.concatenate([ball.faces, [[0, 0, 1], [3, 3, 3]]])  # and two faces without area
    ball.colors = np.zeros((len(ball.vertices), 3), np.uint8)
    flat = unwrap(ball, 512)
    assert len(flat.faces) == len(ball.faces) and len(flat.vertices) > len(ball.vertices)
    assert np.array_equal(flat.vertices[flat.faces], ball.vertices[ball.faces]) and flat.colors is not None
    assert flat.uvs is not None and flat.uvs.min() >= 0 and flat.uvs.max() <= 1
    a, b, c = (flat.uvs[flat.faces[:-2, corner]].astype(float) for corner in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area != 0).all()
    covered = texels_of(flat, 512).inside.sum() / 512**2
    assert covered == pytest.approx(
        np.abs(area).sum() / 2, rel=0.02
    )  # texels are the share of one face each: no overlap
    assert covered > 0.3
    with pytest.raises(NerfkitError, match="nothing to unwrap"):
        unwrap(Mesh(ball.vertices, np.zeros((0, 3), np.int32)))
