"""What stands around the model: the axis that is up, the grid, the sparse points, the crop box, the first view."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.contracts import HasGaussians
from nerfkit.viewer.camera import position
from nerfkit.viewer.subject import Subject
from nerfkit.views.paths.framing import photo_fov

UPS = ("+z", "-z", "+y", "-y", "+x", "-x")
MOST_POINTS = 200_000
_OUTSIDE = 2.5  # times the first camera's distance
FOV = 0.87  # radians, where there is no photo to take it from


class Stage:
    """Where things are: ``center`` [3] and ``reach`` [3], half a box's sides, hold what is looked at."""

    def __init__(self, server: Any, subject: Subject) -> None:
        self._server, self.up = server, subject.up
        self.points: Any = None
        scene = subject.scene
        if scene is not None:
            self.fov = photo_fov(scene)
            eyes = torch.cat([view.camera.world_from_cam[:, :3, 3] for view in scene.views])
            self.center, size = np.zeros(3), float(eyes.norm(dim=1).median())
            self.reach = np.full(3, round(size, 2))
            self._add_points(subject, size)
            self.first = scene.views[(scene.train or [0])[0]].camera.world_from_cam[0].double()
            eye = position(self.first)
            self.look_at = eye + self.distance(self.first) * self.first[:3, 2].numpy()
            if subject.model is None:  # there are only the cameras to look at: all of them
                eye = self.look_at + _OUTSIDE * (eye - self.look_at)
        else:
            self.fov, means = FOV, _means(subject)
            low, middle, high = np.quantile(means, [0.1, 0.5, 0.9], axis=0)
            self.center, self.reach = middle, np.maximum(high - low, 1e-3)
            eye = middle + 1.5 * np.linalg.norm(self.reach) * _away(self.axis)
            self.look_at = middle
        self._grid = self._add_grid()
        self._box = server.scene.add_box(
            "/crop", color=(228, 134, 20), dimensions=(1.0, 1.0, 1.0), wireframe=True, visible=False
        )
        camera = server.initial_camera
        camera.fov, camera.position, camera.look_at = self.fov, tuple(eye), tuple(self.look_at)
        size = float(np.linalg.norm(self.reach))
        camera.near, camera.far = 1e-3 * size, 1e3 * size
        self.set_up(self.up)

    @property
    def axis(self) -> NDArray[np.float64]:
        """The unit vector [3] that points up."""
        return _axis(self.up)

    def distance(self, world_from_cam: torch.Tensor) -> float:
        """How far what a camera looks at is, at about the depth of the scene's middle."""
        pose = world_from_cam.double().numpy()
        ahead = float((self.center - pose[:3, 3]) @ pose[:3, 2])
        size = float(np.linalg.norm(self.reach))
        return ahead if ahead > 0.05 * size else 0.5 * size

    def set_up(self, up: str) -> None:
        self.up = up
        self._server.scene.set_up_direction(up)
        self._server.initial_camera.up = tuple(self.axis)
        for client in self._server.get_clients().values():
            client.camera.up_direction = self.axis
        self._grid.wxyz = _turn_from_z(self.axis)

    def show_grid(self, visible: bool) -> None:
        self._grid.visible = visible

    def show_box(self, least: NDArray[np.float64], most: NDArray[np.float64], visible: bool) -> None:
        if visible:
            self._box.position, self._box.dimensions = (least + most) / 2, tuple(most - least)
        self._box.visible = visible

    def _add_grid(self) -> Any:
        size = float(np.linalg.norm(self.reach))
        cell = 10.0 ** np.floor(np.log10(size)) / 5
        return self._server.scene.add_grid(
            "/grid", width=4 * size, height=4 * size, cell_size=cell, section_size=5 * cell, position=self.center,
            infinite_grid=True, fade_distance=8 * size, visible=False,
        )  # fmt: skip

    def _add_points(self, subject: Subject, size: float) -> None:
        scene = subject.scene
        if scene is None or scene.points_are_random or len(scene.points) == 0:
            return
        step = -(-len(scene.points) // MOST_POINTS)
        self.points = self._server.scene.add_point_cloud(
            "/points", scene.points[::step].numpy(), scene.point_colors[::step].numpy(), point_size=0.004 * size,
            point_shape="circle", visible=subject.model is None,
        )  # fmt: skip


def _means(subject: Subject) -> NDArray[np.float64]:
    if not isinstance(subject.model, HasGaussians):
        return np.array([[-1.0, -1, -1], [1, 1, 1]])
    means = subject.model.gaussians().means.double().cpu().numpy()
    return means[np.isfinite(means).all(1)]


def _axis(name: str) -> NDArray[np.float64]:
    out = np.zeros(3)
    out["xyz".index(name[1])] = 1 if name[0] == "+" else -1
    return out


def _away(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """A unit vector [3] to look from: to the side, a little above."""
    side = np.roll(axis, 1) + 0.5 * np.roll(axis, 2)
    return (side + 0.4 * axis) / np.linalg.norm(side + 0.4 * axis)


def _turn_from_z(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quaternion [4] w x y z that turns +z to an axis."""
    half = np.array([1 + axis[2], -axis[1], axis[0], 0.0])
    return half / np.linalg.norm(half) if axis[2] > -0.5 else np.array([0.0, 1.0, 0.0, 0.0])
