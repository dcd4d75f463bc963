"""The camera path that is being laid, as one viewer sees it: the keyframes' frustums and the line between them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.viewer.camera import position, wxyz
from nerfkit.viewer.stage import Stage
from nerfkit.views.paths import Keyframe

SIZE = 0.05  # a frustum's, of the stage's
COLOR, CHOSEN = (120, 200, 60), (255, 90, 160)


class Trail:
    """Nodes in the scene of one client; each viewer has its own, as each stands somewhere else.

    Args:
        pick: called with a click's event and the index of the keyframe.
    """

    def __init__(self, client: Any, stage: Stage, pick: Callable[[Any, int], None]) -> None:
        self._client, self._size, self._pick = client, SIZE * stage.size, pick
        self._root = client.scene.add_frame("/path", show_axes=False)
        self._lock = threading.RLock()  # paths are laid and cameras move in threads of their own
        self._frustums: list[Any] = []
        self._eyes = np.zeros((0, 3))
        self._line: Any = None

    def draw(self, keys: Sequence[Keyframe], chosen: int | None, line: NDArray[np.float32] | None) -> None:
        """Shows these keyframes in place of those before, and a line of places [N, 3], scene frame."""
        scene = self._client.scene
        with self._lock, self._client.atomic():
            for node in [*self._frustums, *([] if self._line is None else [self._line])]:
                node.remove()
            self._frustums = [self._frustum(index, key, index == chosen) for index, key in enumerate(keys)]
            self._eyes = np.array([position(key.world_from_cam) for key in keys]).reshape(-1, 3)
            self._line = None
            if line is not None:
                pairs = np.stack([line[:-1], line[1:]], 1)
                self._line = scene.add_line_segments(
                    "/path/line", pairs, COLOR, thickness=2.0, thickness_units="screen"
                )
            self.clear(self._client.camera.position)

    def show(self, visible: bool) -> None:
        self._root.visible = visible

    def clear(self, eye: NDArray[np.float64]) -> None:
        """Hides the frustums that ``eye`` [3] is in."""
        with self._lock:
            away = np.linalg.norm(self._eyes - eye, axis=1)
            for node, visible in zip(self._frustums, (away >= self._size).tolist(), strict=True):
                if node.visible != visible:
                    node.visible = visible

    def _frustum(self, index: int, key: Keyframe, chosen: bool) -> Any:
        node = self._client.scene.add_camera_frustum(
            f"/path/{index:03d}", key.fov, 16 / 9, scale=self._size, thickness=2.0, thickness_units="screen",
            color=CHOSEN if chosen else COLOR, wxyz=wxyz(key.world_from_cam), position=position(key.world_from_cam),
            cast_shadow=False, receive_shadow=False,
        )  # fmt: skip
        node.on_click(lambda event: self._pick(event, index))
        return node
