from __future__ import annotations

import numpy as np
import pytest
import shapes

from nerfkit.contracts import Mesh
from nerfkit.mesh import geometry
from nerfkit.mesh.shape import clean, holes
from nerfkit.mesh.shape.manifold import make_manifold
from nerfkit.mesh.shape.topology import border_loops, edges, neighbors
from nerfkit.mesh.shape.triangulate import LONGEST, triangulate


def without_cap(mesh: Mesh, direction: tuple[float, float, float], cosine: float) -> Mesh:
    return clean.select_faces(mesh, mesh.vertices[mesh.faces].mean(1) @ np.asarray(direction) < cosine)


def with_slit(ball: Mesh, wave: float) -> Mesh:
    """Along the equator over a good third of the turn, up and down by ``wave``."""
    x, y, z = ball.vertices[ball.faces].mean(1).T
    return clean.select_faces(ball, (np.abs(z - wave * np.sin(4 * np.arctan2(y, x))) > 0.04) | (x < 0.6))


def tube(sections: int = 64, rows: int = 40) -> Mesh:
    """Around z, radius 1, from z = -1 to 1, open at both ends."""
    angle = np.arange(sections) * (2 * np.pi / sections)
    z = np.linspace(-1, 1, rows + 1)
    points = np.stack([np.tile(np.cos(angle), rows + 1), np.tile(np.sin(angle), rows + 1), np.repeat(z, sections)], 1)
    a = np.arange(rows * sections)
    b = a // sections * sections + (a + 1) % sections
    faces = np.concatenate([np.stack([a, b, b + sections], 1), np.stack([a, b + sections, a + sections], 1)])
    return Mesh(points, faces.astype(np.int32), shapes.color(points))


class TestFill:
    def test_a_hole_in_a_sphere_gets_round_again(self) -> None:
        ball = without_cap(shapes.sphere(5), (0.6, 0, 0.8), 0.93)
        (loop,) = holes.holes(ball)
        assert 0.7 < holes.extent(ball.vertices[loop]) < 0.8
        full = holes.fill_holes(ball, 0.8)
        assert geometry.is_watertight(full)
        new = full.vertices[len(ball.vertices) :]
        # a flat lid would lie 0.07 below the sphere
        assert len(new) > 200 and np.abs(np.linalg.norm(new, axis=1) - 1).max() < 0.004
        area = np.linalg.norm(geometry.face_crosses(full), axis=1)
        assert np.median(area[len(ball.faces) :]) == pytest.approx(np.median(area[: len(ball.faces)]), rel=0.4)
        outwards = (geometry.face_crosses(full) * full.vertices[full.faces[:, 0]]).sum(1)
        assert (outwards > 0).all()
        assert np.abs(full.colors[len(ball.vertices) :].astype(int) - shapes.color(new)).max() <= 5
        assert np.array_equal(full.vertices[: len(ball.vertices)], ball.vertices)

    def test_only_holes_up_to_the_width(self) -> None:
        ball = without_cap(without_cap(shapes.sphere(4), (0, 0, 1), 0.97), (0, 0, -1), 0.7)
        assert len(holes.holes(ball)) == 2
        part = holes.fill_holes(ball, 0.6)
        (left,) = holes.holes(part)
        assert part.vertices[left][:, 2].max() < -0.5
        assert geometry.is_watertight(holes.fill_holes(ball, 2.0))
        assert holes.fill_holes(ball, 0) is ball

    def test_slits_may_be_longer_than_holes_are_wide(self) -> None:
        slit = with_slit(shapes.sphere(5), wave=0)
        (loop,) = holes.holes(slit)
        assert holes.extent(slit.vertices[loop]) > 1.4
        full = holes.fill_holes(slit, 0.5)
        assert geometry.is_watertight(full)
        assert np.abs(np.linalg.norm(full.vertices, axis=1) - 1).max() < 0.01
        assert len(holes.holes(holes.fill_holes(slit, 0.3))) == 1  # more than four times as long

    def test_long_borders_that_are_not_flat_enclose_more_than_a_slit(self) -> None:
        bent = with_slit(shapes.sphere(5), wave=0.4)
        assert len(holes.holes(holes.fill_holes(bent, 0.5))) == 1
        assert geometry.is_watertight(holes.fill_holes(bent, 2.0))

    def test_an_open_cylinder_gets_flat_lids(self) -> None:
        open_tube = tube()
        full = holes.fill_loops(open_tube, holes.holes(open_tube), fair=False)
        assert geometry.is_watertight(full) and np.abs(full.vertices[:, 2]).max() <= 1 + 1e-9
        volume = (geometry.face_crosses(full) * full.vertices[full.faces[:, 0]]).sum() / 6
        assert volume == pytest.approx(64 * np.sin(2 * np.pi / 64), rel=1e-6)  # base of 64 corners, height 2

    def test_a_hole_in_a_plane_is_filled_in_the_plane_and_its_border_stays_open(self) -> None:
        sheet = shapes.sheet(40)
        center = sheet.vertices[sheet.faces].mean(1)
        ring = clean.select_faces(sheet, np.linalg.norm(center[:, :2], axis=1) > 0.7)
        full = holes.fill_holes(ring, 100.0)
        assert np.abs(full.vertices[:, 2]).max() < 1e-6
        area = np.linalg.norm(geometry.face_crosses(full), axis=1).sum() / 2
        assert area == pytest.approx(16, rel=1e-6)
        assert len(border_loops(full.faces)) == 1
        assert np.bincount(full.faces.ravel()).max() < 12  # no fans of slivers

    def test_long_ragged_holes(self) -> None:
        rng = np.random.default_rng(0)
        ball = shapes.sphere(5)
        center = ball.vertices[ball.faces].mean(1)
        gap = np.abs(center[:, 2]) < 0.08 + 0.03 * rng.random(len(center))  # a band half around the equator
        bitten = clean.clean(clean.select_faces(ball, ~(gap & (center[:, 0] > 0))), 0.5)
        longest = max(len(loop) for loop in holes.holes(bitten))
        assert longest > LONGEST
        full = holes.fill_holes(bitten, 3.0)
        assert geometry.is_watertight(full)
        assert np.abs(np.linalg.norm(full.vertices, axis=1) - 1).max() < 0.03

    def test_holes_that_meet_at_a_vertex(self) -> None:
        sheet = shapes.sheet(12)
        gone = np.zeros(len(sheet.faces), bool)
        cells = 12 * 12
        for cell in (5 * 12 + 5, 6 * 12 + 6):  # squares that share a corner
            gone[[cell, cell + cells]] = True
        full = holes.fill_holes(clean.select_faces(sheet, ~gone), 1.0)
        assert len(border_loops(full.faces)) == 1
        assert np.linalg.norm(geometry.face_crosses(full), axis=1).sum() / 2 == pytest.approx(16, rel=2e-3)


