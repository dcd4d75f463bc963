"""Depth and normals as colors."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from world import Model, ring, scene_of

from nerfkit.views import paths
from nerfkit.views.color import depth_limits, depth_to_rgb, normal_to_rgb, unit_to_uint8
from nerfkit.views.frames import render_frames


def places_in_turbo(rgb: np.ndarray) -> np.ndarray:
    """The index of each color in the color map: 0 (far) to 255 (near)."""
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_TURBO)[0, :, ::-1].astype(int)
    difference = np.abs(rgb[..., None, :].astype(int) - table).sum(-1)
    assert difference.min(-1).max() == 0
    return np.asarray(difference.argmin(-1))


def test_colors_go_one_way_with_depth_and_near_is_red() -> None:
    rgb = depth_to_rgb(torch.linspace(1, 20, 400)[None], limits=(1.0, 20.0))
    index = places_in_turbo(rgb)[0]
    assert bool((np.diff(index) <= 0).all())
    assert (index[0], index[-1]) == (255, 0)
    assert rgb[0, 0, 0] > 100 > rgb[0, 0, 2]


def test_limits_hold_from_image_to_image() -> None:
    first = depth_to_rgb(torch.tensor([[2.0, 3.0, 9.0]]), limits=(1.0, 10.0))
    second = depth_to_rgb(torch.tensor([[2.0, 50.0, 0.5]]), limits=(1.0, 10.0))
    assert (first[0, 0] == second[0, 0]).all()
    assert places_in_turbo(second)[0, 1:].tolist() == [0, 255]  # beyond the limits: the outermost colors


def test_nothing_seen_is_black() -> None:
    depth = torch.tensor([[0.0, torch.inf, torch.nan, 2.0, 2.0]])
    alpha = torch.tensor([[1.0, 1.0, 1.0, 0.2, 1.0]])
    rgb = depth_to_rgb(depth, alpha)
    assert not rgb[0, :4].any()
    assert rgb[0, 4].any()
    assert not depth_to_rgb(torch.zeros(3, 4)).any()


def test_limits_pass_over_outliers() -> None:
    depth = torch.rand(100, 100, generator=torch.Generator().manual_seed(0)) + 1
    depth[0, :50], depth[1, :50] = 1e-3, 1e6
    near, far = depth_limits([(depth, None)])
    assert 1 < near < 1.05 < 1.95 < far < 2


def test_a_plane_of_one_depth_has_a_color() -> None:
    assert np.isfinite(depth_limits([(np.full((4, 4), 2.0), None)])).all()
    assert depth_to_rgb(np.full((4, 4), 2.0)).any()


def test_normals_and_values() -> None:
    normal = torch.tensor([[[1.0, 0, 0], [0, 0, -1.0], [0, 0, 0]]])
    assert normal_to_rgb(normal)[0].tolist() == [[255, 128, 128], [128, 128, 0], [0, 0, 0]]
    assert unit_to_uint8([-0.5, 0.0, 0.5, 2.0]).tolist() == [0, 0, 128, 255]


def test_frames_of_a_path_share_one_range_of_depth() -> None:
    cameras = paths.orbit(scene_of(ring(12)), 6)
    told: list[tuple[str, int, int]] = []
    frames = list(
        render_frames(Model(), cameras, ("rgb", "depth", "normal", "alpha"), lambda *words: told.append(words))
    )
    assert told == [("frames", i, 6) for i in range(1, 7)]
    for frame in frames:
        assert {name: image.shape for name, image in frame.items()} == dict.fromkeys(frame, (48, 64, 3))
        assert frame["rgb"].std() > 20
        assert frame["alpha"].any() and (frame["depth"].any(-1) == (frame["alpha"][..., 0] > 0)).all()


def test_what_comes_nearer_along_a_path_gets_warmer() -> None:
    toward = torch.tensor([[2.0, 0.0, 0.4], [0.6, 0.0, 0.12]])
    frames = render_frames(Model(), paths.interpolate(scene_of(toward), 5), ("depth",))
    middle = [int(places_in_turbo(frame["depth"][24, 32])) for frame in frames]  # on the ball
    assert bool((np.diff(middle) > 2).all())


@pytest.mark.parametrize("size", [(2, 2), (300, 7)])
def test_frames_of_odd_shapes(size: tuple[int, int]) -> None:
    (frame,) = render_frames(Model(), paths.orbit(scene_of(ring(3)), 1, size), ("depth",))
    assert frame["depth"].shape == (size[1], size[0], 3)
