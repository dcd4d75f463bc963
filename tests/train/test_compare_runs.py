"""``nerfkit compare`` over real runs: the table, the sheet, the video, and what can't be compared."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from toy_scene import write_scene

from nerfkit.cli import compare as verb
from nerfkit.cli import main
from nerfkit.errors import NerfkitError
from nerfkit.models.gaussians.config import Config
from nerfkit.train import compare
from nerfkit.train.config import TrainConfig
from nerfkit.train.fit import fit
from nerfkit.train.run import Run
from nerfkit.views import sheet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one scene, ``short`` and ``long``, one of half its size, and one of another scene."""
    place = tmp_path_factory.mktemp("compared")
    scenes = {name: write_scene(place / name, width=48, height=32) for name in ("room", "garden")}
    for photo in (scenes["garden"] / "images").iterdir():
        iio.imwrite(photo, 255 - iio.imread(photo))
    for name, scene, steps, downscale in (
        ("short", "room", 5, 1), ("long", "room", 30, 1), ("small", "room", 5, 2), ("garden/short", "garden", 5, 1),
    ):  # fmt: skip
        config = TrainConfig(
            scenes[scene], steps=steps, downscale=downscale, device="cpu", threads=1, model_options=Config(cap=1000)
        )
        fit(place / "runs" / name, config)
    return place / "runs"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any], str]:
    status = main(["compare", *map(str, arguments), "--device", "cpu", "--json"])
    captured = capsys.readouterr()
    return status, json.loads(captured.out) if captured.out else {}, captured.err


def test_the_figures_are_those_of_the_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, result, words = run(capsys, folder / "short", folder / "long")
    assert status == 0 and result["files"] == [] and len(result["runs"]) == 2
    for row, name in zip(result["runs"], ("short", "long"), strict=True):
        metrics = json.loads((folder / name / "metrics.json").read_text())
        assert (row["label"], row["run"], row["scene"]) == (name, str(folder / name), "room")
        assert (row["width"], row["height"], row["views"]) == (48, 32, 2)
        assert {key: row[key] for key in ("psnr", "ssim", "lpips")} == {
            key: metrics["eval"][key] for key in ("psnr", "ssim", "lpips")
        }
        for key in ("model", "device", "seconds", "steps", "parameters", "file_bytes", "peak_memory_bytes"):
            assert row[key] == metrics[key]
        assert row["frames_per_second"] > 1
    table = [
        line.split() for line in words.splitlines() if line.strip() and line.split()[0] in ("run", "short", "long")
    ]
    assert table[0] == ["run", "scene", "model", "PSNR", "SSIM", "trained", "steps", "frames/s", "params", "file",
                        "memory"]  # fmt: skip
    assert [line[0] for line in table] == ["run", "short", "long"]
    assert table[2][3] == f"{result['runs'][1]['psnr']:.2f}"
    assert "warning" not in words


def test_without_speed_no_model_is_loaded(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "model", None)
    status, result, words = run(capsys, folder / "short", "--no-speed")
    assert status == 0 and result["runs"][0]["frames_per_second"] is None
    assert "frames/s" not in words and "LPIPS" not in words


