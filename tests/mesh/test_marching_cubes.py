from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import analytic
import dense
import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from nerfkit.contracts import Mesh
from nerfkit.core import cubes
from nerfkit.core.native_marching_cubes import marching_cubes as native
from nerfkit.core.reference_marching_cubes import marching_cubes as reference
from nerfkit.core.volume import Volume
from nerfkit.mesh import geometry

BACKENDS = [pytest.param(reference, id="reference", marks=pytest.mark.cpu_only), pytest.param(native, id="native")]


def noise(size: tuple[int, int, int] = (21, 18, 27), closed: bool = True, seed: int = 0) -> Volume:
    """Every case of the table, at borders of blocks too; unknown here and there, or outside all around."""
    generator = torch.Generator().manual_seed(seed)
    tsdf = torch.rand(size, generator=generator) * 2 - 1
    weight = torch.ones(size)
    if closed:
        inner = torch.zeros(size, dtype=torch.bool)
        inner[1:-1, 1:-1, 1:-1] = True
        tsdf = torch.where(inner, tsdf, tsdf.abs() + 1e-3)
    else:
        weight[torch.rand(size, generator=generator) < 0.02] = 0.1
    color = torch.rand(*size, 3, generator=generator) * 255
    return dense.volume_of(tsdf, torch.tensor([-0.3, 0.2, 1.0]), 0.05, 0.2, weight, color)


def sides(faces: torch.Tensor) -> Counter[tuple[int, int]]:
    """Directed edges of faces."""
    return Counter((f[i], f[(i + 1) % 3]) for f in faces.tolist() for i in range(3))


def test_the_table_is_closed_and_looks_outwards() -> None:
    table = cubes.triangles()
    assert table[:, 0].max() == 5 and table[0, 0] == table[255, 0] == 0
    on_faces = {frozenset(cubes._edge_between(face[i - 1], face[i]) for i in range(4)) for face in cubes.faces()}
    for signs in range(256):
        row = table[signs].tolist()
        made = [row[1 + 3 * i : 4 + 3 * i] for i in range(row[0])]
        crossed = {e for e in range(12) if (signs >> cubes.corner(e, 0) & 1) != (signs >> cubes.corner(e, 1) & 1)}
        assert {edge for triangle in made for edge in triangle} == crossed
        open_sides = Counter(sides(torch.tensor(made, dtype=torch.int64).view(-1, 3)))
        # inner sides are there twice, in opposite directions; the others lie in the cube's faces
        for (a, b), count in open_sides.items():
            assert count == 1
            if (b, a) not in open_sides:
                assert any({a, b} <= face for face in on_faces)


@pytest.mark.parametrize("closed", [True, False])
def test_kernel_equals_reference_on_noise(closed: bool) -> None:
    volume = noise(closed=closed)
    vertices, faces, colors = native(volume, 0.5)
    expected = reference(volume, 0.5)
    assert len(faces) > 10_000 and torch.equal(faces, expected[1])
    torch.testing.assert_close(vertices, expected[0], atol=1e-6, rtol=0)
    assert (colors.int() - expected[2].int()).abs().max() <= 1
    assert (colors != expected[2]).float().mean() < 0.01


@pytest.mark.parametrize("extract", BACKENDS)
def test_noise_is_closed_and_no_vertex_is_there_twice_or_unused(extract: Callable[..., tuple]) -> None:
    vertices, faces, _ = extract(noise(), 0.5)
    assert len(vertices.unique(dim=0)) == len(vertices)
    assert torch.equal(faces.unique(), torch.arange(len(vertices), dtype=torch.int32))
    directed = sides(faces)
    assert max(directed.values()) == 1, "two faces use a side in the same direction"
    assert all((b, a) in directed for a, b in directed), "a side has one face only"


@pytest.mark.parametrize("extract", BACKENDS)
def test_a_ball_is_the_one_of_another_marching_cubes(extract: Callable[..., tuple]) -> None:
    n, step = 37, 1 / 36
    axis = torch.arange(n) * step - 0.5
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    tsdf = ((torch.sqrt(x * x + y * y + z * z) - analytic.RADIUS) / (4 * step)).clamp(-1, 1)
    colors = analytic.ball_color(torch.stack([x, y, z], -1).view(-1, 3)).view(n, n, n, 3) * 255
    made = extract(dense.volume_of(tsdf, torch.full((3,), -0.5), step, 4 * step, color=colors), 0.5)
    measure = pytest.importorskip("skimage.measure")
    theirs, their_faces, _, _ = measure.marching_cubes(tsdf.numpy(), 0.0, gradient_direction="descent")
    assert len(made[0]) == len(theirs) and len(made[1]) == len(their_faces)
    ours = made[0].numpy()
    order, their_order = (np.lexsort(np.round(v, 4).T) for v in (ours, theirs * step - 0.5))
    np.testing.assert_allclose(ours[order], (theirs * step - 0.5)[their_order], atol=2e-3 * step)
    mesh = Mesh(ours, made[1].numpy())
    assert geometry.is_watertight(mesh)
    crosses = geometry.face_crosses(mesh)
    volume = (crosses * mesh.vertices[mesh.faces[:, 0]]).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * analytic.RADIUS**3, rel=0.01)  # so faces look outwards
    expected = analytic.ball_color(made[0]) * 255
    assert (made[2] - expected).abs().max() < 2


