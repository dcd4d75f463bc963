"""Every odd input gives the right pixels, or is left out with one line; nothing crashes, hangs or stays behind."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import corpus

from nerfkit.capture import masks
from nerfkit.capture import photos as capture

CASES = {case.name: case for case in corpus.cases()}


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError("it hangs")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(30)
    yield
    signal.alarm(0)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "shots"
    for seed, name in enumerate(("a.jpg", "b.jpg", "c.jpg"), 1):
        corpus.good(place, name, seed)
    yield place
    for path in [place, *place.iterdir()]:
        if path.is_dir():
            path.chmod(0o755)


def test_the_corpus_is_large() -> None:
    assert len(CASES) == len(corpus.cases()) >= 100


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")  # of Pillow, as the test looks at the copies
@pytest.mark.parametrize("name", CASES)
def test_odd_input(folder: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    case = CASES[name]
    case.make(folder)
    with caplog.at_level(logging.WARNING, "nerfkit"):
        found = capture.find(folder)
        placed = capture.upright(found.photos, tmp_path / "out")
    words = [record.getMessage() for record in caplog.records]
    assert all(line.isprintable() for line in words)
    assert len(words) == bool(case.left_out or case.warns), words
    assert len(found.photos) == (3 if case.shows is None else 4)
    assert len(found.unreadable) == bool(case.left_out)
    if words:
        assert (case.left_out or case.warns) in words[0]
    if case.shows is None:
        assert placed.folder == folder
        assert not (tmp_path / "out").exists()
        return
    (photo,) = [photo for photo in found.photos if photo.name not in ("a.jpg", "b.jpg", "c.jpg")]
    (copy,) = [copy for copy, shown in placed.names.items() if shown is photo]
    assert (copy, placed.names[copy]) == (case.copy, photo)
    assert (photo.height, photo.width) == case.shows.shape[:2]
    assert photo.alpha == (case.shows.shape[2] == 4)
    check_pixels(placed.folder / copy, case.shows, case.within)
    if placed.folder != folder:
        assert files(placed.folder) == sorted(placed.names)
        assert not list(tmp_path.glob(".*partial*"))


def check_pixels(file: Path, wanted: corpus.Pixels, within: float) -> None:
    """By Pillow, and by OpenCV as training reads photos."""
    with Image.open(file) as image:
        assert image.getexif().get(274, 1) not in range(2, 9)
        by_pillow = np.asarray(image.convert("RGBA" if wanted.shape[2] == 4 else "RGB"))
    by_opencv = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED)
    if by_opencv.ndim == 2:
        by_opencv = cv2.cvtColor(by_opencv, cv2.COLOR_GRAY2BGR)
    by_opencv = cv2.cvtColor(by_opencv, cv2.COLOR_BGRA2RGBA if wanted.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    for seen in (by_pillow, by_opencv):
        assert seen.dtype == np.uint8
        difference = np.abs(seen.astype(float) - wanted)
        if wanted.shape[2] == 4:
            difference = difference[wanted[..., 3] > 0]
        assert difference.mean() <= within


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF"])
def test_flipped_bytes_give_a_photo_or_a_warning(folder: Path, tmp_path: Path, format: str) -> None:
    """Seeded noise in headers and data; whatever is taken for whole can be written upright."""
    random = np.random.default_rng(len(format))
    data = corpus.encoded(corpus.picture(), format)
    for index in range(25):
        noisy = bytearray(data)
        for place in random.integers(0, len(data) if index % 2 else min(400, len(data)), random.integers(1, 12)):
            noisy[place] = random.integers(256)
        (folder / f"n{index}.jpg").write_bytes(noisy)
    found = capture.find(folder)
    assert 3 <= len(found.photos) + len(found.unreadable) <= 28
    placed = capture.upright(found.photos, tmp_path / "out")
    masks.place(placed, tmp_path / "features", tmp_path / "masks")
    for name in placed.names:
        with Image.open(placed.folder / name) as image:
            image.load()
