"""The scene: sizes, the split, the image cache, alpha, and saving."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import COUNT, HEIGHT, WIDTH, points, poses, transforms, write_blender, write_colmap, write_transforms

from nerfkit.cameras import project
from nerfkit.contracts import Cameras
from nerfkit.data.images import PhotoCache, load_photo, size_of
from nerfkit.data.scene import Scene
from nerfkit.data.split import some_of, split
from nerfkit.errors import NerfkitError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_colmap(tmp_path / "ring", "OPENCV")


def test_normalisation_is_undone_by_its_inverse(folder: Path) -> None:
    scene, raw = Scene.load(folder), Scene.load(folder, normalize=False)
    back = scene.scene_from_world.inverse()
    assert torch.allclose(back.points(scene.points), raw.points, atol=1e-5)
    assert np.allclose(raw.points.numpy(), points()[0], atol=1e-6)
    for view, other, pose in zip(scene.views, raw.views, poses(), strict=True):
        assert torch.allclose(back.poses(view.camera.world_from_cam), other.camera.world_from_cam, atol=1e-5)
        assert torch.allclose(other.camera.world_from_cam[0].double(), pose, atol=1e-6)
        assert float(view.camera.world_from_cam[0, :3, 3].norm()) <= 1
        assert view.camera.model == "pinhole" and view.camera.intrinsics.dtype == torch.float32


@pytest.mark.parametrize("downscale", [2, 3, 4])
def test_downscaled_intrinsics_see_the_same(folder: Path, downscale: int) -> None:
    """A pixel's relative place does not depend on the size, even where the sides don't divide evenly."""
    full, small = Scene.load(folder), Scene.load(folder, downscale=downscale)
    for a, b in zip(full.views, small.views, strict=True):
        assert (b.camera.width, b.camera.height) == (round(WIDTH / downscale), round(HEIGHT / downscale))
        assert tuple(b.image().shape) == (b.camera.height, b.camera.width, 3)
        ratio = torch.tensor([b.camera.width / WIDTH, b.camera.height / HEIGHT])
        assert torch.allclose(project(b.camera, small.points)[0], project(a.camera, full.points)[0] * ratio, atol=1e-3)


def test_size_and_automatic_downscale(folder: Path) -> None:
    view = Scene.load(folder, size=(20, 30)).views[0]
    assert tuple(view.image().shape) == (30, 20, 3)
    assert Scene.load(folder, downscale=None).views[0].camera.width == WIDTH  # small photos stay
    with pytest.raises(NerfkitError, match="downscale must be 1 or more"):
        Scene.load(folder, downscale=0)


def test_the_split_is_every_eighth_by_name(folder: Path) -> None:
    scene = Scene.load(folder)
    assert [view.name for view in scene.views] == sorted(view.name for view in scene.views)
    assert scene.held_out == [0, 8] and sorted(scene.train + scene.held_out) == list(range(COUNT))
    again = Scene.load(folder)
    assert (again.train, again.held_out) == (scene.train, scene.held_out)
    assert Scene.load(folder, hold_out_every=0).held_out == []
    assert split(2, 8) == ([0, 1], [])
    assert split(9, 4) == ([1, 2, 3, 5, 6, 7], [0, 4, 8])
    assert some_of([1, 2, 3, 5, 6, 7], 4) == [1, 3, 6]
    assert some_of([1, 2, 3], 3) == [1, 2, 3] and some_of([], 3) == []
    with pytest.raises(NerfkitError, match="hold_out_every 1: leaves no photo to train on; 0 holds out none"):
        Scene.load(folder, hold_out_every=1)


def test_the_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    forward = Scene.load(write_transforms(tmp_path / "a"))
    backward = Scene.load(write_transforms(tmp_path / "b", frames=transforms()["frames"][::-1]))
    for a, b in zip(forward.views, backward.views, strict=True):
        assert a.name == b.name and torch.equal(a.camera.world_from_cam, b.camera.world_from_cam)


def test_blenders_own_split_and_alpha(tmp_path: Path) -> None:
    scene = Scene.load(write_blender(tmp_path))
    assert [scene.views[index].path.parent.name for index in scene.held_out] == ["test", "test"]
    assert scene.has_alpha and scene.points_are_random and len(scene.points) == 20_000
    mask = scene.views[0].mask()
    assert mask is not None and mask[:, : WIDTH // 2].min() == 255 and mask[:, WIDTH // 2 :].max() == 0


def test_random_points_are_the_same_each_time_and_in_view(tmp_path: Path) -> None:
    a, b = Scene.load(write_transforms(tmp_path)), Scene.load(tmp_path)
    assert torch.equal(a.points, b.points)
    pixels, depth = project(a.views[0].camera, a.points)
    seen = (pixels >= 0).all(-1) & (pixels <= torch.tensor([WIDTH, HEIGHT])).all(-1) & (depth > 0)
    assert float(seen.float().mean()) > 0.3


def test_transparent_pixels_do_not_bleed(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :3] = [10, 20, 200, 255]  # BGRA: opaque red beside transparent green
    pixels[:, 3:] = [0, 255, 0, 0]
    assert cv2.imwrite(str(tmp_path / "cut.png"), pixels)
    source = Cameras(torch.eye(4)[None].double(), torch.tensor([[8.0, 8, 4, 4]]).double(), 8, 8)
    small = Cameras(source.world_from_cam, source.intrinsics / 4, 2, 2)
    rgb, alpha = load_photo(tmp_path / "cut.png", source, small)
    assert rgb[:, 0].tolist() == [[200, 20, 10]] * 2
    assert alpha is not None and alpha.tolist() == [[191, 0], [191, 0]]


def test_a_mask_file(tmp_path: Path) -> None:
    frames = transforms()["frames"]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:10] = 255
    assert cv2.imwrite(str(tmp_path / "mask.png"), mask)
    for frame in frames:
        frame["mask_path"] = "mask.png"
    scene = Scene.load(write_transforms(tmp_path, frames=frames))
    found = scene.views[0].mask()
    assert found is not None and torch.equal(found, torch.from_numpy(mask)) and not scene.has_alpha
    assert cv2.imwrite(str(tmp_path / "mask.png"), mask // 255)  # of ones, as nerfstudio and tools for labels have it
    labels = Scene.load(tmp_path).views[0].mask()
    assert labels is not None and torch.equal(labels, found)


def test_the_cache_keeps_below_its_cap(folder: Path) -> None:
    photo = WIDTH * HEIGHT * 3
    scene = Scene.load(folder, cache_bytes=3 * photo + 100)
    cache = scene.views[0].cache
    images = [view.image().clone() for view in scene.views]
    assert len(cache) == 3 and cache.used == 3 * photo <= cache.capacity
    assert [view.name in cache for view in scene.views] == [True] * 3 + [False] * 7  # whoever walks again finds them
    assert scene.views[0].image() is scene.views[0].image()  # kept
    assert torch.equal(scene.views[9].image(), images[9])  # decoded anew


def test_photos_have_a_third_of_the_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for available, expected in ((60 << 30, 20 << 30), (1 << 20, 1 << 30)):
        monkeypatch.setattr("nerfkit.data.scene.available_memory", lambda memory=available: memory)
        assert Scene.load(folder).views[0].cache.capacity == expected


def test_runs_at_once_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would have a third of what was available when it began."""
    monkeypatch.setattr("nerfkit.data.images.UNASKED", 100)
    memory, photo = 4800, (torch.zeros(4, 4, 3, dtype=torch.uint8), None)
    caches: list[PhotoCache] = []

    def left() -> int:
        return memory - sum(cache.used for cache in caches)

    caches += [PhotoCache(memory // 3, left) for _ in range(3)]
    for number in range(100):
        for cache in caches:
            cache.get(str(number), lambda: photo)
    assert [len(cache) for cache in caches] == [25, 25, 25]  # 1200 bytes each, and as many are left
    memory = 50
    late = PhotoCache(1600, left)
    for number in range(100):
        late.get(str(number), lambda: photo)
    assert len(late) == 2  # what is kept without asking


def test_a_photo_above_the_cap_is_not_kept() -> None:
    cache = PhotoCache(10)
    photo = torch.zeros(4, 4, 3, dtype=torch.uint8), None
    assert size_of(photo) == 48 and cache.get("big", lambda: photo) is photo
    assert len(cache) == 0 and cache.used == 0


def test_preload_fills_the_cache_and_tells(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[str, int, int]] = []
    scene = Scene.load(folder)
    scene.preload(lambda *report: told.append(report))  # type: ignore[arg-type]
    assert len(scene.views[0].cache) == COUNT and told[-1] == ("photos", COUNT, COUNT)
    few = Scene.load(folder, cache_bytes=4 * WIDTH * HEIGHT * 3)
    few.preload()
    assert "4 of 10 photos fit" in caplog.text
    assert all(few.views[index].name in few.views[0].cache for index in few.train[:4])


def test_save_and_open(folder: Path, tmp_path: Path) -> None:
    scene = Scene.load(folder, downscale=2)
    scene.save(tmp_path / "run")
    found = Scene.open(tmp_path / "run")
    for name in ("name", "train", "held_out", "has_alpha", "source", "points_are_random"):
        assert getattr(found, name) == getattr(scene, name)
    assert torch.equal(found.points, scene.points) and torch.equal(found.point_colors, scene.point_colors)
    assert torch.equal(found.scene_from_world.matrix, scene.scene_from_world.matrix)
    for a, b in zip(found.views, scene.views, strict=True):
        assert (a.name, a.path, a.has_alpha, a.mask_path) == (b.name, b.path, b.has_alpha, b.mask_path)
        for one, other in ((a.camera, b.camera), (a.source, b.source)):
            for field in dataclasses.fields(Cameras):
                x, y = getattr(one, field.name), getattr(other, field.name)
                assert torch.equal(x, y) and x.dtype == y.dtype if isinstance(x, torch.Tensor) else x == y
        assert torch.equal(a.image(), b.image())


def test_open_needs_no_photos_until_an_image_is_asked_for(folder: Path, tmp_path: Path) -> None:
    Scene.load(folder).save(tmp_path / "run")
    shutil.rmtree(folder)
    view = Scene.open(tmp_path / "run").views[2]
    with pytest.raises(NerfkitError, match=r"photo_02\.png: cannot be read"):
        view.image()


def test_a_scene_within_its_folder_moves_with_it(folder: Path, tmp_path: Path) -> None:
    Scene.load(folder).save(folder)
    folder.rename(tmp_path / "moved")
    assert Scene.open(tmp_path / "moved").views[0].image().shape == (HEIGHT, WIDTH, 3)


def test_wrong_saved_scenes(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match=r"scene\.json: no such file"):
        Scene.open(tmp_path)
    Scene.load(folder).save(tmp_path)
    file = tmp_path / "scene.json"
    good = file.read_text()
    for text, words in (
        (good[:500], "not valid JSON"),
        ("[]", "not a scene saved by nerfkit"),
        (json.dumps({**json.loads(good), "version": 99}), "version 99"),
        (json.dumps({k: v for k, v in json.loads(good).items() if k != "views"}), "damaged"),
    ):
        file.write_text(text)
        with pytest.raises(NerfkitError, match=words):
            Scene.open(tmp_path)
    file.write_text(good)
    os.truncate(tmp_path / "points.safetensors", 40)
    with pytest.raises(NerfkitError, match="damaged"):
        Scene.open(tmp_path)


@pytest.mark.parametrize("pose_of", ["stored", "turned"])
def test_photos_turned_by_their_exif_tag(tmp_path: Path, pose_of: str) -> None:
    """A camera as wide as the stored photo gets it as stored, one as wide as the turned photo gets it turned."""
    from PIL import Image

    folder = write_transforms(tmp_path)
    stored = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stored[:, : WIDTH // 2] = 255  # the left half is white: turned clockwise (tag 6), the upper half
    exif = Image.Exif()
    exif[274] = 6
    frames = transforms()["frames"]
    for frame in frames:
        frame["file_path"] = frame["file_path"].replace(".png", ".jpg")
        Image.fromarray(stored).save(folder / frame["file_path"], exif=exif, quality=95)
    w, h = (WIDTH, HEIGHT) if pose_of == "stored" else (HEIGHT, WIDTH)
    image = Scene.load(write_transforms(folder, frames=frames, w=w, h=h, cx=w / 2, cy=h / 2)).views[0].image()
    assert tuple(image.shape) == (h, w, 3)
    white = image[:, : w // 2] if pose_of == "stored" else image[: h // 2]
    assert float(white.float().mean()) > 245 and float(image.float().mean()) < 140


def test_a_truncated_jpeg_is_named(tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    assert cv2.imwrite(str(file), noise)
    os.truncate(file, file.stat().st_size // 2)
    source = Cameras(torch.eye(4)[None].double(), torch.tensor([[60.0, 60, 32, 24]]).double(), WIDTH, HEIGHT)
    with pytest.raises(NerfkitError, match=r"cut\.jpg: the JPEG is truncated"):
        load_photo(file, source, source)


@pytest.mark.parametrize("full", [(320, 240), (323, 241), (324, 242)])
@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_jpegs_decoded_small_lie_where_whole_ones_do(tmp_path: Path, shrink: int, full: tuple[int, int]) -> None:
    """Decoding at 1/n then averaging must not shift or change the picture against averaging the whole photo."""
    yy, xx = np.mgrid[0 : full[1], 0 : full[0]].astype(np.float64)
    smooth = np.stack([127 + 120 * np.sin(xx / 31), 127 + 120 * np.cos(yy / 27), 127 + 90 * np.sin((xx + yy) / 40)], -1)
    for name in ("a.jpg", "a.png"):
        assert cv2.imwrite(str(tmp_path / name), smooth.astype(np.uint8))
    source = Cameras(torch.eye(4)[None].double(), torch.tensor([[300.0, 300, 160, 120]]).double(), *full)
    width, height = round(full[0] / (2 * shrink)), round(full[1] / (2 * shrink))
    target = Cameras(source.world_from_cam, source.intrinsics / (2 * shrink), width, height)
    small, _ = load_photo(tmp_path / "a.jpg", source, target)
    truth, _ = load_photo(tmp_path / "a.png", source, target)
    assert float((small.float() - truth.float()).abs().mean()) < 3
