"""Frames of videos: which are chosen, how they are written, and what is said of videos that are no good."""

from __future__ import annotations

import logging
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from films import FFMPEG, HEIGHT, WIDTH, Image, encode, glide, remux, texture
from PIL import Image as Pillow

from nerfkit import poses
from nerfkit.capture import decode, photos, video
from nerfkit.capture.motion import Track
from nerfkit.errors import NerfkitError
from nerfkit.poses import source
from nerfkit.progress import quiet

STILL, SLOW, FAST = 30, 60, 30  # frames of each part
PLACES = np.cumsum([0.0] * STILL + [2.0] * SLOW + [6.0] * FAST)  # columns: 120 pixels slowly, then 180 fast
BLURRED = [number for number in range(STILL, len(PLACES)) if number % 3 == 0]


def pixels(file: Path) -> Image:
    with Pillow.open(file) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Held still for a second, then a slow part and one three times as fast, each third frame blurred."""
    return encode(tmp_path_factory.mktemp("video") / "walk.mp4", glide(texture(1), PLACES, BLURRED))


@pytest.fixture(scope="session")
def track(walk: Path) -> Track:
    return video.look(walk, decode.header(walk))


def test_motion_is_what_the_window_moved(track: Track) -> None:
    assert len(track.position) == len(PLACES)
    assert track.cuts == []
    assert np.abs(track.position * WIDTH - PLACES).max() < 3


def test_sharp_frames_are_chosen_evenly_over_the_motion(track: Track) -> None:
    chosen = video.choose(track, 24)
    assert 22 <= len(chosen) <= 24
    assert not set(chosen) & set(BLURRED)
    steps = np.diff(PLACES[chosen])
    assert 0.3 * PLACES[-1] / 24 < steps.min() and steps.max() < 2 * PLACES[-1] / 24
    slow = sum(number < STILL + SLOW for number in chosen)
    assert abs(slow / len(chosen) - 120 / 300) < 0.1


def test_a_camera_held_still_gives_one_frame_at_most(track: Track) -> None:
    for count in (24, 300):
        assert sum(number < STILL for number in video.choose(track, count)) <= 1
    chosen = video.choose(track, 300)  # more than there are frames that differ
    assert len(chosen) <= len(set(PLACES.tolist()))
    assert np.diff(track.position[chosen]).min() >= video.NEAR


def test_the_number_of_frames_follows_the_motion(track: Track) -> None:
    assert 35 <= len(video.choose(track)) <= 40  # 0.94 of the width
    far = Track(np.ones(2000), np.linspace(0, 6, 2000), [])
    assert len(video.choose(far)) == round(6 / video.STEP)
    farther = Track(np.ones(20000), np.linspace(0, 60, 20000), [])
    assert len(video.choose(farther)) == video.MOST


def test_a_trembling_hand_is_no_motion(tmp_path: Path) -> None:
    places = 40 + 2 * np.sin(np.arange(60))
    still = encode(tmp_path / "still.mp4", glide(texture(1), places))
    with pytest.raises(NerfkitError, match=r"still.mp4: only \d of its 60 frames differ, .* walk around the subject"):
        video.extract(still, tmp_path / "photos")
    assert not (tmp_path / "photos").exists()


def test_a_cut_is_told_and_a_flash_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def frames() -> list[Image]:
        one, two = texture(1), texture(2)
        shots = [*glide(one, np.arange(0, 80, 2)), *glide(two, np.arange(0, 80, 2))]
        shots[15] = np.full_like(shots[15], 250)
        return shots

    film = encode(tmp_path / "cut.mp4", frames())
    track = video.look(film, decode.header(film))
    assert track.cuts == [40]
    chosen = video.choose(track, 20)
    assert 15 not in chosen
    assert 8 <= sum(number < 40 for number in chosen) <= 12
    with caplog.at_level(logging.WARNING, "nerfkit"):
        video.extract(film, tmp_path / "photos", 20)
    assert "the picture changes at once at 1.3 s: a cut" in caplog.text


def test_the_files_are_the_frames_that_their_names_say(walk: Path, tmp_path: Path) -> None:
    stages: dict[str, tuple[int, int]] = {}
    names = video.extract(
        walk, tmp_path / "photos", 12, lambda stage, done, total: stages.update({stage: (done, total)})
    )
    assert names == sorted(names) == sorted(file.name for file in (tmp_path / "photos").iterdir())
    truth = list(glide(texture(1), PLACES, BLURRED))
    for name in names:
        picture = pixels(tmp_path / "photos" / name).astype(float)
        error = [np.abs(picture - frame).mean() for frame in truth[STILL - 1 :]]
        number = int(name.removeprefix("frame_").removesuffix(".jpg"))
        assert max(0, number - STILL + 1) == int(np.argmin(error))
        assert min(error) < 4
    assert stages == {"frames": (120, 120), "photos of frames": (len(names), len(names))}
    found = photos.find(tmp_path / "photos")
    assert len(photos.camera_groups(found.photos)) == 1


def corners(picture: Image) -> list[str]:
    """The nearest of red, green, blue and gray at the four corners, clockwise from top left."""
    palette = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "gray": (128, 128, 128)}
    spots = [picture[8, 8], picture[8, -8], picture[-8, -8], picture[-8, 8]]
    return [min(palette, key=lambda name: np.abs(spot - np.array(palette[name])).sum()) for spot in spots]


def marked(frame: Image) -> Image:
    frame = frame.copy()
    frame[:24, :24], frame[:24, -24:], frame[-24:, -24:] = (220, 30, 30), (30, 200, 30), (30, 30, 220)
    frame[-24:, :24] = 128
    return frame


@pytest.mark.parametrize(("turn", "clockwise"), [(0, 0), (90, 3), (180, 2), (270, 1)])
def test_the_display_matrix_is_applied_once(tmp_path: Path, turn: int, clockwise: int) -> None:
    """ffmpeg's -display_rotation turns counterclockwise."""
    plain = encode(tmp_path / "plain.mp4", (marked(frame) for frame in glide(texture(3), np.arange(0, 60, 2))))
    film = remux(plain, tmp_path / "turned.mov", ["-display_rotation", str(turn)])
    names = video.extract(film, tmp_path / "photos", 8)
    picture = pixels(tmp_path / "photos" / names[0])
    assert picture.shape[:2] == ((WIDTH, HEIGHT) if turn in (90, 270) else (HEIGHT, WIDTH))
    original = ["red", "green", "blue", "gray"]
    assert corners(picture) == original[len(original) - clockwise :] + original[: len(original) - clockwise]
    assert photos.find(tmp_path / "photos").photos[0].orientation == 1


