"""Cameras, points and photos of a scene, written for other programs. All in the world frame of the scene's source."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.data.normalize import focus
from nerfkit.data.raw import RawScene, RawView
from nerfkit.data.split import split
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic, link
from nerfkit.poses import model, output
from nerfkit.poses.export_photos import shared_camera, write_flat
from nerfkit.progress import ProgressSink, quiet

AABB_SCALE = 16  # of instant-ngp's unit cube
DISTANCE = 1.3  # of the cameras from the middle of that cube, as instant-ngp's own colmap2nerf.py chooses it
NEAREST, FARTHEST = 0.1, 99.9  # percentiles of the depths, as LLFF's own imgs2poses.py takes them
FEWEST_DEPTHS = 5
_OPENGL = np.array([1.0, -1.0, -1.0, 1.0])

Writer = Callable[[RawScene, Path, bool, ProgressSink], None]


def export(scene: RawScene, out: Path, kind: str, *, rigs: bool = True, progress: ProgressSink = quiet) -> list[Path]:
    """Writes a scene into the new folder ``out``, with its photos (linked where that is possible), and gives its files.

    Args:
        kind: one of :data:`FORMATS`.
        rigs: False leaves COLMAP's rigs and frames out, which versions before 3.12 don't know.

    Raises:
        NerfkitError: the format has no such cameras or needs points; ``out`` exists; no space left.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise NerfkitError(f"{out}: exists; choose another --out, a new or empty folder")
    with atomic(out) as partial:
        partial.mkdir(parents=True)
        FORMATS[kind](scene, partial, rigs, progress)
        files = sorted(file.relative_to(partial) for file in partial.rglob("*") if file.is_file())
    return [out / file for file in files]


def _photos(scene: RawScene, folder: Path, progress: ProgressSink) -> dict[str, RawView]:
    """Links or copies all photos into ``folder``; gives their names there."""
    _, names = model.named(scene.views)
    for done, (name, view) in enumerate(names.items(), 1):
        model.place(view, folder / name)
        progress("photos", done, len(names))
    return names


def _colmap(scene: RawScene, out: Path, rigs: bool, progress: ProgressSink, text: bool = False) -> None:
    """``images/`` and ``sparse/0``, the layout of COLMAP, 3DGS and gsplat."""
    made = model.reconstruction(scene, _photos(scene, out / "images", progress))
    folder = out / "sparse" / "0"
    folder.mkdir(parents=True)
    (made.write_text if text else made.write_binary)(str(folder))
    for name in () if rigs else ("rigs", "frames"):
        (folder / f"{name}.{'txt' if text else 'bin'}").unlink(missing_ok=True)


def _colmap_text(scene: RawScene, out: Path, rigs: bool, progress: ProgressSink) -> None:
    _colmap(scene, out, rigs, progress, text=True)


def _transforms(scene: RawScene, out: Path, progress: ProgressSink) -> dict[str, Any]:
    """``images/``, ``masks/`` and ``sparse_pc.ply``, and what ``transforms.json`` says of them."""
    if len({view.camera.model == "fisheye" for view in scene.views}) > 1:
        raise NerfkitError(f"{scene.source}: fisheye and other photos together; transforms.json has one camera model")
    names = _photos(scene, out / "images", progress)
    made = model.reconstruction(scene, names)
    data = output.transforms(made, out / "images", out)
    for frame in data["frames"]:
        view = names[frame["file_path"].removeprefix("images/")]
        if view.mask_path is not None:
            mask = Path("masks") / f"{view.name}{view.mask_path.suffix}"
            link(view.mask_path, out / mask)
            frame["mask_path"] = mask.as_posix()
    if len(scene.points):
        output.write_points(out / output.POINTS_FILE, made)
    else:
        del data["ply_file_path"]
    return data


def _nerfstudio(scene: RawScene, out: Path, rigs: bool, progress: ProgressSink) -> None:
    (out / "transforms.json").write_text(json.dumps(_transforms(scene, out, progress), indent=1) + "\n")


