"""``nerfkit compare``: several runs in one table, one picture or one video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import tyro

from nerfkit.errors import NerfkitError
from nerfkit.limits import Count, FrameRate, Within

if TYPE_CHECKING:
    from rich.table import Table

    from nerfkit.cli.console import Console
    from nerfkit.contracts import SceneModel
    from nerfkit.train.compare import Compared
    from nerfkit.views.sheet import Image

WIDEST = 3840  # pixels: wider videos don't play everywhere


@dataclass
class Options:
    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Run folders, as `nerfkit train` leaves them."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Sheet to write (.png, .jpg: held-out photos beside each run's render), or video (.mp4, .webm, .gif: the runs
    side by side on one camera path). Nothing by default."""
    speed: bool = True
    """Measure how many frames a second each run renders here, at its held-out views."""
    views: Count = 4
    """Held-out photos on a sheet."""
    path: Literal["orbit", "interpolate"] = "orbit"
    """Camera path of a video. orbit: around the scene; interpolate: through the photos' places."""
    size: str | None = None
    """Width and height of each run's picture in a video, such as 640x360 (default: the photos' size, smaller where the
    video would become wider than 3840 pixels)."""
    fps: FrameRate = 30.0
    """Frames per second of a video."""
    seconds: Annotated[float, Within(0, 100_000, above=True)] = 6.0
    """Length of a video."""
    device: str = "auto"
    """Where the models are rendered: auto, cpu, cuda or cuda:N (see nerfkit train)."""
    backend: str = "auto"
    """Render core: auto, nerfkit, gsplat, tcnn or reference (see nerfkit doctor)."""


def run(options: Options, console: Console) -> dict[str, Any]:
    check(options)  # before the work, not after it

    from nerfkit.train import compare

    runs = compare.open_runs(options.runs)
    if options.out is not None:
        compare.check_same_views(runs)
    drawn = options.speed or options.out is not None
    models = [one.run.model(options.device, options.backend, one.scene) for one in runs] if drawn else []
    rows = [compare.row(one) for one in runs]
    if options.speed:
        for row, speed in zip(rows, compare.frames_per_second(models, runs, console.progress), strict=True):
            row["frames_per_second"] = round(speed, 3)
    console.table(table(rows))
    for words in caveats(runs, rows):
        console.warn(words)
    files = []
    if options.out is not None:
        make = write_video if is_video(options.out) else write_sheet
        files = [str(make(options, runs, models, console))]
        console.say(f"[bold]{options.out}[/]")
    return {"runs": rows, "files": files}


def check(options: Options) -> None:
    """Raises NerfkitError: an output of no known kind, or a size that no video has."""
    from nerfkit.cli.render import parse_size
    from nerfkit.files import check_place
    from nerfkit.views import sheet, video

    if options.out is not None and options.out.suffix.lower() not in (*sheet.FORMATS, *video.FORMATS):
        kind = options.out.suffix or "(no suffix)"
        raise NerfkitError(f"{options.out}: unknown kind of output {kind!r}; use .png or .jpg, {video.known_formats()}")
    if options.out is not None:
        (video.check if is_video(options.out) else sheet.check)(options.out)
        check_place(options.out)
    parse_size(options.size)


def is_video(path: Path) -> bool:
    from nerfkit.views import video

    return path.suffix.lower() in video.FORMATS


def write_sheet(options: Options, runs: Sequence[Compared], models: Sequence[SceneModel], console: Console) -> Path:
    """A row for each of some held-out photos: the photo, then every run's render with its PSNR."""
    from nerfkit.train.compare import evenly
    from nerfkit.train.evaluate import draw, ground_truth, judged
    from nerfkit.train.metrics import psnr
    from nerfkit.views import sheet
    from nerfkit.views.color import unit_to_uint8

    assert options.out is not None
    chosen = [evenly(one.views, options.views) for one in runs]
    rows = []
    for done, views in enumerate(zip(*chosen, strict=True), 1):
        truths = [ground_truth(model, view) for model, view in zip(models, views, strict=True)]
        renders = [draw(model, view) for model, view in zip(models, views, strict=True)]
        largest = max(truths, key=lambda truth: truth.shape[0])
        tiles = [sheet.Tile(unit_to_uint8(largest), views[0].name)]
        counted = [judged(model, view) for model, view in zip(models, views, strict=True)]
        for render, truth, shown in zip(renders, truths, counted, strict=True):
            tiles.append(sheet.Tile(unit_to_uint8(render), f"{min(psnr(render, truth, shown), 100.0):.2f} dB"))
        rows.append(tiles)
        console.progress("sheet", done, len(chosen[0]))
    return sheet.write(options.out, sheet.sheet(["photo", *(one.label for one in runs)], rows))


