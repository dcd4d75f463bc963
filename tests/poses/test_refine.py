"""Given poses that are adjusted to the matches of their photos, with a known truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from nerfkit.poses import check
from nerfkit.poses.anchoring import anchor, turns
from nerfkit.poses.conventions import POSES
from nerfkit.poses.frame import Similarity
from nerfkit.poses.placing import extent, poses, set_pose
from nerfkit.poses.refine import refine
from nerfkit.poses.refinement import Refinement
from nerfkit.poses.triangulate import convention_of
from nerfkit.poses.triangulation import triangulated

Array = NDArray[np.float64]
PHOTOS = 12


class Silent:
    """A :class:`nerfkit.poses.worker.Tell` for nobody."""

    def __call__(self, done: int, total: int) -> None:
        assert 0 <= done <= total

    def say(self, line: str) -> None:
        pass


@dataclass(frozen=True)
class Capture:
    """Cameras around points, whose features are half a pixel off; ``model`` has the true cameras."""

    model: Any
    database: str
    scratch: str

    def with_poses(self, given: dict[int, Array]) -> Any:
        import copy

        model = copy.deepcopy(self.model)
        for number, pose in given.items():
            set_pose(model, number, pose)
        return model

    def refined(self, given: dict[int, Array], model: Any | None = None) -> tuple[Any, Any, Refinement]:
        """Before, after, and what was done."""
        before = self.points(self.with_poses(given) if model is None else model)
        fit = check.fit(before, self.database)
        after, result = refine(Silent(), before, fit, self.database, self.scratch, seed=0)
        return before, after, result

    def points(self, model: Any) -> Any:
        return triangulated(model, self.database, self.scratch, seed=0)

    def errors(self, model: Any) -> tuple[Array, Array]:
        """Percent of the extent [N] and degrees [N] that the cameras are off, in the best common frame."""
        truth, found = (np.stack(list(poses(one).values())) for one in (self.model, model))
        size = extent(poses(self.model))
        world = anchor(truth, found, size)
        aligned = moved(found, world)
        return 100 * np.linalg.norm(aligned[:, :3, 3] - truth[:, :3, 3], axis=1) / size, turns(aligned, truth)


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return synthetic(tmp_path, cameras=1, places=PHOTOS)


def synthetic(folder: Path, cameras: int, places: int, distortion: tuple[float, ...] = (0, 0, 0, 0)) -> Capture:
    """Photos in ``places``, in each of them by so many ``cameras``, whose centers are one, with OPENCV's distortion."""
    import pycolmap

    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, cameras, places
    options.sensor_from_rig_translation_stddev, options.sensor_from_rig_rotation_stddev = 0, 8.0
    options.num_points3D, options.num_points2D_without_point3D = 300, 20
    options.camera_model_id = pycolmap.CameraModelId.OPENCV if any(distortion) else pycolmap.CameraModelId.PINHOLE
    options.camera_params = [1100.0, 1100.0, 512.0, 384.0, *(distortion if any(distortion) else ())]
    pycolmap.set_random_seed(3)
    noise = pycolmap.SyntheticNoiseOptions()
    noise.point2D_stddev = 0.5
    rigs = str(folder / "rigs.db")
    with pycolmap.Database.open(rigs) as database:
        made = pycolmap.synthesize_dataset(options, database)
        pycolmap.synthesize_noise(noise, made, database)
    file = str(folder / "matches.db")
    model = without_rigs(made, rigs, file)
    return Capture(model, file, str(folder / "scratch"))


def without_rigs(made: Any, rigs: str, file: str) -> Any:
    """The same with each photo on its own, as readers of other formats give them; the matches go into ``file``."""
    import pycolmap

    model = pycolmap.Reconstruction()
    with pycolmap.Database.open(rigs) as old, pycolmap.Database.open(file) as new:
        for camera in made.cameras.values():
            model.add_camera_with_trivial_rig(camera)
            new.write_camera(camera, use_camera_id=True)
            new.write_rig(model.rigs[camera.camera_id], use_rig_id=True)
        for number, image in sorted(made.images.items()):
            keypoints = old.read_keypoints(number)
            copy = pycolmap.Image(image.name, keypoints=keypoints[:, :2], camera_id=image.camera_id, image_id=number)
            model.add_image_with_trivial_frame(copy, image.cam_from_world())
            new.write_frame(model.frame(model.image(number).frame_id), use_frame_id=True)
            new.write_image(model.image(number), use_image_id=True)
            new.write_keypoints(number, keypoints)
        for pair, geometry in zip(*old.read_two_view_geometries()):
            one, two = pycolmap.pair_id_to_image_pair(pair)
            new.write_matches(one, two, geometry.inlier_matches)
            new.write_two_view_geometry(one, two, geometry)
    return model


