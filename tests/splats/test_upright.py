"""Which way is up: files say it, and what reads them takes their word."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import pytest
import torch
from plyfile import PlyData
from samples import plausible_gaussians, some_gaussians

from nerfkit.cli import main
from nerfkit.errors import NerfkitError
from nerfkit.splats import formats, ply, upright
from nerfkit.splats.upright import Up

UPS: tuple[Up, ...] = ("z", "y", "-y")


@pytest.mark.parametrize("suffix", formats.SAYING)
def test_files_say_it_and_change_nothing_else(tmp_path: Path, suffix: str) -> None:
    g = plausible_gaussians(300)
    silent, telling = tmp_path / f"silent{suffix}", tmp_path / f"telling{suffix}"
    formats.write(silent, g)
    assert formats.said_up(silent) is None
    for up in UPS:
        formats.write(telling, g, up=up)
        assert formats.said_up(telling) == up
        a, b = formats.read(silent), formats.read(telling)
        assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("means", "quats", "scales", "sh"))


@pytest.mark.parametrize("suffix", [".splat", ".spz", ".glb"])
def test_other_formats_have_no_word(tmp_path: Path, suffix: str) -> None:
    formats.write(tmp_path / f"g{suffix}", some_gaussians(30, 0), up="z")
    assert formats.said_up(tmp_path / f"g{suffix}") is None
    assert formats.is_upright(tmp_path / f"g{suffix}") == (suffix == ".glb")


def test_a_header_as_the_first_viewers_read_it(tmp_path: Path) -> None:
    """SIBR, the viewer beside the method's paper, takes the third line for the count, skips to ``end_header`` and takes
    the rows from there on; other libraries see a comment."""
    formats.write(tmp_path / "g.ply", some_gaussians(7), up="z")
    data = (tmp_path / "g.ply").read_bytes()
    lines = data.split(b"\n")
    assert lines[:3] == [b"ply", b"format binary_little_endian 1.0", b"element vertex 7"]
    end = lines.index(b"end_header")
    assert lines[end - 1] == b"comment Vertical Axis: z"
    rows = data[sum(len(line) + 1 for line in lines[: end + 1]) :]
    assert len(rows) == 7 * 62 * 4
    assert "comment Vertical Axis: z" in PlyData.read(tmp_path / "g.ply").header


def test_a_head_that_shrinks_keeps_its_word(tmp_path: Path) -> None:
    """The count is known only when the last block has been written, and may have fewer digits than there was room."""
    g = some_gaussians(1000)
    g.means[8:] = torch.nan
    formats.write(tmp_path / "all.ply", g, up="z")
    splats = formats.open_file(tmp_path / "all.ply")
    assert ply.write(tmp_path / "few.ply", splats, up="-y") == 8
    assert formats.said_up(tmp_path / "few.ply") == "-y" and len(ply.read(tmp_path / "few.ply")) == 8


@pytest.mark.parametrize(
    ("comment", "up"),
    [
        ("comment Vertical Axis: z", "z"),  # nerfstudio
        ("comment Vertical axis: y", None),  # Brush, whatever is up
        ("comment vertical axis: +Y", "y"),
        ("comment Vertical Axis: -z", None),  # none that glTF can be turned from
        ("comment Vertical Axis:", None),
        ("comment made by hand\ncomment Vertical Axis: z\ncomment Vertical Axis: -y", "-y"),
        ("comment", None),
        ("obj_info Vertical Axis: z", None),
    ],
)
def test_what_others_say(tmp_path: Path, comment: str, up: Up | None) -> None:
    """Theirs stands before the count."""
    formats.write(tmp_path / "g.ply", some_gaussians(30))
    data = (tmp_path / "g.ply").read_bytes()
    (tmp_path / "g.ply").write_bytes(data.replace(b"element", comment.encode() + b"\nelement", 1))
    assert formats.said_up(tmp_path / "g.ply") == up
    assert len(ply.read(tmp_path / "g.ply")) == 30


@pytest.mark.parametrize("asset", [None, 3, {"upAxis": 3}, {"upAxis": "x"}, {"generator": "splat-transform v2"}])
def test_a_sog_that_says_something_else(tmp_path: Path, asset: object) -> None:
    formats.write(tmp_path / "g.sog", some_gaussians(30))
    folder = tmp_path / "folder"
    with zipfile.ZipFile(tmp_path / "g.sog") as archive:
        archive.extractall(folder)
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"asset": asset}))
    assert formats.said_up(folder) is None
    (folder / "meta.json").write_text(json.dumps(meta | {"asset": {"upAxis": "z"}}))
    assert formats.said_up(folder) == formats.said_up(folder / "meta.json") == "z"


def convert(*words: str) -> int:
    return main(["convert", *words])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that say z, -y and nothing, and a glTF, of the same Gaussians."""
    monkeypatch.chdir(tmp_path)
    g = plausible_gaussians(60, 1)
    formats.write(Path("z.ply"), g, up="z")
    formats.write(Path("down.sog"), g, up="-y")
    formats.write(Path("silent.spz"), g)
    formats.write(Path("up.glb"), g, up="z")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "up"),
    [
        (["z.ply", "out.sog"], "z"),
        (["z.ply", "out.compressed.ply"], "z"),
        (["down.sog", "out.ply"], "-y"),
        (["silent.spz", "out.ply"], None),  # what is usual is no knowledge
        (["silent.spz", "out.ply", "--up", "z"], "z"),
        (["z.ply", "out.ply", "--up", "y"], "y"),
        (["z.ply", "silent.spz", "up.glb", "out.ply"], "z"),
        (["up.glb", "out.ply"], "-y"),  # turned to that
        (["z.ply", "down.sog", "out.ply", "--up", "z"], "z"),
        (["z.ply", "out.ply", "--rotate", "0", "0", "90"], "z"),
        (["z.ply", "out.ply", "--rotate", "3", "0", "0"], None),
        (["z.ply", "out.ply", "--scale", "2", "--translate", "1", "2", "3"], "z"),
    ],
)
def test_convert_keeps_the_word(here: Path, words: list[str], up: Up | None) -> None:
    out = next(word for word in words if word.startswith("out"))
    assert convert(*words) == 0
    assert formats.said_up(Path(out)) == up


