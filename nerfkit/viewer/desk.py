"""What each viewer is sent next: coarse pictures while the camera moves, finer ones while it rests, or splats.

Every viewer has a seat. Whoever may touch the model calls :meth:`Desk.serve`: a thread of its own
(:meth:`Desk.work`), or between its steps the trainer.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from nerfkit.contracts import Channel, HasCrop, HasGaussians
from nerfkit.errors import NerfkitError
from nerfkit.viewer.camera import Size, pinhole, pose_of
from nerfkit.viewer.pictures import Painter, Stale
from nerfkit.viewer.splats import pack
from nerfkit.viewer.subject import Drawable
from nerfkit.views.boxes import Box, cropped

LADDER = (0.12, 0.6, 3.0, float("inf"))  # seconds that a picture may take, one after the other while the camera rests
RESTED = 0.25  # seconds without a move
LONGEST_SIDE = 1920  # pixels of a picture
FINER = 1.4  # times the pixels that make another picture worth its while
TURNED = 0.03  # of the distance to what is looked at: a move after which splats get new colours
SPLAT_BYTES = 32  # of a Gaussian on its way to the browser
MOST_BYTES = 24 << 20  # of splats that are sent anew only for their colours

log = logging.getLogger("nerfkit")


@dataclass(frozen=True)
class Look:
    """What everyone is shown."""

    channel: Channel = "rgb"
    in_browser: bool = True  # splats are drawn there, where there are any
    crop: Box | None = None


@dataclass(eq=False)
class Seat:
    """One viewer, and what it has been sent."""

    client: Any
    moves: int = 0
    moved: float = field(default_factory=time.monotonic)
    painted: tuple[Any, ...] | None = None  # what the last picture showed
    pixels: int = 0  # of that picture
    splats: Any = None  # viser's handle
    packed: tuple[Any, ...] | None = None  # which splats were sent
    eye: Any = None  # from where these were seen
    failed: tuple[Any, ...] | None = None  # what can't be drawn, so that it isn't tried again and again

    @property
    def rested(self) -> bool:
        return time.monotonic() - self.moved > RESTED


class Desk:
    """The seats, and the one model that all look at.

    Args:
        longest: seconds that a single picture may take.
    """

    def __init__(self, model: Drawable | None, longest: float = float("inf")) -> None:
        self.model, self.longest = model, longest
        self.look, self.version = Look(), 0
        self.painter = Painter()
        self.closed = False
        self._seats: dict[int, Seat] = {}
        self._wake = threading.Condition()
        self._cropped: tuple[Any, Drawable] | None = None

    # --- called from viser's threads ----------------------------------------------------------------------

    def join(self, client: Any) -> None:
        with self._wake:
            self._seats[client.client_id] = Seat(client)
            self._wake.notify_all()

    def leave(self, client: Any) -> None:
        with self._wake:
            self._seats.pop(client.client_id, None)

    def moved(self, client: Any) -> None:
        """A viewer's camera has moved, or its window has another size."""
        with self._wake:
            seat = self._seats.get(client.client_id)
            if seat is not None:
                seat.moves, seat.moved = seat.moves + 1, time.monotonic()
            self._wake.notify_all()

    def show(self, look: Look) -> None:
        with self._wake:
            self.look = look
            self._wake.notify_all()

    def changed(self) -> None:
        """The model has learnt: everyone is to see it as it is now."""
        with self._wake:
            self.version += 1
            self._wake.notify_all()

    def close(self) -> None:
        with self._wake:
            self.closed = True
            self._wake.notify_all()

    @property
    def watched(self) -> bool:
        return bool(self._seats)

    @property
    def moving(self) -> bool:
        return any(not seat.rested for seat in list(self._seats.values()))

    @property
    def can_splat(self) -> bool:
        return isinstance(self.model, HasGaussians)

    @property
    def can_crop(self) -> bool:
        return isinstance(self.model, HasCrop)

    # --- called from the thread that the model belongs to -------------------------------------------------

    def work(self) -> None:
        """Serves until closed; for a thread of its own."""
        while not self.closed:
            if not self.serve():
                with self._wake:
                    unrested = any(not seat.rested for seat in self._seats.values())
                    self._wake.wait(0.05 if unrested else 1.0)

    def serve(self) -> bool:
        """Sends what is due next to whoever has waited for the longest; False: nothing is due."""
        if self.model is None:
            return False
        for seat in sorted(list(self._seats.values()), key=lambda seat: seat.painted is not None):
            try:
                if self._serve(seat):
                    return True
            except Stale:
                return True
            except NerfkitError as error:
                self._fail(seat, str(error))
            except Exception as error:  # a fault of ours must not end the view
                log.exception("the viewer could not draw")
                self._fail(seat, f"{type(error).__name__}: {error}")
        return False

    def _serve(self, seat: Seat) -> bool:
        look, version = self.look, self.version
        if seat.failed == (look, version):
            return False
        model = self._shown(look, version)
        if look.in_browser and look.channel == "rgb" and isinstance(model, HasGaussians):
            return self._send_splats(seat, model, look, version)
        return self._send_picture(seat, model, look, version)

    def _shown(self, look: Look, version: int) -> Any:
        assert self.model is not None
        if look.crop is None:
            return self.model
        key = (look.crop, version)
        if self._cropped is None or self._cropped[0] != key:
            model: Any = self.model
            self._cropped = key, cropped(model, [look.crop])
        return self._cropped[1]

    def _send_splats(self, seat: Seat, model: Any, look: Look, version: int) -> bool:
        camera = seat.client.camera
        eye, due = np.array(camera.position), seat.packed != (look, version)
        if not due:
            away = float(np.linalg.norm(eye - seat.eye))
            turned = away > TURNED * float(np.linalg.norm(eye - camera.look_at))
            small = seat.splats is not None and len(seat.splats.buffer) * SPLAT_BYTES < MOST_BYTES
            if not (turned and small and seat.rested):
                return False
        packed = pack(model.gaussians(), torch.from_numpy(eye).float())
        arrays = packed.centers, packed.covariances, packed.rgbs, packed.opacities
        with seat.client.atomic():
            if len(packed.centers) == 0:  # all are cropped away
                if seat.splats is not None:
                    seat.splats.visible = False
            elif seat.splats is None:
                seat.splats = seat.client.scene.add_gaussian_splats("/model/splats", *arrays, scale=packed.scale)
            else:
                seat.splats.set_gaussians(*arrays)
                seat.splats.scale, seat.splats.visible = packed.scale, True
            if seat.painted is not None or seat.packed is None:
                seat.client.scene.set_background_image(_plain(model, camera), format="png")
        seat.packed, seat.eye, seat.painted = (look, version), eye, None
        return True

    def _send_picture(self, seat: Seat, model: Drawable, look: Look, version: int) -> bool:
        camera, moves = seat.client.camera, seat.moves
        showing = (moves, look, version)
        full = _canvas(camera)
        size = self._next_size(seat, showing, full, look.channel)
        if size is None:
            return False
        shot = pinhole(pose_of(camera), camera.fov, size)
        rough = seat.painted != showing
        picture = self.painter.paint(model, shot, look.channel, lambda: rough or self._wanted(seat, moves, look))
        with seat.client.atomic():
            seat.client.scene.set_background_image(
                picture.image, format="jpeg", jpeg_quality=70 if rough else 92, depth=picture.depth
            )
            if seat.splats is not None and seat.splats.visible:
                seat.splats.visible = False
        seat.painted, seat.pixels, seat.packed = showing, size[0] * size[1], None
        return True

    def _next_size(self, seat: Seat, showing: tuple[Any, ...], full: Size, channel: Channel) -> Size | None:
        """The size of the next picture, or None if there is nothing to better."""
        sizes = [self.painter.pace.size(channel, full, min(seconds, self.longest)) for seconds in LADDER]
        if seat.painted != showing:
            return sizes[0]
        if not seat.rested:
            return None
        last = sizes[-1][0] * sizes[-1][1]
        return next((s for s in sizes if s[0] * s[1] > FINER * seat.pixels or last == s[0] * s[1] > seat.pixels), None)

    def _wanted(self, seat: Seat, moves: int, look: Look) -> bool:
        """Whether a finer picture is still of use: nothing moved, and its viewer is still there."""
        here = self._seats.get(seat.client.client_id) is seat
        return here and seat.moves == moves and self.look == look and not self.closed

    def _fail(self, seat: Seat, words: str) -> None:
        seat.failed = (self.look, self.version)
        seat.client.add_notification("This can't be drawn", words, color="red", auto_close_seconds=None)


def _canvas(camera: Any) -> Size:
    width, height = max(2, camera.image_width), max(2, camera.image_height)
    shrink = min(1.0, LONGEST_SIDE / max(width, height))
    return max(2, round(width * shrink)), max(2, round(height * shrink))


def _plain(model: Drawable, camera: Any) -> Any:
    """A picture [2, 2, 3] of the background that a model's colours lie over."""
    color = model.render(pinhole(pose_of(camera), camera.fov, (8, 8))).background
    color = torch.zeros(3) if color is None else color.detach().cpu()
    return np.broadcast_to((color.clamp(0, 1) * 255).round().to(torch.uint8).numpy(), (2, 2, 3)).copy()
