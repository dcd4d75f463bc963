"""Vertices moved until the drawn mesh agrees with the photos."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cube
import numpy as np
import pytest
import torch

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh.geometry import face_crosses
from nerfkit.mesh.options import TextureOptions
from nerfkit.mesh.quality.texture_error import held_out_error
from nerfkit.mesh.texture.bake import bake
from nerfkit.mesh.texture.fit_shape import _front, fit_shape, follow
from nerfkit.mesh.texture.photo import load_photo

SIZE = 256


@pytest.fixture(scope="module")
def scene() -> Any:
    views = cube.ring(20)
    return cube.scene(views, [cube.photo(views[index]) for index in range(len(views))], held_out=(3, 9))


def bumpy(mesh: Mesh) -> Mesh:
    """Waves of 5 % of the half side, in and out; corners at one place stay together."""
    x = mesh.vertices / cube.HALF
    wave = np.sin(2.5 * x[:, 0] + 1) * np.sin(2.5 * x[:, 1] - 0.5) * np.sin(2.5 * x[:, 2] + 0.3)
    return replace(mesh, vertices=(mesh.vertices * (1 + 0.1 * wave[:, None])).astype(np.float32))


def off(mesh: Mesh) -> np.ndarray:
    """How far vertices are from the cube's surface."""
    return np.abs(np.abs(mesh.vertices).max(1) - cube.HALF)


def tilt(mesh: Mesh) -> float:
    """How far the faces' normals are from the cube's, on average: one minus the cosine."""
    crosses = np.abs(face_crosses(mesh))
    return float((1 - crosses.max(1) / np.linalg.norm(crosses, axis=1)).mean())


def test_bumps_are_moved_back_and_the_texture_gets_sharper(scene: Any) -> None:
    rough = bumpy(cube.cube(12))
    reports: list[tuple[str, int, int]] = []
    fitted = fit_shape(rough, scene, 6, SIZE, progress=lambda *report: reports.append(report))
    assert off(fitted).mean() < 0.4 * off(rough).mean()
    errors = []
    for mesh in (rough, fitted):
        textured = replace(mesh, texture=bake(mesh, scene, TextureOptions(texture_size=SIZE)).texture)
        errors.append(held_out_error(textured, scene).mean_error)
    assert errors[1] < 0.6 * errors[0]
    assert np.array_equal(fitted.faces, rough.faces) and np.array_equal(fitted.uvs, rough.uvs)
    assert {stage for stage, _, _ in reports} == {"fit"} and reports == sorted(reports)


def test_of_very_many_photos_some_that_are_spread_are_looked_at(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def load(view: Any, *rest: Any) -> Any:
        looked.append(view.name)
        return load_photo(view, *rest)

    monkeypatch.setattr("nerfkit.mesh.texture.fit_shape.load_photo", load)
    monkeypatch.setattr("nerfkit.mesh.texture.fit_shape._MOST_PHOTOS", 7)
    rough, before = bumpy(cube.cube(6)), list(scene.train)
    fitted = fit_shape(rough, scene, 2, SIZE)
    places = np.sort([[scene.views[index].name for index in before].index(name) for name in looked])
    gaps = np.diff([*places, len(before)])
    assert len(looked) == 7 and places[0] == 0 and np.ptp(gaps) == 1 and gaps.sum() == len(before)
    assert scene.train == before and off(fitted).mean() < off(rough).mean()


def test_vertices_of_seams_stay_together_and_the_given_mesh_as_it_is(scene: Any) -> None:
    rough = bumpy(cube.cube(6))
    before = rough.vertices.copy()
    fitted = fit_shape(rough, scene, 2, SIZE)
    assert np.array_equal(rough.vertices, before) and rough.texture is None and fitted.texture is None
    assert np.abs(fitted.vertices - before).max() > 1e-3
    places, number = np.unique(fitted.vertices, axis=0, return_inverse=True)
    assert len(places) == len(np.unique(before, axis=0))
    assert fitted.normals is not None
    first = fitted.normals[np.unique(number, return_index=True)[1]]
    assert np.array_equal(fitted.normals, first[number.reshape(-1)])  # light falls evenly across seams


def test_coarser_levels_follow() -> None:
    fine, coarse = cube.cube(12), cube.cube(6)
    assert np.allclose(follow(coarse, fine, fine).vertices, coarse.vertices)
    bumped = bumpy(fine)
    moved = follow(coarse, fine, bumped)
    assert np.abs(moved.vertices - bumpy(coarse).vertices).max() < 0.2 * np.abs(bumped.vertices - fine.vertices).max()
    assert len(np.unique(moved.vertices, axis=0)) == len(np.unique(coarse.vertices, axis=0))
    assert np.array_equal(moved.uvs, coarse.uvs)


def test_a_surface_that_is_right_stays(scene: Any) -> None:
    fitted = fit_shape(cube.cube(12), scene, 4, SIZE)
    assert off(fitted).mean() < 0.004 * cube.HALF  # a pixel is 0.03


def test_what_hides_a_pixel_beside_it_is_what_moves_into_it() -> None:
    depth = np.full((3, 5), 2.0)
    depth[:, 3:] = 1.0
    row, column = _front(depth)
    assert (row == np.arange(3)[:, None]).all()
    assert column[1].tolist() == [0, 1, 3, 3, 4]


def test_a_mesh_without_texture_coordinates_is_refused(scene: Any) -> None:
    with pytest.raises(NerfkitError, match="unwrap it first"):
        fit_shape(replace(cube.cube(), uvs=None), scene, 1, SIZE)


def test_noise_goes_where_photos_say_nothing() -> None:
    """Photos of one colour tell of no shape; the smoothed surface is what remains."""
    views = cube.ring(6)
    plain = cube.scene(views, [torch.full((views.height, views.width, 3), 90.0)] * 6)
    flat = cube.cube(12)
    noise = np.random.default_rng(0).normal(0, 0.015, (len(flat.vertices), 1))
    _, number = np.unique(flat.vertices, axis=0, return_inverse=True)
    rough = replace(flat, vertices=(flat.vertices * (1 + noise[number.reshape(-1)])).astype(np.float32))
    kept, smoothed = (fit_shape(rough, plain, 2, SIZE, smoothing) for smoothing in (0.0, 0.05))
    assert tilt(smoothed) < 0.5 * tilt(kept)
