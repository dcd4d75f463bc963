"""Photos from a video: sharp frames, evenly spread over the motion, none twice."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nerfkit.capture import decode
from nerfkit.capture.decode import Header, Picture
from nerfkit.capture.motion import LONGEST, Meter, Track
from nerfkit.capture.walk import VIDEO_SUFFIXES
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.progress import ProgressSink, quiet

FEWEST = 3
STEP = 0.04  # of the picture's longer side, that it moves from one chosen frame to the next
NEAR = 0.005  # frames that moved less than this show the same
MOST = 300  # frames that are chosen where their number is left to us
FEW = 40  # frames a video with little motion still gives
_QUALITY = 95
_NEIGHBOURS = 15  # frames on each side that sharpness is relative to
_OFF_CENTRE = 0.25  # what a frame's sharpness loses at the edge of its stretch of motion

log = logging.getLogger("nerfkit")


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def digest(video: Path) -> str:
    """Of the file's content.

    Raises:
        NerfkitError: no such file, or it cannot be read.
    """
    try:
        with video.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise NerfkitError(f"{video}: cannot be read ({error.strerror}); check the path of the video") from None


def extract(
    video: Path, folder: Path, count: int | None = None, progress: ProgressSink = quiet, most: int = MOST
) -> list[str]:
    """Writes about ``count`` frames of ``video`` into ``folder`` as JPEG files, whose names it gives.

    Every frame is looked at in small in one pass, then the chosen ones are decoded at full size: upright, in 8-bit
    sRGB. ``folder`` appears whole or not at all. Names sort in time: ``frame_<number>.jpg``, counted from 0.

    Args:
        count: default: one for every 4 % of the picture's longer side that it moves, 40 to ``most``.
        progress: hears of the stages ``frames``, those looked at, and ``photos of frames``, those written.

    Raises:
        UnusableVideo: not a readable video, or the camera hardly moves.
        NerfkitError: ``count`` below three; no space left.
    """
    if count is not None and count < FEWEST:
        raise NerfkitError(f"--frames {count}: poses need at least {FEWEST} frames, 60 to 300 are a good number")
    about = decode.header(video)
    track = look(video, about, progress)
    chosen = choose(track, count, most)
    if len(chosen) < FEWEST:
        raise decode.UnusableVideo(
            f"{video}: only {len(chosen)} of its {len(track.position)} frames differ, poses need at least {FEWEST}; "
            "walk around the subject while you film it"
        )
    _warn(video, about, track)
    digits = max(5, len(str(len(track.position))))
    names = {f"frame_{number:0{digits}d}.jpg": number for number in chosen}
    _write(video, about, folder, names, progress)
    return list(names)


def look(video: Path, about: Header, progress: ProgressSink = quiet) -> Track:
    """Sharpness and motion of every frame."""
    meter = Meter()
    total = about.expected
    for number, frame in enumerate(decode.small_gray(video, LONGEST), 1):
        meter.add(frame)
        progress("frames", number, max(total, number + 1))
    track = meter.track()
    progress("frames", len(track.position), len(track.position))
    return track


def choose(track: Track, count: int | None = None, most: int = MOST) -> list[int]:
    """Numbers of about ``count`` frames: the sharpest of every stretch in which the picture moves equally far.

    Each scene between cuts gets frames by its share of the motion, one at least. Frames that moved less than
    :data:`NEAR` from the one chosen before are left out.
    """
    starts = [0, *track.cuts]
    scenes = list(zip(starts, [*track.cuts, len(track.position)]))
    motion = [track.position[end - 1] - track.position[start] for start, end in scenes]
    if count is None:
        count = int(np.clip(round(sum(motion) / STEP), FEW, most))
    sharpness = relative(track.sharpness)
    chosen: list[int] = []
    for (start, end), length in zip(scenes, motion):
        share = max(1, round(count * length / sum(motion))) if sum(motion) > 0 else 1
        stretches = min(share, int(length / NEAR) + 1)
        picks = _sharpest(track.position[start:end], sharpness[start:end], stretches)
        chosen += [start + pick for pick in _apart(picks, track.position[start:end])]
    return chosen


def relative(sharpness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sharpness [N] over the median of the frames around: 1 is usual there, a blurred frame has less."""
    around = np.pad(sharpness, _NEIGHBOURS, mode="reflect" if len(sharpness) > _NEIGHBOURS else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(around, 2 * _NEIGHBOURS + 1)
    return sharpness / np.maximum(np.median(windows, 1), 1e-9)


def _sharpest(position: NDArray[np.float64], sharpness: NDArray[np.float64], stretches: int) -> list[int]:
    """Of each of equally long stretches of ``position`` [N] the sharpest frame; those near its middle come first."""
    length = max(float(position[-1] - position[0]), 1e-9) / stretches
    place = (position - position[0]) / length
    stretch = np.minimum(place.astype(int), stretches - 1)
    score = sharpness * (1 - _OFF_CENTRE * (2 * (place - stretch) - 1) ** 2)
    members = [np.flatnonzero(stretch == number) for number in np.unique(stretch)]
    return [int(frames[np.argmax(score[frames])]) for frames in members]


def _apart(picks: Sequence[int], position: NDArray[np.float64]) -> list[int]:
    kept = list(picks[:1])
    for pick in picks[1:]:
        if position[pick] - position[kept[-1]] >= NEAR:
            kept.append(pick)
    return kept


def _warn(video: Path, about: Header, track: Track) -> None:
    found = len(track.position)
    if found < 0.9 * about.expected:
        log.warning(
            "%s: breaks off after %d of about %d frames, only these are used; copy it again if it should be longer",
            video, found, about.expected,
        )  # fmt: skip
    if track.cuts:
        places = ", ".join(_place(number, about) for number in track.cuts[:6]) + (" …" if len(track.cuts) > 6 else "")
        log.warning(
            "%s: the picture changes at once at %s: a cut, or a movement too fast to follow; what was filmed before and"
            " after it fits together only where it shows the same things",
            video, places,
        )  # fmt: skip


def _place(number: int, about: Header) -> str:
    return f"{number / about.fps:.1f} s" if about.fps else f"frame {number}"


def _write(video: Path, about: Header, folder: Path, names: dict[str, int], progress: ProgressSink) -> None:
    with atomic(folder) as partial:
        partial.mkdir(parents=True)
        with ThreadPoolExecutor(1) as pool:  # encodes one while the next is decoded
            waiting = None
            pictures = decode.selected(video, about, list(names.values()))
            for done, (name, picture) in enumerate(zip(names, pictures), 1):
                if waiting is not None:
                    waiting.result()
                waiting = pool.submit(_save, picture, partial / name)
                progress("photos of frames", done, len(names))
            if waiting is not None:
                waiting.result()
        if len(list(partial.iterdir())) < len(names):
            raise NerfkitError(f"{video}: changed while it was read; run the command again")


def _save(picture: Picture, target: Path) -> None:
    from PIL import Image

    Image.fromarray(picture).save(target, quality=_QUALITY)  # chroma at half size, as videos have it
