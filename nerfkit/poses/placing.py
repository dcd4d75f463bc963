"""Where the images of a COLMAP model are: read and set as world_from_cam, by image number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Model = Any  # pycolmap.Reconstruction
Array = NDArray[np.float64]


def poses(model: Model) -> dict[int, Array]:
    """world_from_cam [4, 4] of all images, by number."""
    found = {}
    for number in sorted(model.images):
        pose = np.eye(4)
        pose[:3] = model.image(number).cam_from_world().inverse().matrix()
        found[number] = pose
    return found


def set_pose(model: Model, number: int, world_from_cam: Array) -> None:
    """Places an image, the only one of its frame."""
    import pycolmap

    pose = np.linalg.inv(world_from_cam)
    rotation = pycolmap.Rotation3d(pose[:3, :3])
    model.frame(model.image(number).frame_id).rig_from_world = pycolmap.Rigid3d(rotation, pose[:3, 3])


def extent(known: dict[int, Array]) -> float:
    """The diagonal of the bounding box of camera positions."""
    places = np.stack([pose[:3, 3] for pose in known.values()])
    return float(np.linalg.norm(places.max(0) - places.min(0)))
