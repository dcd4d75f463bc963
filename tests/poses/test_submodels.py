"""A model cut in two, and put together again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nerfkit import poses
from nerfkit.poses import check, submodels

Posed = tuple[Path, poses.PoseReport]


def part(posed: Posed, without: tuple[str, ...]) -> Any:
    """The model without some photos, in a frame of its own, as mapping would give it."""
    import pycolmap

    model = pycolmap.Reconstruction(posed[0] / ".cache" / "model")
    for name in without:
        model.deregister_frame(model.find_image_with_name(name).frame_id)
    model.tear_down()
    turn = pycolmap.Rotation3d(np.random.default_rng(len(without)).normal(size=3))
    model.transform(pycolmap.Sim3d(1.5 + len(without), turn, np.array([1.0, 2, 3])))
    return model


def join(posed: Posed, models: list[Any], tmp_path: Path) -> tuple[Any, list[Any]]:
    database = str(posed[0] / ".cache" / "matching.db")
    return submodels.joined(models, database, str(posed[0].parent / "ten"), tmp_path / "scratch", 0)


def test_parts_that_share_photos_become_one(posed: Posed, tmp_path: Path) -> None:
    import pycolmap

    whole = pycolmap.Reconstruction(posed[0] / ".cache" / "model")
    one = part(posed, ("0000.jpg", "0001.jpg"))
    two = part(posed, ("0021.jpg", "0022.jpg", "0036.jpg"))
    assert (one.num_reg_images(), two.num_reg_images()) == (8, 7)
    model, left = join(posed, [two, one], tmp_path)
    assert left == []
    assert model.num_reg_images() == 10
    assert model.num_points3D() > 0.9 * whole.num_points3D()
    assert check.same(model, whole)
    assert check.pair_agreement(model, str(posed[0] / ".cache" / "matching.db")).share > 0.95
    assert submodels.groups(left, model) == []


def test_parts_that_share_too_few_photos_are_named(posed: Posed, tmp_path: Path) -> None:
    one = part(posed, ("0000.jpg", "0001.jpg", "0002.jpg"))
    two = part(posed, ("0021.jpg", "0022.jpg", "0036.jpg", "0037.jpg", "0038.jpg"))
    model, left = join(posed, [one, two], tmp_path)
    assert model.num_reg_images() == 7
    assert len(left) == 1
    assert submodels.groups(left, model) == [["0000.jpg", "0001.jpg", "0002.jpg"]]


def test_parts_that_contradict_each_other_stay_apart(posed: Posed, tmp_path: Path) -> None:
    import pycolmap

    one, two = part(posed, ("0000.jpg", "0001.jpg")), part(posed, ("0021.jpg", "0022.jpg", "0036.jpg"))
    rng = np.random.default_rng(0)
    for image in two.images.values():
        shift = pycolmap.Rigid3d(pycolmap.Rotation3d(), rng.normal(size=3) * 10)
        image.frame.set_cam_from_world(image.camera_id, image.cam_from_world() * shift)
    model, left = join(posed, [one, two], tmp_path)
    assert model.num_reg_images() == 8
    assert len(left) == 1
