"""A view of a run while it trains: an observer of the trainer, and a monitor of its numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch

from nerfkit.contracts import SceneModel
from nerfkit.data.scene import Scene
from nerfkit.train.monitor import Status
from nerfkit.train.observer import Wish
from nerfkit.train.run import Run
from nerfkit.viewer.panel_train import TrainPanel
from nerfkit.viewer.score import Score
from nerfkit.viewer.subject import Subject
from nerfkit.viewer.viewer import Viewer

REFRESH = 3.0  # seconds between two states of the model that are shown
SHARE, SHARE_MOVING = 0.1, 0.4  # of the time that drawing may take: while all rests, while a camera moves
LONGEST = 0.5  # seconds that a picture may take while the run goes on
FAREWELL = 0.5  # seconds for the last words on their way to the page
PHOTO_PAUSE = 0.1  # seconds between two photos that are decoded for their frustums


@dataclass
class Allowance:
    """Keeps what is done aside within a share of the time."""

    next_at: float = 0.0

    def spend(self, seconds: float, share: float) -> None:
        self.next_at = time.monotonic() + seconds * (1 / share - 1)

    @property
    def allows(self) -> bool:
        return time.monotonic() >= self.next_at


class LiveViewer:
    """:class:`nerfkit.train.observer.TrainObserver` and :class:`nerfkit.train.monitor.TrainMonitor`.

    Without a browser that looks, it costs the run nothing but a question a step.

    Args:
        host, port: :class:`nerfkit.viewer.server.Server`.
        opened: called with the viewer once it is there.
    """

    def __init__(
        self, host: str | None = None, port: int | None = None, opened: Callable[[Viewer], None] = lambda viewer: None
    ) -> None:
        self._address, self._opened = (host, port), opened
        self._viewer: Viewer | None = None
        self._panel: TrainPanel | None = None
        self._score: Score | None = None
        self._allowance = Allowance()
        self._refresh_at = 0.0
        self._unseen = True  # the model has learnt since it was last shown

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._panel is not None and self._viewer is not None:
            self._panel.end(f"The training has ended. Look again with: `nerfkit view {self._viewer.subject.run}`")
            self._viewer.tell("The training has ended", "This page isn't served any more.")
        if self._viewer is not None:
            self._viewer.close(farewell=FAREWELL)

    def begin(self, run: Run, scene: Scene, model: SceneModel) -> None:
        """Raises NerfkitError: the server can't listen there."""
        name = run.title
        subject = Subject(name, scene, model, run.path / "paths", run.path)
        self._viewer = Viewer(subject, *self._address, worker=False, longest=LONGEST, pause=PHOTO_PAUSE)
        self._score = Score(model, scene)
        with self._viewer.tabs.add_tab("Training"):
            self._panel = TrainPanel(self._viewer.server.viser.gui)
        self._opened(self._viewer)

    def between_steps(self) -> Wish:
        viewer, panel = self._viewer, self._panel
        assert viewer is not None and panel is not None, "begin() comes first"
        wish = panel.wish
        if viewer.desk.watched:
            self._look(viewer, panel, wish == "pause")
        self._unseen = self._unseen or wish == "go"
        return wish

    def __call__(self, status: Status) -> None:
        if self._panel is not None:
            self._panel.tell(status)

    def _look(self, viewer: Viewer, panel: TrainPanel, held: bool) -> None:
        viewer.desk.longest = float("inf") if held else LONGEST
        if not held and not self._allowance.allows:
            return
        start = time.monotonic()
        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices), torch.no_grad():
            if self._unseen and (held or start >= self._refresh_at):
                self._unseen, self._refresh_at = False, start + REFRESH
                viewer.desk.changed()
                self._measure(panel)
            viewer.desk.serve()
        share = SHARE_MOVING if viewer.desk.moving else SHARE
        self._allowance.spend(time.monotonic() - start, share)

    def _measure(self, panel: TrainPanel) -> None:
        assert self._score is not None
        psnr = self._score.psnr()
        if psnr is not None:
            panel.add_psnr(psnr)
