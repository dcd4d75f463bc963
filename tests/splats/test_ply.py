from __future__ import annotations

import csv
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement
from samples import CLIENTS, some_gaussians

from nerfkit import value_transforms as values
from nerfkit.errors import NerfkitError
from nerfkit.splats import ply
from nerfkit.splats.blocks import select


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_plyfile_reads_the_inria_layout(tmp_path: Path, degree: int) -> None:
    g = some_gaussians(degree=degree)
    ply.write(tmp_path / "g.ply", g)
    vertex = PlyData.read(tmp_path / "g.ply")["vertex"]
    rest = 3 * ((degree + 1) ** 2 - 1)
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{i}" for i in range(rest)),
             "opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]  # fmt: skip
    assert [p.name for p in vertex.properties] == names
    assert all(p.val_dtype == "f4" for p in vertex.properties)
    assert np.array_equal(vertex["y"], g.means[:, 1]) and not vertex["nz"].any()
    assert np.array_equal(vertex["f_dc_2"], g.sh[:, 0, 2])
    if degree:  # all of red, then all of green, then all of blue
        per_channel = rest // 3
        assert np.array_equal(vertex["f_rest_1"], g.sh[:, 2, 0])
        assert np.array_equal(vertex[f"f_rest_{per_channel}"], g.sh[:, 1, 1])
        assert np.array_equal(vertex[f"f_rest_{rest - 1}"], g.sh[:, -1, 2])
    assert np.allclose(1 / (1 + np.exp(-vertex["opacity"])), g.opacities, atol=1e-6)
    assert np.allclose(np.exp(vertex["scale_1"]), g.scales[:, 1], rtol=1e-5)
    assert np.allclose(vertex["rot_0"], g.quats[:, 0] / g.quats.norm(dim=1), atol=1e-6)


@pytest.mark.parametrize(("count", "degree"), [(1, 0), (50, 1), (50, 3), (0, 3)])
def test_round_trip(tmp_path: Path, count: int, degree: int) -> None:
    g = some_gaussians(count, degree)
    ply.write(tmp_path / "g.ply", g)
    back = ply.read(tmp_path / "g.ply")
    assert torch.equal(back.means, g.means) and torch.equal(back.sh, g.sh)
    torch.testing.assert_close(back.scales, g.scales, rtol=1e-5, atol=0)
    torch.testing.assert_close(back.opacities, g.opacities, rtol=0, atol=1e-6)
    torch.testing.assert_close(back.quats, torch.nn.functional.normalize(g.quats, dim=1))


def test_extreme_values_stay_finite(tmp_path: Path) -> None:
    g = some_gaussians(2)
    g.opacities[:] = torch.tensor([0.0, 1.0])
    g.scales[0] = 0
    ply.write(tmp_path / "g.ply", g)
    back = ply.read(tmp_path / "g.ply")
    assert back.opacities[0] < 1e-5 and back.opacities[1] > 1 - 1e-5
    vertex = PlyData.read(tmp_path / "g.ply")["vertex"]
    assert np.isfinite(vertex["opacity"]).all() and np.isfinite(vertex["scale_0"]).all()