def write_video(options: Options, runs: Sequence[Compared], models: Sequence[SceneModel], console: Console) -> Path:
    """The runs side by side on one camera path, their labels above."""
    import numpy as np

    from nerfkit.cli.render import parse_size
    from nerfkit.views import paths, sheet, video
    from nerfkit.views.frames import render_frames

    assert options.out is not None
    size = parse_size(options.size) or fitting(paths.photo_size(runs[0].scene), len(runs))
    count = max(1, round(options.fps * options.seconds))
    make = paths.orbit if options.path == "orbit" else paths.interpolate
    streams = [render_frames(model, make(one.scene, count, size)) for model, one in zip(models, runs, strict=True)]
    column = max(size[0], sheet.SHORTEST)
    above = sheet.words([one.label for one in runs], column, sheet.HEADING, sheet.INK)
    below = np.full((sheet.GAP, above.shape[1], 3), sheet.PAPER, np.uint8)

    def frames() -> Iterator[Image]:
        for done, images in enumerate(zip(*streams, strict=True), 1):
            yield np.concatenate([above, sheet.beside([image["rgb"] for image in images], column), below])
            console.progress("frames", done, count)

    return video.write(options.out, frames(), options.fps)


def fitting(photo: tuple[int, int], columns: int) -> tuple[int, int]:
    """The photos' size, smaller where ``columns`` of them are wider than WIDEST; both sides even."""
    scale = min(1.0, WIDEST / columns / photo[0])
    return max(2, int(photo[0] * scale) // 2 * 2), max(2, int(photo[1] * scale) // 2 * 2)


def caveats(runs: Sequence[Compared], rows: Sequence[dict[str, Any]]) -> list[str]:
    """What makes the figures of the runs no measure of each other."""
    from nerfkit.train.compare import differing_views

    other = differing_views(runs)
    if other is not None:
        scenes = sorted({row["scene"] for row in rows})
        cause = f"are of different scenes ({', '.join(scenes)})" if len(scenes) > 1 else "hold out different photos"
        return [f"the runs {cause}; their scores say nothing about each other"]
    sizes = sorted({f"{row['width']}x{row['height']}" for row in rows})
    if len(sizes) > 1:
        return [f"the runs are measured on photos of different sizes ({', '.join(sizes)}); smaller ones score higher"]
    return []


Row = dict[str, Any]


class Column(NamedTuple):
    """A column of the table; with ``best``, the best value of ``key`` is shown bold."""

    heading: str
    text: Callable[[Row], str]
    key: str
    best: Callable[[Sequence[float]], float] | None = None
    number: bool = True


COLUMNS = [
    Column("run", lambda row: row["label"], "label", number=False),
    Column("scene", lambda row: row["scene"], "scene", number=False),
    Column("model", lambda row: row["model"], "model", number=False),
    Column("device", lambda row: row["device"] or "-", "device", number=False),
    Column("photos", lambda row: f"{row['width']}x{row['height']}", "width"),
    Column("PSNR", lambda row: number(row["psnr"], ".2f"), "psnr", max),
    Column("SSIM", lambda row: number(row["ssim"], ".4f"), "ssim", max),
    Column("LPIPS", lambda row: number(row["lpips"], ".4f"), "lpips", min),
    Column("trained", lambda row: duration(row["seconds"]), "seconds"),
    Column("steps", lambda row: number(row["steps"], ",d"), "steps"),
    Column("frames/s", lambda row: number(row["frames_per_second"], ".3g"), "frames_per_second", max),
    Column("params", lambda row: scaled(row["parameters"]), "parameters"),
    Column("file", lambda row: scaled(row["file_bytes"], "B"), "file_bytes", min),
    Column("memory", lambda row: scaled(row["peak_memory_bytes"], "B"), "peak_memory_bytes", min),
]
WHERE_THEY_DIFFER = ("device", "photos")
WHERE_KNOWN = ("LPIPS", "frames/s")


def table(rows: Sequence[Row]) -> Table:
    """A line for each run; the best of a column is bold."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    columns = [column for column in COLUMNS if _shown(column, rows)]
    for column in columns:
        made.add_column(column.heading, justify="right" if column.number else "left", no_wrap=True)
    for row in rows:
        cells = [(escape(column.text(row)), _is_best(column, row, rows)) for column in columns]
        made.add_row(*(f"[bold]{text}[/]" if best else text for text, best in cells))
    return made


def _shown(column: Column, rows: Sequence[Row]) -> bool:
    if column.heading in WHERE_THEY_DIFFER:
        return len({column.text(row) for row in rows}) > 1
    return column.heading not in WHERE_KNOWN or any(row[column.key] is not None for row in rows)


def _is_best(column: Column, row: Row, rows: Sequence[Row]) -> bool:
    known = [other[column.key] for other in rows if other[column.key] is not None]
    return column.best is not None and len(known) > 1 and row[column.key] == column.best(known)


def number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def duration(seconds: float | None) -> str:
    """``48 s``, ``3:05``, ``1:02:05``."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def scaled(value: float | None, unit: str = "") -> str:
    """Three digits with k, M or G."""
    if value is None:
        return "-"
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor * 0.9995:
            return f"{format(value / factor, '.3g')} {letter}{unit}"
    return f"{value:.0f} {unit}".strip()
