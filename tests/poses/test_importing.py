"""Poses of other programs: checked, and written so that everything goes on with them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import truth
from PIL import Image
from plyfile import PlyData

from nerfkit.cli import main
from nerfkit.data.raw import RawScene, Seen
from nerfkit.data.readers import read
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.poses import import_poses, model, triangulate
from nerfkit.poses.checks import problems
from nerfkit.poses.compare import pose_errors, read_poses
from nerfkit.poses.conventions import POINTS, POSES, judge, reread
from nerfkit.poses.importing import _about
from nerfkit.poses.report import is_metric

FLIP = np.diag([1.0, -1, -1, 1])
AXES, INVERSE = list(POSES)[:2]


def true_poses() -> torch.Tensor:
    eye, right, down, forward = truth.cameras()
    poses = np.tile(np.eye(4), (truth.COUNT, 1, 1))
    poses[:, :3] = np.stack([right, down, forward, eye], -1)
    return torch.from_numpy(poses)


def found_poses(scene: RawScene) -> torch.Tensor:
    return torch.cat([view.camera.world_from_cam for view in scene.views])


def with_poses(scene: RawScene, poses: torch.Tensor) -> RawScene:
    for view, pose in zip(scene.views, poses, strict=True):
        view.camera = replace(view.camera, world_from_cam=pose[None])
    return scene


def write_transforms(
    folder: Path, change: Callable[[np.ndarray], np.ndarray] = lambda pose: pose, points: bool = True
) -> Path:
    """The true scene as nerfstudio has it, its matrices changed; a PLY has the points."""
    truth.write_photos(folder / "images")
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": change(pose @ FLIP).tolist()}
        for name, pose in zip(truth.NAMES, true_poses().numpy(), strict=True)
    ]
    data = {"w": truth.WIDTH, "h": truth.HEIGHT, "fl_x": truth.FOCAL, "cx": 84, "cy": 57, "frames": frames}
    if points:
        xyz, rgb = truth.points()
        rows = "".join(f"{' '.join(map(repr, p.tolist()))} {' '.join(map(str, c))}\n" for p, c in zip(xyz, rgb))
        names = [f"property double {axis}" for axis in "xyz"] + [
            f"property uchar {c}" for c in ("red", "green", "blue")
        ]
        header = ["ply", "format ascii 1.0", f"element vertex {len(xyz)}", *names, "end_header"]
        (folder / "points.ply").write_text("\n".join(header) + "\n" + rows)
        data["ply_file_path"] = "points.ply"
    (folder / "transforms.json").write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize("write", [truth.openmvg, truth.opensfm, truth.bundler])
def test_what_is_written_is_what_was_read(tmp_path: Path, write: Callable[[Path], np.ndarray]) -> None:
    """pycolmap's model, transforms.json, the points and the report."""
    import pycolmap

    pixels = write(tmp_path / "scene") if (tmp_path / "scene").mkdir() is None else None
    out = tmp_path / "out"
    report = import_poses(tmp_path / "scene", out)
    model = pycolmap.Reconstruction(out / "colmap/sparse/0")
    xyz, _ = truth.points()
    for image in model.images.values():
        index = truth.NAMES.index(image.name)
        assert np.allclose(image.projection_center(), truth.cameras()[0][index])
        assert np.abs(np.array([image.project_point(point) for point in xyz]) - pixels[index]).max() < 1e-9
        assert np.allclose([spot.xy for spot in image.points2D], pixels[index])
    assert sorted(tuple(point.xyz) for point in model.points3D.values()) == sorted(map(tuple, xyz))
    assert all(point.track.length() == truth.COUNT for point in model.points3D.values())
    scene = read(out)
    assert scene.source == out / "transforms.json"
    assert torch.allclose(found_poses(scene), true_poses())
    assert np.allclose(scene.points[np.lexsort(scene.points.T)], xyz[np.lexsort(xyz.T)], atol=1e-6)
    assert len(PlyData.read(out / "sparse_pc.ply")["vertex"]) == len(xyz)
    data = json.loads((out / "poses.json").read_text())
    assert data == json.loads(json.dumps(report.to_json()))
    assert {"photos", "registered", "unregistered", "points", "mean_reprojection_error_px", "seconds"} <= set(data)
    assert (report.photos, report.registered, report.points, report.cameras) == (8, 8, 60, 1)
    assert report.mean_reprojection_error_px is not None and report.mean_reprojection_error_px < 1e-6
    assert report.problems == [] and not report.triangulated
    again = import_poses(tmp_path / "scene", out)
    assert replace(again, seconds={}) == replace(report, seconds={})


