"""What is believed of EXIF."""

from __future__ import annotations

import math
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nerfkit.capture import exif
from nerfkit.capture import photos as capture

DIAGONAL = math.hypot(36, 24)


def facts(tmp_path: Path, size: tuple[int, int] = (400, 300), **tags: Any) -> exif.Facts:
    """Of a JPEG with tags ``t271=…`` in the main directory, ``e37386=…`` in EXIF's, ``g1=…`` in that of GPS."""
    written = Image.Exif()
    directories = {"t": written, "e": written.get_ifd(34665), "g": written.get_ifd(34853)}
    for tag, value in tags.items():
        directories[tag[0]][int(tag[1:])] = value
    Image.new("RGB", size).save(tmp_path / "a.jpg", exif=written.tobytes())
    with Image.open(tmp_path / "a.jpg") as image:
        return exif.read(image, image.size)


def test_focal_length_by_the_diagonal_of_film(tmp_path: Path) -> None:
    assert facts(tmp_path, e41989=26).focal_px == pytest.approx(26 * 500 / DIAGONAL)
    assert facts(tmp_path, (300, 400), e41989=26).focal_px == pytest.approx(26 * 500 / DIAGONAL)


def test_focal_length_by_the_resolution_of_the_focal_plane(tmp_path: Path) -> None:
    canon = {"e37386": 5.0, "e41486": 1600.0 * 25.4, "e41488": 2, "e40962": 3200, "e40963": 2400}
    found = facts(tmp_path, **canon)  # 8000 pixels of 3200, the photo was made smaller since
    assert found.focal_px == pytest.approx(1000, rel=1e-4)
    assert facts(tmp_path, **canon | {"e41488": 4, "e41486": 1600.0}).focal_px == pytest.approx(1000, rel=1e-4)
    assert facts(tmp_path, **canon | {"e41988": 2.0}).focal_px is None  # digital zoom: of which pixels?
    assert facts(tmp_path, **canon | {"e41488": 77}).focal_px is None


def test_two_statements_of_the_focal_length(tmp_path: Path) -> None:
    plane = {"e37386": 5.0, "e41486": 800.0, "e41488": 3}  # 400 pixels
    film = 400 / 500 * DIAGONAL
    assert facts(tmp_path, e41989=round(film), **plane).focal_px == pytest.approx(400, rel=1e-4)
    assert facts(tmp_path, e41989=60, **plane).focal_px == pytest.approx(60 * 500 / DIAGONAL)
    assert facts(tmp_path, e41989=0, **plane).focal_px == pytest.approx(400, rel=1e-4)


@pytest.mark.parametrize(
    "tags",
    [
        {"e41989": 65535},
        {"e41989": 1},
        {"e41989": 26, "e40962": 4000, "e40963": 2000},  # a crop of what the camera wrote
    ],
)
def test_a_focal_length_that_cannot_be_is_not_used(tmp_path: Path, tags: dict[str, Any]) -> None:
    found = facts(tmp_path, **tags)
    assert found.focal_px is None


def test_focal_length_by_the_sensor_of_a_known_camera(tmp_path: Path) -> None:
    """A Nikon D90 has a sensor of 23.6 x 15.8 mm: its diagonal is that of film over 1.523."""
    nikon = {"t271": "NIKON CORPORATION\0", "t272": "NIKON D90 ", "e37386": 35.0}
    expected = 35 * 500 / math.hypot(23.6, 15.8)
    assert facts(tmp_path, **nikon).focal_px == pytest.approx(expected, rel=1e-3)
    assert facts(tmp_path, (300, 400), **nikon).focal_px == pytest.approx(expected, rel=1e-3)
    implausible = facts(tmp_path, e41989=65535, **nikon)
    assert implausible.focal_px == pytest.approx(expected, rel=1e-3)
    assert facts(tmp_path, e41989=40, **nikon).focal_px == pytest.approx(40 * 500 / DIAGONAL)  # what EXIF says wins
    plane = {"e41486": 10.0, "e41488": 4}
    assert facts(tmp_path, **nikon | plane).focal_px == pytest.approx(350)


