"""What every reader gives: views and points as the files have them, in the files' own world frame."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.capture.pixels import large_pictures
from nerfkit.contracts import Cameras
from nerfkit.errors import NerfkitError

log = logging.getLogger("nerfkit")

_ASPECT = 0.02  # by how much the aspect ratios of a photo and its camera, or its mask, may differ
_LONGEST_NAME = 180  # bytes; file systems allow 255, and suffixes come to it
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Seen:
    """Where a photo shows points of its scene, as the format's observations have it."""

    points: NDArray[np.int64]  # [M] indices into the scene's points
    pixels: NDArray[np.float64]  # [M, 2] in the described camera's image, pixel centres at +0.5


@dataclass
class RawView:
    """One photo as the files have it: full size, distorted, in the world frame."""

    path: Path
    camera: Cameras  # C = 1, float64, OpenCV axes; width and height are those of the photo file
    mask_path: Path | None = None
    has_alpha: bool = False
    name: str = ""  # given by :func:`finish`
    bounds: tuple[float, float] | None = None  # nearest and farthest depth that it shows, world units
    seen: Seen | None = None  # None: the format has no observations, or they were not asked for


@dataclass
class RawScene:
    """A scene as a reader gives it. ``held_out`` names views that the format itself sets apart."""

    source: Path
    views: list[RawView]
    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))  # [P, 3] world frame
    point_colors: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 3), np.uint8))  # [P, 3]
    held_out: frozenset[Path] = frozenset()


def photo_header(path: Path) -> tuple[int, int, bool, bool]:
    """Width, height, whether it has an alpha channel, and whether its EXIF tag turns it by 90 degrees.

    Only JPEGs are turned when they are decoded; and to look for the tag in a PNG would decode all of it.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with large_pictures(), Image.open(path) as photo:
            alpha = photo.mode in ("RGBA", "LA") or "transparency" in photo.info
            turned = photo.format in ("JPEG", "MPO") and photo.getexif().get(274, 1) in (5, 6, 7, 8)
            return photo.width, photo.height, alpha, turned
    except FileNotFoundError:
        raise NerfkitError(f"{path}: no such photo; put it back in its place") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise NerfkitError(f"{path}: not a readable picture; replace it or take its frame out") from None


def finish(scene: RawScene) -> RawScene:
    """Checks what every format must hold, fits cameras to the photo files, names and sorts the views.

    A name is the photo's path below the photos' common folder, without suffix and with ``_`` for ``/``; it names files,
    too, and is shortened where it is too long for them.

    Raises:
        NerfkitError: more than half of the photos are missing, fewer than two views, the same photo twice, a pose
            that is not rigid, a camera or a mask whose shape differs from its photo's.
    """
    _check_twice(scene)
    _drop_missing(scene)
    if len(scene.views) < 2:
        raise NerfkitError(f"{scene.source}: a scene needs at least 2 views, found {len(scene.views)}; add photos")
    for view, name in zip(scene.views, _names([view.path for view in scene.views]), strict=True):
        view.name = name
        width, height, view.has_alpha, turned = photo_header(view.path)
        _check_pose(scene, view)
        described = view.camera
        view.camera = _fit(view, width, height, turned)
        _check_mask(view)
        if view.seen is not None:
            scale = np.array([view.camera.width / described.width, view.camera.height / described.height])
            view.seen = Seen(view.seen.points, view.seen.pixels * scale)
    scene.views.sort(key=lambda view: view.name)
    return scene


def photo_file(name: str, folders: Sequence[Path]) -> Path:
    """The photo called ``name`` in the first of ``folders`` that has it; where none has, its place in the first.

    Names may be paths of another machine or of Windows: what counts then is the longest end of theirs that is found.
    A name without suffix gets that of a photo which is there, and one with a suffix may have it in the other case.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    ends = ["/".join(parts[start:]) for start in range(len(parts))] or [name]
    for end in ends:
        for folder in folders:
            plain = folder / end
            has_suffix = plain.suffix.lower() in PHOTO_SUFFIXES
            others = [plain.with_name(name) for name in other_cases(plain.name)] if has_suffix else _suffixed(plain)
            for file in (plain, *others):
                if file.is_file():
                    return file
    return folders[0] / ends[-1]


def other_cases(name: str) -> list[str]:
    """A file's name with its suffix in lower and in upper case: systems that don't mind may have changed it."""
    stem, suffix = os.path.splitext(name)
    return [other for other in (stem + suffix.lower(), stem + suffix.upper()) if other != name]


def _suffixed(path: Path) -> list[Path]:
    suffixes = [*PHOTO_SUFFIXES, *(suffix.upper() for suffix in PHOTO_SUFFIXES)]
    return [path.with_name(path.name + suffix) for suffix in suffixes]


def upright_size(photo: Path) -> tuple[int, int]:
    """Width and height as the photo is seen, turned by its EXIF tag; 1 x 1 where there is none.

    A missing file is reported by :func:`finish`, with all others.
    """
    if not photo.is_file():
        return 1, 1
    width, height, _, turned = photo_header(photo)
    return (height, width) if turned else (width, height)


def opencv_from_opengl(world_from_gl: NDArray[np.float64]) -> NDArray[np.float64]:
    """Poses [..., 4, 4] with OpenGL camera axes (y up, z backward) as poses with OpenCV's (y down, z forward)."""
    return world_from_gl * np.array([1.0, -1.0, -1.0, 1.0])


