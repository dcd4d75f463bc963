"""From cameras to files: one thread draws, another turns drawings into files, and each waits for the other only when
it is a few frames ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence, Set
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from nerfkit.contracts import Cameras, Rendering
from nerfkit.progress import ProgressSink, quiet
from nerfkit.views.draw import Channels, Draw

AHEAD = 3  # drawings that wait to be written: memory holds so many, however long the path


class Output(Protocol):
    """Files that come from drawings. Those of an earlier, interrupted attempt count as there."""

    needed: Channels

    @property
    def files(self) -> list[Path]: ...

    def missing(self) -> Set[int]:
        """The frames that are wanted: all that :meth:`add` is called with, in order."""
        ...

    def add(self, index: int, drawn: Rendering) -> None: ...

    def finish(self) -> None:
        """Every missing frame was added: the files are made whole."""
        ...

    def stop(self) -> None:
        """Whatever happened: ends what still runs, and leaves what an attempt after this one can go on with."""
        ...


def write(draw: Draw, cameras: Cameras, outputs: Sequence[Output], progress: ProgressSink = quiet) -> int:
    """Draws what the outputs miss, gives it to them, and says how many frames that took.

    Progress is that of frames written, of those that were missing.
    """
    wanted = [output.missing() for output in outputs]
    todo = sorted(set().union(*wanted))
    needed: Channels = frozenset().union(*(output.needed for output in outputs))
    with ExitStack() as stack:
        for output in outputs:
            stack.callback(output.stop)

        def put(index: int, drawn: Rendering) -> None:
            for output, missing in zip(outputs, wanted, strict=True):
                if index in missing:
                    output.add(index, drawn)
            writer.done += 1
            progress("frames", writer.done, len(todo))

        writer = _Writer(put)
        stack.callback(writer.stop)
        for index in todo:
            writer.give(index, draw(cameras[index], needed, index / len(cameras)))
        writer.finish()
        for output in outputs:
            output.finish()
    return len(todo)


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
