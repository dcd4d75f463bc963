"""Every format we write, read back: values within the format's quantisation; and what is wrong is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement
from samples import (
    in_order,
    ksplat_file,
    ksplat_sections,
    plausible_gaussians,
    same_rotation,
    sog_v1_files,
    some_gaussians,
    spz_v4_file,
)

from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.splats import formats, ply, sog, spz
from nerfkit.splats.blocks import degree_of, select
from nerfkit.splats.codebook import sampled
from nerfkit.splats.stream import Splats, joined, load, stream


@dataclass(frozen=True)
class Within:
    """How far values may lie apart: places and colours absolutely, log scales, rotations in radians."""

    means: float
    log_scales: float
    rotation: float
    opacity: float
    dc: float
    rest: float
    order: Callable[[Gaussians], Gaussians] = in_order


def biggest_first(g: Gaussians) -> Gaussians:
    return select(g, (g.scales.double().prod(1) * g.opacities).argsort(descending=True, stable=True))


FORMATS = {
    ".ply": Within(0, 1e-5, 1e-3, 1e-5, 0, 0, lambda g: g),
    ".glb": Within(1e-5, 1e-6, 1e-3, 1e-6, 1e-6, 1e-5, lambda g: g),
    ".compressed.ply": Within(0.005, 0.006, 0.004, 0.5 / 255 + 1e-6, 0.02, 1 / 64 + 1e-4),
    ".splat": Within(0, 1e-5, 0.03, 0.5 / 255 + 1e-6, 0.5 / 255 / 0.282 + 1e-4, 0, biggest_first),
    ".spz": Within(1e-5, 1 / 32 + 1e-4, 0.005, 0.5 / 255 + 1e-6, 0.5 / 255 / 0.15 + 1e-4, 2 / 128 + 1e-4),
    ".sog": Within(1e-4, 0.08, 0.02, 0.5 / 255 + 1e-6, 0.03, 0.05),
}


def check(a: Gaussians, b: Gaussians, within: Within) -> None:
    """That b has a's values, in a's order."""
    assert len(a) == len(b) > 0
    assert (a.means - b.means).abs().max() <= within.means
    assert (a.scales.log() - b.scales.log()).abs().max() <= within.log_scales
    assert same_rotation(a.quats, b.quats) <= within.rotation
    assert (a.opacities - b.opacities).abs().max() <= within.opacity
    assert (a.sh[:, 0] - b.sh[:, 0]).abs().max() <= within.dc
    if b.sh.shape[1] > 1:
        assert a.sh.shape == b.sh.shape
        assert (a.sh[:, 1:] - b.sh[:, 1:]).abs().max() <= within.rest


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("suffix", FORMATS)
def test_round_trips(tmp_path: Path, suffix: str, degree: int) -> None:
    g, within = plausible_gaussians(degree=degree), FORMATS[suffix]
    formats.write(tmp_path / f"g{suffix}", g)
    back = formats.read(tmp_path / f"g{suffix}")
    assert degree_of(back) == (0 if suffix == ".splat" else degree)
    check(within.order(g), back, within)


def test_formats_without_higher_bands_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    formats.write(tmp_path / "g.splat", plausible_gaussians(degree=2))
    assert "hold no view-dependent colours" in caplog.text
    caplog.clear()
    formats.write(tmp_path / "g.splat", plausible_gaussians(degree=0))
    assert not caplog.text


@pytest.mark.parametrize(("version", "angle"), [(2, 0.25), (3, 0.005)])
def test_versions_of_spz(tmp_path: Path, version: int, angle: float) -> None:
    g = plausible_gaussians()
    spz.write(tmp_path / "g.spz", g, version=version)
    back = formats.read(tmp_path / "g.spz")
    assert same_rotation(in_order(g).quats, back.quats) < angle  # w of nearly half turns is what version 2 loses
    median = (in_order(g).scales.log() - back.scales.log()).abs().median()
    assert 0 < median < 1 / 32


@pytest.mark.parametrize("degree", [0, 3])
def test_version_4_of_spz(tmp_path: Path, degree: int) -> None:
    spz.write(tmp_path / "3.spz", plausible_gaussians(degree=degree))
    (tmp_path / "4.spz").write_bytes(spz_v4_file((tmp_path / "3.spz").read_bytes()))
    check(formats.read(tmp_path / "3.spz"), formats.read(tmp_path / "4.spz"), Within(0, 0, 0, 0, 0, 0))


def test_fewer_bits_and_smaller_palettes_make_smaller_files(tmp_path: Path) -> None:
    g = plausible_gaussians(3000)
    sizes, errors = [], []
    for bits in ((8, 8), (7, 6), (5, 4)):
        spz.write(tmp_path / "g.spz", g, sh_bits=bits)
        sizes.append((tmp_path / "g.spz").stat().st_size)
        errors.append(float((formats.read(tmp_path / "g.spz").sh - in_order(g).sh).square().mean()))
    for palette in (3000, 500, 50):
        sog.write(tmp_path / "g.sog", g, palette=palette)
        sizes.append((tmp_path / "g.sog").stat().st_size)
        errors.append(float((formats.read(tmp_path / "g.sog").sh - in_order(g).sh).square().mean()))
    assert sizes[:3] == sorted(sizes[:3], reverse=True) and sizes[3:] == sorted(sizes[3:], reverse=True)
    assert errors[:3] == sorted(errors[:3]) and errors[3:] == sorted(errors[3:])


def test_codebooks_are_learned_from_all_axes() -> None:
    """Where not all of the numbers are taken, which then aren't those of one axis or colour."""
    for rows in (1 << 20, 1_300_000):
        numbers = sampled(torch.tensor([1.0, 2, 3]).expand(rows, 3))
        counts = numbers.unique(return_counts=True)[1]
        assert len(numbers) < (1 << 20) + 3 and torch.equal(counts, torch.full((3,), len(numbers) // 3))
    assert torch.equal(sampled(torch.arange(7.0)), torch.arange(7.0))


def test_a_large_palette_of_sog_version_1(tmp_path: Path) -> None:
    g = plausible_gaussians(5000)
    for name, data in sog_v1_files(g).items():
        (tmp_path / name).write_bytes(data)
    check(g, formats.read(tmp_path), Within(1e-3, 0.03, 0.04, 0.03, 0.03, 0.01))


@pytest.mark.parametrize("count", ["1e300", "2.5", "-3"])
def test_counts_of_sog_that_are_none(tmp_path: Path, count: str) -> None:
    for name, data in sog_v1_files(plausible_gaussians(9, 0)).items():
        (tmp_path / name).write_bytes(data)
    meta = json.loads((tmp_path / "meta.json").read_text()) | {"version": 2, "count": 0}
    (tmp_path / "meta.json").write_text(json.dumps(meta).replace('"count": 0', f'"count": {count}'))
    with pytest.raises(NerfkitError, match=r"'count' .* must be a whole number|holds no Gaussians") as error:
        formats.read(tmp_path)
    assert len(str(error.value)) < 300


def test_equal_scenes_give_equal_files(tmp_path: Path) -> None:
    g = plausible_gaussians()
    for suffix in FORMATS:
        for name in ("a", "b"):
            formats.write(tmp_path / f"{name}{suffix}", g)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes(), suffix


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_gaussian(tmp_path: Path, suffix: str) -> None:
    g = plausible_gaussians(1)
    formats.write(tmp_path / f"g{suffix}", g)
    back = formats.read(tmp_path / f"g{suffix}")
    torch.testing.assert_close(back.means, g.means, atol=1e-4, rtol=0)
    torch.testing.assert_close(back.opacities, g.opacities, atol=0.003, rtol=0)


def test_far_places_stay_where_they_are(tmp_path: Path) -> None:
    """The fixed-point numbers of .spz give up fractions for room, and logs keep SOG fine near the middle."""
    g = plausible_gaussians()
    g.means[0] = torch.tensor([30_000.0, -2, 0])
    for suffix, near in ((".spz", 0.01), (".sog", 0.02)):
        formats.write(tmp_path / f"g{suffix}", g)
        back, want = formats.read(tmp_path / f"g{suffix}"), in_order(g)
        farthest = want.means[:, 0].argmax()
        assert abs(float(back.means[farthest, 0]) - 30_000) < 5
        others = want.means[:, 0] < 100
        assert (back.means[others] - want.means[others]).abs().max() < near


def test_sog_tells_of_places_that_its_readers_cannot_tell_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One Gaussian far away spoils nothing; a scene that lies far away is spoilt by logs in single precision."""
    g = plausible_gaussians()
    g.means[0] = 1e6
    formats.write(tmp_path / "g.sog", g)
    assert not caplog.text
    g.means[:] = plausible_gaussians().means + torch.tensor([500_000.0, 5_400_000.0, 100.0])
    formats.write(tmp_path / "g.sog", g)
    assert "lie 5.4e+06 from the origin, where readers of .sog know places to 9.98 only" in caplog.text
    low, high = ((1 if x > 0 else -1) * torch.tensor(abs(x)).log1p() for x in (5_399_997.0, 5_400_003.0))
    reader = torch.lerp(low, high, torch.linspace(0, 1, 1000)).expm1().diff()  # as a shader does it
    assert reader[reader > 0].min() > 1


@pytest.mark.parametrize(("far", "told"), [(1000.0, ""), (1e5, "1e+05 from the origin"), (1e9, "to 1 only")])
def test_places_that_are_coarse_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, far: float, told: str
) -> None:
    """A single Gaussian far away takes the precision of all."""
    g = plausible_gaussians()
    g.means[0, 1] = -far
    formats.write(tmp_path / "g.spz", g)
    assert told in caplog.text and bool(told) == bool(caplog.text)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_ksplat(tmp_path: Path, level: int, degree: int) -> None:
    g = plausible_gaussians(100, degree)
    (tmp_path / "g.ksplat").write_bytes(ksplat_file(g, level, degree))
    coarse = level > 0
    within = Within(
        3e-4 * coarse, 1e-2 * coarse + 1e-6, 5e-3, 0.5 / 255 + 1e-6, 0.01, (0, 1e-3, 0.5 * 3 / 255 + 1e-4)[level]
    )
    check(g, formats.read(tmp_path / "g.ksplat"), within)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_sections_of_ksplat(tmp_path: Path, level: int) -> None:
    """Of other degrees each, with room for more behind each; one has whole buckets only, one is larger than a block."""
    parts = [(plausible_gaussians(count, degree), degree) for count, degree in ((100, 1), (32, 0), (20_000, 2))]
    (tmp_path / "g.ksplat").write_bytes(ksplat_sections(parts, level, spare=3))
    back = formats.read(tmp_path / "g.ksplat")
    coarse = level > 0
    within = Within(
        3e-4 * coarse, 1e-2 * coarse + 1e-6, 5e-3, 0.5 / 255 + 1e-6, 0.01, (0, 1e-3, 0.5 * 3 / 255 + 1e-4)[level]
    )
    check(load(joined([stream(g) for g, _ in parts])), back, within)


def test_what_cannot_be_drawn_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    g = some_gaussians(50)
    ply.write(tmp_path / "g.ply", g)
    data = PlyData.read(tmp_path / "g.ply")["vertex"].data.copy()
    data["x"][3], data["f_rest_7"][5], data["scale_1"][9] = np.nan, np.inf, 200
    for i in range(4):
        data[f"rot_{i}"][11] = 0
    data["opacity"][13] = np.inf  # as good as 1
    PlyData([PlyElement.describe(data, "vertex")], byte_order="<").write(tmp_path / "bad.ply")
    back = formats.read(tmp_path / "bad.ply")
    assert "4 of 50 Gaussians" in caplog.text and len(back) == 46
    kept = [i for i in range(50) if i not in (3, 5, 9, 11)]
    assert torch.equal(back.means, g.means[kept]) and back.opacities[kept.index(13)] == 1
    data["x"] = np.nan
    PlyData([PlyElement.describe(data, "vertex")], byte_order="<").write(tmp_path / "bad.ply")
    with pytest.raises(NerfkitError, match="none of its 50 Gaussians has finite values"):
        formats.read(tmp_path / "bad.ply")


def test_a_chunk_may_be_tiny(tmp_path: Path) -> None:
    """A scene in units that make it small has as many steps within a chunk as a large one."""
    g = plausible_gaussians()
    small = replace(g, means=g.means * 1e-6)
    formats.write(tmp_path / "g.compressed.ply", small)
    back = formats.read(tmp_path / "g.compressed.ply")
    assert (back.means - in_order(small).means).abs().max() < 0.005e-6


def test_opacities_and_quaternions_out_of_range(tmp_path: Path) -> None:
    """Only glTF could say such opacities; and of a quaternion this short no picture can be drawn."""
    g = plausible_gaussians(30)
    g.opacities[:2] = torch.tensor([-5.0, 7.0])
    formats.write(tmp_path / "g.glb", g)
    data = (tmp_path / "g.glb").read_bytes()
    stored = torch.tensor([0.0, 1.0]).numpy().tobytes() + g.opacities[2:4].numpy().tobytes()
    assert data.count(stored) == 1
    (tmp_path / "g.glb").write_bytes(data.replace(stored, g.opacities[:4].numpy().tobytes()))
    assert formats.read(tmp_path / "g.glb").opacities[:2].tolist() == [0, 1]
    ply.write(tmp_path / "g.ply", g)
    vertices = PlyData.read(tmp_path / "g.ply")
    for i in range(4):
        vertices["vertex"][f"rot_{i}"][0], vertices["vertex"][f"rot_{i}"][1] = 1e-30, 1e30
    vertices.write(tmp_path / "out.ply")
    assert len(formats.read(tmp_path / "out.ply")) == 28


def test_other_elements_and_types_of_a_ply(tmp_path: Path) -> None:
    """Doubles, an element before the vertices and one with lists after them."""
    g = some_gaussians(20, 1)
    ply.write(tmp_path / "g.ply", g)
    data = PlyData.read(tmp_path / "g.ply")["vertex"].data
    doubles = data.astype([(name, "f8") for name in data.dtype.names])
    before = PlyElement.describe(np.zeros(3, [("a", "u1")]), "camera")
    after = PlyElement.describe(np.array([([1, 2, 3],)], dtype=[("list", "O")]), "face")
    PlyData([before, PlyElement.describe(doubles, "vertex"), after], byte_order="<").write(tmp_path / "more.ply")
    back = formats.read(tmp_path / "more.ply")
    assert torch.equal(back.means, g.means) and torch.equal(back.sh, g.sh)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.obj", "no splat format"),
        ("none.spz", "no such file"),
        ("folder.ply", "is a folder"),
        ("folder", "is a folder without"),
    ],
)
def test_paths_that_are_no_splats(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.ply").mkdir()
    (tmp_path / "folder").mkdir()
    with pytest.raises(NerfkitError, match=message):
        formats.read(tmp_path / name)


def test_a_format_that_is_only_read(tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match="read but not written"):
        formats.write(tmp_path / "g.ksplat", some_gaussians(3))


@pytest.mark.parametrize("suffix", [*FORMATS, ".ksplat", ".gltf"])
def test_no_format_takes_another_ones_file(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"GIF89a" * 3)
    (tmp_path / f"b{suffix}").write_bytes(b"")
    for name in "ab":
        with pytest.raises(NerfkitError, match=f"{name}{suffix}: ") as error:
            formats.read(tmp_path / f"{name}{suffix}")
        assert "\n" not in str(error.value)


@dataclass
class Failing:
    """A stream that fails on purpose, in the middle of the last time that it is gone through."""

    gaussians: Gaussians
    passes: int
    begun: int = 0

    def blocks(self) -> Iterator[Gaussians]:
        self.begun += 1
        half = len(self.gaussians) // 2
        yield select(self.gaussians, slice(0, half))
        if self.begun == self.passes:
            raise RuntimeError("on purpose")
        yield select(self.gaussians, slice(half, None))

    def splats(self) -> Splats:
        return stream(self.gaussians).giving(self.blocks)


PASSES = {".ply": 1, ".glb": 2, ".compressed.ply": 3, ".splat": 2, ".spz": 2, ".sog": 2}


@pytest.mark.parametrize("suffix", FORMATS)
def test_writing_is_atomic(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"g{suffix}"
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError, match="on purpose"):
        formats.write(path, Failing(plausible_gaussians(40, 0), PASSES[suffix]).splats())
    assert path.read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1
    whole = Failing(plausible_gaussians(40, 0), -1)
    assert formats.write(path, whole.splats(), up="y") == 40 and whole.begun == PASSES[suffix]
    written = path.read_bytes()
    formats.write(path, whole.gaussians, up="y")
    assert path.read_bytes() == written


def test_what_is_dropped_on_the_way_is_in_no_format(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of a file with values that are not finite, each format gets the others; it is told once a file."""
    g = plausible_gaussians(60_000, 1)
    kept = torch.arange(60_000) % 3 > 0
    kept[:40_000] = False  # and nothing of two blocks
    want = select(g, kept)
    g.means[~kept, 1] = torch.inf
    ply.write(tmp_path / "bad.ply", g)
    sound = ply.read(tmp_path / "bad.ply")
    assert torch.equal(sound.means, want.means)
    for suffix in FORMATS:
        caplog.clear()
        assert formats.write(tmp_path / f"g{suffix}", formats.open_file(tmp_path / "bad.ply")) == len(want)
        assert caplog.text.count("46666 of 60000 Gaussians") == 1
        formats.write(tmp_path / f"want{suffix}", sound)
        assert (tmp_path / f"g{suffix}").read_bytes() == (tmp_path / f"want{suffix}").read_bytes()
