"""``nerfkit export --format html``: one file that shows the splats without a network, as nerfkit draws them."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from painted import ANGLE, SIZE, camera, ours, painted_gaussians
from tab import Tab, psnr

from nerfkit.cameras import resize
from nerfkit.cli import main
from nerfkit.contracts import Gaussians
from nerfkit.data.similarity import Similarity
from nerfkit.splats import formats, ply
from nerfkit.splats.judge import Judge
from nerfkit.splats.page import Shown, empty_page, file_from, packed, room, within_reach, write
from nerfkit.splats.transform import transform
from nerfkit.train.device import choose
from nerfkit.train.run import Run
from nerfkit.views.paths.around import orbit
from nerfkit.webpage import scene as scene_module
from nerfkit.webpage.scene import ScenePage

NASTY = "</script><script>alert(1)</script> <!-- & \" '"
CHROME = ("#title", ".sse-ui")  # what lies over the scene
in_a_browser = pytest.mark.browser


@pytest.fixture(scope="module")
def page_of_a_run(painted_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("page") / "scene.html"
    assert main(["export", str(painted_run.path), "--format", "html", "-o", str(page), "--title", NASTY]) == 0
    return page


@in_a_browser
def test_it_starts_where_the_orbit_of_the_photos_does(browser: Any, page_of_a_run: Path, painted_run: Run) -> None:
    """In a window of the photos' shape; what its shorter side shows doesn't change with the shape."""
    scene, model = painted_run.scene(), painted_run.model()
    gaussians, first = model.gaussians(), orbit(scene, 24, SIZE)[0]
    want = ours(gaussians, first)
    with Tab(browser, *SIZE) as tab:
        tab.open(page_of_a_run)
        tab.hide(*CHROME)
        assert psnr(tab.picture(), want) > 25
        assert tab.faults == []
    with Tab(browser, SIZE[1], 2 * SIZE[1], device_scale_factor=2) as tab:
        tab.open(page_of_a_run)
        tab.hide(*CHROME)
        tall = tab.picture()[SIZE[1] : 3 * SIZE[1]]
        left = SIZE[0] - SIZE[1]
        assert psnr(tall, ours(gaussians, resize(first, 2 * SIZE[0], 2 * SIZE[1]))[:, left:-left]) > 25
        assert tab.faults == []


@in_a_browser
def test_words_of_a_title_are_only_words(browser: Any, page_of_a_run: Path) -> None:
    with Tab(browser, 390, 844, has_touch=True, is_mobile=True) as tab:
        tab.open(page_of_a_run)
        assert tab.page.title() == NASTY and tab.page.locator("#title").inner_text() == NASTY
        assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
        assert tab.page.locator(".sse-controlsHint").is_hidden()  # it would cover half of a phone
        assert tab.faults == []


@in_a_browser
def test_orbit_fly_and_play(browser: Any, page_of_a_run: Path) -> None:
    with Tab(browser, 480, 360) as tab:
        tab.open(page_of_a_run)
        place = "(() => { const { x, y, z } = nerfkitPage.viewer.app.root.findByName('camera').getPosition();"
        place += " return [x, y, z] })()"

        def went(what: str, before: list[float]) -> list[float]:
            after = before
            for _ in range(200):
                after = tab.page.evaluate(place)
                if math.dist(before, after) > 0.05:
                    return after
                tab.page.wait_for_timeout(50)
            pytest.fail(f"{what} didn't move the camera from {before}")

        state = "nerfkitPage.viewer.state"
        assert tab.page.evaluate(f"{state}.cameraMode") == "orbit"
        assert tab.page.locator(".sse-play").is_visible() and tab.page.locator(".sse-enterFullscreen").is_visible()
        start = tab.page.evaluate(place)
        tab.page.mouse.move(240, 180)
        tab.page.mouse.down()
        tab.page.mouse.move(340, 180, steps=4)
        tab.page.mouse.up()
        turned = went("a drag", start)
        assert math.hypot(*turned) == pytest.approx(math.hypot(*start), rel=0.05)  # around the origin
        tab.page.keyboard.press("2")
        assert tab.page.evaluate(f"{state}.cameraMode") == "fly"
        tab.page.keyboard.down("w")
        flown = went("flying", turned)
        tab.page.keyboard.up("w")
        tab.page.keyboard.press("Space")
        assert tab.page.evaluate(f"{state}.cameraMode") == "anim"
        went("playing", flown)
        assert tab.faults == []


@in_a_browser
def test_a_finger_orbits_and_two_zoom(browser: Any, page_of_a_run: Path) -> None:
    with Tab(browser, 390, 640, has_touch=True, is_mobile=True) as tab:
        tab.open(page_of_a_run)
        place = "(() => { const { x, y, z } = nerfkitPage.viewer.app.root.findByName('camera').getPosition();"
        place += " return [x, y, z] })()"
        hand = tab.context.new_cdp_session(tab.page)

        def swipe(*fingers: list[tuple[float, float]]) -> list[float]:
            """Moves fingers along their places; gives where the camera is then."""
            before = tab.page.evaluate(place)
            for kind, points in [("touchStart", [way[0] for way in fingers])] + [
                ("touchMove", [way[step] for way in fingers]) for step in range(1, len(fingers[0]))
            ]:
                hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
                    {"x": x, "y": y, "id": index} for index, (x, y) in enumerate(points)
                ]})  # fmt: skip
                tab.page.wait_for_timeout(20)
            hand.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            for _ in range(100):
                after = tab.page.evaluate(place)
                if math.dist(before, after) > 0.05:
                    break
                tab.page.wait_for_timeout(50)
            tab.page.wait_for_timeout(400)  # it comes to rest smoothly
            return tab.page.evaluate(place)

        start = tab.page.evaluate(place)
        turned = swipe([(150 + 12 * step, 320) for step in range(8)])
        assert math.dist(start, turned) > 0.2
        assert math.hypot(*turned) == pytest.approx(math.hypot(*start), rel=0.05)  # around the origin
        nearer = swipe([(180 - 10 * step, 320) for step in range(8)], [(210 + 10 * step, 320) for step in range(8)])
        assert math.hypot(*nearer) < 0.9 * math.hypot(*turned)
        assert tab.faults == []


@in_a_browser
def test_without_webgl_there_is_a_still_and_a_reason(browser: Any, page_of_a_run: Path) -> None:
    with Tab(browser, 480, 360) as tab:
        tab.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        tab.open(page_of_a_run)
        assert "WebGL 2 is missing" in tab.page.locator("#fault").inner_text()
        assert tab.page.evaluate("still.complete && still.naturalWidth") == 960
        assert tab.picture().std() > 0.1


@in_a_browser
def test_a_file_becomes_a_page(browser: Any, tmp_path: Path) -> None:
    """Upright by --up, before black, from outside."""
    ply.write(tmp_path / "a.ply", painted_gaussians())
    assert main(["convert", str(tmp_path / "a.ply"), str(tmp_path / "a.html"), "--up", "z", "--autoplay"]) == 0
    shown = Shown.around(painted_gaussians(), "z")
    with Tab(browser, shown.path.width, shown.path.height) as tab:
        tab.page.goto((tmp_path / "a.html").as_uri())
        tab.page.wait_for_function("globalThis.nerfkitPage?.viewer.state.loaded")
        assert tab.page.evaluate("nerfkitPage.viewer.state.cameraMode") == "anim"
        assert tab.page.evaluate("nerfkitPage.viewer.state.animationPaused") is False
        tab.page.evaluate("nerfkitPage.viewer.state.animationPaused = true, nerfkitPage.viewer.seek(0)")
        tab.hide(*CHROME)
        assert psnr(tab.picture(), ours(painted_gaussians(), shown.path[0])) > 25
        assert tab.page.title() == "a" and tab.faults == []


@in_a_browser
def test_antialiased_ones_fade_with_distance_as_in_our_pictures(browser: Any, tmp_path: Path) -> None:
    fine = painted_gaussians()
    fine = replace(fine, scales=fine.scales * 0.2, opacities=fine.opacities * 0.6, antialiased=True)
    write(tmp_path / "a.html", a_page(fine))
    with Tab(browser, *SIZE) as tab:
        tab.open(tmp_path / "a.html")
        tab.hide(*CHROME)
        shown = tab.picture()
    behind = torch.tensor([0.2, 0.4, 0.6])
    same, fat = (psnr(shown, ours(g, camera(20), behind)) for g in (fine, replace(fine, antialiased=False)))
    assert same > 25 and same > fat + 3, (same, fat)


def a_page(gaussians: Gaussians, title: str = "a") -> ScenePage:
    shown = Shown(camera(20), torch.tensor([0.0, 0.0, 0.4]), torch.tensor([0.2, 0.4, 0.6]), "z")
    empty = empty_page(choose("cpu")[1], gaussians, shown, title)
    return replace(empty, sog=packed(transform(gaussians, file_from("z"))))


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    page = a_page(painted_gaussians(), NASTY)
    write(tmp_path / "a.html", page)
    words = (tmp_path / "a.html").read_text()
    assert len(words.encode()) == page.size()
    assert not re.findall(r'(?:src|href)="(?!data:)', words.partition("<script")[0])
    assert not re.findall(r"url\((?!['\"]?data:)", words.partition("</style>")[0])
    assert words.count("<script") == words.count("</script>") == 4  # told, splats, viewer, and the page's own
    assert "MIT" in words or "Permission is hereby granted" in words


def test_what_the_page_is_told(tmp_path: Path) -> None:
    """The camera in the viewer's frame: our (x, y, z), +Z up, is its (x, z, -y)."""
    page = a_page(painted_gaussians())
    told = json.loads(re.findall(r'id="told">(.*?)</script>', page.html())[0])
    x, y, z = camera(20).world_from_cam[0, :3, 3].tolist()
    assert told["positions"] == pytest.approx([x, z, -y], abs=1e-5)
    assert told["targets"] == pytest.approx([0, 0.4, 0], abs=1e-4)
    assert told["angle"] == pytest.approx(ANGLE) and told["background"] == pytest.approx([0.2, 0.4, 0.6])
    (tmp_path / "a.sog").write_bytes(page.sog)
    low, high = formats.read(tmp_path / "a.sog").means.aminmax(dim=0)
    torch.testing.assert_close(low, torch.tensor([-1.5, -1.6, -1.5]), atol=3e-3, rtol=0)  # -Y is up, by 1.6
    torch.testing.assert_close(high, torch.tensor([1.5, 0.0, 1.5]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("size", "place", "moved"),
    [
        (1.0, (3.0, 2.0, 1.0), False),
        (1e-4, (0.0, 0.0, 0.0), True),
        (1e5, (0.0, 0.0, 0.0), True),
        (1.0, (6e5, 0, 0), True),
    ],
)
def test_a_page_of_a_file_of_any_size_at_any_place(
    tmp_path: Path, size: float, place: tuple[float, float, float], moved: bool
) -> None:
    """The viewer keeps some distance from what it looks at, and its single precision ends."""
    g = transform(painted_gaussians(), Similarity(size, torch.eye(3), torch.tensor(place)))
    ply.write(tmp_path / "a.ply", g)
    assert main(["convert", str(tmp_path / "a.ply"), str(tmp_path / "a.html"), "--up", "z", "--quiet"]) == 0
    words = (tmp_path / "a.html").read_text()
    told = json.loads(re.findall(r'id="told">(.*?)</script>', words)[0])
    (tmp_path / "a.sog").write_bytes(base64.b64decode(re.findall(r'id="splats">(.*?)</script>', words)[0]))
    low, high = formats.read(tmp_path / "a.sog").means.aminmax(dim=0)
    assert 0.5 < float((high - low).max()) < 50 and float(low.abs().max()) < 50
    assert (float((high - low).max()) == pytest.approx(3.0 * size, rel=1e-2)) == (size == 1)
    assert bool((within_reach(g).matrix != torch.eye(4)).any()) == moved
    eye, target = told["positions"][:3], told["targets"][:3]
    middle = (low + high) / 2 * torch.tensor([-1, -1, 1])  # of the file, in the viewer's frame
    assert math.dist(target, middle.tolist()) < float((high - low).max())
    assert 0.2 < math.dist(eye, target) / float((high - low).max()) < 4


def test_a_small_page(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nerfkit.splats.judge.COARSE", 96)
    monkeypatch.setattr("nerfkit.splats.budget.STEPS", 20)
    monkeypatch.setattr("nerfkit.splats.budget._FEW_STEPS", 5)
    monkeypatch.chdir(tmp_path)
    ply.write(Path("a.ply"), painted_gaussians())
    viewer = a_page(painted_gaussians())
    limit = (viewer.size() - len(viewer.sog) * 4 // 3) + 60_000
    assert main(["convert", "a.ply", "a.html", "--up", "z", "--max-size", f"{limit}B", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert limit * 0.9 < Path("a.html").stat().st_size == result["bytes"] <= limit
    assert 15 < result["psnr_after"] < 60
    embedded = re.findall(r'id="splats">(.*?)</script>', Path("a.html").read_text())[0]
    Path("a.sog").write_bytes(base64.b64decode(embedded))
    gaussians = ply.read(Path("a.ply"))
    judge = Judge.around(choose("cpu")[1], gaussians, "z").moved(file_from("z"))
    stored = judge.psnr(formats.read(Path("a.sog")))  # of what is in the page
    assert stored == pytest.approx(result["psnr_after"], abs=1e-6)
    assert main(["convert", "a.ply", "whole.html", "--up", "z", "--max-size", "10MB", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)  # with the finest settings, and what they cost
    assert whole["gaussians"] == len(gaussians) and whole["settings"] == {"palette": 1 << 16}
    assert result["psnr_after"] < whole["psnr_after"] < 100
    assert main(["convert", "a.ply", "b.html", "--max-size", "100kB"]) == 2
    assert "without any splats" in " ".join(capsys.readouterr().err.split())
    assert not Path("b.html").exists()


def test_room_counts_base64() -> None:
    page = a_page(painted_gaussians())
    left = room(page.size(), replace(page, sog=b""))
    assert left - 3 <= len(page.sog) <= left + 3


def test_edits_are_in_the_world(painted_run: Run, tmp_path: Path) -> None:
    """A crop takes what it takes of a .ply; the page's camera stays where it was, and moves with the scene."""
    crop = ["--crop-sphere", "0", "0", "0.5", "1.2"]
    counts, cameras = [], []
    for words in (crop, [*crop, "--rotate", "0", "0", "90"]):
        assert main(["export", str(painted_run.path), "-o", str(tmp_path / "a.ply"), *words]) == 0
        assert main(["export", str(painted_run.path), "-o", str(tmp_path / "a.html"), *words]) == 0
        page = (tmp_path / "a.html").read_text()
        told = json.loads(re.findall(r'id="told">(.*?)</script>', page)[0])
        cameras.append(told["positions"][:3])
        counts.append(len(ply.read(tmp_path / "a.ply")))
    scene = painted_run.scene()
    want = orbit(scene, 24)[0].world_from_cam[0, :3, 3].tolist()
    assert cameras[0] == pytest.approx([want[0], want[2], -want[1]], abs=1e-4)
    assert math.dist(cameras[0], cameras[1]) > 0.5 and counts[0] == counts[1]


def test_mistakes(
    painted_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def refused(*words: str) -> str:
        assert main([*words]) == 2
        return " ".join(capsys.readouterr().err.split())

    run = str(painted_run.path)
    assert "needs the suffix .html" in refused("export", run, "--format", "html", "-o", "a.ply")
    assert "give the folder of a run" in refused("export", "--format", "html")
    assert "--max-size: is for splats and pages" in refused("export", run, "--format", "colmap", "--max-size", "1MB")
    assert "--antialiased: is for splats" in refused("export", run, "--format", "colmap", "--antialiased")
    assert "no such run" in refused("export", "nothing", "--format", "html")
    monkeypatch.setattr(scene_module, "_HERE", "nerfkit.splats")
    assert "scripts/vendor_viewer.py" in refused("export", run, "--format", "html", "-o", "a.html")
    assert list(tmp_path.iterdir()) == []
