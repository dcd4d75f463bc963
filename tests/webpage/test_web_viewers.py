"""Two viewers that no one here wrote show the files that nerfkit writes as nerfkit draws them."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from painted import ANGLE, SIZE, camera, ours, painted_gaussians
from tab import Tab, psnr

from nerfkit.splats import formats, upright
from nerfkit.splats.transform import transform

CLIENTS = Path(__file__).parents[1] / "clients"
ASSETS = Path(__file__).parents[2] / "nerfkit" / "webpage" / "assets"
WEB_VIEWER = Path(__file__).parents[2] / "scripts" / "web_viewer"
HOST = "http://localhost"
LEAST = 25.0  # dB


@pytest.fixture
def tab(browser: Any, tmp_path: Path) -> Iterator[Tab]:
    """A page whose every request is answered from the clients' folder and the test's own."""
    with Tab(browser, *SIZE) as opened:

        def answer(route: Any) -> None:
            name = route.request.url.removeprefix(HOST).lstrip("/").partition("?")[0]
            found = [place / name for place in (tmp_path, CLIENTS, ASSETS) if (place / name).is_file()]
            if name == "viewer.js":
                route.fulfill(
                    body=gzip.decompress((ASSETS / "viewer.js.gz").read_bytes()), content_type="text/javascript"
                )
            elif found:
                route.fulfill(path=found[0])
            else:
                route.fulfill(status=404)

        opened.context.route("**/*", answer)
        yield opened


@pytest.mark.browser
@pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".splat", ".spz", ".sog"])
def test_spark(tab: Tab, tmp_path: Path, suffix: str) -> None:
    if not (CLIENTS / "node_modules/@sparkjsdev/spark").is_dir():
        pytest.skip("needs Spark and three.js: make clients")
    gaussians = painted_gaussians()
    if suffix == ".splat":
        gaussians = formats.with_degree(gaussians, 0)
    formats.write(tmp_path / f"scene{suffix}", gaussians, up="z")
    seen = camera(35)
    pose = seen.world_from_cam[0].clone()
    pose[:, 1:3] *= -1  # OpenGL's camera axes
    tab.page.goto(f"{HOST}/spark.html")
    tab.page.wait_for_function("'show' in window")
    count = tab.page.evaluate(
        "([file, pose, angle]) => show(file, pose, angle)", [f"/scene{suffix}", pose.flatten().tolist(), ANGLE]
    )
    assert count == len(gaussians)
    assert psnr(tab.picture(), ours(gaussians, seen)) > LEAST
    assert tab.faults == []


@pytest.mark.browser
@pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".sog"])
def test_playcanvas(tab: Tab, tmp_path: Path, suffix: str) -> None:
    """It takes a file's -Y for up, and what it shows is turned by half a turn about Z."""
    gaussians, seen = painted_gaussians(), camera(35)
    turned = upright.turn("-y").inverse().compose(upright.turn("z"))
    formats.write(tmp_path / f"scene{suffix}", transform(gaussians, turned), up="-y")
    eye, forward = seen.world_from_cam[0, :3, 3], seen.world_from_cam[0, :3, 2]
    places = [upright.turn("z").points(point).tolist() for point in (eye, eye + 3 * forward)]
    longer = 2 * math.degrees(math.atan(math.tan(math.radians(ANGLE / 2)) * SIZE[0] / SIZE[1]))
    tab.page.goto(f"{HOST}/playcanvas.html")
    tab.page.evaluate(
        "([file, eye, target, fov]) => show(file, eye, target, fov)", [f"/scene{suffix}", *places, longer]
    )
    assert psnr(tab.picture(), ours(gaussians, seen)) > LEAST
    assert tab.faults == []


@pytest.mark.browser
@pytest.mark.parametrize(("page", "package"), [("three_glb", "three"), ("playcanvas_glb", "playcanvas")])
def test_engines_show_the_glb(tab: Tab, tmp_path: Path, page: str, package: str) -> None:
    """Loaders of glTF that know KHR_gaussian_splatting, with the camera of the file's frame, which has +Y up."""
    if not (CLIENTS / "node_modules" / package).is_dir():
        pytest.skip("needs three.js and PlayCanvas' engine: make clients")
    gaussians, seen = painted_gaussians(), camera(35)
    formats.write(tmp_path / "scene.glb", gaussians, up="z")
    pose = upright.turn("z").poses(seen.world_from_cam)[0]
    pose[:, 1:3] *= -1  # OpenGL's camera axes
    tab.page.goto(f"{HOST}/{page}.html")
    tab.page.wait_for_function("'show' in window")
    count = tab.page.evaluate(
        "([file, pose, angle]) => show(file, pose, angle)", ["/scene.glb", pose.flatten().tolist(), ANGLE]
    )
    assert count == len(gaussians)
    assert psnr(tab.picture(), ours(gaussians, seen)) > LEAST
    assert tab.faults == []


def test_the_bundle_is_what_the_lock_file_says() -> None:
    """Without npm; `python scripts/vendor_viewer.py --check` bundles it again and compares every byte."""
    locked = json.loads((WEB_VIEWER / "package-lock.json").read_text())["packages"]
    licenses = (ASSETS / "viewer.license.txt").read_text()
    code = gzip.decompress((ASSETS / "viewer.js.gz").read_bytes()).decode()
    for name in ("@playcanvas/supersplat-viewer", "playcanvas"):
        package = locked[f"node_modules/{name}"]
        assert package["integrity"].startswith("sha512-") and package["license"] == "MIT"
        assert f"{name} {package['version']}\n" in licenses and f'"{package["version"]}"' in code
