"""What two photos say of a surface: patches seen through its planes, and points that come back to themselves."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nerfkit.cameras import look_at, pixel_centers, project
from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core import choose_core
from nerfkit.core.types import Rasterized
from nerfkit.models.gaussians import consistency
from nerfkit.models.gaussians.config import Config
from nerfkit.models.gaussians.consistency import Planes
from nerfkit.models.gaussians.model import Model

NORMAL = torch.nn.functional.normalize(torch.tensor([0.3, -0.2, 0.93], dtype=torch.float64), dim=0)  # of the wall


def camera(eye: tuple[float, float, float], width: int, height: int, focal: float) -> Cameras:
    pose = look_at(torch.tensor(eye), torch.tensor([0.02, -0.03, 0.0]), torch.tensor([0.0, 0.0, 1.0])).double()
    intrinsics = torch.tensor([[focal, 0.95 * focal, 0.55 * width, 0.45 * height]], dtype=torch.float64)
    return Cameras(pose[None], intrinsics, width, height)


HERE, THERE = camera((0.4, -1.0, 0.9), 96, 80, 110.0), camera((-0.1, -1.1, 1.0), 80, 72, 85.0)


def pattern(points: Tensor) -> Tensor:
    """Greys in [0, 1] at points of the world [..., 3]."""
    x, y, _ = points.unbind(-1)
    return 0.5 + 0.2 * torch.sin(17 * x + 1) + 0.2 * torch.sin(15 * y + 9 * x)


def wall(view: Cameras, normal: Tensor = NORMAL) -> tuple[Tensor, Tensor]:
    """Depth and greys [H, W] of the wall through the origin, each pixel by its own ray."""
    pose, (fx, fy, cx, cy) = view.world_from_cam[0], view.intrinsics[0]
    x, y = pixel_centers(view.width, view.height, torch.float64).unbind(-1)
    rays = torch.stack([(x - cx) / fx, (y - cy) / fy, torch.ones_like(x)], -1) @ pose[:3, :3].T
    depth = -(pose[:3, 3] @ normal) / (rays @ normal)
    return depth, pattern(pose[:3, 3] + rays * depth[..., None])


def planes(count: int = 150) -> Planes:
    """Of the wall, at random pixels."""
    rng = torch.Generator().manual_seed(0)
    pixels = torch.stack([torch.randint(3, n - 3, (count,), generator=rng) for n in (HERE.width, HERE.height)], 1)
    fx, fy, cx, cy = HERE.intrinsics[0]
    x, y = pixels.double().unbind(1)
    rays = torch.stack([(x + 0.5 - cx) / fx, (y + 0.5 - cy) / fy, torch.ones_like(x)], 1)
    depths = wall(HERE)[0][pixels[:, 1], pixels[:, 0]]
    return Planes(pixels, rays, depths, (HERE.world_from_cam[0, :3, :3].T @ NORMAL).expand(count, 3))


def difference(of: Planes, there: Tensor | None = None) -> tuple[Tensor, Tensor]:
    return consistency.patch_difference(of, HERE, wall(HERE)[1], THERE, wall(THERE)[1] if there is None else there)


def test_patches_of_a_wall_look_the_same_through_its_own_plane_only() -> None:
    right, rows = difference(planes())
    assert len(rows) > 100, "most of it must be seen in both"
    assert right.mean() < 0.003  # what is left is interpolation
    assert difference(replace(planes(), depths=planes().depths * 1.03))[0].mean() > 10 * right.mean()
    tilted = torch.nn.functional.normalize(planes().normals + torch.tensor([0.5, 0.0, 0.0]), dim=1)
    assert difference(replace(planes(), normals=tilted))[0].mean() > 3 * right.mean()


def test_the_exposure_of_a_photo_makes_no_difference() -> None:
    right, rows = difference(planes())
    other, same = difference(planes(), 0.6 * wall(THERE)[1] + 0.1)
    assert torch.equal(rows, same)
    torch.testing.assert_close(other, right, rtol=1e-3, atol=1e-6)


def test_gradients_of_patches_are_those_of_finite_differences() -> None:
    of = planes(40)
    depths = (of.depths * 1.01).requires_grad_()
    normals = torch.nn.functional.normalize(of.normals + torch.tensor([0.1, -0.1, 0.0]), dim=1).requires_grad_()
    unlike, rows = difference(replace(of, depths=depths, normals=normals))
    assert len(rows) > 25
    unlike.sum().backward()  # type: ignore[no-untyped-call]
    assert depths.grad is not None and normals.grad is not None
    step = 1e-7  # within one cell between pixels, of which each has slopes of its own

    def slope(direction: Tensor, name: str) -> Tensor:
        moved = [replace(of, **{"depths": depths.detach(), "normals": normals.detach()}
                         | {name: (depths if name == "depths" else normals).detach() + sign * step * direction})
                 for sign in (-1, 1)]  # fmt: skip
        low, high = (difference(one)[0] for one in moved)
        return (high - low) / (2 * step)

    torch.testing.assert_close(depths.grad[rows], slope(torch.ones_like(of.depths), "depths"), rtol=1e-4, atol=1e-5)
    for axis in torch.eye(3, dtype=torch.float64):
        expected = slope(axis.expand_as(of.normals), "normals")
        torch.testing.assert_close((normals.grad @ axis)[rows], expected, rtol=1e-4, atol=1e-5)


def test_what_a_mask_hides_and_what_has_no_pattern_is_not_compared() -> None:
    _, rows = difference(planes())
    hidden = wall(THERE)[1]
    hidden[:, :40] = torch.nan
    unlike, fewer = difference(planes(), hidden)
    assert 0 < len(fewer) < len(rows) and unlike.isfinite().all()
    flat = torch.full((HERE.height, HERE.width), 0.5, dtype=torch.float64)
    assert len(consistency.patch_difference(planes(), HERE, flat, THERE, wall(THERE)[1])[1]) == 0
    photo = torch.full((2, 3, 3), 51, dtype=torch.uint8)
    mask = torch.tensor([[255, 0, 255], [255, 255, 127]], dtype=torch.uint8)
    greys = consistency.grey((photo, mask))
    assert greys.isnan().tolist() == [[False, True, False], [False, False, True]]
    assert greys[0, 0].item() == pytest.approx(0.2)


def test_patches_seen_along_their_plane_are_not_compared() -> None:
    _, rows = difference(planes())
    away = replace(planes(), normals=planes().normals.clone())
    away.normals[rows[0]] *= -1
    grazing = torch.linalg.cross(away.rays[rows[1]], torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), dim=0)
    away.normals[rows[1]] = grazing / grazing.norm()
    assert set(rows.tolist()) - set(difference(away)[1].tolist()) == set(rows[:2].tolist())


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-24])
def test_patches_of_the_last_pixels_that_are_drawn_lie_in_the_picture(
    draw: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In single precision the largest random number and 3 make 129 where 128.99 is meant."""
    side = 132
    camera = Cameras(torch.eye(4)[None], torch.tensor([[100.0, 100.0, side / 2, side / 2]]), side, side)
    ones = torch.ones(7, side, side)
    drawn = Rasterized(ones, ones[0], ones[0], 1, 1, None)
    monkeypatch.setattr(torch, "rand", lambda *size, generator: torch.full(size, draw))
    pixels = consistency.draw_planes(drawn, camera, torch.Generator()).pixels
    assert pixels.min() >= 3 and pixels.max() <= side - 1 - 3