def test_pixels_become_square(tmp_path: Path) -> None:
    narrow = encode(
        tmp_path / "narrow.mp4", glide(texture(1), np.arange(0, 60, 2)), "-vf", "scale=240:192,setsar=4/3", "-crf", "10"
    )
    about = decode.header(narrow)
    assert (about.width, about.height, about.square) == (240, HEIGHT, False)
    (picture,) = decode.selected(narrow, about, [20])
    shown = next(iter(glide(texture(1), [40])))
    assert picture.shape == shown.shape
    assert np.abs(picture.astype(float) - shown).mean() < 6
    turned = remux(narrow, tmp_path / "turned.mp4", ["-display_rotation", "90"])
    assert next(decode.selected(turned, decode.header(turned), [20])).shape[:2] == (WIDTH, HEIGHT)


def test_interlaced_frames_have_no_combs(tmp_path: Path) -> None:
    film = encode(
        tmp_path / "film.mp4", glide(texture(1), np.arange(0, 240, 6)),
        "-vf", "tinterlace=interleave_top", "-flags", "+ilme+ildct", "-crf", "10", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    about = decode.header(film)
    assert about.interlaced and about.square
    (picture,) = decode.selected(film, about, [10])
    shown = next(iter(glide(texture(1), [120])))  # the upper field's time
    assert np.abs(picture.astype(float) - shown).mean() < 6
    (combed,) = decode.selected(film, replace(about, interlaced=False), [10])
    assert np.abs(combed.astype(float) - shown).mean() > 9


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".webm", ".m4v"])
def test_other_containers(tmp_path: Path, suffix: str) -> None:
    codec = {".webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-crf", "15", "-b:v", "0")}.get(suffix, ())
    film = encode(tmp_path / f"film{suffix}", glide(texture(1), np.arange(0, 60, 2)), *codec)
    assert 8 <= len(video.extract(film, tmp_path / "photos", 10)) <= 10


