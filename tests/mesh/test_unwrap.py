"""Unwrapping: regions, charts to scale, gaps, processes that give the same as none and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh.geometry import face_crosses
from nerfkit.mesh.shape.topology import edges, face_pairs, half_edges
from nerfkit.mesh.texture import unwrap
from nerfkit.mesh.texture.flatten import to_scale
from nerfkit.mesh.texture.helpers import Helpers
from nerfkit.mesh.texture.regions import regions
from nerfkit.mesh.texture.texels import texels_of


def sheet(across: int, along: int, bend: float | None = None, bumps: float = 0.0) -> Mesh:
    """A square sheet of 2 x across x along faces, folded at a right angle at x = bend."""
    x, y = np.meshgrid(np.linspace(0, 1, across + 1), np.linspace(0, 1, along + 1), indexing="ij")
    height = bumps * np.sin(9 * x) * np.sin(7 * y)
    points = np.stack([x, y, height], 2).reshape(-1, 3)
    if bend is not None:
        folded = points[:, 0] > bend
        points[folded, 2], points[folded, 0] = points[folded, 0] - bend, bend
    number = np.arange((across + 1) * (along + 1)).reshape(across + 1, along + 1)
    a, b, c, d = (number[i : across + i, j : along + j].ravel() for i, j in ((0, 0), (1, 0), (1, 1), (0, 1)))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return Mesh(points.astype(np.float32), faces.astype(np.int32))


def border_length(mesh: Mesh, parts: list[np.ndarray]) -> float:
    region = np.zeros(len(mesh.faces), np.int64)
    for number, part in enumerate(parts):
        region[part] = number
    halves = face_pairs(edges(mesh.faces))
    halves = halves[region[halves[:, 0] // 3] != region[halves[:, 1] // 3]]
    ends = mesh.vertices[half_edges(mesh.faces)[halves[:, 0]]]
    return float(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).sum())


def densities(mesh: Mesh) -> np.ndarray:
    """Length in the texture per length on the surface, of each face [F], as a share of the median."""
    assert mesh.uvs is not None
    corners = mesh.uvs.astype(np.float64)[mesh.faces]
    along, across = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    flat = np.abs(along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0])
    found = np.sqrt(flat / np.linalg.norm(face_crosses(mesh), axis=1))
    return found / np.median(found)


def test_regions_hold_each_face_once_and_have_short_borders() -> None:
    mesh = sheet(60, 40)
    parts = regions(mesh.vertices, mesh.faces, 700)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(mesh.faces)))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert max(map(len, parts)) <= 700 and len(parts) <= 11
    assert border_length(mesh, parts) < 5  # two lines one way and three the other
    again = regions(mesh.vertices, mesh.faces, 700)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_a_region_ends_at_a_fold() -> None:
    mesh = sheet(50, 10, bend=0.44)
    parts = regions(mesh.vertices, mesh.faces, 600)
    fold = 2 * 10 * 22  # faces before it
    assert sorted(map(len, parts)) == [fold, 1000 - fold]


def test_small_pieces_share_regions() -> None:
    speck, whole = sheet(3, 2), sheet(20, 20)
    pieces = [speck] * 50 + [whole] + [speck] * 50
    vertices = np.concatenate([piece.vertices + 2 * k for k, piece in enumerate(pieces)])
    starts = np.cumsum([0] + [len(piece.vertices) for piece in pieces[:-1]])
    faces = np.concatenate([piece.faces + start for piece, start in zip(pieces, starts, strict=True)])
    parts = regions(vertices, faces, 400)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(faces)))
    assert max(map(len, parts)) <= 800 and len(parts) <= 6  # 1,200 faces of specks and 800 of the sheet


def test_charts_get_the_surfaces_size_whatever_xatlas_made_of_it() -> None:
    mesh = sheet(6, 6)
    flat, count = mesh.vertices[:, :2].astype(np.float64), len(mesh.vertices)
    points = np.concatenate([mesh.vertices, 0.1 * mesh.vertices])
    places = np.concatenate([flat * [3.0, 0.5], flat[:, ::-1] * [1.0, 70.0]])
    faces = np.concatenate([mesh.faces, mesh.faces + count]).astype(np.int64)
    chart = np.repeat([0, 1], len(mesh.faces))
    made = to_scale(points, faces, places, chart)
    np.testing.assert_allclose(made[:count], flat, atol=1e-5)
    np.testing.assert_allclose(made[count:], 0.1 * flat[:, ::-1], atol=1e-6)


@pytest.fixture(scope="module")
def bumpy() -> Mesh:
    return sheet(70, 60, bumps=0.15)  # 8,400 faces


@pytest.fixture(scope="module")
def unwrapped(bumpy: Mesh) -> Mesh:
    """In three regions, by one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unwrap, "_REGION", 3000)
        patch.setattr(unwrap, "cores", lambda: 1)
        return unwrap.unwrap(bumpy, 512)


def test_more_processes_and_none_give_the_same(bumpy: Mesh, unwrapped: Mesh, monkeypatch: Any) -> None:
    monkeypatch.setattr(unwrap, "_REGION", 3000)
    monkeypatch.setattr(unwrap, "cores", lambda: 3)
    told: list[tuple[int, int]] = []
    several = unwrap.unwrap(bumpy, 512, lambda stage, done, total: told.append((done, total)))
    assert several.uvs is not None and unwrapped.uvs is not None
    assert several.uvs.tobytes() == unwrapped.uvs.tobytes()
    assert several.faces.tobytes() == unwrapped.faces.tobytes()
    assert told == sorted(told) and told[0][0] == 0 and told[-1][0] == told[-1][1] and len(told) > 5
    parts = regions(bumpy.vertices, bumpy.faces, 3000)
    here = unwrap._unwrapped(bumpy, 512, parts, unwrap._here)
    assert here.uvs is not None and here.uvs.tobytes() == unwrapped.uvs.tobytes()


