from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import analytic
import dense
import numpy as np
import pytest
import torch
from torch import Tensor
from whole import extract

from nerfkit import cameras
from nerfkit.contracts import Cameras, Mesh, Rendering
from nerfkit.core import choose_core
from nerfkit.core.volume import BYTES_PER_BLOCK, Volume
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.mesh import MeshOptions, draw, geometry
from nerfkit.mesh.fusion import agreement, bounds, fuse, surface
from nerfkit.mesh.fusion.depth_maps import DepthMaps
from nerfkit.mesh.quality import evaluate
from nerfkit.mesh.shape import clean, simplify


def ball_volume(n: int = 40) -> Volume:
    """The exact distance field of a ball, known everywhere."""
    step = 1.0 / (n - 1)
    axis = torch.arange(n) * step - 0.5
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    distance = (x * x + y * y + z * z).sqrt() - analytic.RADIUS
    colors = analytic.ball_color(torch.stack([x, y, z], -1)) * 255
    return dense.volume_of((distance / (4 * step)).clamp(-1, 1), torch.full((3,), -0.5), step, 4 * step, color=colors)


@pytest.fixture(scope="module")
def ball() -> Mesh:
    return surface.marching_cubes(ball_volume())


def test_an_empty_volume_is_an_error() -> None:
    with pytest.raises(NerfkitError, match="no surface"):
        surface.marching_cubes(Volume.empty(torch.zeros(3), torch.zeros(1, 3).int(), 0.1, 0.4))


def test_small_components_go_and_the_largest_stays(ball: Mesh) -> None:
    speck = Mesh(ball.vertices[:3] + 2, np.array([[0, 1, 2]]), ball.colors[:3])
    both = Mesh(
        np.concatenate([speck.vertices, ball.vertices]),
        np.concatenate([speck.faces, ball.faces + 3]),
        np.concatenate([speck.colors, ball.colors]),
    )
    kept = clean.largest_components(both, 0.02)
    assert len(kept.faces) == len(ball.faces)
    assert np.array_equal(kept.vertices[kept.faces], ball.vertices[ball.faces])
    assert np.array_equal(kept.colors[kept.faces], ball.colors[ball.faces])
    assert len(clean.largest_components(both, 0).faces) == len(ball.faces) + 1


def test_slivers_and_duplicates_go() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 1e-12], [5, 5, 5]], np.float64)
    faces = np.array([[0, 1, 2], [1, 3, 2], [2, 0, 3], [0, 0, 1]])
    cleaned = clean.drop_degenerate(Mesh(vertices, faces))
    assert len(cleaned.faces) == 1 and len(cleaned.vertices) == 3


def test_simplify_keeps_shape_and_colors(ball: Mesh) -> None:
    small = simplify.simplify(clean.clean(ball), 1000)
    assert small.colors is not None and 900 <= len(small.faces) <= 1000
    assert geometry.is_watertight(small)
    expected = analytic.ball_color(torch.from_numpy(small.vertices)).numpy() * 255
    assert np.abs(small.colors - expected).max() < 8
    assert np.abs(np.linalg.norm(small.vertices, axis=1) - analytic.RADIUS).max() < 0.005


def test_simplify_survives_a_far_and_tiny_frame(ball: Mesh) -> None:
    far = Mesh(ball.vertices.astype(np.float64) * 1e-3 + 1e3, ball.faces, ball.colors)
    small = simplify.simplify(far, 1000)
    assert np.abs(np.linalg.norm((small.vertices - 1e3) * 1e3, axis=1) - analytic.RADIUS).max() < 0.005


def test_depth_map_agrees_with_ray_casting(ball: Mesh) -> None:
    camera = analytic.ring(24)[5]
    depth = draw.depth_map(ball, camera)
    truth = analytic.cast(camera, table=False)[1]
    both = depth.isfinite() & (truth > 0)
    assert (depth.isfinite() != (truth > 0)).float().mean() < 0.005 < both.float().mean()
    assert (depth - truth)[both].abs().median() < 1e-3  # the ball is a polyhedron here


def fused(model: Any, scene: Any, options: MeshOptions, folder: Path | None = None) -> Volume:
    return fuse.fuse(fuse.render_depths(model, scene, options, folder), scene, options, choose_core())


