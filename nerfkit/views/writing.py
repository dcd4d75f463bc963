"""From cameras to files: some threads draw, another turns drawings into files, and they wait for each other only when
they are a few frames ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence, Set
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

from nerfkit.contracts import Cameras, HasGaussians, Rendering, SceneModel
from nerfkit.progress import ProgressSink, quiet
from nerfkit.threads import in_order, pictures_at_once
from nerfkit.views.draw import Channels, Draw

AHEAD = 3  # drawings that wait to be written: memory holds so many, however long the path


class Output(Protocol):
    """Files that come from drawings. Those of an earlier, interrupted attempt count as there."""

    needed: Channels

    @property
    def files(self) -> list[Path]: ...

    def begin(self) -> Set[int]:
        """Removes what other requests and killed attempts left in the way, and gives the frames that are wanted: all
        that :meth:`add` is called with, in order.
        """
        ...

    def add(self, index: int, drawn: Rendering) -> None: ...

    def finish(self) -> None:
        """Every missing frame was added: the files are made whole."""
        ...

    def stop(self) -> None:
        """Whatever happened after :meth:`begin`: ends what runs, and leaves what the next attempt can go on with."""
        ...


def write(
    draw: Draw, cameras: Cameras, outputs: Sequence[Output], progress: ProgressSink = quiet, at_once: int = 1
) -> int:
    """Draws what the outputs miss, gives it to them, and says how many frames that took.

    Progress is of all frames: those that are there already count as done.

    Args:
        at_once: frames that are drawn at the same time, see :func:`frames_at_once`.
    """
    needed: Channels = frozenset().union(*(output.needed for output in outputs))
    with ExitStack() as stack:
        wanted = []
        for output in outputs:
            wanted.append(output.begin())
            stack.callback(output.stop)
        todo = sorted(set().union(*wanted))

        def put(index: int, drawn: Rendering) -> None:
            for output, missing in zip(outputs, wanted, strict=True):
                if index in missing:
                    output.add(index, drawn)
            writer.done += 1
            progress("frames", len(cameras) - len(todo) + writer.done, len(cameras))

        writer = _Writer(put)
        stack.callback(writer.stop)

        def one(index: int) -> Rendering:
            return draw(cameras[index], needed, index / len(cameras))

        drawings = stack.enter_context(closing(in_order(one, todo, at_once)))
        for index, drawn in zip(todo, drawings):
            writer.give(index, drawn)
        writer.finish()
        for output in outputs:
            output.finish()
    return len(todo)


def frames_at_once(models: Sequence[SceneModel], pixels: int) -> int:
    """How many frames to draw at the same time (:func:`nerfkit.threads.pictures_at_once`).

    On a GPU one frame fills the device, and models that are drawn along rays take batches that fill the memory.

    Args:
        pixels: of a frame, as it is drawn.
    """
    if all(isinstance(model, HasGaussians) and model.gaussians().means.device.type == "cpu" for model in models):
        return pictures_at_once(pixels)
    return 1


class _Put(Protocol):
    def __call__(self, index: int, drawn: Rendering) -> None: ...


class _Writer:
    """A thread that puts drawings where they belong; its exceptions are raised by who gives them."""

    def __init__(self, put: _Put):
        self.put, self.done = put, 0
        self.waiting: queue.Queue[tuple[int, Rendering] | None] = queue.Queue(AHEAD)
        self.error: BaseException | None = None
        self.stopping = False
        self.thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self.thread.start()

    def give(self, index: int, drawn: Rendering) -> None:
        self._raise()
        self.waiting.put((index, drawn))

    def finish(self) -> None:
        """Waits until all is put."""
        self.waiting.put(None)
        self.thread.join()
        self._raise()

    def stop(self) -> None:
        """Drops what waits."""
        self.stopping = True
        if self.thread.is_alive():
            self.waiting.put(None)
            self.thread.join()

    def _run(self) -> None:
        while (item := self.waiting.get()) is not None:
            if self.error is None and not self.stopping:
                try:
                    self.put(*item)
                except BaseException as error:
                    self.error = error

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error
