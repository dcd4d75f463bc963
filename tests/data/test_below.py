"""Photos in another folder, found by the end of their path."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tiny import names, transforms, write_blender, write_colmap, write_transforms

from nerfkit.data.below import photos_below
from nerfkit.data.readers import read
from nerfkit.errors import NerfkitError


def fill(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


@pytest.mark.parametrize(
    ("files", "wanted", "found"),
    [
        (["a/1.jpg", "b/1.jpg"], ["images/b/1.jpg", "images/a/1.jpg"], ["b/1.jpg", "a/1.jpg"]),
        (["x/y/a/1.jpg", "x/z/b/1.jpg"], ["a/1.jpg", "b/1.jpg"], ["x/y/a/1.jpg", "x/z/b/1.jpg"]),
        (["1.jpg", "deep/er/2.jpg"], ["C:\\scan\\1.jpg", "./images//2.jpg"], ["1.jpg", "deep/er/2.jpg"]),
        (["a/1.jpg"], ["a/1.jpg", "b/1.jpg"], ["a/1.jpg", None]),  # b's is missing, not a's once more
        (["b/1.jpg"], ["a/1.jpg"], ["b/1.jpg"]),
        (["images/1.png", "masks/1.png"], ["old/images/1.png"], ["images/1.png"]),
        (["1.png", "masks/1.png"], ["images/1.png"], ["1.png"]),  # the fewest folders
        (["a/1.png", "a/1.jpg", "b/1.JPG"], ["a/1", "b/1"], ["a/1.jpg", "b/1.JPG"]),
        (["a/1", "a/1.jpg"], ["a/1"], ["a/1"]),
        (["a/1.JPG", "b/1.jpg", "b/1.JPG"], ["1/a/1.jpg", "b/1.jpg", "a/2.JPG"], ["a/1.JPG", "b/1.jpg", None]),
        (["a/1.JPG"], ["b/1.jpg"], ["a/1.JPG"]),
        (["a/1.jpg.png"], ["a/1.jpg"], [None]),  # a mask
        ([".cache/1.jpg"], ["1.jpg"], [None]),
        (["1.jpg"], ["", "..", "2.jpg"], [None, None, None]),
        (["a/1.jpg", "c/a/1.jpg"], ["b/a/1.jpg", "c/a/1.jpg"], ["a/1.jpg", "c/a/1.jpg"]),
    ],
)
def test_the_longest_common_end_counts(
    tmp_path: Path, files: list[str], wanted: list[str], found: list[str | None]
) -> None:
    fill(tmp_path, *files)
    given = photos_below(wanted, tmp_path)
    assert [file.relative_to(tmp_path).as_posix() if file.is_file() else None for file in given] == found


def test_two_that_fit_equally_are_not_guessed_between(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "b/1.jpg")
    with pytest.raises(NerfkitError, match=r"a/1\.jpg and b/1\.jpg could both be images/1\.jpg; name the folder that"):
        photos_below(["images/1.jpg"], tmp_path)


def test_links_to_folders(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "1.jpg")
    folder = fill(tmp_path / "photos", "b/1.jpg")
    os.symlink(tmp_path / "elsewhere", folder / "a")
    os.symlink(folder, folder / "b" / "circle")
    assert photos_below(["a/1.jpg", "b/1.jpg"], folder) == [folder / "a/1.jpg", folder / "b/1.jpg"]


def test_equal_names_in_a_transforms_json(tmp_path: Path) -> None:
    """Five photos a side, of the same names, in folders that are not where the file says."""
    write_transforms(tmp_path / "scene")
    frames = transforms()["frames"]
    for index, frame in enumerate(frames):
        side, name = ("left", "right")[index % 2], f"{index // 2}.png"
        frame["file_path"] = f"D:\\capture\\{side}\\{name}"
        (tmp_path / "photos" / "day" / side).mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "scene" / "images" / names()[index], tmp_path / "photos" / "day" / side / name)
    shutil.rmtree(tmp_path / "scene")
    write_transforms(tmp_path / "scene", frames=frames)
    scene = read(tmp_path / "scene", tmp_path / "photos")
    expected = {f"{side}/{index}.png" for side in ("left", "right") for index in range(5)}
    assert {view.path.relative_to(tmp_path / "photos" / "day").as_posix() for view in scene.views} == expected
    by_path = {view.path.relative_to(tmp_path / "photos" / "day").as_posix(): view for view in scene.views}
    for frame in frames:
        view = by_path["/".join(frame["file_path"].split("\\")[-2:])]
        place = [row[3] for row in frame["transform_matrix"][:3]]
        assert view.camera.world_from_cam[0, :3, 3].tolist() == pytest.approx(place)


def test_blender_and_colmap_find_theirs_in_deeper_folders(tmp_path: Path) -> None:
    write_blender(tmp_path / "blender")
    for part in ("train", "test"):
        (tmp_path / "moved" / "x").mkdir(parents=True, exist_ok=True)
        (tmp_path / "blender" / part).rename(tmp_path / "moved" / "x" / part)
    scene = read(tmp_path / "blender", tmp_path / "moved")
    assert sorted(view.path.parent.name for view in scene.views) == ["test"] * 2 + ["train"] * 8
    write_colmap(tmp_path / "colmap")
    (tmp_path / "colmap" / "images").rename(tmp_path / "images")
    (tmp_path / "outer").mkdir()
    (tmp_path / "images").rename(tmp_path / "outer" / "images")
    assert len(read(tmp_path / "colmap", tmp_path / "outer").views) == 10
