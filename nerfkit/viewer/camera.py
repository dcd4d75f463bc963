"""Cameras of the browser and ours: both with OpenCV's axes, and with a vertical field of view in radians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from nerfkit.contracts import Cameras

Size = tuple[int, int]  # width, height
_LEVEL = 0.5  # sine of the roll of a camera that was held upright


def pose_of(camera: Any) -> Tensor:
    """``world_from_cam`` [4, 4] float64 of a client's camera."""
    out = np.eye(4)
    out[:3, :3] = Rotation.from_quat(np.roll(camera.wxyz, -1)).as_matrix()
    out[:3, 3] = camera.position
    return torch.from_numpy(out)


def wxyz(world_from_cam: Tensor) -> NDArray[np.float64]:
    """The rotation of a pose [4, 4] as a quaternion [4]."""
    return np.roll(Rotation.from_matrix(world_from_cam[:3, :3].double().cpu().numpy()).as_quat(), 1)


def position(world_from_cam: Tensor) -> NDArray[np.float64]:
    return world_from_cam[:3, 3].double().cpu().numpy()


def pinhole(world_from_cam: Tensor, fov: float, size: Size, aspect: float | None = None) -> Cameras:
    """A camera (C = 1) whose picture has this vertical field of view, radians.

    Args:
        aspect: width / height of the window that it fills, where that isn't the size's: a small one is rounded.
    """
    width, height = size
    focal = height / 2 / math.tan(fov / 2)
    across = focal if aspect is None else focal * width / height / aspect
    intrinsics = torch.tensor([[across, focal, width / 2, height / 2]], dtype=torch.float32)
    return Cameras(world_from_cam[None].float(), intrinsics, width, height)


def show(client: Any, world_from_cam: Tensor, fov: float, distance: float, up: NDArray[np.float64]) -> None:
    """Brings a client's camera to a pose, to turn about what lies ``distance`` ahead and :func:`turning_axis`."""
    pose = world_from_cam.double().cpu().numpy()
    eye, ahead = pose[:3, 3], pose[:3, 2]
    with client.atomic():
        client.camera.fov = fov
        client.camera.position = eye
        client.camera.up_direction = turning_axis(world_from_cam, up)
        client.camera.look_at = eye + distance * ahead


def standpoint(client: Any) -> tuple[Any, ...]:
    """All of a client's camera that :func:`bring_back` needs."""
    camera = client.camera
    return camera.fov, np.array(camera.position), np.array(camera.up_direction), np.array(camera.look_at)


def bring_back(client: Any, before: tuple[Any, ...]) -> None:
    """Brings a client's camera back to a :func:`standpoint`, with what it turned about."""
    with client.atomic():
        client.camera.fov, client.camera.position, client.camera.up_direction, client.camera.look_at = before


def turning_axis(world_from_cam: Tensor, up: NDArray[np.float64]) -> NDArray[np.float64]:
    """The axis [3] nearest to ``up`` with which the browser's camera has exactly a pose's roll.

    The browser knows no roll but that of its axis: with ``up`` itself a photo's own, often half a degree, would be
    lost, and the picture would be pixels off. It is as far from ``up`` as the pose is rolled:
    a photo that looks down and was held a little askew must not tip the world when one turns. A pose that is rolled
    far, or that looks along ``up``, has its own axis.
    """
    pose = world_from_cam.double().cpu().numpy()
    right, head = pose[:3, 0], -pose[:3, 1]
    rolled = float(up @ right)
    if abs(rolled) > _LEVEL or up @ head < 0.05:
        return head
    axis = up - rolled * right
    return axis / np.linalg.norm(axis)


def fitting_fov(camera: Cameras, aspect: float) -> float:
    """The vertical field of view, radians, with which a window of an aspect (width / height) shows a whole photo."""
    fx, fy, cx, cy = (float(value) for value in camera.intrinsics[0])
    half_height = max(cy, camera.height - cy) / fy
    half_width = max(cx, camera.width - cx) / fx
    return 2 * math.atan(max(half_height, half_width / aspect))
