from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapes

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh.shape import clean, ground, holes
from nerfkit.mesh import geometry

TABLE = -0.5


def on_table(thing: Mesh, noise: float = 0.0, tilt: float = 0.0) -> Mesh:
    """A thing whose lowest point is at z = 0 on a noisy table, some degrees out of level."""
    table = shapes.sheet(160, 6.0)
    both = shapes.joined(thing, table)
    a = np.radians(tilt)
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    jitter = np.random.default_rng(0).normal(0, noise, both.vertices.shape) if noise else 0
    return replace(both, vertices=both.vertices @ turn.T + [0, 0, TABLE] + jitter)


def box(side: float = 2.0) -> Mesh:
    cube = shapes.cube(24, side)
    return replace(cube, vertices=cube.vertices + np.array([0, 0, side / 2]))


def welded_tower() -> Mesh:
    """A height field: a tower of 1.6 x 1.6 x 1.5 that grows out of the table, as a fused surface does."""
    sheet = shapes.sheet(160, 6.0)
    radius = np.abs(sheet.vertices[:, :2]).max(1)
    z = 1.5 * np.clip((0.9 - radius) / 0.1, 0, 1)
    return replace(sheet, vertices=np.column_stack([sheet.vertices[:, :2], z + TABLE]))


@pytest.mark.parametrize(("noise", "tilt"), [(0.0, 0.0), (0.01, 0.0), (0.01, 6.0)])
def test_the_table_is_found(noise: float, tilt: float) -> None:
    found = ground.find_ground(on_table(box(), noise, tilt))
    assert found is not None
    true = np.array([0, -np.sin(np.radians(tilt)), np.cos(np.radians(tilt))])
    assert np.degrees(np.arccos(found.normal @ true)) < 0.3
    assert found.above(np.array([0, 0, TABLE])) == pytest.approx(0, abs=0.004)
    assert noise * 2 <= found.tolerance <= max(0.006, noise * 4)


def test_the_table_goes_and_all_of_a_closed_box_stays() -> None:
    thing = box()
    rest = ground.remove_ground(on_table(thing, noise=0.003))
    assert geometry.is_watertight(rest)  # its own base as well
    assert len(rest.faces) == len(thing.faces)


def test_a_tower_that_grows_out_of_the_table_is_opened_below_and_closed_again() -> None:
    mesh = welded_tower()
    found = ground.find_ground(mesh)
    assert found is not None
    rest = ground.remove_ground(mesh, found)
    assert np.abs(rest.vertices[:, :2]).max() < 1.0 and rest.vertices[:, 2].max() == pytest.approx(1.0)
    (loop,) = holes.holes(rest)
    assert np.ptp(rest.vertices[loop][:, 0]) > 1.6
    closed = ground.close_contact(rest, found)
    assert geometry.is_watertight(closed)
    volume = (geometry.face_crosses(closed) * closed.vertices[closed.faces[:, 0]]).sum() / 6
    assert volume == pytest.approx(1.5 / 3 * (1.8**2 + 1.6**2 + 1.8 * 1.6), rel=0.08)  # a truncated pyramid


def test_a_flat_plate_as_base_survives() -> None:
    """A plate of 3 x 3, as high as 2 % of the table's width, with the tower on it, is part of the object."""
    sheet = shapes.sheet(240, 6.0)
    radius = np.abs(sheet.vertices[:, :2]).max(1)
    z = np.where(radius < 1.5, 0.12, 0) + np.where(radius < 0.5, 1.0, 0)
    noise = np.random.default_rng(0).normal(0, 0.004, len(z))
    mesh = replace(sheet, vertices=np.column_stack([sheet.vertices[:, :2], z + noise]))
    rest = ground.remove_ground(mesh)
    top = geometry.face_crosses(rest)[:, 2] / 2
    height = rest.vertices[rest.faces][:, :, 2].mean(1)
    assert top[(height > 0.1) & (height < 0.14)].sum() == pytest.approx(3**2 - 1, rel=0.06)
    assert np.abs(rest.vertices[:, :2]).max() < 1.56


def test_without_ground_nothing_goes() -> None:
    ball = shapes.sphere(4)
    assert ground.find_ground(ball) is None
    assert ground.remove_ground(ball) is ball
    table_from_below = shapes.sheet(20)
    flipped = shapes.joined(ball, replace(table_from_below, faces=table_from_below.faces[:, ::-1]))
    assert ground.find_ground(flipped) is None


def test_nothing_but_ground_is_an_error() -> None:
    sheet = shapes.sheet(40)
    rough = replace(sheet, vertices=sheet.vertices + np.random.default_rng(0).normal(0, [0, 0, 1e-3], (41 * 41, 3)))
    with pytest.raises(NerfkitError, match="nothing but ground"):
        ground.remove_ground(rough)


def test_a_box_on_legs_is_closed_at_every_foot() -> None:
    sheet = shapes.sheet(200, 4.0)
    x, y = np.abs(sheet.vertices[:, :2]).T
    feet = (np.abs(x - 0.8) < 0.2) & (np.abs(y - 0.8) < 0.2)
    mesh = replace(sheet, vertices=np.column_stack([sheet.vertices[:, :2], np.where(feet, 1.0, 0.0)]))
    found = ground.find_ground(mesh)
    assert found is not None
    rest = clean.clean(ground.remove_ground(mesh, found), 0.01)
    assert len(holes.holes(rest)) == 4
    assert geometry.is_watertight(ground.close_contact(rest, found))