def test_splat_transform_reads_the_same_values(tmp_path: Path) -> None:
    tool = CLIENTS / "node_modules" / ".bin" / "splat-transform"
    if shutil.which("node") is None or not tool.exists():
        pytest.skip("needs Node.js and `npm ci --prefix tests/clients`")
    g = some_gaussians()
    ply.write(tmp_path / "g.ply", g, up="z")
    done = subprocess.run(
        [str(tool), "g.ply", "g.csv"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "g.csv").open() as file:
        rows = list(csv.DictReader(file))
    ours = PlyData.read(tmp_path / "g.ply")["vertex"]
    assert len(rows) == len(g)
    for name in (
        "x",
        "f_dc_1",
        "f_rest_0",
        "f_rest_44",
        "opacity",
        "scale_2",
        "rot_0",
        "rot_3",
    ):
        assert np.allclose([float(row[name]) for row in rows], ours[name], rtol=1e-5, atol=1e-6), name


NAMES = [
    "x",
    "y",
    "z",
    "f_dc_0",
    "f_dc_1",
    "f_dc_2",
    "opacity",
    "scale_0",
    "scale_1",
    "scale_2",
    "rot_0",
    "rot_1",
    "rot_2",
    "rot_3",
]
ASCII = "\n".join(
    ["ply", "format ascii 1.0", "element vertex 1", *(f"property float {name}" for name in NAMES), "end_header\n"]
).encode()


@pytest.mark.parametrize("order", ["ascii", "<", ">"])
def test_all_kinds_of_ply(tmp_path: Path, order: str) -> None:
    """Written by plyfile: as text and in both byte orders, with another element before the vertices, one with lists."""
    g = some_gaussians(20_000, 1)  # more than a block
    ply.write(tmp_path / "g.ply", g)
    data = PlyData.read(tmp_path / "g.ply")["vertex"].data
    before = PlyElement.describe(np.zeros(3, [("a", "u1"), ("b", "f8")]), "camera")
    lists = PlyElement.describe(np.array([([1, 2, 3],)] * 2, dtype=[("list", "O")]), "face")
    vertex = PlyElement.describe(data, "vertex")
    elements = [before, lists, vertex] if order == "ascii" else [before, vertex, lists]
    PlyData(elements, text=order == "ascii", byte_order="=" if order == "ascii" else order).write(tmp_path / "o.ply")
    back = ply.read(tmp_path / "o.ply")
    torch.testing.assert_close(back.means, g.means, rtol=1e-6, atol=0)
    torch.testing.assert_close(back.sh, g.sh, rtol=1e-6, atol=0)
    torch.testing.assert_close(back.scales, g.scales, rtol=1e-4, atol=0)


@pytest.mark.parametrize("kept", [8, 50, 9999, 19_999])
def test_a_stream_of_fewer_than_were_expected(tmp_path: Path, kept: int) -> None:
    """The header is written before the number is known: it gets shorter where that has fewer digits."""
    g = some_gaussians(20_000, 0)
    g.means[torch.randperm(20_000)[kept:]] = math.nan
    ply.write(tmp_path / "all.ply", g)
    assert ply.write(tmp_path / "sound.ply", ply.open_file(tmp_path / "all.ply")) == kept
    sound = select(g, g.means[:, 0].isfinite())
    back = ply.read(tmp_path / "sound.ply")
    assert torch.equal(back.means, sound.means) and torch.equal(back.sh, sound.sh)
    ply.write(tmp_path / "want.ply", sound)
    assert (tmp_path / "want.ply").stat().st_size == (tmp_path / "sound.ply").stat().st_size


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a ply", "is no PLY file"),
        (b"ply\nformat binary_mixed 1.0\nelement vertex 0\nend_header\n", "is binary_mixed, and only"),
        (b"ply\nformat ascii 2.0\nelement vertex 0\nend_header\n", "is of no format, and only"),
        (ASCII, "is truncated: it has 0 of 1 rows"),
        (ASCII + b"1 " * 13 + b"\n", "damaged: no row of vertex"),
        (ASCII + b"1 " * 13 + b"one\n", "damaged: no row of vertex"),
        (ASCII + b" " * 30 + b"\n", "a row of vertex is empty"),
        (ASCII.replace(b"vertex 1", b"vertex 999999999"), "is truncated"),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 0\nproperty float x\nend_header\n",
            "lacks y, z",
        ),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 9\nproperty list uchar int x\nend_header\n1234",
            "has lists",
        ),
        (
            b"ply\nformat binary_little_endian 1.0\nelement face 0\nend_header\n",
            "no PLY of Gaussian splats",
        ),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex x\nproperty float x\nend_header\n",
            "damaged header",
        ),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.ply"
    path.write_bytes(content)
    with pytest.raises(NerfkitError, match=message) as error:
        ply.read(path)
    assert str(path) in str(error.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match="no such file"):
        ply.read(tmp_path / "none.ply")


def test_values_are_inverse_to_each_other() -> None:
    x = torch.linspace(0.01, 0.99, 9)
    torch.testing.assert_close(values.opacity_from_logit(values.logit_from_opacity(x)), x)
    torch.testing.assert_close(values.scale_from_log(values.log_from_scale(x)), x)
    torch.testing.assert_close(values.rgb_from_dc(values.dc_from_rgb(x)), x)
    assert values.rgb_from_dc(torch.zeros(1)).item() == 0.5
