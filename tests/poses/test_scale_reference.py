"""A known distance makes the unit a metre; words that can't are refused with the remedy."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import still_life_truth

from nerfkit import poses
from nerfkit.errors import NerfkitError
from nerfkit.poses.scale_reference import Mark, ScaleReference, measure, parse, resolve

A, B = "0000.jpg", "0022.jpg"


@pytest.fixture(scope="module")
def model(posed: tuple[Path, poses.PoseReport]) -> pycolmap.Reconstruction:
    return pycolmap.Reconstruction(str(posed[0] / "colmap" / "sparse" / "0"))


@pytest.fixture(scope="module")
def metres_per_unit(model: pycolmap.Reconstruction, still_life: Path) -> float:
    return still_life_truth.truth_from(model, still_life).scale


def errors_of(
    model: pycolmap.Reconstruction, still_life: Path, spots: list[tuple[float, float]]
) -> tuple[list[float], int]:
    """Relative errors of the scale by pairs of marks on cloth and floor, half a metre apart; how many are refused."""
    scale = still_life_truth.truth_from(model, still_life).scale
    places = {spot: still_life_truth.place(still_life, A, *spot) for spot in spots}
    errors, refused = [], 0
    for one, two in combinations([spot for spot, place in places.items() if place[2] < 0.01], 2):
        real = float(np.linalg.norm(places[one] - places[two]))
        if real < 0.5:
            continue
        reference = parse((f"{A}:{one[0]:.3f},{one[1]:.3f}", f"{A}:{two[0]:.3f},{two[1]:.3f}", f"{100 * real:.3f}cm"))
        try:
            errors.append(abs(real / measure(reference, model) / scale - 1))
        except NerfkitError:
            refused += 1
    return errors, refused


def test_two_points_near_features_of_one_photo(model: pycolmap.Reconstruction, still_life: Path) -> None:
    image = model.find_image_with_name(A)
    assert image is not None
    seen = [point.xy for point in image.points2D if point.has_point3D()]
    errors, refused = errors_of(model, still_life, [(x + 1, y - 0.5) for x, y in seen[::4] if y > 150])
    assert len(errors) > 20 and refused == 0
    assert np.median(errors) < 0.007
    assert np.quantile(errors, 0.9) < 0.025


def test_two_points_anywhere_in_one_photo(model: pycolmap.Reconstruction, still_life: Path) -> None:
    rng = np.random.default_rng(0)
    errors, refused = errors_of(model, still_life, list(zip(rng.uniform(60, 580, 40), rng.uniform(140, 460, 40))))
    assert len(errors) > 10 and refused > 5
    assert np.median(errors) < 0.02  # some lie between leaves, whose depth theirs is not


def test_two_points_in_two_photos_each(
    model: pycolmap.Reconstruction, metres_per_unit: float, still_life: Path
) -> None:
    book, mug = np.array([0.27, 0.02, 0.1]), np.array([-0.27, 0.15, 0.098])  # in the air, as it were
    marks = [Mark(name, *still_life_truth.pixel(still_life, name, point)) for point in (book, mug) for name in (A, B)]
    real = float(np.linalg.norm(book - mug))
    assert real / measure(ScaleReference(real, tuple(marks)), model) == pytest.approx(metres_per_unit, rel=0.01)


def test_two_cameras(model: pycolmap.Reconstruction, metres_per_unit: float, still_life: Path) -> None:
    known = still_life_truth.cameras(still_life)
    real = float(np.linalg.norm(known[A][:3, 3] - known[B][:3, 3]))
    reference = resolve(parse(("cameras", "0000", "0022", str(real), "m")), {name: (640, 480) for name in known})
    assert reference.cameras == (A, B)
    assert real / measure(reference, model) == pytest.approx(metres_per_unit, rel=0.01)


def test_the_whole_way(
    posed: tuple[Path, poses.PoseReport], ten_photos: Path, still_life: Path, tmp_path: Path
) -> None:
    """Features, matches and model are not made again; the files come out in metres."""
    import shutil

    out = ten_photos.parent / "metric"
    shutil.copytree(posed[0], out)
    before = (out / ".cache" / "mapping.json").stat().st_mtime_ns
    known = still_life_truth.cameras(still_life)
    real = float(np.linalg.norm(known[A][:3, 3] - known["0037.jpg"][:3, 3]))
    options = poses.PoseOptions(quality="draft", scale_ref=("cameras", "0000", "0037", f"{real / 0.3048}ft"))
    report = poses.estimate(ten_photos, out, options)
    assert (out / ".cache" / "mapping.json").stat().st_mtime_ns == before
    assert report.frame["scale"] == "metric"
    assert json.loads((out / "poses.json").read_text())["frame"]["unit"] == "metre"
    moved = still_life_truth.truth_from(pycolmap.Reconstruction(str(out / "colmap" / "sparse" / "0")), still_life)
    assert moved.scale == pytest.approx(1, rel=0.01)
    assert "in metres, by a known distance" in (out / "poses.html").read_text()


@pytest.mark.parametrize(
    ("words", "metres"),
    [("1.50m", 1.5), ("1,5 m", 1.5), ("42cm", 0.42), ("300 mm", 0.3), ("10ft", 3.048), ("12in", 0.3048), (".5m", 0.5)],
)
def test_distances(words: str, metres: float) -> None:
    assert parse(("cameras", "a", "b", *words.split())).metres == pytest.approx(metres)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("a.jpg:1,2 1m", "two points or cameras and their distance are needed"),
        ("a.jpg:1,2 a.jpg:3,4 1.5", "1.5 is not a distance; write a number and a unit"),
        ("a.jpg:1,2 a.jpg:3,4 1.5parsec", "not a distance"),
        ("a.jpg:1,2 a.jpg:3,4 0m", "gives no scale"),
        ("a.jpg a.jpg:3,4 1m", "a.jpg is not a point in a photo; write PHOTO:X,Y"),
        ("a.jpg:1,2 a.jpg:1,2 1m", "marked twice"),
        ("a:1,2 b:3,4 c:3,4 1m", "3 marked points, but two or four"),
        ("a:1,2 a:3,4 b:3,4 c:1,1 1m", "the first two show one point in two photos"),
        ("cameras a 1m", "two different photos"),
        ("cameras a a 1m", "two different photos"),
    ],
)
def test_words_without_sense(words: str, text: str) -> None:
    with pytest.raises(NerfkitError, match=text):
        poses.PoseOptions(scale_ref=tuple(words.split())).check()


def test_names() -> None:
    sizes = {"a/one.jpg": (10, 10), "b/one.jpg": (10, 10), "two.jpg": (10, 10)}
    for name in ("two.jpg", "two"):
        assert resolve(ScaleReference(1, cameras=("a/one.jpg", name)), sizes).cameras == ("a/one.jpg", "two.jpg")
    with pytest.raises(NerfkitError, match="one fits several photos"):
        resolve(ScaleReference(1, cameras=("one", "two")), sizes)
    with pytest.raises(NerfkitError, match="three is none of the photos"):
        resolve(ScaleReference(1, cameras=("three", "two")), sizes)
    with pytest.raises(NerfkitError, match="outside the photo, which has 10x10 pixels"):
        resolve(parse(("two:5,5", "two:11,5", "1m")), sizes)


def test_marks_that_do_not_tell(model: pycolmap.Reconstruction, still_life: Path) -> None:
    with pytest.raises(NerfkitError, match=r"nowhere\.jpg has no pose"):
        measure(parse((f"{A}:1,2", "nowhere.jpg:3,4", "1m")), model)
    sky = (f"{A}:320,3", f"{A}:5,475", "1m")  # a wall without features
    with pytest.raises(NerfkitError, match="mark the point in a second photo too"):
        measure(parse(sky), model)
    x, y = still_life_truth.pixel(still_life, A, np.array([0.3, 0.3, 0]))
    u, v = still_life_truth.pixel(still_life, B, np.array([-0.3, 0.3, 0]))
    with pytest.raises(NerfkitError, match="not the same point"):
        measure(ScaleReference(1, (Mark(A, x, y), Mark(B, u, v)) * 2), model)