def test_triangulation_of_a_folded_border_follows_the_surface_around() -> None:
    """A square hole across the edge of a roof: the lid bends along the ridge and does not cut the corner off."""
    border = np.array([[-1, 0, 0], [-1, 1, 0], [0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 1]], float)[::-1]
    triangles = triangulate(border, np.zeros((6, 3)), np.zeros((6, 6), bool))
    assert len(triangles) == 4
    corners = border[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    assert area == pytest.approx(2 * 2**0.5)  # the two slopes; without the ridge it is 2 + 2


class TestManifold:
    def test_two_cubes_that_touch_along_an_edge_come_apart_closed(self) -> None:
        a = shapes.cube(4)
        b = Mesh(a.vertices + np.array([2.0, 2.0, 0.0]), a.faces, a.colors)
        both = clean.drop_degenerate(shapes.joined(a, b))
        assert (edges(both.faces).faces == 4).sum() == 4
        parted = make_manifold(both)
        assert geometry.is_watertight(parted)
        assert len(parted.vertices) == len(a.vertices) * 2
        assert np.array_equal(parted.vertices[parted.faces], both.vertices[both.faces])
        assert np.array_equal(parted.colors[parted.faces], both.colors[both.faces])

    def test_two_cones_that_touch_at_a_vertex_come_apart(self) -> None:
        ball = shapes.sphere(2)
        top = ball.vertices[:, 2].argmax()
        other = Mesh(ball.vertices * [1, 1, -1], ball.faces[:, ::-1], ball.colors)
        other.vertices += 2 * ball.vertices[top]
        both = clean.drop_degenerate(shapes.joined(ball, other))
        assert len(both.vertices) == 2 * len(ball.vertices) - 1
        assert len(make_manifold(both).vertices) == 2 * len(ball.vertices)

    def test_a_fin_is_cut_off_and_a_manifold_stays(self) -> None:
        ball = shapes.sphere(2)
        assert make_manifold(ball) is ball
        a, b, _ = ball.faces[0]
        fin = Mesh(np.concatenate([ball.vertices, [[0, 0, 3.0]]]), np.concatenate([ball.faces, [[a, b, 162]]]))
        cut = make_manifold(fin)
        found = edges(cut.faces)
        assert (found.faces <= 2).all() and len(cut.faces) == len(fin.faces)
        assert len(border_loops(cut.faces)) >= 1

    def test_faces_that_turn_against_each_other_are_cut(self) -> None:
        sheet = shapes.sheet(4)
        faces = sheet.faces.copy()
        faces[5] = faces[5][::-1]
        found = edges(make_manifold(Mesh(sheet.vertices, faces)).faces)
        assert (found.balance[found.faces == 2] == 0).all()

    def test_neighbors(self) -> None:
        ball = shapes.sphere(1)
        across = neighbors(ball.faces)
        for face, near in enumerate(across):
            for other in near:
                assert len(set(ball.faces[face]) & set(ball.faces[other])) == 2 and face in across[other]
        assert (neighbors(np.array([[0, 1, 2]])) == 0).all()


class TestComponents:
    def test_pieces_are_judged_by_area_not_by_faces(self) -> None:
        ball = shapes.sphere(2)
        speck = shapes.sphere(4, radius=0.02)  # eight times the faces, next to no area
        speck.vertices += 3
        kept = clean.largest_components(shapes.joined(ball, speck), 0.02)
        assert len(kept.faces) == len(ball.faces)

    def test_a_thin_long_piece_stays(self) -> None:
        ball, wire = shapes.sphere(3), shapes.sphere(3)
        wire = Mesh(wire.vertices * [0.005, 0.005, 1.0] + [3, 0, 0], wire.faces, wire.colors)
        both = shapes.joined(ball, wire)
        assert len(clean.largest_components(both, 0.02).faces) == len(both.faces)
        assert len(clean.largest_components(both, 1.0).faces) == len(ball.faces)
