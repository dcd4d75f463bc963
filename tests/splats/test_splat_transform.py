"""PlayCanvas' splat-transform reads what we write, and we read what it writes: the same values on both sides."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from samples import CLIENTS, ksplat_file, plausible_gaussians, sog_v1_files
from test_splat_formats import FORMATS, Within, check

from nerfkit.contracts import Gaussians
from nerfkit.splats import formats, ply, spz
from nerfkit.splats.blocks import select

TOOL = CLIENTS / "node_modules" / ".bin" / "splat-transform"
EXACT = Within(1e-5, 1e-4, 2e-3, 1e-5, 1e-5, 1e-5)

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not TOOL.exists(), reason="needs Node.js and `npm ci --prefix tests/clients`"
)


def splat_transform(folder: Path, *arguments: str) -> None:
    done = subprocess.run([str(TOOL), "-q", "-w", "-g", "cpu", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def matched(a: Gaussians, b: Gaussians) -> Gaussians:
    """The rows of b in a's order: each the nearest, and none twice."""
    nearest = torch.cdist(a.means, b.means).argmin(1)
    assert len(nearest.unique()) == len(a) == len(b)
    return select(b, nearest)


@pytest.mark.parametrize("suffix", [".compressed.ply", ".splat", ".spz", ".sog"])
def test_it_reads_what_we_write(tmp_path: Path, suffix: str) -> None:
    """What it reads is what we read of the same file, bit for bit but for rounding; and near what was written."""
    g = plausible_gaussians(2000)
    formats.write(tmp_path / f"g{suffix}", g, up="z")  # files that say which way is up, too
    splat_transform(tmp_path, f"g{suffix}", "theirs.ply")
    theirs, ours = ply.read(tmp_path / "theirs.ply"), formats.read(tmp_path / f"g{suffix}")
    angle = 0.02 if suffix == ".splat" else 2e-3  # of 8-bit quaternions it takes 127.5 for zero, others 128
    check(ours, theirs, Within(1e-5, 1e-4, angle, 1e-5, 1e-5, 1e-5))
    within = (
        replace(FORMATS[suffix], rest=1.0) if suffix == ".sog" else FORMATS[suffix]
    )  # its palette has 1,024 entries
    check(FORMATS[suffix].order(g), theirs, within)


@pytest.mark.parametrize("suffix", formats.SAYING_ANTIALIASED)
def test_both_say_alike_that_gaussians_are_antialiased(tmp_path: Path, suffix: str) -> None:
    for antialiased in (False, True):
        formats.write(tmp_path / f"ours{suffix}", replace(plausible_gaussians(), antialiased=antialiased))
        splat_transform(tmp_path, f"ours{suffix}", "theirs.ply")
        splat_transform(tmp_path, "theirs.ply", f"theirs{suffix}")
        found = [formats.read(tmp_path / name).antialiased for name in ("theirs.ply", f"theirs{suffix}")]
        assert found == [antialiased, antialiased]


def test_it_reads_both_versions_of_spz(tmp_path: Path) -> None:
    for version in (2, 3):
        spz.write(tmp_path / "g.spz", plausible_gaussians(), version=version)
        splat_transform(tmp_path, "g.spz", "theirs.ply")
        check(formats.read(tmp_path / "g.spz"), ply.read(tmp_path / "theirs.ply"), EXACT)


@pytest.mark.parametrize(
    ("name", "options"),
    [("t.compressed.ply", ()), ("t.spz", ("--spz-version", "3")), ("t.spz", ("--spz-version", "4")), ("t.glb", ())],
    ids=["compressed.ply", "spz 3", "spz 4", "glb"],
)
@pytest.mark.parametrize("degree", [0, 3])
def test_we_read_what_it_writes(tmp_path: Path, name: str, options: tuple[str, ...], degree: int) -> None:
    g = plausible_gaussians(degree=degree)
    ply.write(tmp_path / "g.ply", g)
    splat_transform(tmp_path, *options, "g.ply", name)
    within = FORMATS[formats.suffix_of(Path(name))]
    coarse = 1 / 14 if name.endswith(".spz") else within.rest  # 5 and 4 bits
    within = Within(max(within.means, 1e-3), within.log_scales, within.rotation, within.opacity, within.dc, coarse)
    check(g, matched(g, formats.read(tmp_path / name)), within)


def test_we_read_its_sog(tmp_path: Path) -> None:
    """Its palette is coarse, so that higher bands are compared with how it reads them itself."""
    g = plausible_gaussians(2000)
    ply.write(tmp_path / "g.ply", g)
    splat_transform(tmp_path, "g.ply", "t.sog")
    splat_transform(tmp_path, "t.sog", "theirs.ply")
    ours = formats.read(tmp_path / "t.sog")
    check(ours, ply.read(tmp_path / "theirs.ply"), EXACT)
    check(g, matched(g, ours), Within(1e-3, 0.1, 0.04, 0.005, 0.05, 1.0))


def test_we_read_its_sog_as_a_folder(tmp_path: Path) -> None:
    ply.write(tmp_path / "g.ply", plausible_gaussians(2000))
    (tmp_path / "scene").mkdir()
    splat_transform(tmp_path, "g.ply", "scene/meta.json")
    splat_transform(tmp_path, "scene/meta.json", "theirs.ply")
    for name in ("scene", "scene/meta.json"):
        check(formats.read(tmp_path / name), ply.read(tmp_path / "theirs.ply"), EXACT)


@pytest.mark.parametrize(("degree", "count"), [(0, 500), (1, 500), (3, 5000)])  # the last has a palette of 5,000
def test_we_read_sog_of_version_1_as_it_does(tmp_path: Path, degree: int, count: int) -> None:
    g = plausible_gaussians(count, degree)
    for name, data in sog_v1_files(g).items():
        (tmp_path / name).write_bytes(data)
    splat_transform(tmp_path, "meta.json", "theirs.ply")
    ours = formats.read(tmp_path / "meta.json")
    check(ours, ply.read(tmp_path / "theirs.ply"), EXACT)
    check(g, ours, Within(1e-3, 0.03, 0.04, 0.03, 0.03, 0.01))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_we_read_ksplat_as_it_does(tmp_path: Path, level: int) -> None:
    (tmp_path / "g.ksplat").write_bytes(ksplat_file(plausible_gaussians(100, 2), level, 2))
    splat_transform(tmp_path, "g.ksplat", "theirs.ply")
    check(
        formats.read(tmp_path / "g.ksplat"),
        ply.read(tmp_path / "theirs.ply"),
        Within(1e-5, 1e-4, 2e-3, 1e-5, 1e-4, 1e-4),
    )
