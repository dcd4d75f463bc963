"""The bundled scene: its photos, and the ground truth that accuracy is measured against."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image
from trimesh.triangles import closest_point

SCENES = Path(__file__).resolve().parent.parent / "scenes"
STILL_LIFE = SCENES / "still_life"
TRANSFORMS = STILL_LIFE / "truth" / "transforms.json"
PHOTOS = sorted((STILL_LIFE / "photos").glob("*.jpg"))
MIB = 1 << 20

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def cameras() -> dict[str, Array]:
    """Camera-from-world [4, 4] by photo name, OpenCV axes."""
    frames = json.loads(TRANSFORMS.read_text())["frames"]
    flip = np.diag([1.0, -1, -1, 1])
    return {Path(f["file_path"]).name: np.linalg.inv(np.array(f["transform_matrix"]) @ flip) for f in frames}


@pytest.fixture(scope="module")
def surface() -> trimesh.Trimesh:
    return _mesh("mesh.ply") + _mesh("room.ply")


def _mesh(name: str) -> trimesh.Trimesh:
    mesh = trimesh.load_mesh(STILL_LIFE / "truth" / name, process=False)
    assert isinstance(mesh, trimesh.Trimesh)
    return mesh


def _depth(photo: str) -> Array:
    """Metres [480, 640]."""
    return np.asarray(Image.open(STILL_LIFE / "truth" / "depth" / photo.replace(".jpg", ".png"))) / 1000.0


@pytest.mark.parametrize("name", ["still_life", "fox", "lego"])
def test_recipe_says_where_its_photos_are(name: str) -> None:
    recipe = tomllib.loads((SCENES / f"{name}.toml").read_text())
    assert recipe["name"] == name
    assert recipe["title"]
    assert recipe["licence"]
    assert recipe["hold_out_every"] == 8
    if recipe["photos"].startswith("$NERFKIT_DATA/"):
        assert recipe["source"].startswith("https://")
    else:
        assert (SCENES / recipe["photos"]).is_dir()
        assert all((SCENES / path).exists() for path in recipe["truth"].values())


def test_photos_are_as_many_as_the_cameras(cameras: dict[str, Array]) -> None:
    recipe = tomllib.loads((SCENES / "still_life.toml").read_text())
    assert 40 <= len(PHOTOS) <= 60
    assert [p.name for p in PHOTOS] == sorted(cameras)
    assert recipe["expected"]["registered"] == len(PHOTOS)


def test_photos_carry_the_true_focal_length() -> None:
    truth = json.loads(TRANSFORMS.read_text())
    for path in PHOTOS:
        photo = Image.open(path)
        exif = photo.getexif()
        lens = exif.get_ifd(0x8769)
        assert photo.size == (truth["w"], truth["h"]) == (640, 480)
        assert (exif[0x010F], exif[0x0110]) == ("nerfkit", "still life")
        pixels_per_mm = float(lens[0xA20E]) / 10
        assert float(lens[0x920A]) * pixels_per_mm == pytest.approx(truth["fl_x"], rel=1e-4)
        assert lens[0xA405] / 36 * 640 == pytest.approx(truth["fl_x"], rel=1e-4)


def test_photos_are_exposed() -> None:
    for path in PHOTOS:
        gray = np.asarray(Image.open(path).convert("L"))
        assert 60 < gray.mean() < 190, path.name
        assert gray.std() > 25, path.name
        assert np.mean(gray > 250) < 0.05, path.name
        assert np.mean(gray < 5) < 0.05, path.name


def test_truth_loads_as_a_scene() -> None:
    from nerfkit.data.scene import Scene

    scene = Scene.load(TRANSFORMS.parent)
    assert len(scene.views) == len(PHOTOS)
    assert scene.held_out == list(range(0, len(PHOTOS), 8))
    assert tuple(scene.views[0].image().shape) == (480, 640, 3)


def test_depth_is_there_for_the_held_out_photos() -> None:
    names = sorted(p.stem for p in (STILL_LIFE / "truth" / "depth").glob("*.png"))
    assert names == [p.stem for p in PHOTOS[::8]]


@pytest.mark.parametrize("photo", [p.name for p in PHOTOS[::16]])
def test_depth_agrees_with_the_mesh(photo: str, cameras: dict[str, Array], surface: trimesh.Trimesh) -> None:
    """Points of the depth map, taken to the world as z-depth, lie on the surface, and no vertex lies before it."""
    truth, depth = json.loads(TRANSFORMS.read_text()), _depth(photo)
    f, cx, cy = truth["fl_x"], truth["cx"], truth["cy"]
    assert np.all(depth > 0)

    v, u = (x.ravel() for x in np.meshgrid(np.arange(12, 480, 24), np.arange(12, 640, 24), indexing="ij"))
    z = depth[v, u]
    local = np.stack([(u + 0.5 - cx) / f * z, (v + 0.5 - cy) / f * z, z, np.ones_like(z)], axis=1)
    world = (local @ np.linalg.inv(cameras[photo]).T)[:, :3]
    distance = _distance_to_planes(surface, world)
    assert np.quantile(distance, 0.98) < 0.001  # depth is rounded to 1 mm

    points = surface.vertices @ cameras[photo][:3, :3].T + cameras[photo][:3, 3]
    points = points[points[:, 2] > 0.1]
    x, y = points[:, 0] / points[:, 2] * f + cx, points[:, 1] / points[:, 2] * f + cy
    inside = (x > 1) & (x < 639) & (y > 1) & (y < 479)
    row, column = y[inside].astype(int), x[inside].astype(int)
    nearest = np.min([depth[row + i, column + j] for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
    before = nearest - points[inside, 2]  # > 0: a vertex before all depths around its pixel
    assert np.count_nonzero(inside) > 20_000
    assert np.mean(before > 0.002) < 0.005  # points of thin parts can miss all pixel centres around
    assert np.mean(np.abs(before) < 0.004) > 0.1  # and plenty are seen; the rest is hidden


def _distance_to_planes(surface: trimesh.Trimesh, points: Array) -> Array:
    """Distance [N] of points to the nearest of the triangles' surfaces."""
    triangles = surface.triangles  # [F, 3, 3]
    low, high = triangles.min(axis=1) - 0.002, triangles.max(axis=1) + 0.002
    out = np.full(len(points), np.inf)
    for k, point in enumerate(points):
        near = np.flatnonzero(np.all((low <= point) & (point <= high), axis=1))
        if len(near):
            closest = closest_point(triangles[near], np.broadcast_to(point, (len(near), 3)))
            out[k] = np.linalg.norm(closest - point, axis=1).min()
    return out


def test_mesh_is_sound() -> None:
    mesh = _mesh("mesh.ply")
    assert 150_000 < len(mesh.faces) < 300_000
    assert np.isfinite(mesh.vertices).all()
    assert mesh.bounds[0, 2] == pytest.approx(0, abs=1e-3)
    assert 0.3 < mesh.bounds[1, 2] < 0.6  # the plant's top, metres
    assert np.all(mesh.area_faces > 0)


def _bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def test_everything_stays_small() -> None:
    assert _bytes(STILL_LIFE / "photos") < 8 * MIB
    assert (STILL_LIFE / "truth" / "mesh.ply").stat().st_size < 6 * MIB
    assert _bytes(SCENES) < 16 * MIB
