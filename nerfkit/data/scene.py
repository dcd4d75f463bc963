"""A scene: photos with cameras in the scene frame, sparse points, the split. Every model trains on one."""

from __future__ import annotations

import functools
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.data import exposure
from nerfkit.data.images import UNASKED, PhotoCache
from nerfkit.data.normalize import scene_from_world as normalizing_similarity
from nerfkit.data.points import inliers, random_points
from nerfkit.data.raw import RawScene, RawView
from nerfkit.data.readers import read
from nerfkit.data.similarity import Similarity
from nerfkit.data.split import split
from nerfkit.data.undistort import pinhole
from nerfkit.data.view import PhotoView
from nerfkit.errors import NerfkitError
from nerfkit.files import write_text
from nerfkit.machine import available_memory
from nerfkit.progress import ProgressSink, quiet
from nerfkit.tensor_file import save_tensors
from nerfkit.threads import threads

FORMAT = "nerfkit-scene"
VERSION = 1
LONGEST_SIDE = 1600  # pixels, where the size is left to us

log = logging.getLogger("nerfkit")


@dataclass(eq=False)
class Scene:
    """Views sorted by name, in the scene frame: up is +Z, the cameras' focus the origin, cameras in the unit ball.

    ``points_are_random`` says that the format had no sparse points and that ``points`` are seeded random ones
    within the volume the cameras look at (:func:`nerfkit.data.points.random_points`), in grey.
    ``has_alpha`` says that photos have an alpha channel (an object cut out of its background); masks from
    files alone don't set it.
    """

    name: str
    views: list[PhotoView]
    points: Tensor  # [P, 3] float32
    point_colors: Tensor  # [P, 3] uint8
    scene_from_world: Similarity
    train: list[int]
    held_out: list[int]
    has_alpha: bool
    source: Path
    points_are_random: bool = False

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        images: Path | None = None,
        downscale: int | None = 1,
        size: tuple[int, int] | None = None,
        hold_out_every: int = 8,
        normalize: bool = True,
        cache_bytes: int | None = None,
    ) -> Scene:
        """Reads a scene of any known format; photos are decoded when they are asked for.

        Args:
            path: the scene's folder, or its file (``transforms.json``, a COLMAP model's folder…).
            images: the photo folder, where it is not where the format says.
            downscale: photos become ``round(width / downscale) x round(height / downscale)``; None: the
                longer side at most 1600 pixels.
            size: ``(width, height)`` for every view, in place of ``downscale``.
            hold_out_every: every n-th view by name, from the first on, is not trained on, 2 or more; 0 holds none out.
                A format with its own test views uses those.
            normalize: False keeps the world frame.
            cache_bytes: how many bytes of decoded photos stay in memory; by default a third of what is available,
                1 GiB at least; less of it where others take the memory meanwhile.

        Raises:
            NerfkitError: whatever is wrong with the files.
        """
        raw = read(Path(path), images)
        points = torch.from_numpy(raw.points)
        keep = torch.from_numpy(inliers(raw.points))
        points, colors = points[keep], torch.from_numpy(raw.point_colors)[keep]
        looked_at = _looked_at(raw, points)
        poses = torch.cat([view.camera.world_from_cam for view in raw.views])
        similarity = normalizing_similarity(poses, looked_at) if normalize else Similarity.identity()
        cache = _cache(cache_bytes)
        views = [_view(view, similarity, _size(view.camera, downscale, size), cache) for view in raw.views]
        train, held_out = _split(raw, hold_out_every)
        scene = cls(
            Path(path).resolve().stem,
            views,
            similarity.points(points).float(),
            colors,
            similarity,
            train,
            held_out,
            any(view.has_alpha for view in views),
            raw.source.resolve(),
        )
        if len(points) == 0:
            scene._scatter_points(similarity.points(looked_at))
        return scene

    @functools.cached_property
    def photo_gains(self) -> Tensor | None:
        """How much brighter each training photo is than the mean: :func:`nerfkit.data.exposure.gains`, found once."""
        return exposure.gains(self)

    def preload(self, progress: ProgressSink = quiet) -> None:
        """Decodes photos in parallel into the cache, training views first, as many as fit."""
        order = [*self.train, *self.held_out]
        budget = self.views[0].cache.capacity
        fitting: list[PhotoView] = []
        for index in order:
            view = self.views[index]
            budget -= view.camera.width * view.camera.height * (4 if view.has_mask else 3)
            if budget < 0:
                log.warning(
                    "%d of %d photos fit the image cache; the others are decoded anew each time they are used",
                    len(fitting),
                    len(order),
                )
                break
            fitting.append(view)
        with threads() as pool:
            for done, _ in enumerate(pool.map(PhotoView.image, fitting), 1):
                progress("photos", done, len(fitting))

    def save(self, path: Path) -> None:
        """Writes ``scene.json`` (``path``, or into the folder ``path``) and ``points.safetensors`` beside it."""
        file = _scene_file(path)
        save_tensors(
            file.with_name("points.safetensors"),
            {"points": self.points.contiguous(), "colors": self.point_colors.contiguous()},
        )
        write_text(file, json.dumps(self._to_json(file.parent.resolve()), indent=1))

    @classmethod
    def open(cls, path: Path, *, cache_bytes: int | None = None) -> Scene:
        """Reads what :meth:`save` wrote; the photos are needed only when an image is asked for.

        Raises:
            NerfkitError: no such file, not a nerfkit scene, another version, or damaged points.
        """
        file = _scene_file(path)
        data = _read_json(file)
        cache = _cache(cache_bytes)
        try:
            stored = _read_points(file.with_name("points.safetensors"))
            return cls(
                data["name"],
                [PhotoView.from_json(view, file.parent.resolve(), cache) for view in data["views"]],
                stored["points"],
                stored["colors"],
                Similarity.from_json(data["scene_from_world"]),
                data["train"],
                data["held_out"],
                data["has_alpha"],
                Path(data["source"]),
                data["points_are_random"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NerfkitError(f"{file}: damaged ({error}); make the run again from its photos") from None

    def _scatter_points(self, looked_at: Tensor) -> None:
        """Random points in the scene frame, for formats without any."""
        poses = torch.cat([view.camera.world_from_cam for view in self.views])
        unit_from_scene = normalizing_similarity(poses, looked_at)
        cameras = [
            Cameras(
                unit_from_scene.poses(v.camera.world_from_cam), v.camera.intrinsics, v.camera.width, v.camera.height
            )
            for v in self.views
        ]
        points, self.point_colors = random_points(cameras)
        self.points = unit_from_scene.inverse().points(points)
        self.points_are_random = True

    def _to_json(self, folder: Path) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "source": str(self.source),
            "scene_from_world": self.scene_from_world.to_json(),
            "train": self.train,
            "held_out": self.held_out,
            "has_alpha": self.has_alpha,
            "points_are_random": self.points_are_random,
            "views": [view.to_json(folder) for view in self.views],
        }


def _cache(capacity: int | None) -> PhotoCache:
    if capacity is not None:
        return PhotoCache(capacity)
    return PhotoCache(max(UNASKED, available_memory() // 3), available_memory)


def _looked_at(raw: RawScene, points: Tensor) -> Tensor:
    """Points [P, 3] (world frame, float64) that tell where the scene is, which cameras side by side don't.

    The format's own, or on the optical axis of each photo the one halfway between its depth bounds, in 1 / depth.
    """
    bounds = [view.bounds for view in raw.views if view.bounds is not None]
    if len(points) or len(bounds) < len(raw.views):
        return points
    middle = torch.tensor([2 / (1 / near + 1 / far) for near, far in bounds], dtype=torch.float64)
    poses = torch.cat([view.camera.world_from_cam for view in raw.views])
    return poses[:, :3, 3] + middle[:, None] * poses[:, :3, 2]


def _size(camera: Cameras, downscale: int | None, size: tuple[int, int] | None) -> tuple[int, int]:
    if size is not None:
        return size
    factor = max(1.0, max(camera.width, camera.height) / LONGEST_SIDE) if downscale is None else downscale
    if factor < 1:
        raise NerfkitError(f"downscale must be 1 or more, got {downscale}")
    return max(1, round(camera.width / factor)), max(1, round(camera.height / factor))


def _view(raw: RawView, similarity: Similarity, size: tuple[int, int], cache: PhotoCache) -> PhotoView:
    flat = pinhole(raw.camera, *size)
    camera = Cameras(similarity.poses(flat.world_from_cam).float(), flat.intrinsics.float(), *size)
    bounds = None if raw.bounds is None else (raw.bounds[0] * similarity.scale, raw.bounds[1] * similarity.scale)
    return PhotoView(raw.name, camera, raw.path.resolve(), raw.camera, cache, raw.mask_path, raw.has_alpha, bounds)


def _split(raw: RawScene, hold_out_every: int) -> tuple[list[int], list[int]]:
    every_nth = split(len(raw.views), hold_out_every)
    if not raw.held_out or hold_out_every <= 0:
        return every_nth
    held_out = [index for index, view in enumerate(raw.views) if view.path in raw.held_out]
    return [index for index, view in enumerate(raw.views) if view.path not in raw.held_out], held_out


def _read_points(file: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(file)
    except (ValueError, OSError, SafetensorError) as error:
        raise NerfkitError(f"{file}: missing or damaged ({error}); make the run again from its photos") from None


def _scene_file(path: Path) -> Path:
    path = Path(path)
    return path if path.suffix == ".json" else path / "scene.json"


def _read_json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text())
    except FileNotFoundError:
        raise NerfkitError(f"{file}: no such file; give the folder of a run") from None
    except (OSError, ValueError) as error:
        raise NerfkitError(f"{file}: not valid JSON ({error}); make the run again from its photos") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise NerfkitError(f"{file}: not a scene saved by nerfkit; give the folder of a run")
    if data.get("version") != VERSION:
        raise NerfkitError(
            f"{file}: version {data.get('version')} of the scene format, this nerfkit reads {VERSION}; "
            "use the nerfkit that wrote it"
        )
    return data
