"""OpenMVG's ``sfm_data.json``: views, intrinsics, poses, and points with their observations.

Conventions, by OpenMVG's documentation ("SfM_Data container") and its sources (``Pose3``, ``Camera_Pinhole*.hpp``,
``UndistortImage``): ``x_cam = rotation (x_world - center)`` with x to the right, y down, z forward; pixels count from
the centre of the first one, so that half a pixel is added; ``disto_k1`` and ``disto_k3`` are radial in the normalised
plane, ``disto_t2`` holds k1 k2 k3 t1 t2 with OpenCV's t1 = p1 and t2 = p2, ``fisheye`` OpenCV's k1 k2 k3 k4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.contracts import Cameras
from nerfkit.data.brown import reduce_brown
from nerfkit.data.fields import Fields, begins_with, load_object
from nerfkit.data.raw import RawScene, RawView, Seen, camera, finish, photo_file
from nerfkit.errors import NerfkitError

FILE = "sfm_data.json"
CENTER = 0.5  # where OpenMVG's pixel (0, 0) lies in ours


@dataclass(frozen=True)
class OpenMvgReader:
    """Reads ``sfm_data.json``, alone or in its folder; views without a pose are left out.

    Photos lie at the file's ``root_path`` or, when that is of another machine, beside the file, in ``images`` there
    or above it; ``images`` names another folder. Points have no colours. ``sfm_data.bin`` must be converted first
    (``openMVG_main_ConvertSfM_DataFormat``).
    """

    images: Path | None = None

    def accepts(self, path: Path) -> bool:
        if path.is_file():
            return path.suffix == ".json" and begins_with(path, '"sfm_data_version"')
        return (path / FILE).is_file() and not (path / "transforms.json").is_file()

    def read(self, path: Path) -> RawScene:
        """Raises NerfkitError: invalid JSON, no poses, missing values, unsupported cameras, missing photos."""
        file = path if path.is_file() else path / FILE
        data = load_object(file, "sfm_data.json")
        if not isinstance(data, dict):
            raise NerfkitError(f"{file}: not an sfm_data.json (its top level must be an object); export it again")
        top = Fields(file, data)
        intrinsics = {_key(item, "key"): item for item in top.items("intrinsics")}
        poses = {_key(item, "key"): _pose(item) for item in top.items("extrinsics")}
        views = {}
        for item in top.items("views"):
            view = _data(item)
            if _key(view, "id_pose") in poses and _key(view, "id_intrinsic") in intrinsics:
                views[_key(item, "key")] = self._view(file, data, view, intrinsics, poses)
        if not views:
            raise NerfkitError(f"{file}: none of its views has a pose and intrinsics; give the file that SfM wrote")
        points = _structure(top, views) if top.has("structure") else np.zeros((0, 3))
        return finish(RawScene(file, list(views.values()), points, np.full(points.shape, 128, np.uint8)))

    def _view(
        self, file: Path, data: Mapping[str, Any], view: Fields, intrinsics: Mapping[int, Fields],
        poses: Mapping[int, NDArray[np.float64]],
    ) -> RawView:  # fmt: skip
        root = data.get("root_path")
        folders = [self.images] if self.images else [
            *([Path(root)] if isinstance(root, str) and root else []),
            *(base / name for base in (file.parent, file.parent.parent) for name in ("images", "photos", ".")),
        ]  # fmt: skip
        local = view.values.get("local_path")
        name = f"{local}/{view.text('filename')}" if local else view.text("filename")
        described = _camera(_data(intrinsics[view.values["id_intrinsic"]]), poses[view.values["id_pose"]])
        return RawView(photo_file(name, folders), described)


def _key(item: Fields, name: str) -> int:
    """The number of a view, an intrinsic or a pose; OpenMVG's "undefined" is one that nothing has."""
    return int(item.number(name))


def _data(item: Fields) -> Fields:
    """The values of a polymorphic object of the cereal library, whose base classes may be nested as ``value0``."""
    values = item.fields("value", item.where).fields("ptr_wrapper", item.where).fields("data", item.where).values
    return Fields(item.file, _flat(values), item.where)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    base = values.get("value0")
    return {**(_flat(base) if isinstance(base, dict) else {}), **values}


def _pose(item: Fields) -> NDArray[np.float64]:
    """``world_from_cam`` [4, 4]."""
    value = item.fields("value", item.where)
    pose = np.eye(4)
    pose[:3, :3] = value.numbers("rotation", (3, 3)).T
    pose[:3, 3] = value.numbers("center", (3,))
    return pose


def _camera(values: Fields, pose: NDArray[np.float64]) -> Cameras:
    width, height = values.count("width"), values.count("height")
    if not values.has("focal_length"):
        raise NerfkitError(f"{values.file}: {values.where} is not a pinhole or fisheye camera, which alone are read")
    focal = values.number("focal_length")
    cx, cy = (values.numbers("principal_point", (2,)) + CENTER).tolist()
    intrinsics = [focal, focal, cx, cy]
    if values.has("fisheye"):
        k = torch.from_numpy(values.numbers("fisheye", (4,)))
        return camera(pose, intrinsics, width, height, k, "fisheye")
    k1 = k2 = k3 = p1 = p2 = 0.0
    if values.has("disto_k1"):
        (k1,) = values.numbers("disto_k1", (1,)).tolist()
    elif values.has("disto_k3"):
        k1, k2, k3 = values.numbers("disto_k3", (3,)).tolist()
    elif values.has("disto_t2"):
        k1, k2, k3, p1, p2 = values.numbers("disto_t2", (5,)).tolist()
    intrinsics, distortion = reduce_brown(str(values.file), intrinsics, width, height, k1, k2, k3, 0.0, p1, p2)
    return camera(pose, intrinsics, width, height, distortion, "opencv")


def _structure(top: Fields, views: Mapping[int, RawView]) -> NDArray[np.float64]:
    """The points [P, 3]; puts their observations into the views."""
    points, seen = [], {key: ([], []) for key in views}  # type: ignore[var-annotated]
    for index, item in enumerate(top.items("structure")):
        value = item.fields("value", item.where)
        points.append(value.numbers("X", (3,)))
        for observation in value.items("observations"):
            key = _key(observation, "key")
            if key in seen:
                seen[key][0].append(index)
                seen[key][1].append(observation.fields("value", item.where).numbers("x", (2,)) + CENTER)
    for key, (indices, pixels) in seen.items():
        views[key].seen = Seen(np.array(indices, np.int64), np.array(pixels).reshape(-1, 2))
    return np.array(points).reshape(-1, 3)
