from __future__ import annotations

from types import SimpleNamespace

import analytic
import numpy as np
import pytest
import shapes
import torch

from nerfkit import cameras
from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh.shape import clean, subject


def scene(masks: bool = False) -> SimpleNamespace:
    made = analytic.scene(analytic.ring(16))
    for view in made.views:
        depth = analytic.cast(view.camera, table=False)[1]
        mask = ((depth > 0) * 255).to(torch.uint8) if masks else None
        view.mask = lambda mask=mask: mask
    return made


def room() -> Mesh:
    """The ball, a table that is wider than the pictures, a wall 3 behind it, and a speck that floats aside."""
    table = shapes.sheet(80, 6.0, analytic.TABLE)
    wall = shapes.sheet(20, 6.0)
    wall = Mesh(wall.vertices[:, [2, 0, 1]] + [3, 0, 0], wall.faces, wall.colors)
    speck = shapes.sphere(1, 0.03)
    speck.vertices += [0.0, 0.43, 0.1]
    return shapes.joined(shapes.sphere(4, analytic.RADIUS), table, wall, speck)


def test_the_box_holds_the_subject_and_not_the_room() -> None:
    low, high = subject.subject_box(scene())
    assert (low < -analytic.RADIUS).all() and (high > analytic.RADIUS).all()
    assert high.max() < 1 and low.min() > -1  # the cameras' ring


def test_masks_tighten_the_box_to_the_visual_hull() -> None:
    low, high = subject.subject_box(scene(masks=True))
    assert (low < -analytic.RADIUS).all() and (high > analytic.RADIUS).all()
    assert (low > -1.5 * analytic.RADIUS).all() and (high < 1.5 * analytic.RADIUS).all()


def test_what_is_around_the_subject_is_cut_away() -> None:
    part = subject.cut_out(room(), scene())
    radius = np.linalg.norm(part.vertices, axis=1)
    on_ball = np.abs(radius - analytic.RADIUS) < 1e-6
    assert on_ball.sum() == len(shapes.sphere(4).vertices) + 1  # the table where it touches
    assert radius.max() <= subject.subject_radius(scene())
    assert set(np.round(part.vertices[~on_ball][:, 2], 6)) == {analytic.TABLE}  # no wall, no speck


def test_with_masks_the_table_goes_as_well() -> None:
    part = subject.cut_out(room(), scene(masks=True))
    ball = clean.largest_components(part, 1.0)
    assert len(ball.faces) == len(shapes.sphere(4).faces)
    assert len(part.faces) == len(ball.faces)


def test_nothing_in_common_is_an_error() -> None:
    outwards = scene()
    for view in outwards.views:
        eye = view.camera.world_from_cam[:, :3, 3]
        pose = cameras.look_at(eye, 2 * eye, torch.tensor([0.0, 0.0, 1.0]))
        view.camera = type(view.camera)(pose, view.camera.intrinsics, view.camera.width, view.camera.height)
    with pytest.raises(NerfkitError, match="nothing in common"):
        subject.subject_box(outwards)
    far = shapes.sphere(1)
    far.vertices += 5
    with pytest.raises(NerfkitError, match="no surface where the cameras look"):
        subject.cut_out(far, scene())
