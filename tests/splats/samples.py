"""Gaussians and files that the tests of the splat formats share."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import zstandard
from PIL import Image

from nerfkit.contracts import Gaussians
from nerfkit.core.curve import morton_order
from nerfkit.splats.blocks import select

CLIENTS = Path(__file__).parents[1] / "clients"


def some_gaussians(n: int = 50, degree: int = 3) -> Gaussians:
    rng = torch.Generator().manual_seed(degree)
    return Gaussians(
        means=torch.randn(n, 3, generator=rng),
        quats=torch.randn(n, 4, generator=rng),
        scales=torch.rand(n, 3, generator=rng) * 0.2 + 1e-4,
        opacities=torch.rand(n, generator=rng) * 0.98 + 0.01,
        sh=torch.randn(n, (degree + 1) ** 2, 3, generator=rng),
    )


def plausible_gaussians(n: int = 600, degree: int = 3) -> Gaussians:
    """As trained ones are: colours mostly within [0, 1], higher bands far below 1."""
    g = some_gaussians(n, degree)
    sh = g.sh * 0.15
    sh[:, 0] = g.sh[:, 0].clamp(-2, 2) * 0.8
    return Gaussians(g.means, g.quats, g.scales.clamp_min(0.002), g.opacities, sh)


def in_order(gaussians: Gaussians) -> Gaussians:
    """As compressed formats order them."""
    return select(gaussians, morton_order(gaussians.means))


def same_rotation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The largest angle, in radians, between the rotations of two lists of quaternions."""
    a, b = (torch.nn.functional.normalize(q.double(), dim=1) for q in (a, b))
    sine = torch.minimum((a - b).norm(dim=1), (a + b).norm(dim=1)) / 2
    return 4 * sine.clamp_max(1).asin().max()


def ksplat_file(gaussians: Gaussians, level: int, degree: int) -> bytes:
    """A .ksplat file of one section."""
    return ksplat_sections([(gaussians, degree)], level)


def ksplat_sections(
    parts: Sequence[tuple[Gaussians, int]], level: int, *, bucket_size: int = 16, block: float = 16.0, spare: int = 0
) -> bytes:
    """A .ksplat file of a section for each part, by the description in mkkellogg's SplatBuffer.js; the last bucket of
    each is partial, and ``spare`` rows are behind it."""
    total = sum(len(gaussians) for gaussians, _ in parts)
    heads, bodies = b"", b""
    for gaussians, degree in parts:
        n = len(gaussians)
        full, left = divmod(n, bucket_size)
        buckets = [slice(i, min(i + bucket_size, n)) for i in range(0, n, bucket_size)]
        means = gaussians.means.numpy()
        centers = np.array([(means[rows].min(0) + means[rows].max(0)) / 2 for rows in buckets], "<f4")
        row = _ksplat_rows(gaussians, level, degree, np.repeat(centers, [r.stop - r.start for r in buckets], 0), block)
        has_buckets = level > 0
        count, partial = (len(buckets), 1 if left else 0) if has_buckets else (0, 0)
        heads += struct.pack(
            "<IIIIfHHIIIIH", n, n + spare, bucket_size, count, block, 12, 0, 32767, 0, full if has_buckets else 0,
            partial, degree,
        ).ljust(1024, b"\0")  # fmt: skip
        bodies += struct.pack("<I", left) if partial else b""
        bodies += (centers.tobytes() if has_buckets else b"") + row.tobytes() + bytes(spare * row.itemsize)
    sections = len(parts)
    head = struct.pack(
        "<BBBBIIIIHHfffff", 0, 1, 0, 0, sections, sections, total, total, level, 0, 0.0, 0.0, 0.0, -1.5, 1.5
    ).ljust(4096, b"\0")  # fmt: skip
    return head + heads + bodies


def _ksplat_rows(g: Gaussians, level: int, degree: int, centers: np.ndarray, block: float) -> np.ndarray:
    floats = "<f4" if level == 0 else "<f2"
    coefficients = 3 * ((degree + 1) ** 2 - 1)
    row = np.dtype([("m", "<f4" if level == 0 else "<u2", 3), ("s", floats, 3), ("q", floats, 4), ("c", "u1", 4),
                    ("sh", "u1" if level == 2 else floats, (coefficients,))])  # fmt: skip
    table = np.zeros(len(g), row)
    means = g.means.numpy()
    table["m"] = means if level == 0 else np.round((means - centers) * 32767 / (block / 2)) + 32767
    table["s"], table["q"] = g.scales, torch.nn.functional.normalize(g.quats, dim=1)
    table["c"] = np.round(np.clip(np.c_[g.sh[:, 0] * 0.28209479 + 0.5, g.opacities], 0, 1) * 255)
    bands = [g.sh[:, d * d : (d + 1) ** 2].transpose(1, 2).reshape(len(g), -1) for d in range(1, degree + 1)]
    if bands:
        sh = torch.cat(bands, 1).numpy()
        table["sh"] = np.round((np.clip(sh, -1.5, 1.5) + 1.5) / 3 * 255) if level == 2 else sh
    return table


