"""The world frame: upright, on the ground, and where something tells in metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import still_life_truth
import torch
from still_life_truth import Array, angle

from nerfkit import poses
from nerfkit.data.similarity import Similarity
from nerfkit.data.upright import up_direction
from nerfkit.poses import frame, gps, review

UP = np.array([0.0, 0.0, 1.0])
QUARTER = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def turned(rotations: Array, share: float, seed: int) -> Array:
    """Some of the cameras turned to portrait, either way."""
    rng, out = np.random.default_rng(seed), rotations.copy()
    for index in np.flatnonzero(rng.random(len(out)) < share):
        out[index] = out[index] @ (QUARTER if rng.random() < 0.7 else QUARTER.T)
    return out


@pytest.fixture(scope="module")
def rotations(still_life: Path) -> Array:
    """Of the scene's 54 cameras, hand-held: rolled by 2.5 degrees, one standard deviation."""
    return np.array([pose[:3, :3] for pose in still_life_truth.cameras(still_life).values()])


def test_up_of_a_walk(rotations: Array) -> None:
    assert angle(up_direction(rotations), UP) < 1.2


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_up_of_portrait_and_landscape_mixed(rotations: Array, share: float) -> None:
    assert angle(up_direction(turned(rotations, share, 1)), UP) < 1.5


def test_up_with_photos_that_are_wrong(rotations: Array) -> None:
    wrong = rotations.copy()
    wrong[::6] = np.linalg.qr(np.random.default_rng(2).normal(size=(len(wrong[::6]), 3, 3)))[0]
    assert angle(up_direction(wrong), UP) < 2


@pytest.mark.parametrize("seed", range(4))
def test_up_turns_with_the_world(rotations: Array, seed: int) -> None:
    spin = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    spin *= np.sign(np.linalg.det(spin))
    assert angle(up_direction(spin @ rotations), spin @ up_direction(rotations)) < 1e-4


def test_up_of_cameras_side_by_side() -> None:
    pitch = np.radians(20)  # all look down; their level axes are one, so up leans as they do
    tilted = np.array([[1, 0, 0], [0, -np.sin(pitch), np.cos(pitch)], [0, -np.cos(pitch), -np.sin(pitch)]])
    assert angle(up_direction(np.tile(tilted, (6, 1, 1))), UP) == pytest.approx(20, abs=0.1)


def test_up_of_a_survey_from_above() -> None:
    down = np.diag([1.0, -1, -1])  # looks down; flies to and fro
    assert angle(up_direction(np.array([down, down @ np.diag([-1.0, -1, 1])] * 6)), UP) < 1e-3


def model_of(out: Path) -> object:
    import pycolmap

    return pycolmap.Reconstruction(str(out / "colmap" / "sparse" / "0"))


def test_the_written_model_stands_on_its_ground(posed: tuple[Path, poses.PoseReport], still_life: Path) -> None:
    """z is up within a degree of the truth, and z = 0 lies in the floor or on the cloth, 3 mm above it."""
    out, report = posed
    truth_from_world = still_life_truth.truth_from(model_of(out), still_life)
    assert angle(truth_from_world.rotation.numpy() @ UP, UP) < 1
    origin = truth_from_world.points(torch.zeros(3, dtype=torch.float64))
    assert -0.01 < float(origin[2]) < 0.015
    assert float(origin[:2].norm()) < 0.06  # where the cameras look
    assert report.frame["up_from"] == "ground"
    assert report.frame["scale"] == "arbitrary"
    first = model_of(out).find_image_with_name("0000.jpg")  # type: ignore[attr-defined]
    right = first.cam_from_world().rotation.matrix()[0]
    assert right[0] > 0.99 and abs(right[1]) < 0.01


def test_points_and_transforms_are_in_the_same_frame(posed: tuple[Path, poses.PoseReport]) -> None:
    from nerfkit.data.scene import Scene

    scene = Scene.load(posed[0])  # reads transforms.json and sparse_pc.ply
    world = scene.scene_from_world.inverse().points(scene.points.double()).numpy()
    ours = np.array([point.xyz for point in model_of(posed[0]).points3D.values()])  # type: ignore[attr-defined]
    assert np.abs(np.median(world, 0) - np.median(ours, 0)).max() < 0.02
    heights = scene.scene_from_world.rotation.numpy() @ UP
    assert angle(heights, UP) < 2.5  # what training takes for up is up


def slab(rng: np.random.Generator, count: int, height: float = 0.0) -> Array:
    return np.column_stack([rng.uniform(-1, 1, (count, 2)), rng.normal(height, 0.003, count)])


def test_a_ground_is_found_and_its_slope_kept() -> None:
    rng = np.random.default_rng(0)
    blob = rng.normal((0, 0, 0.4), 0.15, (300, 3))
    tilt = np.radians(4)
    rotation = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    points = np.concatenate([slab(rng, 300) @ rotation.T, blob])
    above = np.array([(np.cos(a), np.sin(a), 0.6) for a in np.linspace(0, 6, 20)])
    found = frame.find_ground(points, above, UP, 1.0)
    assert found is not None
    assert angle(found.normal, rotation @ UP) < 0.3
    assert abs(found.height) < 0.005
    assert 0.4 < found.share < 0.6


