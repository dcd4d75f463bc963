"""Masks found by name, turned with their photos, and merged with alpha."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import corpus

from nerfkit.capture import masks
from nerfkit.capture import photos as capture
from nerfkit.errors import NerfkitError

INSIDE = np.zeros((corpus.HEIGHT, corpus.WIDTH), np.uint8)
INSIDE[:30, :40] = 255
INSIDE[50:, 80:] = 255  # no symmetry


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene's folder with three photos in images/."""
    for seed, name in enumerate(("a.jpg", "b.jpg", "c.jpg"), 1):
        corpus.good(tmp_path / "scene" / "images", name, seed)
    return tmp_path / "scene"


def save(path: Path, levels: np.ndarray = INSIDE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)
    return path


def placed(scene: Path, out: Path, given: Path | None = None) -> tuple[masks.PlacedMasks, capture.UprightFolder]:
    upright = capture.upright(capture.find(scene, mask_folder=given).photos, out / "photos")
    return masks.place(upright, out / "features", out / "masks"), upright


def levels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.asarray(image)


@pytest.mark.parametrize(
    "place",
    [
        "masks/a.png",
        "masks/a.jpg.png",
        "masks/a.jpg",
        "masks/A.PNG",
        "images/masks/a.png",
        "mask/a.tif",
        "images/a.jpg.png",
    ],
)
def test_where_masks_may_lie(scene: Path, tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture) -> None:
    save(scene / place)
    with caplog.at_level(logging.WARNING, "nerfkit"):
        found, upright = placed(scene, tmp_path / "out")
    assert list(upright.names) == ["a.jpg", "b.jpg", "c.jpg"]
    assert [record.getMessage() for record in caplog.records] == ["2 of 3 photos have no mask: b.jpg, c.jpg"]
    assert dict(found.files) == {"a.jpg": tmp_path / "out" / "masks" / "a.jpg.png"}
    within = 0.02 * 255 if place.endswith("a.jpg") else 0  # a JPEG's edges
    assert np.abs(levels(found.files["a.jpg"]).astype(int) - INSIDE).mean() <= within
    assert found.for_features is not None
    assert sorted(file.name for file in found.for_features.iterdir()) == ["a.jpg.png", "b.jpg.png", "c.jpg.png"]
    assert (levels(found.for_features / "b.jpg.png") == 255).all()
    assert set(np.unique(levels(found.for_features / "a.jpg.png"))) == {0, 255}


def test_no_masks(scene: Path, tmp_path: Path) -> None:
    found, _ = placed(scene, tmp_path / "out")
    assert found == masks.PlacedMasks(None, {})
    assert not (tmp_path / "out").exists()


def test_masks_of_several_cameras(tmp_path: Path) -> None:
    for camera in ("left", "right"):
        for seed in range(2):
            corpus.good(tmp_path / "rig" / camera, f"{seed}.jpg", seed + 2 * (camera == "left"))
    save(tmp_path / "given" / "left" / "0.png")
    save(tmp_path / "given" / "right" / "0.jpg.png", 255 - INSIDE)
    found, _ = placed(tmp_path / "rig", tmp_path / "out", tmp_path / "given")
    assert sorted(found.files) == ["left/0.jpg", "right/0.jpg"]
    assert (levels(found.files["left/0.jpg"]) == INSIDE).all()
    assert (levels(found.files["right/0.jpg"]) == 255 - INSIDE).all()


@pytest.mark.parametrize("tag", range(2, 9))
def test_masks_are_turned_with_their_photos(scene: Path, tmp_path: Path, tag: int) -> None:
    (scene / "images" / "d.jpg").write_bytes(corpus.turned(tag, "JPEG", quality=95))
    stored = np.asarray(Image.fromarray(INSIDE).transpose(corpus.STORED[tag]))
    save(scene / "masks" / "d.png", stored)
    found, _ = placed(scene, tmp_path / "out")
    assert (levels(found.files["d.jpg"]) == INSIDE).all()
    save(scene / "masks" / "d.png", stored[::2, ::2])
    found, _ = placed(scene, tmp_path / "out")
    assert np.abs(levels(found.files["d.jpg"]).astype(int) - INSIDE).mean() < 2
    if tag > 4:  # its shape tells that it was made from the upright photo
        save(scene / "masks" / "d.png")
        found, _ = placed(scene, tmp_path / "out")
        assert (levels(found.files["d.jpg"]) == INSIDE).all()


