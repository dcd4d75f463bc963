"""Warnings say what is wrong, in which photos, and what to do; where all is well there are none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nerfkit.poses.advice import Facts, PhotoFacts, Warning, reason, spans, warnings

FINE = PhotoFacts("", 1500, 8, 0, True, 400, 1000.0, 1010.0, 1600)


def photos(count: int = 20) -> list[PhotoFacts]:
    return [replace(FINE, name=f"IMG_{index:02d}.jpg") for index in range(count)]


def only(facts: Facts) -> Warning:
    found = warnings(facts)
    assert len(found) == 1, found
    return found[0]


def lost(photo: PhotoFacts, features: int = 1500, partners: int = 0, component: int = 9) -> PhotoFacts:
    return replace(photo, features=features, partners=partners, component=component, registered=False, observations=0)


def test_nothing_to_say() -> None:
    assert warnings(Facts(photos(), 0.95, 0.8, 20.0)) == []
    assert warnings(Facts(photos(), 0.95, 0.8, 20.0, photos_with_gps=20, gps_used=True)) == []


def test_a_group_that_does_not_connect() -> None:
    some = photos()
    some[12:20] = [lost(photo, partners=5, component=1) for photo in some[12:20]]
    warning = only(Facts(some))
    assert warning.kind == "not-connected"
    assert warning.photos == tuple(photo.name for photo in some[12:20])
    assert warning.text == (
        "8 photos (IMG_12.jpg … IMG_19.jpg) match each other but don't connect to the rest: take two or three pictures "
        "between them and IMG_11.jpg, each showing at least half of what the one before shows"
    )


def test_two_groups_are_two_warnings() -> None:
    some = photos()
    some[:3] = [lost(photo, partners=2, component=1) for photo in some[:3]]
    some[18:] = [lost(photo, partners=1, component=2) for photo in some[18:]]
    first, second = warnings(Facts(some))
    assert "IMG_00.jpg … IMG_02.jpg" in first.text and "them and IMG_03.jpg" in first.text
    assert "IMG_18.jpg, IMG_19.jpg" in second.text and "them and IMG_17.jpg" in second.text


@pytest.mark.parametrize(
    ("change", "kind", "words", "remedy"),
    [
        ({}, "no-matches", "1 photo (IMG_04.jpg) matches no other photo", "leave it out"),
        ({"features": 20}, "no-features", "1 photo (IMG_04.jpg) has hardly any features", "take it again"),
        (
            {"partners": 3, "component": 0},
            "left-out",
            "1 photo (IMG_04.jpg) matches others but fits nowhere",
            "--quality best",
        ),
    ],
)
def test_a_single_photo_without_a_pose(change: dict[str, int], kind: str, words: str, remedy: str) -> None:
    some = photos()
    some[4] = lost(some[4], **change)
    warning = only(Facts(some))
    assert (warning.kind, warning.photos) == (kind, ("IMG_04.jpg",))
    assert words in warning.text and remedy in warning.text
    assert reason(some[4], some) == kind.replace("-", " ")
    assert reason(some[5], some) is None


def test_the_model_is_doubtful() -> None:
    assert "agreement is low: only 84 % of the matches" in only(Facts(photos(), agreement=0.84)).text
    assert "taken from nearly one place" in only(Facts(photos(), angle_deg=0.7)).text
    assert "walk around" in only(Facts(photos(), angle_deg=0.7)).text
    assert "miss their pixels by 6.0 px" in only(Facts(photos(), mean_error_px=6.0)).text


def test_focal_length_against_exif() -> None:
    some = [replace(photo, focal_px=600.0) for photo in photos(10)]
    warning = only(Facts(some))
    assert "IMG_00.jpg … IMG_09.jpg (600 px) differs from EXIF's (1010 px) by 41 %" in warning.text
    assert warnings(Facts([replace(photo, focal_px=600.0, exif_focal_px=None) for photo in some])) == []


def test_loose_photos_few_photos_and_gps() -> None:
    some = photos()
    some[3] = replace(some[3], observations=12)
    assert "IMG_03.jpg: its pose is held by fewer than 30 points" in only(Facts(some)).text
    assert "only 5 photos with a pose" in only(Facts(photos(5))).text
    assert "18 photos have GPS" in only(Facts(photos(), photos_with_gps=18)).text


def test_without_any_pose_only_what_to_photograph_is_said() -> None:
    some = [lost(photo, component=index) for index, photo in enumerate(photos(5))]
    warning = only(Facts(some, agreement=0.0))
    assert warning.kind == "no-matches"
    assert warning.text.startswith("5 photos (IMG_00.jpg … IMG_04.jpg) match no other photo")


def test_photos_that_match_but_give_no_model() -> None:
    some = [lost(photo, partners=4, component=0) for photo in photos(10)]
    warning = only(Facts(some))
    assert warning.kind == "no-model"
    assert "10 photos (IMG_00.jpg … IMG_09.jpg) match each other, but no camera poses explain them" in warning.text
    assert "walk around" in warning.text


def test_spans() -> None:
    order = [f"{index}" for index in range(30)]
    assert spans(["3", "1", "2", "9"], order) == "1 … 3, 9"
    assert spans(["4", "5"], order) == "4, 5"
    assert spans([str(k) for k in range(0, 20, 2)], order) == "0, 2, 4, 6 and 6 more"


def test_advice_imports_nothing_heavy() -> None:
    code = "import sys, nerfkit.poses.advice; sys.exit(bool({'torch', 'pycolmap', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
