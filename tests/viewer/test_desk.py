"""What a viewer is sent, with a stand-in for viser's handle of a browser: a real one could not be held still."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nerfkit.contracts import Cameras, Channel, Rendering
from nerfkit.errors import NerfkitError
from nerfkit.progress import ProgressSink, quiet
from nerfkit.train.run import Run
from nerfkit.viewer import desk as desk_module
from nerfkit.viewer import pace as pace_module
from nerfkit.viewer import pictures as pictures_module
from nerfkit.viewer.desk import Desk, Look
from nerfkit.viewer.pace import FIRST, Pace
from nerfkit.viewer.pictures import FAR, Painter, Picture, Stale


class Browser:
    """What the desk uses of viser's ``ClientHandle``; keeps what it is sent."""

    def __init__(self, width: int = 640, height: int = 400, client_id: int = 3) -> None:
        self.client_id = client_id
        self.camera = SimpleNamespace(
            wxyz=np.array([1.0, 0, 0, 0]), position=np.array([0.0, 0, -2]), look_at=np.zeros(3), fov=1.0,
            image_width=width, image_height=height,
        )  # fmt: skip
        self.pictures: list[Any] = []
        self.depths: list[Any] = []
        self.splats: list[Any] = []
        self.notes: list[str] = []
        self.scene = SimpleNamespace(
            set_background_image=self._picture, add_gaussian_splats=self._add, reset=lambda: None
        )

    @contextlib.contextmanager
    def atomic(self) -> Iterator[None]:
        yield

    def add_notification(self, title: str, words: str, **options: Any) -> None:
        self.notes.append(words)

    def _picture(self, image: Any, depth: Any = None, **options: Any) -> None:
        self.pictures.append(image)
        self.depths.append(depth)

    def _add(self, name: str, *arrays: Any, scale: float) -> Any:
        self.splats.append(arrays)

        def again(*new: Any) -> None:
            self.splats.append(new)

        buffer = np.zeros((len(arrays[0]), 8))
        self.handle = SimpleNamespace(set_gaussians=again, scale=scale, visible=True, buffer=buffer)
        return self.handle


class Slow:
    """A model that takes ``seconds`` a pixel, tells how far it is, and may fail."""

    name = "slow"

    def __init__(self, seconds: float = 2e-7) -> None:
        self.seconds, self.fault = seconds, ""
        self.told: Callable[[], None] = lambda: None

    def render(
        self, camera: Cameras, channels: frozenset[Channel] = frozenset({"rgb"}), progress: ProgressSink = quiet
    ) -> Rendering:
        if self.fault:
            raise NerfkitError(self.fault)
        for part in range(4):
            time.sleep(self.seconds * camera.width * camera.height / 4)
            self.told()
            progress("pixels", part + 1, 4)
        alpha = torch.ones(camera.height, camera.width)
        alpha[0] = 0
        return Rendering(alpha[..., None].expand(-1, -1, 3) * 0.5, alpha, 2 * alpha)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "RESTED", 0.02)


def test_pictures_grow_while_the_camera_rests() -> None:
    desk, browser = Desk(Slow(2e-6)), Browser()
    desk.join(browser)
    assert desk.serve()
    first = browser.pictures[0].shape
    assert first[0] * first[1] < 640 * 400 / 2
    assert not desk.serve()  # has only just come to rest
    time.sleep(0.05)
    while desk.serve():
        pass
    sizes = [image.shape[0] * image.shape[1] for image in browser.pictures]
    assert sizes == sorted(sizes) and sizes[-1] == 640 * 400
    assert browser.depths[-1][0, 0] == FAR  # nothing is seen there
    assert browser.depths[-1][5, 0] == 2
    desk.moved(browser)
    assert desk.serve()
    assert browser.pictures[-1].shape[0] < 400


def test_a_picture_that_nobody_waits_for_is_given_up() -> None:
    model, browser = Slow(), Browser()
    desk = Desk(model)
    desk.join(browser)
    desk.serve()
    time.sleep(0.05)
    sent = len(browser.pictures)
    model.told = lambda: desk.moved(browser)  # moves while a finer one is drawn
    assert desk.serve()
    assert len(browser.pictures) == sent
    model.told = lambda: None
    assert desk.serve()  # the coarse one of the new view
    assert len(browser.pictures) == sent + 1