def test_a_variable_frame_rate_doubles_and_drops_nothing(tmp_path: Path) -> None:
    uneven = "select='not(mod(n,5)-1)+lt(n,30)',setpts='(N+N*N/20)/30/TB'"
    film = encode(
        tmp_path / "vfr.mkv", glide(texture(1), np.arange(0, 120, 2)), "-vf", uneven, "-fps_mode", "vfr", "-crf", "10"
    )
    places = [2 * number for number in range(60) if number < 30 or number % 5 == 1]
    track = video.look(film, decode.header(film))
    assert len(track.position) == len(places)
    assert np.abs(track.position * WIDTH - places).max() < 3
    names = video.extract(film, tmp_path / "photos", 10)
    number = int(names[-1].removeprefix("frame_").removesuffix(".jpg"))
    shown = next(iter(glide(texture(1), [places[number]])))
    assert np.abs(pixels(tmp_path / "photos" / names[-1]).astype(float) - shown).mean() < 4


@pytest.mark.parametrize("transfer", ["arib-std-b67", "smpte2084"])
def test_hdr_becomes_8_bit_with_its_middle_tones_kept(tmp_path: Path, transfer: str) -> None:
    """SDR pictures encoded as 10-bit HDR with white at 203 cd/m2 come back as they were, highlights aside."""
    hdr = (
        "format=gbrp,setparams=range=pc:color_primaries=bt709:color_trc=bt709:colorspace=gbr,"
        "zscale=t=linear:npl=203,format=gbrpf32le,"
        f"zscale=p=bt2020:t={transfer}:m=bt2020nc:r=tv:npl=203,format=yuv420p10le"
    )
    tags = ["-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc"]
    soft = texture(4) // 2 + 30
    film = encode(
        tmp_path / "hdr.mp4", glide(soft, np.arange(0, 60, 2)), "-vf", hdr, "-c:v", "libx265", "-crf", "8",
        "-x265-params", "log-level=error", *tags,
    )  # fmt: skip
    assert decode.header(film).transfer == transfer
    names = video.extract(film, tmp_path / "photos", 8)
    number = int(names[3].removeprefix("frame_").removesuffix(".jpg"))
    shown = next(iter(glide(soft, [2 * number]))).astype(float)
    picture = pixels(tmp_path / "photos" / names[3]).astype(float)
    assert abs(picture.mean() - shown.mean()) < 15
    assert np.corrcoef(picture.ravel(), shown.ravel())[0, 1] > 0.98


def test_untagged_hd_is_bt709_as_players_have_it(tmp_path: Path) -> None:
    color = np.zeros((720, 1280, 3), np.uint8) + np.array([200, 60, 40], np.uint8)
    film = encode(tmp_path / "hd.mp4", [color] * 2, "-vf", "scale=out_color_matrix=bt709,format=yuv420p", "-crf", "5")
    picture = next(decode.selected(film, decode.header(film), [0]))
    assert np.abs(picture.astype(int) - color).max() <= 4


def test_a_video_that_breaks_off_gives_what_it_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    film = encode(tmp_path / "film.mp4", glide(texture(1), np.arange(0, 400, 2)), "-crf", "10", "-g", "20",
                  "-pix_fmt", "yuv420p", "-movflags", "+faststart")  # fmt: skip
    film.write_bytes(film.read_bytes()[: int(0.6 * film.stat().st_size)])
    with caplog.at_level(logging.WARNING, "nerfkit"):
        names = video.extract(film, tmp_path / "photos", 12)
    assert len(names) >= 8
    assert "film.mp4: breaks off after" in caplog.text and "of about 200 frames" in caplog.text


