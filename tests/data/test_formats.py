"""Formats of other programs: their cameras see known points where the format's own formulas put them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import truth

from nerfkit.cameras import distort, project
from nerfkit.data.raw import RawScene, photo_file
from nerfkit.data.readers import read
from nerfkit.errors import NerfkitError


def check_geometry(scene: RawScene, pixels: np.ndarray, tolerance: float = 1e-9) -> None:
    """Eyes, axes, and every point's pixel and depth."""
    eye, right, down, forward = truth.cameras()
    xyz = truth.points()[0]
    assert [view.path.name for view in scene.views] == truth.NAMES
    for i, view in enumerate(scene.views):
        assert np.allclose(
            view.camera.world_from_cam[0, :3].numpy(), np.stack([right[i], down[i], forward[i], eye[i]], -1)
        )
        found, depth = project(view.camera, torch.from_numpy(xyz))
        assert np.abs(found[0].numpy() - pixels[i]).max() < tolerance
        assert np.allclose(depth[0].numpy(), (xyz - eye[i]) @ forward[i])


def check_observations(scene: RawScene, pixels: np.ndarray, colored: bool) -> None:
    xyz, rgb = truth.points()
    assert np.allclose(scene.points, xyz)
    assert np.array_equal(scene.point_colors, rgb if colored else np.full_like(rgb, 128))
    for i, view in enumerate(scene.views):
        assert view.seen is not None
        assert view.seen.points.tolist() == list(range(len(xyz)))
        assert np.abs(view.seen.pixels - pixels[i]).max() < 1e-9


@pytest.mark.parametrize("model", ["pinhole", "disto_k1", "disto_k3", "disto_t2", "fisheye"])
def test_openmvg(tmp_path: Path, model: str) -> None:
    pixels = truth.openmvg(tmp_path, model)
    scene = read(tmp_path)
    check_geometry(scene, pixels)
    check_observations(scene, pixels, colored=False)
    assert len(read(tmp_path / "sfm_data.json").views) == truth.COUNT


@pytest.mark.parametrize("model", ["perspective", "simple_radial", "brown", "fisheye"])
def test_opensfm(tmp_path: Path, model: str) -> None:
    pixels = truth.opensfm(tmp_path, model)
    check_geometry(read(tmp_path), pixels)
    check_observations(read(tmp_path / "reconstruction.json"), pixels, colored=True)
    (tmp_path / "tracks.csv").unlink()
    assert all(view.seen is None for view in read(tmp_path).views)


def test_opendronemaps_folders(tmp_path: Path) -> None:
    pixels = truth.opensfm(tmp_path / "opensfm")
    (tmp_path / "opensfm" / "images").rename(tmp_path / "images")
    check_geometry(read(tmp_path), pixels)


def test_bundler(tmp_path: Path) -> None:
    pixels = truth.bundler(tmp_path)
    scene = read(tmp_path)
    check_geometry(scene, pixels)
    check_observations(scene, pixels, colored=True)
    absolute = [str(tmp_path / "photos" / name) for name in truth.NAMES]
    (tmp_path / "list.txt").write_text("\n".join([*absolute[:3], "gone.png", *absolute[3:]]))
    check_geometry(read(tmp_path / "bundle.out"), pixels)


def test_realitycapture(tmp_path: Path) -> None:
    pixels = truth.realitycapture(tmp_path)
    check_geometry(read(tmp_path), pixels)
    check_geometry(read(tmp_path / "export.csv"), pixels)


def test_realitycaptures_angles(tmp_path: Path) -> None:
    """As its makers say: all zero looks down, the photo's top to +y; heading is a compass's; pitch lifts the view."""
    truth.realitycapture(tmp_path)
    angles = [(0, 0, 0), (90, 0, 0), (0, 90, 0), (90, 90, 0), (0, 0, 90)]
    rows = [f"{name},{i},0,9,{h},{p},{r},30,0,0" for i, (name, (h, p, r)) in enumerate(zip(truth.NAMES, angles))]
    (tmp_path / "export.csv").write_text("\n".join(["#name,x,y,alt,heading,pitch,roll,f,px,py", *rows]))
    up = [-view.camera.world_from_cam[0, :3, 1] for view in read(tmp_path).views]
    ahead = [view.camera.world_from_cam[0, :3, 2] for view in read(tmp_path).views]
    east, north, sky = torch.eye(3, dtype=torch.float64)
    assert torch.allclose(torch.stack(ahead), torch.stack([-sky, -sky, north, east, -east]), atol=1e-12)
    assert torch.allclose(torch.stack(up), torch.stack([north, east, sky, sky, north]), atol=1e-12)