def sog_v1_files(g: Gaussians) -> dict[str, bytes]:
    """The files of SOG version 1, by how PlayCanvas' engine reads it: bytes between bounds, and as many as 64 Gaussians
    in a row of the palette of higher bands."""
    n, width = len(g), g.sh.shape[1] - 1
    files: dict[str, bytes] = {}
    logs = (g.means.sign() * g.means.abs().log1p()).numpy()
    steps, low, high = _steps(logs, 65535)
    files["means_l.webp"], files["means_u.webp"] = _square(steps & 255), _square(steps >> 8)
    meta: dict[str, object] = {"means": {"shape": [n, 3], "dtype": "float32", "mins": low, "maxs": high,
                                         "files": ["means_l.webp", "means_u.webp"]}}  # fmt: skip
    quats = torch.nn.functional.normalize(g.quats, dim=1)
    largest = quats.abs().argmax(1)
    quats = quats * quats.gather(1, largest[:, None]).sign()
    others = torch.stack([quats[i, [k for k in range(4) if k != largest[i]]] for i in range(n)])
    packed = torch.cat([((others * math.sqrt(0.5) + 0.5) * 255).round(), largest[:, None] + 252], 1)
    files["quats.webp"] = _square(packed.numpy())
    meta["quats"] = {"shape": [n, 4], "dtype": "uint8", "encoding": "quaternion_packed", "files": ["quats.webp"]}
    logits = torch.logit(g.opacities)[:, None]
    for name, values in (("scales", g.scales.log()), ("sh0", torch.cat([g.sh[:, 0], logits], 1))):
        steps, low, high = _steps(values.numpy(), 255)
        files[f"{name}.webp"] = _square(steps)
        meta[name] = {"mins": low, "maxs": high, "dtype": "float32", "files": [f"{name}.webp"]}
    if width:
        steps, _, _ = _steps(g.sh[:, 1:].reshape(-1, 1).numpy(), 255)
        palette = np.zeros((-(-n // 64) * 64, width, 3), np.uint8)
        palette[:n] = steps.reshape(n, width, 3)
        names = ["shN_centroids.webp", "shN_labels.webp"]
        files[names[0]] = _webp(palette.reshape(-1, 64 * width, 3))
        labels = np.arange(n)
        files[names[1]] = _square(np.stack([labels & 255, labels >> 8, labels * 0], 1))
        low, high = float(g.sh[:, 1:].min()), float(g.sh[:, 1:].max())
        meta["shN"] = {"shape": [n, 3 * width], "mins": low, "maxs": high, "quantization": 8, "files": names}
    return {"meta.json": json.dumps(meta).encode(), **files}


def spz_v4_file(v3: bytes) -> bytes:
    """A .spz of version 4 of one of version 3, by how Niantic's load-spz.cc reads it: a header of 32 bytes, a table of
    the sizes of each attribute's zstd stream, the streams."""
    plain = gzip.decompress(v3)
    magic, _, count, degree, bits, flags, _ = struct.unpack("<IIIBBBB", plain[:16])
    widths = [9, 1, 3, 3, 4, 3 * ((degree + 1) ** 2 - 1)][: 6 if degree else 5]
    ends = np.cumsum([16, *(count * width for width in widths)])
    assert ends[-1] == len(plain)
    parts = [plain[start:end] for start, end in itertools.pairwise(ends)]
    packed = [zstandard.ZstdCompressor().compress(part) for part in parts]
    head = struct.pack("<IIIBBBBI12x", magic, 4, count, degree, bits, flags, len(parts), 32)
    table = b"".join(struct.pack("<QQ", len(small), len(part)) for small, part in zip(packed, parts))
    return head + table + b"".join(packed)


def _steps(values: np.ndarray, most: int) -> tuple[np.ndarray, list[float], list[float]]:
    low, high = values.min(0), values.max(0)
    return np.round((values - low) / (high - low) * most).astype(np.int64), low.tolist(), high.tolist()


def _square(texels: np.ndarray) -> bytes:
    n, channels = texels.shape
    width = math.ceil(math.sqrt(n) / 4) * 4
    image = np.zeros((math.ceil(n / width / 4) * 4 * width, channels), np.uint8)
    image[:n] = texels
    return _webp(image.reshape(-1, width, channels))


def _webp(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "WEBP", lossless=True, exact=True)
    return out.getvalue()
