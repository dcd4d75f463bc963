"""Sheets: what stands where, at which size, and in which words."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from nerfkit.errors import NerfkitError
from nerfkit.views import sheet
from nerfkit.views.sheet import CAPTION, GAP, HEADING, LONGEST, SHORTEST, Tile


def plain(width: int, height: int, color: tuple[int, int, int] = (200, 30, 40)) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def line(height: int) -> int:
    return round(height * 1.9)


def test_pictures_stand_in_columns_with_words_around_them() -> None:
    red, blue = plain(320, 240), plain(320, 240, (10, 20, 250))
    page = sheet.sheet(["photo", "ngp"], [[Tile(red, "001"), Tile(blue, "31.2 dB")], [Tile(blue), Tile(red)]])
    assert page.shape == (line(HEADING) + 2 * (240 + line(CAPTION)), 3 * GAP + 2 * 320, 3)
    first = line(HEADING)
    assert np.array_equal(page[first : first + 240, GAP : GAP + 320], red)
    assert np.array_equal(page[first : first + 240, 2 * GAP + 320 : -GAP], blue)
    second = first + 240 + line(CAPTION)
    assert np.array_equal(page[second : second + 240, GAP : GAP + 320], blue)
    assert (page[:, :GAP] == 255).all() and (page[:, -GAP:] == 255).all()
    left, right = page[:first, : GAP + 320], page[:first, 2 * GAP + 320 :]
    assert left.min() < 60 and right.min() < 60  # a heading for each
    assert page[first + 240 : second].min() < 150 and page[second + 240 :].min() == 255  # a caption, and none


def test_words_stand_in_the_middle_and_are_cut_where_they_are_too_long() -> None:
    dark = np.argwhere(sheet.words(["ngp"], 200, HEADING, 20)[..., 0] < 128)
    assert dark[:, 1].mean() == pytest.approx(GAP + 100, abs=3)
    assert dark[:, 0].mean() == pytest.approx(line(HEADING) / 2, abs=4)
    long = "runs/" + "a very long name " * 20
    short = sheet.shortened(long, 200, HEADING)
    assert short.endswith("…") and long.startswith(short[:-1]) and 5 < len(short) < 40
    assert (sheet.words([long, "b"], 200, HEADING, 20)[:, 200 + GAP : 200 + 2 * GAP] == 255).all()
    assert sheet.shortened("photo", 200, HEADING) == "photo"


def test_pictures_of_a_row_have_the_largest_ones_size() -> None:
    assert sheet.shown_size([plain(100, 300), plain(200, 600)]) == (200, 600)
    assert sheet.shown_size([plain(4000, 3000)]) == (LONGEST, LONGEST * 3 // 4)
    assert sheet.shown_size([plain(24, 16)]) == (SHORTEST, SHORTEST * 16 // 24)
    assert sheet.resized(plain(100, 300), (200, 600)).shape == (600, 200, 3)


def test_upright_photos_stand_in_the_middle_of_wide_columns() -> None:
    page = sheet.sheet(["photo"], [[Tile(plain(600, 400))], [Tile(plain(400, 600))]])
    assert page.shape[1] == 600 + 2 * GAP
    upright = page[line(HEADING) + 400 + line(CAPTION) + 300]
    assert (upright[: GAP + 100] == 255).all() and (upright[GAP + 100 : GAP + 500] != 255).all()


@pytest.mark.parametrize("name", ["sheet.png", "new folder/ö.JPG"])
def test_files(tmp_path: Path, name: str) -> None:
    page = sheet.sheet(["photo"], [[Tile(plain(320, 240))]])
    shown = iio.imread(sheet.write(tmp_path / name, page))
    assert shown.shape == page.shape and np.abs(shown.astype(int) - page).mean() < 2
    assert [file.name for file in (tmp_path / name).parent.iterdir()] == [Path(name).name]


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match=r"a\.bmp: unknown kind of picture '\.bmp'; use \.png or \.jpg"):
        sheet.write(tmp_path / "a.bmp", plain(2, 2))
    (tmp_path / "a.png").mkdir()
    with pytest.raises(NerfkitError, match=r"a\.png: is a folder; choose another output file"):
        sheet.write(tmp_path / "a.png", plain(2, 2))
