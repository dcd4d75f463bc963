"""Damages splat files and reads them: ``python tests/splats/fuzz.py 10000`` (``make fuzz``).

Each file must give Gaussians or one line of a NerfkitError, within seconds and within a bound of memory that the
operating system watches. Prints a JSON object: how many files of each format were read and refused, and the faults.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from samples import ksplat_file, plausible_gaussians, sog_v1_files, spz_v4_file

from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.splats import formats, ply, spz
from nerfkit.splats.blocks import degree_of, select

MEMORY = 64 << 20  # bytes beyond what the process has before it begins: the files have 10 to 200 kB
SECONDS = 5  # a file
EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FC00000, 0x7F800000]
WORDS = [
    b"-1",
    b"0",
    b"1e999",
    b"1e300",
    b"2.5",
    b"NaN",
    b"Infinity",
    b"99999999999",
    b"4294967296",
    b"null",
    b"[]",
    b'""',
    b"{}",
    b"[[[[",
]

FOLDER = ".folder"  # what SOG is in beside a zip file
Damage = Callable[[random.Random, bytes], bytes]


def flip(rng: random.Random, data: bytes) -> bytes:
    """Some bytes anywhere."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 4, 64])):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def flip_head(rng: random.Random, data: bytes) -> bytes:
    """Some bytes at the beginning, where headers are."""
    n = min(len(data), rng.choice([16, 64, 4200, 6000]))
    return flip(rng, data[:n]) + data[n:]


def extreme(rng: random.Random, data: bytes) -> bytes:
    """A number that is the largest, the smallest, or none."""
    at = rng.randrange(min(len(data) - 4, rng.choice([32, 5200, len(data)])))
    at -= at % 4 if rng.random() < 0.8 else 0
    return data[:at] + struct.pack("<I", rng.choice(EXTREMES)) + data[at + 4 :]


def truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))] if rng.random() < 0.7 else data[: -rng.randrange(1, 64)]


def insert(rng: random.Random, data: bytes) -> bytes:
    at, n = rng.randrange(len(data)), rng.choice([1, 3, 4, 1000])
    return data[:at] + rng.randbytes(n) + data[at:]


def word(rng: random.Random, data: bytes) -> bytes:
    """A number in a text (a PLY's header, a JSON document) becomes another word."""
    n = min(len(data), 6000)
    places = [i for i in range(1, n - 1) if data[i : i + 1].isdigit() and not data[i - 1 : i].isalnum()]
    if not places:
        return flip_head(rng, data)
    at = rng.choice(places)
    end = at
    while end < n and data[end : end + 1] in b"0123456789.e-+":
        end += 1
    return data[:at] + rng.choice(WORDS) + data[end:]


def line(rng: random.Random, data: bytes) -> bytes:
    """A line of a text goes, or comes twice."""
    lines = data.split(b"\n", 80)
    at = rng.randrange(len(lines))
    return b"\n".join(lines[:at] + lines[at : at + 1] * rng.choice([0, 2, 40]) + lines[at + 1 :])


ANY: list[Damage] = [flip, flip_head, extreme, truncate, insert, word, line]


def within_gzip(rng: random.Random, data: bytes) -> bytes:
    """What is compressed is damaged, and compressed again; version 4 is not compressed as a whole."""
    if data[:2] != b"\x1f\x8b":
        return rng.choice(ANY)(rng, data)
    return gzip.compress(rng.choice(ANY)(rng, gzip.decompress(data)), 1)


def gzip_bomb(rng: random.Random, data: bytes) -> bytes:
    count = rng.choice([1 << 20, 1 << 26, 0xFFFFFFFF])
    return gzip.compress(struct.pack("<IIIBBBB", spz.MAGIC, rng.choice([2, 3]), count, 3, 12, 0, 0) + bytes(1 << 24), 1)


def within_zip(rng: random.Random, data: bytes) -> bytes:
    """One of the files within is damaged, or swapped for another; the zip file itself is whole."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = "meta.json" if rng.random() < 0.5 else rng.choice(list(files))
    files[name] = files[rng.choice(list(files))] if rng.random() < 0.1 else rng.choice(ANY)(rng, files[name])
    return zipped(files)


def zip_bomb(rng: random.Random, data: bytes) -> bytes:
    """A member of 16 MB of zeros, deflated to 16 kB; or a picture of 16383 x 16383 pixels of one colour."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(files))
    files[name] = bytes(1 << 24) if rng.random() < 0.5 else HUGE_PICTURE
    return zipped(files, zipfile.ZIP_DEFLATED)


def zipped(files: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind, compresslevel=1) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


# A lossless WebP header for 16383 x 16383 pixels (RFC 9649, section 3.4), and no pixels.
_VP8L = b"\x2f" + struct.pack("<I", 16382 | 16382 << 14 | 1 << 28) + bytes(64)
HUGE_PICTURE = (
    b"RIFF" + struct.pack("<I", 12 + len(_VP8L) + 1) + b"WEBPVP8L" + struct.pack("<I", len(_VP8L)) + _VP8L + b"\0"
)


def deep(rng: random.Random, data: bytes) -> bytes:
    """A JSON document of 100,000 brackets in the place of the one there."""
    text = b'{"a":' + b"[" * 100_000
    if data[:4] == b"glTF":
        return data[:12] + struct.pack("<II", len(text), 0x4E4F534A) + text
    return zipped({"meta.json": text})


