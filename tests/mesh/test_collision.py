from __future__ import annotations

import time

import chair as chairs
import numpy as np
import pytest
import trimesh
from test_stages import ball_volume

from nerfkit.contracts import Mesh
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.mesh.shape import clean
from nerfkit.mesh.assets import collision
from nerfkit.mesh import geometry
from nerfkit.mesh.fusion import surface
from nerfkit.mesh.texture import tangents
from nerfkit.mesh.assets.collision import collision_shapes


@pytest.fixture(scope="module")
def ball() -> Mesh:
    return clean.clean(surface.marching_cubes(ball_volume()))


def whole_chair() -> Mesh:
    return chairs.chair(1, parts=0).levels[0]


def turned(mesh: Mesh) -> Mesh:
    a, b = 0.7, 0.4
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return geometry.transformed(mesh, Similarity(2.5, about_z @ about_x, [3.0, -1.0, 2.0]))


def check(shape: Mesh, max_vertices: int) -> trimesh.Trimesh:
    """Closed, convex, facing outwards, and no more than an engine takes."""
    body = trimesh.Trimesh(shape.vertices, shape.faces, process=False)
    assert geometry.is_watertight(shape) and len(shape.vertices) <= max_vertices
    assert len(shape.faces) == 2 * len(shape.vertices) - 4 and len(shape.faces) <= 255
    assert body.volume > 0 and body.is_convex
    assert shape.normals is not None
    assert ((shape.vertices - shape.vertices.mean(0)) * shape.normals).sum(1).min() > 0
    return body


def outside(points: np.ndarray, shape: Mesh) -> np.ndarray:
    """How far points lie outside of a convex shape: [P]."""
    crosses = geometry.face_crosses(shape)
    normals = crosses / np.linalg.norm(crosses, axis=1, keepdims=True)
    height = points @ normals.T - (normals * shape.vertices[shape.faces[:, 0]]).sum(1)
    most: np.ndarray = height.max(1)
    return most


def test_none_is_none() -> None:
    assert collision_shapes(whole_chair(), "none") == []


def test_a_box_lies_as_the_thing_lies() -> None:
    box = Mesh(*(getattr(chairs.box_mesh(chairs.BOXES[0]), name) for name in ("vertices", "faces")))
    (shape,) = collision_shapes(turned(box), "box")
    body = check(shape, 8)
    assert body.volume == pytest.approx(2.5**3 * 0.5 * 0.4 * 0.5, rel=1e-4)
    assert outside(turned(whole_chair()).vertices, collision_shapes(turned(whole_chair()), "box")[0]).max() < 1e-4


def test_a_hull_has_few_corners_and_lies_close(ball: Mesh) -> None:
    (shape,) = collision_shapes(ball, "hull")
    body = check(shape, collision.MAX_VERTICES)
    assert len(shape.vertices) > 100
    assert outside(ball.vertices, shape).max() < 0.04 * 0.3  # of the radius; the best 128 corners leave 0.02
    assert body.volume > 0.94 * 4 / 3 * np.pi * 0.3**3
    (exact,) = collision_shapes(turned(whole_chair()), "hull")
    assert 10 <= len(exact.vertices) <= 14  # ten corners, and some that lie on edges within rounding
    assert outside(turned(whole_chair()).vertices, exact).max() < 1e-5


def l_prism() -> Mesh:
    """A closed mesh with one hollow edge: what two boxes of 2 x 1 x 1 and 1 x 1 x 1 cover."""
    outline = np.array([[1, 1], [1, 2], [0, 2], [0, 0], [2, 0], [2, 1]], np.float32)  # from the hollow corner on
    vertices = np.concatenate([np.c_[outline, np.zeros(6)], np.c_[outline, np.ones(6)]]).astype(np.float32)
    fan = np.array([[0, i, i + 1] for i in range(1, 5)])
    walls = [[[i, j, i + 6], [j, j + 6, i + 6]] for i, j in ((i, (i + 1) % 6) for i in range(6))]
    faces = np.concatenate([fan[:, ::-1], fan + 6, np.array(walls).reshape(-1, 3)])
    return Mesh(vertices, faces)


