"""The space that a field fills, and its map to the unit cube that encodings live in."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from torch import Tensor

from nerfkit.contracts import Rays, RenderCore
from nerfkit.models.devices import constant


@dataclass(frozen=True)
class Space:
    """A cube in the scene frame; with ``contracted``, all of space around it too.

    Without contraction the cube is all there is, and ``cascades`` is 1. With it the outside is drawn together as in
    Barron et al. 2022 (Mip-NeRF 360, eq. 10), by the maximum norm in place of the Euclidean one, so that cubes stay
    cubes and the encoding's whole cube is used; rays end at the outermost of ``cascades`` cubes, each twice as large
    as the one in it.
    """

    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    half: float = 1.0  # half the side of the (innermost) cube, scene units
    contracted: bool = False
    cascades: int = 1
    first_log_density: float = 0.0  # of the mist that training begins with, per half side

    @property
    def learnt_whole_from(self) -> float:
        """The distance from a camera beyond which space is learnt as fast as photos allow; none where it has an end."""
        return self.half if self.contracted else 0.0

    def local(self, xyz: Tensor) -> Tensor:
        """Scene points [..., 3] relative to the cube's centre: the frame of its occupancy grid."""
        return xyz - constant(self.center, xyz)

    def scene(self, xyz_local: Tensor) -> Tensor:
        """The inverse of :meth:`local`."""
        return xyz_local + constant(self.center, xyz_local)

    def local_rays(self, rays: Rays) -> Rays:
        """Scene rays in the local frame."""
        return dataclasses.replace(rays, origins=self.local(rays.origins))

    def scene_distances(self, rays: Rays, t: Tensor, ray_index: Tensor) -> Tensor:
        """Distances along local rays as distances along the scene's: [S] of samples of ``rays`` (scene frame)."""
        return t

    def scene_normals(self, xyz_local: Tensor, directions: Tensor) -> Tensor:
        """Surfaces' local directions [S, 3] at local points [S, 3] as directions in the scene, of some length."""
        return directions

    def stretch(self, xyz_local: Tensor) -> Tensor | float:
        """Local units in a scene unit at local points [P, 3], the mean of all directions: [P]."""
        return 1.0

    def to_cube(self, xyz_local: Tensor, core: RenderCore, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Local points [P, 3] to the cube [low, high]^3, of which the inside of our cube is the middle half if
        contracted; differentiable."""
        scale = (high - low) / (4 if self.contracted else 2)
        return core.to_cube(xyz_local, self.half, self.contracted, scale, (low + high) / 2)

    def ranges(self, rays_local: Rays, near: float, core: RenderCore) -> Tensor:
        """Distances [R, 2] at which rays enter and leave the outermost cube; equal where they miss it."""
        return core.ray_ranges(rays_local, self.half * 2 ** (self.cascades - 1), near)
