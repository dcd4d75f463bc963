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

SIDE = 240  # pixels, the longer side of a photo in its frustum
MOST = 500  # photos that get a frustum; of more, evenly spread ones
SIZE = 0.07  # a frustum's depth, of the cameras' median distance from the focus

log = logging.getLogger("nerfkit")


class Thumbnails:
    """A scene's photos, small, for all viewers: decoded once somebody looks, by a thread that rests after each.

    Args:
        pause: seconds of such a rest.
    """

    def __init__(self, scene: Scene, pause: float = 0.0) -> None:
        self.scene, self._pause = scene, pause
        self.indices = range(0, len(scene.views), -(-len(scene.views) // MOST))
        self._images: dict[int, Any] = {}
        self._takers: list[Callable[[int, Any], None]] = []
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._loader: threading.Thread | None = None

    def give(self, taker: Callable[[int, Any], None]) -> None:
        """Calls ``taker`` with the index and the picture of each photo, now and as they come."""
        with self._lock:
            for index, image in self._images.items():
                taker(index, image)
            self._takers.append(taker)
            if self._loader is None:
                self._loader = threading.Thread(target=self._load, name="nerfkit viewer's photos", daemon=True)
                self._loader.start()

    def forget(self, taker: Callable[[int, Any], None]) -> None:
        with self._lock:
            if taker in self._takers:
                self._takers.remove(taker)

    def close(self) -> None:
        self._closed.set()

    def _load(self) -> None:
        for index in self.indices:
            if self._closed.wait(self._pause):
                return
            try:
                image = thumbnail(self.scene.views[index])
            except NerfkitError as error:
                log.warning("%s; its camera is shown without it, as are those that follow", error)
                return
            with self._lock:
                self._images[index] = image
                for taker in self._takers:
                    taker(index, image)


class Photos:
    """Frustums of a scene's photos in one viewer's view, those held out in another colour; shown first when wanted."""

    def __init__(self, client: Any, thumbnails: Thumbnails, go: Callable[[PhotoView], None]) -> None:
        self._client, self._thumbnails, self._go = client, thumbnails, go
        scene = thumbnails.scene
        self._held_out = set(scene.held_out)
        self._shown, self._here = (False, False), set[int]()
        self._factor = 1.0
        self._handles: dict[int, Any] = {}
        self._eyes = torch.stack([_eye(scene.views[index]) for index in thumbnails.indices]).numpy()
        self._extent = float(torch.stack([_eye(view) for view in scene.views]).norm(dim=1).median())

    def show(self, training: bool, held_out: bool) -> None:
        self._shown = training, held_out
        if any(self._shown) and not self._handles:
            for index in self._thumbnails.indices:
                self._handles[index] = self._frustum(index)
            self.clear(self._client.camera.position)
            self._update()
            self._thumbnails.give(self._take)
        else:
            self._update()

    def scale(self, factor: float) -> None:
        self._factor = factor
        for handle in self._handles.values():
            handle.scale = self._size

    def clear(self, eye: NDArray[np.float64]) -> None:
        """Hides the frustums that ``eye`` [3] is in: from there, a photo would hide all else."""
        away = np.linalg.norm(self._eyes - eye, axis=1)
        near = {self._thumbnails.indices[place] for place in np.flatnonzero(away < self._size).tolist()}
        if near != self._here:
            self._here = near
            self._update()

    def close(self) -> None:
        self._thumbnails.forget(self._take)

    @property
    def _size(self) -> float:
        return self._factor * SIZE * self._extent

    def _take(self, index: int, image: Any) -> None:
        self._handles[index].image = image

    def _update(self) -> None:
        training, held_out = self._shown
        for index, handle in self._handles.items():
            visible = (held_out if index in self._held_out else training) and index not in self._here
            if handle.visible != visible:
                handle.visible = visible

    def _frustum(self, index: int) -> Any:
        view = self._thumbnails.scene.views[index]
        camera, color = view.camera, HELD_OUT if index in self._held_out else TRAINING
        pose = camera.world_from_cam[0]
        handle = self._client.scene.add_camera_frustum(
            f"/photos/{index:05d}", 2 * float(torch.atan(camera.height / 2 / camera.intrinsics[0, 1])),
            camera.width / camera.height, scale=self._size, thickness=1.5, thickness_units="screen",
            color=tuple(round(255 * value) for value in color), format="jpeg", jpeg_quality=80, wxyz=wxyz(pose),
            position=position(pose), visible=False, cast_shadow=False, receive_shadow=False,
        )  # fmt: skip
        handle.on_click(lambda event: self._go(view))
        return handle


def thumbnail(view: PhotoView) -> Any:
    """A photo, undistorted, at most SIDE pixels wide and high: [H, W, 3] uint8.

    Raises:
        NerfkitError: the photo is gone or damaged.
    """
    shrink = min(1.0, SIDE / max(view.camera.width, view.camera.height))
    small = resize(view.camera, max(1, round(view.camera.width * shrink)), max(1, round(view.camera.height * shrink)))
    return load_photo(view.path, view.source, small, view.mask_path)[0].numpy()


def _eye(view: PhotoView) -> torch.Tensor:
    return view.camera.world_from_cam[0, :3, 3].double()