class Fog(analytic.BallOnTable):
    """Nothing but noise, or nothing at all."""

    def __init__(self, depth: bool = True) -> None:
        super().__init__()
        self.depth, self.generator = depth, torch.Generator().manual_seed(0)

    def render(self, camera: Cameras, channels: frozenset[str] = frozenset(), progress: object = None) -> Rendering:
        height, width = camera.height, camera.width
        coarse = 0.5 + torch.rand(1, 1, 12, 15, generator=self.generator)  # smooth, so that its pixels count
        depth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0, 0].clamp_min(0.1)
        alpha = torch.full((height, width), float(self.depth))
        return Rendering(rgb=torch.rand(height, width, 3, generator=self.generator), alpha=alpha, depth=depth)


class TestFuse:
    def test_renders_training_views_and_no_others(self) -> None:
        views = analytic.ring(16)
        scene, model = analytic.scene(views), analytic.BallOnTable()
        maps = fuse.render_depths(model, scene, MeshOptions())
        poses = torch.cat([camera.world_from_cam for camera in model.seen])
        assert torch.equal(poses, views.world_from_cam[scene.train]) and len(maps) == len(scene.train)

    def test_depth_maps_in_a_folder_are_those_in_memory(self, tmp_path: Path) -> None:
        scene, model, options = analytic.scene(analytic.ring(6)), analytic.BallOnTable(), MeshOptions(resolution=40)
        held, lying = (fuse.render_depths(model, scene, options, folder) for folder in (None, tmp_path / "maps"))
        assert len(list((tmp_path / "maps").iterdir())) == len(lying) == len(held) == 5
        again = DepthMaps.open(tmp_path / "maps")
        for one, other in zip(held, again, strict=True):
            assert torch.equal(one.depth, other.depth) and torch.equal(one.pixels, other.pixels)
            assert torch.equal(one.camera.world_from_cam, other.camera.world_from_cam)
        sizes = [len(depth) for depth, _, _ in again.batches(most_bytes=2 * 8 * 121 * 99)]
        assert sizes == [2, 2, 1]
        volumes = [fuse.fuse(maps, scene, options, choose_core()) for maps in (held, again)]
        assert torch.equal(volumes[0].tsdf, volumes[1].tsdf) and torch.equal(volumes[0].color, volumes[1].color)
        with pytest.raises(NerfkitError, match="no depth maps in it"):
            DepthMaps.open(tmp_path)

    def test_too_little_disk_is_known_before_anything_is_rendered(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene, model, free = analytic.scene(analytic.ring(3)), analytic.BallOnTable(), len(analytic.ring(3)) * 8 * 900
        monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=free))
        with pytest.raises(NerfkitError, match=r"the depth maps of 2 photos take .* GB.*--image-scale"):
            fuse.render_depths(model, scene, MeshOptions(), tmp_path / "not" / "yet" / "maps")
        assert not model.seen and list(tmp_path.iterdir()) == []
        fuse.render_depths(model, scene, MeshOptions(image_scale=0.25), tmp_path / "maps")
        assert len(model.seen) == 2

    def test_a_failing_rendering_leaves_no_folder(self, tmp_path: Path) -> None:
        model = analytic.BallOnTable()
        with pytest.raises(NerfkitError, match="median"):
            fuse.render_depths(model, analytic.scene(analytic.ring(3)), MeshOptions(depth="median"), tmp_path / "maps")
        assert list(tmp_path.iterdir()) == []

    def test_views_of_different_sizes(self) -> None:
        scene = analytic.scene(analytic.ring(9))
        large = analytic.ring(9, width=131, height=105)
        scene.views[2::3] = [SimpleNamespace(name=f"{i}", camera=large[i]) for i in range(2, 9, 3)]
        volume = fused(analytic.BallOnTable(), scene, MeshOptions(resolution=48))
        distance = analytic.distance_to_truth(torch.from_numpy(surface.marching_cubes(volume).vertices))
        assert distance.quantile(0.95) < 0.3 * volume.voxel_size

    @pytest.mark.parametrize(
        ("model", "words"),
        [(Fog(), "depth maps of different views agree on . %"), (Fog(depth=False), "the views show nothing opaque")],
        ids=["noise", "transparent"],
    )
    def test_what_gives_no_volume(self, model: Any, words: str) -> None:
        with pytest.raises(NerfkitError, match=f"no surface to mesh: .*{words}") as caught:
            fused(model, analytic.scene(analytic.ring(12)), MeshOptions(resolution=64))
        assert "\n" not in str(caught.value)

    def test_an_empty_scene(self) -> None:
        scene = analytic.scene(analytic.ring(2))
        scene.train = []
        with pytest.raises(NerfkitError, match="no training photos"):
            fuse.render_depths(analytic.BallOnTable(), scene, MeshOptions())

    def test_the_noise_of_depths_is_measured_and_widens_the_truncation(self) -> None:
        scene = analytic.scene(analytic.ring(16))
        clean, noisy = fuse.render_depths(analytic.BallOnTable(), scene, MeshOptions()), DepthMaps()
        generator = torch.Generator().manual_seed(1)
        for one in clean:
            noise = 0.004 * torch.randn(one.depth.shape, generator=generator)
            depth = torch.where(one.depth > 0, one.depth + noise, 0)
            noisy.add(depth, one.pixels[..., :3] / 255, one.pixels[..., 3] / 255, one.camera)
        alike, unlike = agreement.agreement(clean), agreement.agreement(noisy)
        assert alike.share > 0.9 and alike.noise < 0.003  # a pixel's depth isn't that of all of it
        assert unlike.share > 0.8 and 0.0033 < unlike.noise < 0.0055
        options = MeshOptions(resolution=400)
        maps = [fuse.block_map(scene, options, noise=noise) for noise in (0.0, 0.0012, 1.0)]
        widths = [one.truncation / one.voxel_size for one in maps]
        assert widths == pytest.approx([4, 20 * 0.0012 / maps[0].voxel_size, 12], rel=1e-3)

    def test_confidence_leaves_out_edges_grazing_and_transparent_pixels(self) -> None:
        camera = analytic.ring(24)[0]
        depth = analytic.cast(camera)[1]
        alpha = (depth > 0).float()
        alpha[:5] = 0.4
        weight = fuse.confidence(depth, alpha, camera, MeshOptions())
        jump = (depth[:, 1:] - depth[:, :-1]).abs() > 0.1
        assert jump.sum() > 20
        assert (weight[:, 1:][jump] == 0).all() and (weight[:, :-1][jump] == 0).all()
        assert (weight[:5] == 0).all() and (weight[depth == 0] == 0).all()
        middle = weight[int(camera.intrinsics[0, 3]), int(camera.intrinsics[0, 2])]
        assert 0.97 < middle <= 1

    def test_a_models_own_confidence_counts(self) -> None:
        class HalfSure(analytic.BallOnTable):
            def render(
                self, camera: Cameras, channels: frozenset[str] = frozenset(), progress: object = None
            ) -> Rendering:
                self.channels = channels
                drawn = super().render(camera)
                drawn.extras["confidence"] = torch.full_like(drawn.depth, 0.5)  # type: ignore[arg-type]
                return drawn

        scene, model = analytic.scene(analytic.ring(4)), HalfSure()
        sure, unsure = (
            fuse.render_depths(of, scene, MeshOptions()) for of in (analytic.BallOnTable(), model)
        )  # fmt: skip
        weights = [maps[0].pixels[..., 3].double() for maps in (sure, unsure)]
        assert float(weights[0].max()) > 200
        torch.testing.assert_close(weights[1], weights[0] / 2, atol=0.51, rtol=0)
        assert model.channels == {"rgb", "alpha", "depth"}
        fuse.render_depths(model, scene, MeshOptions(), colors=False)
        assert model.channels == {"alpha", "depth"}

    def test_who_tells_single_points_colours_is_asked_for_the_vertices_alone(self) -> None:
        class Radiant(analytic.BallOnTable):
            def __init__(self) -> None:
                super().__init__(table=False)
                self.channels: list[frozenset[str]] = []

            def render(
                self, camera: Cameras, channels: frozenset[str] = frozenset(), progress: object = None
            ) -> Rendering:
                self.channels.append(channels)
                drawn = super().render(camera)
                return Rendering(rgb=None, alpha=drawn.alpha, depth=drawn.depth)

            def radiance(self, xyz: Tensor, directions: Tensor) -> Tensor:
                assert bool(((directions.norm(dim=1) - 1).abs() < 1e-4).all())
                return analytic.ball_color(xyz)

        model = Radiant()
        mesh = extract(model, analytic.scene(analytic.ring(24)), MeshOptions(resolution=64, smooth=0, faces=0))
        assert set(model.channels) == {frozenset({"alpha", "depth"})} and mesh.colors is not None
        expected = analytic.ball_color(torch.from_numpy(mesh.vertices)).numpy() * 255
        assert np.abs(mesh.colors - expected).mean() < 3

    def test_voxels_are_not_much_finer_than_the_noise(self) -> None:
        views = analytic.ring(4, 605, 495)
        scene = analytic.scene(replace(views, intrinsics=views.intrinsics * 5))
        usual = fuse.block_map(scene, MeshOptions())
        noisy = fuse.block_map(scene, MeshOptions(), noise=0.45 * usual.voxel_size)
        assert noisy.voxel_size == pytest.approx(1.5 * usual.voxel_size, rel=0.02)
        options = MeshOptions(resolution=500)  # who chooses them gets them
        assert fuse.block_map(scene, options, noise=1.0).voxel_size == fuse.block_map(scene, options).voxel_size

    def test_image_scale_shrinks_the_depth_maps(self) -> None:
        model = analytic.BallOnTable()
        fuse.render_depths(model, analytic.scene(analytic.ring(4)), MeshOptions(image_scale=0.5))
        assert {(camera.width, camera.height) for camera in model.seen} == {(60, 50)}

    def test_depth_choice(self) -> None:
        rendering = Rendering(depth=torch.ones(2, 2), extras={"median_depth": torch.full((2, 2), 2.0)})
        assert fuse.pick_depth(rendering, "auto")[0, 0] == 2 and fuse.pick_depth(rendering, "expected")[0, 0] == 1
        with pytest.raises(NerfkitError, match="median"):
            fuse.pick_depth(Rendering(depth=torch.ones(2, 2)), "median")

    def test_a_volume_that_does_not_fit_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        scene, model = analytic.scene(analytic.ring(6)), analytic.BallOnTable()
        with pytest.raises(NerfkitError, match="is too large; choose a lower resolution"):
            fused(model, scene, MeshOptions(resolution=20_000))
        monkeypatch.setattr(fuse, "available_memory", lambda device: 1_000_000)
        with pytest.raises(NerfkitError, match=r"of \d+ blocks .* GB of memory, .*; choose a lower resolution"):
            fused(model, scene, MeshOptions(resolution=128))

    def test_memory_follows_the_surface(self) -> None:
        """Twice as fine takes about four times the blocks, not eight, and a small part of the box."""
        scene, model = analytic.scene(analytic.ring(8)), analytic.BallOnTable()
        counts = []
        for resolution in (128, 256, 512):
            wanted = fuse.block_map(scene, MeshOptions(resolution=resolution))
            for depth, pixels, views in fuse.render_depths(model, scene, MeshOptions()).batches():
                choose_core().tsdf_mark(wanted, depth, pixels, views)
            counts.append(int(wanted.marks.sum()))
        assert 3 < counts[1] / counts[0] < 5 and 3 < counts[2] / counts[1] < 5
        assert counts[2] < 0.15 * wanted.marks.numel()
        assert counts[2] * BYTES_PER_BLOCK < 300e6


