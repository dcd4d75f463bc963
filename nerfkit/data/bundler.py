"""Bundler's ``bundle.out`` with its list of photos, which RealityCapture, Metashape, COLMAP and others export too.

Conventions, by the Bundler User's Manual (Snavely, "Output format and scene representation"): ``P = R X + t``, the
camera looks down its negative z axis with y up, ``p = -P / P.z``, ``p' = f (1 + k1 |p|^2 + k2 |p|^4) p``; image
coordinates have their origin in the photo's middle, x to the right, y up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.data.fields import begins_with
from nerfkit.data.raw import RawScene, RawView, Seen, camera, finish, photo_file, upright_size
from nerfkit.errors import NerfkitError

FILES = ("bundle.out", "bundle.rd.out", "bundle/bundle.out")
HEADER = "# Bundle file v0.3"
OPENCV_FROM_BUNDLER = np.array([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class BundlerReader:
    """Reads a ``.out`` file of version 0.3, or the folder with ``bundle.out``; cameras that are all zero have no pose.

    The list of photos is ``NAME.out.list.txt``, ``NAME.txt``, ``list.txt``, ``list.rd.txt`` or any ``.lst`` beside the
    file or above it. Photos lie beside the list or in ``images`` there; ``images`` names another folder.
    """

    images: Path | None = None

    def accepts(self, path: Path) -> bool:
        if path.is_file():
            return path.suffix == ".out" or begins_with(path, "# Bundle file", size=64)
        return any((path / name).is_file() for name in FILES)

    def read(self, path: Path) -> RawScene:
        """Raises NerfkitError: another version, too few or wrong numbers, no list, missing photos."""
        file = path if path.is_file() else next(path / name for name in FILES if (path / name).is_file())
        numbers, cameras, points = _numbers(file)
        listed, names = _list(file, cameras)
        folders = [self.images] if self.images else [
            *(base / sub for base in (listed.parent, *file.parents[:2]) for sub in (".", "images", "photos")),
            Path("/"),  # lists with absolute paths
        ]  # fmt: skip
        table = numbers[: 15 * cameras].reshape(cameras, 15)
        views: dict[int, RawView] = {}
        for index, (row, name) in enumerate(zip(table, names, strict=True)):
            if row.any() and row[0] != 0:
                views[index] = _view(row, photo_file(name, folders))
        if not views:
            raise NerfkitError(f"{file}: none of its {cameras} cameras has a pose; give the file that SfM wrote")
        positions, colors = _points(file, numbers[15 * cameras :], points, views)
        return finish(RawScene(file, list(views.values()), positions, colors))


def _numbers(file: Path) -> tuple[NDArray[np.float64], int, int]:
    """All numbers after the two counts, and how many cameras and points there are."""
    try:
        first, _, text = file.read_text(errors="replace").partition("\n")
    except OSError as error:
        raise NerfkitError(f"{file}: cannot be read ({error.strerror}); check the path") from None
    if first.strip() != HEADER:
        raise NerfkitError(f"{file}: not a Bundler file of version 0.3 (its first line must be '{HEADER}')")
    try:
        numbers = np.array(text.split(), dtype=np.float64)
        cameras, points = int(numbers[0]), int(numbers[1])
    except (ValueError, IndexError, OverflowError):
        raise NerfkitError(f"{file}: holds something else than numbers; export it again") from None
    numbers = numbers[2:]
    if cameras < 1 or points < 0 or len(numbers) < 15 * cameras:
        raise _truncated(file, cameras, points)
    if not np.isfinite(numbers).all():
        raise NerfkitError(f"{file}: holds numbers that are not finite; export it again")
    return numbers, cameras, points


def _truncated(file: Path, cameras: int, points: int) -> NerfkitError:
    return NerfkitError(f"{file}: truncated, it lacks some of its {cameras} cameras and {points} points; copy it again")


def _list(file: Path, cameras: int) -> tuple[Path, list[str]]:
    """The file that lists the photos, and their names in the order of the cameras."""
    plain = [file.with_name(file.name + ".list.txt"), file.with_suffix(".txt"), file.with_suffix(".lst")]
    for folder in (file.parent, file.parent.parent):
        plain += [folder / "list.txt", folder / "list.rd.txt", *sorted(folder.glob("*.lst"))]
    found = [place for place in plain if place.is_file()]
    if not found:
        raise NerfkitError(
            f"{file}: no list of its photos; put list.txt beside it, a photo a line in the cameras' order"
        )
    for place in found:
        lines = [line.strip() for line in place.read_text(errors="replace").splitlines() if line.strip()]
        # Bundler's own lists go on with "0" and the focal length.
        names = [re.sub(r"\s+0(\s+[-+.\deE]+)?$", "", line) for line in lines]
        if len(names) == cameras:
            return place, names
    raise NerfkitError(
        f"{found[0]}: {len(names)} photos for the {cameras} cameras of {file.name}; give the list that belongs to it"
    )


def _view(row: NDArray[np.float64], photo: Path) -> RawView:
    focal, k1, k2 = row[:3].tolist()
    rotation = OPENCV_FROM_BUNDLER[:, None] * row[3:12].reshape(3, 3)
    pose = np.eye(4)
    pose[:3, :3] = rotation.T
    pose[:3, 3] = -rotation.T @ (OPENCV_FROM_BUNDLER * row[12:15])
    width, height = upright_size(photo)
    distortion = torch.tensor([k1, k2, 0.0, 0.0], dtype=torch.float64)
    return RawView(photo, camera(pose, [focal, focal, width / 2, height / 2], width, height, distortion, "opencv"))


def _points(
    file: Path, numbers: NDArray[np.float64], count: int, views: dict[int, RawView]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Positions [P, 3] and colors [P, 3]; puts the observations into the views."""
    positions, colors = np.zeros((count, 3)), np.zeros((count, 3), np.uint8)
    found: dict[int, tuple[list[int], list[NDArray[np.float64]]]] = {index: ([], []) for index in views}
    at = 0
    for point in range(count):
        length = int(numbers[at + 6]) if at + 6 < len(numbers) else -1
        end = at + 7 + 4 * length
        if length < 0 or end > len(numbers):
            raise _truncated(file, len(views), count)
        positions[point], colors[point] = numbers[at : at + 3], numbers[at + 3 : at + 6].clip(0, 255)
        for index, _, x, y in numbers[at + 7 : end].reshape(-1, 4):
            if int(index) in found:
                found[int(index)][0].append(point)
                found[int(index)][1].append(np.array([x, -y]))
        at = end
    for index, (points, pixels) in found.items():
        middle = views[index].camera.intrinsics[0, 2:].numpy()
        views[index].seen = Seen(np.array(points, np.int64), np.array(pixels).reshape(-1, 2) + middle)
    return positions, colors
