"""What poses are asked for becomes a folder of photos: videos' frames are taken out, panoramas split into views."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nerfkit.cache import Cache, key_of
from nerfkit.capture import decode, panorama, photos, video
from nerfkit.capture.decode import UnusableVideo
from nerfkit.capture.known import Known
from nerfkit.capture.photos import Photos
from nerfkit.capture.walk import Found, shown
from nerfkit.errors import NerfkitError
from nerfkit.poses.options import PoseOptions
from nerfkit.progress import ProgressSink

VERSION = 2  # of how frames and views are chosen and written; another one makes them anew
Claim = Callable[[Path, Path], None]

log = logging.getLogger("nerfkit")


def photos_of(given: Path, out: Path, options: PoseOptions, claim: Claim, progress: ProgressSink) -> Photos:
    """The photos in the folder ``given`` with the frames of its videos, the frames of the video ``given``, or the views
    of such panoramas.

    Frames and views lie in ``out/photos``. ``claim`` takes ``out`` for a source, once that is known to be readable.
    Frames are ordered. What was taken out of the same content with the same options before is not taken out again, and
    what was read is not decoded again.

    Raises:
        NerfkitError: a number of frames of what is no video; what :func:`photos.find`, :func:`video.extract`,
            :func:`panorama.split` and ``claim`` say.
    """
    cache, key = Cache(out / ".cache"), key_of(version=Known.VERSION)
    earlier = (cache.get("read", key) or {}).get("result")
    known = Known(earlier)
    found = _photos_of(given, out, options, claim, progress, known)
    if known.to_json() != earlier:
        cache.put("read", key, 0, known.to_json())
    return found


def _photos_of(
    given: Path, out: Path, options: PoseOptions, claim: Claim, progress: ProgressSink, known: Known
) -> Photos:
    if video.is_video(given):
        return _of_film(given, out, options, claim, progress, known)
    films = photos.films(given)
    if films:
        return _of_films(given, films, out, options, claim, progress, known)
    if options.frames is not None and given.is_dir():
        raise NerfkitError(f"{given}: a folder has no frames to choose from, a video has; leave --frames out")
    found = photos.find(given, progress, options.masks, known=known)
    around = panorama.are_panoramas(found.photos, options.camera_model)
    claim(out, found.folder)
    return _views(found, out / "photos", Cache(out / ".cache"), progress, known) if around else found


def has_frames(out: Path, given: Path, frames: int | None) -> bool:
    """Whether the poses in ``out`` are of these ``frames`` (as the option has them) of the video ``given``, or of all
    in that folder that there are frames of: others were left out."""
    cache = Cache(out / ".cache")
    if video.is_video(given):
        return cache.get("frames", _frames_key(given, frames)) is not None
    films = photos.films(given)
    most = _most_of_each(films)
    of_films = [film for film in films if cache.has(_stage(film))]
    keys = [(_stage(film), _frames_key(film.path, frames, most)) for film in of_films]
    return bool(keys) and all(cache.get(stage, key) is not None for stage, key in keys)


def _of_film(
    given: Path, out: Path, options: PoseOptions, claim: Claim, progress: ProgressSink, known: Known
) -> Photos:
    cache, folder = Cache(out / ".cache"), out / "photos"
    around = decode.header(given).spherical or options.camera_model == panorama.MODEL
    claim(out, given)
    frames = out / ".cache" / "frames" if around else folder
    _extract(given, frames, cache, "frames", options.frames, video.MOST, progress)
    found = replace(photos.find(frames, progress, known=known), ordered=True)
    if around:
        panorama.are_panoramas(found.photos, panorama.MODEL)
        return _views(found, folder, cache, progress, known)
    return found


def _of_films(
    given: Path, films: Sequence[Found], out: Path, options: PoseOptions, claim: Claim, progress: ProgressSink,
    known: Known,
) -> Photos:  # fmt: skip
    """The frames of several videos, each in a folder of its name, and the photos beside them.

    What is no good of the videos is left out with a warning, as photos are.
    """
    stills = None
    if photos.has_photos(given):
        stills = photos.find(given, progress, options.masks, fewest=0, known=known)
    _check_flat(given, stills, options)
    unreadable: list[str] = []
    good = []
    for film in films:
        try:
            if decode.header(film.path).spherical:
                raise UnusableVideo(
                    f"{shown(film.path)}: is a 360-degree video, which goes alone; give the file itself"
                )
            good.append(film)
        except UnusableVideo as error:
            _leave_out(film, error, unreadable)
    claim(out, given if stills is None else stills.folder)
    cache = Cache(out / ".cache")
    folder = out / "photos" if stills is None else out / ".cache" / "frames"
    most = _most_of_each(films)
    taken = []
    for film in good:
        try:
            _extract(film.path, folder / film.name, cache, _stage(film), options.frames, most, progress)
            taken.append(film)
        except UnusableVideo as error:
            _leave_out(film, error, unreadable)
    _keep_only(folder, [film.name for film in taken])
    frames = photos.find(folder, progress, fewest=0, known=known) if taken else Photos(folder, [], [])
    stills = stills or Photos(given, [], [])
    found = sorted([*stills.photos, *frames.photos], key=lambda photo: photo.name)
    if len(found) < photos.FEWEST:
        raise NerfkitError(
            f"{shown(given)}: only {len(found)} readable photos and frames of videos; poses need at least "
            f"{photos.FEWEST} that overlap, 20 to 200 are a good number"
        )
    log.info("%d frames of %d videos, and %d photos", len(frames.photos), len(taken), len(stills.photos))
    ordered = not stills.photos
    return Photos(stills.folder, found, sorted([*stills.unreadable, *unreadable]), stills.duplicates, ordered)


def _check_flat(given: Path, stills: Photos | None, options: PoseOptions) -> None:
    """Raises NerfkitError: panoramas, which don't go together with videos."""
    asked = options.camera_model == panorama.MODEL
    if asked or (stills and stills.photos and panorama.are_panoramas(stills.photos, options.camera_model)):
        raise NerfkitError(
            f"{shown(given)}: holds videos, and 360-degree panoramas go alone; put them into a folder of their own, "
            "or give one such video itself"
        )