class TestBounds:
    def test_voxels_are_as_large_as_pixels_unless_asked_otherwise(self) -> None:
        small, large = (analytic.scene(analytic.ring(8, width, width)) for width in (99, 121))
        for view in large.views:
            view.camera = cameras.resize(view.camera, 363, 363)
        assert max(bounds.scene_grid(small, MeshOptions()).shape) == 128
        grid = bounds.scene_grid(large, MeshOptions())
        assert grid.voxel_size == pytest.approx(bounds.pixel_size(large, torch.zeros(3)), rel=0.03)
        assert 256 < max(grid.shape) < 512
        assert max(bounds.scene_grid(large, MeshOptions(), finest=200).shape) == 200
        half = bounds.scene_grid(large, MeshOptions(image_scale=0.5))
        assert max(half.shape) == pytest.approx(max(grid.shape) / 2, abs=2)
        assert max(bounds.scene_grid(large, MeshOptions(resolution=77)).shape) == 77

    def test_auto_holds_the_ball_and_the_table_but_no_outliers(self) -> None:
        scene = analytic.scene(analytic.ring(8))
        scene.points = torch.cat([scene.points, torch.tensor([[0.9, 0.0, 0.0], [40.0, 0.0, 0.0]])])
        low, high = bounds.scene_box(scene, None)
        assert (low < torch.tensor([-0.45, -0.45, -0.3])).all() and (high > torch.tensor([0.45, 0.45, 0.29])).all()
        assert high.max() < 0.6

    def test_few_points(self) -> None:
        scene = analytic.scene(analytic.ring(8))
        scene.points = scene.points[:5]
        assert bounds.scene_box(scene, None).abs().max() < 1

    def test_given_bounds_are_in_world_units(self) -> None:
        scene = analytic.scene(analytic.ring(8), Similarity(0.5, torch.eye(3), torch.tensor([1.0, 0, 0])))
        assert bounds.scene_box(scene, (-1, -1, -1, 1, 1, 1)).tolist() == [
            [0.5, -0.5, -0.5],
            [1.5, 0.5, 0.5],
        ]
        with pytest.raises(NerfkitError, match="empty"):
            bounds.scene_box(scene, (0, 0, 0, 0, 1, 1))