def test_a_sheet_shows_photos_and_renders(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out" / "sheet.png"
    status, result, words = run(capsys, folder / "short", folder / "long", "-o", out, "--no-speed")
    assert (status, result["files"]) == (0, [str(out)]) and str(out) in "".join(words.split())
    page, cell = iio.imread(out), (240, 160)
    heading, caption = round(sheet.HEADING * 1.9), round(sheet.CAPTION * 1.9)
    assert page.shape == (heading + 2 * (cell[1] + caption), 4 * sheet.GAP + 3 * cell[0], 3)
    for index, name in enumerate(("000", "008")):
        top = heading + index * (cell[1] + caption)
        for column, file in enumerate((f"{name}.truth.png", f"short/eval/{name}.png", f"long/eval/{name}.png")):
            left = sheet.GAP + column * (sheet.GAP + cell[0])
            expected = iio.imread(folder / (f"short/eval/{file}" if column == 0 else file))
            shown = page[top : top + cell[1], left : left + cell[0]]
            assert np.abs(shown.astype(int) - sheet.resized(expected, cell)).max() == 0
    _, _, _ = run(capsys, folder / "short", "-o", tmp_path / "one.jpg", "--no-speed", "--views", 1)
    assert iio.imread(tmp_path / "one.jpg").shape == (heading + cell[1] + caption, 3 * sheet.GAP + 2 * cell[0], 3)


@pytest.mark.parametrize("path", ["orbit", "interpolate"])
def test_a_video_shows_the_runs_side_by_side(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, path: str
) -> None:
    out = tmp_path / "both.mp4"
    arguments = ("-o", out, "--no-speed", "--path", path, "--fps", 10, "--seconds", 0.5, "--size", "320x200")
    status, result, _ = run(capsys, folder / "short", folder / "long", *arguments)
    assert (status, result["files"]) == (0, [str(out)])
    frames = iio.imread(out)
    heading = round(sheet.HEADING * 1.9)
    height, width = heading + 200 + sheet.GAP, 3 * sheet.GAP + 2 * 320
    assert frames.shape == (5, height + height % 2, width + width % 2, 3)
    if shutil.which("ffprobe"):
        command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(out)]
        (stream,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]
        assert (stream["codec_name"], stream["pix_fmt"], stream["avg_frame_rate"]) == ("h264", "yuv420p", "10/1")
        assert (stream["width"], stream["height"]) == frames.shape[2:0:-1]
    left, right = (frames[0, heading : heading + 200, x : x + 320] for x in (sheet.GAP, 2 * sheet.GAP + 320))
    assert frames[0, :heading].min() < 90  # labels
    assert left.std() > 5 and right.std() > 5 and np.abs(left.astype(int) - right).mean() > 1


