"""Names of views: unique, and short enough for the files that are named after them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nerfkit.data.raw import _names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["photos/a.jpg", "photos/b.png"], ["a", "b"]),
        (["photos/left/a.jpg", "photos/right/a.jpg"], ["left_a", "right_a"]),
        (["photos/a.jpg", "photos/a.png"], ["a.jpg", "a.png"]),
    ],
)
def test_names_are_paths_below_the_common_folder(paths: list[str], names: list[str]) -> None:
    assert _names([Path(path) for path in paths]) == names


@pytest.mark.parametrize(
    "paths",
    [
        ["a/b_c.jpg", "a_b/c.jpg"],
        [f"{'x' * 120}/{'y' * 120}{end}.jpg" for end in "ab"] + ["z/y.jpg"],
        [f"{'é' * 100}/{'写' * 50}{end}.jpg" for end in "ab"] + ["z/y.jpg"],
    ],
)
def test_names_differ_and_fit_into_file_systems(paths: list[str]) -> None:
    names = _names([Path(path) for path in paths])
    assert len(set(names)) == len(paths)
    assert max(len(name.encode()) for name in names) <= 180
    assert all("/" not in name for name in names)
