"""Colours of sparse points."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from nerfkit import poses
from nerfkit.poses import colors

Posed = tuple[Path, poses.PoseReport]


def test_points_have_the_mean_colour_of_the_photos_that_see_them(posed: Posed, ten_photos: Path) -> None:
    import pycolmap

    ours = pycolmap.Reconstruction(posed[0] / "colmap" / "sparse" / "0")
    theirs = pycolmap.Reconstruction(posed[0] / "colmap" / "sparse" / "0")
    theirs.extract_colors_for_all_images(str(ten_photos))
    found = np.array([ours.points3D[number].color for number in theirs.points3D]).astype(int)
    expected = np.array([point.color for point in theirs.points3D.values()]).astype(int)
    assert expected.std() > 20
    assert np.abs(found - expected).max() <= 1


def test_photos_that_are_gone_leave_points_black(posed: Posed, tmp_path: Path) -> None:
    import pycolmap

    model = pycolmap.Reconstruction(posed[0] / "colmap" / "sparse" / "0")
    colors.paint(model, tmp_path)
    assert not any(point.color.any() for point in model.points3D.values())


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("width", [700, 1600, 3300])  # decoded whole, at half the size, at a quarter
def test_colours_are_those_of_the_places(tmp_path: Path, suffix: str, width: int) -> None:
    ramp = np.zeros((width // 2, width, 3), np.uint8)
    ramp[..., 2] = np.linspace(0, 255, width)  # red, from left to right
    ramp[..., 1] = np.linspace(0, 255, width // 2)[:, None]
    assert cv2.imwrite(str(tmp_path / f"a{suffix}"), ramp)
    places = np.random.default_rng(0).uniform(10, (width - 10, width // 2 - 10), (40_000, 2))
    found = colors.colors(tmp_path / f"a{suffix}", places, (width, width // 2))
    expected = np.column_stack([places[:, 0] / width * 255, places[:, 1] / (width // 2) * 255, np.zeros(40_000)])
    assert found.shape == (40_000, 3)
    assert np.abs(found - expected).mean(0).max() < 2.5
