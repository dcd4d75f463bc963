"""The panel where a camera path is laid: keyframes, their times and lenses, preview, files, the render command."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.errors import NerfkitError
from nerfkit.viewer.camera import bring_back, pose_of, standpoint
from nerfkit.viewer.command import render_command
from nerfkit.viewer.keyframes import Keyframes, Shelf

if TYPE_CHECKING:
    from nerfkit.viewer.looker import Looker
    from nerfkit.viewer.viewer import Viewer

NONE = "none"
PREVIEW_FPS = 24
LINGER = 0.5  # seconds at a flight's end before it is back
LINE = 240  # points of a path's line


class PathPanel:
    def __init__(self, viewer: Viewer) -> None:
        self.viewer, self.gui = viewer, viewer.server.viser.gui
        self.keys, self.shelf = Keyframes(), Shelf(viewer.subject.paths, viewer.subject.scene)
        self._lock = threading.RLock()
        self._flight: threading.Event | None = None  # set: it is to end
        self._pilot: threading.Thread | None = None
        self._line: NDArray[np.float32] | None = None  # [N, 3] places along the path, where there is more than one
        self._build()
        self._refresh(None)

    def _build(self) -> None:
        gui = self.gui
        self.add = gui.add_button("Add keyframe", hint="From the present view, behind the chosen one")
        self.add.on_click(self._safely(self._add))
        self.chosen = gui.add_dropdown("Keyframe", (NONE,))
        self.chosen.on_update(self._safely(self._choose))
        with gui.add_folder("Keyframe") as self.folder:
            self.time = gui.add_number("Time (s)", 0.0, min=0.0, max=3600.0, step=0.1)
            self.time.on_update(self._safely(self._retime))
            self.fov = gui.add_slider("Field of view", 10, 120, 0.5, 50)
            self.fov.on_update(self._safely(self._zoom))
            self.order = gui.add_button_group("Order", ("Earlier", "Later"))
            self.order.on_click(self._safely(self._reorder))
            self.edit = gui.add_button_group("Edit", ("Go to", "Replace", "Delete"))
            self.edit.on_click(self._safely(self._edit))
        self.loop = gui.add_checkbox("Loop", False, hint="Back to the first keyframe")
        self.loop.on_update(self._safely(self._set_loop))
        self.preview = gui.add_button("Preview", hint="Fly along the path, and back to this view")
        self.preview.on_click(self._safely(self._preview))
        with gui.add_folder("File"):
            self.name = gui.add_text("Name", "path")
            self.save = gui.add_button("Save")
            self.save.on_click(self._safely(self._save))
            self.saved = gui.add_dropdown("Saved", (NONE, *self.shelf.names()))
            self.load = gui.add_button("Load")
            self.load.on_click(self._safely(self._load))

    def close(self) -> None:
        """Ends a flight, while there is a page to tell."""
        with self._lock:
            flight, pilot = self._flight, self._pilot
        if flight is not None and pilot is not None:
            flight.set()
            pilot.join(timeout=1)

    # --- what the buttons do ------------------------------------------------------------------------------

    def _add(self, event: Any) -> None:
        camera = event.client.camera
        self._refresh(self.keys.add(pose_of(camera), camera.fov, self._index()))

    def _choose(self, event: Any) -> None:
        self._refresh(self._index())

    def _retime(self, event: Any) -> None:
        self._refresh(self.keys.set_time(self._need(), self.time.value))

    def _zoom(self, event: Any) -> None:
        self.keys.set_fov(self._need(), math.radians(self.fov.value))
        self._refresh(self._index())

    def _reorder(self, event: Any) -> None:
        self._refresh(self.keys.swap(self._need(), -1 if event.target.value == "Earlier" else 1))

    def _edit(self, event: Any) -> None:
        index, client = self._need(), event.client
        if event.target.value == "Go to":
            self._go(client, index)
        elif event.target.value == "Replace":
            self.keys.set_pose(index, pose_of(client.camera), client.camera.fov)
            self._refresh(index)
        else:
            self.keys.delete(index)
            self._refresh(min(index, len(self.keys) - 1) if len(self.keys) else None)

    def _set_loop(self, event: Any) -> None:
        self.keys.loop = self.loop.value
        self._refresh(self._index())

    def _save(self, event: Any) -> None:
        file = self.shelf.save(self.name.value.strip(), self.keys.path())
        self.saved.options = (NONE, *self.shelf.names())
        self.saved.value = file.stem
        self.viewer.tell("Saved", str(file), event.client)
        self.tell_command()

    def _load(self, event: Any) -> None:
        if self.saved.value == NONE:
            raise NerfkitError("choose a saved path first")
        self.keys.take(self.shelf.load(self.saved.value))
        self.name.value = self.saved.value
        self.loop.value = self.keys.loop
        self._refresh(0)

    def _preview(self, event: Any) -> None:
        if self._flight is not None:
            self._flight.set()
            return
        path = self.keys.path()
        frames = max(2, round(max(path.seconds, 0.1) * PREVIEW_FPS))
        self._flight, self.preview.label = threading.Event(), "Stop"
        arguments = (event.client, path.sample(frames, (1280, 720)), self._flight)
        self._pilot = threading.Thread(target=self._fly, args=arguments, name="nerfkit viewer's preview", daemon=True)
        self._pilot.start()

    # --- how it is shown ----------------------------------------------------------------------------------

    def welcome(self, looker: Looker) -> None:
        """Shows the path, and the command for it, to who has just come."""
        with self._lock:
            looker.trail.draw(self.keys.keys, self._index(), self._line)
            self.tell_command(looker.client)

    def pick(self, event: Any, index: int) -> None:
        """Chooses a keyframe; for a click on its frustum."""
        self._safely(lambda _: self._refresh(index))(event)

    def tell_command(self, client: Any = None) -> None:
        """The command that renders the saved path, to one viewer or to all, to each as it sees the scene."""
        subject, saved = self.viewer.subject, str(self.saved.value)
        for looker in self.viewer.lookers():
            if client is not None and looker.client is not client:
                continue
            words = ""
            if subject.run is not None and saved != NONE:
                words = render_command(subject.run, self.shelf.file(saved), self.viewer.desk.look(looker.client))
            looker.tell_command(words)

    def _fly(self, client: Any, cameras: Any, stop: threading.Event) -> None:
        """Flies a viewer along cameras [F], and then back to where it was; stopped, it stays where it is by then."""
        start, before = time.monotonic(), standpoint(client)
        fovs = (2 * np.arctan(cameras.height / 2 / cameras.intrinsics[:, 1].numpy())).tolist()
        trails = [looker.trail for looker in self.viewer.lookers() if looker.client is client]
        for trail in trails:
            trail.show(False)  # the picture as it will be
        try:
            while not stop.is_set() and client.client_id in self.viewer.server.viser.get_clients():
                index = int((time.monotonic() - start) * PREVIEW_FPS)  # late frames are left out
                if index >= len(cameras) + PREVIEW_FPS * LINGER:
                    bring_back(client, before)
                    return
                if index < len(cameras):
                    self.viewer.go(client, cameras.world_from_cam[index], fovs[index])
                stop.wait(1 / PREVIEW_FPS)
        finally:
            self._flight, self.preview.label = None, "Preview"
            for trail in trails:
                trail.show(True)

    def _go(self, client: Any, index: int) -> None:
        key = self.keys.keys[index]
        self.viewer.go(client, key.world_from_cam, key.fov)

    def _refresh(self, index: int | None) -> None:
        """Brings the handles and the path's line in step with the keyframes."""
        labels = [f"{k + 1}: {key.time:g} s" for k, key in enumerate(self.keys.keys)]
        if tuple(labels or [NONE]) != tuple(self.chosen.options):
            self.chosen.options = tuple(labels or [NONE])
        self.chosen.value = NONE if index is None else labels[index]
        self.folder.visible = index is not None
        if index is not None:
            key = self.keys.keys[index]
            self.time.value = round(key.time, 3)
            self.fov.value = round(math.degrees(key.fov) * 2) / 2
        self._draw(index)
        self.tell_command()

    def _draw(self, chosen: int | None) -> None:
        self._line = None
        if len(self.keys) > 1:
            eyes = self.keys.path().sample(LINE, (16, 9)).world_from_cam[:, :3, 3].numpy()
            self._line = np.concatenate([eyes, eyes[:1]]) if self.keys.loop else eyes
        for looker in self.viewer.lookers():
            looker.trail.draw(self.keys.keys, chosen, self._line)

    # --- small things -------------------------------------------------------------------------------------

    def _index(self) -> int | None:
        value = str(self.chosen.value)
        return None if value == NONE else int(value.split(":")[0]) - 1

    def _need(self) -> int:
        index = self._index()
        if index is None:
            raise NerfkitError("there is no keyframe yet; add one from the present view")
        return index

    def _safely(self, act: Callable[[Any], None]) -> Callable[[Any], None]:
        """One act at a time; what goes wrong is told in the page."""

        def called(event: Any) -> None:
            if event.client is None:  # set by us, not by anybody
                return
            with self._lock:
                try:
                    act(event)
                except NerfkitError as error:
                    self.viewer.tell("Camera path", str(error), event.client, bad=True)

        return called
