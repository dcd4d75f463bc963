"""PlayCanvas' SOG, version 2: textures of lossless WebP and ``meta.json`` in a zip file; about 10 bytes a Gaussian.

A texel a Gaussian: ``sign(x) log(1 + |x|)`` of the places in 16 bits over two textures, the three smallest components
of the quaternion (w x y z), log scales and colours as indices into codebooks of 256 numbers with the opacity beside
the colours, and the index of its higher bands in a palette of up to 65,536. Source: PlayCanvas' user manual, "The SOG
Format".
"""

from __future__ import annotations

import io
import json
import logging
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.splats import antialiased, upright
from nerfkit.splats.blocks import blocks, degree_of, select
from nerfkit.splats.codebook import nearest_in, sampled, scalar_codebook, vector_codebook
from nerfkit.splats.order import morton_ranks
from nerfkit.splats.rotations import HALF_SQRT_2, smallest_three
from nerfkit.splats.sog_reader import FIRST_TAG, MAX_DEGREE, META, MOST_PALETTE, PER_ROW, STEPS_16, open_file, said_up
from nerfkit.splats.stream import Splats, empty, numbered, put, stream
from nerfkit.splats.upright import Up

log = logging.getLogger("nerfkit")

__all__ = ["MAX_DEGREE", "open_file", "said_up", "write"]
_LARGEST_SIDE = 16383  # of a WebP image
_COARSE = 2e-3  # of how far Gaussians usually reach: about a pixel of a photo


def step_at(distance: float) -> float:
    """How far apart neighbouring places are that a reader of single precision knows, so far from the origin."""
    return 2.0**-23 * math.log1p(distance) * (1 + distance)