def test_details_of_another_channel_are_not_kept() -> None:
    model, browser = Slow(), Browser()
    desk = Desk(model)
    desk.join(browser)
    desk.serve()
    time.sleep(0.05)
    drawn: list[int] = []

    def other_channel() -> None:  # chosen at the very end of a finer picture, too late to give it up
        drawn.append(1)
        if len(drawn) == 4:
            desk.show(browser, Look("alpha"))
            desk._seats[3].waiting = False

    model.told = other_channel
    wanted, desk._wanted = desk._wanted, lambda *args: True  # type: ignore[method-assign]
    assert desk.serve()
    desk._wanted, model.told = wanted, lambda: None  # type: ignore[method-assign]
    assert len(drawn) >= 4 and desk._seats[3].fine is None


def test_a_painter_says_that_it_gave_up() -> None:
    from nerfkit.viewer.camera import pinhole

    under = Picture(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), np.float32))
    parts = Painter().refine(Slow(), pinhole(torch.eye(4), 1.0, (8, 8)), "rgb", under, lambda: False)
    with pytest.raises(Stale):
        next(parts)


def drawn_sizes(rate: float, full: tuple[int, int], longest: float = float("inf")) -> list[int]:
    """Pixels of the pictures of one view, on a machine that draws ``rate`` pixels a second."""
    pace, out = Pace(), [0]
    for rough in (True, False):
        pace.learn("rgb", rough, round(rate), 1.0)
    while (size := pace.next_size("rgb", full, out[-1], longest)) is not None:
        assert size[0] / size[1] == pytest.approx(full[0] / full[1], rel=0.06)
        out.append(size[0] * size[1])
    return out[1:]


@pytest.mark.parametrize("rate", [2e3, 5e4, 2e6, 5e8])
def test_the_first_picture_is_there_in_time_and_the_last_is_full(rate: float) -> None:
    drawn = drawn_sizes(rate, (1600, 900))
    assert drawn[0] / rate < 0.3
    assert drawn[0] == 1600 * 900 or drawn[0] / rate == pytest.approx(FIRST, rel=1.0)
    assert drawn[-1] == 1600 * 900
    assert all(1.5 < b / a < 6.5 for a, b in itertools.pairwise(drawn))  # each is worth its while
    assert sum(drawn[:-1]) < 0.9 * drawn[-1]  # and the steps on the way are no detour


def test_while_it_trains_no_picture_takes_long() -> None:
    drawn = drawn_sizes(5e4, (1600, 900), longest=0.5)
    assert drawn[-1] == pytest.approx(25_000, rel=0.06)


def test_the_pace_adapts_to_the_machine() -> None:
    pace, full = Pace(), (1600, 900)
    pace.learn("rgb", True, 1000, 1.0)
    slow = pace.next_size("rgb", full, 0)
    for _ in range(4):
        pace.learn("rgb", True, 1_000_000, 1.0)
    fast = pace.next_size("rgb", full, 0)
    assert slow == (32, 18) and fast is not None and fast[0] * fast[1] == pytest.approx(0.15 * 9.4e5, rel=0.05)
    assert pace.next_size("depth", full, 0) == (52, 29)  # of which nothing is known


def test_a_long_picture_comes_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "FIRST", 0.02)
    monkeypatch.setattr(pictures_module, "STRIP", 0.02)
    monkeypatch.setattr(desk_module, "PARTS", 0.0)
    desk, browser = Desk(Slow(2e-6)), Browser(320, 200)
    desk.join(browser)
    for _ in range(2):  # and it keeps its pace
        desk.moved(browser)
        sent = len(browser.pictures)
        assert desk.serve()
        time.sleep(0.05)
        while desk.serve():
            pass
        full = [image for image in browser.pictures[sent:] if image.shape == (200, 320, 3)]
        assert len(full) > 2
        assert browser.depths[-1].shape == (200, 320)


def test_two_viewers_each_have_their_own_look_and_neither_waits_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "FIRST", 0.02)
    model, one, two = Slow(2e-6), Browser(320, 200, 1), Browser(320, 200, 2)
    desk = Desk(model)
    desk.join(one)
    desk.join(two)
    desk.show(one, Look("alpha"))
    for _ in range(4):  # both move on and on
        desk.moved(one)
        desk.moved(two)
        assert desk.serve() and desk.serve()
    assert len(one.pictures) == len(two.pictures) == 4
    assert one.pictures[-1][9, 9, 0] == 255 and two.pictures[-1][9, 9, 0] == 128
    time.sleep(0.05)
    sent = len(one.pictures), len(two.pictures)
    model.told = lambda: desk.moved(two)  # while the first one's picture is refined
    assert desk.serve()
    assert (len(one.pictures), len(two.pictures)) == sent
    model.told = lambda: None
    assert desk.serve()
    assert (len(one.pictures), len(two.pictures)) == (sent[0], sent[1] + 1)