def turned() -> Similarity:
    rotation = torch.tensor([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]], dtype=torch.float64)
    return Similarity(0.25, rotation, torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64))


@pytest.mark.parametrize(
    "scene_from_world",
    [Similarity.identity(), turned()],
    ids=["same frame", "other frame"],
)
def test_extract_gives_the_true_surface_in_the_world_frame(
    scene_from_world: Similarity,
) -> None:
    scene = analytic.scene(analytic.ring(24), scene_from_world)
    seconds: dict[str, float] = {}
    told: list[str] = []
    mesh = extract(
        analytic.BallOnTable(), scene, MeshOptions(resolution=96, faces=12_000, smooth=0, offset=0),
        lambda stage, done, total: told.append(stage), seconds=seconds,
    )  # fmt: skip
    assert len(mesh.faces) <= 12_000 and mesh.colors is not None and mesh.normals is not None
    assert (
        [stage for stage in dict.fromkeys(told) if stage != "fuse"] == list(seconds) == ["surface", "clean", "simplify"]
    )
    points = scene_from_world.points(torch.from_numpy(mesh.vertices).double())
    voxel = 1.0 / 95
    distance = analytic.distance_to_truth(points) / voxel
    assert distance.median() < 0.1 and distance.quantile(0.95) < 0.3
    # outwards: faces of the table look up, those of the ball away from its centre
    normals = torch.from_numpy(mesh.normals).double() @ scene_from_world.rotation.T
    ball = (points.norm(dim=1) - analytic.RADIUS).abs() < 0.02
    assert ((normals * points).sum(1)[ball & (points[:, 2] > -0.2)] > 0).all()
    assert normals[~ball, 2].median() > 0.99
    # both sides of the ball's colours
    expected = analytic.ball_color(points[ball & (points[:, 2] > -0.2)]).numpy() * 255
    assert np.abs(mesh.colors[(ball & (points[:, 2] > -0.2)).numpy()] - expected).mean() < 3


