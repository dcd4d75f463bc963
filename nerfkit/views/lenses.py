"""Which way the pixels of wide pictures look: panoramas, for one eye or for two that turn with the head, and fisheye.

A lens is a function of a camera: of its pose, its picture's size and, for a fisheye, its focal length. Depth in such
pictures is the distance from the eye.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.contracts import Cameras, Rays

Projection = Literal["pinhole", "fisheye", "equirect", "vr180"]

SPANS: Mapping[Projection, int] = {"equirect": 360, "vr180": 180}  # degrees of a panorama, from left to right
FADE_FROM, FADE_TO = math.radians(60), math.radians(75)  # latitudes over which two eyes' pictures become one


class Lens(Protocol):
    """Frozen and hashable."""

    def rays(self, camera: Cameras, pixels: Tensor) -> Rays:
        """Rays of the scene frame through ``pixels`` [R, 2] (centres at +0.5) of a camera (C = 1)."""
        ...

    def finest(self, width: int, height: int, focal: float) -> float:
        """Pixels in a radian, where they are smallest; ``focal`` in pixels."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Equirect:
    """Columns even in longitude, rows in latitude, from pole to pole (:func:`nerfkit.cameras.rays`).

    With an ``eye`` it is an eye's picture of omnidirectional stereo (Peleg, Ben-Ezra and Pritch, "Omnistereo: Panoramic
    Stereo Imaging", PAMI 2001, section 3; Google, "Rendering Omni-directional Stereo Content", 2016): each column is
    seen from a place on a circle around the camera, to the side of where the column looks, so that both eyes are right
    in whatever direction a head turns to. Above and below there is no such place: towards the poles the eyes move
    together, between the latitudes at which Blender's Cycles does so by default ("spherical stereo, pole merge").
    """

    degrees: int = 360  # from left to right: 360 or 180
    eye: float = 0.0  # how far to the right of the middle between the eyes, scene units

    def rays(self, camera: Cameras, pixels: Tensor) -> Rays:
        whole = camera.width * 360 // self.degrees
        shifted = pixels + pixels.new_tensor([(whole - camera.width) / 2, 0.0])
        around = Cameras(camera.world_from_cam, camera.intrinsics, whole, camera.height, "equirect")
        index = torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)
        rays = cameras.rays(around, index, shifted)
        if self.eye == 0:
            return rays
        longitude = (shifted[:, 0] / whole - 0.5) * (2 * math.pi)
        latitude = (shifted[:, 1] / camera.height - 0.5) * math.pi
        aside = sideways(longitude, latitude) @ camera.world_from_cam[0, :3, :3].to(longitude).T
        return replace(rays, origins=rays.origins + self.eye * aside)

    def finest(self, width: int, height: int, focal: float) -> float:
        return max(width / math.radians(self.degrees), height / math.pi)


@dataclass(frozen=True)
class Fisheye:
    """Equidistant: the angle from the optical axis grows evenly from the picture's middle, to 180 degrees.

    It is COLMAP's OPENCV_FISHEYE without distortion, and nerfstudio's fisheye.
    """

    def rays(self, camera: Cameras, pixels: Tensor) -> Rays:
        middle, focal = camera.intrinsics[:, 2:].to(pixels), camera.intrinsics[:, :2].to(pixels)
        aside = pixels - middle
        angle = (aside / focal).norm(dim=1, keepdim=True).clamp_min(1e-12)
        within = middle + aside * (math.pi / angle).clamp_max(1)  # beyond 180 degrees the circle would begin anew
        undistorted = camera.intrinsics.new_zeros(1, 4)
        fisheye = Cameras(
            camera.world_from_cam, camera.intrinsics, camera.width, camera.height, "fisheye", undistorted
        )  # fmt: skip
        return cameras.rays(fisheye, torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device), within)

    def finest(self, width: int, height: int, focal: float) -> float:
        return focal


def sideways(longitude: Tensor, latitude: Tensor) -> Tensor:
    """Where the right eye is of a head that looks at a longitude [P], camera axes: [P, 3], of length 1 at the horizon.

    Shorter towards the poles, by :func:`eyes_apart`.
    """
    right = torch.stack([longitude.cos(), torch.zeros_like(longitude), -longitude.sin()], -1)
    return right * eyes_apart(latitude)[..., None]


def eyes_apart(latitude: Tensor) -> Tensor:
    """How far apart the eyes are at a latitude, of their distance at the horizon."""
    share = ((latitude.abs() - FADE_FROM) / (FADE_TO - FADE_FROM)).clamp(0, 1)
    return (share * (math.pi / 2)).cos()
