"""Meshes from density fields that are known exactly."""

from __future__ import annotations

import math
from typing import Any

import analytic
import numpy as np
import pytest
import torch
from analytic import RADIUS
from scipy.spatial import cKDTree
from test_stages import turned
from whole import extract

from nerfkit.contracts import HasDensity, HasRadiance, Mesh
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.mesh import MeshOptions, geometry
from nerfkit.mesh.fusion import bounds, density

BOX = (-0.5, -0.5, -0.5, 0.5, 0.5, 0.5)
VOXEL = 1 / 63
PLAIN: Any = {"smooth": 0.0, "fill_holes": 0.0}  # the surface as it is found


def options(**more: object) -> MeshOptions:
    return MeshOptions(source="density", bounds=BOX, resolution=64, faces=0, **PLAIN, **more)  # type: ignore[arg-type]


def mesh_of(model: object, scene_from_world: Similarity | None = None, **more: object) -> Mesh:
    scene = analytic.scene(analytic.ring(4), scene_from_world)
    return extract(model, scene, options(**more))  # type: ignore[arg-type]


def chamfer(mesh: Mesh) -> tuple[float, float]:
    """The farthest a vertex lies from the ball, and the farthest a place on the ball lies from a vertex."""
    there = np.abs(np.linalg.norm(mesh.vertices, axis=1) - RADIUS).max()
    on_ball = torch.nn.functional.normalize(torch.randn(5000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    back, _ = cKDTree(mesh.vertices).query(on_ball.numpy() * RADIUS)
    return float(there), float(back.max())


def test_capabilities_are_what_decides() -> None:
    assert isinstance(analytic.SolidBall(), HasDensity) and not isinstance(analytic.SolidBall(), HasRadiance)
    assert isinstance(analytic.ShiningBall(), HasRadiance)
    assert not isinstance(analytic.BallOnTable(), HasDensity)


def test_a_solid_ball_is_found_within_half_a_voxel() -> None:
    mesh = mesh_of(analytic.SolidBall())
    there, back = chamfer(mesh)
    assert there <= VOXEL / 2 and back <= VOXEL
    assert geometry.is_watertight(mesh)
    assert mesh.normals is not None and mesh.colors is None
    outwards = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    assert ((mesh.normals * outwards).sum(1) > 0.5).all()
    inside = (geometry.face_crosses(mesh) * mesh.vertices[mesh.faces[:, 0]]).sum() / 6
    assert inside == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)


def test_the_surface_is_where_a_voxel_takes_half_of_the_light() -> None:
    mesh = mesh_of(analytic.SolidBall(softness=VOXEL, at_surface=math.log(2) / VOXEL))
    assert chamfer(mesh)[0] < 0.05 * VOXEL


def test_a_threshold_is_a_density_per_scene_unit() -> None:
    """Where density grows e-fold over two voxels, e times the threshold lies two voxels deeper."""
    softness = 2 * VOXEL
    for threshold, radius in ((20.0, RADIUS), (20.0 * math.e, RADIUS - softness)):
        model = analytic.SolidBall(softness, at_surface=20.0)
        mesh = mesh_of(model, density_threshold=threshold)
        assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - radius).max() < 0.05 * VOXEL


def test_colors_are_seen_from_above_the_surface() -> None:
    mesh = mesh_of(analytic.ShiningBall(softness=VOXEL, at_surface=math.log(2) / VOXEL))
    assert mesh.colors is not None
    point = torch.from_numpy(mesh.vertices)
    expected = torch.cat([analytic.ball_color(point)[:, :1], 0.5 + 0.4 * point[:, 1:] / RADIUS], 1)
    assert np.abs(mesh.colors - expected.numpy() * 255).max() < 4  # the mesh's normals are those of flat faces


