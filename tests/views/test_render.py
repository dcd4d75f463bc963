"""``nerfkit render`` over a whole run, with a model that is exact."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import probe
import pytest

from nerfkit.cli import main
from nerfkit.train import checkpoint
from nerfkit.train.run import Run


def render(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any], str]:
    status = main(["render", *map(str, arguments), "--json"])
    captured = capsys.readouterr()
    return status, json.loads(captured.out) if captured.out else {}, captured.err


def test_an_orbit_by_default(ball_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    status, result, words = render(capsys, ball_run.path, "--seconds", 0.5)
    assert status == 0
    assert result["files"] == [str(ball_run.renders / "orbit.mp4")]
    assert (result["frames"], result["width"], result["height"]) == (15, 64, 48)
    assert "15 frames of 64x48" in words
    decoded = iio.imread(ball_run.renders / "orbit.mp4")
    assert len(decoded) == 15
    assert np.abs(decoded[0].astype(int) - decoded[7]).mean() > 5  # the other side of the ball


def test_channels_go_into_files_of_their_own(ball_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "fly.mp4"
    arguments = (ball_run.path, "--path", "interpolate", "--channels", "rgb,depth", "--size", "80x60", "--fps", 10)
    status, result, _ = render(capsys, *arguments, "--seconds", 1, "-o", out)
    assert status == 0
    assert result["files"] == [str(out), str(tmp_path / "fly.depth.mp4")]
    colour, depth = (iio.imread(file) for file in result["files"])
    assert colour.shape == depth.shape == (10, 60, 80, 3)
    assert depth[:, 50:, :, 0].mean() > depth[:, 50:, :, 2].mean()  # the floor before us is near: red


def test_held_out_stills(ball_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    status, result, _ = render(capsys, ball_run.path, "--path", "held-out", "--channels", "rgb,depth")
    assert status == 0
    names = ["a_00.png", "a_00.depth.png", "a_08.png", "a_08.depth.png"]
    assert result["files"] == [str(ball_run.renders / "held-out" / name) for name in names]
    assert all(iio.imread(file).shape == (48, 64, 3) for file in result["files"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", ".mp4"], ".mp4: has no name before its suffix; call it out.mp4"),
        (["-o", "out.avi"], "out.avi: unknown kind of video '.avi'; use .mp4, .webm or .gif"),
        (
            ["--path", "held-out", "-o", "out.mp4"],
            "out.mp4: --path held-out writes stills into a folder; give a folder",
        ),
        (["-o", "out.png"], "out.png: a file a frame needs one place for its number; write it like out_%04d.png"),
        (["-o", "out_%d_%d.exr"], "out_%d_%d.exr: a file a frame needs one place for its number"),
        (["-o", "out_%04d.tif"], "out_%04d.tif: unknown kind of picture '.tif'; use .png or .exr"),
        (["--bits", "16"], "--bits 16: .mp4 has 8 bits a channel"),
        (["--bits", "8", "-o", "out_%04d.exr"], "--bits 8: .exr has 16 or 32 bits a channel"),
        (["--background", "whitish"], "--background 'whitish': use scene, transparent, a colour's name"),
        (["--background", "transparent"], "--background transparent: .mp4 has no transparency; use .webm, .gif or PNG"),
        (["--crop", "0", "0", "0", "1", "0", "1"], "--crop 0 0 0 1 0 1: give the least x y z and then the greatest"),
        (["--camera", "vr180", "--stereo", "over-under"], "--stereo over-under: VR180 has its eyes side by side"),
        (["--camera", "vr180", "--path", "held-out"], "--camera vr180 --path held-out: stills are as the photos are"),
        (["--eye-distance", "-1"], "--eye-distance -1: must be more than 0"),
        (["--samples", "0"], "--samples 0: must be 1 to 8"),
        (["--size", "640"], "--size '640': write it like 1280x720, each side from 2 to 8192 pixels"),
        (["--size", "1x720"], "--size '1x720': write it like"),
        (["--channels", "rgb,deep"], "--channels 'rgb,deep': choose from rgb, depth, normal, alpha"),
        (["--fps", "0"], "--fps 0: must be 0.01 to 1000"),
        (["--seconds", "nan"], "--seconds nan: must be more than 0"),
    ],
)
def test_bad_options_are_told_before_the_work(
    ball_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    arguments: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    status, result, error = render(capsys, ball_run.path, *arguments)
    assert (status, result) == (2, {})
    assert error.startswith(f"error: {words}")
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before and not ball_run.renders.exists()


def test_a_preview_is_small_and_short(ball_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    status, result, _ = render(
        capsys, ball_run.path, "--seconds", 0.5, "--size", "960x540", "--preview", "--samples", 4
    )
    assert status == 0 and result["files"] == [str(ball_run.renders / "orbit.preview.mp4")]
    found = probe.stream(Path(result["files"][0]))
    assert (found["width"], found["height"], found["frames"]) == (480, 270, 8)
    assert found["fps"] == 15 and found["seconds"] == pytest.approx(8 / 15, abs=0.01)


def test_vr180(ball_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "vr.mp4"
    arguments = ("--camera", "vr180", "--size", "64x64", "--seconds", 0.2, "--eye-distance", 0.1, "-o", out)
    status, result, _ = render(capsys, ball_run.path, *arguments)
    assert status == 0 and (result["width"], result["height"]) == (128, 64)
    found = probe.stream(out)
    assert (found["width"], found["height"]) == (128, 64)
    kinds = {data["side_data_type"] for data in found["side_data_list"]}
    assert kinds == {"Stereo 3D", "Spherical Mapping"}
    assert status == 0 and "warning" not in render(capsys, ball_run.path, *arguments)[2]


@pytest.mark.parametrize(("layout", "size"), [("on", (64, 64)), ("side-by-side", (128, 32))])
def test_stereo_all_around(
    ball_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path, layout: str, size: tuple[int, int]
) -> None:
    out, saved = tmp_path / "around.mp4", tmp_path / "path.json"
    arguments = ("--camera", "equirect", "--stereo", layout, "--size", "64x32", "--seconds", 0.1, "-o", out)
    status, result, words = render(capsys, ball_run.path, *arguments, "--save-path", saved)
    assert (status, result["width"], result["height"]) == (0, *size) and "warning" not in words
    found = probe.stream(out)
    data = {key: value for side in found["side_data_list"] for key, value in side.items()}
    assert data["projection"] == "equirectangular"
    assert data["type"] == ("top and bottom" if layout == "on" else "side by side")
    written = json.loads(saved.read_text())
    assert (written["camera_type"], written["render_width"], written["render_height"]) == ("omnidirectional", 64, 32)


@pytest.mark.parametrize(
    ("kind", "options", "size"),
    [
        ("perspective", [], (64, 48)),
        ("fisheye", [], (64, 48)),
        ("equirectangular", [], (64, 48)),
        ("equirectangular", ["--camera", "pinhole"], (64, 48)),
        ("omnidirectional", [], (64, 96)),
        ("omnidirectional", ["--stereo", "none"], (64, 48)),
        ("vr180", [], (128, 48)),
    ],
)
def test_a_path_files_kind_of_camera(
    ball_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str, options: list[str],
    size: tuple[int, int],
) -> None:  # fmt: skip
    saved, again = tmp_path / "path.json", tmp_path / "again.json"
    options = [*options, "--save-path", str(again)]
    assert render(capsys, ball_run.path, "--seconds", 0.1, "-o", tmp_path / "0_%d.png", "--save-path", saved)[0] == 0
    data = json.loads(saved.read_text()) | {"camera_type": kind}
    data["keyframes"] = [key | {"fov": 110} for key in data["keyframes"]]
    saved.write_text(json.dumps(data))
    status, result, words = render(capsys, ball_run.path, "--path", saved, *options, "-o", tmp_path / "a_%d.png")
    assert (status, result["width"], result["height"]) == (0, *size), words
    shown = {"pinhole": "perspective", "none": "equirectangular"}.get(options[1], kind)
    assert json.loads(again.read_text())["camera_type"] == shown
    assert render(capsys, ball_run.path, "--path", saved, "--camera", "pinhole", "-o", tmp_path / "b_%d.png")[0] == 0
    first, flat = (iio.imread(tmp_path / name) for name in ("a_0.png", "b_0.png"))
    assert np.array_equal(first, flat) == (shown == "perspective")


def test_a_panorama_that_no_player_knows_is_warned_about(
    ball_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("--camera", "equirect", "--size", "64x32", "--seconds", 0.1, "-o", tmp_path / "all.webm")
    status, result, words = render(capsys, ball_run.path, *arguments)
    assert status == 0 and (result["width"], result["height"]) == (64, 32)
    assert "warning:" in words and "a .mp4 says that it is one" in words


def test_a_gif_that_players_slow_down_is_warned_about(
    ball_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for fps, warned in ((50, False), (60, True)):
        arguments = ("--fps", fps, "--size", "32x24", "--seconds", 0.1, "-o", tmp_path / f"{fps}.gif")
        status, _, words = render(capsys, ball_run.path, *arguments)
        assert status == 0 and ("give --fps 50 or less" in words) == warned


def test_a_name_that_is_too_long(ball_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in (("--path", "a" * 300), ("-o", tmp_path / f"{'a' * 300}.mp4")):
        status, _, error = render(capsys, ball_run.path, *arguments)
        assert status == 2 and "aaa" in error and "is too long for the name of a file" in error


def test_two_runs_with_a_wipe(ball_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = tmp_path / "other run"
    shutil.copytree(ball_run.path, other)
    arguments = (ball_run.path, "--with", other, "--seconds", 0.4, "--size", "200x120", "-o", tmp_path / "f_%d.png")
    status, result, words = render(capsys, *arguments)
    assert status == 0 and result["frames"] == 12 and "warning" not in words
    first = iio.imread(tmp_path / "f_0.png").astype(int)
    assert (first[60, 99:101] > 230).all() and first.shape == (120, 200, 3)
    status, result, _ = render(capsys, *arguments)
    assert status == 0 and result["rendered"] == 0  # all of them are there
    status, result, _ = render(capsys, *arguments, "--compare", "side-by-side")
    assert (status, result["rendered"], result["width"]) == (0, 12, 400)
    assert iio.imread(tmp_path / "f_3.png").shape == (120, 400, 3)


def test_an_interrupted_sequence_goes_on(ball_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = (ball_run.path, "--seconds", 0.3, "-o", tmp_path / "frames", "--bits", 16)
    status, result, _ = render(capsys, *arguments)
    assert status == 0 and [Path(file).name for file in result["files"][:2]] == ["frame_00000.png", "frame_00001.png"]
    (tmp_path / "frames" / "frame_00004.png").unlink()
    status, result, words = render(capsys, *arguments)
    assert (status, result["rendered"], result["frames"]) == (0, 1, 9) and "8 of them there before" in words
    checkpoint.save(ball_run.checkpoints, checkpoint.Checkpoint("ball", 2, {"model": {}}))  # trained further
    assert render(capsys, *arguments)[1]["rendered"] == 9


def test_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, error = render(capsys, tmp_path / "nowhere")
    assert status == 2
    assert error == f"error: {tmp_path / 'nowhere'}: no such run; give the folder that nerfkit train --out made\n"