def noisy(known: dict[int, Array], degrees: float, percent: float, seed: int = 0) -> dict[int, Array]:
    """Poses with rotations and positions off by so much, root mean square; percent of their extent."""
    rng, size = np.random.default_rng(seed), extent(known)
    found = {}
    for number, pose in known.items():
        changed = pose.copy()
        turn = Rotation.from_rotvec(rng.normal(size=3) * np.radians(degrees) / np.sqrt(3)).as_matrix()
        changed[:3, :3] = pose[:3, :3] @ turn
        changed[:3, 3] += rng.normal(size=3) * percent / 100 * size / np.sqrt(3)
        found[number] = changed
    return found


def moved(cameras: Array, world: Similarity) -> Array:
    """Cameras [N, 4, 4] in another frame."""
    result = cameras.copy()
    result[:, :3, :3] = world.rotation @ cameras[:, :3, :3]
    result[:, :3, 3] = world.points(cameras[:, :3, 3])
    return result


def without_matches(database: str, number: int, left: int = 0, partners: int = 0) -> None:
    """Leaves a photo's first ``left`` matches with the first so many other photos, and none with the rest."""
    import pycolmap

    with pycolmap.Database.open(database) as filled:
        pairs, geometries = filled.read_two_view_geometries()
        for pair, geometry in zip(pairs, geometries):
            ends = pycolmap.pair_id_to_image_pair(pair)
            if number not in ends:
                continue
            filled.delete_two_view_geometry(*ends)
            if partners > 0:
                geometry.inlier_matches = geometry.inlier_matches[:left]
                filled.write_two_view_geometry(*ends, geometry)
                partners -= 1


SIMILARITY = Similarity(2.5, Rotation.from_rotvec([0.3, -1.2, 0.4]).as_matrix(), np.array([3.0, -7.0, 1.0]))


@pytest.mark.parametrize("where", ["spread", "row", "one"])
def test_anchor_finds_the_frame(where: str) -> None:
    """Also where positions alone leave a turn open: in a row, and of a single camera."""
    rng = np.random.default_rng(1)
    count = 1 if where == "one" else 9
    cameras = np.tile(np.eye(4), (count, 1, 1))
    cameras[:, :3, :3] = Rotation.random(count, random_state=1).as_matrix()
    cameras[:, :3, 3] = np.outer(np.arange(count), [1.0, 2, 3]) if where == "row" else rng.normal(size=(count, 3))
    frame = Similarity(1.0, SIMILARITY.rotation, SIMILARITY.translation) if where == "one" else SIMILARITY
    given = moved(cameras, frame)
    if where == "spread":
        given[4, :3, 3] += 50  # one that is somewhere else counts for nothing
    found = anchor(given, cameras, reach=2.0)
    assert found.scale == pytest.approx(frame.scale) and np.allclose(found.rotation, frame.rotation)
    assert np.allclose(found.translation, frame.translation)


