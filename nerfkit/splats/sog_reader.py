"""PlayCanvas' SOG to read, of versions 1 and 2: in one file (:mod:`nerfkit.splats.sog` says what is in it), or as the
folder of its files.

Version 1, which has no ``version`` in its ``meta.json``, has values spread evenly between the bounds of each channel
where version 2 has codebooks, and opacities as logits among them. Source: PlayCanvas' user manual, "The SOG Format",
and how its engine reads version 1.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.data.fields import Fields
from nerfkit.errors import NerfkitError
from nerfkit.splats import antialiased, upright
from nerfkit.splats.blocks import SLACK, blocks, check_count
from nerfkit.splats.rotations import HALF_SQRT_2, from_smallest_three
from nerfkit.splats.stream import Splats, in_file
from nerfkit.splats.upright import Up

META = "meta.json"
MAX_DEGREE = 3
MOST_PALETTE = 1 << 16
PER_ROW = 64  # entries of the palette in a row of its texture
COEFFICIENTS = (0, 3, 8, 15)
FIRST_TAG = 252  # of the quaternions' alpha: 252 to 255 say which component is the largest
STEPS_16 = 65535
_LONGEST_META = 1 << 20  # bytes
_MOST_FILES = 64
_LARGEST_COUNT = 1 << 53  # that a number of JSON says to the last digit


def open_file(path: Path) -> Splats:
    """The Gaussians of a ``.sog`` file, of a folder with a ``meta.json``, or of that ``meta.json``.

    About 20 bytes a Gaussian are held: its texels.

    Raises:
        NerfkitError: no SOG of version 1 or 2, or damaged.
    """
    with _reader(path) as reader:
        return reader.open()


def said_up(path: Path) -> Up | None:
    """Which axis is up by the file's own word; None: it doesn't say it. Raises NerfkitError: no SOG, or damaged."""
    with _reader(path) as reader:
        return upright.of_asset(reader.meta().get("asset"))


@contextmanager
def _reader(path: Path) -> Iterator[_Reader]:
    """What reads a file or folder. Raises NerfkitError: the file is no zip file, or damaged."""
    if path.is_dir() or path.name.lower() == META:
        yield _Reader(path, _Folder(path if path.is_dir() else path.parent))
        return
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > _MOST_FILES:
                raise NerfkitError(f"{path}: is no SOG file: it has {len(archive.infolist())} files")
            yield _Reader(path, _Zip(archive, path.stat().st_size))
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        EOFError,
        RuntimeError,
        UnicodeDecodeError,
        struct.error,
    ) as error:
        raise NerfkitError(f"{path}: is no SOG file, or damaged ({str(error)[:100]}); load it again") from None


@dataclass(frozen=True)
class _Zip:
    archive: zipfile.ZipFile
    size: int

    def read(self, name: str, most: int) -> bytes | None:
        """At most so many bytes of a file within, and one more; None where it is missing."""
        try:
            with self.archive.open(name) as file:
                return file.read(most + 1)
        except KeyError:
            return None


@dataclass(frozen=True)
class _Folder:
    folder: Path

    @property
    def size(self) -> int:
        files = [file for file in self.folder.iterdir() if file.suffix.lower() in (".webp", ".json")]
        return sum(file.stat().st_size for file in files)

    def read(self, name: str, most: int) -> bytes | None:
        file = self.folder / name
        if Path(name).name != name or "\0" in name or not file.is_file():
            return None
        with file.open("rb") as opened:
            return opened.read(most + 1)


@dataclass(frozen=True)
class _Bands:
    degree: int
    palette: Tensor  # [entries, K - 1, 3]
    labels: NDArray[np.uint16]  # [N]


@dataclass(frozen=True)
class _Part:
    """Texels [N, C] whose bytes stand for values, of which each channel has its own: [256, C]."""

    texels: NDArray[np.uint8]
    codes: Tensor

    def values(self, rows: slice, channels: int) -> Tensor:
        index = torch.from_numpy(self.texels[rows, :channels].astype(np.int64))
        return self.codes[index, torch.arange(channels)]


class _Reader:
    def __init__(self, path: Path, source: _Zip | _Folder):
        self.path, self.source, self.file_bytes = path, source, source.size

    def open(self) -> Splats:
        entries = self.meta()
        meta = Fields(self.path, entries, META)
        version = meta.number("version", 1)
        if version not in (1, 2):
            raise NerfkitError(f"{self.path}: is of version {version:g}, and versions 1 and 2 of SOG can be read")
        count = self._count(meta, version)
        check_count(self.path, count, self.file_bytes)
        if count < 1:
            raise NerfkitError(f"{self.path}: holds no Gaussians")
        means, scales, sh0 = meta.fields("means"), meta.fields("scales"), meta.fields("sh0")
        low, high = (torch.from_numpy(means.numbers(name, (3,))).float() for name in ("mins", "maxs"))
        bands = self._bands(meta, count, version)
        fine, coarse = (self._texels(means, index, count, 3) for index in (0, 1))
        quats = self._texels(meta.fields("quats"), 0, count, 4)
        sizes = _Part(self._texels(scales, 0, count, 3), _codes(scales, version, 3))
        colors = _Part(self._texels(sh0, 0, count, 4), _codes(sh0, version, 4))

        def decoded() -> Iterator[Gaussians]:
            for rows in blocks(count):
                steps = fine[rows].astype(np.float32) + 256 * coarse[rows].astype(np.float32)
                logs = low + (high - low) * (torch.from_numpy(steps) / STEPS_16)
                sh = colors.values(rows, 3)[:, None]
                if bands is not None:
                    labels = torch.from_numpy(bands.labels[rows].astype(np.int64))
                    sh = torch.cat([sh, bands.palette[labels]], 1)
                yield Gaussians(
                    means=logs.sign() * logs.abs().expm1(),
                    quats=_quats(torch.from_numpy(quats[rows])),
                    scales=values.scale_from_log(sizes.values(rows, 3)),
                    opacities=_opacities(colors, rows, version),
                    sh=sh,
                )

        degree = 0 if bands is None else bands.degree
        return in_file(self.path, degree, count, decoded, antialiased.by_meta(entries))

    def meta(self) -> dict[str, Any]:
        """What meta.json holds. Raises NerfkitError: it is missing, or damaged."""
        data = self._bytes(META, _LONGEST_META)
        try:
            meta = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise NerfkitError(f"{self.path}: its {META} is damaged ({str(error)[:100]})") from None
        if not isinstance(meta, dict):
            raise NerfkitError(f"{self.path}: its {META} is no object")
        return meta

    def _count(self, meta: Fields, version: float) -> int:
        if version == 2:
            count = meta.number("count")
            if count != int(count) or abs(count) > _LARGEST_COUNT:
                raise meta.wrong("count", "a whole number", count)
            return int(count)
        means = meta.fields("means")
        shape = means.values.get("shape")
        if not isinstance(shape, list) or not shape or not isinstance(shape[0], int) or shape[0] < 0:
            raise means.wrong("shape", "a list that begins with the number of Gaussians", shape)
        return shape[0]

    def _bytes(self, name: str, most: int) -> bytes:
        data = self.source.read(name, most)
        if data is None:
            raise NerfkitError(f"{self.path}: is no SOG file: it lacks {name[:60]!r}")
        if len(data) > most:
            raise NerfkitError(f"{self.path}: {name[:60]!r} is larger than the whole file; it is damaged")
        return data

    def _texels(self, part: Fields, index: int, count: int, channels: int) -> NDArray[np.uint8]:
        """The texels [count, channels] of a file of a part."""
        return self._image(part, index, count).reshape(-1, 4)[:count, :channels].copy()

    def _image(self, part: Fields, index: int, texels: int, most: int | None = None) -> NDArray[np.uint8]:
        """RGBA [H, W, 4] of a file of a part: at least so many texels, and not many more, or ``most`` where given."""
        files = part.values.get("files")
        if not isinstance(files, list) or len(files) <= index or not isinstance(files[index], str):
            raise part.wrong("files", "a list of names", files)
        name = files[index]
        data = self._bytes(name, self.file_bytes + SLACK)
        try:
            with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
                w, h = image.size
                if not texels <= w * h <= (4 * texels + SLACK if most is None else most):
                    raise NerfkitError(f"{self.path}: {name[:60]!r} is {w} x {h}, which doesn't fit {texels:,} texels")
                return np.asarray(image.convert("RGBA"))
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise NerfkitError(f"{self.path}: {name[:60]!r} cannot be decoded ({str(error)[:100]})") from None

    def _bands(self, meta: Fields, count: int, version: float) -> _Bands | None:
        if not meta.has("shN"):
            return None
        part = meta.fields("shN")
        if version == 2:
            degree, entries = part.count("bands"), int(part.number("count"))
            if degree > MAX_DEGREE or not 1 <= entries <= MOST_PALETTE:
                raise NerfkitError(f"{self.path}: damaged: {degree} SH bands, a palette of {entries}")
            image = self._image(part, 0, entries * COEFFICIENTS[degree])
        else:  # as many bands and entries as the picture has room for
            image = self._image(part, 0, PER_ROW * COEFFICIENTS[1], MOST_PALETTE * COEFFICIENTS[MAX_DEGREE])
            degree = next((d for d in (1, 2, 3) if image.shape[1] == PER_ROW * COEFFICIENTS[d]), 0)
        width = COEFFICIENTS[degree]
        if not degree or image.shape[1] != PER_ROW * width:
            raise NerfkitError(f"{self.path}: damaged: palettes of SH bands are 192, 512 or 960 wide")
        codes = _codes(part, version, 1)[:, 0]
        palette = codes[torch.from_numpy(image[..., :3].astype(np.int64))].reshape(-1, width, 3)
        labels = self._texels(part, 1, count, 2).astype(np.uint16)
        labels = labels[:, 0] + 256 * labels[:, 1]
        if labels.max() >= len(palette):
            raise NerfkitError(f"{self.path}: damaged: it names entry {labels.max()} of a palette of {len(palette)}")
        return _Bands(degree, palette, labels)


def _codes(part: Fields, version: float, channels: int) -> Tensor:
    """What each byte stands for, in each channel: [256, channels]."""
    if version == 2:
        return torch.from_numpy(part.numbers("codebook", (256,))).float()[:, None].expand(256, channels)
    shape = () if channels == 1 else (channels,)
    low, high = (torch.from_numpy(np.atleast_1d(part.numbers(name, shape))).float() for name in ("mins", "maxs"))
    return low + (high - low) * (torch.arange(256)[:, None] / 255)


def _opacities(colors: _Part, rows: slice, version: float) -> Tensor:
    if version == 2:
        return torch.from_numpy(colors.texels[rows, 3].astype(np.float32)) / 255
    return values.opacity_from_logit(colors.values(rows, 4)[:, 3])


def _quats(texels: Tensor) -> Tensor:
    others = (texels[:, :3].float() / 255 * 2 - 1) * HALF_SQRT_2
    return from_smallest_three((texels[:, 3].long() - FIRST_TAG).clamp_min(0), others)
