"""Photos whose bytes are known are not decoded again, and are the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerfkit.capture import photo, photos
from nerfkit.capture.known import Known


def picture(seed: int, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (60, 80, len(mode)), dtype=np.uint8)
    return Image.fromarray(noise, mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A JPEG with all that EXIF may say, one that lies on its side, a PNG with holes, and a file with two pictures."""
    scene = tmp_path / "scene"
    scene.mkdir()
    exif = Image.Exif()
    exif[271], exif[272], exif[306] = "Maker", "Model", "2026:05:04 03:02:01"
    exif.get_ifd(34665)[41989] = 28
    exif.get_ifd(34853).update({1: "N", 2: (48.0, 46.0, 12.0), 3: "E", 4: (2.0, 17.0, 30.0), 5: b"\0", 6: 90.5})
    picture(0).save(scene / "a.jpg", exif=exif)
    turned = Image.Exif()
    turned[274] = 6
    picture(1).save(scene / "b.jpg", exif=turned)
    picture(2, "RGBA").save(scene / "c.png")
    picture(3).save(scene / "d.tif", save_all=True, append_images=[picture(4)])
    return scene


def undecoded(path: Path, data: bytes, digest: str) -> None:
    raise AssertionError(f"{path} was decoded")


def test_known_photos_are_not_decoded_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    known = Known()
    first = photos.find(folder, known=known)
    assert len(first.photos) == 4 and first.photos[0].gps and first.photos[0].taken and first.photos[2].alpha
    again = Known(json.loads(json.dumps(known.to_json())))
    caplog.clear()
    with monkeypatch.context() as patch:
        patch.setattr(photo, "_decoded", undecoded)
        second = photos.find(folder, known=again)
    assert second == first
    assert again.to_json() == known.to_json()
    assert "d.tif: has 2 pictures, only the first is used" in caplog.text


def test_other_bytes_and_other_suffixes_are_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known()
    photos.find(folder, known=known)
    again = Known(known.to_json())
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes()[:900])
    shutil.move(folder / "c.png", folder / "c.jpg")
    decoded: list[str] = []
    real = photo._decoded

    def listed(file: photos.Found, data: bytes, digest: str) -> tuple[photos.Photo, bool]:
        decoded.append(file.name)
        return real(file, data, digest)

    monkeypatch.setattr(photo, "_decoded", listed)
    found = photos.find(folder, known=again)
    assert sorted(decoded) == ["b.jpg", "c.jpg"]
    assert found.unreadable == ["b.jpg"]
    assert [each.suffix for each in found.photos if each.name == "c.jpg"] == [".png"]
    assert len(again.to_json()) == 3


def test_what_another_nerfkit_knew_is_decoded_anew(folder: Path) -> None:
    known = Known()
    first = photos.find(folder, known=known)
    facts = json.loads(json.dumps(known.to_json()))
    assert facts == known.to_json()  # or each run would write it anew
    for wrong in ({"newer": 1}, {"taken": "noon"}, {"lens": None}):
        others = {key: value | wrong for key, value in facts.items()}
        assert photos.find(folder, known=Known(others)) == first
    assert photos.find(folder, known=Known(dict.fromkeys(facts, 3))) == first
