from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from nerfkit.errors import NerfkitError
from nerfkit.train.run import Run
from nerfkit.viewer.command import render_command
from nerfkit.viewer.desk import Look
from nerfkit.viewer.keyframes import Keyframes, Shelf


def laid(count: int) -> Keyframes:
    keys = Keyframes()
    for index in range(count):
        keys.add(at(index), 0.8 + 0.1 * index)
    return keys


def at(x: float) -> torch.Tensor:
    pose = torch.eye(4)
    pose[0, 3] = x
    return pose


def places(keys: Keyframes) -> list[float]:
    return [float(key.world_from_cam[0, 3]) for key in keys.keys]


def times(keys: Keyframes) -> list[float]:
    return [key.time for key in keys.keys]


def test_keyframes_are_added_at_the_end_or_between_two() -> None:
    keys = laid(3)
    assert times(keys) == [0, 2, 4]
    assert keys.add(at(9), 1.0, after=0) == 1
    assert (places(keys), times(keys)) == ([0, 9, 1, 2], [0, 1, 2, 4])


def test_keyframes_can_be_added_behind_one_on_and_on() -> None:
    keys = laid(3)
    for _ in range(60):
        keys.add(at(9), 1.0, after=0)
    assert min(b - a for a, b in itertools.pairwise(times(keys))) >= 0.1
    assert len(keys.path().keyframes) == 63 and times(keys)[-1] < 63 * 2


def test_a_new_time_moves_a_keyframe_past_others() -> None:
    keys = laid(3)
    assert keys.set_time(0, 3.0) == 1
    assert (places(keys), times(keys)) == ([1, 0, 2], [0, 1, 2])  # and the first is at 0
    with pytest.raises(NerfkitError, match="another keyframe is at 2 s"):
        keys.set_time(0, 2.0)
    assert places(keys) == [1, 0, 2]


def test_swapping_leaves_the_times() -> None:
    keys = laid(3)
    assert keys.swap(0, -1) == 0
    assert keys.swap(0, 1) == 1
    assert (places(keys), times(keys)) == ([1, 0, 2], [0, 2, 4])


def test_deleting_the_first_begins_at_zero() -> None:
    keys = laid(3)
    keys.delete(0)
    assert (places(keys), times(keys)) == ([1, 2], [0, 2])
    keys.delete(0)
    keys.delete(0)
    with pytest.raises(NerfkitError, match="no keyframe yet"):
        keys.path()


def test_a_path_is_kept_and_comes_back(little_run: Run, tmp_path: Path) -> None:
    shelf, keys = Shelf(tmp_path / "paths", little_run.scene()), laid(3)
    keys.set_fov(1, 0.5)
    keys.loop = True
    path = keys.path()
    assert shelf.names() == []
    assert shelf.save("my path-1", path) == tmp_path / "paths" / "my path-1.json"
    assert shelf.names() == ["my path-1"]
    again = Keyframes()
    again.take(shelf.load("my path-1"))
    assert again.loop
    assert times(again) == pytest.approx(times(keys))
    for key, kept in zip(again.keys, keys.keys, strict=True):
        torch.testing.assert_close(key.world_from_cam, kept.world_from_cam, atol=1e-6, rtol=0)
        assert key.fov == pytest.approx(kept.fov)
    assert again.path().after == pytest.approx(path.after)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a\\b", "x" * 200, "nul\0"])
def test_a_path_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match="no name of a path"):
        Shelf(tmp_path, None).file(name)


def test_the_command_can_be_pasted() -> None:
    look = Look("depth", crop=(-1.0, -0.5, 0, 1, 2, 3.25))
    assert render_command(Path("my runs/a"), Path("my runs/a/paths/p.json"), look) == (
        "nerfkit render 'my runs/a' --path 'my runs/a/paths/p.json' --channels depth --crop -1 -0.5 0 1 2 3.25"
    )
    assert render_command(Path("a"), Path("p.json"), Look()) == "nerfkit render a --path p.json"