def damages(suffix: str) -> list[Damage]:
    special = {
        ".spz": [within_gzip, within_gzip, gzip_bomb],
        ".sog": [within_zip, within_zip, within_zip, zip_bomb, deep],
        ".glb": [deep],
    }
    return [within_zip, within_zip, zip_bomb, deep] if suffix == FOLDER else ANY + special.get(suffix, [])


def seeds(folder: Path) -> dict[str, list[bytes]]:
    """Whole files of every format, of several degrees."""
    files: dict[str, list[bytes]] = {".ksplat": [], ".gltf": [], ".ply": [], ".sog": []}
    for degree in (0, 1, 3):
        g = plausible_gaussians(400, degree)
        for suffix in formats.WRITTEN:
            formats.write(folder / f"seed{suffix}", g, up="z")
            files.setdefault(suffix, []).append((folder / f"seed{suffix}").read_bytes())
        files[".ksplat"] += [ksplat_file(g, level, degree) for level in (0, 1, 2)]
        files[".ply"] += [as_ascii(g), as_big_endian(files[".ply"][-1]), as_doubles(files[".ply"][-1])]
        files[".sog"].append(zipped(sog_v1_files(g)))
    spz.write(folder / "seed.spz", g, version=2)
    files[".spz"] += [(folder / "seed.spz").read_bytes(), *map(spz_v4_file, files[".spz"])]
    files[".gltf"] = [as_gltf(data) for data in files[".glb"]]
    files[FOLDER] = files[".sog"]
    return files


def as_ascii(g: Gaussians) -> bytes:
    """A PLY of text, of a few Gaussians."""
    names = ply._field_names(g.sh.shape[1])
    head = ["ply", "format ascii 1.0", "element vertex 60", *(f"property float {name}" for name in names), "end_header"]
    rows = [" ".join(f"{value:g}" for value in row) for row in ply._table(select(g, slice(0, 60))).tolist()]
    return "\n".join([*head, *rows, ""]).encode()


def as_big_endian(data: bytes) -> bytes:
    head, _, rows = data.partition(b"end_header\n")
    return head.replace(b"little", b"big") + b"end_header\n" + np.frombuffer(rows, "<f4").astype(">f4").tobytes()


def as_doubles(data: bytes) -> bytes:
    head, _, rows = data.partition(b"end_header\n")
    return head.replace(b"float", b"double") + b"end_header\n" + np.frombuffer(rows, "<f4").astype("<f8").tobytes()


def put(path: Path, data: bytes) -> None:
    """Writes a file; of a zip file that stands for a folder, the folder."""
    if path.suffix != FOLDER:
        path.write_bytes(data)
        return
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(path)


def as_gltf(glb: bytes) -> bytes:
    import base64

    (length,) = struct.unpack("<I", glb[12:16])
    document = json.loads(glb[20 : 20 + length])
    data = base64.b64encode(glb[28 + length :]).decode()
    document["buffers"][0]["uri"] = f"data:application/octet-stream;base64,{data}"
    return json.dumps(document).encode()


class Hang(BaseException):
    """No OSError, as TimeoutError is: a reader would make a clear line of it."""


def hang(*_: object) -> None:
    raise Hang(f"more than {SECONDS} s")


def try_one(path: Path) -> str:
    """ "read" or "refused"; raises whatever else happens."""
    try:
        g = formats.read(path)
        formats.said_up(path)
    except NerfkitError as error:
        if "\n" in str(error) or str(path) not in str(error) or len(str(error)) > 400:
            raise AssertionError(f"not one clear line: {error}") from None
        return "refused"
    for part in (g.means, g.quats, g.scales, g.opacities, g.sh):
        if len(part) != len(g) or not part.isfinite().all():
            raise AssertionError("values that are not finite")
    if degree_of(g) > 3 or not (g.scales > 0).all():
        raise AssertionError("scales that are not above zero")
    return "read"


def main(count: int, seed: int) -> dict[str, object]:
    logging.getLogger("nerfkit").setLevel(logging.ERROR)
    warnings.simplefilter("error")  # of numpy, which would stand beside the one line
    torch.set_num_threads(1)
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = seeds(folder)
        for suffix, whole in files.items():  # before the limit, so that every library is loaded
            for data in whole:
                put(folder / f"whole{suffix}", data)
                assert try_one(folder / f"whole{suffix}") == "read", suffix
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGALRM, hang)
        for index in range(count):
            suffix = list(files)[index % len(files)]
            damage = rng.choice(damages(suffix))
            path = folder / f"file{suffix}"
            put(path, damage(rng, rng.choice(files[suffix])))
            signal.alarm(SECONDS)
            try:
                outcomes[f"{suffix} {try_one(path)}"] += 1
            except BaseException as error:
                faults.append(
                    f"{suffix} {damage.__name__} (file {index} of seed {seed}): {type(error).__name__}: {error}"
                )
                if isinstance(error, KeyboardInterrupt):
                    raise
            finally:
                signal.alarm(0)
    return {"files": count, "seconds": time.monotonic() - began, "outcomes": dict(sorted(outcomes.items())),
            "faults": faults}  # fmt: skip


if __name__ == "__main__":
    result = main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(json.dumps(result, indent=1))
    sys.exit(1 if result["faults"] else 0)