def _instant_ngp(scene: RawScene, out: Path, rigs: bool, progress: ProgressSink) -> None:
    """As for nerfstudio, and where the scene lies in instant-ngp's unit cube: ``x * scale + offset``."""
    data = _transforms(scene, out, progress)
    poses = torch.cat([view.camera.world_from_cam for view in scene.views])
    center = focus(poses, torch.from_numpy(scene.points) if len(scene.points) else None)
    distance = float(torch.linalg.norm(poses[:, :3, 3] - center, dim=1).mean())
    scale = DISTANCE / distance if distance > 0 else 1.0
    fisheye = data.pop("camera_model") == "OPENCV_FISHEYE"
    data = {"aabb_scale": AABB_SCALE, "scale": scale, "offset": (0.5 - scale * center).tolist()} | data
    (out / "transforms.json").write_text(json.dumps({"is_fisheye": fisheye} | data, indent=1) + "\n")


def _blender(scene: RawScene, out: Path, rigs: bool, progress: ProgressSink) -> None:
    """Undistorted PNGs in ``train/`` and ``test/`` with one angle of view; the validation views are the test views."""
    shared = shared_camera(scene)
    parts = {"train": [], "test": []}  # type: ignore[var-annotated]
    held_out = _held_out(scene)
    for done, view in enumerate(scene.views, 1):
        part = "test" if view.path in held_out else "train"
        write_flat(view, shared, out / part / f"{view.name}.png")
        pose = view.camera.world_from_cam[0].numpy() * _OPENGL
        parts[part].append({"file_path": f"./{part}/{view.name}", "transform_matrix": pose.tolist()})
        progress("photos", done, len(scene.views))
    for name, part in (("train", "train"), ("test", "test"), ("val", "test")):
        data = {"camera_angle_x": shared.angle_x, "frames": parts[part]}
        (out / f"transforms_{name}.json").write_text(json.dumps(data, indent=1) + "\n")


def _held_out(scene: RawScene) -> set[Path]:
    if scene.held_out:
        return set(scene.held_out)
    _, indices = split(len(scene.views), 8)
    return {scene.views[index].path for index in indices}


def _llff(scene: RawScene, out: Path, rigs: bool, progress: ProgressSink) -> None:
    """Undistorted photos in ``images/`` and ``poses_bounds.npy``, whose rows follow the photos' names."""
    shared = shared_camera(scene)
    bounds = {view.name: _bounds(scene, view) for view in scene.views}
    rows: dict[str, NDArray[np.float64]] = {}
    for done, view in enumerate(scene.views, 1):
        jpeg = view.path.suffix.lower() in (".jpg", ".jpeg") and view.mask_path is None
        name = f"{view.name}{'.jpg' if jpeg else '.png'}"
        write_flat(view, shared, out / "images" / name)
        right, down, forward, place = view.camera.world_from_cam[0, :3].numpy().T
        matrix = np.stack([down, right, -forward, place, [shared.height, shared.width, shared.focal]], 1)
        rows[name] = np.concatenate([matrix.ravel(), bounds[view.name]])
        progress("photos", done, len(scene.views))
    np.save(out / "poses_bounds.npy", np.array([rows[name] for name in sorted(rows)]))


def _bounds(scene: RawScene, view: RawView) -> tuple[float, float]:
    """Nearest and farthest depth of the points that a photo shows, by its observations or by what lies within it."""
    from nerfkit.cameras import project

    points = scene.points if view.seen is None else scene.points[np.unique(view.seen.points)]
    pixels, depth = project(view.camera, torch.from_numpy(points).reshape(-1, 3))
    size = torch.tensor([view.camera.width, view.camera.height], dtype=torch.float64)
    shown = (depth[0] > 0) & (pixels[0] >= 0).all(-1) & (pixels[0] <= size).all(-1)
    depths = depth[0][shown].numpy()
    if len(depths) >= FEWEST_DEPTHS:
        near, far = np.percentile(depths, [NEAREST, FARTHEST])
        return float(near), float(far)
    if view.bounds is not None:
        return view.bounds
    raise NerfkitError(
        f"{scene.source}: {view.path.name} shows {len(depths)} points, too few for LLFF's depth bounds; "
        "run `nerfkit poses --import` on it first, which finds points"
    )


FORMATS: Mapping[str, Writer] = {
    "colmap": _colmap,
    "colmap-text": _colmap_text,
    "nerfstudio": _nerfstudio,
    "instant-ngp": _instant_ngp,
    "blender": _blender,
    "llff": _llff,
}
