"""``poses.html``: whole in one file, and in a browser what is selected in one place is selected in all."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import ask

from nerfkit import poses
from nerfkit.poses import page

VOID = {"meta", "img", "input", "br"}

Posed = tuple[Path, poses.PoseReport]


class Parsed(HTMLParser):
    """Fails on tags that don't nest; knows what a page links to and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset", "poster")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def test_everything_is_in_one_small_file(posed: Posed) -> None:
    text = (posed[0] / "poses.html").read_text()
    parsed = Parsed(text)
    assert not re.search(r"https?:|url\(|@import|<link", text)
    assert len(text) < 600_000
    assert all(link == "" or link.startswith("data:image/jpeg;base64,") for link in parsed.links)
    words = " ".join(parsed.words)
    for name in (f"{index:04d}.jpg" for index in (0, 1, 2, 3, 20, 21, 22, 36, 37, 38)):
        assert name in words
    assert "10 of 10" in words and "All is well" in words


def test_points_survive_their_quantisation(posed: Posed) -> None:
    import pycolmap

    data = data_of((posed[0] / "poses.html").read_text())
    model = pycolmap.Reconstruction(str(posed[0] / "colmap" / "sparse" / "0"))
    cloud = data["points"]
    kept = np.frombuffer(base64.b64decode(cloud["xyz"]), "<u2").reshape(-1, 3) * cloud["step"] + cloud["low"]
    real = np.array([point.xyz for point in model.points3D.values()])
    assert cloud["count"] == len(kept) > 0.95 * len(real)
    nearest = np.linalg.norm(kept[:, None] - real[None], axis=2).min(1)
    assert nearest.max() < 1e-3
    assert len(base64.b64decode(cloud["rgb"])) == 3 * len(kept)


def test_many_points_are_thinned() -> None:
    rng = np.random.default_rng(0)
    made = page.quantised(rng.normal(size=(100_000, 3)), rng.integers(0, 255, (100_000, 3), np.uint8))
    assert made["count"] == page.MOST_POINTS
    far = np.concatenate([rng.normal(size=(100, 3)), [[1e6, 0, 0]]])
    assert page.quantised(far, np.zeros((101, 3), np.uint8))["count"] == 100
    assert page.quantised(np.zeros((0, 3)), np.zeros((0, 3), np.uint8))["count"] == 0


def test_three_hundred_photos_stay_a_few_megabytes(posed: Posed, ten_photos: Path, tmp_path: Path) -> None:
    """Thirty times the ten photos, all pairs matched."""
    import pycolmap

    out, report = posed
    seen = json.loads((out / ".cache" / "review.json").read_text())["result"]
    rows = [row | {"name": f"{k:02d}/{row['name']}"} for k in range(30) for row in seen["photos"]]
    pairs = [[a, b, 100 + a] for a in range(300) for b in range(a + 1, min(300, a + 60))]
    model = pycolmap.Reconstruction(str(out / "colmap" / "sparse" / "0"))
    target = tmp_path / "poses.html"
    page.write(target, report, seen | {"photos": rows, "pairs": pairs}, model, ten_photos)
    assert target.stat().st_size < 3_000_000


def test_a_frame_by_gps_is_told(posed: Posed, ten_photos: Path, tmp_path: Path) -> None:
    import pycolmap

    out, report = posed
    seen = json.loads((out / ".cache" / "review.json").read_text())["result"]
    place = {"latitude": 41.8902, "longitude": 12.4922, "altitude": 48.0}
    fit = {"photos": 10, "used": 9, "residual_m": 1.2345, "scale_error": 0.02, "origin": place}
    frame = report.frame | {
        "scale": "metric",
        "scale_from": "gps",
        "unit": "metre",
        "x": "east",
        "y": "north",
        "gps": fit,
    }
    target = tmp_path / "poses.html"
    model = pycolmap.Reconstruction(str(out / "colmap" / "sparse" / "0"))
    page.write(target, dataclasses.replace(report, frame=frame), seen, model, ten_photos)
    words = " ".join(Parsed(target.read_text()).words)
    for told in ("in metres, by GPS", "9 of 10 photos agree, within 1.23 m", "2.0 %", "41.890200, 12.492200, 48.0 m"):
        assert told in words
    assert data_of(target.read_text())["frame"] == {"unit": "m", "ground": True, "axes": ["east", "north", "up"]}


def test_odd_names_and_a_photo_that_is_gone(posed: Posed, ten_photos: Path, tmp_path: Path) -> None:
    import pycolmap

    out, report = posed
    seen = json.loads((out / ".cache" / "review.json").read_text())["result"]
    name = "</script><img src=x onerror=alert(1)>&\"'ü狐"
    rows = [row | ({"name": name, "image": "gone.jpg"} if k == 2 else {}) for k, row in enumerate(seen["photos"])]
    model = pycolmap.Reconstruction(str(out / "colmap" / "sparse" / "0"))
    target = tmp_path / "poses.html"
    told: list[tuple[int, int]] = []
    page.write(
        target, report, seen | {"photos": rows}, model, ten_photos, lambda done, total: told.append((done, total))
    )
    assert told == [(done, len(rows)) for done in range(1, len(rows) + 1)]
    text = target.read_text()
    assert name in " ".join(Parsed(text).words)
    assert data_of(text)["photos"][2]["name"] == name
    assert "onerror=alert(1)>" not in text.split('id="data"')[0].split("<body>")[1].replace("&gt;", "")