class TestEvaluate:
    def sheet(self, height: float, size: float = 1.0) -> Mesh:
        n = 21
        x, y = np.meshgrid(np.linspace(0, size, n), np.linspace(0, size, n), indexing="ij")
        vertices = np.stack([x.ravel(), y.ravel(), np.full(n * n, height)], 1)
        a = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
        faces = np.concatenate([np.stack([a, a + n, a + n + 1], 1), np.stack([a, a + n + 1, a + 1], 1)])
        return Mesh(vertices, faces)

    def test_a_shifted_sheet(self) -> None:
        error = evaluate.compare(self.sheet(0.02), self.sheet(0.0), samples=20_000)
        assert error.diagonal == pytest.approx(2**0.5)
        assert error.accuracy == pytest.approx(2 / 2**0.5, rel=0.01)
        assert error.completeness == pytest.approx(2 / 2**0.5, rel=0.01)
        assert error.f_score == 0 and error.normal_consistency == pytest.approx(1)
        nearer = evaluate.compare(self.sheet(0.01), self.sheet(0.0), samples=20_000)
        assert (nearer.threshold, nearer.f_score, nearer.f_score_half) == (1.0, 1.0, 0.0)  # 0.71 % of the diagonal
        assert evaluate.compare(self.sheet(0.005), self.sheet(0.0), samples=20_000).f_score_half == 1

    def test_the_same_mesh_has_no_error_and_half_of_it_is_incomplete(self) -> None:
        same = evaluate.compare(self.sheet(0), self.sheet(0), samples=20_000)
        assert same.chamfer < 0.01 and same.f_score == 1
        half = clean.crop(self.sheet(0), (0, 0, -1, 0.5, 1, 1))
        error = evaluate.compare(half, self.sheet(0), samples=20_000)
        assert error.accuracy < 0.01
        assert error.completeness == pytest.approx(100 * 0.125 / 2**0.5, rel=0.05)  # mean of 0..0.5 over half of it
        assert error.recall < 0.55 and error.precision == 1

    def test_normals_are_compared_without_their_sign(self) -> None:
        sheet = self.sheet(0)
        folded = sheet.vertices.copy()
        folded[:, 2] = np.abs(folded[:, 0] - 0.5)  # two slopes of 45 degrees
        turned = Mesh(sheet.vertices, sheet.faces[:, ::-1])
        assert evaluate.compare(turned, sheet, samples=5_000).normal_consistency == pytest.approx(1)
        error = evaluate.compare(Mesh(folded, sheet.faces), sheet, samples=5_000)
        assert error.normal_consistency == pytest.approx(0.5**0.5, abs=0.01)

    def test_few_samples_put_no_floor_under_distances(self) -> None:
        fine = evaluate.compare(self.sheet(0.001), self.sheet(0), samples=500)
        assert fine.chamfer == pytest.approx(0.1 / 2**0.5, rel=0.02)
        beside = evaluate.compare(clean.crop(self.sheet(0), (0, 0, -1, 0.9, 1, 1)), self.sheet(0), samples=2_000)
        assert beside.completeness == pytest.approx(100 * 0.1**2 / 2 / 2**0.5, rel=0.1)  # within sqrt(area / samples)

    def test_distances_to_a_triangle(self) -> None:
        corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
        points = np.array([[0.2, 0.2, 0.5], [0.5, -0.3, 0.4], [1, 1, 0], [-3, -4, 0]])
        distances = evaluate.to_triangles(points, np.repeat(corners[None], 4, 0))
        assert distances == pytest.approx([0.5, 0.5, 0.5**0.5, 5])
        flat = np.repeat(corners[None, [0, 1, 1]], 4, 0)  # no more than an edge
        assert evaluate.to_triangles(points, flat) == pytest.approx([0.29**0.5, 0.5, 1, 5])

    def test_only_what_cameras_see_counts(self) -> None:
        two = self.sheet(0.0), self.sheet(-0.5)  # the lower one is hidden from above
        truth = Mesh(
            np.concatenate([two[0].vertices, two[1].vertices]),
            np.concatenate([two[0].faces, two[1].faces + len(two[0].vertices)]),
        )
        pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
        pose[:3, 3] = torch.tensor([0.5, 0.5, 3.0])
        above = Cameras(pose[None], torch.tensor([[100.0, 100.0, 50.0, 50.0]]), 100, 100)
        everything = evaluate.compare(two[0], truth, samples=20_000)
        seen = evaluate.compare(two[0], truth, above, samples=20_000)
        assert everything.recall == pytest.approx(0.5, abs=0.02)
        assert seen.recall > 0.999 and seen.completeness < 0.01

    def test_another_frame_is_an_error(self) -> None:
        camera = Cameras(torch.eye(4)[None], torch.tensor([[100.0, 100.0, 50.0, 50.0]]), 100, 100)
        with pytest.raises(NerfkitError, match="same frame"):
            evaluate.compare(self.sheet(-2), self.sheet(-3), camera)
