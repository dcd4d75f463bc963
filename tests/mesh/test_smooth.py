from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapes

from nerfkit.contracts import Mesh
from nerfkit.mesh import geometry
from nerfkit.mesh.shape import smooth


def noisy(mesh: Mesh, deviation: float) -> Mesh:
    noise = np.random.default_rng(0).normal(0, deviation, mesh.vertices.shape)
    return replace(mesh, vertices=mesh.vertices + noise)


def unit_normals(mesh: Mesh) -> np.ndarray:
    crosses = geometry.face_crosses(mesh)
    return crosses / np.linalg.norm(crosses, axis=1, keepdims=True)


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((a * b).sum(1), -1, 1)))


def volume(mesh: Mesh) -> float:
    return float((geometry.face_crosses(mesh) * mesh.vertices[mesh.faces[:, 0]]).sum() / 6)


def test_faces_of_a_noisy_cube_get_flat_and_its_edges_stay_sharp() -> None:
    true = shapes.cube(24)
    rough = noisy(true, 0.01)  # an eighth of an edge
    done = smooth.smooth(rough, 0.5)
    before, after = (degrees(unit_normals(m), unit_normals(true)) for m in (rough, done))
    assert before.mean() > 8 and after.mean() < 0.3 * before.mean()
    assert np.quantile(after, 0.9) < 5
    # at the cube's edges: a filter that rounds them off tilts their faces to 45 degrees, and takes 0.03 off corners
    at_edge = (np.sort(np.abs(true.vertices), axis=1)[:, 1] > 0.999)[true.faces].any(1)
    assert 500 < at_edge.sum() < 2000 and after[at_edge].mean() < 0.5 * before[at_edge].mean()
    edges = np.sort(np.abs(true.vertices), axis=1)[:, 1] > 0.999
    assert np.linalg.norm(done.vertices - true.vertices, axis=1)[edges].mean() < 0.025  # 0.016 before
    assert volume(done) == pytest.approx(8, rel=0.004)


def test_a_sphere_neither_shrinks_nor_changes() -> None:
    ball = shapes.sphere(5)
    done = smooth.smooth(ball, 1.0)
    radius = np.linalg.norm(done.vertices, axis=1)
    assert np.abs(radius - 1).max() < 4e-3 and np.abs(radius - 1).mean() < 1.5e-3
    assert volume(done) == pytest.approx(volume(ball), rel=1e-3)


def test_a_noisy_sphere_gets_round() -> None:
    ball = shapes.sphere(5)
    rough = noisy(ball, 0.006)
    done = smooth.smooth(rough, 0.5)
    spread = [np.std(np.linalg.norm(m.vertices, axis=1)) for m in (rough, done)]
    assert spread[1] < 0.5 * spread[0]
    assert np.linalg.norm(done.vertices, axis=1).mean() == pytest.approx(1, abs=1e-3)
    assert volume(done) == pytest.approx(volume(ball), rel=3e-3)


def test_the_border_of_a_sheet_stays() -> None:
    sheet = shapes.sheet(30)
    rough = replace(sheet, vertices=sheet.vertices + np.random.default_rng(1).normal(0, [0, 0, 0.02], (31 * 31, 3)))
    done = smooth.smooth(rough, 0.5)
    assert np.ptp(done.vertices[:, :2], axis=0) == pytest.approx([4, 4], abs=0.05)
    assert np.std(done.vertices[:, 2]) < 0.7 * np.std(rough.vertices[:, 2])


def test_strength_zero_and_empty_meshes() -> None:
    ball = shapes.sphere(2)
    assert smooth.smooth(ball, 0) is ball
    empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32))
    assert smooth.smooth(empty, 1) is empty


def test_more_strength_is_smoother_and_the_frame_does_not_matter() -> None:
    rough = noisy(shapes.sphere(5), 0.006)
    roughness = []
    for strength in (0.05, 0.2, 0.5):
        mesh = smooth.smooth(rough, strength)
        roughness.append(degrees(unit_normals(mesh), unit_normals(shapes.sphere(5))).mean())
    assert roughness[0] > roughness[1] > roughness[2]
    far = replace(rough, vertices=rough.vertices * 1e-3 + [100.0, 0, 0])
    there = (smooth.smooth(far, 0.5).vertices - [100.0, 0, 0]) * 1e3
    assert np.abs(there - smooth.smooth(rough, 0.5).vertices).max() < 1e-3


def test_waves_that_are_longer_than_what_a_few_faces_see_get_flat() -> None:
    sheet = shapes.sheet(90)
    wave = 0.0225 * np.sin(sheet.vertices[:, 0] * 2 * np.pi / 0.6)  # 13 squares long, up to 13 degrees steep
    done = smooth.smooth(replace(sheet, vertices=sheet.vertices + wave[:, None] * [0, 0, 1]), 0.5)
    inner = (np.abs(sheet.vertices[:, :2]) < 1.5).all(1)
    assert np.std(done.vertices[inner, 2]) < 0.3 * np.std(wave[inner])


def test_noise_makes_it_stronger() -> None:
    strengths = [smooth.strength_for(noise) for noise in (0.0, 0.2, 0.26, 0.28, 0.3, np.inf)]
    assert strengths[0] == strengths[1] == 0.01 and strengths[-2] == strengths[-1] == 0.5
    assert strengths == sorted(strengths) and 0.01 < strengths[2] < strengths[3] < 0.5


def test_the_surface_of_a_field_is_smoothed_even_if_all_views_agree() -> None:
    assert smooth.strength_for(0.1, of_field=True) == pytest.approx(0.35)
    assert smooth.strength_for(0.3, of_field=True) == 0.5