def test_charts_of_several_regions_are_alike_and_apart(bumpy: Mesh, unwrapped: Mesh) -> None:
    scipy = pytest.importorskip("scipy.ndimage")
    assert np.array_equal(unwrapped.vertices[unwrapped.faces], bumpy.vertices[bumpy.faces])
    density = densities(unwrapped)
    assert density.min() > 0.7 and np.quantile(density, 0.99) < 1.25
    texels = texels_of(unwrapped, 512)
    chart = np.where(texels.inside, unwrap.charts_of(unwrapped)[texels.face] + 1, 0)
    assert chart.max() >= 3
    image = texels.image(chart)
    reach = 2 * 6 + 1  # six texels every way
    nearest = scipy.minimum_filter(np.where(image > 0, image, 1 << 30), reach)
    assert (nearest == image)[image > 0].mean() > 0.999
    assert (image > 0).mean() > 0.5


def test_the_finest_faces_of_a_large_mesh_are_not_lost(monkeypatch: Any) -> None:
    """xatlas leaves out faces below an epsilon of its own, in whatever unit it is given the mesh."""
    mesh = sheet(40, 40, bumps=0.1)
    mesh.vertices = mesh.vertices**4 + [0, 0, 5]  # the smallest face has a millionth of the largest one's area
    mesh.vertices = (1e-4 * mesh.vertices).astype(np.float32)
    parts = [np.arange(len(mesh.faces))]
    made = unwrap._unwrapped(mesh, 1024, parts, unwrap._here)
    large = np.linalg.norm(face_crosses(mesh), axis=1)
    found = densities(made)[large > 1e-5 * large.max()]
    assert len(found) > 2500 and found.min() > 0.3


def test_a_texture_too_small_for_its_charts_still_shows_them(bumpy: Mesh) -> None:
    scattered = Mesh(bumpy.vertices[bumpy.faces[:1500]].reshape(-1, 3), np.arange(4500, dtype=np.int32).reshape(-1, 3))
    made = unwrap.unwrap(scattered, 128)  # 1,500 charts, which with gaps of 4 texels would need all of it
    assert made.uvs is not None
    corners = made.uvs.astype(np.float64)[made.faces]
    along, across = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    assert np.abs(along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]).sum() / 2 > 0.1


def test_tiny_meshes_and_odd_faces() -> None:
    triangle = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    for faces in ([[0, 1, 2]], [[0, 1, 2], [2, 1, 0], [0, 1, 2]], [[0, 0, 0], [0, 1, 1], [0, 1, 2]]):
        for scale in (1e-7, 1, 1e7):
            mesh = Mesh(scale * triangle, np.array(faces, np.int32))
            made = unwrap.unwrap(mesh, 256)
            assert made.uvs is not None and np.isfinite(made.uvs).all()
            assert np.array_equal(made.vertices[made.faces], mesh.vertices[mesh.faces])
            assert texels_of(made, 256).inside.sum() > 5000
    with pytest.raises(NerfkitError, match="faces have no area"):
        unwrap.unwrap(Mesh(triangle * [1, 0, 0], np.array([[0, 1, 2], [0, 2, 1]], np.int32)), 256)


def test_a_process_that_ends_is_told_of_and_a_fault_is_one() -> None:
    with Helpers(1) as crowd, pytest.raises(RuntimeError, match="KeyError"):
        crowd.ask("nothing", [()], lambda: None)
    with Helpers(1) as crowd:
        crowd.ask("pack", [_square()], lambda: None)
        os.kill(crowd._processes[0].pid, signal.SIGKILL)
        with pytest.raises(NerfkitError, match=r"xatlas's process ended \(signal SIGKILL\); if memory ran out"):
            crowd.ask("pack", [_square()], lambda: None)


def _square() -> tuple[Any, ...]:
    mesh = sheet(1, 1)
    return mesh.vertices[:, :2], mesh.faces, np.zeros(2, np.int64), 20.0, 4


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from test_unwrap import sheet
from nerfkit.mesh.texture import helpers, unwrap
start = helpers._start
def told():
    process = start()
    print(process.pid, flush=True)
    return process
helpers._start = told
unwrap._REGION = 10**9
unwrap.unwrap(sheet(250, 250, bumps=0.3), 4096)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_the_one_that_needs_them(number: signal.Signals) -> None:
    """They are in the middle of a call that hears nothing; so is one whose parent has no time to end it."""
    program = PROGRAM.format(tests=os.path.dirname(__file__))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            while _cpu_seconds(child) < 0.7:  # it has begun, and works
                time.sleep(0.05)
            parent.send_signal(number)
            assert parent.wait(5) != 0
            until = time.monotonic() + 5
            while _runs(child) and time.monotonic() < until:
                time.sleep(0.02)
            assert not _runs(child)
        finally:
            parent.kill()


def _stat(pid: int) -> list[str]:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _runs(pid: int) -> bool:
    try:
        return _stat(pid)[0] != "Z"
    except FileNotFoundError:
        return False


def test_processes_take_no_module_from_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numpy", "queue", "pickle"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    with Helpers(1) as crowd:
        assert crowd.ask("pack", [_square()], lambda: None)[0][1] > 20