def test_points_of_the_wall_come_back_to_their_pixels() -> None:
    error = consistency.reprojection_error(planes(), HERE, THERE, wall(THERE)[0])
    seen = error.isfinite()
    assert seen.double().mean() > 0.7
    assert error[seen].max() < 0.01  # the depth of a plane isn't linear in the pixel
    small = torch.nn.functional.interpolate(wall(THERE)[0][None, None], size=(36, 40), mode="area")[0, 0]
    error = consistency.reprojection_error(planes(), HERE, THERE, small)
    assert error.isfinite().double().mean() > 0.7
    assert error[error.isfinite()].max() < 0.02


def test_points_that_are_too_far_come_back_beside_themselves() -> None:
    of = planes()
    far = replace(of, depths=of.depths * 1.05)
    error = consistency.reprojection_error(far, HERE, THERE, wall(THERE)[0])
    # By hand: where the point lies, what the neighbour sees in its place, and where that is in this picture.
    pose, there = HERE.world_from_cam[0], THERE.world_from_cam[0]
    points = pose[:3, 3] + (far.rays * far.depths[:, None]) @ pose[:3, :3].T
    ways = points - there[:3, 3]
    hits = there[:3, 3] - ways * ((there[:3, 3] @ NORMAL) / (ways @ NORMAL))[:, None]
    expected = (project(HERE, hits)[0][0] - of.pixels - 0.5).norm(dim=1)
    seen = error.isfinite()
    assert seen.double().mean() > 0.7
    torch.testing.assert_close(error[seen], expected[seen], rtol=0.01, atol=0.01)
    assert error[seen].min() > 1
    before = torch.full_like(wall(THERE)[0], 0.3)  # something stands in front of the neighbour
    assert consistency.reprojection_error(of, HERE, THERE, before).min() > 1
    assert consistency.reprojection_error(of, HERE, THERE, torch.zeros_like(before)).isinf().all()


