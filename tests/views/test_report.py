"""``report.html``: complete, self-contained, and whole whatever the names in it."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import imageio.v3 as iio
import numpy as np
import pytest

from nerfkit.train import report
from nerfkit.train.config import TrainConfig
from nerfkit.train.report import charts, images
from nerfkit.train.run import Run

VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """What a page says and points to; fails on tags that don't nest."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset", "poster")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def __contains__(self, text: str) -> bool:
        return text in " ".join(self.words)


def make_run(folder: Path, names: tuple[str, ...] = ("0001", "0009"), size: tuple[int, int] = (48, 27)) -> Run:
    run = Run.create(folder, TrainConfig(Path("my photos"), steps=300))
    for step in range(3, 301, 3):
        loss = 0.02 + 0.2 * math.exp(-step / 60)
        line = {
            "step": step,
            "progress": step / 300,
            "seconds": step / 10,
            "loss": loss,
            "l1": loss / 2,
            "ssim": loss / 2,
        }
        run.append_log(line | {"it_per_s": 10.0, "gaussians": 1000 + step, "psnr": 30 - 40 * loss})
        if step % 75 == 0:
            run.append_log({"step": step, "seconds": step / 10, "eval": {"psnr": 25 + step / 75, "ssim": 0.9}})
    random = np.random.default_rng(0)
    run.eval.mkdir()
    for index, name in enumerate(names):
        truth = random.integers(40, 200, (*size, 3)).astype(np.uint8)
        iio.imwrite(run.eval / f"{name}.truth.png", truth)
        iio.imwrite(run.eval / f"{name}.png", truth + np.uint8(2 * (index + 1)))
    metrics = {
        "model": "gaussians", "backend": "nerfkit", "device": "cpu", "steps": 300, "seconds": 30.5,
        "parameters": 59_000, "file_bytes": 3_000_000, "peak_memory_bytes": 1_500_000_000, "gaussians": 1300,
        "eval": {"views": len(names), "psnr": 31.4159, "ssim": 0.9512, "lpips": None},
    }  # fmt: skip
    run.metrics.write_text(json.dumps(metrics))
    return run


