"""The viewer: a server, what it shows, and its panels."""

from __future__ import annotations

import threading
from typing import Any, Self

import numpy as np

from nerfkit.data.scene import PhotoView
from nerfkit.viewer.camera import fitting_fov, show
from nerfkit.viewer.desk import Desk
from nerfkit.viewer.panel_path import PathPanel
from nerfkit.viewer.panel_view import ViewPanel
from nerfkit.viewer.photos import Photos
from nerfkit.viewer.server import Server
from nerfkit.viewer.stage import Stage
from nerfkit.viewer.subject import Subject


class Viewer:
    """Shows a subject until closed.

    Args:
        worker: whether a thread of its own draws; else whoever owns the model calls ``desk.serve``.
        longest: seconds that a single picture may take.
        pause: seconds between two photos that are decoded for their frustums.

    Raises:
        NerfkitError: viser is missing, or the server can't listen there.
    """

    def __init__(
        self, subject: Subject, host: str | None = None, port: int | None = None, *, worker: bool = True,
        longest: float = float("inf"), pause: float = 0.0,
    ) -> None:  # fmt: skip
        self.subject = subject
        self.server = Server(host, port, f"nerfkit · {subject.name}")
        viser = self.server.viser
        self.desk = Desk(subject.model, longest)
        self.stage = Stage(viser, subject)
        self.photos = None if subject.scene is None else Photos(viser, subject.scene, self.go_to_photo, pause)
        self.tabs = viser.gui.add_tab_group()
        with self.tabs.add_tab("View"):
            self.view = ViewPanel(self)
        with self.tabs.add_tab("Path"):
            self.path = PathPanel(self)
        viser.on_client_connect(self._welcome)
        viser.on_client_disconnect(self.desk.leave)
        self._worker = threading.Thread(target=self.desk.work, name="nerfkit viewer", daemon=True)
        if worker:
            self._worker.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return self.server.url

    def close(self) -> None:
        self.desk.close()
        self.path.close()
        if self.photos is not None:
            self.photos.closed = True
        self.server.close()
        if self._worker.is_alive():
            self._worker.join(timeout=5)

    def changed_look(self) -> None:
        self.path.tell_command()

    def go_to_photo(self, client: Any, view: PhotoView) -> None:
        """Brings a viewer to where a photo was taken, with all of it in the window."""
        pose = view.camera.world_from_cam[0].double()
        fov = fitting_fov(view.camera, client.camera.aspect)
        show(client, pose, fov, self.stage.distance(pose), self.stage.axis)

    def tell(self, title: str, words: str, client: Any = None, bad: bool = False) -> None:
        """A note in the corner of the page, for one viewer or for all."""
        clients = [client] if client is not None else list(self.server.viser.get_clients().values())
        for one in clients:
            one.add_notification(title, words, color="red" if bad else "green", auto_close_seconds=8.0)

    def _welcome(self, client: Any) -> None:
        self.desk.join(client)
        client.camera.on_update(lambda _: self._moved(client))
        if self.photos is not None:
            self._moved(client)
            self.photos.load()

    def _moved(self, client: Any) -> None:
        self.desk.moved(client)
        if self.photos is not None:
            clients = self.server.viser.get_clients().values()
            self.photos.clear(np.array([one.camera.position for one in clients]).reshape(-1, 3))
