"""Splats in glTF: which way is up, where nodes put them, and what else may be in such a file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from samples import plausible_gaussians
from test_splat_formats import FORMATS, check

from nerfkit.errors import NerfkitError
from nerfkit.gltf.container import glb_head, read_gltf
from nerfkit.splats import formats


def test_up_of_gltf(tmp_path: Path) -> None:
    g = plausible_gaussians(30)
    for up, axis in (("z", (0, 0, 1)), ("y", (0, 1, 0)), ("-y", (0, -1, 0))):
        formats.write(tmp_path / "g.glb", g, up=up)  # type: ignore[arg-type]
        raw = formats.read(tmp_path / "g.glb", up="y")
        heights = g.means @ torch.tensor(axis, dtype=torch.float32)
        torch.testing.assert_close(raw.means[:, 1], heights)
        check(g, formats.read(tmp_path / "g.glb", up=up), FORMATS[".glb"])  # type: ignore[arg-type]


def test_other_colour_spaces_of_gltf_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    formats.write(tmp_path / "g.glb", plausible_gaussians(30))
    formats.read(tmp_path / "g.glb")
    assert not caplog.text
    data = (tmp_path / "g.glb").read_bytes()
    (tmp_path / "g.glb").write_bytes(data.replace(b'"srgb_rec709_display"', b'"lin_rec709_display" '))
    assert len(formats.read(tmp_path / "g.glb")) == 30
    assert "colorSpace lin_rec709_display, which is taken for srgb_rec709_display" in caplog.text


def rewritten(glb: Path, out: Path, **changes: object) -> None:
    """A .glb with some parts of its document replaced."""
    gltf = read_gltf(glb)
    assert gltf.binary is not None
    data = gltf.binary.read(0, gltf.binary.size)
    out.write_bytes(glb_head(gltf.document | changes, len(data)) + data)


def test_nodes_of_gltf_move_splats(tmp_path: Path) -> None:
    formats.write(tmp_path / "g.glb", plausible_gaussians(30), up="y")
    nodes = [{"mesh": 0, "scale": [2, 2, 2]}, {"children": [0], "translation": [1, 0, 0]}]
    rewritten(tmp_path / "g.glb", tmp_path / "moved.glb", nodes=nodes, scenes=[{"nodes": [1, 0]}])
    g, moved = formats.read(tmp_path / "g.glb", up="y"), formats.read(tmp_path / "moved.glb", up="y")
    want = torch.cat([2 * g.means, 2 * g.means + torch.tensor([1.0, 0, 0])])
    assert len(moved) == 60
    assert (moved.means[:, None] - want).norm(dim=2).amin(1).max() < 1e-5
    torch.testing.assert_close(moved.scales.sort(0).values, torch.cat([g.scales, g.scales]).sort(0).values * 2)


def test_meshes_without_splats_are_passed_over(tmp_path: Path) -> None:
    """Also a mirrored one; and quickly where 20,000 nodes show one of 50,000 primitives."""
    formats.write(tmp_path / "g.glb", plausible_gaussians(30), up="y")
    meshes = [*read_gltf(tmp_path / "g.glb").document["meshes"], {"primitives": [{}] * 50_000}]
    nodes = [{"mesh": 0}, {"mesh": 1, "scale": [-1, 1, 1]}, *[{"mesh": 1}] * 20_000]
    rewritten(tmp_path / "g.glb", tmp_path / "more.glb", meshes=meshes, nodes=nodes, scenes=[])
    began = time.process_time()
    assert len(formats.read(tmp_path / "more.glb", up="y")) == 30
    assert time.process_time() - began < 20  # 2 s; without care it takes minutes
    rewritten(tmp_path / "g.glb", tmp_path / "mirrored.glb", nodes=[{"mesh": 0, "scale": [-1, 1, 1]}])
    with pytest.raises(NerfkitError, match="mirrors, shears or stretches"):
        formats.read(tmp_path / "mirrored.glb")


def test_nodes_of_gltf_may_put_splats_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    g = plausible_gaussians(30)
    g.means[3] = 1e30
    formats.write(tmp_path / "g.glb", g, up="y")
    rewritten(tmp_path / "g.glb", tmp_path / "far.glb", nodes=[{"mesh": 0, "scale": [1e20] * 3}])
    assert len(formats.read(tmp_path / "far.glb")) == 29 and "1 of 30 Gaussians" in caplog.text
