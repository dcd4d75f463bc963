"""The photos' cameras in the view: frustums with their photos in them; a click goes to where one was taken."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.cameras import resize
from nerfkit.data.images import load_photo
from nerfkit.data.scene import PhotoView, Scene
from nerfkit.errors import NerfkitError
from nerfkit.viewer.camera import position, wxyz
from nerfkit.views.frustums import HELD_OUT, TRAINING

SIDE = 160  # pixels, the longer side of a photo in its frustum
MOST = 500  # photos that get a frustum; of more, evenly spread ones
SIZE = 0.08  # a frustum's depth, of the cameras' median distance from the focus

log = logging.getLogger("nerfkit")


class Photos:
    """Frustums of a scene's photos, those held out in another colour.

    Photos are decoded once somebody looks, by a thread that waits ``pause`` seconds after each.
    """

    def __init__(self, server: Any, scene: Scene, go: Callable[[Any, PhotoView], None], pause: float = 0.0) -> None:
        self.scene, self.pause = scene, pause
        self.closed = False
        self._handles: dict[int, Any] = {}
        self._shown, self._here = (True, True), set[int]()
        self._factor = 1.0
        self._loader: threading.Thread | None = None
        self.extent = float(torch.stack([_eye(view) for view in scene.views]).norm(dim=1).median())
        self._held_out, step = set(scene.held_out), -(-len(scene.views) // MOST)
        for index in range(0, len(scene.views), step):
            view = scene.views[index]
            color = HELD_OUT if index in self._held_out else TRAINING
            handle = _frustum(server, f"/photos/{index:05d}", view, color, SIZE * self.extent)
            handle.on_click(lambda event, view=view: go(event.client, view))
            self._handles[index] = handle
        self._eyes = torch.stack([_eye(scene.views[index]) for index in self._handles]).numpy()

    def show(self, training: bool, held_out: bool) -> None:
        self._shown = training, held_out
        self._update()

    def scale(self, factor: float) -> None:
        self._factor = factor
        for handle in self._handles.values():
            handle.scale = factor * SIZE * self.extent

    def clear(self, eyes: NDArray[np.float64]) -> None:
        """Hides the frustums that ``eyes`` [E, 3] are in: from there, a photo would hide all else."""
        away = np.linalg.norm(self._eyes[:, None] - eyes, axis=2).min(1, initial=np.inf)
        near = np.flatnonzero(away < self._factor * SIZE * self.extent).tolist()
        if set(near) != self._here:
            self._here = set(near)
            self._update()

    def _update(self) -> None:
        training, held_out = self._shown
        for place, (index, handle) in enumerate(self._handles.items()):
            handle.visible = (held_out if index in self._held_out else training) and place not in self._here

    def load(self) -> None:
        """Begins to decode the photos, unless it has."""
        if self._loader is None:
            self._loader = threading.Thread(target=self._load, name="nerfkit viewer's photos", daemon=True)
            self._loader.start()

    def _load(self) -> None:
        sleeper = threading.Event()
        for index, handle in self._handles.items():
            if self.closed:
                return
            try:
                handle.image = thumbnail(self.scene.views[index])
            except NerfkitError as error:
                log.warning("%s; its camera is shown without it, as are those that follow", error)
                return
            sleeper.wait(self.pause)


def thumbnail(view: PhotoView) -> Any:
    """A photo, undistorted, at most SIDE pixels wide and high: [H, W, 3] uint8.

    Raises:
        NerfkitError: the photo is gone or damaged.
    """
    shrink = min(1.0, SIDE / max(view.camera.width, view.camera.height))
    small = resize(view.camera, max(1, round(view.camera.width * shrink)), max(1, round(view.camera.height * shrink)))
    return load_photo(view.path, view.source, small, view.mask_path)[0].numpy()


def _frustum(server: Any, name: str, view: PhotoView, color: tuple[float, float, float], size: float) -> Any:
    camera = view.camera
    fov = 2 * float(torch.atan(camera.height / 2 / camera.intrinsics[0, 1]))
    pose = camera.world_from_cam[0]
    return server.scene.add_camera_frustum(
        name, fov, camera.width / camera.height, scale=size, thickness=1.5, thickness_units="screen",
        color=tuple(round(255 * value) for value in color), format="jpeg", jpeg_quality=80,
        wxyz=wxyz(pose), position=position(pose), cast_shadow=False, receive_shadow=False,
    )  # fmt: skip


def _eye(view: PhotoView) -> torch.Tensor:
    return view.camera.world_from_cam[0, :3, 3].double()
