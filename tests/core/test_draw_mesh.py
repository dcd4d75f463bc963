"""Triangle meshes to pixels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nerfkit.core.native import NativeCore
from nerfkit.core.reference_draw import draw_mesh as reference
from nerfkit.core.types import FacePixels

SIZES = [(1, 1), (17, 16), (64, 33), (130, 97)]


def soup(count: int, width: int, height: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Triangles of all sizes, either way around, some of them off the picture or behind the camera."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([width, height], dtype=torch.float32)
    center = (torch.rand(count, 1, 2, generator=generator) * 1.4 - 0.2) * size
    reach = 10 ** (torch.rand(count, 1, 1, generator=generator) * 3 - 1)
    corners = center + reach * torch.randn(count, 3, 2, generator=generator)
    depth = 1 + torch.rand(count, 3, 1, generator=generator)
    depth[::11, 0] *= -1
    return torch.cat([corners, depth], 2).reshape(-1, 3), torch.arange(3 * count, dtype=torch.int32).reshape(-1, 3)


def fan(width: int, height: int) -> tuple[Tensor, Tensor]:
    """A surface without holes that hides no part of itself and covers the picture: a bent grid with shared vertices.

    Some of its vertices lie on pixel centres, where as many as six faces meet.
    """
    n = 12
    x, y = torch.meshgrid(torch.linspace(-0.2, 1.2, n), torch.linspace(-0.2, 1.2, n), indexing="ij")
    generator = torch.Generator().manual_seed(4)
    x, y = (a + (torch.rand(n, n, generator=generator) - 0.5) * 0.05 for a in (x, y))
    places = torch.stack([x * width, y * height], -1).reshape(-1, 2)
    places[::3] = places[::3].floor() + 0.5
    z = 2 + torch.sin(5 * places[:, :1] / width)
    i = torch.arange(n * n).reshape(n, n)
    a, b, c, d = (part.reshape(-1) for part in (i[:-1, :-1], i[1:, :-1], i[:-1, 1:], i[1:, 1:]))
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([b, c, d], 1)])  # one half is turned around
    return torch.cat([places, z], 1), faces.int()


def same(got: FacePixels, want: FacePixels) -> None:
    # rounding may turn the order of faces that cross at a pixel's centre
    differs = got.face != want.face
    assert differs.float().mean() < 1e-3
    torch.testing.assert_close(got.depth, want.depth, rtol=1e-6, atol=0)
    torch.testing.assert_close(got.barycentrics[~differs], want.barycentrics[~differs], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("count", [0, 1, 400])
def test_kernel_equals_reference_on_a_soup(size: tuple[int, int], count: int) -> None:
    vertices, faces = soup(count, *size)
    want = reference(vertices, faces, *size)
    assert count < 400 or (want.face >= 0).float().mean() > 0.2
    same(NativeCore().draw_mesh(vertices, faces, *size), want)


@pytest.mark.parametrize("size", SIZES[1:], ids=str)
def test_shared_edges_are_drawn_once(size: tuple[int, int]) -> None:
    width, height = size
    vertices, faces = fan(width, height)
    total = torch.zeros(height, width)
    for face in range(len(faces)):  # each alone: how often is a pixel drawn?
        total += NativeCore().draw_mesh(vertices, faces[face : face + 1], width, height).face >= 0
    assert (total == 1).all()
    same(NativeCore().draw_mesh(vertices, faces, width, height), reference(vertices, faces, width, height))


def test_the_top_left_rule() -> None:
    # two halves of a square whose corners and diagonal lie on pixel centres
    vertices = torch.tensor([[1.5, 1.5, 1.0], [4.5, 1.5, 1.0], [4.5, 4.5, 1.0], [1.5, 4.5, 1.0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    want = torch.full((6, 6), -1, dtype=torch.int32)
    want[1:4, 1:4] = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0]])
    assert torch.equal(NativeCore().draw_mesh(vertices, faces, 6, 6).face, want)
    assert torch.equal(reference(vertices, faces, 6, 6).face, want)


def test_depth_and_barycentrics_have_perspective() -> None:
    """A plane in space through a pinhole: 1/z is affine, points are where the rays meet it."""
    corners = torch.tensor([[-1.0, -1.0, 1.5], [2.0, -0.5, 4.0], [0.0, 1.5, 3.0]], dtype=torch.float64)
    pixels = corners[:, :2] / corners[:, 2:] * 64 + 32  # on the grid of 1/256 pixel only by chance
    vertices = torch.cat([pixels, corners[:, 2:]], 1).float()
    drawn = NativeCore().draw_mesh(vertices, torch.tensor([[0, 1, 2]], dtype=torch.int32), 64, 64)
    row, column = (drawn.face >= 0).nonzero(as_tuple=True)
    assert len(row) > 500
    points = drawn.barycentrics[row, column].double() @ corners
    seen = points[:, :2] / points[:, 2:] * 64 + 32
    assert (seen - torch.stack([column, row], 1) - 0.5).abs().max() < 1.5 / 256
    torch.testing.assert_close(points[:, 2].float(), drawn.depth[row, column], rtol=1e-5, atol=0)
    assert (drawn.barycentrics[row, column].sum(1) - 1).abs().max() < 1e-6
    assert drawn.depth[drawn.face < 0].abs().sum() == 0 and drawn.barycentrics[drawn.face < 0].abs().sum() == 0


def test_the_nearest_face_wins_and_of_equals_the_first() -> None:
    square = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    layers = [torch.cat([square, torch.full((3, 1), z)], 1) for z in (3.0, 2.0, 2.0, 5.0)]
    faces = torch.arange(12, dtype=torch.int32).reshape(4, 3)
    drawn = NativeCore().draw_mesh(torch.cat(layers), faces, 9, 9)
    assert set(drawn.face.unique().tolist()) == {-1, 1} and drawn.face[0, 0] == 1


def test_what_cannot_be_drawn_is_left_out() -> None:
    good = [[0.0, 0.0, 1.0], [8.0, 0.0, 1.0], [0.0, 8.0, 1.0]]
    for bad in ([0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [math.nan, 0.0, 1.0], [0.0, 0.0, math.inf], [3e6, 0.0, 1.0]):
        vertices = torch.tensor([*good, bad])
        faces = torch.tensor([[3, 1, 2], [1, 1, 2]], dtype=torch.int32)
        for draw in (NativeCore().draw_mesh, reference):
            assert (draw(vertices, faces, 8, 8).face == -1).all()
            assert (draw(vertices, faces.flip(0) * 0 + faces.new_tensor([0, 1, 2]), 8, 8).face >= 0).any()


def test_a_vertex_that_is_not_there_is_named() -> None:
    vertices = torch.rand(3, 3)
    with pytest.raises(RuntimeError, match=r"faces must name vertices 0 to 2, got 3 in face 0"):
        NativeCore().draw_mesh(vertices, torch.tensor([[0, 1, 3]], dtype=torch.int32), 4, 4)
    with pytest.raises(RuntimeError, match="a picture must have"):
        NativeCore().draw_mesh(vertices, torch.tensor([[0, 1, 2]], dtype=torch.int32), 0, 4)


@pytest.mark.cpu_only
def test_the_same_bytes_for_any_number_of_threads() -> None:
    vertices, faces = soup(500, 130, 97)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(NativeCore().draw_mesh(vertices, faces, 130, 97))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0].face, results[1].face) and torch.equal(results[0].depth, results[1].depth)
