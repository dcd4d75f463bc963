"""How much memory conversions take, as the operating system sees it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from bench_convert import convert, write_scene

COUNT = 300_000  # Gaussians of SH degree 3: 71 MB in memory, 74 MB in a file
FLAT = 60e6  # bytes, whatever the count: some blocks of 4 MB, and what is made of them


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("scenes")
    write_scene(place / "few.ply", 100)
    write_scene(place / "scene.ply", COUNT)
    return place


@pytest.fixture(scope="module")
def least(folder: Path) -> int:
    """Bytes that the program itself takes."""
    return convert(folder / "few.ply", folder / "few.splat")[0]


@pytest.mark.parametrize(
    ("target", "bytes_each"),
    [(".ply", 0), (".glb", 0), (".compressed.ply", 61 + 32)],  # what the file has, and what puts it into order
)
def test_conversions_take_no_more_than_the_order_needs(
    folder: Path, least: int, tmp_path: Path, target: str, bytes_each: int
) -> None:
    peak, _ = convert(folder / "scene.ply", tmp_path / f"there{target}", "--crop-sphere", "0", "0", "0", "99")
    assert peak - least < FLAT + bytes_each * COUNT
    peak, _ = convert(tmp_path / f"there{target}", tmp_path / "back.ply")
    assert peak - least < FLAT
    said = len(b"comment Vertical Axis: -y\n") if target == ".glb" else 0  # glTF says which way is up
    assert (tmp_path / "back.ply").stat().st_size == (folder / "scene.ply").stat().st_size + said
