"""Antialiased Gaussians in files, and drawn by who doesn't know of it."""

from __future__ import annotations

import dataclasses
import json
import logging
import zipfile
from pathlib import Path

import pytest
import torch
from samples import plausible_gaussians, some_gaussians

from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core import reference
from nerfkit.core.native import NativeCore
from nerfkit.data.similarity import Similarity
from nerfkit.splats import formats
from nerfkit.splats.blocks import select
from nerfkit.splats.coverage import coverage, plain
from nerfkit.splats.stream import joined, stream
from nerfkit.splats.transform import transform


def antialiased(count: int = 60) -> Gaussians:
    return dataclasses.replace(plausible_gaussians(count, 1), antialiased=True)


def view(distance: float, size: int = 64) -> Cameras:
    up = torch.tensor([0.0, 0, 1])
    pose = look_at(torch.tensor([0.0, -distance, 0.2 * distance]), torch.zeros(3), up)[None]
    return Cameras(pose, torch.tensor([[1.2 * size, 1.2 * size, size / 2, size / 2]]), size, size)


@pytest.mark.parametrize("suffix", formats.SAYING_ANTIALIASED)
def test_files_say_it_where_it_is_so(tmp_path: Path, suffix: str) -> None:
    tagged, other = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    formats.write(tagged, antialiased())
    formats.write(other, plausible_gaussians(60, 1))
    assert formats.read(tagged).antialiased and not formats.read(other).antialiased
    assert torch.equal(formats.read(tagged).opacities, formats.read(other).opacities)


def test_the_words_are_those_of_other_programs(tmp_path: Path) -> None:
    formats.write(tmp_path / "g.ply", antialiased(), up="z")
    assert b"comment SplatRenderMode: mip\nend_header" in (tmp_path / "g.ply").read_bytes()
    formats.write(tmp_path / "g.sog", antialiased())
    with zipfile.ZipFile(tmp_path / "g.sog") as archive:
        assert json.loads(archive.read("meta.json"))["model"] == "antialiased"


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        ("comment splatrendermode:  MIP ", True), ("comment SplatRenderMode: default", False),
        ("comment antialiased 1", True),
        ("comment antialiased 1\ncomment SplatRenderMode: default", False), ("comment antialiasing is fine", False),
        ("comment SplatRenderMode: 2dgs\ncomment antialiased 1", True),
    ],
)  # fmt: skip
def test_comments_of_other_programs(tmp_path: Path, comments: str, expected: bool) -> None:
    file = tmp_path / "g.ply"
    formats.write(file, some_gaussians(5, 0))
    file.write_bytes(file.read_bytes().replace(b"end_header", comments.encode() + b"\nend_header", 1))
    assert formats.read(file).antialiased == expected


@pytest.mark.parametrize("suffix", [".splat", ".glb"])
def test_what_a_format_cannot_say_is_told(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "nerfkit"):
        formats.write(tmp_path / f"a{suffix}", plausible_gaussians(20, 0))
        assert "antialiased" not in caplog.text
        formats.write(tmp_path / f"g{suffix}", antialiased())
    assert "can't say that their Gaussians are antialiased" in caplog.text
    assert not formats.read(tmp_path / f"g{suffix}").antialiased


def test_it_survives_changes_and_a_mixture_is_none() -> None:
    g = antialiased()
    moved = transform(g, Similarity(2.0, torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)))
    assert moved.antialiased and select(g, slice(3)).antialiased and formats.with_degree(g, 0).antialiased
    both, mixed = joined([stream(g), stream(moved)]), joined([stream(g), stream(plausible_gaussians(5, 1))])
    assert both.antialiased and all(block.antialiased for block in both.blocks())
    assert not mixed.antialiased and not any(block.antialiased for block in mixed.blocks())


@pytest.mark.parametrize("distance", [2.0, 20.0])
def test_coverage_is_that_of_the_rasterizer(distance: float) -> None:
    """But for what is far from the middle of the picture, where the rasterizer draws splats out."""
    camera, g = view(distance), antialiased(500)
    g = dataclasses.replace(g, means=g.means * 0.02, opacities=torch.ones(500))
    expected = reference.project(g, camera, 0).opacities
    got = coverage(g, camera.world_from_cam[0, :3, 3], float(camera.intrinsics[0, 0]))
    assert (got - expected).abs().max() < 0.05 and got.max() - got.min() > 0.2


def test_plain_ones_look_alike_from_where_the_cameras_are() -> None:
    g = antialiased(2000)
    g = dataclasses.replace(g, means=g.means * 0.3, scales=g.scales * 0.1)
    cameras = [view(distance) for distance in (5.0, 5.5, 6.0)]
    flat = plain(g, cameras)
    assert not flat.antialiased and plain(flat, cameras) is flat

    def picture(of: Gaussians) -> torch.Tensor:
        return NativeCore().rasterize(of, cameras[1], torch.zeros(3)).image

    off = (picture(flat) - picture(g)).square().mean()
    assert off < 0.01 * (picture(dataclasses.replace(g, antialiased=False)) - picture(g)).square().mean()


def test_what_no_camera_sees_keeps_its_opacity() -> None:
    g = dataclasses.replace(antialiased(3), means=torch.tensor([[0.0, 0, 0], [0, -50, 0], [0, 0, 90]]))
    flat = plain(g, [view(5.0)])
    assert torch.equal(flat.opacities[1:], g.opacities[1:]) and flat.opacities[0] < g.opacities[0]
