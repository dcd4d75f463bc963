"""Models made wrong on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np


def bend(model: Any, degrees: float) -> None:
    """Turns each camera about the first one, the more the further away: neighbours still agree, the whole does not."""
    import pycolmap

    images = sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)
    centers = np.array([image.projection_center() for image in images])
    away = np.linalg.norm(centers - centers[0], axis=1)
    axis = np.linalg.svd(centers - centers.mean(0))[2][2]
    for image, share in zip(images, away / away.max()):
        turn = pycolmap.Rotation3d(axis * np.radians(degrees) * share)
        new_from_old = pycolmap.Rigid3d(turn, centers[0] - turn.matrix() @ centers[0])
        image.frame.set_cam_from_world(image.camera_id, image.cam_from_world() * new_from_old.inverse())


def move(image: Any, by: np.ndarray) -> None:
    """Moves one camera, in the world's frame."""
    import pycolmap

    shift = pycolmap.Rigid3d(pycolmap.Rotation3d(), by)
    image.frame.set_cam_from_world(image.camera_id, image.cam_from_world() * shift.inverse())


def reverse(model: Any) -> None:
    """Turns all depths around: camera positions are reflected in the origin, their rotations stay. All epipolar
    geometry stays as it was, and every match meets behind its cameras."""
    import pycolmap

    for image in [image for image in model.images.values() if image.has_pose]:
        pose = image.cam_from_world()
        reflected = pycolmap.Rigid3d(pose.rotation, -np.asarray(pose.translation))
        image.frame.set_cam_from_world(image.camera_id, reflected)