def sound(path: Path) -> None:
    subprocess.run([FFMPEG, "-v", "error", "-f", "lavfi", "-i", "sine=duration=1", path], check=True)


def without_index(path: Path) -> None:
    encode(path, glide(texture(1), np.arange(0, 60, 2)))
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file; check the path of the video"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.write_bytes(np.random.default_rng(0).bytes(3000)), "cannot be read as a video"),
        (sound, "has no pictures, only sound"),
        (without_index, r"cannot be read as a video \(moov atom not found\); copy or export it again"),
        (lambda path: encode(path, glide(texture(1), [0.0, 9.0])), "only 2 of its 2 frames differ"),
    ],
)
def test_videos_that_are_no_good(tmp_path: Path, make: object, words: str) -> None:
    film = tmp_path / "-odd % film's.mp4"
    make(film)  # type: ignore[operator]
    with pytest.raises(NerfkitError, match=words) as raised:
        poses.estimate(film, tmp_path / "out")
    assert str(raised.value).startswith(f"{film}: ")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out" / "photos").exists()


def test_a_rerun_extracts_nothing_and_another_number_or_content_does(walk: Path, tmp_path: Path) -> None:
    film, out = tmp_path / "walk.mp4", tmp_path / "out"
    out.mkdir()
    shutil.copy(walk, film)
    stages: list[str] = []

    def take(count: int) -> set[str]:
        stages.clear()
        given = source.photos_of(
            film, out, poses.PoseOptions(frames=count), lambda *_: None, lambda stage, *_: stages.append(stage)
        )
        assert given.ordered
        assert [photo.name for photo in given.photos] == sorted(file.name for file in (out / "photos").iterdir())
        return set(stages)

    assert take(10) == {"frames", "photos of frames", "photos"}
    assert take(10) == {"photos"}
    assert "frames" in take(20)
    next((out / "photos").iterdir()).unlink()
    assert "frames" in take(20)
    encode(film, glide(texture(2), PLACES))
    assert "frames" in take(20)


def test_a_360_degree_video_becomes_views(tmp_path: Path) -> None:
    whole = texture(5, 200, 400)
    film = encode(tmp_path / "around.mp4", (np.roll(whole, 4 * step, 1) for step in range(30)))
    (tmp_path / "out").mkdir()
    found = source.photos_of(
        film, tmp_path / "out", poses.PoseOptions(camera_model="EQUIRECTANGULAR", frames=5), lambda *_: None, quiet
    )
    assert found.ordered and len(found.rig) >= 6
    assert 4 * len(found.rig) <= len(found.photos) <= 5 * len(found.rig)
    assert len({photo.name for photo in found.photos if photo.name.startswith(found.rig[0].prefix)}) >= 4
    assert {(photo.width, photo.height) for photo in found.photos} == {(found.rig[0].size,) * 2}


def test_hundreds_of_frames_are_selected_in_order(walk: Path) -> None:
    numbers = [0, *range(1, 120, 2), *range(5000, 6500)]
    given = list(decode.selected(walk, decode.header(walk), numbers))
    assert len(given) == 61


@pytest.mark.slow
def test_frames_of_real_photos_played_as_a_video_register(shared_data: Path, tmp_path: Path) -> None:
    """Phone photos in order, half of what a video would show between them left out."""
    shots = sorted((shared_data / "fox" / "images").glob("*.jpg"))[:24]
    film = encode(tmp_path / "fox.mp4", map(pixels, shots), "-crf", "14", "-pix_fmt", "yuv420p", fps=10)
    report = poses.estimate(film, tmp_path / "poses", poses.PoseOptions(quality="draft"))
    assert report.photos >= 15
    assert report.registered >= 0.95 * report.photos
    assert report.agreement > 0.9


def test_too_few_frames_asked_for(walk: Path, tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match="--frames 2: poses need at least 3 frames"):
        video.extract(walk, tmp_path / "photos", 2)
