"""Photos larger than features need: keypoints where COLMAP finds them, in the photo's own pixels."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nerfkit.poses import features, shrunk


class Silent:
    def __call__(self, done: int, total: int) -> None:
        pass

    def say(self, line: str) -> None:
        pass


def found(
    folder: Path, database: Path, longer_side: int, masks: Path | None = None
) -> tuple[dict[str, np.ndarray], list[Any], dict[str, Any]]:
    """The keypoints [M, 6] of each photo, the cameras, and the stage's result."""
    import pycolmap

    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.jpg"))
    group = {"names": names, "size": (640, 480), "focal_px": 500.0}
    settings = {"max_image_size": longer_side, "max_num_features": 4096, "first_octave": 0}
    result = features.work(Silent(), str(database), str(folder), [group], "OPENCV", settings, masks and str(masks))
    with pycolmap.Database.open(database) as filled:
        keypoints = {image.name: filled.read_keypoints(image.image_id) for image in filled.read_all_images()}
        assert filled.num_frames() == len(keypoints)
        return keypoints, filled.read_all_cameras(), result


@pytest.fixture
def photos(still_life: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more of them").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "b.jpg", "more of them/c d.jpg")):
        shutil.copy(still_life / "photos" / f"{number:04d}.jpg", folder / name)
    return folder


@pytest.mark.parametrize("longer_side", [320, 450])  # which a JPEG's decoder gives, and which it doesn't
def test_keypoints_lie_where_colmap_finds_them(
    photos: Path, tmp_path: Path, longer_side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pycolmap

    monkeypatch.setattr(shrunk, "_BATCH", 2)
    keypoints, (camera,), result = found(photos, tmp_path / "ours.db", longer_side)
    assert sorted(keypoints) == ["a.jpg", "b.jpg", "more of them/c d.jpg"]
    assert result == {"featureless": []}
    assert (camera.width, camera.height) == (640, 480)
    assert camera.has_prior_focal_length
    assert list(camera.params) == [500, 500, 320, 240, 0, 0, 0, 0]
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.max_image_size, extraction.sift.first_octave = longer_side, -1  # there are few
    pycolmap.extract_features(tmp_path / "colmap.db", photos, extraction_options=extraction)
    with pycolmap.Database.open(tmp_path / "colmap.db") as filled:
        expected = {image.name: filled.read_keypoints(image.image_id) for image in filled.read_all_images()}
    for name, ours in keypoints.items():
        theirs = expected[name]
        assert 0.8 < len(ours) / len(theirs) < 1.25
        offset = ours[:, None, :2] - theirs[None, :, :2]
        nearest = np.linalg.norm(offset, axis=2).argmin(1)
        offset = offset[np.arange(len(ours)), nearest]
        near = np.linalg.norm(offset, axis=1) < 1
        assert near.mean() > 0.7
        assert np.abs(np.median(offset[near], axis=0)).max() < 0.06  # a quarter of the half pixel of a wrong convention
        scale = np.linalg.norm(ours[:, 2:], axis=1) / np.linalg.norm(theirs[nearest, 2:], axis=1)
        assert abs(np.median(scale[near]) - 1) < 0.03
    assert not list(tmp_path.glob("shrunk-*"))


def test_no_features_where_a_mask_is_black_or_a_photo_is_broken(photos: Path, tmp_path: Path) -> None:
    mask = np.zeros((480, 640), np.uint8)
    mask[:, 400:] = 255
    for file in photos.rglob("*.jpg"):
        target = tmp_path / "masks" / file.relative_to(photos).with_name(f"{file.name}.png")
        target.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(target), mask)
    (photos / "b.jpg").write_bytes(b"\xff\xd8 and nothing")
    keypoints, _, result = found(photos, tmp_path / "f.db", 450, tmp_path / "masks")
    assert result == {"featureless": ["b.jpg"]}
    assert set(keypoints) == {"a.jpg", "more of them/c d.jpg"}
    for ours in keypoints.values():
        assert len(ours) > 20
        assert ours[:, 0].min() > 397
    everywhere, _, _ = found(photos, tmp_path / "g.db", 450)
    assert everywhere["a.jpg"][:, 0].min() < 200


@pytest.mark.parametrize("masked", [False, True])
def test_photos_of_every_camera_have_features(photos: Path, tmp_path: Path, masked: bool) -> None:
    """Of two that are shrunk and one, small, that isn't; what is known of each camera stays its own."""
    import pycolmap

    names, folder = ["a.jpg", "b.jpg", "more of them/c d.jpg"], tmp_path / "masks"
    picture = cv2.imread(str(photos / names[2]))
    cv2.imwrite(str(photos / names[2]), cv2.resize(picture, (320, 240)))
    for name in names if masked else []:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{name}.png"), np.full((48, 64), 255, np.uint8))
    sizes = [(640, 480), (640, 480), (320, 240)]
    focals = [700.0, None, 350.0]
    groups = [{"names": [name], "size": size, "focal_px": focal} for name, size, focal in zip(names, sizes, focals)]
    settings = {"max_image_size": 450, "max_num_features": 1000, "first_octave": 0}
    database, masks = str(tmp_path / "f.db"), str(folder) if masked else None
    assert features.work(Silent(), database, str(photos), groups, "OPENCV", settings, masks) == {"featureless": []}
    with pycolmap.Database.open(database) as filled:
        cameras = {camera.camera_id: camera for camera in filled.read_all_cameras()}
        images = filled.read_all_images()
        assert sorted(image.name for image in images) == names
        assert len({image.camera_id for image in images}) == 3
        for image in images:
            camera = cameras[image.camera_id]
            (width, height), focal = sizes[names.index(image.name)], focals[names.index(image.name)]
            assert (camera.width, camera.height) == (width, height)
            assert list(camera.params) == [*[focal or 1.2 * width] * 2, width / 2, height / 2, 0, 0, 0, 0]
            assert camera.has_prior_focal_length == (focal is not None)
            assert filled.num_keypoints_for_image(image.image_id) > 10


def test_odd_sizes_are_shrunk_by_the_same_factor_at_every_edge() -> None:
    ramp = np.tile(np.linspace(0, 250, 1001), (333, 1)).astype(np.uint8)
    data = cv2.imencode(".jpg", ramp, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    small = shrunk.shrunk_size((1001, 333), 300)
    assert small == (300, 100)
    picture = shrunk.shrink(data, (1001, 333), small)
    assert picture is not None
    assert picture.shape == (100, 300)
    expected = ((np.arange(300) + 0.5) * 1001 / 300 - 0.5) * 0.25
    assert np.abs(picture.mean(0) - expected).max() < 1.5
    assert shrunk.shrink(b"\xff\xd8 nothing", (1001, 333), small) is None
    assert shrunk.shrunk_size((20000, 3), 1080) == (1080, 1)
