"""Wrong models are told from right ones: real matches, and poses bent on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bent import bend, move, reverse

from nerfkit import poses
from nerfkit.poses import check

Posed = tuple[Path, poses.PoseReport]


@pytest.fixture
def model(posed: Posed) -> Any:
    import pycolmap

    return pycolmap.Reconstruction(posed[0] / ".cache" / "model")


@pytest.fixture
def database(posed: Posed) -> str:
    return str(posed[0] / ".cache" / "matching.db")


def extent(model: Any) -> float:
    centers = np.array([image.projection_center() for image in model.images.values()])
    return float(np.linalg.norm(centers.max(0) - centers.min(0)))


def test_a_right_model_raises_no_doubt(model: Any, database: str) -> None:
    verdict = check.verdict(model, database, {})
    assert verdict.doubts == []
    assert verdict.agreement > 0.95
    assert check.strays(check.pair_agreement(model, database)) == []


@pytest.mark.parametrize("degrees", [3, 10, 30])
def test_a_bent_model_is_caught(model: Any, database: str, degrees: float) -> None:
    bend(model, degrees)
    verdict = check.verdict(model, database, {})
    assert verdict.agreement < check.SUSPICIOUS
    assert any("of the matches agree" in doubt for doubt in verdict.doubts)


def test_a_twist_that_most_matches_survive_is_caught_by_the_pairs(posed: Posed) -> None:
    """Pairs with many matches outvote those with few, which are the ones that close loops."""
    matches = np.array([2000] * 20 + [120] * 10)
    agreeing = np.array([1960] * 20 + [3] * 10)
    measured = np.full(30, 25)
    pairs = check.PairAgreement(np.arange(30), np.arange(30) + 1, agreeing, matches, measured, np.zeros_like(measured))
    assert pairs.share > check.SUSPICIOUS
    assert pairs.contradicted == pytest.approx(1 / 3)


def test_a_model_with_all_depths_reversed_is_caught_although_its_matches_agree(model: Any, database: str) -> None:
    before = check.pair_agreement(model, database)
    assert before.measured.sum() > 1000
    assert before.reversed < check.REVERSED / 5
    reverse(model)
    verdict = check.verdict(model, database, {})
    assert verdict.agreement == pytest.approx(before.share, abs=1e-3)
    (doubt,) = verdict.doubts
    assert doubt.endswith(" % of the matches meet behind the cameras") and int(doubt.split()[0]) > 95


def test_wrong_matches_among_nearly_parallel_rays_are_no_sign_of_reversed_depths() -> None:
    matches = np.full(20, 100)
    behind = np.full(20, 1)  # of two wrong ones in a hundred
    pairs = check.PairAgreement(np.arange(20), np.arange(20) + 1, matches, matches, matches, behind)
    assert pairs.reversed < check.REVERSED


def test_where_rays_meet_of_known_points() -> None:
    """The second camera stands at x = 1, turned by 10 degrees about its y axis."""
    turn = np.radians(10)
    rotation = np.array([[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]])
    two_from_one = np.column_stack([rotation, -rotation @ [1, 0, 0]])
    before, behind, far = [0.3, -0.2, 4], [0.3, 0.2, -4], [2, 1, 100]
    between = [0.0, 0.1, 0.01]  # before the first camera, behind the second: its z there is -0.16
    points = np.array([before, behind, far, between], dtype=float)
    in_two = points @ rotation.T + two_from_one[:, 3]
    assert (in_two[:, 2] > 0).tolist() == [True, False, True, False]
    wide, in_front = check.depth_signs(two_from_one, points[:, :2] / points[:, 2:], in_two[:, :2] / in_two[:, 2:])
    assert wide.tolist() == [True, True, False, True]
    assert in_front.tolist() == [True, False, True, False]


def test_some_matches_of_every_pair_are_measured(model: Any, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    every = check.pair_agreement(model, database)
    monkeypatch.setattr(check, "_MEASURED", 10 * len(every.matches))
    some = check.pair_agreement(model, database)
    assert (some.measured <= 10).all()
    assert ((some.measured > 0) == (every.agreeing > 0)).all()
    assert every.measured.sum() > 5 * some.measured.sum() > 0
    assert some.agreeing.tolist() == every.agreeing.tolist()


def test_a_photo_in_a_wrong_place_is_named(model: Any, database: str) -> None:
    wrong = model.find_image_with_name("0021.jpg")
    move(wrong, np.array([0.1, 0.2, 0.1]) * extent(model))
    assert check.strays(check.pair_agreement(model, database)) == [wrong.image_id]
    assert "most matches contradict the poses of 0021.jpg" in check.verdict(model, database, {}).doubts


def test_a_camera_far_from_all_that_it_matches(model: Any, database: str) -> None:
    assert check.far_cameras(model, check.pair_agreement(model, database)) == []
    move(model.find_image_with_name("0003.jpg"), np.array([40.0, 0, 0]) * extent(model))
    assert check.far_cameras(model, check.pair_agreement(model, database)) == ["0003.jpg"]


def test_focal_lengths_are_held_against_exif(model: Any) -> None:
    names = [image.name for image in model.images.values()]
    focal = next(iter(model.cameras.values())).mean_focal_length()
    assert check.focal_doubts(model, dict.fromkeys(names, 1.1 * focal)) == []
    assert check.focal_doubts(model, {}) == []
    assert check.focal_doubts(model, dict.fromkeys(names, focal / 2)) == ["a focal length is 2.00 times what EXIF says"]


def test_models_agree_up_to_a_similarity(model: Any) -> None:
    import pycolmap

    other = pycolmap.Reconstruction(model)
    other.transform(pycolmap.Sim3d(3.0, pycolmap.Rotation3d(np.array([0.3, -1, 0.5])), np.array([5.0, 6, 7])))
    assert check.same(model, other)
    bend(other, 10)
    assert not check.same(model, other)


def test_models_of_other_photos_do_not_confirm_each_other(model: Any) -> None:
    import pycolmap

    other = pycolmap.Reconstruction(model)
    for name in ("0000.jpg", "0001.jpg"):
        other.deregister_frame(other.find_image_with_name(name).frame_id)
    assert not check.same(model, other)
