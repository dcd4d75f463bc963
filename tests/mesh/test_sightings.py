from __future__ import annotations

from types import SimpleNamespace

import analytic
import numpy as np
import pytest
import shapes

from nerfkit.contracts import Mesh
from nerfkit.mesh.shape import sightings


def room() -> tuple[Mesh, SimpleNamespace]:
    """A ball that 14 cameras look at from around it, a speck over it, one that hangs behind a camera, so that three
    others see it past the ball, and one within the ball."""
    scene = analytic.scene(analytic.ring(16))
    above, behind, within = (shapes.sphere(2, 0.02) for _ in range(3))
    above.vertices += [0.0, 0.0, 0.4]
    behind.vertices += 1.2 * scene.views[0].camera.world_from_cam[0, :3, 3].numpy()
    return shapes.joined(shapes.sphere(4, analytic.RADIUS), above, behind, within), scene


def kept(mesh: Mesh, scene: SimpleNamespace, fewest: int) -> list[bool]:
    """Of the room's ball and specks which are left."""
    whole = room()[0]
    left = {tuple(corner) for corner in sightings.drop_unseen(mesh, scene, fewest).vertices.round(6).tolist()}
    sizes = [len(shapes.sphere(4).vertices), *[len(shapes.sphere(2).vertices)] * 3]
    parts = np.split(whole.vertices.round(6), np.cumsum(sizes)[:-1])
    return [all(tuple(corner) in left for corner in part.tolist()) for part in parts]


def test_pieces_that_few_photos_see_are_left_out() -> None:
    mesh, scene = room()
    assert kept(mesh, scene, 0) == [True, True, True, True]
    seen_by = [kept(mesh, scene, fewest) for fewest in range(1, 15)]
    assert seen_by[0][3] is False  # nobody sees what is within
    assert all(row[0] for row in seen_by)  # the largest piece, always
    assert sum(row[1] for row in seen_by) == 14
    assert 1 <= sum(row[2] for row in seen_by) < 10


def test_what_is_large_stays_whoever_sees_it() -> None:
    mesh, scene = room()
    wall = shapes.sheet(20, 1.0)
    wall.vertices += 1.5 * scene.views[0].camera.world_from_cam[0, :3, 3].numpy()
    both = shapes.joined(mesh, wall)
    left = sightings.drop_unseen(both, scene, 14)
    assert len(left.faces) == len(shapes.sphere(4).faces) + len(shapes.sphere(2).faces) + len(wall.faces)


@pytest.mark.parametrize(("photos", "wanted"), [(1, 1), (4, 1), (11, 3), (40, 10), (300, 10)])
def test_how_many_photos_must_see_a_piece(photos: int, wanted: int) -> None:
    assert sightings.usual_views(photos) == wanted


def test_of_very_many_photos_some_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh, scene = room()
    every = [kept(mesh, scene, fewest) for fewest in (4, 8, 14)]
    monkeypatch.setattr(sightings, "_MOST_PHOTOS", 8)
    some = [kept(mesh, scene, fewest) for fewest in (4, 8, 14)]
    assert some[2] == every[2] and [row[1] for row in some] == [True] * 3
