"""How fast a run renders to files, and where the time goes.

    python scripts/bench_render.py RUN [--size 960x540] [--frames 120] [--rounds 3]
    python scripts/bench_render.py RUN --encoders [--size 960x540] [--frames 120]
    python scripts/bench_render.py RUN --memory [--frames 1000] [--size 480x270]
    python scripts/bench_render.py RUN --wide [--frames 4] [--size 2048x1024]

The first line is the command's own way, cameras to a finished MP4; the next ones are its parts alone: the model's
drawing, with all threads at each frame or a thread for each of several frames (as the command does it), and of the
former the operators; pictures to bytes; the encoder. Figures are per frame, medians of rounds in turns: seconds by the
clock, and CPU seconds of all threads and of the encoder, which tell more on a busy machine. --encoders compares what
the encoder could be told, on the same frames: PSNR of the decoded frames and bytes. --memory measures the process while
it writes one long video. --wide draws panoramas for one eye and for two: from pinhole pictures, and along rays where
the model can. The first frame of each prepares what the others share.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # before torch, as the command line has it (nerfkit/machine.py)

import imageio_ffmpeg
import numpy as np
import torch

from nerfkit.cli.render import parse_size
from nerfkit.contracts import Cameras, HasRays, SceneModel
from nerfkit.core import native_rasterize
from nerfkit.threads import in_order
from nerfkit.train.run import Run
from nerfkit.views import draw, frames, outputs, panorama, paths, video, writing
from nerfkit.views.lenses import Equirect
from nerfkit.views.outputs import Look
from nerfkit.views.request import Request

RGB: draw.Channels = frozenset({"rgb"})


def cpu_seconds() -> float:
    """Of this process and of those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    clock, cpu = time.perf_counter(), cpu_seconds()
    work()
    return time.perf_counter() - clock, cpu_seconds() - cpu


def whole(model: SceneModel, cameras: Cameras, out: Path) -> None:
    """As nerfkit render does it."""
    made = outputs.of_path(out, Look(["rgb"]), Request.of(cameras, {"time": time.time_ns()}), 30)
    writing.write(
        draw.of_model(model), cameras, made, at_once=writing.frames_at_once([model], cameras.width * cameras.height)
    )


def at_once(model: SceneModel, cameras: Cameras) -> None:
    """As many frames at once as the command draws."""
    drawings = in_order(
        lambda index: model.render(cameras[index], RGB),
        range(len(cameras)),
        writing.frames_at_once([model], cameras.width * cameras.height),
    )
    for _ in drawings:
        pass


def operators(model: SceneModel, cameras: Cameras) -> dict[str, float]:
    """Seconds by the clock in each operator of the Gaussians' rasterizer, per frame."""
    spent: dict[str, float] = defaultdict(float)
    plain = native_rasterize.call

    def watched(name: str, **arguments: Any) -> Any:
        start = time.perf_counter()
        result = plain(name, **arguments)
        spent[name] += time.perf_counter() - start
        return result

    native_rasterize.call = watched
    try:
        for index in range(len(cameras)):
            model.render(cameras[index], RGB)
    finally:
        native_rasterize.call = plain
    return {name: seconds / len(cameras) for name, seconds in spent.items()}


def speed(model: SceneModel, cameras: Cameras, folder: Path, rounds: int) -> None:
    count = len(cameras)
    drawn = [model.render(cameras[index], RGB) for index in range(count)]
    images = [frames.pixels(one, "rgb") for one in drawn]
    parts: dict[str, Callable[[], object]] = {
        "cameras to MP4": lambda: whole(model, cameras, folder / "whole.mp4"),
        "drawing": lambda: [model.render(cameras[index], RGB) for index in range(count)],
        "drawing, a frame a thread": lambda: at_once(model, cameras),
        "to bytes": lambda: [frames.pixels(one, "rgb") for one in drawn],
        "encoding": lambda: video.write(folder / "encoded.mp4", images),
    }
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds):
        for name, work in parts.items():
            found[name].append(timed(work))
    print("| | ms per frame | CPU ms per frame | frames/s |\n|---|---|---|---|")
    for name, times in found.items():
        wall, cpu = (statistics.median(values) / count * 1e3 for values in zip(*times, strict=True))
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {1e3 / wall:.1f} |")
    for name, seconds in operators(model, cameras).items():
        print(f"| of drawing: `{name}` | {seconds * 1e3:.1f} | | |")


ENCODERS: dict[str, tuple[str, list[str]]] = {
    **{
        f"H.264 {preset}, crf {crf}": (".mp4", ["-c:v", "libx264", "-preset", preset, "-crf", str(crf)])
        for preset, crf in (("ultrafast", 17), ("superfast", 17), ("veryfast", 17), ("veryfast", 18), ("faster", 18),
                            ("fast", 18), ("medium", 18))
    },
    **{
        f"VP9 realtime {speed}, crf 22": (
            ".webm",
            ["-c:v", "libvpx-vp9", "-crf", "22", "-b:v", "0", "-deadline", "realtime", "-cpu-used", str(speed),
             "-row-mt", "1"],
        )
        for speed in (5, 6, 7, 8)
    },
    "VP9 good 4, crf 22": (".webm", ["-c:v", "libvpx-vp9", "-crf", "22", "-b:v", "0", "-deadline", "good",
                                     "-cpu-used", "4", "-row-mt", "1"]),
}  # fmt: skip


