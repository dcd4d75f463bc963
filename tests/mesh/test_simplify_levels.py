from __future__ import annotations

import numpy as np
import pytest
import shapes

from nerfkit.contracts import Mesh
from nerfkit.mesh.shape import clean, simplify
from nerfkit.mesh import geometry
from nerfkit.mesh.shape.topology import edges


def bumpy(mesh: Mesh) -> Mesh:
    p = mesh.vertices
    return Mesh(p * (1 + 0.1 * np.sin(6 * p[:, :1]) * np.cos(5 * p[:, 1:2])), mesh.faces, mesh.colors)


def test_each_level_has_a_quarter_of_the_faces_and_keeps_the_shape() -> None:
    dense = bumpy(shapes.sphere(6))
    made = simplify.levels(dense, 20_000, 4)
    assert [len(level.faces) for level in made] == pytest.approx([20_000, 5000, 1250, 312], rel=0.02)
    volume = [(geometry.face_crosses(m) * m.vertices[m.faces[:, 0]]).sum() / 6 for m in (dense, *made)]
    assert volume[1:] == pytest.approx([volume[0]] * 4, rel=0.02)
    for level in made:
        assert geometry.is_watertight(level)
        assert ((geometry.face_crosses(level) * level.vertices[level.faces].mean(1)).sum(1) > 0).all()  # none flipped
        assert np.abs(level.colors.astype(int) - shapes.color(level.vertices)).max() < 16


def test_borders_stay_and_nothing_tears() -> None:
    sheet = shapes.sheet(100)
    waves = Mesh(sheet.vertices + [0, 0, 0.1] * np.sin(3 * sheet.vertices[:, :1]), sheet.faces, sheet.colors)
    for level in simplify.levels(waves, 4000, 3):
        found = edges(level.faces)
        assert (found.faces <= 2).all()
        border = level.vertices[found.ends[found.faces == 1]]
        assert (np.abs(border[..., :2]).max(-1) > 1.95).all()
        x, y, _ = np.ptp(level.vertices, axis=0)
        assert x == pytest.approx(4, abs=0.02) and y == pytest.approx(4, abs=0.02)
        assert (geometry.face_crosses(level)[:, 2] > 0).all()
        flat = geometry.face_crosses(level)[:, 2].sum() / 2
        assert flat == pytest.approx(16, rel=0.02)  # 250 faces in the last


def test_small_meshes_and_zero_stay_and_levels_end_where_there_is_nothing_left() -> None:
    ball = shapes.sphere(3)
    assert simplify.levels(ball, 0, 1)[0] is ball
    assert simplify.levels(ball, 10_000, 1)[0] is ball
    assert [len(level.faces) for level in simplify.levels(ball, 0, 4)] == pytest.approx([1280, 320, 80], rel=0.02)


def test_a_mesh_that_touches_itself_is_a_manifold_afterwards() -> None:
    a = shapes.cube(12)
    both = clean.drop_degenerate(shapes.joined(a, Mesh(a.vertices + np.array([2.0, 2.0, 0.0]), a.faces, a.colors)))
    small = simplify.simplify(both, 600)
    assert (edges(small.faces).faces <= 2).all()
    assert geometry.is_watertight(small)
