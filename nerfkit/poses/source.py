"""What poses are asked for becomes a folder of photos: a video's frames are taken out first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nerfkit.capture import decode, photos, video
from nerfkit.capture.photos import Photos
from nerfkit.poses.options import PoseOptions
from nerfkit.poses.stage import Cache, key_of
from nerfkit.progress import ProgressSink

VERSION = 1  # of how frames are chosen and written; another one makes them anew


def photos_of(
    given: Path, out: Path, options: PoseOptions, claim: Callable[[Path, Path], None], progress: ProgressSink
) -> Photos:
    """The photos in the folder ``given``, or the frames of the video ``given``, which go into ``out/photos``.

    ``claim`` takes ``out`` for a source, once that is known to be readable. Frames are ordered, and are taken out
    again only if the video's content or the number of frames asked for has changed.

    Raises:
        NerfkitError: what :func:`photos.find`, :func:`video.extract` and ``claim`` say.
    """
    if not video.is_video(given):
        found = photos.find(given, progress, options.masks)
        claim(out, found.folder)
        return found
    decode.header(given)
    claim(out, given)
    cache, folder = Cache(out / ".cache"), out / "photos"
    key = key_of(version=VERSION, video=video.digest(given), frames=options.frames)
    record = cache.get("frames", key)
    if record is None or not all((folder / name).is_file() for name in record["result"]["names"]):
        cache.drop("frames")
        names = video.extract(given, folder, options.frames, progress)
        cache.put("frames", key, 0, {"names": names})
    return replace(photos.find(folder, progress), ordered=True)