class Ramp(Slow):
    """Depth from one to two times the camera's distance from the origin."""

    def render(
        self, camera: Cameras, channels: frozenset[Channel] = frozenset({"rgb"}), progress: ProgressSink = quiet
    ) -> Rendering:
        ramp = torch.linspace(1, 2, camera.width).expand(camera.height, camera.width)
        depth = ramp * float(camera.world_from_cam[0, :3, 3].norm())
        return Rendering(torch.zeros(*ramp.shape, 3), torch.ones_like(ramp), depth)


def test_the_colours_of_depth_are_each_viewers_own() -> None:
    def seen(*distances: float) -> Any:
        """What the first of viewers at distances sees, after they have all moved a few times."""
        desk, browsers = Desk(Ramp()), [Browser(64, 40, number) for number, _ in enumerate(distances)]
        for browser, distance in zip(browsers, distances, strict=True):
            browser.camera.position = np.array([0.0, 0, -distance])
            desk.join(browser)
            desk.show(browser, Look("depth"))
        for _ in range(4):
            for browser in browsers:
                desk.moved(browser)
                assert desk.serve()
        return browsers[0].pictures[-1]

    alone, beside = seen(2.0), seen(2.0, 40.0)
    assert alone.std() > 20
    np.testing.assert_array_equal(alone, beside)


def test_what_cannot_be_drawn_is_told_once() -> None:
    model, browser = Slow(), Browser()
    desk = Desk(model)
    desk.join(browser)
    model.fault = "the model is empty"
    assert not desk.serve() and not desk.serve()
    assert browser.notes == ["the model is empty"]
    model.fault = ""
    desk.changed()
    assert desk.serve()
    assert len(browser.pictures) == 1


@pytest.mark.parametrize("antialiased", [False, True])
def test_antialiased_splats_too_many_for_their_colours_are_sent_anew_for_their_size(
    vivid_run: Run, monkeypatch: pytest.MonkeyPatch, antialiased: bool
) -> None:
    monkeypatch.setattr(desk_module, "MOST_BYTES", 0)
    model = vivid_run.model()
    large = model.gaussians()  # type: ignore[attr-defined]
    gaussians = dataclasses.replace(large, scales=0.05 * large.scales, antialiased=antialiased)
    monkeypatch.setattr(model, "gaussians", lambda: gaussians)
    desk, browser = Desk(model), Browser()  # type: ignore[arg-type]
    desk.join(browser)
    assert desk.serve()
    for place, sent in (([2.0, 0, 0], False), ([0.9, 0, 0], antialiased), ([0.8, 0, 0], False)):
        browser.camera.position = np.array(place)
        time.sleep(0.05)
        assert desk.serve() == sent
    if antialiased:  # nearer, hence larger and less transparent
        assert browser.splats[1][3].sum() > 1.1 * browser.splats[0][3].sum()


def test_splats_are_sent_anew_for_their_colours_and_cropped(vivid_run: Run) -> None:
    desk, browser = Desk(vivid_run.model()), Browser()  # type: ignore[arg-type]
    desk.join(browser)
    assert desk.serve()
    assert len(browser.splats) == 1
    assert browser.pictures[0].shape == (2, 2, 3)  # the background's colour
    time.sleep(0.05)
    assert not desk.serve()
    browser.camera.position = np.array([2.0, 0, 0])
    time.sleep(0.05)
    assert desk.serve()
    assert np.abs(browser.splats[1][2] - browser.splats[0][2]).max() > 0  # other colours
    desk.show(browser, Look(crop=(0, -9, -9, 9, 9, 9)))
    assert desk.serve()
    centers = browser.splats[2][0]
    assert 0 < len(centers) < len(browser.splats[0][0])
    assert centers[:, 0].min() >= 0
    desk.show(browser, Look(crop=(8, 8, 8, 9, 9, 9)))
    assert desk.serve()
    assert len(browser.splats) == 3 and not browser.handle.visible  # nothing is left
    desk.show(browser, Look(channel="depth"))
    assert desk.serve()
    assert browser.pictures[-1].shape[2] == 3 and browser.pictures[-1].shape[0] > 2
    desk.leave(browser)
    assert not desk.watched and not desk.serve()
