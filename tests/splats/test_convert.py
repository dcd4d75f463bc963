"""``nerfkit convert`` as it is typed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from samples import CLIENTS, plausible_gaussians, some_gaussians

from nerfkit.cli import main
from nerfkit.splats import formats, ply


def convert(*words: str | Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["convert", *map(str, words), "--json"]) == 0, capsys.readouterr().err
    result: dict[str, object] = json.loads(capsys.readouterr().out)
    return result


def test_several_files_become_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = plausible_gaussians(300, 3), plausible_gaussians(200, 1)
    formats.write(tmp_path / "a.ply", a)
    formats.write(tmp_path / "b.glb", b, up="z")
    words = (tmp_path / "a.ply", tmp_path / "b.glb", tmp_path / "both.ply")
    result = convert(*words, "--up", "z", capsys=capsys)
    both = ply.read(tmp_path / "both.ply")
    assert result["gaussians"] == 500 and result["format"] == "ply" and result["files"] == [str(words[2])]
    torch.testing.assert_close(both.means, torch.cat([a.means, b.means]), atol=1e-5, rtol=0)


def test_antialiased_ones_among_others_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One way of drawing has to do for the whole file."""
    formats.write(tmp_path / "a.ply", replace(plausible_gaussians(30, 0), antialiased=True))
    formats.write(tmp_path / "b.ply", plausible_gaussians(20, 0))
    for other, said in (("b.ply", True), ("a.ply", False)):
        assert main(["convert", str(tmp_path / "a.ply"), str(tmp_path / other), "-o", str(tmp_path / "c.ply")]) == 0
        assert ("not all are antialiased" in " ".join(capsys.readouterr().err.split())) == said
        assert ply.read(tmp_path / "c.ply").antialiased != said


def test_edits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    g = plausible_gaussians(300)
    ply.write(tmp_path / "a.ply", g)
    crop = ["--crop-box", "-1", "-1", "-1", "1", "1", "1", "--sh-degree", "1"]
    move = ["--rotate", "0", "0", "90", "--scale", "2", "--translate", "0", "0", "5"]
    result = convert(tmp_path / "a.ply", tmp_path / "b.ply", *crop, *move, capsys=capsys)
    inside = (g.means.abs() <= 1).all(1)
    want = g.means[inside]
    want = torch.stack([-2 * want[:, 1], 2 * want[:, 0], 2 * want[:, 2] + 5], 1)
    back = ply.read(tmp_path / "b.ply")
    torch.testing.assert_close(back.means, want, atol=1e-5, rtol=0)
    torch.testing.assert_close(back.scales, g.scales[inside] * 2, rtol=1e-5, atol=0)
    assert back.sh.shape[1] == 4 and result["left_out"] == {"cropped": 300 - int(inside.sum())}