def test_runs_of_other_sizes_are_compared_with_a_word_of_warning(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, _, words = run(capsys, folder / "short", folder / "small", "--no-speed", "-o", tmp_path / "a.png")
    assert status == 0 and iio.imread(tmp_path / "a.png").shape[1] == 4 * sheet.GAP + 3 * 240
    assert "photos" in words and "24x16" in words
    assert "warning: the runs are measured on photos of different sizes (24x16, 48x32); smaller ones score higher" in (
        " ".join(words.split())
    )


def test_runs_of_other_scenes_share_only_the_table(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    runs = (folder / "short", folder / "garden/short", "--no-speed")
    status, result, words = run(capsys, *runs)
    assert status == 0
    assert [row["label"] for row in result["runs"]] == ["runs/short", "garden/short"]
    assert [row["scene"] for row in result["runs"]] == ["room", "garden"]
    assert "warning: the runs are of different scenes (garden, room); their scores say nothing about each other" in (
        " ".join(words.split())
    )


def test_photos_that_were_copied_are_the_same(folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(folder.parent / "room", tmp_path / "room")
    short = compare.open_runs([folder / "short", folder / "long"])
    for view in short[1].scene.views:
        view.path = moved / "images" / view.path.name
    assert compare.differing_views(short) is None
    view = short[1].views[1]
    view.path.write_bytes(b"another photo")
    assert compare.differing_views(short) is short[1]


WRONG = [
    ([], [], "no runs to compare; give the folders that nerfkit train --out made"),
    (["short", "nowhere"], [], "{folder}/nowhere: no such run; give the folder that nerfkit train --out made"),
    (["short", "long/../short"], [], "{folder}/long/../short: is given twice; give each run once"),
    (["short"], ["-o", "a.avi"], "a.avi: unknown kind of output '.avi'; use .png or .jpg, .mp4, .webm or .gif"),
    (["short"], ["-o", "folder.png"], "folder.png: is a folder; choose another output file"),
    (["short"], ["-o", "a.mp4", "--size", "640"],
     "--size '640': write it like 1280x720, each side from 2 to 8192 pixels"),
    (["short"], ["--views", "0"], "--views 0: must be 1 or more"),
    (["short"], ["--fps", "0"], "--fps 0: must be 0.01 to 1000"),
    (["short"], ["--seconds", "nan"], "--seconds nan: must be more than 0, 100000 at most"),
    (["short", "garden/short"], ["-o", "a.png"],
     "{folder}/garden/short: holds out other photos (garden: 000, 008) than {folder}/short (room: 000, 008); a sheet "
     "or video needs runs of one scene, trained with the same --hold-out-every"),
]  # fmt: skip


@pytest.mark.parametrize(("names", "arguments", "words"), WRONG)
def test_what_cannot_be_compared(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    names: list[str], arguments: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    status, result, error = run(capsys, *(folder / name for name in names), *arguments)
    assert (status, result) == (2, {})
    assert error == f"error: {words.format(folder=folder)}\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"eval": 3}'])
def test_runs_without_metrics(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str | None
) -> None:
    place = shutil.copytree(folder / "short", tmp_path / "run")
    (place / "metrics.json").unlink()
    cause = "no such file; finish the run (nerfkit train --resume), or measure it"
    if text is not None:
        (place / "metrics.json").write_text(text)
        cause = "not a run's metrics; write it anew"
    status, _, error = run(capsys, place)
    assert (status, error) == (2, f"error: {place}/metrics.json: {cause} with `nerfkit eval {place}`\n")


def test_labels_are_as_short_as_they_can_be() -> None:
    places = [Path("/runs/fox/ngp"), Path("/runs/fox/gaussians"), Path("/runs/lego/ngp"), Path("/ngp")]
    assert compare.labels(places) == ["fox/ngp", "gaussians", "lego/ngp", "//ngp"]
    assert compare.labels([Path("/runs/fox")]) == ["fox"]


def test_runs_take_turns_and_the_first_turn_does_not_count() -> None:
    order: list[str] = []

    class Drawing:
        def __init__(self, name: str) -> None:
            self.name = name

        def render(self, camera: object, channels: frozenset[str], progress: object = None) -> SimpleNamespace:
            order.append(self.name)
            return SimpleNamespace(rgb=torch.zeros(1, 1, 3))

    views = [SimpleNamespace(camera=index) for index in range(2)]
    runs = [SimpleNamespace(views=views)] * 2
    speeds = compare.frames_per_second([Drawing("a"), Drawing("b")], runs, frames=3)  # type: ignore[arg-type,list-item]
    assert order == ["a", "b"] * 4 and len(speeds) == 2 and min(speeds) > 0


def test_views_are_chosen_evenly() -> None:
    views: list[Any] = list(range(9))
    assert compare.evenly(views, 3) == [0, 4, 8]
    assert compare.evenly(views, 1) == [0]
    assert compare.evenly(views, 20) == views


def test_a_wide_video_is_made_to_fit() -> None:
    assert verb.fitting((1601, 1067), 2) == (1600, 1066)
    width, height = verb.fitting((1600, 1066), 6)
    assert 6 * width <= verb.WIDEST and width / height == pytest.approx(1.5, abs=0.01)


def test_numbers_read_well() -> None:
    assert [verb.scaled(value) for value in (None, 950, 999.9, 12_345, 1_234_567)] == [
        "-", "950", "1 k", "12.3 k", "1.23 M",
    ]  # fmt: skip
    assert [verb.scaled(value, "B") for value in (12, 42_973_744, 2e9)] == ["12 B", "43 MB", "2 GB"]
    assert [verb.duration(value) for value in (None, 3.21, 48.4, 185, 3725)] == [
        "-",
        "3.2 s",
        "48 s",
        "3:05",
        "1:02:05",
    ]


def test_a_photo_that_is_gone_is_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copied = shutil.copytree(folder / "short", tmp_path / "run")
    data = json.loads((copied / "scene.json").read_text())
    for view in data["views"]:
        view["path"] = str(tmp_path / "gone" / Path(view["path"]).name)
    (copied / "scene.json").write_text(json.dumps(data))
    status, _, error = run(capsys, copied, "-o", tmp_path / "a.png", "--no-speed")
    assert status == 2 and "000.png: cannot be read" in error and not (tmp_path / "a.png").exists()
    with pytest.raises(NerfkitError, match="holds out other photos"):
        compare.check_same_views(compare.open_runs([folder / "short", copied]))
