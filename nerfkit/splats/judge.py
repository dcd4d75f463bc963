"""How near splats are to pictures, and how much each Gaussian does for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from nerfkit.cameras import look_at, resize
from nerfkit.contracts import Cameras, Gaussians, RenderCore
from nerfkit.data.similarity import Similarity
from nerfkit.progress import ProgressSink, quiet
from nerfkit.splats.upright import AXES, USUAL, Up
from nerfkit.splats.vantage import middle, vantage
from nerfkit.train.metrics import psnr
from nerfkit.value_transforms import SH_C0

NEAR = 0.01  # of a scene's unit: what is nearer to a camera isn't drawn
COARSE = 480  # pixels of the longer side, where many candidates are compared
MOST_DB = 100.0  # equal pictures
_RINGS = ((1.0, 25.0), (2.0, 40.0))  # distances in those of the vantage, and elevations in degrees
_ORBIT_SIZE = (640, 480)
_ORBIT_ANGLE = 60.0  # degrees that a camera of the orbit sees across


@dataclass(frozen=True)
class Judge:
    """Pictures, the cameras they were taken with, and cameras whose views say what each Gaussian does.

    All cameras are pinholes (C = 1) in the frame of the Gaussians that are judged.
    """

    core: RenderCore
    cameras: Sequence[Cameras]
    pictures: Sequence[Tensor]  # [H, W, 3] in [0, 1] each
    background: Tensor  # [3]
    guides: Sequence[Cameras]
    near: float = NEAR  # in the units of that frame

    def psnr(self, gaussians: Gaussians) -> float:
        """The mean PSNR in dB of the pictures' views, drawn and rounded to 8 bits."""
        scores = [
            psnr(draw(self.core, gaussians, camera, self.background, self.near), picture)
            for camera, picture in zip(self.cameras, self.pictures)
        ]
        return sum(min(score, MOST_DB) for score in scores) / len(scores)

    def coarse(self, most: int = 8) -> Judge:
        """At most so many views, of at most ``COARSE`` pixels: what the search looks at."""
        every = max(1, math.ceil(len(self.cameras) / most))
        small = [_reduced(c, p) for c, p in zip(self.cameras[::every], self.pictures[::every])]
        guides = [_smaller(camera) for camera in self.guides]
        return replace(self, cameras=[c for c, _ in small], pictures=[p for _, p in small], guides=guides)

    def moved(self, b_from_a: Similarity) -> Judge:
        """Judges Gaussians in frame b, where its cameras are in frame a."""
        cameras, guides = ([moved(camera, b_from_a) for camera in part] for part in (self.cameras, self.guides))
        return replace(self, cameras=cameras, guides=guides, near=self.near * b_from_a.scale)

    @classmethod
    def of_renders(
        cls,
        core: RenderCore,
        gaussians: Gaussians,
        cameras: Sequence[Cameras],
        background: Tensor | None = None,
        near: float = NEAR,
    ) -> Judge:
        """Judges by how the Gaussians themselves look, before anything is taken from them."""
        behind = torch.zeros(3) if background is None else background
        pictures = [draw(core, gaussians, camera, behind, near) for camera in cameras]
        return cls(core, cameras, pictures, behind, cameras, near)

    @classmethod
    def around(cls, core: RenderCore, gaussians: Gaussians, up: Up) -> Judge:
        """Judges Gaussians that come without cameras, by how they look from around them before black."""
        judge = cls.of_renders(core, gaussians, orbit(gaussians, up), near=near_of(gaussians))
        return replace(judge, guides=orbit(gaussians, up, per_ring=12, turn=0.5))


def draw(core: RenderCore, gaussians: Gaussians, camera: Cameras, background: Tensor, near: float = NEAR) -> Tensor:
    """A picture [H, W, 3] in steps of 1/255. Gaussians nearer than ``near``, in their units, are left out."""
    with torch.no_grad():
        image = core.rasterize(gaussians, camera, background, near=near).rgb
    return (image.permute(1, 2, 0).clamp(0, 1) * 255).round().cpu() / 255


def contributions(
    core: RenderCore,
    gaussians: Gaussians,
    cameras: Sequence[Cameras],
    progress: ProgressSink = quiet,
    near: float = NEAR,
) -> Tensor:
    """The most light of a whole picture that each Gaussian gives in one of the views, in pixels: [N].

    The sum over a picture of a Gaussian's blending weights is the derivative of the picture by its colour, which the
    rasterizer's own backward pass gives. Of views the maximum counts: what a single view needs must stay.
    Gaussians nearer than ``near``, in their units, give none.
    """
    g = gaussians
    most = torch.zeros(len(g))
    for done, camera in enumerate(cameras, 1):
        grey = torch.zeros(len(g), 1, 3, requires_grad=True)
        drawn = core.rasterize(replace(g, sh=grey), camera, torch.zeros(3), near=near)
        (gradient,) = torch.autograd.grad(drawn.image[0].sum(), grey)
        most = torch.maximum(most, gradient[:, 0, 0] / SH_C0)
        progress("contributions", done, len(cameras))
    return most


def near_of(gaussians: Gaussians) -> float:
    """What is nearer to a camera of :func:`orbit` isn't drawn: a share of the scene, whatever its units."""
    return NEAR * middle(gaussians.means)[1]


def orbit(gaussians: Gaussians, up: Up = USUAL, *, per_ring: int = 6, turn: float = 0.0) -> list[Cameras]:
    """Cameras on two rings around the middle of the Gaussians, for files that come without any.

    Args:
        turn: of both rings, in steps between their cameras: 0.5 looks from between those of 0.
    """
    width, height = _ORBIT_SIZE
    focal = width / 2 / math.tan(math.radians(_ORBIT_ANGLE / 2))
    center, distance = vantage(gaussians.means, math.atan(min(width, height) / 2 / focal))
    axis = torch.tensor(AXES[up], dtype=torch.float64)
    side = torch.linalg.cross(axis, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    intrinsics = torch.tensor([[focal, focal, width / 2, height / 2]])
    cameras = []
    for far, elevation in _RINGS:
        for index in range(per_ring):
            azimuth = 2 * math.pi * (index + turn) / per_ring
            flat = math.cos(azimuth) * side + math.sin(azimuth) * torch.linalg.cross(side, axis)
            steep = math.radians(elevation)
            eye = center + far * distance * (math.cos(steep) * flat + math.sin(steep) * axis)
            pose = look_at(eye, center, axis).float()[None]
            cameras.append(Cameras(pose, intrinsics, width, height))
    return cameras


def moved(camera: Cameras, b_from_a: Similarity) -> Cameras:
    """The cameras in frame b: what they see of a scene that is moved along is the same."""
    return replace(camera, world_from_cam=b_from_a.poses(camera.world_from_cam))


def _smaller(camera: Cameras) -> Cameras:
    factor = min(1.0, COARSE / max(camera.width, camera.height))
    return resize(camera, max(1, round(camera.width * factor)), max(1, round(camera.height * factor)))


def _reduced(camera: Cameras, picture: Tensor) -> tuple[Cameras, Tensor]:
    small = _smaller(camera)
    if small.width == camera.width:
        return camera, picture
    planes = interpolate(picture.permute(2, 0, 1)[None], (small.height, small.width), mode="area")
    return small, planes[0].permute(1, 2, 0)
