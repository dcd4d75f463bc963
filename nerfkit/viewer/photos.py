"""The photos' cameras in the view: frustums with their photos in them; a click goes to where one was taken."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.cameras import resize
from nerfkit.data.images import load_photo
from nerfkit.data.scene import Scene
from nerfkit.data.view import PhotoView
from nerfkit.errors import NerfkitError
from nerfkit.viewer.camera import position, wxyz
from nerfkit.views.frustums import HELD_OUT, TRAINING

SIDE = 240  # pixels, the longer side of a photo in its frustum
WHOLE_SIDE = 1280  # pixels, of one that fills the window
MOST = 500  # photos that get a frustum; of more, evenly spread ones
SIZE = 0.07  # a frustum's depth, of the cameras' median distance from the focus
AT = 0.02  # of its depth: so near to its camera, a photo is seen as that saw it

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
    """Frustums of a scene's photos in one viewer's view, those held out in another colour; shown first when wanted.

    Args:
        go: brings the viewer to where a photo was taken.
        bare: there is no model, so that from there the photo itself is what there is to see.
    """

    def __init__(self, client: Any, thumbnails: Thumbnails, go: Callable[[PhotoView], None], bare: bool) -> None:
        self._client, self._thumbnails, self._go, self._bare = client, thumbnails, go, bare
        self._lock = threading.RLock()  # cameras move, and photos come, in threads of their own
        scene = thumbnails.scene
        self._held_out = set(scene.held_out)
        self._shown, self._here = (False, False), set[int]()
        self._factor = 1.0
        self._handles: dict[int, Any] = {}
        self._whole: set[int] = set()  # those whose photo fills the window, from where it was taken
        self._eyes = torch.stack([_eye(scene.views[index]) for index in thumbnails.indices]).numpy()
        self._extent = float(torch.stack([_eye(view) for view in scene.views]).norm(dim=1).median())

    def show(self, training: bool, held_out: bool) -> None:
        with self._lock:
            self._shown = training, held_out
            first = any(self._shown) and not self._handles
            if first:
                self._handles = {index: self._frustum(index) for index in self._thumbnails.indices}
                self.clear(self._client.camera.position)
            self._update()
        if first:
            self._thumbnails.give(self._take)

    def scale(self, factor: float) -> None:
        with self._lock:
            self._factor = factor
            for handle in self._handles.values():
                handle.scale = self._size
            self.clear(self._client.camera.position)

    def clear(self, eye: NDArray[np.float64]) -> None:
        """Hides the frustums that ``eye`` [3] is in: from there, a photo would hide all else, where there is more."""
        away = np.linalg.norm(self._eyes - eye, axis=1)
        with self._lock:
            inside = (away < self._size) & ~(self._bare & (away < AT * self._size))
            here = {self._thumbnails.indices[place] for place in np.flatnonzero(inside).tolist()}
            if here != self._here:
                self._here = here
                self._update()

    def close(self) -> None:
        self._thumbnails.forget(self._take)

    @property
    def _size(self) -> float:
        return self._factor * SIZE * self._extent

    def _take(self, index: int, image: Any) -> None:
        with self._lock:
            if index not in self._whole:
                self._handles[index].image = image

    def _visit(self, index: int) -> None:
        view = self._thumbnails.scene.views[index]
        self._go(view)
        if self._bare and index not in self._whole:
            with contextlib.suppress(NerfkitError):  # it is gone: the thumbnails' thread has said so
                image = thumbnail(view, WHOLE_SIDE)
                with self._lock:
                    self._whole.add(index)
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
        handle.on_click(lambda event: self._visit(index))
        return handle


def thumbnail(view: PhotoView, side: int = SIDE) -> Any:
    """A photo, undistorted, at most ``side`` pixels wide and high: [H, W, 3] uint8.

    Raises:
        NerfkitError: the photo is gone or damaged.
    """
    shrink = min(1.0, side / max(view.camera.width, view.camera.height))
    small = resize(view.camera, max(1, round(view.camera.width * shrink)), max(1, round(view.camera.height * shrink)))
    return load_photo(view.path, view.source, small, view.mask_path)[0].numpy()


def _eye(view: PhotoView) -> torch.Tensor:
    return view.camera.world_from_cam[0, :3, 3].double()
