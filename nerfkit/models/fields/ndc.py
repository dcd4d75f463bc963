"""Normalised device coordinates: the space of captures whose photos all look the same way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.contracts import Rays, RenderCore
from nerfkit.models.devices import constant
from nerfkit.models.fields.space import Space

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_ALIKE = 0.85  # least cosine between a photo's axis and the mean of all
_NEARER = 0.75  # of the nearest depth: where the space begins, as in the original code
_NEAREST = 0.01  # of the sparse points are nearer and don't count
_BESIDE = 10.0  # a place outside the cube, where rays go that miss it

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class NdcSpace(Space):
    """What a camera sees beyond a plane, as the cube [-1, 1]^3 (Mildenhall et al. 2020, appendix C).

    Local points are ``x / (a z), y / (a z), 1 - 2 n / z`` of the reference camera's coordinates: lines stay lines,
    and even steps along them are even in inverse depth. Densities are per unit of this frame, in which rays have
    unit directions.
    """

    cam_from_scene: Rows = ()  # 3 x 4: the reference camera's frame
    plane: float = 1.0  # n, scene units
    slope: float = 1.0  # a: of the pyramid that holds all photos' views

    def local(self, xyz: Tensor) -> Tensor:
        return self._to_ndc(self._to_cam(xyz))

    def scene(self, xyz_local: Tensor) -> Tensor:
        z = self._depth(xyz_local[..., 2:])
        matrix = self._matrix(xyz_local)
        return (torch.cat([xyz_local[..., :2] * (self.slope * z), z], -1) - matrix[:, 3]) @ matrix[:, :3]

    def local_rays(self, rays: Rays) -> Rays:
        origins = self._to_cam(rays.origins)
        directions = rays.directions @ self._matrix(rays)[:, :3].T
        z = directions[:, 2:]
        ahead = z > 1e-6
        z = torch.where(ahead, z, 1)
        enter = origins + ((self.plane - origins[:, 2:]) / z).clamp_min(0) * directions
        first = torch.where(ahead, self._to_ndc(enter), _BESIDE)
        last = torch.cat([directions[:, :2] / (self.slope * z), torch.ones_like(z)], 1)
        along = torch.where(ahead, last - first, torch.ones_like(first))
        return Rays(first, torch.nn.functional.normalize(along, dim=1), rays.camera_index)

    def ranges(self, rays_local: Rays, near: float, core: RenderCore) -> Tensor:
        """Of the cube; nothing is nearer than the plane, so that ``near`` plays no part."""
        return super().ranges(rays_local, 0.0, core)

    def scene_distances(self, rays: Rays, t: Tensor, ray_index: Tensor) -> Tensor:
        origin = self._to_cam(rays.origins)[:, 2]
        slope = rays.directions @ self._matrix(rays)[2, :3]
        local = self.local_rays(rays)
        z = local.origins[:, 2][ray_index] + local.directions[:, 2][ray_index] * t
        return (self._depth(z) - origin[ray_index]) / slope[ray_index]

    def scene_normals(self, xyz_local: Tensor, directions: Tensor) -> Tensor:
        z = self._depth(xyz_local[:, 2:])
        across = directions[:, :2] / (self.slope * z)
        along = 2 * self.plane / z**2 * directions[:, 2:] - (xyz_local[:, :2] * directions[:, :2]).sum(1, True) / z
        of_cam = torch.cat([across, along], 1)
        length = directions.norm(dim=1, keepdim=True)
        return length * torch.nn.functional.normalize(of_cam, dim=1) @ self._matrix(directions)[:, :3]

    def stretch(self, xyz_local: Tensor) -> Tensor:
        z = self._depth(xyz_local[:, 2])
        return (2 * self.plane / (self.slope**2 * z**4)) ** (1 / 3)

    def _to_cam(self, xyz: Tensor) -> Tensor:
        matrix = self._matrix(xyz)
        return xyz @ matrix[:, :3].T + matrix[:, 3]

    def _to_ndc(self, xyz_cam: Tensor) -> Tensor:
        z = xyz_cam[..., 2:]
        z = torch.where(z > self.plane / 2, z, self.plane / 2)  # nothing lies before the plane: x, y don't matter
        return torch.cat([xyz_cam[..., :2] / (self.slope * z), 1 - 2 * self.plane / z], -1)

    def _depth(self, z_local: Tensor) -> Tensor:
        return 2 * self.plane / (1 - z_local).clamp_min(1e-6)

    def _matrix(self, like: Tensor | Rays) -> Tensor:
        tensor = like.origins if isinstance(like, Rays) else like
        return constant(self.cam_from_scene, tensor)


def ndc_space(scene: Scene) -> NdcSpace | None:
    """The space of a capture whose photos all look the same way, at things that are all in front of them; or None."""
    poses = torch.cat([scene.views[index].camera.world_from_cam for index in scene.train]).double()
    axis = torch.nn.functional.normalize(poses[:, :3, 2].mean(0), dim=0)
    if float((poses[:, :3, 2] @ axis).min()) < _ALIKE:
        return None
    center = poses[:, :3, 3].mean(0)
    reference = cameras.look_at(center, center + axis, -poses[:, :3, 1].mean(0))
    cam_from_scene = torch.linalg.inv(reference)[:3]
    plane = _plane(scene, cam_from_scene)
    if plane is None:
        return None
    rows = tuple(tuple(row) for row in cam_from_scene.tolist())
    space = NdcSpace(cam_from_scene=rows, plane=plane)
    return NdcSpace(cam_from_scene=rows, plane=plane, slope=_reach(scene, space))


def _plane(scene: Scene, cam_from_scene: Tensor) -> float | None:
    """The depth, from the reference camera, at which the space begins; None where it isn't in front of all cameras."""
    eyes = torch.cat([scene.views[index].camera.world_from_cam[:, :3, 3] for index in scene.train]).double()
    eyes = eyes @ cam_from_scene[2, :3] + cam_from_scene[2, 3]
    bounds = [scene.views[index].bounds for index in scene.train]
    known = [bound[0] for bound in bounds if bound is not None]
    if len(known) == len(bounds):
        plane = _NEARER * min(known)
    elif len(scene.points):
        depths = scene.points.double() @ cam_from_scene[2, :3] + cam_from_scene[2, 3]
        plane = _NEARER * float(depths.quantile(_NEAREST))
    else:
        return None
    return plane if plane > float(eyes.max()) and math.isfinite(plane) else None


def _reach(scene: Scene, space: NdcSpace) -> float:
    """The largest ``|x|`` or ``|y|`` where the photos' corners enter the space of slope 1 and where they end."""
    most = 0.0
    for index in scene.train:
        camera = scene.views[index].camera
        width, height = camera.width, camera.height
        corners = torch.tensor([[0.0, 0], [width, 0], [0, height], [width, height]])
        rays = cameras.rays(camera, torch.zeros(4, dtype=torch.int64), corners)
        local = space.local_rays(rays)
        end = local.origins + local.directions * ((1 - local.origins[:, 2:]) / local.directions[:, 2:])
        most = max(most, float(local.origins[:, :2].abs().max()), float(end[:, :2].abs().max()))
    return most
