"""PlayCanvas' SOG, version 2: textures of lossless WebP and ``meta.json`` in a zip file; about 10 bytes a Gaussian.

A texel a Gaussian: ``sign(x) log(1 + |x|)`` of the places in 16 bits over two textures, the three smallest components
of the quaternion (w x y z), log scales and colours as indices into codebooks of 256 numbers with the opacity beside
the colours, and the index of its higher bands in a palette of up to 65,536. Source: PlayCanvas' user manual, "The SOG
Format".
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.core.curve import morton_order
from nerfkit.data.fields import Fields
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.splats.blocks import SLACK, Filling, blocks, check_count, degree_of, select
from nerfkit.splats.codebook import nearest_in, scalar_codebook, vector_codebook
from nerfkit.splats.rotations import HALF_SQRT_2, from_smallest_three, smallest_three

MAX_DEGREE = 3
MOST_PALETTE = 1 << 16
_PER_ROW = 64  # entries of the palette in a row of its texture
_COEFFICIENTS = (0, 3, 8, 15)
_LONGEST_META = 1 << 20  # bytes
_MOST_FILES = 64
_LARGEST_SIDE = 16383  # of a WebP image
_FIRST_TAG = 252  # of the quaternions' alpha: 252 to 255 say which component is the largest
_STEPS_16 = 65535


def default_palette(count: int) -> int:
    """How many sets of higher bands there are for so many Gaussians."""
    return min(MOST_PALETTE, max(1024, count // 2), max(count, 1))


def read(path: Path) -> Gaussians:
    """Raises NerfkitError: no SOG file of version 2, or a damaged one."""
    file_bytes = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > _MOST_FILES:
                raise NerfkitError(f"{path}: is no SOG file: it has {len(archive.infolist())} files")
            return _Reader(path, archive, file_bytes).read()
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


class _Reader:
    def __init__(self, path: Path, archive: zipfile.ZipFile, file_bytes: int):
        self.path, self.archive, self.file_bytes = path, archive, file_bytes

    def read(self) -> Gaussians:
        meta = Fields(self.path, self._meta(), "meta.json")
        if meta.number("version", 1) != 2:
            raise NerfkitError(
                f"{self.path}: is of version {meta.number('version', 1):.0f}, and SOG version 2 can be read"
            )
        count = int(meta.number("count"))
        check_count(self.path, count, self.file_bytes)
        if count < 1:
            raise NerfkitError(f"{self.path}: holds no Gaussians")
        bands = self._bands(meta, count)
        out = Filling(count, 0 if bands is None else bands[0])
        self._geometry(meta, count, out)
        if bands is not None:
            self._fill_bands(bands, out)
        return out.finish(self.path)

    def _meta(self) -> dict[str, Any]:
        data = self._bytes("meta.json", _LONGEST_META)
        try:
            meta = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise NerfkitError(f"{self.path}: its meta.json is damaged ({error})") from None
        if not isinstance(meta, dict):
            raise NerfkitError(f"{self.path}: its meta.json is no object")
        return meta

    def _bytes(self, name: str, most: int) -> bytes:
        try:
            with self.archive.open(name) as file:
                data = file.read(most + 1)
        except KeyError:
            raise NerfkitError(f"{self.path}: is no SOG file: it lacks {name[:60]}") from None
        if len(data) > most:
            raise NerfkitError(f"{self.path}: {name[:60]} is larger than the whole file; it is damaged")
        return data

    def _texture(self, part: Fields, index: int, texels: int, width: int | None = None) -> np.ndarray:
        """RGBA texels [``texels``, 4] of a file of a part; with ``width`` [H, width, 4], of at most so many."""
        least = texels if width is None else width
        files = part.values.get("files")
        if not isinstance(files, list) or len(files) <= index or not isinstance(files[index], str):
            raise part.wrong("files", "a list of names", files)
        name = files[index]
        data = self._bytes(name, self.file_bytes + SLACK)
        try:
            with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
                w, h = image.size
                if w * h < least or w * h > 4 * texels + SLACK or (width is not None and w != width):
                    raise NerfkitError(f"{self.path}: {name[:60]} is {w} x {h}, which doesn't fit {texels:,} texels")
                pixels = np.asarray(image.convert("RGBA"))
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise NerfkitError(f"{self.path}: {name[:60]} cannot be decoded ({str(error)[:100]})") from None
        return pixels if width is not None else pixels.reshape(-1, 4)[:texels]

    def _codebook(self, part: Fields) -> Tensor:
        return torch.from_numpy(part.numbers("codebook", (256,)).astype(np.float32))

    def _geometry(self, meta: Fields, count: int, out: Filling) -> None:
        means, scales, sh0 = meta.fields("means"), meta.fields("scales"), meta.fields("sh0")
        low, high = (torch.from_numpy(means.numbers(name, (3,))).float() for name in ("mins", "maxs"))
        fine, coarse = (self._texture(means, index, count) for index in (0, 1))
        for rows in blocks(count):
            steps = fine[rows, :3].astype(np.float32) + 256 * coarse[rows, :3].astype(np.float32)
            logs = low + (high - low) * (torch.from_numpy(steps) / _STEPS_16)
            out.means[rows] = logs.sign() * (logs.abs().expm1())
        del fine, coarse
        self._each(out.quats, self._texture(meta.fields("quats"), 0, count), _quats)
        codes = self._codebook(scales)
        self._each(out.scales, self._texture(scales, 0, count), lambda t: values.scale_from_log(codes[t[:, :3].long()]))
        codes, texels = self._codebook(sh0), self._texture(sh0, 0, count)
        self._each(out.sh[:, 0], texels, lambda t: codes[t[:, :3].long()])
        self._each(out.opacities, texels, lambda t: t[:, 3].float() / 255)

    def _each(self, array: Tensor, texels: np.ndarray, decode: Callable[[Tensor], Tensor]) -> None:
        for rows in blocks(len(texels)):
            array[rows] = decode(torch.from_numpy(texels[rows].astype(np.uint8)))

    def _bands(self, meta: Fields, count: int) -> tuple[int, Tensor, np.ndarray] | None:
        """Degree, palette [entries, K - 1, 3] and labels [N] of the higher bands."""
        if not meta.has("shN"):
            return None
        part = meta.fields("shN")
        degree, entries = part.count("bands"), int(part.number("count"))
        if degree > MAX_DEGREE or not 1 <= entries <= MOST_PALETTE:
            raise NerfkitError(f"{self.path}: damaged: {degree} SH bands, a palette of {entries}")
        width = _COEFFICIENTS[degree]
        rows = -(-entries // _PER_ROW)
        texels = self._texture(part, 0, rows * _PER_ROW * width, _PER_ROW * width)
        codes = self._codebook(part)
        palette = codes[torch.from_numpy(texels[..., :3].astype(np.int64))].reshape(-1, width, 3)
        labels = self._texture(part, 1, count)
        labels = labels[:, 0].astype(np.int32) + 256 * labels[:, 1].astype(np.int32)
        if labels.max() >= len(palette):
            raise NerfkitError(f"{self.path}: damaged: it names entry {labels.max()} of a palette of {entries}")
        return degree, palette, labels

    def _fill_bands(self, bands: tuple[int, Tensor, np.ndarray], out: Filling) -> None:
        _, palette, labels = bands
        for rows in blocks(out.count):
            out.sh[rows, 1:] = palette[torch.from_numpy(labels[rows]).long()]


def write(path: Path, gaussians: Gaussians, *, palette: int | None = None) -> None:
    """Writes Gaussians in Morton order, atomically.

    Args:
        palette: how many different sets of higher bands there may be, up to 65,536; by default one for two
            Gaussians, 1024 at least.

    Raises:
        NerfkitError: no Gaussians, more than the textures hold, or the file cannot be written.
    """
    n = len(gaussians)
    if n == 0:
        raise NerfkitError(f"{path}: no Gaussians to write; a SOG file holds at least one")
    if n > _LARGEST_SIDE**2:
        raise NerfkitError(f"{path}: {n:,} Gaussians are more than a SOG file holds; write a .spz file")
    g = select(gaussians, morton_order(gaussians.means))
    meta: dict[str, Any] = {"version": 2, "asset": {"generator": "nerfkit"}, "count": n}
    with atomic(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        meta["means"] = _write_means(archive, g.means)
        meta["scales"] = _write_scales(archive, g.scales)
        meta["quats"] = _write_quats(archive, g.quats)
        meta["sh0"] = _write_colors(archive, g)
        if degree_of(g):
            meta["shN"] = _write_bands(archive, g, palette or default_palette(n))
        _add(archive, "meta.json", json.dumps(meta).encode())


def _write_means(archive: zipfile.ZipFile, means: Tensor) -> dict[str, Any]:
    logs = means.double().sign() * means.double().abs().log1p()
    low, high = logs.amin(0), logs.amax(0)
    steps = ((logs - low) / (high - low).clamp_min(1e-12) * _STEPS_16).round().long()
    _write_texels(archive, "means_l.webp", steps & 255)
    _write_texels(archive, "means_u.webp", steps >> 8)
    return {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]}


def _write_scales(archive: zipfile.ZipFile, scales: Tensor) -> dict[str, Any]:
    logs = values.log_from_scale(scales)
    codes = scalar_codebook(logs)
    _write_texels(archive, "scales.webp", nearest_in(codes, logs))
    return {"codebook": _short(codes), "files": ["scales.webp"]}


def _write_quats(archive: zipfile.ZipFile, quats: Tensor) -> dict[str, Any]:
    largest, others = smallest_three(quats)
    bytes_ = ((others / HALF_SQRT_2 * 0.5 + 0.5) * 255).round().clamp(0, 255).long()
    _write_texels(archive, "quats.webp", torch.cat([bytes_, _FIRST_TAG + largest[:, None]], 1))
    return {"files": ["quats.webp"]}


def _quats(texels: Tensor) -> Tensor:
    others = (texels[:, :3].float() / 255 * 2 - 1) * HALF_SQRT_2
    return from_smallest_three((texels[:, 3].long() - _FIRST_TAG).clamp_min(0), others)


def _write_colors(archive: zipfile.ZipFile, g: Gaussians) -> dict[str, Any]:
    codes = scalar_codebook(g.sh[:, 0])
    opacities = (g.opacities[:, None] * 255).round().clamp(0, 255).long()
    _write_texels(archive, "sh0.webp", torch.cat([nearest_in(codes, g.sh[:, 0]), opacities], 1))
    return {"codebook": _short(codes), "files": ["sh0.webp"]}


def _write_bands(archive: zipfile.ZipFile, g: Gaussians, size: int) -> dict[str, Any]:
    degree, width = degree_of(g), g.sh.shape[1] - 1
    palette, labels = vector_codebook(g.sh[:, 1:].flatten(1).float(), min(size, MOST_PALETTE), g.opacities)
    codes = scalar_codebook(palette)
    entries = len(palette)
    texels = torch.zeros(-(-entries // _PER_ROW) * _PER_ROW * width, 3, dtype=torch.int64)
    texels[: entries * width] = nearest_in(codes, palette).reshape(-1, 3)
    _write_image(archive, "shN_centroids.webp", texels.reshape(-1, _PER_ROW * width, 3))
    _write_texels(archive, "shN_labels.webp", torch.stack([labels & 255, labels >> 8, labels * 0], 1))
    files = ["shN_centroids.webp", "shN_labels.webp"]
    return {"count": entries, "bands": degree, "codebook": _short(codes), "files": files}


def _short(codes: Tensor) -> list[float]:
    """With as few digits as tell float32 apart: meta.json is not compressed."""
    return [float(str(value)) for value in codes.numpy()]


def _write_texels(archive: zipfile.ZipFile, name: str, texels: Tensor) -> None:
    """Texels [N, 3 or 4] as an image that is about square, with sides of whole fours."""
    n, channels = texels.shape
    width = max(4, math.ceil(math.sqrt(n) / 4) * 4)
    height = math.ceil(n / width / 4) * 4
    image = torch.zeros(height * width, channels, dtype=torch.uint8)
    image[:n] = texels.byte()
    _write_image(archive, name, image.reshape(height, width, channels))


def _write_image(archive: zipfile.ZipFile, name: str, image: Tensor) -> None:
    out = io.BytesIO()
    pixels = np.ascontiguousarray(image.byte().numpy())
    Image.fromarray(pixels).save(out, "WEBP", lossless=True, exact=True, quality=100, method=2)
    _add(archive, name, out.getvalue())


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), data)  # with a fixed date: equal scenes give equal files