def test_a_file_may_replace_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is read while the new one is written beside it."""
    g = plausible_gaussians(20_000, 1)
    ply.write(tmp_path / "a.ply", g)
    result = convert(tmp_path / "a.ply", tmp_path / "a.ply", "--crop-sphere", "0", "0", "0", "1", capsys=capsys)
    inside = g.means.double().square().sum(1) <= 1
    assert result["gaussians"] == int(inside.sum()) and [f.name for f in tmp_path.iterdir()] == ["a.ply"]
    assert torch.equal(ply.read(tmp_path / "a.ply").means, g.means[inside])


def test_the_output_may_have_an_option_of_its_own_as_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, count in (("a.ply", 30), ("b.ply", 20)):
        ply.write(Path(name), some_gaussians(count))
    assert convert("a.ply", "-o", "one.spz", capsys=capsys)["gaussians"] == 30
    assert convert("-o", "both.ply", "a.ply", "b.ply", capsys=capsys)["gaussians"] == 50
    assert len(ply.read(Path("b.ply"))) == 20 and len(ply.read(Path("both.ply"))) == 50
    assert main(["convert", "--out", "c.ply"]) == 2
    assert "give a file to read" in capsys.readouterr().err


def test_a_smaller_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nerfkit.splats.judge.COARSE", 96)
    monkeypatch.setattr("nerfkit.splats.budget.STEPS", 40)
    ply.write(tmp_path / "a.ply", plausible_gaussians(400, 1))
    result = convert(tmp_path / "a.ply", tmp_path / "b.splat", "--max-size", "8kB", capsys=capsys)
    size = (tmp_path / "b.splat").stat().st_size
    assert 7000 < size <= 8000 and result["bytes"] == size
    assert result["psnr_before"] == 100 and 15 < float(str(result["psnr_after"])) < 60


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.ply"], "give at least two files"),
        (["a.ply", "b.obj"], "no splat format has this suffix"),
        (["a.ply", "b.ksplat"], "read but not written"),
        (["missing.ply", "b.spz"], "no such file"),
        (["a.ply", "b.spz", "--sh-degree", "7"], "must be 0 to 3"),
        (["a.ply", "b.spz", "--crop-sphere", "99", "0", "0", "1"], "none of 30 Gaussians is left (cropped: 30)"),
        (
            ["a.ply", "b.spz", "--crop-box", "nan", "0", "0", "1", "1", "1"],
            "--crop-box: has something that is no number",
        ),
        (["a.ply", "b.sog", "--scale", "1e39"], "farther away than a float can say"),
        (["a.ply", "meta.json"], "read but not written"),
        (["a.ply", "folder.ply"], "folder.ply: is a folder"),
        (["a.ply", "folder.html"], "folder.html: is a folder"),
        (["a.ply", "sog"], "sog: is a folder"),
        (["none.ply", "none.ply", "b.splat"], "none.ply, none.ply: no Gaussians to convert"),
    ],
)
def test_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ply.write(Path("a.ply"), some_gaussians(30))
    ply.write(Path("none.ply"), some_gaussians(0))
    for name in ("folder.ply", "folder.html", "sog"):
        Path(name).mkdir()
    Path("sog/meta.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    assert main(["convert", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert sorted(tmp_path.rglob("*")) == before


def test_the_glb_is_valid(tmp_path: Path) -> None:
    import shutil
    import subprocess

    if shutil.which("node") is None or not (CLIENTS / "node_modules" / "gltf-validator").is_dir():
        pytest.skip("needs Node.js and `npm ci --prefix tests/clients`")
    formats.write(tmp_path / "g.glb", plausible_gaussians(100))
    command = ["node", str(CLIENTS / "validate_glb.cjs"), str(tmp_path / "g.glb")]
    (report,) = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    problems = [m for m in report["issues"]["messages"] if "KHR_gaussian_splatting" not in m["message"] + m["pointer"]]
    assert problems == []  # the validator does not know the extension's attributes, and says so of each
    assert report["info"]["totalVertexCount"] == 100


def test_which_way_is_up_is_said_where_it_was_not_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ply.write(Path("a.ply"), some_gaussians(30))
    told = []
    for words in (["b.glb"], ["b.glb", "--up", "z"], ["b.spz"]):
        assert main(["convert", "a.ply", *words]) == 0
        told.append("up is taken to be -y" in " ".join(capsys.readouterr().err.split()))
    assert told == [True, False, False]


def test_files_that_cannot_say_which_way_is_up_are_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ply.write(Path("a.ply"), some_gaussians(30))
    ply.write(Path("z.ply"), some_gaussians(30), up="z")
    lost = "files can't say which way is up: nerfkit view and convert take it with --up z"
    unknown = "a.spz: can't say which way is up, so c.ply won't either; --up z for what nerfkit exports"
    for words, written, read in (
        (["z.ply", "a.spz"], True, False),
        (["z.ply", "a.splat"], True, False),
        (["z.ply", "b.sog"], False, False),
        (["z.ply", "b.glb"], False, False),
        (["z.ply", "b.spz", "--rotate", "90", "0", "0"], False, False),  # turned: it isn't z any more
        (["a.ply", "b.spz"], False, False),
        (["a.spz", "c.ply"], False, True),
        (["a.spz", "c.ply", "--up", "z"], False, False),
        (["a.ply", "c.ply"], False, False),
    ):
        assert main(["convert", *words]) == 0
        told = " ".join(capsys.readouterr().err.split())
        assert (lost in told, unknown in told) == (written, read), words
