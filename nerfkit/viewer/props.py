"""What stands around the model in one viewer's view: the grid, the sparse points, the crop box; and which way is up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.viewer.stage import Stage, axis_of

MOST_POINTS = 200_000
_BOX_COLOR = (228, 134, 20)
_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if (_CORNERS[a] != _CORNERS[b]).sum() == 1]


class Props:
    """Nodes in the scene of one client, made when they are first shown."""

    def __init__(self, client: Any, stage: Stage) -> None:
        self._client, self._stage, self.up = client, stage, stage.up
        self._grid: Any = None
        self._points: Any = None
        self._box: Any = None

    @property
    def axis(self) -> NDArray[np.float64]:
        """The unit vector [3] that points up."""
        return axis_of(self.up)

    @property
    def has_points(self) -> bool:
        scene = self._stage.subject.scene
        return scene is not None and not scene.points_are_random and len(scene.points) > 0

    def set_up(self, up: str) -> None:
        """Turns the world: this axis points up from now on."""
        self.up = up
        self._client.scene.set_up_direction(up)
        self._client.camera.up_direction = self.axis
        if self._grid is not None:
            self._grid.wxyz = _turn_from_z(self.axis)

    def show_grid(self, visible: bool) -> None:
        if self._grid is None and visible:
            size = self._stage.size
            cell = 10.0 ** np.floor(np.log10(size)) / 5
            self._grid = self._client.scene.add_grid(
                "/grid", width=4 * size, height=4 * size, cell_size=cell, section_size=5 * cell,
                position=self._stage.center, wxyz=_turn_from_z(self.axis), infinite_grid=True, fade_distance=8 * size,
            )  # fmt: skip
        elif self._grid is not None:
            self._grid.visible = visible

    def show_points(self, visible: bool) -> None:
        if self._points is None and visible and self.has_points:
            scene = self._stage.subject.scene
            assert scene is not None
            step = -(-len(scene.points) // MOST_POINTS)
            self._points = self._client.scene.add_point_cloud(
                "/points", scene.points[::step].numpy(), scene.point_colors[::step].numpy(),
                point_size=0.0025 * self._stage.size, point_shape="circle",
            )  # fmt: skip
        elif self._points is not None:
            self._points.visible = visible

    def show_box(self, least: NDArray[np.float64], most: NDArray[np.float64], visible: bool) -> None:
        """The edges of a box: as lines, for a wireframe of triangles has diagonals, and is a pixel thin."""
        if self._box is not None:
            self._box.remove()
            self._box = None
        if visible:
            corners = least + _CORNERS * (most - least)
            self._box = self._client.scene.add_line_segments(
                "/crop", corners[_EDGES].astype(np.float32), _BOX_COLOR, thickness=2.0, thickness_units="screen"
            )


def _turn_from_z(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quaternion [4] w x y z that turns +z to an axis."""
    half = np.array([1 + axis[2], -axis[1], axis[0], 0.0])
    return half / np.linalg.norm(half) if axis[2] > -0.5 else np.array([0.0, 1.0, 0.0, 0.0])