SELECTED = "[...document.querySelectorAll('#photos tbody tr[aria-selected=true]')].map(row => row.dataset.name)"


@pytest.mark.browser
def test_a_click_on_a_camera_selects_its_row(posed: Posed, tmp_path: Path) -> None:
    """And keys turn and zoom, and a look through a camera shows what it saw."""
    answer = ask(posed[0] / "poses.html", f"""
        const canvas = document.getElementById("view"), box = canvas.getBoundingClientRect();
        const filled = () => {{
          const {{ data }} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let count = 0, sum = 0;
          for (let i = 0; i < data.length; i += 4) if (data[i + 3]) {{ count++; sum = (sum * 31 + data[i] + i) % 1e9; }}
          return [count, sum];
        }};
        poses.view.drawNow();
        const before = filled(), [x, y] = poses.view.place(4);
        for (const type of ["pointerdown", "pointerup"])
          canvas.dispatchEvent(new PointerEvent(type, {{ clientX: box.left + x, clientY: box.top + y, pointerId: 1 }}));
        poses.view.drawNow();
        const clicked = {SELECTED}, chosen = document.querySelector("#chosen h3").textContent, marked = filled();
        const key = key => canvas.dispatchEvent(new KeyboardEvent("keydown", {{ key, cancelable: true }}));
        key("n");
        const next = {SELECTED};
        key("ArrowLeft"); key("+");
        poses.view.drawNow();
        const turned = filled();
        document.querySelector("#chosen .look").click();
        poses.view.drawNow();
        return {{ before, marked, turned, looked: filled(), clicked, chosen, next }};
    """, tmp_path)  # fmt: skip
    assert answer["before"][0] > 2000  # the cameras' lines and the points
    assert answer["clicked"] == ["0020.jpg"]
    assert answer["chosen"] == "0020.jpg"
    assert answer["next"] == ["0021.jpg"]
    sums = [answer[key][1] for key in ("before", "marked", "turned", "looked")]
    assert len(set(sums)) == 4


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_table_sorts_and_rows_select_cameras(posed: Posed, tmp_path: Path, width: int) -> None:
    answer = ask(posed[0] / "poses.html", f"""
        const names = () => [...document.querySelectorAll("#photos tbody tr")].map(row => row.dataset.name);
        const heads = [...document.querySelectorAll("#photos thead th")];
        const sort = column => heads[column].querySelector("button").click();
        const rows = () => [...document.querySelectorAll("#photos tbody tr")];
        const features = () => rows().map(row => Number(row.cells[2].dataset.value));
        sort(2);
        const rising = features();
        sort(2);
        const falling = features(), state = heads[2].getAttribute("aria-sort");
        sort(0);
        document.querySelector("#photos tbody tr:nth-child(3) td.near button").click();
        const neighbour = {SELECTED};
        document.querySelector("#photos tbody tr:nth-child(3)").click();
        const graph = document.getElementById("graph");
        for (const key of ["ArrowDown", "ArrowRight"]) graph.dispatchEvent(new KeyboardEvent("keydown", {{ key }}));
        const pair = document.getElementById("pair").textContent;
        return {{ names: names(), rising, falling, state, neighbour, row: {SELECTED}, pair }};
    """, tmp_path, width)  # fmt: skip
    assert answer["names"] == sorted(answer["names"])
    assert answer["rising"] == sorted(answer["rising"]) and len(set(answer["rising"])) > 3
    assert answer["falling"] == sorted(answer["falling"], reverse=True)
    assert answer["state"] == "descending"
    assert answer["row"] == ["0002.jpg"]
    assert len(answer["neighbour"]) == 1 and answer["neighbour"] != ["0002.jpg"]
    assert re.fullmatch(r"0002\.jpg and 0003\.jpg: \d+ matches", answer["pair"])


@pytest.mark.browser
def test_warnings_narrow_the_table(ten_photos: Path, tmp_path: Path) -> None:
    import cv2

    folder = tmp_path / "some"
    folder.mkdir()
    for photo in sorted(ten_photos.iterdir())[4:]:
        shutil.copy(photo, folder)
    cv2.imwrite(str(folder / "0099.jpg"), np.full((480, 640, 3), 127, np.uint8))
    report = poses.estimate(folder, tmp_path / "out", poses.PoseOptions(quality="draft"))
    assert [warning["kind"] for warning in report.warnings] == ["no-features", "few-photos"]
    assert report.unregistered == ["0099.jpg"]
    answer = ask(tmp_path / "out" / "poses.html", """
        const rows = [...document.querySelectorAll("#photos tbody tr")];
        const shown = () => rows.filter(row => !row.hidden).map(row => row.innerText);
        const all = shown().length;
        document.querySelector("[data-only]").click();
        const narrowed = shown();
        document.getElementById("all").click();
        return { all, narrowed, again: shown().length };
    """, tmp_path)  # fmt: skip
    assert (answer["all"], answer["again"]) == (7, 7)
    assert len(answer["narrowed"]) == 1
    assert "0099.jpg" in answer["narrowed"][0] and "no features" in answer["narrowed"][0]