def camera(
    world_from_cam: NDArray[np.float64],
    intrinsics: Sequence[float],
    width: int,
    height: int,
    distortion: Tensor | None,
    model: str = "pinhole",
) -> Cameras:
    """One camera [C = 1] in float64. Distortion that is all zero becomes a plain pinhole."""
    if model == "opencv" and (distortion is None or not bool(distortion.any())):
        model, distortion = "pinhole", None
    pose = torch.from_numpy(np.ascontiguousarray(world_from_cam, dtype=np.float64))[None]
    k = torch.tensor([list(intrinsics)], dtype=torch.float64)
    return Cameras(pose, k, width, height, model, None if distortion is None else distortion.double().reshape(1, -1))  # type: ignore[arg-type]


def _drop_missing(scene: RawScene) -> None:
    """Photos taken out of a set leave frames behind (instant-ngp's own fox has 17): a warning, while most are there."""
    missing = [view.path for view in scene.views if not view.path.is_file()]
    missing += [view.mask_path for view in scene.views if view.mask_path and not view.mask_path.is_file()]
    if not missing:
        return
    gone = set(missing)
    kept = [view for view in scene.views if view.path not in gone and view.mask_path not in gone]
    first = ", ".join(str(path) for path in missing[:3]) + (", …" if len(missing) > 3 else "")
    if 2 * len(kept) < len(scene.views) or len(kept) < 2:
        raise NerfkitError(
            f"{scene.source}: {len(missing)} of its {len(scene.views)} views lack their file: {first}; "
            "put the files there, or name the photo folder with --images"
        )
    log.warning(
        "%s: %d of its %d views lack their file and are left out: %s",
        scene.source,
        len(missing),
        len(scene.views),
        first,
    )
    scene.views = kept


def _check_mask(view: RawView) -> None:
    if view.mask_path is None:
        return
    width, height, _, _ = photo_header(view.mask_path)
    if abs(width / height / (view.camera.width / view.camera.height) - 1) > _ASPECT:
        raise NerfkitError(
            f"{view.mask_path}: the mask is {width}x{height} but its photo {view.camera.width}x{view.camera.height}; "
            "make masks of the photos' size"
        )


def _check_twice(scene: RawScene) -> None:
    seen: set[Path] = set()
    for view in scene.views:
        if view.path in seen:
            raise NerfkitError(f"{scene.source}: {view.path.name} appears twice; keep one of its frames")
        seen.add(view.path)


def _names(paths: list[Path]) -> list[str]:
    parents = [PurePosixPath(path.as_posix()).parent.parts for path in paths]
    shared = 0
    while all(len(parts) > shared for parts in parents) and len({parts[shared] for parts in parents}) == 1:
        shared += 1
    below = [PurePosixPath(*PurePosixPath(path.as_posix()).parts[shared:]) for path in paths]
    names = ["_".join(path.with_suffix("").parts) for path in below]
    if len(set(names)) < len(names):
        names = ["_".join(path.parts) for path in below]
    unique = len(set(names)) == len(names)  # or there are a/b_c.jpg and a_b/c.jpg
    return [
        name if unique and len(name.encode()) <= _LONGEST_NAME else _short(name, path)
        for name, path in zip(names, below)
    ]


def _short(name: str, path: PurePosixPath) -> str:
    digest = hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()
    return f"{name.encode()[: _LONGEST_NAME - 9].decode(errors='ignore')}-{digest}"


def _check_pose(scene: RawScene, view: RawView) -> None:
    pose = view.camera.world_from_cam[0]
    rotation = pose[:3, :3]
    error = (rotation @ rotation.T - torch.eye(3, dtype=torch.float64)).abs().max()
    mirrored = bool(torch.linalg.det(rotation) < 0)
    if not bool(pose.isfinite().all()) or error > 1e-3 or mirrored:
        kind = "not finite" if not bool(pose.isfinite().all()) else "mirrored" if mirrored else "scaled or sheared"
        hint = "; left-handed frames, as game engines have them, must be made right-handed" if mirrored else ""
        raise NerfkitError(
            f"{scene.source}: the pose of {view.path.name} is not rigid (a rotation and a translation) but {kind}; "
            f"write poses without scale or mirroring{hint}"
        )
    if error > 1e-12:  # the nearest rotation: files round, some to six digits
        u, _, vt = torch.linalg.svd(rotation)
        pose[:3, :3] = u @ vt
    if not bool(view.camera.intrinsics.isfinite().all()) or bool((view.camera.intrinsics[:, :2] <= 0).any()):
        raise NerfkitError(f"{scene.source}: {view.path.name} has no positive focal length; correct its intrinsics")
    if view.camera.distortion is not None and not bool(view.camera.distortion.isfinite().all()):
        raise NerfkitError(f"{scene.source}: the distortion of {view.path.name} is not finite; correct its intrinsics")


def _fit(view: RawView, width: int, height: int, turned: bool) -> Cameras:
    """The camera over the photo file as it is, which may be a smaller copy of what the poses were made from."""
    from nerfkit.cameras import resize

    described = view.camera
    if (described.width, described.height) == (width, height):
        return described
    if turned and described.width * width == described.height * height:
        width, height = height, width  # the poses belong to the photo as its EXIF tag turns it
    sx, sy = width / described.width, height / described.height
    if abs(sx / sy - 1) > _ASPECT:
        raise NerfkitError(
            f"{view.path}: the photo is {width}x{height} but its camera is {described.width}x{described.height}; "
            "use the photos that the poses were made from"
        )
    return resize(described, width, height)
