"""mkkellogg's GaussianSplats3D makes .ksplat files of our PLYs, and we read them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from samples import CLIENTS, plausible_gaussians
from test_splat_formats import Within, check

from nerfkit.splats import formats, ply
from nerfkit.splats.blocks import select

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (CLIENTS / "node_modules/@mkkellogg").is_dir(),
    reason="needs Node.js and `npm ci --prefix tests/clients`",
)


@pytest.mark.parametrize("degree", [0, 1, 2])  # it has no third
@pytest.mark.parametrize("level", [0, 1, 2])
def test_we_read_what_it_writes(tmp_path: Path, level: int, degree: int) -> None:
    """It orders them by buckets of 5 units and 256 Gaussians, the last of each partly filled."""
    g = plausible_gaussians(3000, degree)
    g.means[:] *= 4
    ply.write(tmp_path / "g.ply", g)
    command = ["node", str(CLIENTS / "make_ksplat.mjs"), "g.ply", "g.ksplat", str(level), str(degree)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    back = formats.read(tmp_path / "g.ksplat")
    nearest = torch.cdist(g.means, back.means).argmin(1)
    assert len(nearest.unique()) == len(g) == len(back)
    means, half = (0, 1e-6) if level == 0 else (5 / 2 / 32767, 1e-3)
    bands = (0, 1e-3, 0.006)[level]  # half floats, and bytes over their range
    check(g, select(back, nearest), Within(means, half, half + 1e-6, 1.01 / 255, 0.0142, bands))