def test_everything_is_there_and_nothing_is_elsewhere(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = report.write(run)
    page = Page(path)
    assert path == run.report
    for words in ("31.42", "dB", "0.9512", "30.5", "1.50", "GB", "3.0", "MB", "1,300", "my photos", "0001", "0009",
                  "photo", "render", "error", "64/255", "training time, s", "steps", "cap", "ssim weight"):  # fmt: skip
        assert words in page, words
    assert "LPIPS" not in page  # not measured
    assert page.tags.count("img") == 6
    assert page.tags.count("svg") == 2 * 5  # PSNR, SSIM, loss, gaussians, speed; over time and over steps
    assert page.links and all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|url\(|@import|<script", text)


def make_results(run: Run) -> None:
    """A video, a mesh with its card, and splats."""
    run.renders.mkdir()
    run.exports.mkdir()
    frames = np.zeros((4, 36, 64, 3), np.uint8)
    frames[..., 0] = 200
    iio.imwrite(run.renders / "a #1.mp4", frames, fps=2, codec="libx264")
    iio.imwrite(run.exports / "chair_turntable.png", frames[0])
    (run.exports / "chair.glb").write_bytes(bytes(3_000_000))
    (run.exports / "splats.ply").write_bytes(b"")
    (run.exports / "splats.html").write_text("<!doctype html>")
    card = {
        "faces": 6543, "levels": [6543, 1600], "bounds": [[0, 0, 0], [1, 2.5, 0.5]], "metric": True, "holes": 3,
        "watertight": False, "texture_size": 1024, "distance_to_dense_percent": 0.0321, "collision_shapes": 0,
        "color_error": {"mean_error": 5.67, "psnr": 27.89},
    }  # fmt: skip
    (run.exports / "chair.json").write_text(json.dumps(card))


def test_what_was_made_from_the_run_is_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    make_results(run)
    page = Page(report.write(run))
    for words in ("Results", "6,543, 1,600", "1 x 2.5 x 0.5 m", "1024 x 1024", "0.0321 %", "5.7 of 255", "27.9 dB"):
        assert words in page, words
    assert page.tags.count("img") == 6 + 1
    linked = {unquote(link) for link in page.links if not link.startswith("data:")}
    files = {
        path.relative_to(run.path).as_posix() for folder in (run.renders, run.exports) for path in folder.iterdir()
    }
    assert linked == files - {"exports/chair.json"}
    assert page.links.count("renders/a%20%231.mp4") == 3  # the video itself, below it, and in the list
    listed = [link for link in page.links if link.startswith("exports/")]
    assert listed.index("exports/splats.html") < listed.index("exports/chair.glb")  # what needs no program comes first
    assert "look around" in page


def test_other_files_beside_the_results_do_no_harm(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    make_results(run)
    (run.exports / "splats.json").write_text('{"faces": 1}')
    (run.exports / "chair.json").write_text("[1]")
    (run.renders / "a #1.mp4").write_bytes(b"no video")
    page = Page(report.write(run))
    assert page.tags.count("video") == 0 and "6,543" not in page


def test_the_report_is_renewed_for_what_it_shows_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    report.refresh(run, [tmp_path / "elsewhere.glb"])
    assert not run.report.exists()
    report.refresh(run, [run.exports / "chair.glb"])
    assert run.report.exists()


def test_each_view_has_its_own_figures(tmp_path: Path) -> None:
    page = Page(report.write(make_run(tmp_path / "run")))
    for difference in (2, 4):
        assert f"{-20 * math.log10(difference / 255):.2f} dB" in page


@pytest.mark.parametrize("name", ["<img src=x>&\"'", "Füchse und 狐", "a b  c", "x.truth"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    page = Page(report.write(make_run(tmp_path / name, (name, "other"))))
    assert name in page
    assert page.tags.count("img") == 6


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", TrainConfig(Path("fox")))
    assert "fox" in Page(report.write(run))
    run.append_log({"step": 1, "seconds": 0.1, "loss": 0.5, "it_per_s": None})
    run.log.open("a").write('{"step": 2, "lo')  # cut off
    run.eval.mkdir()
    (run.eval / "a.truth.png").write_bytes(b"no image")
    (run.eval / "a.png").write_bytes(b"")
    run.metrics.write_text("{")
    page = Page(report.write(run))
    assert page.tags.count("svg") == 2
    assert page.tags.count("img") == 0


def test_a_diverged_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.append_log({"step": 301, "seconds": 31.0, "loss": math.nan, "it_per_s": 10.0, "gaussians": 7, "psnr": math.inf})
    assert "nan" not in report.write(run).read_text(encoding="utf-8").lower().split("base64")[0].split("</style>")[1]


def test_a_run_of_photos_without_poses_is_not_called_poses(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "fox" / "gaussians", TrainConfig(tmp_path / "fox" / "gaussians" / "poses"))
    assert "<h1>fox</h1>" in report.write(run).read_text()


def test_many_large_views_stay_small(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ())
    x, y = np.meshgrid(np.arange(1600), np.arange(1067))
    truth = np.stack([x % 256, y % 256, (x + y) % 256], -1).astype(np.uint8)
    for index in range(16):
        iio.imwrite(run.eval / f"{index:02d}.truth.png", truth[::4, ::4] if index else truth, compress_level=1)
        shutil.copy(run.eval / f"{index:02d}.truth.png", run.eval / f"{index:02d}.png")
    path = report.write(run)
    assert Page(path).tags.count("img") == 3 * images.MOST_VIEWS
    assert "12 of 16" in Page(path)
    assert path.stat().st_size < 5e6


def test_views_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path / "run").eval
    first = images.measure(folder)
    assert len(first) == 2 and first[0].psnr > first[1].psnr > 30
    measured: list[str] = []
    real = images._measure
    monkeypatch.setattr(images, "_measure", lambda truth, written: measured.append(truth.name) or real(truth, written))
    assert images.measure(folder) == first and not measured
    iio.imwrite(folder / f"{first[0].name}.png", iio.imread(first[0].truth))
    again = images.measure(folder)
    assert measured == [first[0].truth.name] and again[0].psnr == 100 and again[1] == first[1]
    for damage in ("{", "[]", json.dumps({first[0].name: 7})):
        (folder / images.SCORES).write_text(damage)
        assert images.measure(folder) == again


def test_the_worst_and_the_best_view_are_among_the_chosen() -> None:
    views = [images.HeldOut(f"{i}", Path(), Path(), (i * 7) % 30, None, 1, 1) for i in range(30)]
    chosen = images.choose(views, 5)
    assert {0, 29} <= {view.psnr for view in chosen}
    assert len(chosen) == 5
    assert chosen == sorted(chosen, key=views.index)


def test_the_error_map_is_black_where_all_is_right() -> None:
    truth = np.full((1, 3, 3), 100, np.uint8)
    render = truth + np.array([[[0], [32], [64]]], np.uint8)
    brightness = images.error_map(truth, render).astype(int).sum(-1)[0]
    assert brightness[0] < 10 < brightness[1] < brightness[2]
    assert (images.error_map(truth, truth + np.uint8(100)) == images.error_map(truth, render)[:, 2:]).all()


@pytest.mark.parametrize(("low", "high"), [(0, 1), (16.4, 31.2), (-3, 5e-4), (7, 7), (0, 0), (1e-9, 3e-9), (0, 5e6)])
def test_ticks_are_round_and_hold_the_values(low: float, high: float) -> None:
    found = charts.ticks(low, high)
    assert found[0] <= low + 1e-12 and found[-1] >= high - 1e-12
    assert 2 <= len(found) <= 8


@pytest.mark.parametrize(("low", "high"), [(0.02, 0.3), (1, 1), (3e-7, 40), (0.1, 0.100001), (1e-12, 1e12)])
def test_log_ticks_hold_the_values(low: float, high: float) -> None:
    found = charts.log_ticks(low, high)
    assert found[0] <= low * (1 + 1e-9) and found[-1] >= high * (1 - 1e-9)
    assert 2 <= len(found) <= 9
    assert found == sorted(set(found))


def test_a_chart_draws_inside_its_frame() -> None:
    svg = charts.line_chart([charts.Series("a", [0, 5, 10], [3.0, math.nan, 4.5])], "steps")
    points = re.findall(r"([\d.]+) ([\d.]+)", re.search(r'class="line main" d="M([^"]*)"', svg)[1])  # type: ignore[index]
    assert len(points) == 2
    assert all(0 <= float(x) <= charts.WIDTH and 0 <= float(y) <= charts.HEIGHT for x, y in points)
    assert float(points[0][1]) > float(points[1][1])  # more is higher
    assert charts.line_chart([charts.Series("a", [1], [math.nan])], "steps") == ""


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("size", [(48, 27), (27, 48)])
def test_a_browser_shows_it_without_scrolling_sideways(tmp_path: Path, width: int, size: tuple[int, int]) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("needs headless Chromium: apt-get install chromium")
    run = make_run(tmp_path / "run", ("a long name of a photo " * 5, "x" * 150), size)
    make_results(run)
    page = report.write(run)
    measure = (
        "<script>onload = () => parent.postMessage([document.documentElement.scrollWidth, innerWidth, "
        "[...document.images].filter(i => i.naturalWidth > 0).length].join(' '), '*')</script></html>"
    )
    page.write_text(page.read_text().replace("</html>", measure))
    frame = tmp_path / "frame.html"  # a browser's own window can't be as narrow as a phone
    frame.write_text(
        "<script>onmessage = e => document.title = 'measured ' + e.data</script>"
        f'<iframe src="run/report.html" style="width:{width}px;height:800px;border:0"></iframe>'
    )
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", frame.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"measured (\d+) (\d+) (\d+)", shown)
    assert found, shown
    content, window, pictures = map(int, found.groups())
    assert window == width
    assert content <= width
    assert pictures == 6 + 1


def test_a_run_is_called_by_its_folder_or_by_its_scene(tmp_path: Path) -> None:
    def names(folder: str, scene: str) -> tuple[str, str]:
        run = Run(tmp_path / folder, TrainConfig(scene=tmp_path / scene, model="gaussians"))
        return run.scene_name, run.title

    assert names("runs/fox/gaussians", "data/fox") == ("fox", "fox")
    assert names("runs/fox/gaussians", "runs/fox/gaussians/poses") == ("fox", "fox")
    assert names("runs/try 2", "data/fox/transforms.json") == ("fox", "try 2")
    assert names("runs/try 2", "runs/try 2/poses") == ("try 2", "try 2")
