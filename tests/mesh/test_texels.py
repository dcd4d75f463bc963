"""Texels and the points of the surface that they stand for; pictures of meshes."""

from __future__ import annotations

import analytic
import numpy as np
import pytest
import torch

from nerfkit import cameras
from nerfkit.contracts import Cameras, Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh.draw import depth_map, draw
from nerfkit.mesh.texture.texels import texels_of


def square(uv: float = 1.0) -> Mesh:
    """The unit square at z = 0, whose texture coordinates are x and y, times ``uv``."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Mesh(corners, faces, uvs=corners[:, :2] * uv)


def above(width: int = 64, height: int = 64, distance: float = 2.0) -> Cameras:
    """Looks down at the middle of the square, with x to the right and y up in the picture."""
    eye, up = torch.tensor([0.5, 0.5, distance]), torch.tensor([0.0, 1.0, 0.0])
    pose = cameras.look_at(eye, torch.tensor([0.5, 0.5, 0.0]), up)
    focal = width * distance  # the square fills the picture
    return Cameras(pose[None], torch.tensor([[focal, focal, width / 2, height / 2]]), width, height)


def test_texel_centres_are_where_the_texture_shows_them() -> None:
    texels = texels_of(square(), 16)
    assert len(texels) == 256 and texels.inside.all()
    row, column = texels.index // 16, texels.index % 16
    want = np.stack([(column + 0.5) / 16, 1 - (row + 0.5) / 16, 0 * row], 1)
    np.testing.assert_allclose(texels.positions(square()), want, atol=1e-6)
    np.testing.assert_allclose(texels.normals(square()), [[0, 0, 1]] * 256, atol=1e-6)


def test_the_rim_lies_on_the_edge_of_the_face_beside_it() -> None:
    mesh = square(0.5)
    texels = texels_of(mesh, 32)
    image = texels.image(np.ones(len(texels), bool), False)
    assert image[14:, :18].all() and image.sum() == 18 * 18 and texels.inside.sum() == 256
    row, column = texels.index // 32, texels.index % 32
    want = np.stack([(column + 0.5) / 16, 2 - (row + 0.5) / 16, 0 * row], 1).clip(0, 1)
    np.testing.assert_allclose(texels.positions(mesh), want, atol=0.1)
    np.testing.assert_allclose(texels.positions(mesh)[texels.inside], want[texels.inside], atol=1e-5)


def test_faces_without_a_texel_centre_get_one() -> None:
    mesh = square()
    mesh.uvs = mesh.uvs * 0.02 + 0.31
    texels = texels_of(mesh, 16)
    assert (~texels.inside).all() and (texels.index == 10 * 16 + 5).any() and len(texels) == 25
    degenerate = Mesh(mesh.vertices, np.array([[0, 0, 1]], np.int32), uvs=mesh.uvs)
    assert np.isfinite(texels_of(degenerate, 16).barycentrics).all()


def test_a_texture_drawn_pixel_for_pixel_comes_back() -> None:
    mesh = square()
    mesh.texture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    drawing = draw(mesh, above(), shading="texture", samples=1)
    assert drawing.mask.all() and np.allclose(drawing.depth, 2)
    assert np.abs(drawing.rgb.astype(int) - mesh.texture).max() <= 1


def test_a_texture_from_afar_does_not_alias() -> None:
    mesh = square()
    mesh.texture = np.tile(np.array([0, 255], np.uint8)[np.indices((256, 256)).sum(0) % 2][..., None], (1, 1, 3))
    drawing = draw(mesh, above(32, 32))
    assert drawing.mask.all()
    assert np.abs(drawing.rgb[2:-2, 2:-2].astype(int) - 127).max() <= 1


def test_other_shadings() -> None:
    mesh = square()
    assert (draw(mesh, above(), shading="normals").rgb == [[[128, 128, 255]]]).all()
    assert 150 < draw(mesh, above()).rgb.mean() < 210  # clay
    with pytest.raises(NerfkitError, match="no texture"):
        draw(mesh, above(), shading="texture")
    with pytest.raises(NerfkitError, match="no colours"):
        draw(mesh, above(), shading="colors")
    mesh.colors = np.array([[0, 0, 0], [200, 0, 0], [200, 100, 0], [0, 100, 0]], np.uint8)
    rgb = draw(mesh, above()).rgb.astype(float)
    x = (np.arange(64) + 0.5) / 64
    np.testing.assert_allclose(rgb[..., 0], np.tile(200 * x, (64, 1)), atol=1)
    np.testing.assert_allclose(rgb[..., 1], np.tile(100 * (1 - x)[:, None], (1, 64)), atol=1)


def test_the_rim_is_blended_with_the_background() -> None:
    camera = above()
    wide = Cameras(camera.world_from_cam, camera.intrinsics + torch.tensor([0, 0, 16.5, 16.5]), 97, 97)
    drawing = draw(square(), wide, shading="normals", background=(0, 0, 0))
    assert drawing.mask.sum() == 63 * 63  # of 64 x 64 pixels, half a pixel off the grid
    assert (drawing.rgb[40, 16] == [64, 64, 128]).all() and (drawing.rgb[40, 15] == 0).all()
    assert depth_map(square(), wide)[0, 0].isinf()


def test_a_ball_has_the_depth_it_should() -> None:
    view = analytic.ring(3)[1]
    n = 128
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, n), np.linspace(0, np.pi, n), indexing="ij")
    points = np.stack([np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)], -1).reshape(-1, 3) * analytic.RADIUS
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (part.ravel() for part in (i[:-1, :-1], i[1:, :-1], i[:-1, 1:], i[1:, 1:]))
    ball = Mesh(points, np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]))
    want = analytic.cast(view, table=False)[1]
    got = depth_map(ball, view)
    both = (want > 0) & got.isfinite()
    assert both.sum() > 0.97 * (want > 0).sum() > 500
    assert (got - want)[both].abs().quantile(0.99) < 2e-3
