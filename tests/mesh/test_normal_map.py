from __future__ import annotations

import numpy as np
import pytest
import shapes
from PIL import Image

from nerfkit.contracts import Mesh
from nerfkit.mesh import geometry
from nerfkit.mesh.texture.normal_map import bake_normals
from nerfkit.mesh.texture.tangents import tangents
from nerfkit.mesh.texture.texels import texels_of


def wavy(cells: int) -> Mesh:
    """The sheet z = 0.1 sin 3x cos 2y over 4 x 4, with its exact normals."""
    sheet = shapes.sheet(cells)
    x, y, _ = sheet.vertices.T
    z = 0.1 * np.sin(3 * x) * np.cos(2 * y)
    normals = slope_normals(x, y)
    return Mesh(np.stack([x, y, z], 1), sheet.faces, normals=normals.astype(np.float32))


def slope_normals(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    slope = [-0.3 * np.cos(3 * x) * np.cos(2 * y), 0.2 * np.sin(3 * x) * np.sin(2 * y), np.ones_like(x)]
    normals = np.stack(slope, 1)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def chart(mesh: Mesh, turn: float = 0.0, mirrored: bool = False) -> Mesh:
    """With the place from above as texture coordinates, turned by some degrees, mirrored in u if asked for."""
    a = np.radians(turn)
    uv = mesh.vertices[:, :2] / 6 @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    if mirrored:
        uv[:, 0] *= -1
    return Mesh(mesh.vertices, mesh.faces, normals=mesh.normals, uvs=uv + 0.5)


def shaded(light: Mesh, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a shader makes of the map: points [T, 3] on the mesh and unit normals [T, 3] there."""
    texels = texels_of(light, len(image))
    inside = np.flatnonzero(texels.inside)
    own = texels.interpolate(light, light.normals)
    t = texels.interpolate(light, tangents(light))
    value = (image.reshape(-1, 3)[texels.index].astype(float) - 128) / 127
    bitangent = np.sign(t[:, 3:]) * np.cross(own, t[:, :3])
    normal = value[:, :1] * t[:, :3] + value[:, 1:2] * bitangent + value[:, 2:] * own
    return texels.positions(light)[inside], (normal / np.linalg.norm(normal, axis=1, keepdims=True))[inside]


class TestTangents:
    def test_they_run_along_u_and_the_bitangents_along_v(self) -> None:
        for turn, mirrored in ((0, False), (30, False), (30, True), (200, True)):
            mesh = chart(shapes.sheet(4), turn, mirrored)
            found = tangents(mesh)
            a = np.radians(turn)
            u = np.array([np.cos(a), -np.sin(a), 0]) * (-1 if mirrored else 1)
            v = np.array([np.sin(a), np.cos(a), 0])
            assert np.allclose(found[:, :3], u, atol=1e-6)
            assert np.allclose(found[:, 3:] * np.cross([0, 0, 1], found[:, :3]), v, atol=1e-6)

    def test_they_are_unit_and_square_to_the_normals(self) -> None:
        mesh = chart(wavy(20), 70)
        found = tangents(mesh)
        assert np.linalg.norm(found[:, :3], axis=1) == pytest.approx(1, abs=1e-6)
        assert np.abs((found[:, :3] * mesh.normals).sum(1)).max() < 1e-6
        assert (found[:, 3] == 1).all()

    def test_faces_without_area_in_the_texture(self) -> None:
        mesh = chart(shapes.sheet(3))
        found = tangents(Mesh(mesh.vertices, mesh.faces, uvs=np.zeros_like(mesh.uvs)))
        assert np.linalg.norm(found[:, :3], axis=1) == pytest.approx(1)


class TestBake:
    @pytest.mark.parametrize(("turn", "mirrored"), [(0, False), (40, False), (40, True)])
    def test_a_coarse_sheet_gets_the_normals_of_the_fine_one(self, turn: float, mirrored: bool) -> None:
        light = chart(wavy(8), turn, mirrored)
        light.normals = geometry.vertex_normals(light)
        image = bake_normals(light, wavy(200), 256)
        points, normals = shaded(light, image)
        true = slope_normals(points[:, 0], points[:, 1])
        angle = np.degrees(np.arccos(np.clip((normals * true).sum(1), -1, 1)))
        flat = np.degrees(np.arccos(np.clip((texels_of(light, 256).normals(light)[: len(true)] * true).sum(1), -1, 1)))
        assert len(points) > 20_000
        assert np.median(angle) < 0.8 and np.quantile(angle, 0.99) < 3  # 8 bits alone are 0.3 degrees
        assert np.median(flat) > 4

    def test_green_is_up_and_red_is_right(self) -> None:
        """A ridge along x: what looks up in the texture is greener; one along y: what looks right is redder."""
        light = chart(shapes.sheet(2))
        fine = shapes.sheet(100)
        for axis, channel in ((0, 0), (1, 1)):
            z = -0.05 * np.abs(fine.vertices[:, axis])
            ridge = Mesh(np.column_stack([fine.vertices[:, :2], z]), fine.faces)
            image = bake_normals(light, ridge, 128).astype(int)
            right, left, up, down = image[64, 90], image[64, 38], image[38, 64], image[90, 64]
            positive, negative = (right, left) if axis == 0 else (up, down)
            assert positive[channel] > 132 and negative[channel] < 124
            assert abs(positive[1 - channel] - 128) <= 1 and positive[2] > 250

    def test_the_same_mesh_is_flat_and_so_is_what_has_nothing_near(self) -> None:
        light = chart(wavy(60))
        assert np.abs(bake_normals(light, wavy(60), 128).astype(int) - [128, 128, 255]).max() <= 6
        away = wavy(60)
        away.vertices = away.vertices + np.array([0, 0, 5])
        assert np.abs(bake_normals(light, away, 64).astype(int) - [128, 128, 255]).max() <= 1
        other_side = wavy(60)
        other_side = Mesh(other_side.vertices - [0, 0, 0.01], other_side.faces[:, ::-1])  # of a thin sheet
        assert np.abs(bake_normals(light, other_side, 64).astype(int) - [128, 128, 255]).max() <= 1

    def test_charts_are_padded(self) -> None:
        light = chart(shapes.sheet(2))
        tilted = Mesh(shapes.sheet(40).vertices * [1, 1, 0], shapes.sheet(40).faces)
        tilted.vertices[:, 2] = 0.02 * tilted.vertices[:, 0]
        image = bake_normals(light, tilted, 512)
        covered = texels_of(light, 512)
        assert np.ptp(image[81:431, 81:431].reshape(-1, 3), axis=0).max() <= 1  # 4 texels beyond the chart too
        assert len(covered) < 512 * 512 and tuple(image[0, 0]) == (128, 128, 255)
        assert Image.fromarray(image).size == (512, 512)