@pytest.mark.parametrize(
    "tags",
    [
        {"t271": "NIKON CORPORATION", "t272": "NIKON D90", "e37386": 35.0, "e41988": 2.0},  # digital zoom
        {"t271": "NIKON CORPORATION", "t272": "NIKON D90", "e37386": 0.0},
        {"t271": "NIKON CORPORATION", "t272": "NIKON D90", "e37386": 35000.0},
        {"t271": "NIKON CORPORATION", "t272": "NIKON D9", "e37386": 35.0},
        {"t271": "NIKON CORPORATION", "e37386": 35.0},
        {"t272": "NIKON D90", "e37386": 35.0},
        {"t271": "Panasonic", "t272": "DMC-LX3", "e37386": 5.1},  # four crop factors, one for each shape of photos
    ],
)
def test_a_camera_or_zoom_that_is_not_known_gives_no_focal_length(tmp_path: Path, tags: dict[str, Any]) -> None:
    found = facts(tmp_path, **tags)
    assert found.focal_px is None


@pytest.mark.parametrize("tags", [{}, {"e41989": 0}, {"e37386": 1e6, "e41486": 1000.0}, {"e37386": 0.0}])
def test_no_focal_length(tmp_path: Path, tags: dict[str, Any]) -> None:
    found = facts(tmp_path, **tags)
    assert found.focal_px is None


def test_place_and_time(tmp_path: Path) -> None:
    place = {"g1": "S", "g2": (33.0, 51.0, 24.12), "g3": "E", "g4": (151.0, 12.0, 36.0), "g5": b"\1", "g6": 3.5}
    found = facts(tmp_path, e36867="2026:02:28 23:59:58", e37521="25", **place)
    assert found.gps is not None
    assert found.gps == pytest.approx((-33.8567, 151.21, -3.5))
    assert found.taken == datetime(2026, 2, 28, 23, 59, 58, 250000)
    without = facts(tmp_path, t306="2026:02:28 23:59:58", g1="N", g2=(48.5,), g3="W", g4=(2.0, 30.0))
    assert without.gps == (48.5, -2.5, None)
    assert without.taken == datetime(2026, 2, 28, 23, 59, 58)


@pytest.mark.parametrize(
    "tags",
    [
        {"g1": "N", "g2": (0.0, 0.0, 0.0), "g3": "E", "g4": (0.0, 0.0, 0.0)},
        {"g1": "N", "g2": (91.0, 0.0, 0.0), "g3": "E", "g4": (5.0, 0.0, 0.0)},
        {"g1": "N", "g2": (45.0, 0.0, 0.0)},
    ],
)
def test_a_place_that_is_none(tmp_path: Path, tags: dict[str, Any]) -> None:
    assert facts(tmp_path, e36867="0000:00:00 00:00:00", **tags) == exif.Facts()


def test_zeros_under_the_line_count_as_nothing(tmp_path: Path) -> None:
    """Rationals of 0/0, as some phones write where they have no fix; Pillow doesn't write them."""
    after = struct.pack("<I", 80)
    entries = [(1, 2, 2, b"N\0\0\0"), (2, 5, 3, after), (3, 2, 2, b"E\0\0\0"), (4, 5, 3, after)]
    gps = struct.pack("<H", 4) + b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries) + bytes(4)
    main = struct.pack("<HHHII", 1, 34853, 4, 1, 26) + bytes(4)
    data = b"Exif\0\0II*\0" + struct.pack("<I", 8) + main + gps + bytes(24)
    Image.new("RGB", (40, 40)).save(tmp_path / "a.jpg", exif=data)
    with Image.open(tmp_path / "a.jpg") as image:
        assert len(image.getexif().get_ifd(34853)) == 4
        assert exif.read(image, image.size).gps is None


def test_photos_carry_place_and_time(tmp_path: Path) -> None:
    for index in range(3):
        written = Image.Exif()
        written.get_ifd(34853).update({1: "N", 2: (48.0, 0.0, float(index)), 3: "E", 4: (2.0, 0.0, 0.0), 6: 30.0})
        written.get_ifd(34665)[36867] = f"2026:01:01 00:00:0{index}"
        noise = np.random.default_rng(index).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{index}.jpg", exif=written.tobytes())
    photos = capture.find(tmp_path).photos
    assert [photo.gps for photo in photos] == [pytest.approx((48 + index / 3600, 2, 30)) for index in range(3)]
    assert [photo.taken.second for photo in photos if photo.taken] == [0, 1, 2]