def test_points_without_colours_get_those_of_the_photos(tmp_path: Path) -> None:
    (tmp_path / "scene").mkdir()
    truth.openmvg(tmp_path / "scene")
    import_poses(tmp_path / "scene", tmp_path / "out")
    colors = read(tmp_path / "out").point_colors
    assert colors.astype(float).std() > 5


@pytest.mark.parametrize("observed", [True, False])
@pytest.mark.parametrize("meant", POSES)
def test_other_conventions_of_poses_are_recognised(tmp_path: Path, meant: str, observed: bool) -> None:
    """Whatever a file's poses would have been by each convention, reading them so gives the true ones again."""
    truth.openmvg(tmp_path)
    scene = read(tmp_path, observations=True)
    inverse = torch.linalg.inv
    flip = torch.from_numpy(FLIP)
    undo: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda pose: pose @ flip, inverse, lambda pose: inverse(flip @ pose), lambda pose: inverse(pose @ flip),
        lambda pose: inverse(flip @ pose @ flip),
    ]  # fmt: skip
    wrong = with_poses(scene, undo[list(POSES).index(meant)](true_poses()))
    if not observed:
        for view in wrong.views:
            view.seen = None
    verdict = judge(wrong)
    assert verdict.wrong and verdict.meant is not None
    if observed or meant in (AXES, INVERSE):
        assert torch.allclose(found_poses(reread(wrong, verdict.meant)), true_poses())


@pytest.mark.parametrize("meant", POINTS)
def test_points_in_another_frame_are_recognised(tmp_path: Path, meant: str) -> None:
    truth.openmvg(tmp_path)
    scene = read(tmp_path, observations=True)
    scene.points = scene.points @ POINTS[meant]  # its transpose, which is its inverse, is undone
    verdict = judge(scene)
    assert verdict.meant == meant
    assert np.allclose(reread(scene, meant).points, truth.points()[0])


def test_right_poses_are_left_alone(tmp_path: Path) -> None:
    truth.openmvg(tmp_path)
    scene = read(tmp_path, observations=True)
    assert not judge(scene).wrong and problems(scene) == []
    for view in scene.views:
        view.seen = None
    assert not judge(scene).wrong and problems(scene) == []


