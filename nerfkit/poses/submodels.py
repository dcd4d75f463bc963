"""Several models of one set of photos: put together where they share photos, else the largest is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerfkit.poses import repeatable

Model = Any  # pycolmap.Reconstruction

_SHARED = 3  # photos, that a similarity needs
_CLOSE = 0.03  # of the extent: how well the shared photos must lie on each other…
_TURN = 3.0  # degrees: and look the same way…
_MOST = 0.7  # for this share of them


def largest_first(models: Sequence[Model]) -> list[Model]:
    """By registered photos, then points."""
    return sorted(models, key=lambda model: (model.num_reg_images(), model.num_points3D()), reverse=True)


def joined(models: Sequence[Model], database: str, folder: str, scratch: Path, seed: int) -> tuple[Model, list[Model]]:
    """The largest model with all others that share three or more photos with it, and those that don't fit.

    The shared photos give the similarity; then all points are triangulated anew and everything is adjusted together.
    """
    import pycolmap

    base, *others = largest_first(models)
    left: list[Model] = []
    added = False
    waiting = others
    while waiting:
        left = [other for other in waiting if not _add(base, other)]
        if len(left) == len(waiting):
            break
        added, waiting = True, left
    if added:
        scratch.mkdir(parents=True, exist_ok=True)
        base = pycolmap.triangulate_points(
            base, database, folder, scratch, clear_points=True, refine_intrinsics=True,
            options=repeatable.pipeline(seed, base.num_images()),
        )  # fmt: skip
        pycolmap.bundle_adjustment(base, repeatable.adjustment(base.num_images()))
    return base, left


def groups(models: Sequence[Model], inside: Model) -> list[list[str]]:
    """The names of the photos of each model that are not ``inside``, the largest group first."""
    known = {image.name for image in inside.images.values() if image.has_pose}
    found = []
    for model in largest_first(models):
        names = sorted({image.name for image in model.images.values() if image.has_pose} - known)
        known |= set(names)
        if names:
            found.append(names)
    return found


def _add(base: Model, other: Model) -> bool:
    """Adds to ``base`` what only ``other`` has, if their shared photos lie on each other."""
    import pycolmap

    ours, theirs = (
        {number: image for number, image in model.images.items() if image.has_pose} for model in (base, other)
    )
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) < _SHARED:
        return False
    places = np.array([ours[number].projection_center() for number in shared])
    extent = float(np.linalg.norm(places.max(0) - places.min(0)))
    moved = pycolmap.align_reconstructions_via_proj_centers(other, base, _CLOSE * extent)
    if moved is None or _fitting(ours, theirs, shared, moved, _CLOSE * extent) < _MOST:
        return False
    for number in sorted(theirs.keys() - ours.keys()):
        image = theirs[number]
        if image.camera_id not in base.cameras:
            base.add_camera_with_trivial_rig(other.cameras[image.camera_id])
        pose = moved.transform_camera_world(image.cam_from_world())
        if number in base.images:  # known, without a pose
            base.frames[base.images[number].frame_id].rig_from_world = pose
            base.register_frame(base.images[number].frame_id)
            continue
        keypoints = np.array([point.xy for point in image.points2D])
        copy = pycolmap.Image(image.name, keypoints=keypoints, camera_id=image.camera_id, image_id=number)
        base.add_image_with_trivial_frame(copy, pose)
    return True


def _fitting(ours: dict[int, Any], theirs: dict[int, Any], shared: list[int], moved: Any, close: float) -> float:
    """The share of the shared photos whose poses are the same in both models, once the other is ``moved``."""
    fitting = 0
    for number in shared:
        pose = moved.transform_camera_world(theirs[number].cam_from_world())
        between = ours[number].cam_from_world() * pose.inverse()
        near = float(np.linalg.norm(between.translation)) < close
        fitting += near and float(np.degrees(between.rotation.angle())) < _TURN
    return fitting / len(shared)