def test_neighbours_are_near_and_look_the_same_way() -> None:
    ring = [camera((float(angle.sin()), float(-angle.cos()), 0.5), 40, 40, 50.0) for angle in torch.arange(24) * 0.26]
    found = consistency.neighbours([*ring, ring[0]])
    assert set(found[5]) == {3, 4, 6, 7}
    assert set(found[5][:2]) == {4, 6}
    assert 0 not in found[24] and 24 not in found[0], "the same place sees the same"


def sheet(height: float) -> Gaussians:
    """Discs all over a plane parallel to z = 0."""
    xy = torch.cartesian_prod(*[torch.linspace(-0.9, 0.9, 40)] * 2)
    means = torch.cat([xy, torch.full((len(xy), 1), height)], 1)
    quats = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(len(xy), 1)
    scales = torch.tensor([0.035, 0.035, 0.002]).repeat(len(xy), 1)
    return Gaussians(means, quats, scales, torch.full((len(xy),), 0.95), torch.zeros(len(xy), 1, 3))


def test_two_photos_pull_a_surface_into_its_place() -> None:
    core, rng = choose_core(), torch.Generator().manual_seed(0)
    doubles = [camera((x, -0.8, 1.0), 96, 80, 110.0) for x in (0.3, -0.2)]
    views = [replace(view, world_from_cam=view.world_from_cam.float(), intrinsics=view.intrinsics.float())
             for view in doubles]  # fmt: skip
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    photos = [(255 * wall(view, up)[1][..., None].expand(-1, -1, 3)).round().byte() for view in doubles]
    greys = [consistency.grey((photo, None)) for photo in photos]
    g, height = sheet(0.0), torch.tensor(0.04, requires_grad=True)
    optimizer = torch.optim.Adam([height], lr=2e-3)
    for step in range(60):
        here, there = step % 2, 1 - step % 2
        lifted = replace(g, means=g.means + torch.stack([torch.tensor(0.0), torch.tensor(0.0), height]))
        layers = [core.rasterize(lifted, view, torch.zeros(3), layers="rgb+depth+normal", median_depth=True)
                  for view in views]  # fmt: skip
        depth = layers[there].median_depth
        assert depth is not None and layers[there].alpha[20:].mean() > 0.9
        loss = consistency.patch_loss(
            layers[here], views[here], greys[here], views[there], greys[there], depth.detach(), rng
        )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    assert abs(height.item()) < 0.01


def test_patches_of_halved_photos_are_compared_at_their_size() -> None:
    """The plane of the wall fits them as it does the whole ones; one that is too near does not."""
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    views = [Seen(camera((x, -0.8, 1.0), 256, 192, 290.0), up) for x in (0.3, -0.2)]
    scene: Any = SimpleNamespace(train=[0, 1], views=views, has_alpha=False)

    def loss(height: float, progress: float) -> float:
        g = sheet(height)
        params = {
            "means": g.means, "quats": g.quats, "log_scales": g.scales.log(),
            "logit_opacities": torch.logit(g.opacities), "sh": g.sh,
        }  # fmt: skip
        config = Config(cap=2000, geometry=True, geometry_share=1.0, patch_from=0.0, geometry_from=0.0, coarse_levels=1)
        model = Model(config, scene, choose_core(), params)
        found = [model.losses(progress, torch.Generator().manual_seed(seed))["patches"].item() for seed in range(4)]
        assert model.targets.greys(views[0], 1).shape == (96, 128)
        return sum(found) / len(found) / config.patch_weight

    for progress in (0.1, 0.9):
        assert 0 < 20 * loss(0.0, progress) < loss(0.04, progress)


class Seen:
    """A photo of the wall."""

    name, has_alpha, has_mask = "photo", False, False

    def __init__(self, view: Cameras, normal: Tensor):
        self.camera = replace(view, world_from_cam=view.world_from_cam.float(), intrinsics=view.intrinsics.float())
        self.pixels = (255 * wall(view, normal)[1][..., None].expand(-1, -1, 3)).round().byte()

    def image(self) -> Tensor:
        return self.pixels

    def mask(self) -> Tensor | None:
        return None