@pytest.mark.parametrize("part", ["corrected_", ""])
def test_polycam(tmp_path: Path, part: str) -> None:
    pixels = truth.polycam(tmp_path, part)
    check_geometry(read(tmp_path), pixels)
    check_geometry(read(tmp_path / "keyframes"), pixels)


def test_polycams_optimized_cameras_come_first(tmp_path: Path) -> None:
    truth.polycam(tmp_path, "corrected_")
    truth.polycam(tmp_path, "")
    assert read(tmp_path).source.name == "corrected_cameras"


@pytest.mark.parametrize("kind", ["frame", "fisheye"])
def test_metashape(tmp_path: Path, kind: str) -> None:
    pixels = truth.metashape(tmp_path, kind)
    check_geometry(read(tmp_path), pixels)
    check_geometry(read(tmp_path / "cameras.xml"), pixels)


def test_metashapes_geocentric_chunks_are_moved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = truth.metashape(tmp_path, shift=4e6)
    with caplog.at_level(logging.WARNING, logger="nerfkit"):
        scene = read(tmp_path)
    assert "from its origin and is moved there" in caplog.text
    moved = truth.points()[0] - np.array([3.0, -2.0, 5.0])
    found, _ = project(scene.views[0].camera, torch.from_numpy(moved))
    assert np.abs(found[0].numpy() - pixels[0]).max() < 1e-6


def test_the_third_and_fourth_radial_coefficients_are_folded_into_the_others(tmp_path: Path) -> None:
    """Over the whole photo, against the formula: far better than leaving them out."""
    brown = (-0.1, 0.05, -0.15, 0.1)
    pixels = truth.realitycapture(tmp_path, brown)
    check_geometry(read(tmp_path), pixels, tolerance=0.06)
    camera = read(tmp_path).views[0].camera
    spots = np.stack(np.meshgrid(np.linspace(-0.6, 0.5, 20), np.linspace(-0.4, 0.45, 20)), -1).reshape(-1, 2)
    exact = truth.FOCAL * truth.radial(spots, *brown) + truth.CENTER
    without = truth.FOCAL * truth.radial(spots, *brown[:2]) + truth.CENTER
    found = distort(camera, torch.from_numpy(spots)[None])[0] * camera.intrinsics[0, :2] + camera.intrinsics[0, 2:]
    assert np.abs(without - exact).max() > 1
    assert np.abs(found.numpy() - exact).max() < 0.15


def test_nerfstudios_k3_is_folded_too(tmp_path: Path) -> None:
    truth.polycam(tmp_path)
    eye, right, down, forward = truth.cameras()
    frames = [
        {
            "file_path": f"D:\\scan\\corrected_images\\{name}",
            "transform_matrix": np.stack([right[i], -down[i], -forward[i], eye[i]], -1).tolist(),
        }
        for i, name in enumerate(truth.NAMES)
    ]
    size = {"w": truth.WIDTH, "h": truth.HEIGHT, "fl_x": truth.FOCAL, "cx": truth.CENTER[0], "cy": truth.CENTER[1]}
    file = tmp_path / "keyframes" / "transforms.json"
    file.write_text(json.dumps({**size, "k1": -0.1, "k2": 0.05, "k3": -0.15, "aabb_scale": 16, "frames": frames}))
    pixels = np.array([
        truth.FOCAL * truth.radial(truth.plane(i), -0.1, 0.05, -0.15) + truth.CENTER for i in range(truth.COUNT)
    ])  # fmt: skip
    check_geometry(read(file), pixels, tolerance=0.06)


def test_distortion_that_four_coefficients_cannot_describe(tmp_path: Path) -> None:
    truth.realitycapture(tmp_path, (0.0, 0.0, 3.0, -20.0))
    with pytest.raises(NerfkitError, match=r"export\.csv: distortion with k3 3 and k4 -20 differs by .* px"):
        read(tmp_path)


