"""Pictures of a video, one after the other, by ffmpeg: what its header says, and its frames as arrays."""

from __future__ import annotations

import logging
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from nerfkit.errors import NerfkitError

log = logging.getLogger("nerfkit")

Picture = NDArray[np.uint8]  # [H, W] gray, or [H, W, 3] sRGB

_HDR = {"smpte2084": "smpte2084", "arib-std-b67": "arib-std-b67"}  # transfer functions: PQ and HLG
_MATRICES = ("bt709", "smpte170m", "bt470bg", "bt2020", "smpte240m", "fcc", "gbr")
_SD_HEIGHT = 576  # pixels of the shorter side; players take larger untagged video for BT.709, smaller for BT.601
_SQUARE = "scale=w='trunc(iw*max(sar,1)+0.5)':h='trunc(ih*max(1/sar,1)+0.5)':flags=bicubic,setsar=1"  # none lost
_REFERENCE_WHITE = 203  # cd/m2 of diffuse white in HDR video: ITU-R BT.2408


class UnusableVideo(NerfkitError):
    """A video that gives no photos, whatever is done with it."""


@dataclass(frozen=True)
class Header:
    """What a video's header says."""

    width: int  # pixels, as stored
    height: int
    fps: float  # on average; 0 where unknown
    seconds: float  # 0 where unknown
    transfer: str  # smpte2084 (PQ) or arib-std-b67 (HLG) of HDR video, else empty
    tagged: bool  # whether it names its colour matrix
    spherical: bool  # an equirectangular 360-degree video by its metadata
    square: bool  # whether its pixels are
    interlaced: bool

    @property
    def expected(self) -> int:
        """About how many frames it has; 0 where unknown."""
        return round(self.fps * self.seconds)


def header(video: Path) -> Header:
    """Reads the header of ``video``.

    Raises:
        UnusableVideo: no such file, empty, no video in it (sound alone), or no video file at all.
    """
    if not video.is_file():
        raise UnusableVideo(f"{video}: no such file; check the path of the video")
    if video.stat().st_size == 0:
        raise UnusableVideo(f"{video}: an empty file; copy the video again")
    done = subprocess.run([_ffmpeg(), "-hide_banner", "-i", _url(video)], capture_output=True, stdin=subprocess.DEVNULL)
    words = done.stderr.decode(errors="replace")
    streams = [line for line in words.splitlines() if re.match(r"\s*Stream #", line)]
    if not streams:
        raise UnusableVideo(f"{video}: cannot be read as a video ({_reason(words)}); copy or export it again")
    line = next((line for line in streams if "Video:" in line and "(attached pic)" not in line), None)
    if line is None:
        raise UnusableVideo(f"{video}: has no pictures, only {_kinds(streams)}; give a video")
    size = re.search(r"[ ,](\d{2,5})x(\d{2,5})", line)
    if size is None:
        raise UnusableVideo(f"{video}: its pictures have no size; it is damaged: copy or export it again")
    rate = re.search(r"([\d.]+)(k?) fps", line) or re.search(r"([\d.]+)(k?) tbr", line)
    length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", words)
    return Header(
        int(size[1]),
        int(size[2]),
        float(rate[1]) * (1000 if rate[2] else 1) if rate else 0.0,
        3600 * int(length[1]) + 60 * int(length[2]) + float(length[3]) if length else 0.0,
        next((name for name in _HDR if name in line), ""),
        any(name in line for name in _MATRICES),
        "spherical: equirectangular" in words.lower(),
        re.search(r"\bSAR (\d+):(?!\1\b)", line) is None,
        re.search(r"\b(top|bottom)( coded)? first\b", line) is not None,
    )


def small_gray(video: Path, longest: int) -> Iterator[Picture]:
    """Every frame of ``video`` as [H, W] uint8, shrunk to ``longest`` pixels at most, upright. See :func:`stream`."""
    longer = f"min({longest},max(iw,ih))"
    size = f"scale=w='if(gte(iw,ih),{longer},-2)':h='if(gte(iw,ih),-2,{longer})':flags=area"
    yield from stream(video, f"{size},format=gray", "pgm")


def selected(video: Path, about: Header, numbers: list[int]) -> Iterator[Picture]:
    """The frames of those numbers, ascending, as [H, W, 3] uint8 sRGB at full size, upright, with square pixels and
    without the combs of interlacing. See :func:`stream`."""
    filters = [
        *(["bwdif=mode=send_frame:deint=interlaced"] if about.interlaced else []),  # looks at neighbours in time
        f"select='{_one_of(numbers)}'",
        *([] if about.square else [_SQUARE]),
        _to_srgb(about),
    ]
    yield from stream(video, ",".join(filters), "ppm", len(numbers))


