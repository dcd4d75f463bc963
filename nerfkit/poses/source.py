"""What poses are asked for becomes a folder of photos: a video's frames are taken out, panoramas split into views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nerfkit.cache import Cache, key_of
from nerfkit.capture import decode, panorama, photos, video
from nerfkit.capture.photos import Photos
from nerfkit.errors import NerfkitError
from nerfkit.poses.options import PoseOptions
from nerfkit.progress import ProgressSink

VERSION = 2  # of how frames and views are chosen and written; another one makes them anew


def photos_of(
    given: Path, out: Path, options: PoseOptions, claim: Callable[[Path, Path], None], progress: ProgressSink
) -> Photos:
    """The photos in the folder ``given``, the frames of the video ``given``, or the views of such panoramas.

    Frames and views lie in ``out/photos``. ``claim`` takes ``out`` for a source, once that is known to be readable.
    Frames are ordered. What was taken out of the same content with the same options before is not taken out again.

    Raises:
        NerfkitError: a number of frames of what is no video; what :func:`photos.find`, :func:`video.extract`,
            :func:`panorama.split` and ``claim`` say.
    """
    cache, folder = Cache(out / ".cache"), out / "photos"
    if not video.is_video(given):
        if options.frames is not None and given.is_dir():
            raise NerfkitError(f"{given}: a folder has no frames to choose from, a video has; leave --frames out")
        found = photos.find(given, progress, options.masks)
        around = panorama.are_panoramas(found.photos, options.camera_model)
        claim(out, found.folder)
        return _views(found, folder, cache, progress) if around else found
    around = decode.header(given).spherical or options.camera_model == panorama.MODEL
    claim(out, given)
    frames = out / ".cache" / "frames" if around else folder
    key = _frames_key(given, options.frames)
    record = cache.get("frames", key)
    if record is None or not all((frames / name).is_file() for name in record["result"]["names"]):
        cache.drop("frames")
        names = video.extract(given, frames, options.frames, progress)
        cache.put("frames", key, 0, {"names": names})
    found = replace(photos.find(frames, progress), ordered=True)
    if around:
        panorama.are_panoramas(found.photos, panorama.MODEL)
        return _views(found, folder, cache, progress)
    return found


def has_frames(out: Path, given: Path, frames: int | None) -> bool:
    """Whether the poses in ``out`` are of these ``frames`` (as the option has them) of the video ``given``."""
    return Cache(out / ".cache").get("frames", _frames_key(given, frames)) is not None


def _frames_key(given: Path, frames: int | None) -> str:
    return key_of(version=VERSION, video=video.digest(given), frames=frames)


def _views(found: Photos, folder: Path, cache: Cache, progress: ProgressSink) -> Photos:
    """The perspective views of panoramas, in ``folder``."""
    key = key_of(version=VERSION, photos=[(photo.name, photo.digest) for photo in found.photos])
    rig = panorama.rig(found.photos[0].width)
    record = cache.get("views", key)
    if record is None or not all((folder / name).is_file() for name in record["result"]["names"]):
        cache.drop("views")
        panorama.split(found.photos, folder, progress)
        cache.put("views", key, 0, {"names": sorted(file.name for file in folder.iterdir())})
    split = photos.find(folder, progress)
    return replace(split, unreadable=found.unreadable, ordered=found.ordered, rig=rig)
