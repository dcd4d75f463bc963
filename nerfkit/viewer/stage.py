"""Where what is shown lies, how large it is, and from where it is seen first."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.contracts import HasGaussians
from nerfkit.splats.vantage import vantage
from nerfkit.viewer.camera import position, turning_axis
from nerfkit.viewer.subject import Subject
from nerfkit.views.paths.framing import photo_fov

UPS = ("+z", "-z", "+y", "-y", "+x", "-x")
_BACKGROUND = 1.0  # where viser hangs a picture behind everything
_OUTSIDE = 2.5  # times the first camera's distance
FOV = 0.87  # radians, where there is no photo to take it from


class Stage:
    """Where things are: ``center`` [3] and ``reach`` [3], half a box's sides, hold what is looked at."""

    def __init__(self, server: Any, subject: Subject) -> None:
        self.subject, self.up = subject, subject.up
        scene = subject.scene
        if scene is not None:
            self.fov = photo_fov(scene)
            eyes = torch.cat([view.camera.world_from_cam[:, :3, 3] for view in scene.views])
            self.center, size = np.zeros(3), float(eyes.norm(dim=1).median())
            self.reach = np.full(3, round(size, 2) or size)
            first = scene.views[(scene.train or [0])[0]].camera.world_from_cam[0].double()
            axis, eye = turning_axis(first, axis_of(self.up)), position(first)
            look_at = eye + self.distance(first) * first[:3, 2].numpy()
            if subject.model is None:  # there are only the cameras to look at: all of them
                eye = look_at + _OUTSIDE * (eye - look_at)
        else:
            self.fov, means = FOV, _means(subject)
            low, middle, high = np.quantile(means, [0.1, 0.5, 0.9], axis=0)
            self.center, self.reach = middle, np.maximum(high - low, 1e-3)
            axis = axis_of(self.up)
            seen_from, distance = vantage(torch.from_numpy(means), self.fov / 2)
            look_at = seen_from.numpy()
            eye = look_at + distance * _away(axis)
        server.scene.set_up_direction(self.up)
        camera = server.initial_camera
        camera.fov, camera.position, camera.look_at, camera.up = self.fov, tuple(eye), tuple(look_at), tuple(axis)
        # viser hangs its background at distance 1.
        camera.near, camera.far = min(1e-3 * self.size, _BACKGROUND / 2), max(1e3 * self.size, 2 * _BACKGROUND)

    @property
    def size(self) -> float:
        """The length of ``reach``."""
        return float(np.linalg.norm(self.reach))

    @property
    def axis(self) -> NDArray[np.float64]:
        """The unit vector [3] that points up at first."""
        return axis_of(self.up)

    def distance(self, world_from_cam: torch.Tensor) -> float:
        """How far what a camera looks at is, at about the depth of the scene's middle."""
        pose = world_from_cam.double().numpy()
        ahead = float((self.center - pose[:3, 3]) @ pose[:3, 2])
        return ahead if ahead > 0.05 * self.size else 0.5 * self.size


def _means(subject: Subject) -> NDArray[np.float64]:
    if not isinstance(subject.model, HasGaussians):
        return np.array([[-1.0, -1, -1], [1, 1, 1]])
    means = subject.model.gaussians().means.double().cpu().numpy()
    return means[np.isfinite(means).all(1)]


def axis_of(name: str) -> NDArray[np.float64]:
    """The unit vector [3] of an axis of ``UPS``."""
    out = np.zeros(3)
    out["xyz".index(name[1])] = 1 if name[0] == "+" else -1
    return out


def _away(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """A unit vector [3] to look from: to the side, a little above."""
    side = np.roll(axis, 1) + 0.5 * np.roll(axis, 2)
    return (side + 0.4 * axis) / np.linalg.norm(side + 0.4 * axis)