@pytest.mark.parametrize("extract", BACKENDS)
def test_only_cubes_with_eight_known_corners_are_meshed(extract: Callable[..., tuple]) -> None:
    volume = noise(closed=False)
    tsdf, weight, first = dense.grid_of(volume)
    tsdf, known = tsdf.numpy(), (weight >= 0.5).numpy()
    whole = np.lib.stride_tricks.sliding_window_view(known, (2, 2, 2)).all((3, 4, 5))
    expected = []
    for x, y, z in np.argwhere(whole):
        for axis in range(3):
            for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
                start = np.array([x, y, z]) + np.insert([a, b], axis, 0)
                end = start + np.eye(3, dtype=int)[axis]
                f, g = tsdf[tuple(start)], tsdf[tuple(end)]
                if (f < 0) != (g < 0):
                    expected.append(start + np.eye(3)[axis] * np.clip(f / (f - g), 1e-3, 1 - 1e-3))
    places = volume.origin.numpy() + volume.voxel_size * (np.unique(np.round(expected, 5), axis=0) + first.numpy())
    ours = extract(volume, 0.5)[0].numpy()
    assert len(ours) == len(places) > 5000  # one for each edge of a whole cube that the surface crosses
    nearest, _ = cKDTree(places).query(ours)
    assert nearest.max() < 1e-5


@pytest.mark.parametrize("extract", BACKENDS)
def test_blocks_need_not_touch_and_may_lie_anywhere(extract: Callable[..., tuple]) -> None:
    near = noise((8, 8, 8))
    blocks = torch.tensor([[-70_000, 3, -9], [0, 0, 0], [0, 0, 2]], dtype=torch.int32)
    far = Volume.empty(torch.zeros(3), blocks, 0.5, 1.0)
    for values in (far.tsdf, far.weight, far.color):
        source = {far.tsdf.data_ptr(): near.tsdf, far.weight.data_ptr(): near.weight}.get(values.data_ptr(), near.color)
        values.copy_(source.expand(values.shape))
    vertices, faces, _ = extract(far, 0.5)
    alone = extract(near, 0.5)
    assert len(faces) == 3 * len(alone[1]) > 300 and len(vertices) == 3 * len(alone[0])
    first = vertices[: len(alone[0])]
    assert torch.allclose(first.mean(0), torch.tensor([-280_000 + 1.75, 12 + 1.75, -36 + 1.75]), atol=0.5)


def test_an_empty_volume_has_an_empty_mesh() -> None:
    for blocks in (torch.zeros(0, 3), torch.zeros(1, 3)):
        empty = Volume.empty(torch.zeros(3), blocks.int(), 0.1, 0.4)
        assert [len(part) for part in native(empty, 0.5)] == [0, 0, 0]


def test_colors_come_from_ends_that_have_one() -> None:
    tsdf = torch.ones(8, 8, 8)
    tsdf[3, 3, 3] = -1
    color = torch.full((8, 8, 8, 3), 90.0)
    color[3, 3, 3] = 30.0
    volume = dense.volume_of(tsdf, torch.zeros(3), 0.1, 0.4, color=color)
    volume.color[:, 3, 4, 3, 3] = 0  # the one along x has none
    for extract in (native, reference):
        vertices, _, colors = extract(volume, 0.5)
        along = vertices[:, 0] > 0.31
        assert len(vertices) == 6 and along.sum() == 1
        assert (colors[along] == 30).all() and (colors[~along] == 60).all()


@pytest.mark.cpu_only
def test_the_same_bytes_for_any_number_of_threads() -> None:
    volume, threads, results = noise(), torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(native(volume, 0.5))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_unordered_blocks_are_refused() -> None:
    for blocks in ([[0, 0, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]):
        with pytest.raises(ValueError, match="lexicographic"):
            Volume.empty(torch.zeros(3), torch.tensor(blocks, dtype=torch.int32), 0.1, 0.4)