def _leave_out(film: Found, error: UnusableVideo, unreadable: list[str]) -> None:
    log.warning("%s", f"left out: {error}")
    unreadable.append(film.name)


def _most_of_each(films: Sequence[Found]) -> int:
    """Frames of each of several videos, where that is left to us: together as many as of one."""
    return max(video.FEW, video.MOST // max(1, len(films)))


def _stage(film: Found) -> str:
    return f"frames-{key_of(name=film.name)[:12]}"


def _frames_key(film: Path, frames: int | None, most: int = video.MOST) -> str:
    limit = {"most": most} if frames is None and most != video.MOST else {}
    return key_of(version=VERSION, video=video.digest(film), frames=frames, **limit)


def _extract(
    film: Path, folder: Path, cache: Cache, stage: str, count: int | None, most: int, progress: ProgressSink
) -> None:
    """Writes a video's frames into ``folder``, unless they are there."""
    key = _frames_key(film, count, most)
    record = cache.get(stage, key)
    if record is None or not all((folder / name).is_file() for name in record["result"]["names"]):
        cache.drop(stage)
        names = video.extract(film, folder, count, progress, most)
        cache.put(stage, key, 0, {"names": names})


def _keep_only(folder: Path, names: Sequence[str]) -> None:
    """Removes the frames of videos that are no longer there."""
    kept = [folder / name for name in names]
    for path in sorted(folder.rglob("*"), reverse=True) if folder.is_dir() else ():
        if any(path == one or path in one.parents or one in path.parents for one in kept):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _views(found: Photos, folder: Path, cache: Cache, progress: ProgressSink, known: Known) -> Photos:
    """The perspective views of panoramas, in ``folder``."""
    key = key_of(version=VERSION, photos=[(photo.name, photo.digest) for photo in found.photos])
    rig = panorama.rig(found.photos[0].width)
    record = cache.get("views", key)
    if record is None or not all((folder / name).is_file() for name in record["result"]["names"]):
        cache.drop("views")
        panorama.split(found.photos, folder, progress)
        cache.put("views", key, 0, {"names": sorted(file.name for file in folder.iterdir())})
    split = photos.find(folder, progress, known=known)
    return replace(split, unreadable=found.unreadable, ordered=found.ordered, rig=rig)