def stream(video: Path, filters: str, codec: str, count: int | None = None) -> Iterator[Picture]:
    """Decoded frames through ffmpeg's ``filters``, none doubled or dropped for a constant rate, turned as the
    video's display matrix says. ``codec``: pgm or ppm.

    At most one frame is in memory.

    Raises:
        UnusableVideo: nothing can be decoded. A video that breaks off gives what it has.
    """
    command = [
        _ffmpeg(), "-nostdin", "-v", "error", "-i", _url(video), "-map", "0:V:0", "-vf", filters,
        "-fps_mode", "passthrough", *([] if count is None else ["-frames:v", str(count)]),
        "-f", "image2pipe", "-c:v", codec, "-",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as words:
        # In a session of its own Ctrl-C reaches us alone, and we end the decoder.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words, start_new_session=True)
        assert process.stdout is not None
        given = 0
        try:
            while (picture := _read(process.stdout)) is not None:
                given += 1
                yield picture
            process.wait()
        finally:
            process.stdout.close()
            process.kill()
            process.wait()
        if given == 0:
            words.seek(0)
            reason = _reason(words.read().decode(errors="replace"))
            raise UnusableVideo(f"{video}: no picture of it can be decoded ({reason}); copy or export it again")


def _read(pipe: IO[bytes]) -> Picture | None:
    """One PGM or PPM as ffmpeg writes them: ``P5|P6``, size and maximum on a line each."""
    kind = pipe.readline()
    if not kind:
        return None
    width, height = map(int, pipe.readline().split())
    pipe.readline()
    shape = (height, width) if kind.startswith(b"P5") else (height, width, 3)
    data = bytearray(int(np.prod(shape)))
    flat = memoryview(data)
    filled = 0
    while filled < len(flat):
        count = pipe.readinto(flat[filled:])  # type: ignore[attr-defined]
        if not count:
            return None
        filled += count
    return np.frombuffer(data, np.uint8).reshape(shape)


def _one_of(numbers: list[int]) -> str:
    """Whether the frame's number is among ``numbers``, by bisection: ffmpeg takes no sum of hundreds of terms."""
    if len(numbers) == 1:
        return f"eq(n,{numbers[0]})"
    middle = len(numbers) // 2
    return f"if(lt(n,{numbers[middle]}),{_one_of(numbers[:middle])},{_one_of(numbers[middle:])})"


def _to_srgb(about: Header) -> str:
    """Filters to 8-bit RGB: HDR is tone mapped with diffuse white kept near white, other videos by their matrix."""
    if about.transfer and not _has_zscale():
        log.warning("HDR video: this ffmpeg lacks the filter zscale, so its photos will look pale")
    elif about.transfer:
        return (
            f"setparams=color_primaries=bt2020:color_trc={about.transfer}:colorspace=bt2020nc,"
            f"zscale=t=linear:npl={_REFERENCE_WHITE},format=gbrpf32le,zscale=p=bt709,"
            "tonemap=mobius:desat=0,zscale=t=bt709:m=bt709:r=pc,format=rgb24"
        )
    if not about.tagged and min(about.width, about.height) > _SD_HEIGHT:
        return "scale=in_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24"
    return "scale=flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24"


def _has_zscale() -> bool:
    done = subprocess.run([_ffmpeg(), "-hide_banner", "-filters"], capture_output=True, text=True)
    return " zscale " in done.stdout


def _ffmpeg() -> str:
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _url(video: Path) -> str:
    return f"file:{video.resolve()}"  # so that no name is taken for an option or a protocol


def _kinds(streams: list[str]) -> str:
    kinds = sorted({kind for line in streams for kind in re.findall(r": (Audio|Subtitle|Data|Video):", line)})
    return " and ".join({"Audio": "sound", "Video": "a cover picture"}.get(kind, kind.lower()) for kind in kinds)


def _reason(words: str) -> str:
    """The telling line of ffmpeg's words."""
    lines = [re.sub(r"^\[[^]]*\]\s*", "", line.strip()) for line in words.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"not found|invalid|error|truncated|corrupt|no such", line, re.I)]
    return (telling or lines or ["no reason given"])[0].split(": ")[-1][:120]