@pytest.mark.parametrize(("out", "words"), [("b.glb", "up is +Y, as in all of glTF"), ("b.ply", "+Y, becomes -y")])
def test_gltf_is_upright_by_itself(here: Path, capsys: pytest.CaptureFixture[str], out: str, words: str) -> None:
    assert convert("z.ply", "a.glb") == 0
    capsys.readouterr()
    assert convert("a.glb", out) == 0
    said = capsys.readouterr().err
    assert words in said and "taken to be" not in said


def test_a_file_with_the_word_comes_out_upright(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    g = formats.read(Path("z.ply"))
    for words in (["z.ply", "out.glb"], ["z.ply", "there.sog"], ["there.sog", "out.glb"]):
        assert convert(*words) == 0
        said = capsys.readouterr().err
        assert ("up is z, by the file's own word" in said) == (words[1] == "out.glb") and "taken to be" not in said
        if words[1] == "out.glb":
            raw = formats.read(Path("out.glb"), up="y")
            torch.testing.assert_close(raw.means.sort(0).values[:, 1], g.means.sort(0).values[:, 2], atol=1e-3, rtol=0)


def test_files_that_disagree(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("z.ply", "down.sog", "out.glb") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "z in z.ply, -y in down.sog" in told and "give --up" in told and not Path("out.glb").exists()
    with pytest.raises(NerfkitError, match="no such file"):
        formats.agreed_up([Path("z.ply"), Path("missing.sog")])


def test_the_word_counts_towards_the_size(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that just fits without it must lose a Gaussian."""
    monkeypatch.setattr("nerfkit.splats.judge.COARSE", 64)
    monkeypatch.setattr("nerfkit.splats.budget.STEPS", 2)
    monkeypatch.setattr("nerfkit.splats.budget._FEW_STEPS", 2)
    size = Path("z.ply").stat().st_size - len("comment Vertical Axis: z\n")
    assert convert("z.ply", "out.ply", "--max-size", f"{size}B") == 0
    assert Path("out.ply").stat().st_size <= size and formats.said_up(Path("out.ply")) == "z"


def test_the_nearest_axis() -> None:
    for degrees, up in ((0, "z"), (40, "z"), (50, "-y"), (100, "-y"), (180, None), (-50, "y")):
        angle = math.radians(degrees)
        assert upright.nearest(torch.tensor([0.0, -math.sin(angle), math.cos(angle)])) == up
    assert upright.nearest(torch.tensor([1.0, 0, 0])) is None
    assert upright.nearest(torch.tensor([1.0, -1, 1]) / math.sqrt(3)) is None  # as far from all
