"""The viewer in headless Chromium: what a user sees and clicks, up to the rendered video."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from pages import NOTE, PANEL, Serving, psnr, share_like, wait_until

from nerfkit.cameras import look_at
from nerfkit.splats import ply
from nerfkit.train.run import Run
from nerfkit.viewer.camera import pinhole, pose_of, standpoint
from nerfkit.viewer.looker import Looker
from nerfkit.viewer.panel_path import PREVIEW_FPS
from nerfkit.viewer.subject import open_subject
from nerfkit.viewer.viewer import Viewer
from nerfkit.views.paths import read_path
from nerfkit.views.paths.framing import photo_fov

pytestmark = pytest.mark.browser

SIZE = {"width": 660, "height": 360}
UP = torch.tensor([0.0, 0.0, 1.0])
RED = (0.9, 0.1, 0.1)  # a ball


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page(viewport=SIZE)
    opened.set_default_timeout(90_000)  # milliseconds: WebGL in software, beside a training and other tests
    opened.faults = []
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    yield opened
    assert opened.faults == []
    opened.close()


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_keyframes_laid_in_the_page_become_a_video(page: Any, vivid_run: Run, tmp_path: Path) -> None:
    with Serving("view", str(vivid_run.path), "--port", "0", "--json") as serving:
        page.goto(serving.url())
        scene = vivid_run.scene()
        model = vivid_run.model(scene=scene)
        first = scene.views[scene.train[0]].camera.world_from_cam[0]
        own = model.render(pinhole(first, photo_fov(scene), (SIZE["width"], SIZE["height"]))).rgb
        assert own is not None
        expected = own[NOTE:, : SIZE["width"] - PANEL].numpy()
        assert share_like(expected, (0.9, 0.1, 0.1)) > 0.02
        shown = wait_until(page, lambda seen: psnr(seen, expected) > 30)

        page.get_by_text("Path", exact=True).click()
        press(page, "Add keyframe")
        page.get_by_text("1: 0 s").first.wait_for(state="attached")
        page.mouse.move(120, 250)
        page.mouse.down()
        page.mouse.move(240, 260, steps=4)
        page.mouse.up()
        wait_until(page, lambda seen: psnr(seen, shown) < 20)  # another view
        press(page, "Add keyframe")
        page.get_by_text("2: 2 s").first.wait_for(state="attached")
        press(page, "Save")
        file = vivid_run.path / "paths" / "path.json"
        wait_for(file)
        told = page.get_by_role("textbox", name="Render it").or_(page.locator("textarea")).first
        wait_for_value(told, f"nerfkit render {vivid_run.path} --path {file}")
        page.get_by_text("View", exact=True).click()
        page.get_by_text("Crop", exact=True).click()
        page.get_by_text("Crop to the box").click()
        wait_until(page, lambda seen: share_like(seen, (0.9, 0.1, 0.1)) > 0.01)
        least_x = page.locator("input").filter(visible=True).nth(-6)
        least_x.fill("0.2")  # leaves out two of the three balls
        least_x.press("Enter")
        wait_until(page, lambda seen: share_like(seen, (0.9, 0.1, 0.1)) < 0.003)
        page.get_by_text("Path", exact=True).click()
        words = wait_for_value(told, "--crop 0.2 ")
        assert page.faults == []
        page.goto("about:blank")  # WebGL in software would take the cores from what follows
        status, out = serving.end()
        assert status == 0
        assert json.loads(out)["subject"] == str(vivid_run.path)

    path = read_path(file, scene, prefer="keyframes")
    assert len(path.keyframes) == 2
    torch.testing.assert_close(path.keyframes[0].world_from_cam.float(), first, atol=1e-3, rtol=0)
    assert path.keyframes[0].fov == pytest.approx(photo_fov(scene), abs=1e-3)
    moved = path.keyframes[1].world_from_cam[:3, 3] - path.keyframes[0].world_from_cam[:3, 3]
    assert 0.1 < float(moved.norm()) < 3
    video = tmp_path / "video.mp4"
    options = ["-o", str(video), "--size", "64x48", "--json", "--fps", "5"]
    made = subprocess.run(
        [sys.executable, "-m", "nerfkit.cli", *shlex.split(words)[1:], *options],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(made.stdout)["frames"] == 10
    frame = iio.imread(video, index=0, plugin="FFMPEG") / 255.0
    assert share_like(frame, (0.1, 0.8, 0.2), 0.3) > 0.01 > share_like(frame, (0.9, 0.1, 0.1))


def test_a_channel_is_drawn_here_for_who_chose_it(page: Any, browser: Any, vivid_run: Run, tmp_path: Path) -> None:
    file = tmp_path / "splats.ply"
    ply.write(file, vivid_run.model().gaussians(), up="z")  # type: ignore[attr-defined]
    with Serving("view", str(file), "--port", "0") as serving:
        came: list[float] = []
        page.on("websocket", lambda opened: opened.on("framereceived", lambda _: came.append(time.monotonic())))
        page.goto(serving.url())
        wait_until(page, lambda seen: share_like(seen, (0.1, 0.8, 0.2)) > 0.02)  # the green ball is in front
        page.get_by_role("combobox").or_(page.get_by_role("textbox")).first.click()
        page.get_by_role("option", name="depth").click()
        near = (0.5, 0.05, 0.0)  # turbo's end
        wait_until(page, lambda seen: share_like(seen, near, 0.15) > 0.01 > share_like(seen, (0.1, 0.8, 0.2)))
        other = browser.new_page(viewport=SIZE)
        other.goto(page.url)
        wait_until(other, lambda seen: share_like(seen, (0.1, 0.8, 0.2)) > 0.02)
        wait_until(page, lambda seen: share_like(seen, near, 0.15) > 0.01 > share_like(seen, (0.1, 0.8, 0.2)))
        other.close()
        page.mouse.move(60, 250)
        page.mouse.down()
        came.clear()
        start = time.monotonic()
        for step in range(20):
            page.mouse.move(60 + 4 * step, 250)
            page.wait_for_timeout(40)
        page.mouse.up()
        assert came and came[0] - start < 1.0  # while the camera moves
        assert len(came) >= 4
        assert serving.end()[0] == 0


def test_training_is_stopped_from_the_page(page: Any, little_scene: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", str(little_scene), "--out", str(run), "--steps", "1000000", "--downscale", "1", "--threads", "1"]
    with Serving(*words, "--viewer", "--port", "0", "--gaussians.cap", "400", "--json") as serving:
        page.goto(serving.url())
        page.get_by_text("Training", exact=True).click()
        page.get_by_text("steps/s").wait_for()
        press(page, "Pause")
        page.get_by_text("paused").wait_for()
        press(page, "Resume")
        page.get_by_text("paused").wait_for(state="detached")
        press(page, "Stop")
        status, out = serving.end(interrupt=False)
        assert status == 0, serving.told
        metrics = json.loads(out)
    assert 0 < metrics["steps"] < 1_000_000
    assert metrics["eval"]["views"] == 2
    assert "nerfkit view" in serving.told
    assert Run.open(run).model() is not None


def test_a_scene_without_a_model_and_a_token(page: Any, little_scene: Path) -> None:
    with Serving("view", str(little_scene), "--port", "0", "--host", "127.0.0.1") as serving:
        url = serving.url()
        answer = page.goto(url.split("?")[0])
        assert answer.status == 403
        page.goto(url)
        assert "token" not in page.url
        wait_until(page, lambda seen: share_like(seen, (1.0, 0.58, 0.1)) > 0.001)  # the frustums' lines
        assert serving.end()[0] == 0


@pytest.fixture
def seen(page: Any, vivid_run: Run) -> Iterator[tuple[Viewer, Looker]]:
    """A viewer of this process, and the page as one who looks."""
    with Viewer(open_subject(vivid_run.path), port=0) as viewer:
        page.goto(viewer.url)
        yield viewer, wait_for_looker(viewer)


def test_a_flight_shows_each_pose_upright_without_its_path_and_comes_back(
    page: Any, browser: Any, seen: tuple[Viewer, Looker]
) -> None:
    viewer, looker = seen
    wait_until(page, lambda shown: share_like(shown, RED) > 0.02)
    before = standpoint(looker.client)
    eyes = [(0.9 * math.cos(a), 0.9 * math.sin(a), 0.4 + 0.2 * a) for a in (0.3, 1.5, 2.7)]
    poses = look_at(torch.tensor(eyes), torch.zeros(3), UP).double()
    for pose in poses:
        viewer.path.keys.add(pose, 0.9)
    with viewer.path._lock:
        viewer.path._refresh(0)
    cameras = viewer.path.keys.path().sample(4 * PREVIEW_FPS, (1280, 720))
    shown: list[torch.Tensor] = []
    looker.client.camera.on_update(lambda _: shown.append(pose_of(looker.client.camera)))
    other = browser.new_page(viewport=SIZE)
    other.goto(page.url)
    wait_for_looker(viewer, 2)
    page.get_by_text("Path", exact=True).click()
    press(page, "Preview")
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    until(lambda: not looker.trail._root.visible)
    assert [one.trail._root.visible for one in viewer.lookers() if one is not looker] == [True]
    page.get_by_role("button", name="Preview", exact=True).wait_for(timeout=20000)
    other.close()
    off = [float((pose - cameras.world_from_cam).abs().amax((1, 2)).min()) for pose in shown]
    # As the page's own camera has it, but for the way there and back, and where it was read while it was set. A busy
    # machine's page tells of few poses, of which those are more.
    assert np.count_nonzero(np.array(off) < 1e-3) > 5 and np.median(off) < 1e-3
    until(lambda: float(np.abs(looker.client.camera.position - before[1]).max()) < 1e-4)
    for now, then in zip(standpoint(looker.client), before, strict=True):
        np.testing.assert_allclose(now, then, atol=1e-3)
    assert looker.trail._root.visible


def test_the_end_amid_a_flight_is_quiet(page: Any, vivid_run: Run, recwarn: pytest.WarningsRecorder) -> None:
    with Viewer(open_subject(vivid_run.path), port=0) as viewer:
        page.goto(viewer.url)
        wait_for_looker(viewer)
        for index in range(2):
            viewer.path.keys.add(look_at(torch.tensor([1.0, index, 0.5]), torch.zeros(3), UP), 0.9)
        page.get_by_text("Path", exact=True).click()
        press(page, "Preview")
        until(lambda: viewer.path._flight is not None)
    assert viewer.path._flight is None
    assert [str(one.message) for one in recwarn if "closed connection" in str(one.message)] == []


def test_a_keyframe_that_one_stands_in_hides_nothing(seen: tuple[Viewer, Looker], page: Any) -> None:
    viewer, looker = seen
    page.get_by_text("Path", exact=True).click()
    press(page, "Add keyframe")
    page.get_by_text("1: 0 s").first.wait_for(state="attached")
    viewer.path.keys.add(torch.diag(torch.tensor([1.0, -1, -1, 1])), 1.0)
    with viewer.path._lock:
        viewer.path._refresh(0)
    assert [node.visible for node in looker.trail._frustums] == [False, True]
    viewer.go(looker.client, viewer.path.keys.keys[1].world_from_cam, 1.0)
    until(lambda: [node.visible for node in looker.trail._frustums] == [True, False])


def test_without_a_model_one_sees_the_photo_that_one_jumps_to(page: Any, little_scene: Path) -> None:
    with Viewer(open_subject(little_scene), port=0) as viewer:
        page.goto(viewer.url)
        photos = wait_for_looker(viewer).photos
        assert photos is not None
        wait_until(page, lambda shown: share_like(shown, (1.0, 0.58, 0.1)) > 0.001)
        photos._visit(3)
        wait_until(page, lambda shown: share_like(shown, (40 / 255, 60 / 255, 140 / 255), 0.1) > 0.3)
        assert [index for index, handle in photos._handles.items() if not handle.visible] == []


def wait_for_looker(viewer: Viewer, count: int = 1) -> Looker:
    """The first to look, once there are so many."""
    until(lambda: len(viewer.lookers()) >= count)
    return viewer.lookers()[0]


def until(holds: Callable[[], bool], timeout: float = 20) -> None:
    end = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def wait_for_value(field: Any, part: str, timeout: float = 15) -> str:
    """What stands in a field of the page once it holds ``part``."""
    end = time.monotonic() + timeout
    while part not in field.input_value():
        assert time.monotonic() < end, f"{part!r} isn't in {field.input_value()!r}"
        time.sleep(0.1)
    return str(field.input_value())


def wait_for(file: Path) -> None:
    until(file.is_file)