def test_no_ground_in_a_blob_a_ceiling_or_a_slope() -> None:
    rng = np.random.default_rng(0)
    blob = rng.normal(0, 0.3, (1000, 3))
    cameras = np.array([(np.cos(a), np.sin(a), 0.6) for a in np.linspace(0, 6, 20)])
    assert frame.find_ground(blob, cameras, UP, 1.0) is None
    assert frame.find_ground(np.concatenate([slab(rng, 500, 1.5), blob]), cameras, UP, 1.0) is None
    assert frame.find_ground(slab(rng, 500), cameras, np.array([0.0, 0.3, 0.95]), 1.0) is None
    assert frame.find_ground(np.zeros((0, 3)), cameras, UP, 1.0) is None


# --- GPS --------------------------------------------------------------------------------------------------------

ROME = (41.8902, 12.4922, 48.0)


def places(metres: Array, altitudes: bool = True) -> list[gps.Place]:
    """GPS of points [N, 3] in metres east, north, up of a place in Rome."""
    import pycolmap

    table = pycolmap.GPSTransform().enu_to_ellipsoid(metres, *ROME)
    return [(float(lat), float(lon), float(alt) if altitudes else None) for lat, lon, alt in table]


def walk(count: int = 20, radius: float = 15.0) -> tuple[Array, Array]:
    """Camera positions [N, 3], upright in an arbitrary frame, and in metres."""
    around = np.linspace(0, 5.5, count)
    metres = np.column_stack([radius * np.cos(around), radius * np.sin(around), 1.6 + 0.3 * np.sin(3 * around)])
    heading, scale = 0.7, 0.2
    rotation = np.array([[np.cos(heading), -np.sin(heading), 0], [np.sin(heading), np.cos(heading), 0], [0, 0, 1]])
    return scale * metres @ rotation.T + (3.0, -1.0, 2.0), metres


@pytest.mark.parametrize("altitudes", [True, False])
def test_gps_gives_metres_east_and_north(altitudes: bool) -> None:
    ours, metres = walk()
    noisy = metres + np.random.default_rng(0).normal(0, (1.0, 1.0, 3.0), metres.shape)
    noisy[4] += (400.0, 0, 0)  # one that is far off
    found = gps.fit(ours, places(noisy, altitudes))
    assert found is not None
    assert found.metres_from_upright.scale == pytest.approx(5, rel=0.05)
    assert found.used >= 17
    assert 0.5 < found.residual < 2
    east = found.metres_from_upright.rotation @ np.array([np.cos(0.7), np.sin(0.7), 0])
    assert angle(east, np.array([1.0, 0, 0])) < 3
    assert abs(found.metres_from_upright.scale / 5 - 1) < 4 * found.scale_error


def test_gps_that_tells_nothing() -> None:
    ours, metres = walk(radius=1.0)
    noise = np.random.default_rng(0).normal(0, 4, metres.shape)
    assert gps.fit(ours, places(metres + noise)) is None  # rougher than the walk is wide
    assert gps.fit(ours, places(np.zeros_like(metres))) is None  # all one place
    assert gps.fit(ours[:2], places(metres[:2])) is None
    assert gps.fit(ours, places(np.random.default_rng(1).permutation(15 * metres))) is None


def test_gps_knows_up_where_the_cameras_do_not() -> None:
    """A survey from above, flown one way only, looks like photos of a wall."""
    rng = np.random.default_rng(3)
    metres = np.column_stack([rng.uniform(-40, 40, (30, 2)), rng.normal(60, 2, 30)])
    spin = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    spin *= np.sign(np.linalg.det(spin))
    up = gps.up_from_gps(0.1 * metres @ spin.T, places(metres + rng.normal(0, 1, metres.shape)))
    assert up is not None
    assert angle(up, spin @ UP) < 3
    assert gps.up_from_gps(metres, places(metres, altitudes=False)) is None


def test_a_model_with_gps(posed: tuple[Path, poses.PoseReport], still_life: Path) -> None:
    """The still life, a hundred times as large and set down in Rome, with GPS a metre off."""
    model = model_of(posed[0])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    spin = Similarity(0.3, torch.from_numpy(turn * np.sign(np.linalg.det(turn))), torch.ones(3))
    import pycolmap

    model.transform(pycolmap.Sim3d(spin.matrix[:3].numpy()))  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    metres = {name: 100 * pose[:3, 3] for name, pose in still_life_truth.cameras(still_life).items()}
    located = {name: places((at + rng.normal(0, (1, 1, 3)))[None])[0] for name, at in metres.items()}
    world, described = review.world_frame(model, located, None)  # type: ignore[arg-type]
    assert described["scale"] == "metric"
    assert described["scale_from"] == "gps"
    assert described["gps"]["used"] >= 8
    true = still_life_truth.truth_from(model, still_life)
    assert world.scale == pytest.approx(100 * true.scale, rel=0.03)
    north = true.rotation.numpy().T @ np.array([0.0, 1, 0])
    assert angle(world.rotation @ north, np.array([0.0, 1, 0])) < 2
    origin = described["gps"]["origin"]
    assert (origin["latitude"], origin["longitude"]) == pytest.approx(ROME[:2], abs=1e-4)