def test_the_command_says_which_convention_was_meant_and_reads_it(tmp_path: Path) -> None:
    """OpenCV's axes in transforms.json: the commonest mistake."""
    write_transforms(tmp_path / "scene", lambda pose: pose @ FLIP)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "nerfkit.cli", "poses", "--import", str(tmp_path / "scene"), "-o", str(out)]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "probably written with camera axes of the other kind" in refused.stderr
    assert "--fix-convention" in refused.stderr and refused.stderr.count("\n") == 1
    assert not out.exists()
    done = subprocess.run([*command, "--fix-convention", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["registered"] == 8 and result["convention"] == AXES
    assert torch.allclose(found_poses(read(out)), true_poses())


def test_inverted_matrices(tmp_path: Path) -> None:
    write_transforms(tmp_path / "scene", np.linalg.inv)
    with pytest.raises(NerfkitError, match="probably written with inverted matrices"):
        import_poses(tmp_path / "scene", tmp_path / "out")
    import_poses(tmp_path / "scene", tmp_path / "out", fix_convention=True)
    assert torch.allclose(found_poses(read(tmp_path / "out")), true_poses())


def test_cameras_and_points_that_have_nothing_in_common(tmp_path: Path) -> None:
    truth.openmvg(tmp_path)
    rng = np.random.default_rng(3)
    scene = read(tmp_path, observations=True)
    for view in scene.views:
        assert view.seen is not None
        view.seen = Seen(rng.permutation(view.seen.points), view.seen.pixels)
    verdict = judge(scene)
    assert verdict.wrong and verdict.meant is None
    data = json.loads((tmp_path / "sfm_data.json").read_text())
    for item in data["structure"]:
        item["value"]["X"] = rng.uniform(-9, 9, 3).tolist()
    (tmp_path / "sfm_data.json").write_text(json.dumps(data))
    with pytest.raises(NerfkitError, match=r"sfm_data\.json: cameras and points don't belong together"):
        import_poses(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_doubtful_views_are_named(tmp_path: Path) -> None:
    truth.openmvg(tmp_path)
    scene = read(tmp_path, observations=True)
    views = scene.views
    views[1].camera = replace(views[1].camera, intrinsics=views[1].camera.intrinsics * 0.2)
    turn = torch.from_numpy(np.diag([-1.0, 1, -1, 1]))
    views[3].camera = replace(views[3].camera, world_from_cam=views[3].camera.world_from_cam @ turn)
    pose = views[4].camera.world_from_cam.clone()
    pose[0, :3, 3] += 0.3
    views[4].camera = replace(views[4].camera, world_from_cam=pose)
    found = "\n".join(problems(scene))
    assert "an unlikely focal length in shot_1.png" in found
    assert "the principal point lies far from the middle in shot_1.png" in found
    assert "none of the points lies before and within shot_3.png" in found
    assert "far above the others' in shot_1.png, shot_3.png, shot_4.png" in found


def test_a_focal_length_unlike_exifs(tmp_path: Path) -> None:
    truth.polycam(tmp_path)
    photos = tmp_path / "keyframes/corrected_images"
    for index, name in enumerate(truth.NAMES):
        with Image.open(photos / name) as photo:
            exif = photo.getexif()
            exif.get_ifd(34665)[41989] = 31 if index else 85  # 36 mm * 140 / 160 is 31.5 mm
            photo.save(photos / f"{Path(name).stem}.jpg", exif=exif)
        (photos / name).unlink()
    assert problems(read(tmp_path)) == [
        "the focal length differs from EXIF's in shot_0.jpg: are these the right photos?"
    ]


def test_photos_in_folders_masks_and_photos_without_a_pose(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path / "scene")
    data = json.loads((folder / "transforms.json").read_text())
    (folder / "masks").mkdir()
    for index, frame in enumerate(data["frames"]):
        name = Path(frame["file_path"]).name
        place = f"images/cam{index % 2}/{index // 2}.png"
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / "images" / name).rename(folder / place)
        assert cv2.imwrite(str(folder / "masks" / name), np.full((truth.HEIGHT, truth.WIDTH), 255, np.uint8))
        frame |= {"file_path": place, "mask_path": f"masks/{name}"}
    data["frames"][3]["camera_model"] = "OPENCV_FISHEYE"
    (folder / "transforms.json").write_text(json.dumps(data))
    shutil.copy(folder / "images/cam0/0.png", folder / "images/cam0/extra.png")
    report = import_poses(folder, tmp_path / "out")
    assert (report.photos, report.registered, report.unregistered) == (9, 8, ["extra.png"])
    scene = read(tmp_path / "out")
    assert [view.path.resolve().relative_to(folder).as_posix() for view in scene.views][:2] == [
        "images/cam0/0.png", "images/cam0/1.png",
    ]  # fmt: skip
    assert all(view.mask_path is not None and view.mask_path.is_file() for view in scene.views)
    assert [view.camera.model for view in scene.views].count("fisheye") == 1
    import pycolmap

    model = pycolmap.Reconstruction(tmp_path / "out/colmap/sparse/0")
    assert {image.name for image in model.images.values()} == {f"cam{i}/{j}.png" for i in (0, 1) for j in range(4)}


def test_photos_that_exif_turns_are_copied_upright(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path / "scene")
    name = truth.NAMES[2]
    with Image.open(folder / "images" / name) as photo:
        exif = photo.getexif()
        exif[274] = 6
        stored = photo.transpose(Image.Transpose.ROTATE_90)
        stored.save(folder / "images/turned.jpg", exif=exif, quality=98)
        upright = np.array(photo).astype(float)
    data = json.loads((folder / "transforms.json").read_text())
    data["frames"][2]["file_path"] = "images/turned.jpg"
    (folder / "transforms.json").write_text(json.dumps(data))
    (folder / "images" / name).unlink()
    import_poses(folder, tmp_path / "out")
    written = tmp_path / "out/photos/turned.jpg"
    with Image.open(written) as photo:
        assert photo.size == (truth.WIDTH, truth.HEIGHT) and photo.getexif().get(274, 1) == 1
        assert np.abs(np.array(photo) - upright).mean() < 5
    assert written in [view.path for view in read(tmp_path / "out").views]
    assert len(Scene.load(tmp_path / "out").views) == 8


def test_without_points_and_triangulation(tmp_path: Path) -> None:
    write_transforms(tmp_path / "scene", points=False)
    report = import_poses(tmp_path / "scene", tmp_path / "out", triangulate=False)
    assert report.points == 0 and report.mean_reprojection_error_px is None
    assert len(report.problems) == 1 and "there are no points" in report.problems[0]
    assert Scene.load(tmp_path / "out").points_are_random


def test_imported_poses_are_not_known_to_be_in_metres(tmp_path: Path) -> None:
    """Their poses.json is of another kind than that of poses found here, which says so."""
    write_transforms(tmp_path / "scene")
    import_poses(tmp_path / "scene", tmp_path / "out")
    assert not is_metric(tmp_path / "out/poses.json") and not is_metric(tmp_path / "scene/poses.json")
    (tmp_path / "poses.json").write_text(json.dumps({"frame": {"scale": "metric"}}))
    assert is_metric(tmp_path / "poses.json")
    (tmp_path / "poses.json").write_text("[]")
    assert not is_metric(tmp_path / "poses.json")


def test_folders_with_other_things_stay_as_they_are(tmp_path: Path) -> None:
    write_transforms(tmp_path / "scene")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep me")
    with pytest.raises(NerfkitError, match="exists and holds other files"):
        import_poses(tmp_path / "scene", tmp_path / "out")
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_words_for_wrong_use_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        ([], "no photos given; name their folder, or poses to read with --import"),
        ([str(tmp_path), "--import", str(tmp_path)], "--import needs no photos to find poses of"),
        (["--import", str(tmp_path / "gone")], "gone: no such file or folder"),
        (["--import", str(tmp_path), "--quality", "best"], "--quality: is for poses that are found here"),
        ([str(tmp_path), "--refine", "yes"], "--refine: is for poses that are read with --import"),
        ([str(tmp_path), "--no-triangulate"], "--no-triangulate: is for poses that are read with --import"),
    ):
        assert main(["poses", *arguments]) == 2 and words in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_points_are_triangulated_and_tell_a_wrong_convention(still_life: Path, tmp_path: Path) -> None:
    """Real photos with true poses, written with the other camera axes: the matches tell. Poses stay as they are."""
    data = json.loads((still_life / "truth/transforms.json").read_text())
    chosen = ("0000", "0001", "0002", "0020", "0021", "0022")
    frames: list[dict[str, Any]] = [f for f in data["frames"] if Path(f["file_path"]).stem in chosen]
    for frame in frames:
        frame["file_path"] = str(still_life / "photos" / Path(frame["file_path"]).name)
        frame["transform_matrix"] = (np.array(frame["transform_matrix"]) @ FLIP).tolist()
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong/transforms.json").write_text(json.dumps({**data, "frames": frames, "ply_file_path": None}))
    with pytest.raises(NerfkitError, match=r"% of the matches between the photos agree.*camera axes of the other kind"):
        import_poses(tmp_path / "wrong", tmp_path / "refused")
    report = import_poses(tmp_path / "wrong", tmp_path / "out", fix_convention=True)
    assert report.triangulated and report.convention == AXES
    assert report.points > 200 and report.problems == []
    assert report.agreement is not None and report.agreement > 0.9
    assert report.mean_reprojection_error_px is not None and report.mean_reprojection_error_px < 1
    errors = pose_errors(read_poses(tmp_path / "out/transforms.json"), read_poses(still_life / "truth/transforms.json"))
    assert errors.photos == 6 and errors.position_percent_max < 1e-4 and errors.rotation_deg_max < 1e-4
    scene = read(tmp_path / "out")
    assert len(scene.points) == report.points and scene.point_colors.astype(float).std() > 10


@pytest.mark.slow
def test_poses_that_the_photos_contradict_are_adjusted(still_life: Path, tmp_path: Path) -> None:
    """Real photos, with poses as a phone's tracking has them; what masks hide has no part in it.
    Twice the same."""
    import pycolmap

    data = json.loads((still_life / "truth/transforms.json").read_text())
    chosen = ("0000", "0001", "0002", "0020", "0021", "0022")
    frames: list[dict[str, Any]] = [f for f in data["frames"] if Path(f["file_path"]).stem in chosen]
    mask = np.full((data["h"], data["w"]), 255, np.uint8)
    mask[:, 560:] = 0
    (tmp_path / "phone").mkdir()
    assert cv2.imwrite(str(tmp_path / "phone/mask.png"), mask)
    rng = np.random.default_rng(2)
    for frame in frames:
        pose = np.array(frame["transform_matrix"])
        pose[:3, :3] @= cv2.Rodrigues(rng.normal(size=3) * 0.005)[0]  # half a degree
        pose[:3, 3] += rng.normal(size=3) * 0.01  # of 1.6 m
        frame["file_path"] = str(still_life / "photos" / Path(frame["file_path"]).name)
        frame |= {"transform_matrix": pose.tolist(), "mask_path": "mask.png"}
    (tmp_path / "phone/transforms.json").write_text(json.dumps({**data, "frames": frames, "ply_file_path": None}))
    report = import_poses(tmp_path / "phone", tmp_path / "out")
    assert report.refinement is not None and report.refinement["refused"] is None and report.problems == []
    before, after = report.refinement["agreement"]
    assert before < 0.6 and after > 0.95 and report.agreement == pytest.approx(after, abs=1e-4)
    true = read_poses(still_life / "truth/transforms.json")
    given, found = (pose_errors(read_poses(tmp_path / part / "transforms.json"), true) for part in ("phone", "out"))
    assert found.rotation_deg_max < 0.15 < given.rotation_deg_max
    assert found.position_percent_max < 0.25 < given.position_percent_max
    import_poses(tmp_path / "phone", tmp_path / "again")
    for name in ("images.bin", "points3D.bin", "cameras.bin"):
        one, two = ((tmp_path / out / "colmap/sparse/0" / name).read_bytes() for out in ("out", "again"))
        assert one == two
    model = pycolmap.Reconstruction(tmp_path / "out/colmap/sparse/0")
    seen = np.array([spot.xy for image in model.images.values() for spot in image.points2D])
    assert len(seen) > 1000 and seen[:, 0].max() < 562


def test_words_about_poses_that_the_matches_contradict() -> None:
    refinement = {"refused": None, "kept": ["a.jpg"]}
    result = {"matches": 500, "agreement": 0.7, "points": 900, "refinement": None}
    assert "right ones have 90 and more: these are noisy; --refine yes adjusts them" in _about(result, 9, "no")[0]
    assert _about(result, 9, "auto") == []
    assert _about(result | {"refinement": refinement}, 9, "auto") == [
        "few matches, or contradicting ones: poses stay as they are in a.jpg"
    ]
    refused = result | {"refinement": refinement | {"refused": "cameras would move by 40 % of their extent"}}
    assert _about(refused, 9, "auto") == []
    assert _about(refused, 9, "yes") == ["the poses stay as they are: cameras would move by 40 % of their extent"]
    assert len(_about(refused | {"agreement": 0.3}, 9, "auto")) == 2


def test_a_refinement_that_cannot_be_leaves_the_source_as_it_is(tmp_path: Path) -> None:
    """Photos without matches: also its points and observations."""
    (tmp_path / "scene").mkdir()
    truth.openmvg(tmp_path / "scene")
    report = import_poses(tmp_path / "scene", tmp_path / "out", refine="yes")
    assert report.refinement is not None and "photos have enough matches" in report.refinement["refused"]
    assert not report.triangulated and report.points == 60
    assert any("the poses stay as they are: only" in problem for problem in report.problems)
    assert torch.allclose(found_poses(read(tmp_path / "out")), true_poses())
    with pytest.raises(NerfkitError, match=r"--refine yes: .*leave --no-triangulate out"):
        import_poses(tmp_path / "scene", tmp_path / "other", refine="yes", triangulate=False)


@pytest.mark.slow
def test_of_many_photos_only_neighbours_are_matched(
    still_life: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for more than a hundred photos: each with the nearest cameras."""
    import pycolmap

    data = json.loads((still_life / "truth/transforms.json").read_text())
    frames = [
        frame for frame in data["frames"] if Path(frame["file_path"]).stem in ("0000", "0001", "0002", "0003", "0020")
    ]
    for frame in frames:
        frame["file_path"] = str(still_life / "photos" / Path(frame["file_path"]).name)
    (tmp_path / "transforms.json").write_text(json.dumps({**data, "frames": frames, "ply_file_path": None}))
    scene = read(tmp_path)
    folder, names = model.named(scene.views)
    (tmp_path / "posed").mkdir()
    model.reconstruction(scene, names).write_binary(str(tmp_path / "posed"))
    monkeypatch.setattr(triangulate, "EVERY_PAIR", 2)
    monkeypatch.setattr(triangulate, "NEAREST", 1)
    told: list[int] = []
    result = triangulate.work(
        lambda done, total: told.append(done), str(tmp_path / "posed"), str(folder), str(tmp_path / "matches.db"),
        str(tmp_path / "out"), seed=0,
    )  # fmt: skip
    assert result["points"] > 10 and result["agreement"] > 0.9 and result["meant"] is None and told
    with pycolmap.Database.open(tmp_path / "matches.db") as filled:
        pairs, _ = filled.read_two_view_geometries()
        named = {image.image_id: image.name for image in filled.read_all_images()}
    matched = {frozenset(named[number] for number in pycolmap.pair_id_to_image_pair(pair)) for pair in pairs}
    eyes = {view.path.name: view.camera.world_from_cam[0, :3, 3] for view in scene.views}
    nearest = {
        frozenset((name, min((torch.dist(eye, other), at) for at, other in eyes.items() if at != name)[1]))
        for name, eye in eyes.items()
    }
    assert matched == nearest