def test_transparent_pixels_have_no_features(scene: Path, tmp_path: Path) -> None:
    Image.fromarray(corpus.with_alpha(corpus.picture())).save(scene / "images" / "d.png")
    found, _ = placed(scene, tmp_path / "out")
    assert dict(found.files) == {}  # training reads alpha itself
    assert found.for_features is not None
    opaque = corpus.alpha() >= 128
    assert ((levels(found.for_features / "d.png.png") > 0) == opaque).all()
    save(scene / "masks" / "d.png.png")
    found, _ = placed(scene, tmp_path / "out")
    assert found.for_features is not None
    assert ((levels(found.for_features / "d.png.png") > 0) == (opaque & (INSIDE > 0))).all()
    assert (levels(found.files["d.png"]) == INSIDE).all()


@pytest.mark.parametrize(
    "mask",
    [
        INSIDE // 255,
        (INSIDE > 0).astype(np.uint16) * 65535,
        INSIDE > 0,
        np.dstack([INSIDE, INSIDE, INSIDE]),
        np.dstack([INSIDE, INSIDE * 0, INSIDE]),
        np.dstack([INSIDE * 0 + 255] * 3 + [INSIDE]),
        (INSIDE // 2 + 90).astype(np.uint8),
    ],
    ids=["0 and 1", "16 bits", "1 bit", "RGB", "purple", "in alpha", "greys"],
)
def test_what_masks_are_made_of(scene: Path, tmp_path: Path, mask: np.ndarray) -> None:
    save(scene / "masks" / "a.png", mask)
    found, _ = placed(scene, tmp_path / "out")
    assert (levels(found.files["a.jpg"]) == INSIDE).all()


def test_a_smaller_mask_is_resized_with_a_warning(
    scene: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "abc":
        save(scene / "masks" / f"{name}.png", INSIDE[::2, ::2])
    found, _ = placed(scene, tmp_path / "out")
    assert np.abs(levels(found.files["a.jpg"]).astype(int) - INSIDE).mean() < 2
    assert "3 masks have another size than their photos and are resized: " in caplog.text


def test_a_mask_of_another_shape(scene: Path, tmp_path: Path) -> None:
    mask = save(scene / "masks" / "a.png", INSIDE[:, :50])
    with pytest.raises(NerfkitError, match=r"a.png: the mask is 50x64 but its photo 96x64; make masks of the photos'"):
        capture.find(scene)
    mask.write_bytes(b"nothing")
    with pytest.raises(NerfkitError, match=r"a.png: the mask cannot be read \(not a picture\); make it again"):
        capture.find(scene)


def test_a_black_mask_leaves_its_photo_out(scene: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus.good(scene / "images", "d.jpg", 4)
    save(scene / "masks" / "d.png", INSIDE * 0)
    found = capture.find(scene)
    assert found.unreadable == ["d.jpg"]
    assert "d.jpg: left out, its mask " in caplog.text
    assert "masks/d.png is all black" in caplog.text


def test_a_folder_of_masks_that_does_not_fit(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match="none: no such folder; check --masks"):
        capture.find(scene, mask_folder=tmp_path / "none")
    save(tmp_path / "other" / "z.png")
    with pytest.raises(NerfkitError, match=r"other: none of its files is the mask of a photo; name them like a.jpg"):
        capture.find(scene, mask_folder=tmp_path / "other")


def test_a_pipe_among_the_masks_holds_nothing_up(scene: Path) -> None:
    (scene / "masks").mkdir()
    os.mkfifo(scene / "masks" / "a.png")
    assert [photo.mask for photo in capture.find(scene).photos] == [None] * 3


def test_masks_are_no_photos(scene: Path) -> None:
    shutil.move(scene / "images", scene / "left")
    save(scene / "masks" / "a.png")
    save(scene / "left" / "b.jpg.png")
    assert [photo.name for photo in capture.find(scene).photos] == ["left/a.jpg", "left/b.jpg", "left/c.jpg"]