def encoders(images: list[np.ndarray], folder: Path) -> None:
    print("| encoder | CPU ms per frame | ms per frame | kB per frame | PSNR, dB |\n|---|---|---|---|---|")
    scaled = ["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-colorspace", "bt709"]
    for name, (suffix, options) in ENCODERS.items():
        path = folder / f"out{suffix}"
        wall, cpu = timed(lambda path=path, options=options: encode(images, path, [*scaled, *options]))
        shown = zip(shown_of(path, images), images, strict=True)
        error = statistics.mean(float(np.square(one.astype(np.float32) - given).mean()) for one, given in shown)
        psnr, size = 10 * np.log10(255**2 / error), path.stat().st_size / 1e3
        figures = [cpu * 1e3 / len(images), wall * 1e3 / len(images), size / len(images)]
        print(f"| {name} | {' | '.join(f'{figure:.1f}' for figure in figures)} | {psnr:.2f} |")


def encode(images: list[np.ndarray], path: Path, options: list[str]) -> None:
    from nerfkit.views.encoder import Encoder

    encoder = Encoder(path, path, 30, options)
    for image in images:
        encoder.add(image)
    encoder.finish()
    encoder.stop()


def shown_of(path: Path, images: list[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames of a video as they are decoded."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-vf", "scale=in_color_matrix=bt709",
               "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]  # fmt: skip
    data = subprocess.run(command, capture_output=True, check=True).stdout
    yield from np.frombuffer(data, np.uint8).reshape(-1, *images[0].shape)


def wide(model: SceneModel, cameras: Cameras) -> None:
    both = [Equirect(360, side * 0.02) for side in (-1, 1)]
    kinds: dict[str, list[draw.Draw]] = {
        "one eye, from a cube's faces": [panorama.panorama(draw.of_model(model), Equirect())],
        "two eyes, from strips": [panorama.panorama(draw.of_model(model), lens) for lens in both],
    }
    if isinstance(model, HasRays):
        kinds["one eye, along rays"] = [panorama.along_rays(model, Equirect())]
        kinds["two eyes, along rays"] = [panorama.along_rays(model, lens) for lens in both]
    print("| | first frame, CPU s | others, CPU s |\n|---|---|---|")
    for name, eyes in kinds.items():
        times = [
            timed(lambda eyes=eyes, index=index: [eye(cameras[index], RGB) for eye in eyes])[1]
            for index in range(len(cameras))
        ]
        print(f"| {name} | {times[0]:.2f} | {statistics.median(times[1:]):.2f} |")


def memory(model: SceneModel, cameras: Cameras, folder: Path) -> None:
    """Resident memory of this process while a video is written."""
    seen: list[tuple[int, float]] = []

    def look(stage: str, done: int, total: int) -> None:
        if done % max(1, total // 10) == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append((done, pages * os.sysconf("SC_PAGE_SIZE") / 2**20))

    made = outputs.of_path(folder / "long.mp4", Look(["rgb"]), Request.of(cameras, {}), 30)
    wall, cpu = timed(
        lambda: writing.write(
            draw.of_model(model), cameras, made, look, writing.frames_at_once([model], cameras.width * cameras.height)
        )
    )
    print("| frames | " + " | ".join(str(done) for done, _ in seen) + " |")
    print("|---" * (len(seen) + 1) + "|")
    print("| MiB | " + " | ".join(f"{mebibytes:.0f}" for _, mebibytes in seen) + " |")
    print(f"\n{len(cameras)} frames in {wall:.1f} s, {cpu:.1f} CPU seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--size", default=None)
    parser.add_argument("--frames", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encoders", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--wide", action="store_true")
    options = parser.parse_args()
    run = Run.open(options.run)
    scene = run.scene()
    model = run.model("cpu", "auto", scene)
    usual, count = ("480x270", 1000) if options.memory else ("2048x1024", 4) if options.wide else ("960x540", 120)
    size = parse_size(options.size or usual)
    cameras = paths.orbit(scene, options.frames or count, size)
    if options.wide:
        assert size is not None
        cameras = panorama.level(cameras, *size)
    statistics_of = ", ".join(f"{value:,.0f} {name}" for name, value in model.statistics().items())
    print(f"{options.run.name}: {statistics_of}; {cameras.width}x{cameras.height}, {torch.get_num_threads()} threads\n")
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        if options.memory:
            memory(model, cameras, Path(folder))
        elif options.wide:
            wide(model, cameras)
        elif options.encoders:
            encoders([frames.pixels(model.render(cameras[i], RGB), "rgb") for i in range(len(cameras))], Path(folder))
        else:
            model.render(cameras[0], RGB)  # the first call loads the library
            speed(model, cameras, Path(folder), options.rounds)


if __name__ == "__main__":
    main()
