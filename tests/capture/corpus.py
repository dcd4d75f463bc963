"""Odd and bad inputs, as people's cameras, phones and file managers make them, and what must become of each.

Every case puts something beside three good photos. The picture in it is :func:`picture`, so that the upright copy
can be checked in pixels.
"""

from __future__ import annotations

import base64
import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageCms

pillow_heif.register_heif_opener()

Pixels = NDArray[np.uint8]  # [H, W, 3] or [H, W, 4]
WIDTH, HEIGHT = 96, 64

# How to store upright pixels so that the EXIF tag turns them back.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

# picture() as a JPEG of quality 90 after libjpeg-turbo's `jpegtran -arithmetic`, which loses nothing.
ARITHMETIC_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGB"
    "YUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/yQARCABA"
    "AGADASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwDSquk80INfF/r5qIdTgRvK7jnHtvsjqTzGdBwgPzT95VZzSxs/q4a+00xXas"
    "sA2oy1F39zRQ1baNDrM94fQpmb1HnXKXHWGVa6kVNhVCM6RpnfAofiEf2alOl5cfu6mbVZrhHauzofdQqY/QELd1P8bR6CXz/AGA+Grtaw6SqR"
    "iiyMGWedpy23Zgnz5BbLRrj59H0g0CeOqhCq4vDX9Griiewf6TlZ1frFxdAb8WXbBa0i5Bmsujs70VAzNp4avh844x/4n+utaxIyXCgF8JPq+i"
    "mMhiDUfs3hX2utwIxGjlU7uaUebkESiaG3+OjFTdpAZMK2VVv3VgjxFhfvJWq7+ztbIQRcWNxx6rQaJCnI7k4RY2FwHK3yrp7LRlUZ9WkOm7qH"
    "T0MJxo5oMelpP0vLrZRmXcC8+ysuk12kZE/p6esa+OU+AsHgSrpHFl9G/hQy2jlJ80lDa9zOquBuPUPAgkQrNyEbdvEDslvMIr0Q6p3WH9UAKk"
    "m5ZEydR9TEgecPX4EzucV1ssI6SnxffFz/AJT/2Q=="
)


@dataclass(frozen=True)
class Case:
    """What is put into the folder, and one of the things that may become of it."""

    name: str
    make: Callable[[Path], object]
    shows: Pixels | None = None  # one more photo, whose upright copy shows this
    copy: str = ""  # the name of that copy
    within: float = 2.5  # mean difference in levels
    left_out: str = ""  # words of the warning with which it is left out
    warns: str = ""  # words of a warning about something that is used


def picture(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """[H, W, 3] smooth colours without any symmetry."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    phase = np.array([0.0, 1.0, 2.5]) + seed
    waves = np.sin(5 * x[..., None] + phase) + np.cos(3 * y[..., None] + 2 * phase) + 0.4 * x[..., None]
    return (127 + 50 * waves).clip(0, 255).astype(np.uint8)


def alpha() -> Pixels:
    """[H, W] with transparent, half transparent and opaque parts."""
    row = np.linspace(-60, 315, WIDTH).clip(0, 255)
    return np.broadcast_to(row, (HEIGHT, WIDTH)).astype(np.uint8)


def good(folder: Path, name: str, seed: int = 0, **options: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed)).save(path, **{"quality": 95, "subsampling": 0} | options)
    return path


def encoded(pixels: Pixels, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format, **options)
    return out.getvalue()


def matrix_profile(primaries: Any, gamma: float) -> bytes:
    """An ICC 2.4 profile of a display: ``primaries`` [3, 3] has XYZ (D50) of red, green and blue in its columns."""

    def fixed(*numbers: float) -> bytes:
        return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)

    white = (0.9642, 1.0, 0.8249)
    name = b"a display"
    words = struct.pack(">4s4xI", b"desc", len(name) + 1) + name + bytes(1 + 4 + 4 + 2 + 1 + 67)
    curve = struct.pack(">4s4xIH", b"curv", 1, round(gamma * 256)) + b"\0\0"
    tags = {
        b"desc": words + bytes(-len(words) % 4),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(*white),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
    }
    for index, color in enumerate(b"rgb"):
        tags[bytes([color]) + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*np.asarray(primaries)[:, index])
        tags[bytes([color]) + b"TRC"] = curve
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + fixed(*white)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


# XYZ (D50) of the primaries, by the profiles' makers.
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
GAMMA = 2.2


def in_srgb(pixels: Pixels) -> Pixels:
    """What a picture in Display P3's primaries and a pure gamma is in sRGB."""
    linear = (pixels / 255.0) ** GAMMA @ (np.linalg.inv(SRGB) @ DISPLAY_P3).T
    linear = linear.clip(0, 1)
    return (255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) + 0.5).astype(
        np.uint8
    )


