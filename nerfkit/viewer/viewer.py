"""The viewer: a server, what it shows, who looks, and the camera path that they lay."""

from __future__ import annotations

import threading
import time
from typing import Any, Self

from torch import Tensor

from nerfkit.viewer.camera import show
from nerfkit.viewer.desk import Desk
from nerfkit.viewer.looker import Looker
from nerfkit.viewer.panel_path import PathPanel
from nerfkit.viewer.photos import Thumbnails
from nerfkit.viewer.server import Server
from nerfkit.viewer.stage import Stage
from nerfkit.viewer.subject import Subject


class Viewer:
    """Shows a subject until closed.

    The model, the camera path and the training are everybody's; camera, channel, crop and what stands around the model
    are each viewer's own (:class:`nerfkit.viewer.looker.Looker`).

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
        self.thumbnails = None if subject.scene is None else Thumbnails(subject.scene, pause)
        self.tabs = viser.gui.add_tab_group()
        self.view_tab, self.path_tab = self.tabs.add_tab("View"), self.tabs.add_tab("Path")
        self._lookers: dict[int, Looker] = {}
        self._lock = threading.Lock()
        with self.path_tab:
            self.path = PathPanel(self)
        viser.on_client_connect(self._welcome)
        viser.on_client_disconnect(self._farewell)
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

    def close(self, farewell: float = 0.0) -> None:
        """Ends the view; ``farewell``: seconds that what was told last has to reach the pages, if there are any."""
        self.desk.close()
        self.path.close()
        if self.thumbnails is not None:
            self.thumbnails.close()
        if farewell and self.lookers():
            self.server.viser.flush()
            time.sleep(farewell)
        self.server.close()
        if self._worker.is_alive():
            self._worker.join(timeout=5)

    def lookers(self) -> list[Looker]:
        """Those who look at present."""
        with self._lock:
            return list(self._lookers.values())

    def go(self, client: Any, world_from_cam: Tensor, fov: float) -> None:
        """Brings a viewer to a pose, to turn about what is before it."""
        with self._lock:
            looker = self._lookers.get(client.client_id)
        up = self.stage.axis if looker is None else looker.props.axis
        show(client, world_from_cam, fov, self.stage.distance(world_from_cam), up)

    def tell(self, title: str, words: str, client: Any = None, bad: bool = False) -> None:
        """A note in the corner of the page, for one viewer or for all."""
        clients = [client] if client is not None else list(self.server.viser.get_clients().values())
        for one in clients:
            one.add_notification(title, words, color="red" if bad else "green", auto_close_seconds=8.0)

    def _welcome(self, client: Any) -> None:
        self.desk.join(client)
        looker = Looker(self, client)
        with self._lock:
            self._lookers[client.client_id] = looker
        if client.client_id not in self.server.viser.get_clients():  # has left meanwhile
            self._farewell(client)
            return
        self.path.welcome(looker)
        client.camera.on_update(lambda _: self._moved(looker))

    def _farewell(self, client: Any) -> None:
        self.desk.leave(client)
        with self._lock:
            looker = self._lookers.pop(client.client_id, None)
        if looker is not None:
            looker.close()

    def _moved(self, looker: Looker) -> None:
        self.desk.moved(looker.client)
        looker.moved()
