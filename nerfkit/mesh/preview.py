"""What a mesh looks like on a turntable: a video, and a strip of stills with the bare shape below."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from torch import Tensor

from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras, Mesh
from nerfkit.data.scene import Scene
from nerfkit.files import atomic
from nerfkit.mesh import draw
from nerfkit.progress import ProgressSink, quiet
from nerfkit.threads import in_order, pictures_at_once
from nerfkit.views import video
from nerfkit.views.encoder import Image
from nerfkit.views.paths import covered_arc

_FIELD_OF_VIEW = math.radians(35)
_ELEVATION = math.radians(25)
_FILLED = 0.95  # of the picture
_LOWEST = 0.5  # height of the picture, in widths: that of a flat thing
_POINTS, _PROBES = 5000, 24  # vertices and cameras that the distance is found with
STILLS = 6
_FRAMES, _VIDEO_SIDE = 120, 720
_ROWS: tuple[draw.Shading, ...] = ("auto", "clay")


def turntable(scene: Scene, mesh: Mesh, frames: int, side: int) -> Cameras:
    """Cameras around a mesh of the scene frame that see all of it: a full turn, or a sway where photos saw one side.

    Pictures are ``side`` wide, and as high as the mesh needs, at most a square.
    """
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    middle = torch.from_numpy((low + high) / 2).double()
    seen_from = torch.cat([view.camera.world_from_cam[:, :3, 3] for view in scene.views]).double() - middle
    phase = torch.arange(frames, dtype=torch.float64) * (2 * torch.pi / frames)
    arc = covered_arc(torch.atan2(seen_from[:, 1], seen_from[:, 0]))
    azimuth = phase if arc is None else (arc[0] + arc[1]) / 2 + (arc[1] - arc[0]) / 2 * phase.sin()
    level = math.cos(_ELEVATION)
    direction = torch.stack(
        [level * azimuth.cos(), level * azimuth.sin(), torch.full_like(azimuth, math.sin(_ELEVATION))], -1
    )
    poses = look_at(direction, torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    points = torch.from_numpy(mesh.vertices[:: max(1, len(mesh.vertices) // _POINTS)]).double() - middle
    seen = _in_cameras(points, poses)
    distance = _distance(seen)
    poses[:, :3, 3] = middle + distance * direction
    focal = side / 2 / math.tan(_FIELD_OF_VIEW / 2)
    down = focal * seen[..., 1] / (seen[..., 2] + distance)  # pixels, from the picture's middle
    needed = float(down.max() - down.min()) / _FILLED
    height = min(side, 2 * math.ceil(max(needed, _LOWEST * side) / 2))
    middle_row = height / 2 - float(down.max() + down.min()) / 2
    intrinsics = torch.tensor([focal, focal, side / 2, middle_row]).expand(frames, 4).contiguous()
    return Cameras(poses.float(), intrinsics, side, height)


def _in_cameras(points: Tensor, poses: Tensor) -> Tensor:
    """Points [P, 3] in the frames of some of the cameras [C, P, 3], were these at the origin."""
    return points @ poses[:: max(1, len(poses) // _PROBES), :3, :3]


def _distance(seen: Tensor) -> float:
    """How far from the origin cameras must be to have all points [C, P, 3] of their frames in a square picture."""
    reach = math.tan(_FIELD_OF_VIEW / 2) * _FILLED
    return max(1e-3, float((seen[..., :2].abs().amax(-1) / reach - seen[..., 2]).max()))


def write(out: Path, scene: Scene, mesh: Mesh, progress: ProgressSink = quiet) -> list[Path]:
    """A strip of stills and a video of a mesh of the scene frame, beside the file ``out`` that it goes to."""
    strip, film = (out.with_name(f"{out.stem}_turntable{suffix}") for suffix in (".png", ".mp4"))
    write_strip(strip, scene, mesh)
    write_video(film, scene, mesh, progress)
    return [strip, film]


def write_video(path: Path, scene: Scene, mesh: Mesh, progress: ProgressSink = quiet) -> None:
    """A turn of the mesh, four seconds long."""
    video.write(path, _drawn(mesh, turntable(scene, mesh, _FRAMES, _VIDEO_SIDE), progress), fps=_FRAMES / 4)


def write_strip(path: Path, scene: Scene, mesh: Mesh, side: int = 480) -> None:
    """A PNG: stills of the turn, and below the bare shape without any colour."""
    cameras, texture = turntable(scene, mesh, STILLS, side), draw.sizes_of(mesh)

    def still(index: int, shading: draw.Shading) -> Image:
        return draw.draw(mesh, cameras[index], shading=shading, texture=texture).rgb

    rows = [np.concatenate([still(index, shading) for index in range(STILLS)], axis=1) for shading in _ROWS]
    with atomic(path) as partial:
        iio.imwrite(partial, np.concatenate(rows))


def _drawn(mesh: Mesh, cameras: Cameras, progress: ProgressSink) -> Iterator[Image]:
    texture, finer = draw.sizes_of(mesh), draw.SAMPLES**2

    def one(index: int) -> Image:
        return draw.draw(mesh, cameras[index], texture=texture).rgb

    at_once = pictures_at_once(finer * cameras.width * cameras.height)
    with closing(in_order(one, range(len(cameras)), at_once)) as frames:
        for done, frame in enumerate(frames, 1):
            yield frame
            progress("preview", done, len(cameras))
