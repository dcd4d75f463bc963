"""What each viewer is sent next: coarse pictures while the camera moves, finer ones while it rests, or splats.

Every viewer has a seat. Whoever may touch the model calls :meth:`Desk.serve`: a thread of its own
(:meth:`Desk.work`), or between its steps the trainer.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from nerfkit.contracts import Cameras, Channel, HasCrop, HasGaussians
from nerfkit.errors import NerfkitError
from nerfkit.viewer.camera import Size, pinhole, pose_of
from nerfkit.viewer.pace import Pace
from nerfkit.viewer.pictures import Painter, Picture, Stale
from nerfkit.viewer.splats import pack
from nerfkit.viewer.subject import SENT, Drawable
from nerfkit.viewer.warp import Seen, warped
from nerfkit.views.boxes import Box, cropped

RESTED = 0.25  # seconds without a move
LONGEST_SIDE = 1920  # pixels of a picture
PARTS = 1.0  # seconds between two sights of a picture that isn't done
FINER = 4.0  # times the pixels of another picture: one whose details are worth to be seen from elsewhere
ENOUGH = 30_000  # pixels of a picture that needs no details of another
TURNED = 0.03  # of the distance to what is looked at: a move after which splats get new colours
MOST_BYTES = 24 << 20  # of splats that are sent anew only for their colours
NEARER = 2.0  # times the pixels of what is looked at, or less by that: antialiased splats get other opacities

log = logging.getLogger("nerfkit")


@dataclass(frozen=True)
class Look:
    """What a viewer is shown of the model."""

    channel: Channel = "rgb"
    in_browser: bool = True  # splats are drawn there, where there are any
    crop: Box | None = None


@dataclass(eq=False)
class Seat:
    """One viewer, what it looks at, and what it has been sent."""

    client: Any
    painter: Painter
    look: Look = field(default_factory=Look)
    moves: int = 0
    moved: float = field(default_factory=time.monotonic)
    waiting: bool = True  # for a picture of a view of which it has none
    served: float = 0.0  # when it was sent something
    painted: tuple[Any, ...] | None = None  # what the last picture showed
    shown: Seen | None = None  # the last picture
    fine: Seen | None = None  # the finest of this look, for views near it
    splats: Any = None  # viser's handle
    packed: tuple[Any, ...] | None = None  # which splats were sent
    eye: Any = None  # from where these were seen
    detail: float | None = None  # pixels of a unit of length at what was looked at, where their opacities depend on it
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
        self.version = 0
        self.pace = Pace()  # that of the machine
        self.closed = False
        self._seats: dict[int, Seat] = {}
        self._wake = threading.Condition()
        self._cropped: dict[Any, Drawable] = {}  # by box and version

    # --- called from viser's threads ----------------------------------------------------------------------

    def join(self, client: Any) -> None:
        with self._wake:
            self._seats[client.client_id] = Seat(client, Painter(self.pace))
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
                seat.waiting = seat.waiting or seat.painted is not None
            self._wake.notify_all()

    def show(self, client: Any, look: Look) -> None:
        """What a viewer looks at from now on."""
        with self._wake:
            seat = self._seats.get(client.client_id)
            if seat is not None:
                seat.look, seat.waiting, seat.fine = look, True, None
            self._wake.notify_all()

    def look(self, client: Any) -> Look:
        seat = self._seats.get(client.client_id)
        return Look() if seat is None else seat.look

    def changed(self) -> None:
        """The model has learnt: everyone is to see it as it is now."""
        with self._wake:
            self.version += 1
            for seat in self._seats.values():
                seat.waiting, seat.fine = True, None
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
        """Sends what is due next, first to those who wait for any picture, of them to who has waited for the longest.

        False: nothing is due.
        """
        if self.model is None:
            return False
        for seat in sorted(list(self._seats.values()), key=lambda seat: (not seat.waiting, seat.served)):
            try:
                if self._serve(seat):
                    seat.served = time.monotonic()
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
        seat.waiting = False  # before its camera is read: whatever comes later sets it anew
        look, version = seat.look, self.version
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
        if key not in self._cropped:
            model: Any = self.model
            used = {(seat.look.crop, version) for seat in list(self._seats.values())}
            kept = {old: part for old, part in self._cropped.items() if old in used}
            self._cropped = kept | {key: cropped(model, [look.crop])}
        return self._cropped[key]

    def _send_splats(self, seat: Seat, model: Any, look: Look, version: int) -> bool:
        camera = seat.client.camera
        eye, focal = np.array(camera.position), camera.image_height / 2 / math.tan(camera.fov / 2)
        distance = max(float(np.linalg.norm(eye - camera.look_at)), 1e-12)
        if seat.packed == (look, version) and not (seat.rested and _is_stale(seat, eye, distance, focal / distance)):
            return False
        gaussians = model.gaussians()
        packed = pack(gaussians, torch.from_numpy(eye).float(), focal)
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
        seat.detail = focal / distance if gaussians.antialiased else None
        return True

    def _send_picture(self, seat: Seat, model: Drawable, look: Look, version: int) -> bool:
        camera, moves = seat.client.camera, seat.moves
        showing = (moves, look, version)
        again = seat.painted == showing and seat.shown is not None
        if again and not seat.rested:
            return False
        shown = seat.shown.size if again and seat.shown is not None else 0
        canvas = _canvas(camera)
        size = self.pace.next_size(look.channel, canvas, shown, self.longest)
        if size is None:
            return False
        shot = pinhole(pose_of(camera), camera.fov, size, canvas[0] / canvas[1])
        if again:
            self._refine(seat, model, shot, moves, look)
        else:
            self._sketch(seat, model, shot, look)
        seat.painted, seat.packed = showing, None
        return True

    def _sketch(self, seat: Seat, model: Drawable, shot: Cameras, look: Look) -> None:
        """The first picture of a view."""
        seat.shown = Seen(seat.painter.sketch(model, shot, look.channel), shot)
        _send_image(seat, _detailed(seat, seat.shown), quality=80)

    def _refine(self, seat: Seat, model: Drawable, shot: Cameras, moves: int, look: Look) -> None:
        """A finer picture of the same view; of one that takes long, now and then what there is by now."""
        assert seat.shown is not None
        under, sent = seat.shown.picture, time.monotonic()
        for picture in seat.painter.refine(model, shot, look.channel, under, lambda: self._wanted(seat, moves, look)):
            if time.monotonic() - sent > PARTS:
                _send_image(seat, picture, quality=85)
                sent = time.monotonic()
        seat.shown = Seen(picture, shot)
        with self._wake:
            same = seat.look == look  # else its details are those of another channel, or of what is cropped now
            if same and (seat.fine is None or seat.shown.size >= min(ENOUGH, seat.fine.size)):
                seat.fine = seat.shown
        _send_image(seat, _detailed(seat, seat.shown), quality=92)

    def _wanted(self, seat: Seat, moves: int, look: Look) -> bool:
        """Whether a finer picture is still of use: nothing moved, its viewer is there, and no other one waits."""
        here = self._seats.get(seat.client.client_id) is seat
        waited_for = any(other.waiting for other in list(self._seats.values()))
        return here and not waited_for and seat.moves == moves and seat.look == look and not self.closed

    def _fail(self, seat: Seat, words: str) -> None:
        seat.failed = (seat.look, self.version)
        seat.client.add_notification("This can't be drawn", words, color="red", auto_close_seconds=None)


def _is_stale(seat: Seat, eye: Any, distance: float, detail: float) -> bool:
    """Whether splats look otherwise now: few of them from elsewhere, any number at another size."""
    few = seat.splats is not None and len(seat.splats.buffer) * SENT < MOST_BYTES
    turned = float(np.linalg.norm(eye - seat.eye)) > TURNED * distance
    return (few and turned) or (seat.detail is not None and not 1 / NEARER < detail / seat.detail < NEARER)


def _detailed(seat: Seat, seen: Seen) -> Picture:
    """A coarse picture with the details that are known from another view."""
    if seat.fine is None or seen.size >= ENOUGH or seat.fine.size < FINER * seen.size:
        return seen.picture
    return warped(seat.fine, seen)


def _send_image(seat: Seat, picture: Picture, quality: int) -> None:
    with seat.client.atomic():
        seat.client.scene.set_background_image(
            picture.image, format="jpeg", jpeg_quality=quality, depth=picture.small_depth
        )
        if seat.splats is not None and seat.splats.visible:
            seat.splats.visible = False


def _canvas(camera: Any) -> Size:
    width, height = max(2, camera.image_width), max(2, camera.image_height)
    shrink = min(1.0, LONGEST_SIDE / max(width, height))
    return max(2, round(width * shrink)), max(2, round(height * shrink))


def _plain(model: Drawable, camera: Any) -> Any:
    """A picture [2, 2, 3] of the background that a model's colours lie over."""
    color = model.render(pinhole(pose_of(camera), camera.fov, (8, 8))).background
    color = torch.zeros(3) if color is None else color.detach().cpu()
    return np.broadcast_to((color.clamp(0, 1) * 255).round().to(torch.uint8).numpy(), (2, 2, 3)).copy()