def test_the_mesh_lies_in_the_world_frame() -> None:
    mesh = extract(
        analytic.ShiningBall(softness=VOXEL, at_surface=math.log(2) / VOXEL),
        analytic.scene(analytic.ring(8), turned()),
        MeshOptions(source="density", resolution=64, faces=2000, **PLAIN),
    )  # fmt: skip
    points = turned().points(torch.from_numpy(mesh.vertices).double())
    assert (points.norm(dim=1) - RADIUS).abs().median() < 0.2 * VOXEL
    assert len(mesh.faces) <= 2000 and mesh.normals is not None and mesh.colors is not None
    normals = torch.from_numpy(mesh.normals).double() @ turned().rotation.T
    assert ((normals * points).sum(1) > 0).all()
    expected = analytic.ball_color(points)[:, 0].numpy() * 255
    assert np.abs(mesh.colors[:, 0] - expected).mean() < 3


def test_every_voxel_is_asked_for_once_and_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(density, "_CHUNK", 1000)
    told: list[tuple[str, int, int]] = []
    seconds: dict[str, float] = {}
    model = analytic.SolidBall()
    scene = analytic.scene(analytic.ring(4))
    small = MeshOptions(source="density", bounds=BOX, resolution=20)
    mesh = extract(model, scene, small, lambda *report: told.append(report), seconds=seconds)  # type: ignore[arg-type]
    assert model.asked == 20**3
    assert told[1:10] == [("density", 1000 * k, 8000) for k in range(9)]
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["surface", "density", "clean", "simplify"]
    assert list(seconds) == ["surface", "clean", "simplify"]
    assert 100 < len(mesh.faces) < 3000


def test_voxels_lie_where_the_volume_has_them() -> None:
    grid = bounds.Grid(torch.tensor([1.0, 2.0, 3.0]), (2, 3, 4), 0.5)
    places = density.voxel_centers(grid, torch.arange(24)).reshape(2, 3, 4, 3)
    assert places[1, 2, 3].tolist() == [1.5, 3.0, 4.5]
    assert places[0, 0, 1].tolist() == [1.0, 2.0, 3.5]


def test_a_solid_that_reaches_out_of_the_bounds_is_open() -> None:
    mesh = extract(
        analytic.SolidBall(), analytic.scene(analytic.ring(4)),
        MeshOptions(source="density", bounds=(0, -0.5, -0.5, 0.5, 0.5, 0.5), resolution=64, faces=0, **PLAIN),
    )  # fmt: skip
    assert mesh.vertices[:, 0].min() == pytest.approx(0, abs=1e-6) and not geometry.is_watertight(mesh)


def test_values_that_are_no_numbers_are_empty_space() -> None:
    class Broken(analytic.SolidBall):
        def density(self, xyz: torch.Tensor) -> torch.Tensor:
            return torch.where(xyz[:, 0] > 0.4, torch.nan, super().density(xyz)).half()

    assert chamfer(mesh_of(Broken()))[0] <= VOXEL / 2


def constant(value: float) -> analytic.SolidBall:
    model = analytic.SolidBall()
    model.density = lambda xyz: torch.full((len(xyz),), value)  # type: ignore[method-assign]
    return model


INSIDE = "no surface to mesh: the model's density inside the bounds is"
LOWER = "train longer, lower --density-threshold or give other --bounds"


@pytest.mark.parametrize(
    ("model", "more", "words"),
    [
        (analytic.BallOnTable(), {}, "this model has no density field; use --from depth"),
        (constant(0.0), {}, f"{INSIDE} 0 at most, the threshold 43.7; {LOWER}"),
        (constant(40.0), {"density_threshold": 41.0}, f"{INSIDE} 40 at most, the threshold 41; {LOWER}"),
        (constant(1e9), {},
         f"{INSIDE} very large at least, the threshold 43.7; raise --density-threshold or give larger --bounds"),
        (analytic.SolidBall(), {"density_threshold": 0.0},
         "--density-threshold 0: must be more than 0; give a density, or auto"),
        (analytic.SolidBall(), {"density_threshold": math.nan},
         "--density-threshold nan: must be more than 0; give a density, or auto"),
        (analytic.SolidBall(), {"voxel_size": 0.001},
         "a mesh volume of 1001 x 1001 x 1001 voxels needs 8.0 GB; choose a lower resolution, a larger voxel size or "
         "smaller bounds"),
    ],
)  # fmt: skip
def test_what_gives_no_mesh(model: object, more: dict[str, object], words: str) -> None:
    with pytest.raises(NerfkitError) as caught:
        mesh_of(model, **more)
    assert str(caught.value) == words
