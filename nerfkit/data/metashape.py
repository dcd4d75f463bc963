"""Agisoft Metashape's cameras, exported as XML.

Conventions, by the Metashape manual (appendix "Camera models") and its XML: a camera's ``transform`` is
camera-to-chunk, row by row, with x to the right, y down, z forward; ``cx cy`` are offsets of the principal point from
the photo's middle in pixels; ``x' = x (1 + k1 r^2 + … + k4 r^8) + p1 (r^2 + 2 x^2) + 2 p2 x y``, so that Metashape's
p1 is OpenCV's p2; ``u = w / 2 + cx + x' (f + b1) + y' b2``; a fisheye has the same polynomial over the angle. The
chunk's (or component's) ``transform`` gives scale, rotation and place.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.contracts import Cameras
from nerfkit.data.brown import reduce_brown
from nerfkit.data.fields import Fields, begins_with
from nerfkit.data.raw import RawScene, RawView, camera, finish, photo_file
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError

FAR = 1e5  # units from the origin: geocentric coordinates, in which single precision has no centimetres
SKEW = 0.5  # pixels that b2 may shift a corner by, and be left out

log = logging.getLogger("nerfkit")


@dataclass(frozen=True)
class MetashapeReader:
    """Reads the ``.xml`` of File > Export > Export Cameras, or the folder with it. There are no points.

    Cameras that are not aligned or not enabled are left out. The world is the chunk's, in the units of its reference;
    far from its origin (geocentric coordinates) it is moved there. Photos lie beside the file or in ``images`` there;
    ``images`` names another folder; labels need no suffix.
    """

    images: Path | None = None

    def accepts(self, path: Path) -> bool:
        return _file(path) is not None

    def read(self, path: Path) -> RawScene:
        """Raises NerfkitError: invalid XML, no aligned camera, other sensors than frame and fisheye, missing photos."""
        file = _file(path)
        assert file is not None
        chunk = _chunk(file)
        sensors = {sensor.get("id"): sensor for sensor in chunk.iter("sensor")}
        worlds = {component.get("id"): _world(file, component) for component in chunk.iter("component")}
        folders = [self.images] if self.images else [file.parent / sub for sub in (".", "images", "photos")]
        views = []
        for item in chunk.iter("camera"):
            matrix = item.find("transform")
            if matrix is None or item.get("enabled", "1") in ("0", "false"):
                continue
            label = item.get("label") or ""
            values = _numbers(file, f"the transform of camera {label}", matrix.text, 16).reshape(4, 4)
            sensor = sensors.get(item.get("sensor_id"))
            if sensor is None or not label:
                raise NerfkitError(
                    f"{file}: camera {label or item.get('id')} lacks its sensor or label; export it again"
                )
            world = worlds.get(item.get("component_id")) or _world(file, chunk)
            pose = world.poses(torch.from_numpy(values)[None])[0].numpy()
            views.append(RawView(photo_file(label, folders), _camera(file, sensor, pose)))
        if not views:
            raise NerfkitError(f"{file}: none of its cameras is aligned; align the photos and export the cameras again")
        return finish(RawScene(file, views))


def _file(path: Path) -> Path | None:
    candidates = [path] if path.is_file() else sorted(path.glob("*.xml"))
    return next((file for file in candidates if file.suffix.lower() == ".xml" and begins_with(file, "<document")), None)


def _chunk(file: Path) -> ElementTree.Element:
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise NerfkitError(f"{file}: not valid XML ({error}); it may be truncated: export the cameras again") from None
    chunk = root.find("chunk")
    if chunk is None:
        raise NerfkitError(f"{file}: not Metashape's cameras (it has no chunk); use File > Export > Export Cameras")
    return chunk


def _numbers(file: Path, what: str, text: str | None, count: int) -> NDArray[np.float64]:
    try:
        values = np.array((text or "").split(), dtype=np.float64)
    except ValueError:
        values = np.zeros(0)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise NerfkitError(f"{file}: {what} must be {count} finite numbers; export the cameras again")
    return values


def _world(file: Path, owner: ElementTree.Element) -> Similarity:
    """``world_from_chunk``, of a component's or the chunk's ``transform``."""
    transform = owner.find("transform")
    parts = {
        name: None if transform is None else transform.findtext(name) for name in ("rotation", "translation", "scale")
    }
    rotation = np.eye(3)
    if parts["rotation"]:
        rotation = _numbers(file, "the chunk's rotation", parts["rotation"], 9).reshape(3, 3)
    scale = float(_numbers(file, "the chunk's scale", parts["scale"], 1)[0]) if parts["scale"] else 1.0
    place = _numbers(file, "the chunk's translation", parts["translation"], 3) if parts["translation"] else np.zeros(3)
    if not scale > 0 or np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3:
        raise NerfkitError(f"{file}: the chunk's transform is not a similarity; export the cameras again")
    if np.abs(place).max() > FAR:
        log.warning("%s: the chunk lies %.0f km from its origin and is moved there", file, np.linalg.norm(place) / 1000)
        place = np.zeros(3)
    return Similarity(scale, torch.from_numpy(rotation), torch.from_numpy(place))


def _camera(file: Path, sensor: ElementTree.Element, pose: NDArray[np.float64]) -> Cameras:
    where = f"sensor {sensor.get('id')}"
    kind = sensor.get("type", "frame")
    if kind not in ("frame", "fisheye"):
        raise NerfkitError(f"{file}: {where} is {kind}; only frame and fisheye sensors are read")
    calibrations = sensor.findall("calibration")
    if not calibrations:
        raise NerfkitError(f"{file}: {where} has no calibration; align the photos and export the cameras again")
    calibration = next((one for one in calibrations if one.get("class") == "adjusted"), calibrations[-1])
    values = Fields(file, {child.tag: child.text for child in calibration}, f"the calibration of {where}")
    resolution = calibration.find("resolution")
    resolution = sensor.find("resolution") if resolution is None else resolution
    size = Fields(file, {} if resolution is None else resolution.attrib, f"the resolution of {where}")
    width, height = size.count("width"), size.count("height")
    f = values.number("f")
    k1, k2, k3, k4, p1, p2, b1, b2 = (
        values.number(key, 0.0) for key in ("k1", "k2", "k3", "k4", "p1", "p2", "b1", "b2")
    )
    if abs(b2) * height / 2 > SKEW * f:
        raise NerfkitError(f"{file}: {where} has skew (b2 {b2:g}), which is not supported; calibrate without b2")
    intrinsics = [f + b1, f, width / 2 + values.number("cx", 0.0), height / 2 + values.number("cy", 0.0)]
    if kind == "fisheye":
        if p1 or p2:
            raise NerfkitError(f"{file}: {where} is a fisheye with p1, p2, which is not supported; calibrate without")
        return camera(pose, intrinsics, width, height, torch.tensor([k1, k2, k3, k4], dtype=torch.float64), "fisheye")
    intrinsics, distortion = reduce_brown(str(file), intrinsics, width, height, k1, k2, k3, k4, p1=p2, p2=p1)
    return camera(pose, intrinsics, width, height, distortion, "opencv")