def test_matches_are_measured_once_for_each_model(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is told of both ends is what measuring them gives."""
    before = capture.points(capture.with_poses(noisy(poses(capture.model), 0.5, 1)))
    fit, passes, real = check.fit(before, capture.database), [], check._verified
    monkeypatch.setattr(check, "_verified", lambda model, database: (passes.append(1), real(model, database))[1])
    after, result = refine(Silent(), before, fit, capture.database, capture.scratch, seed=0)
    assert result.refused is None
    # Each round, once where photos are lost, three times with distortion and then once for good, and the end.
    assert len(passes) == result.rounds + 1 + 4 + 1
    for number, model in enumerate((before, after)):
        measured = check.fit(model, capture.database)
        assert result.match_error_px[number] == measured.error == np.median(measured.errors)
        assert result.agreement[number] == measured.pairs.share


def test_noisy_poses_become_right_in_their_frame_and_scale(capture: Capture) -> None:
    given = noisy(poses(capture.model), 2.0, 3.0)
    before, after, result = capture.refined(given)
    position, rotation = capture.errors(after)
    assert result.refused is None and result.adjusted == PHOTOS and not result.kept and not result.relocated
    assert position.max() < 0.1 and rotation.max() < 0.06
    assert capture.errors(before)[0].max() > 20 * position.max()
    # The frame is the given one, as well as twelve cameras that are 3 % off tell it.
    truth, found = (np.stack(list(poses(model).values())) for model in (capture.model, after))
    assert np.linalg.norm(found[:, :3, 3] - truth[:, :3, 3], axis=1).max() < 0.03 * extent(poses(capture.model))
    assert turns(found, truth).max() < 1.5
    assert anchor(truth, found, extent(given)).scale == pytest.approx(1, abs=0.03)
    # What is told of it is what happened.
    a, b = (np.stack(list(known.values())) for known in (given, poses(after)))
    shift = np.linalg.norm(a[:, :3, 3] - b[:, :3, 3], axis=1)
    assert (result.position_median, result.position_max) == pytest.approx((np.median(shift), shift.max()))
    assert result.position_percent_median == pytest.approx(100 * np.median(shift) / extent(given))
    assert result.rotation_deg_median == pytest.approx(float(np.median(turns(a, b))))
    assert result.match_error_px[0] > 10 and result.match_error_px[1] < 1
    assert result.agreement[0] < 0.3 and result.agreement[1] > 0.99
    assert result.points == (before.num_points3D(), after.num_points3D()) and result.points[1] > 290


def test_triangulation_with_wide_thresholds_finds_points_for_noisy_poses(capture: Capture) -> None:
    model = capture.with_poses(noisy(poses(capture.model), 2.0, 5.0))
    narrow = capture.points(model)
    wide = triangulated(model, capture.database, capture.scratch, seed=0, allowed=80)
    assert narrow.num_points3D() < 100 and wide.num_points3D() > 250
    assert model.num_points3D() == capture.model.num_points3D()  # which is left alone


def test_right_poses_stay_exactly_as_they_are(capture: Capture) -> None:
    given = poses(capture.model)
    before, after, result = capture.refined(given)
    assert result.refused is not None and "fit the matches as well as they can" in result.refused
    assert after is before and all(np.array_equal(pose, poses(before)[number]) for number, pose in poses(after).items())


def test_a_photo_without_matches_stays_as_given_and_is_told(capture: Capture) -> None:
    given = noisy(poses(capture.model), 0.5, 1.0)
    lonely = 5
    without_matches(capture.database, lonely)
    _, after, result = capture.refined(given)
    assert result.kept == [capture.model.image(lonely).name] and result.adjusted == PHOTOS - 1
    assert np.allclose(poses(after)[lonely], given[lonely])
    position, _ = capture.errors(after)
    others = [index for index, number in enumerate(given) if number != lonely]
    assert position[others].max() < 0.1


def test_a_photo_with_few_matches_is_held_by_where_it_was_given(capture: Capture) -> None:
    given = noisy(poses(capture.model), 0.5, 1.0)
    weak = 5
    without_matches(capture.database, weak, left=24, partners=2)
    before, after, result = capture.refined(given)
    assert result.refused is None
    index = list(given).index(weak)
    (position, rotation), (position_before, rotation_before) = capture.errors(after), capture.errors(before)
    assert position[index] < position_before[index] and rotation[index] < rotation_before[index]
    assert np.delete(position, index).max() < 0.1


def test_a_photo_after_a_jump_is_placed_by_the_others(capture: Capture) -> None:
    given = noisy(poses(capture.model), 0.3, 0.5)
    far = given[4]
    far[:3, :3] = far[:3, :3] @ Rotation.from_rotvec([0, 0.6, 0.2]).as_matrix()
    far[:3, 3] += 0.3 * extent(given)
    _, after, result = capture.refined(given)
    assert result.refused is None and not result.kept
    position, rotation = capture.errors(after)
    assert position.max() < 0.1 and rotation.max() < 0.06


def test_a_focal_length_that_many_photos_share_is_adjusted_too(capture: Capture) -> None:
    model = capture.with_poses(noisy(poses(capture.model), 0.5, 1.0))
    (camera,) = model.cameras.values()
    camera.params = camera.params * np.array([1.03, 1.03, 1, 1])
    _, after, result = capture.refined({}, model)
    (camera,) = after.cameras.values()
    assert camera.model.name == "PINHOLE"  # nothing asks for distortion
    assert camera.params[:2] == pytest.approx([1100, 1100], rel=2e-3)
    assert result.focal_percent_max == pytest.approx(100 * (1 - 1 / 1.03), abs=0.3)


def test_distortion_that_the_source_does_not_have_is_found(tmp_path: Path) -> None:
    import pycolmap

    capture = synthetic(tmp_path, cameras=1, places=PHOTOS, distortion=(0.6, -0.3, 0.005, 0))
    model = capture.with_poses(noisy(poses(capture.model), 0.5, 1.0))
    (camera,) = model.cameras.values()
    params = camera.params[:4]
    camera.model, camera.params = pycolmap.CameraModelId.PINHOLE, params
    with pycolmap.Database.open(capture.database) as database:
        database.update_camera(camera)
    _, after, result = capture.refined({}, model)
    (camera,) = after.cameras.values()
    assert result.refused is None and camera.model == pycolmap.CameraModelId.OPENCV
    assert camera.params[4] == pytest.approx(0.6, abs=0.06)
    position, rotation = capture.errors(after)
    assert position.max() < 0.15 and rotation.max() < 0.1


def test_poses_of_other_photos_are_left_alone(capture: Capture) -> None:
    rng = np.random.default_rng(0)
    known = poses(capture.model)
    shuffled = dict(zip(known, [known[number] for number in rng.permutation(list(known))], strict=True))
    before, after, result = capture.refined(shuffled)
    assert result.refused is not None and after is before


def test_photos_from_one_place_stay_in_one_place(tmp_path: Path) -> None:
    """As the views of panoramas, which are exact to each other however noisy the places are."""
    capture = synthetic(tmp_path, cameras=2, places=8)
    truth = poses(capture.model)
    numbers = sorted(truth, key=lambda number: tuple(truth[number][:3, 3].round(6)))
    pairs = list(zip(numbers[::2], numbers[1::2]))
    places = noisy({one: truth[one] for one, _ in pairs}, 0.5, 1.0)
    given = {
        number: places[pair[0]] @ np.linalg.inv(truth[pair[0]]) @ truth[number] for pair in pairs for number in pair
    }
    _, after, result = capture.refined(given)
    assert result.refused is None and not result.kept
    found = poses(after)
    for one, two in pairs:
        assert np.allclose(np.linalg.inv(found[one]) @ found[two], np.linalg.inv(truth[one]) @ truth[two], atol=1e-9)
    position, rotation = capture.errors(after)
    assert position.max() < 0.1 and rotation.max() < 0.06


def test_matches_of_other_photos_are_measured_alike(capture: Capture) -> None:
    """The median error is that of the matches which the share of agreeing ones counts."""
    model = capture.points(capture.with_poses(noisy(poses(capture.model), 0.1, 0.1)))
    measured = check.fit(model, capture.database)
    assert measured.pairs.share == pytest.approx(float((measured.errors < 4).mean()))


@pytest.mark.parametrize("meant", [None, *POSES])
def test_a_wrong_convention_is_told_from_noise(capture: Capture, meant: str | None) -> None:
    """Most matches contradict noisy poses, however they are read; the right convention is the one that is least off."""
    flip = torch.diag(torch.tensor([1.0, -1, -1, 1], dtype=torch.float64))
    inverse = torch.linalg.inv
    written = {
        None: lambda pose: pose, **dict(zip(POSES, (
            lambda pose: pose @ flip, inverse, lambda pose: inverse(flip @ pose), lambda pose: inverse(pose @ flip),
            lambda pose: inverse(flip @ pose @ flip),
        ), strict=True)),
    }  # fmt: skip
    true = noisy(poses(capture.model), 1.0, 2.0)
    given = {number: written[meant](torch.from_numpy(pose)).numpy() for number, pose in true.items()}
    model = capture.with_poses(given)
    assert check.pair_agreement(model, capture.database).share < 0.5
    found = convention_of(model, capture.database)
    assert all(np.allclose(pose, given[number]) for number, pose in poses(model).items())
    if meant is None:
        assert found is None
    else:  # inverses of several kinds differ by a turn of the world
        assert found is not None
        read = {number: POSES[found](torch.from_numpy(pose)).numpy() for number, pose in given.items()}
        between = [read[number] @ np.linalg.inv(true[number]) for number in true]
        assert all(np.allclose(one, between[0], atol=1e-6) for one in between)