def test_photos_named_by_other_machines(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for place in ("a/b/x.JPG", "a/x.png"):
        (tmp_path / place).write_bytes(b"")
    assert photo_file("C:\\Users\\me\\b\\x.JPG", [tmp_path / "a"]) == tmp_path / "a/b/x.JPG"
    assert photo_file("/home/me/b/x", [tmp_path / "a"]) == tmp_path / "a/b/x.JPG"
    assert photo_file("x", [tmp_path, tmp_path / "a"]) == tmp_path / "a/x.png"
    assert photo_file("gone/y.png", [tmp_path, tmp_path / "a"]) == tmp_path / "y.png"


# What can be wrong: each writer's file, how to spoil it, what the error says.


def _cut(file: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        text = (folder / file).read_text()
        (folder / file).write_text(text[: int(0.6 * len(text))])

    return spoil


def _text(file: str, old: str, new: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        text = (folder / file).read_text()
        assert re.search(old, text)
        (folder / file).write_text(re.sub(old, new, text, count=1))

    return spoil


def _json(file: str, *keys: Any, value: Any = None) -> Callable[[Path], None]:
    """Sets a value deep in a JSON file, or takes it out."""

    def spoil(folder: Path) -> None:
        data = json.loads((folder / file).read_text())
        place = data
        for key in keys[:-1]:
            place = place[key]
        if value is None:
            del place[keys[-1]]
        else:
            place[keys[-1]] = value
        (folder / file).write_text(json.dumps(data))

    return spoil


MVG, SFM, CAM = "sfm_data.json", "reconstruction.json", "keyframes/corrected_cameras/shot_3.json"
MVG_DATA = ("intrinsics", 0, "value", "ptr_wrapper", "data")
SFM_SHOT, SFM_CAMERA = (1, "shots", "shot_3.png"), (1, "cameras", "v2 one")
NAN = float("nan")
mvg, sfm, bundler, rc, poly, meta = (
    truth.openmvg, truth.opensfm, truth.bundler, truth.realitycapture, truth.polycam, truth.metashape,
)  # fmt: skip


@pytest.mark.parametrize(
    ("write", "spoil", "words"),
    [
        (mvg, _cut(MVG), r"sfm_data\.json: not valid JSON"),
        (mvg, _json(MVG, "views"), r"sfm_data\.json: the file has no 'views'"),
        (mvg, _json(MVG, "extrinsics", value=[]), "none of its views has a pose"),
        (mvg, _json(MVG, "extrinsics", 0, "value", "center"), "entry 0 of 'extrinsics' has no 'center'"),
        (mvg, _json(MVG, "extrinsics", 0, "value", "center", value="far"), "must be 3 finite numbers, got far"),
        (mvg, _json(MVG, "extrinsics", 0, "value", "rotation", 0, 0, value=NAN), "'rotation' .* must be 3 x 3 finite"),
        (mvg, _json(MVG, "extrinsics", 0, "value", "rotation", 0, value=[2, 0, 0]), r"shot_0\.png is not rigid"),
        (mvg, _json(MVG, *MVG_DATA, "focal_length"), "not a pinhole or fisheye camera"),
        (mvg, _json(MVG, *MVG_DATA, "width", value=0.5), "'width' .* must be a positive whole number"),
        (mvg, _json(MVG, "structure", 4, "value", "X", value=[1, 2]), "entry 4 of 'structure' must be 3 finite"),
        (mvg, _json(MVG, "views", value={}), "'views' of the file must be a list of objects"),
        (sfm, _cut(SFM), r"reconstruction\.json: not valid JSON"),
        (sfm, _json(SFM, *SFM_SHOT, "translation"), r"shot shot_3\.png has no 'translation'"),
        (sfm, _json(SFM, *SFM_SHOT, "rotation", value=[0, NAN, 0]), "'rotation' .* must be 3 finite"),
        (sfm, _json(SFM, *SFM_SHOT, "camera", value="other"), "has no 'other'"),
        (sfm, _json(SFM, *SFM_CAMERA, "projection_type", value="spherical"), "is spherical, which is not read"),
        (sfm, _json(SFM, *SFM_CAMERA, "focal_x", value="long"), "'focal_x' .* must be a finite number, got long"),
        (sfm, _json(SFM, 1, "shots", value={}), "no .*shots|at least 2 views"),
        (sfm, _text("tracks.csv", r"shot_0\.png\t1\t1\t[^\t]+", "shot_0.png\t1\t1\tx"), "line 3 is not a track"),
        (bundler, _cut("bundle.out"), r"bundle\.out: truncated"),
        (bundler, _text("bundle.out", "v0.3", "v0.2"), "not a Bundler file of version 0.3"),
        (bundler, _text("bundle.out", r"\n140\.0", "\nwide"), "holds something else than numbers"),
        (bundler, _text("bundle.out", r"\n140\.0", "\nnan"), "not finite"),
        (bundler, lambda folder: (folder / "list.txt").unlink(), "no list of its photos"),
        (bundler, _text("list.txt", "./photos/unposed.png\n", ""), r"list\.txt: 8 photos for the 9 cameras"),
        (rc, _cut("export.csv"), r"export\.csv: camera \d has \d+ of 16 columns"),
        (rc, _text("export.csv", r"(shot_2\.png),[^,]+", r"\1,"), "camera 3 has no 'x'"),
        (rc, _text("export.csv", r"(shot_2\.png),[^,]+", r"\1,here"), "'x' of camera 3 must be a finite"),
        (rc, _text("export.csv", r"(shot_2\.png),[^,]+", r"\1,nan"), "'x' of camera 3 must be a finite"),
        (rc, _text("export.csv", r",0.0,0.0\n", ",0.01,0.0\n"), r"tangential distortion \(t1, t2\)"),
        (poly, _cut(CAM), r"shot_3\.json: not valid JSON"),
        (poly, _json(CAM, "t_12"), r"shot_3\.json: the camera has no 't_12'"),
        (poly, _json(CAM, "t_12", value=[1]), "'t_12' of the camera must be a finite number"),
        (poly, _json(CAM, "fx", value=NAN), "'fx' of the camera must be a finite number, got nan"),
        (poly, lambda folder: (folder / CAM).write_text("[]"), r"shot_3\.json: not a keyframe"),
        (meta, _cut("cameras.xml"), r"cameras\.xml: not valid XML"),
        (meta, _text("cameras.xml", "<f>140.0</f>", ""), "the calibration of sensor 4 has no 'f'"),
        (meta, _text("cameras.xml", "<f>140.0</f>", "<f>nan</f>"), "'f' .* must be a finite number, got nan"),
        (meta, _text("cameras.xml", r"<transform>[-\d]", "<transform>x"), "transform of camera shot_0 must be 16"),
        (meta, _text("cameras.xml", 'type="frame">', 'type="spherical">'), "sensor 4 is spherical"),
        (meta, _text("cameras.xml", "<k1>", "<b2>30</b2><k1>"), "has skew"),
        (meta, _text("cameras.xml", r'sensor_id="4" c', 'sensor_id="5" c'), "camera shot_0 lacks its sensor"),
    ],
)  # fmt: skip
def test_wrong_files(tmp_path: Path, write: Callable[[Path], Any], spoil: Callable[[Path], object], words: str) -> None:
    write(tmp_path)
    spoil(tmp_path)
    with pytest.raises(NerfkitError, match=words) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


JUNK = ["null", "[]", "{}", "NaN", "-1", "1e999", '"x"', "", "99999999999999999999", "true"]


@pytest.mark.parametrize(("write", "file"), [
    (mvg, MVG), (sfm, SFM), (sfm, "tracks.csv"), (bundler, "bundle.out"), (bundler, "list.txt"), (rc, "export.csv"),
    (poly, CAM), (meta, "cameras.xml"),
])  # fmt: skip
def test_whatever_a_file_holds_the_error_is_a_clear_one(
    tmp_path: Path, write: Callable[[Path], Any], file: str
) -> None:
    """Cut anywhere, or with any value replaced: it is read, or refused in one line."""
    write(tmp_path)
    text = (tmp_path / file).read_text()
    values = [match.span() for match in re.finditer(r'-?\d+\.?\d*(?:e-?\d+)?|"[^"]*"|\[[^\[\]]*\]|\{[^{}]*\}', text)]
    rng = np.random.default_rng(5)
    messages = []
    for attempt in range(40):
        start, end = values[rng.integers(len(values))]
        cut = text[: rng.integers(len(text))]
        (tmp_path / file).write_text(cut if attempt % 4 == 0 else text[:start] + str(rng.choice(JUNK)) + text[end:])
        try:
            read(tmp_path)
        except NerfkitError as error:
            messages.append(str(error))
    assert messages
    assert not [message for message in messages if "\n" in message]
