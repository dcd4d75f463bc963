"""Learned features: what is missing is said before anything is done; their descriptors give words, too."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nerfkit.poses import learned, matching, pairs
from nerfkit.poses.learned import EXTRACTOR, MATCHER

MODEL = b"\x08\x08" + bytes(100_000)  # begins as ONNX models do


def both(folder: Path, extractor: bytes = MODEL, matcher: bytes = MODEL) -> None:
    folder.mkdir()
    (folder / EXTRACTOR).write_bytes(extractor)
    (folder / MATCHER).write_bytes(matcher)


def without_matcher(folder: Path) -> None:
    both(folder)
    (folder / MATCHER).unlink()


def with_a_page(folder: Path) -> None:
    both(folder, matcher=b"<!DOCTYPE html>" + bytes(100_000))


def with_a_pointer(folder: Path) -> None:
    both(folder, extractor=b"\x08version https://git-lfs.github.com/spec/v1")


@pytest.mark.parametrize(
    ("make", "options", "error"),
    [
        (
            None,
            ["aliked"],
            "--features aliked: name the folder that holds aliked-n16rot.onnx and aliked-lightglue.onnx",
        ),
        (None, ["aliked", "--feature-models", "MODELS"], "MODELS: no such folder; --feature-models is one that holds"),
        (
            Path.mkdir,
            ["aliked", "--feature-models", "MODELS"],
            "MODELS: aliked-n16rot.onnx and aliked-lightglue.onnx missing; download from COLMAP's release 3.13.0",
        ),
        (without_matcher, ["aliked", "--feature-models", "MODELS"], "MODELS: aliked-lightglue.onnx missing; download"),
        (
            with_a_page,
            ["aliked", "--feature-models", "MODELS"],
            "MODELS/aliked-lightglue.onnx: not an ONNX model (1000",
        ),
        (with_a_pointer, ["aliked", "--feature-models", "MODELS"], "MODELS/aliked-n16rot.onnx: not an ONNX model (43 "),
        (both, ["sift", "--feature-models", "MODELS"], "--feature-models: SIFT needs no models; add --features aliked"),
    ],
)
def test_one_line_says_what_is_missing(
    tmp_path: Path, still_life: Path, make: Callable[[Path], object] | None, options: list[str], error: str
) -> None:
    if make is not None:
        make(tmp_path / "MODELS")
    done = poses(tmp_path, still_life / "photos", options)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {error}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_pycolmap_that_cannot_run_them_says_which_can(tmp_path: Path, still_life: Path) -> None:
    import pycolmap

    if hasattr(pycolmap.FeatureExtractionOptions(), "aliked"):
        pytest.skip("this pycolmap can")
    both(tmp_path / "MODELS")
    done = poses(tmp_path, still_life / "photos", ["aliked", "--feature-models", "MODELS"])
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --features aliked: pycolmap {pycolmap.__version__} was built without ONNX")
    assert "ONNX_ENABLED=ON" in done.stderr
    assert not (tmp_path / "out").exists()


def test_imported_poses_have_no_use_for_them(tmp_path: Path) -> None:
    done = nerfkit(tmp_path, "poses", "--import", "x.json", "--features", "aliked")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --features: is for poses that are found here")


def test_other_networks_are_other_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "_check_build", lambda: None)
    both(tmp_path / "a")
    both(tmp_path / "b", matcher=MODEL + b"\1")
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    a, b, c = (learned.networks(tmp_path / name) for name in "abc")
    assert a.digest == c.digest != b.digest
    assert Path(a.extractor) == tmp_path / "a" / EXTRACTOR and Path(a.matcher) == tmp_path / "a" / MATCHER


def test_photos_that_look_alike_are_found_by_float_descriptors(tmp_path: Path) -> None:
    """Four places of six photos each, in a database as ALIKED fills it; one more photo has no features."""
    import pycolmap

    rng = np.random.default_rng(0)
    shown = [unit(rng.normal(size=(150, 128))) for _ in range(4)]
    with pycolmap.Database.open(tmp_path / "f.db") as filled:
        camera = filled.write_camera(pycolmap.Camera.create_from_model_name(0, "PINHOLE", 100, 100, 100))
        for index in range(25):
            number = filled.write_image(pycolmap.Image(name=f"{index:02d}.jpg", camera_id=camera))
            place = shown[index % 4] + 0.02 * rng.normal(size=(150, 128))
            own = unit(rng.normal(size=(50, 128)))
            write(filled, number, np.concatenate([unit(place), own]) if index < 24 else np.zeros((0, 128)))
    job = matching._Job(lambda *_: None, tmp_path / "f.db", False, 0, False, None)  # type: ignore[arg-type]
    vectors = job.vectors()
    assert np.allclose(np.linalg.norm(vectors[:24], axis=1), 1, atol=1e-5) and not vectors[24].any()
    same_place = [(i - j) % 4 == 0 for i, j in pairs.alike_pairs(vectors[:24], 5)]
    assert len(same_place) >= 60
    assert all(same_place)


def write(filled: object, number: int, descriptors: NDArray[np.float64]) -> None:
    import pycolmap

    floats = pycolmap.FeatureDescriptorsFloat(
        type=pycolmap.FeatureExtractorType.ALIKED_N16ROT, data=descriptors.astype(np.float32)
    )
    filled.write_descriptors(number, pycolmap.FeatureDescriptors.from_float(floats))  # type: ignore[attr-defined]


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def poses(folder: Path, photos: Path, options: list[str]) -> subprocess.CompletedProcess[str]:
    return nerfkit(folder, "poses", str(photos.resolve()), "--out", "out", "--features", *options)


def nerfkit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nerfkit.cli", *arguments, "--quiet"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
