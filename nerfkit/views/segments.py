"""A video that survives an interruption: segments in a hidden folder beside it, joined at the end."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Set
from contextlib import ExitStack, suppress
from pathlib import Path

from nerfkit.contracts import Rendering
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic, remove_partials
from nerfkit.lock import alone
from nerfkit.views import video
from nerfkit.views.draw import Channels
from nerfkit.views.encoder import Encoder, Image, convert
from nerfkit.views.request import Request

SEGMENT = 60  # frames: what an interruption costs at most, and between the frames that players jump to


class Film:
    """A :class:`nerfkit.views.writing.Output`: one video of one channel."""

    def __init__(
        self, path: Path, fps: float, request: Request, needed: Channels, to_image: Callable[[Rendering], Image],
        finishing: Callable[[Path], None] | None = None,
    ):  # fmt: skip
        """Args: finishing: what is done to the joined file before it appears.

        Raises:
            NerfkitError: see :func:`nerfkit.views.video.check`.
        """
        video.check(path)
        self.path, self.fps, self.request, self.needed = path, fps, request, needed
        self.to_image, self.finishing = to_image, finishing
        self.format = video.FORMATS[path.suffix.lower()]
        self.folder = path.with_name(f".{path.name}.parts")
        # Of this attempt alone: the encoder of one that was killed may live on for a moment.
        self._mark = f"partial-{uuid.uuid4().hex[:8]}"
        self._current: tuple[int, Encoder] | None = None
        self._ending: tuple[int, Encoder] | None = None
        self._alone = ExitStack()

    @property
    def files(self) -> list[Path]:
        return [self.path]

    def begin(self) -> Set[int]:
        """The frames of segments that an earlier attempt at the same request didn't finish.

        Raises:
            NerfkitError: another command is making the same video, or none can be made there.
        """
        self._alone.enter_context(alone(self.folder, self.path, "choose another -o"))
        remove_partials([self.path], age=0)
        if Request.load(self._note) != self.request:
            for file in self.folder.iterdir():
                file.unlink()
        frames = range(self.request.frames)
        return {index for index in frames if not self._segment(index // SEGMENT).exists()}

    def add(self, index: int, drawn: Rendering) -> None:
        number = index // SEGMENT
        if self._ending is not None and self._ending[1].ended:
            self._settle()
        if self._current is None:
            self.request.save(self._note, self.path)
            self._current = number, Encoder(self.path, self._partial(number), self.fps, self.format.segment)
        self._current[1].add(self.to_image(drawn))
        if index + 1 == self.request.frames or (index + 1) % SEGMENT == 0:
            self._settle()
            self._current[1].close()
            self._ending, self._current = self._current, None

    def _settle(self) -> None:
        """Waits for the segment whose frames are all given, and puts it in its place."""
        if self._ending is None:
            return
        number, encoder = self._ending
        try:
            encoder.finish()
        finally:
            encoder.stop()
            self._ending = None
        self._partial(number).rename(self._segment(number))

    def finish(self) -> None:
        """Joins the segments, without encoding anything twice (but for GIF, whose segments are lossless)."""
        self._settle()
        count = -(-self.request.frames // SEGMENT)
        if count == 0:
            raise NerfkitError(f"{self.path}: a video needs at least one frame")
        listing = self.folder / "segments.txt"  # with lengths, as those of some formats are rounded
        lengths = [min(SEGMENT, self.request.frames - SEGMENT * number) / self.fps for number in range(count)]
        names = [self._segment(number).name for number in range(count)]
        parts = [f"file '{name}'\nduration {length:.9f}\n" for name, length in zip(names, lengths, strict=True)]
        listing.write_text("".join(["ffconcat version 1.0\n", *parts]))
        with atomic(self.path) as partial:
            convert(self.path, ["-f", "concat", "-i", str(listing.resolve()), *self.format.join], partial)
            if self.finishing is not None:
                self.finishing(partial)
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        """Keeps finished segments, and their folder only if there are any."""
        with suppress(NerfkitError, OSError):  # what stopped us is said already
            self._settle()
        if self._current is not None:
            self._current[1].stop()
            self._current = None
        for partial in self.folder.glob("partial-*"):
            partial.unlink(missing_ok=True)
        if not any(self.folder.glob(f"[0-9]*{self.format.segment_suffix}")):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._alone.close()

    @property
    def _note(self) -> Path:
        return self.folder / "request.json"

    def _segment(self, number: int) -> Path:
        return self.folder / f"{number:06d}{self.format.segment_suffix}"

    def _partial(self, number: int) -> Path:
        return self.folder / f"{self._mark}-{number:06d}{self.format.segment_suffix}"