def test_convex_parts_of_a_closed_mesh_hold_little_more() -> None:
    mesh = turned(l_prism())
    assert geometry.is_watertight(mesh)
    told: list[tuple[str, int, int]] = []
    shapes = collision_shapes(mesh, "convex", 2, lambda *report: told.append(report))
    assert told == [("collision", 0, 1), ("collision", 1, 1)]
    volumes = [check(shape, collision.PART_VERTICES).volume for shape in shapes]
    assert len(volumes) == 2 and volumes == sorted(volumes, reverse=True)
    assert sum(volumes) == pytest.approx(3 * 2.5**3, rel=0.05)  # where to cut is searched on a grid
    nearest = np.min([outside(mesh.vertices, shape) for shape in shapes], axis=0)
    assert nearest.max() < 1e-3
    again = collision_shapes(mesh, "convex", 2)
    assert all(np.array_equal(a.vertices, b.vertices) for a, b in zip(shapes, again, strict=True))


def test_convex_parts_of_an_open_mesh_lie_around_it() -> None:
    mesh = turned(whole_chair())  # each side of its boxes is a mesh by itself, one lies inside
    shapes = collision_shapes(mesh, "convex", 2)
    volume = sum(check(shape, collision.PART_VERTICES).volume for shape in shapes)
    hull = check(collision_shapes(mesh, "hull")[0], 128).volume
    assert len(shapes) == 2
    assert 2.5**3 * 0.124 < volume < min(1.25 * 2.5**3 * 0.124, 0.9 * hull)
    nearest = np.min([outside(mesh.vertices, shape) for shape in shapes], axis=0)
    assert nearest.max() < 0.02 * 2.5


@pytest.mark.slow
def test_a_decomposition_ends_in_time(ball: Mesh) -> None:
    """Of an open, thin bowl, which takes minutes."""
    corners = ball.vertices[ball.faces]
    open_ball = clean.select_faces(ball, corners[:, :, 2].max(1) < 0.05)
    start = time.monotonic()
    shapes = collision_shapes(open_ball, "convex", 6, seconds=4)
    assert time.monotonic() - start < 15
    assert 1 <= len(shapes) <= 6
    for shape in shapes:
        check(shape, collision.MAX_VERTICES)
    (hull,) = collision_shapes(open_ball, "convex", 6, seconds=0)
    assert np.array_equal(hull.vertices, collision_shapes(open_ball, "hull")[0].vertices)


@pytest.mark.parametrize("kind", ["box", "hull", "convex"])
def test_flat_and_tiny_things_get_a_thickness(kind: str) -> None:
    flat = Mesh(np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32), np.array([[0, 1, 2], [0, 2, 3]]))
    for mesh in (flat, turned(flat)):
        shapes = collision_shapes(mesh, kind, 4)  # type: ignore[arg-type]
        for shape in shapes:
            check(shape, 128)
        assert max(np.ptp(shape.vertices, axis=0).max() for shape in shapes) > 0.9


def test_an_empty_mesh_is_told() -> None:
    with pytest.raises(NerfkitError, match="no collision shape: the mesh has no faces"):
        collision_shapes(Mesh(np.zeros((0, 3)), np.zeros((0, 3), int)), "hull")


def test_tangents_run_along_u_and_the_third_axis_along_v() -> None:
    mesh = chairs.chair(2, normal_map=True, parts=0).levels[0]
    assert mesh.normals is not None and mesh.uvs is not None
    found = tangents.tangents(mesh)
    third = found[:, 3:] * np.cross(mesh.normals, found[:, :3])
    for face in mesh.faces:
        a, b, c = face
        for axis, directions in ((0, found[:, :3]), (1, third)):
            edges = mesh.vertices[[b, c]] - mesh.vertices[a]
            d = (mesh.uvs[[b, c]] - mesh.uvs[a]).astype(np.float64)
            weights = np.linalg.solve(d.T, np.eye(2)[axis])  # the edges' sum along which only u, or v, grows
            along = weights @ edges
            assert np.allclose(directions[a], along / np.linalg.norm(along), atol=1e-4)
    mirrored = Mesh(mesh.vertices, mesh.faces, normals=mesh.normals, uvs=mesh.uvs * [-1, 1])
    turned_over = tangents.tangents(mirrored)
    assert np.allclose(turned_over[:, :3], -found[:, :3], atol=1e-5) and (turned_over[:, 3] == -found[:, 3]).all()


def test_tangents_are_unit_where_the_texture_has_no_area() -> None:
    mesh = chairs.chair(1, parts=0).levels[0]
    mesh.uvs = np.zeros_like(mesh.uvs)
    found = tangents.tangents(mesh)
    assert np.allclose(np.linalg.norm(found[:, :3], axis=1), 1)
    assert np.abs((found[:, :3] * mesh.normals).sum(1)).max() < 1e-6