def with_alpha(pixels: Pixels) -> Pixels:
    return np.dstack([pixels, alpha()])


def in_grey(pixels: Pixels) -> Pixels:
    return np.repeat(np.asarray(Image.fromarray(pixels).convert("L"))[..., None], 3, 2)


def turned(orientation: int, format: str, **options: Any) -> bytes:
    image = Image.fromarray(picture())
    exif = Image.Exif()
    exif[274] = orientation
    out = io.BytesIO()
    image = image.transpose(STORED[orientation]) if orientation in STORED else image
    image.save(out, format, exif=exif.tobytes(), **options)
    return out.getvalue()


def _put(name: str, data: bytes) -> Callable[[Path], object]:
    def make(folder: Path) -> object:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        return (folder / name).write_bytes(data)

    return make


def _cut(data: bytes, share: float = 0.6) -> bytes:
    return data[: int(len(data) * share)]


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


def _bomb() -> bytes:
    """A PNG of 60000 x 60000 pixels in some bytes."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return _png([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")])


def _text_bomb() -> bytes:
    """A PNG with a compressed comment that unpacks to 64 MB."""
    start, end = encoded(picture(), "PNG")[8:33], encoded(picture(), "PNG")[33:]
    body = b"Comment\0\0" + zlib.compress(bytes(64 << 20))
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return b"\x89PNG\r\n\x1a\n" + start + chunk + end


def _sixteen(suffix: str, pixels: Pixels) -> bytes:
    """By OpenCV: the levels times 257."""
    image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode(suffix, image.astype(np.uint16) * 257)[1].tobytes()


def _palette(**options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture()).quantize(256).save(out, "PNG", **options)
    return out.getvalue()


def _palette_with_hole() -> tuple[bytes, Pixels]:
    """A palette PNG, one of whose colours is transparent."""
    indexed = Image.fromarray(picture()).quantize(16)
    out = io.BytesIO()
    indexed.save(out, "PNG", transparency=3)
    opaque = np.where(np.asarray(indexed) == 3, 0, 255).astype(np.uint8)
    return out.getvalue(), np.dstack([np.asarray(indexed.convert("RGB")), opaque])


def _color_key() -> tuple[bytes, Pixels]:
    """An RGB PNG in which one colour means transparent."""
    pixels = picture()
    pixels[:20, :30] = (255, 0, 255)
    opaque = np.where((pixels == (255, 0, 255)).all(2), 0, 255).astype(np.uint8)
    return encoded(pixels, "PNG", transparency=(255, 0, 255)), np.dstack([pixels, opaque])


def _animated(format: str) -> bytes:
    out = io.BytesIO()
    frames = [Image.fromarray(picture(seed)) for seed in (0, 5)]
    options: dict[str, Any] = {"lossless": True} if format == "WEBP" else {}
    frames[0].save(out, format, save_all=True, append_images=frames[1:], **options)
    return out.getvalue()


def _converted(mode: str, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture()).convert(mode).save(out, format, **options)
    return out.getvalue()


def _one_bit() -> tuple[Image.Image, Pixels]:
    image = Image.fromarray(picture()).convert("1")
    return image, np.asarray(image.convert("RGB"))


def _one_bit_as(format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    _one_bit()[0].save(out, format, **options)
    return out.getvalue()


def _jpeg_with(segment: bytes) -> bytes:
    """A JPEG with an APP1 segment, right after its start."""
    data = encoded(picture(), "JPEG", quality=95, subsampling=0)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def _float_tiff() -> bytes:
    return encoded((picture()[..., 0] / 255).astype(np.float32), "TIFF")


def _links(folder: Path) -> None:
    target = good(folder.parent / "elsewhere", "real.jpg")
    (folder / "link.jpg").symlink_to(os.path.relpath(target, folder))


def _linked_folder(folder: Path) -> None:
    good(folder.parent / "elsewhere", "d.jpg")
    (folder / "camera").symlink_to(folder.parent / "elsewhere")


def _loop(folder: Path) -> None:
    good(folder, "sub/d.jpg")
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "sub" / "again").symlink_to(folder / "sub")


def _read_only(folder: Path) -> None:
    good(folder, "d.jpg")
    folder.chmod(0o555)


def _socket(folder: Path) -> None:
    before = os.getcwd()
    os.chdir(folder)  # the path of a socket must be short
    try:
        socket.socket(socket.AF_UNIX).bind("s.jpg")
    finally:
        os.chdir(before)


def _poses_of_earlier(folder: Path) -> None:
    good(folder, "shots_poses/photos/d.jpg")
    (folder / "shots_poses" / ".cache").mkdir()
    (folder / "shots_poses" / ".cache" / "nerfkit-poses.json").write_text("{}")


def _run_of_earlier(folder: Path) -> None:
    good(folder, "run/renders/0001.png")
    for name in ("config.toml", "scene.json"):
        (folder / "run" / name).write_text("")


def _named(name: str, copy: str) -> Case:
    return Case(f"named {name!r}", lambda folder: good(folder, name), picture(), copy)


def _copy(folder: Path) -> None:
    (folder / "d.jpg").write_bytes((folder / "a.jpg").read_bytes())


def _denied(folder: Path) -> None:
    good(folder, "d.jpg").chmod(0)


def _denied_folder(folder: Path) -> None:
    good(folder, "secret/d.jpg")
    (folder / "secret").chmod(0)


def cases() -> list[Case]:
    jpeg = {"quality": 95, "subsampling": 0}
    plain = encoded(picture(), "JPEG", **jpeg)
    p3 = matrix_profile(DISPLAY_P3, GAMMA)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    holes, keyed = _palette_with_hole(), _color_key()
    heic = {"quality": 95, "chroma": 444}
    clear = with_alpha(picture())
    webp, avif = {"lossless": True, "exact": True}, {"quality": 95, "subsampling": "4:4:4"}
    p3_jpeg, p3_heic = {"icc_profile": p3, **jpeg}, {"icc_profile": p3, **heic}
    first = "2 pictures, only the first"
    grey, noise = in_grey(picture()), np.random.default_rng(1).bytes(300)
    shown = [
        Case("plain", _put("d.jpg", plain), picture(), "d.jpg"),
        Case("progressive", _put("d.jpg", encoded(picture(), "JPEG", progressive=True, **jpeg)), picture(), "d.jpg"),
        Case("arithmetic coding", _put("d.jpg", ARITHMETIC_JPEG), picture(), "d.jpg"),
        *[
            Case(f"JPEG turned {tag}", _put("d.jpg", turned(tag, "JPEG", **jpeg)), picture(), "d.jpg")
            for tag in range(1, 9)
        ],
        Case("PNG turned", _put("d.png", turned(6, "PNG")), picture(), "d.png", 0),
        Case("TIFF turned", _put("d.tif", turned(6, "TIFF")), picture(), "d.png", 0),
        Case("TIFF mirrored", _put("d.tif", turned(7, "TIFF")), picture(), "d.png", 0),
        Case("WebP turned", _put("d.webp", turned(8, "WEBP", lossless=True)), picture(), "d.jpg"),
        Case("HEIC turned", _put("d.HEIC", turned(6, "HEIF", **heic)), picture(), "d.jpg"),
        Case("an orientation that isn't", _put("d.jpg", turned(99, "JPEG", **jpeg)), picture(), "d.jpg"),
        Case("CMYK JPEG", _put("d.jpg", _converted("CMYK", "JPEG", **jpeg)), picture(), "d.jpg", 4),
        Case("CMYK TIFF", _put("d.tif", _converted("CMYK", "TIFF")), picture(), "d.png", 1),
        Case("grey JPEG", _put("d.jpg", _converted("L", "JPEG", quality=95)), grey, "d.jpg"),
        Case("grey PNG", _put("d.png", _converted("L", "PNG")), grey, "d.png", 0),
        Case("16-bit PNG", _put("d.png", _sixteen(".png", picture())), picture(), "d.png", 0),
        Case("16-bit grey PNG", _put("d.png", _sixteen(".png", grey[..., 0])), grey, "d.png", 0),
        Case("16-bit TIFF", _put("d.tif", _sixteen(".tif", picture())), picture(), "d.png", 0),
        Case("16-bit grey TIFF", _put("d.tif", _sixteen(".tif", grey[..., 0])), grey, "d.png", 0),
        Case("1-bit PNG", _put("d.png", _one_bit_as("PNG")), _one_bit()[1], "d.png", 0),
        Case("1-bit fax TIFF", _put("d.tif", _one_bit_as("TIFF", compression="group4")), _one_bit()[1], "d.png", 0),
        Case("palette", _put("d.png", _palette()), picture(), "d.png", 6),
        Case("palette with a transparent colour", _put("d.png", holes[0]), holes[1], "d.png", 0),
        Case("a colour that means transparent", _put("d.png", keyed[0]), keyed[1], "d.png", 0),
        Case("RGBA", _put("d.png", encoded(clear, "PNG")), clear, "d.png", 0),
        Case("RGBA TIFF", _put("d.tif", encoded(clear, "TIFF")), clear, "d.png", 0),
        Case("opaque RGBA", _put("d.png", _converted("RGBA", "PNG")), picture(), "d.png", 0),
        Case("grey with alpha", _put("d.png", _grey_alpha()), np.dstack([grey, alpha()]), "d.png", 0),
        Case("BMP", _put("d.bmp", encoded(picture(), "BMP")), picture(), "d.bmp", 0),
        Case("palette BMP", _put("d.bmp", _palette_bmp()), picture(), "d.png", 6),
        Case("TIFF", _put("d.TIFF", encoded(picture(), "TIFF")), picture(), "d.png", 0),
        Case("LZW TIFF", _put("d.tif", encoded(picture(), "TIFF", compression="tiff_lzw")), picture(), "d.png", 0),
        Case("WebP", _put("d.webp", encoded(picture(), "WEBP", quality=98)), picture(), "d.jpg", 4),
        Case(
            "WebP with alpha",
            _put("d.webp", encoded(clear, "WEBP", **webp)),
            clear,
            "d.png",
            0,
        ),
        Case("HEIC", _put("IMG_1.HEIC", encoded(picture(), "HEIF", **heic)), picture(), "IMG_1.jpg"),
        Case(
            "HEIC with alpha",
            _put("d.heif", encoded(clear, "HEIF", **heic)),
            clear,
            "d.png",
            3,
        ),
        Case("AVIF", _put("d.avif", encoded(picture(), "AVIF", **avif)), picture(), "d.jpg"),
        Case(
            "Display P3 JPEG",
            _put("d.jpg", encoded(picture(), "JPEG", **p3_jpeg)),
            in_srgb(picture()),
            "d.jpg",
        ),
        Case(
            "Display P3 PNG", _put("d.png", encoded(picture(), "PNG", icc_profile=p3)), in_srgb(picture()), "d.png", 0.6
        ),
        Case(
            "Display P3 HEIC",
            _put("d.heic", encoded(picture(), "HEIF", **p3_heic)),
            in_srgb(picture()),
            "d.jpg",
        ),
        Case(
            "Display P3 with alpha",
            _put("d.png", encoded(clear, "PNG", icc_profile=p3)),
            with_alpha(in_srgb(picture())),
            "d.png",
            0.6,
        ),
        Case("sRGB profile", _put("d.jpg", encoded(picture(), "JPEG", icc_profile=srgb, **jpeg)), picture(), "d.jpg"),
        Case(
            "broken profile",
            _put("d.jpg", encoded(picture(), "JPEG", icc_profile=p3[:150], **jpeg)),
            picture(),
            "d.jpg",
        ),
        Case("GIF named JPEG", _put("d.jpg", _animated("GIF")), picture(), "d.png", 6, warns=first),
        Case("animated WebP", _put("d.webp", _animated("WEBP")), picture(), "d.jpg", warns=first),
        Case("animated PNG", _put("d.png", _animated("PNG")), picture(), "d.png", 0, warns=first),
        Case("TIFF of two pages", _put("d.tif", _animated("TIFF")), picture(), "d.png", 0, warns=first),
        Case("MPO of two eyes", _put("d.jpg", _mpo()), picture(), "d.jpg", 4),
        Case("PNG named JPEG", _put("d.jpg", encoded(picture(), "PNG")), picture(), "d.png", 0),
        Case("JPEG named PNG", _put("d.png", plain), picture(), "d.jpg"),
        Case("WebP named JPEG", _put("d.jpg", encoded(picture(), "WEBP", lossless=True)), picture(), "d.jpg"),
        Case("HEIC named JPEG", _put("d.JPG", encoded(picture(), "HEIF", **heic)), picture(), "d.JPG"),
        Case(
            "EXIF of noise",
            _put("d.jpg", _jpeg_with(b"Exif\0\0" + noise)),
            picture(),
            "d.jpg",
        ),
        Case(
            "EXIF that points outside", _put("d.jpg", _jpeg_with(b"Exif\0\0II*\0\xff\xff\xff\x7f")), picture(), "d.jpg"
        ),
        Case("JPEG before a video", _put("d.jpg", plain + bytes(3 * len(plain))), picture(), "d.jpg"),
        Case("another size", _put("d.png", encoded(picture(0, 64, 200), "PNG")), picture(0, 64, 200), "d.png", 0),
        Case("panorama", _put("d.png", encoded(picture(0, 512, 256), "PNG")), picture(0, 512, 256), "d.png", 0),
        _named("two words.jpg", "two words.jpg"),
        _named("été 写真 📷.jpg", "été 写真 📷.jpg"),
        _named('it\'s "quoted".jpg', 'it\'s "quoted".jpg'),
        _named("-dash.jpg", "-dash.jpg"),
        _named("100% #1; $(x) [a].jpg", "100% #1; $(x) [a].jpg"),
        _named("line\nbreak.jpg", "line_break.jpg"),
        _named("back\\slash.jpg", "back_slash.jpg"),
        _named("latin-\udce9.jpg", "latin-_.jpg"),
        _named("narrow\u202fspace.jpg", "narrow_space.jpg"),
        _named("d" * 250 + ".jpg", "d" * 167 + "-40329c27.jpg"),
        _named("d.jpg/d.jpg", "d.jpg/d.jpg"),
        _named("camera 2/a.jpg", "camera 2/a.jpg"),
        _named("deep/er/and deeper/a.jpg", "deep/er/and deeper/a.jpg"),
        Case("link to a photo", _links, picture(), "link.jpg"),
        Case("link to a folder", _linked_folder, picture(), "camera/d.jpg"),
        Case("folders in a circle", _loop, picture(), "sub/d.jpg"),
        Case("read-only folder", _read_only, picture(), "d.jpg"),
    ]
    unread, none = "it cannot be read", "it cannot be read (not a picture)"
    progressive = encoded(picture(), "JPEG", progressive=True, **jpeg)
    left_out = [
        Case("empty", _put("d.jpg", b""), left_out="empty"),
        Case("text", _put("d.jpg", b"shopping list"), left_out=none),
        Case("web page", _put("d.png", b"<!doctype html><title>404</title>"), left_out=none),
        Case(
            "PostScript",
            _put("d.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n"),
            left_out=none,
        ),
        Case("SVG", _put("d.png", b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>'), left_out=none),
        Case("video", _put("d.jpg", b"\0\0\0\x18ftypmp42" + bytes(99)), left_out=unread),
        Case("zeros", _put("d.jpg", bytes(5000)), left_out=none),
        Case("only the start", _put("d.jpg", plain[:20]), left_out=unread),
        Case("truncated JPEG", _put("d.jpg", _cut(plain)), left_out="truncated"),
        Case(
            "truncated progressive JPEG",
            _put("d.jpg", _cut(progressive)),
            left_out="truncated",
        ),
        Case("JPEG without an end", _put("d.jpg", plain[:-2]), left_out="truncated"),
        Case("truncated PNG", _put("d.png", _cut(encoded(picture(), "PNG"))), left_out=unread),
        Case("truncated WebP", _put("d.webp", _cut(encoded(picture(), "WEBP"))), left_out=unread),
        Case("truncated TIFF", _put("d.tif", _cut(encoded(picture(), "TIFF"))), left_out=unread),
        Case("truncated BMP", _put("d.bmp", _cut(encoded(picture(), "BMP"))), left_out="truncated"),
        Case("truncated HEIC", _put("d.heic", _cut(encoded(picture(), "HEIF", **heic))), left_out=unread),
        Case("PNG with a wrong sum", _put("d.png", _wrong_sum()), left_out=unread),
        Case("decompression bomb", _put("d.png", _bomb()), left_out="far too large: 60000x60000"),
        Case("bomb in a comment", _put("d.png", _text_bomb()), left_out=unread),
        Case("floating point", _put("d.tif", _float_tiff()), left_out="pixel format F is not supported"),
        Case("1x1", _put("d.png", encoded(picture(0, 1, 1), "PNG")), left_out="too small (1x1 pixels)"),
        Case("a line", _put("d.png", encoded(picture(0, 500, 2), "PNG")), left_out="too small (500x2 pixels)"),
        Case("all transparent", _put("d.png", encoded(np.zeros((64, 96, 4), np.uint8), "PNG")), left_out="transparent"),
        Case("link to nothing", lambda folder: (folder / "d.jpg").symlink_to("gone.jpg"), left_out="a link to nothing"),
        Case("link to itself", lambda folder: (folder / "d.jpg").symlink_to("d.jpg"), left_out="a link to nothing"),
    ]
    if os.geteuid() != 0:
        left_out.append(Case("no permission", _denied, left_out="Permission denied"))
    ignored = [
        Case("a pipe", lambda folder: os.mkfifo(folder / "d.jpg")),
        Case("a socket", _socket),
        Case("Windows' thumbnails", _put("Thumbs.db", bytes(99))),
        Case("a Mac's resource fork", _put("._a.jpg", b"\0\5\x16\7" + bytes(99))),
        Case("an archive's Mac folder", _put("__MACOSX/._a.jpg", bytes(99))),
        Case("a NAS's thumbnails", _put("@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", encoded(picture(7), "JPEG"))),
        Case("a hidden photo", _put(".d.jpg", encoded(picture(7), "JPEG"))),
        Case("a hidden folder", _put(".trash/d.jpg", encoded(picture(7), "JPEG"))),
        Case("masks of nothing", _put("masks/zzz.png", _converted("L", "PNG"))),
        Case("notes", _put("notes.txt", b"at noon")),
        Case("an empty folder", lambda folder: (folder / "empty.jpg").mkdir()),
        Case("poses of an earlier run", _poses_of_earlier),
        Case("an earlier run", _run_of_earlier),
        Case(
            "a copy",
            lambda folder: (folder / "d.jpg").write_bytes((folder / "a.jpg").read_bytes()),
            warns="1 photos left out, they are copies of others: d.jpg (= a.jpg)",
        ),
    ]
    if os.geteuid() != 0:
        ignored.append(Case("a folder without permission", _denied_folder, warns="the folder cannot be read"))
    return shown + left_out + ignored


def _grey_alpha() -> bytes:
    image = Image.fromarray(picture()).convert("L")
    image.putalpha(Image.fromarray(alpha()))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _palette_bmp() -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture()).quantize(256).save(out, "BMP")
    return out.getvalue()


def _mpo() -> bytes:
    out = io.BytesIO()
    eyes = [Image.fromarray(picture(seed)) for seed in (0, 5)]
    eyes[0].save(out, "MPO", save_all=True, append_images=eyes[1:], quality=95)
    return out.getvalue()


def _wrong_sum() -> bytes:
    data = bytearray(encoded(picture(), "PNG"))
    data[60] ^= 0x55
    return bytes(data)