def _default_palette(count: int) -> int:
    """How many sets of higher bands there are for so many Gaussians."""
    return min(MOST_PALETTE, max(1024, count // 2), max(count, 1))


def write(path: Path, gaussians: Gaussians | Splats, *, palette: int | None = None, up: Up | None = None) -> int:
    """Writes Gaussians in Morton order, atomically.

    Args:
        palette: how many different sets of higher bands there may be, up to 65,536; by default one for two
            Gaussians, 1024 at least.
        up: what the file says of which axis is up.

    Returns:
        how many they are. All of them are held in this order: palettes are learned from the whole scene.

    Raises:
        NerfkitError: no Gaussians, more than the textures hold, or the file cannot be written.
    """
    splats = stream(gaussians)
    if splats.most > _LARGEST_SIDE**2:
        raise NerfkitError(f"{path}: {splats.most:,} Gaussians are more than a SOG file holds; write a .spz file")
    places, extent = morton_ranks(splats)
    n = len(places)
    if n == 0:
        raise NerfkitError(f"{path}: no Gaussians to write; a SOG file holds at least one")
    if step_at(extent.away) > _COARSE * extent.usual > 0:
        told = "%s: the Gaussians lie %.3g from the origin, where readers of .sog know places to %.3g only; %s"
        log.warning(told, path, extent.away, step_at(extent.away), "use --translate to bring them to the origin")
    g = empty(n, splats.degree)
    for rows, block in numbered(splats):
        put(g, places[rows], block)
    del places
    meta: dict[str, Any] = {"version": 2, "asset": {"generator": "nerfkit"} | upright.asset(up), "count": n}
    meta |= antialiased.meta(splats.antialiased)
    with atomic(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        meta["means"] = _write_means(archive, g)
        meta["scales"] = _write_scales(archive, g)
        meta["quats"] = _write_quats(archive, g)
        meta["sh0"] = _write_colors(archive, g)
        if degree_of(g):
            meta["shN"] = _write_bands(archive, g, palette or _default_palette(n))
        _add(archive, META, json.dumps(meta).encode())
    return n


def _write_means(archive: zipfile.ZipFile, g: Gaussians) -> dict[str, Any]:
    low, high = _logs(g.means.amin(0)), _logs(g.means.amax(0))  # logs rise with what they are of

    def steps(block: Gaussians) -> Tensor:
        return ((_logs(block.means) - low) / (high - low).clamp_min(1e-12) * STEPS_16).round().long()

    _write_texels(archive, "means_l.webp", g, 3, lambda block: steps(block) & 255)
    _write_texels(archive, "means_u.webp", g, 3, lambda block: steps(block) >> 8)
    return {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]}


def _logs(means: Tensor) -> Tensor:
    return means.double().sign() * means.double().abs().log1p()


def _write_scales(archive: zipfile.ZipFile, g: Gaussians) -> dict[str, Any]:
    codes = scalar_codebook(values.log_from_scale(sampled(g.scales)))
    _write_texels(archive, "scales.webp", g, 3, lambda block: nearest_in(codes, values.log_from_scale(block.scales)))
    return {"codebook": _short(codes), "files": ["scales.webp"]}


def _write_quats(archive: zipfile.ZipFile, g: Gaussians) -> dict[str, Any]:
    def texels(block: Gaussians) -> Tensor:
        largest, others = smallest_three(block.quats)
        bytes_ = ((others / HALF_SQRT_2 * 0.5 + 0.5) * 255).round().clamp(0, 255).long()
        return torch.cat([bytes_, FIRST_TAG + largest[:, None]], 1)

    _write_texels(archive, "quats.webp", g, 4, texels)
    return {"files": ["quats.webp"]}


def _write_colors(archive: zipfile.ZipFile, g: Gaussians) -> dict[str, Any]:
    codes = scalar_codebook(sampled(g.sh[:, 0]))

    def texels(block: Gaussians) -> Tensor:
        opacities = (block.opacities[:, None] * 255).round().clamp(0, 255).long()
        return torch.cat([nearest_in(codes, block.sh[:, 0]), opacities], 1)

    _write_texels(archive, "sh0.webp", g, 4, texels)
    return {"codebook": _short(codes), "files": ["sh0.webp"]}


def _write_bands(archive: zipfile.ZipFile, g: Gaussians, size: int) -> dict[str, Any]:
    degree, width = degree_of(g), g.sh.shape[1] - 1
    palette, labels = vector_codebook(g.sh[:, 1:].flatten(1).float(), min(size, MOST_PALETTE), g.opacities)
    codes = scalar_codebook(sampled(palette))
    entries = len(palette)
    texels = torch.zeros(-(-entries // PER_ROW) * PER_ROW * width, 3, dtype=torch.uint8)
    for rows in blocks(entries):
        found = nearest_in(codes, palette[rows]).reshape(-1, 3)
        texels[rows.start * width : rows.stop * width] = found.byte()
    _write_image(archive, "shN_centroids.webp", texels.reshape(-1, PER_ROW * width, 3))
    image = _image(len(g), 3)
    for channel, shift in enumerate((0, 8)):
        image.view(-1, 3)[: len(g), channel] = (labels >> shift & 255).byte()
    _write_image(archive, "shN_labels.webp", image)
    files = ["shN_centroids.webp", "shN_labels.webp"]
    return {"count": entries, "bands": degree, "codebook": _short(codes), "files": files}


def _short(codes: Tensor) -> list[float]:
    """With as few digits as tell float32 apart: meta.json is not compressed."""
    return [float(str(value)) for value in codes.numpy()]


def _write_texels(
    archive: zipfile.ZipFile, name: str, g: Gaussians, channels: int, texels: Callable[[Gaussians], Tensor]
) -> None:
    """Writes the texels [N, channels], 0 to 255, that are made of each block of Gaussians."""
    image = _image(len(g), channels)
    for rows in blocks(len(g)):
        image.view(-1, channels)[rows] = texels(select(g, rows)).byte()
    _write_image(archive, name, image)


def _image(texels: int, channels: int) -> Tensor:
    """Room for texels: an image [H, W, channels] that is about square, with sides of whole fours."""
    width = max(4, math.ceil(math.sqrt(texels) / 4) * 4)
    return torch.zeros(math.ceil(texels / width / 4) * 4, width, channels, dtype=torch.uint8)


def _write_image(archive: zipfile.ZipFile, name: str, image: Tensor) -> None:
    out = io.BytesIO()
    Image.fromarray(image.numpy()).save(out, "WEBP", lossless=True, exact=True, quality=100, method=2)
    _add(archive, name, out.getvalue())


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), data)  # with a fixed date: equal scenes give equal files
