"""Several runs become pages, and a page that leads to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tab import Tab

from nerfkit.cli import main
from nerfkit.train.config import TrainConfig
from nerfkit.train.run import Run
from nerfkit.webpage.gallery import file_names


@pytest.mark.browser
def test_a_gallery_leads_to_its_scenes(
    browser: Any, painted_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "second" / "my run"
    again.parent.mkdir()
    again.symlink_to(painted_run.path)
    runs, place = [str(painted_run.path), str(again.parent / "my run")], tmp_path / "gallery"
    assert main(["export", *runs, "-o", str(place), "--title", "<b>Mine", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["files"] == [str(place / name) for name in ("index.html", "my-run.html", "my-run-2.html")]
    for width in (1280, 390):
        with Tab(browser, width, 844) as tab:
            tab.page.goto((place / "index.html").as_uri())
            assert tab.page.locator("h1").inner_text() == "<b>Mine"
            assert tab.page.locator(".gallery a").count() == 2
            assert tab.page.evaluate("Promise.all([...document.images].map(image => image.decode())).then(() => true)")
            assert tab.page.evaluate("document.documentElement.scrollWidth") == width
            if width == 1280:
                continue
            tab.page.locator(".gallery a").nth(1).click()
            tab.page.wait_for_function("globalThis.nerfkitPage?.viewer.state.loaded")
            assert tab.page.url == (place / "my-run-2.html").as_uri() and tab.page.title() == "my run"
            assert tab.faults == []
    assert main(["export", *runs, "-o", str(place)]) == 0  # again, over the first


def test_names_of_files() -> None:
    titles = ["a b", "A/B", "../x", "ünï", "index", "", "a-b", "INDEX"]
    assert file_names(titles) == [
        "a-b.html", "A-B-2.html", "x.html", "n.html", "index-2.html", "scene.html", "a-b-3.html", "INDEX-3.html",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give its folder with --out"),
        (["-o", "gallery", "--format", "ply"], "is for one run"),
        (["-o", "file"], "is a file"),
        (["-o", "site"], "index.html: is there and is no page of a gallery"),
        (["-o", "pages"], "my-run.html: is there and is no page of a gallery"),
    ],
)
def test_mistakes(
    painted_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    words: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("site").mkdir()
    Path("site/index.html").write_text("my own")
    Path("pages").mkdir()
    Path("pages/my-run.html").write_text("my own")
    assert main(["export", str(painted_run.path), str(painted_run.path), *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert sorted(str(path) for path in Path().rglob("*")) == [
        "file", "pages", "pages/my-run.html", "site", "site/index.html",
    ]  # fmt: skip


def test_a_run_without_gaussians_is_told_before_any_page_is_made(
    painted_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Run.create(tmp_path / "other", TrainConfig(tmp_path, model="ngp"))
    assert main(["export", str(painted_run.path), str(other.path), "-o", str(tmp_path / "gallery")]) == 2
    assert "a ngp model has no Gaussians to export" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "gallery").exists()
