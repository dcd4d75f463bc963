"""``poses.html``: cameras and points in 3D, every photo, the match graph and what to do next, in one file."""

from __future__ import annotations

import base64
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit import __version__
from nerfkit.capture.pixels import large_pictures
from nerfkit.files import write_text
from nerfkit.poses.advice import PhotoFacts, reason
from nerfkit.poses.report import PoseReport
from nerfkit.poses.review import facts
from nerfkit.poses.worker import Tell
from nerfkit.threads import threads
from nerfkit.webpage import asset, document, duration, text, tiles

FILE = "poses.html"
MOST_POINTS = 40_000
SIDES = ((60, 256), (150, 192), (400, 128), (10**9, 80))  # up to so many photos: pixels of a thumbnail's longer side
NEIGHBOURS = 3  # that a photo's row names
_STEEPEST = 1.4  # tangent of half an angle of view, as a frustum shows it at most

Row = dict[str, Any]  # a nerfkit.poses.review.ReviewedPhoto
Pair = Sequence[int]  # two indices of photos, and their matches


def work(tell: Tell, report: dict[str, Any], review: str, model: str | None, folder: str, out: str) -> dict[str, Any]:
    """Writes ``poses.html`` into ``out``.

    ``review`` is the record of what :mod:`nerfkit.poses.review` found, ``model`` the model in the world frame, None
    where there is none, ``folder`` has the photos upright.
    """
    import pycolmap

    seen = json.loads(Path(review).read_text())["result"]
    reconstruction = None if model is None else pycolmap.Reconstruction(model)
    write(Path(out) / FILE, PoseReport(**report), seen, reconstruction, Path(folder), tell)
    return {}


def write(
    path: Path, report: PoseReport, seen: Mapping[str, Any], model: Any | None, folder: Path,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> None:  # fmt: skip
    """Writes the page of ``model``, a ``pycolmap.Reconstruction`` in the world frame, or of photos that gave none.

    ``tell`` hears how many photos are shrunk, of how many.
    """
    photos: list[Row] = seen["photos"]
    known = facts(dict(seen), None, None, 0).photos
    side = next(pixels for most, pixels in SIDES if len(photos) <= most)
    thumbnails = []
    for thumbnail in _thumbnails([folder / photo["image"] for photo in photos], side):
        thumbnails.append(thumbnail)
        tell(len(thumbnails), len(photos))
    title = path.resolve().parent.name
    body = "\n".join([
        f"<header><h1>{text(title)}</h1><p>{text(_subtitle(report))}</p></header>",
        _warnings(report),
        *([] if model is None else [_figures(report), _view()]),
        _photos(photos, known, seen["pairs"], thumbnails),
        _matches(photos, seen["pairs"]),
        "" if model is None else _details(report, photos, model),
        f"<footer>{text(str(path.resolve().parent))} · made by nerfkit {text(__version__)}</footer>",
    ])  # fmt: skip
    data = json.dumps(_data(report, photos, seen["pairs"], model), separators=(",", ":")).replace("</", "<\\/")
    body += f'\n<script type="application/json" id="data">{data}</script>'
    scripts = [asset(__package__, name) for name in ("page_view.js", "page_graph.js", "page.js")]
    write_text(path, document(f"{title} · poses", body, [asset(__package__, "page.css")], scripts))


def _thumbnails(photos: Sequence[Path], side: int) -> Iterator[str]:
    with large_pictures(), threads() as pool:
        yield from pool.map(lambda photo: small_jpeg(photo, side), photos)


def small_jpeg(photo: Path, side: int) -> str:
    """A small JPEG as a data URI; empty where the photo cannot be read any more."""
    from PIL import Image

    try:
        with Image.open(photo) as image:
            image.draft("RGB", (side, side))
            small = image.convert("RGB")
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError):
        return ""
    data = io.BytesIO()
    small.save(data, "JPEG", quality=68, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def neighbours(count: int, pairs: Sequence[Pair]) -> list[list[tuple[int, int]]]:
    """For each of ``count`` photos the others (index, matches), those with most matches first."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for one, two, matches in pairs:
        found[one].append((two, matches))
        found[two].append((one, matches))
    return [sorted(others, key=lambda other: (-other[1], other[0])) for others in found]


def quantised(positions: NDArray[np.float64], colors: NDArray[np.uint8]) -> dict[str, Any]:
    """Points [P, 3] and their colors: at most MOST_POINTS of them, without far outliers, 16 bits a coordinate."""
    if not len(positions):
        return {"count": 0, "low": [0, 0, 0], "step": 0, "xyz": "", "rgb": ""}
    middle = np.median(positions, axis=0)
    away = np.linalg.norm(positions - middle, axis=1)
    kept = np.flatnonzero(away <= 8 * np.median(away) + 1e-12)
    if len(kept) > MOST_POINTS:
        kept = np.random.default_rng(0).choice(kept, MOST_POINTS, replace=False)
    low = positions[kept].min(0)
    step = float((positions[kept].max(0) - low).max()) / 65535 or 1.0
    xyz = np.round((positions[kept] - low) / step).astype("<u2")
    return {
        "count": len(kept), "low": low.tolist(), "step": step,
        "xyz": base64.b64encode(xyz.tobytes()).decode(), "rgb": base64.b64encode(colors[kept].tobytes()).decode(),
    }  # fmt: skip


def _subtitle(report: PoseReport) -> str:
    if not report.frame:
        return f"No camera poses of {report.photos} photos: too few of them fit together"
    words = f"Camera poses of {report.registered} of {report.photos} photos"
    if report.frame.get("scale") == "metric":
        source = {"gps": "GPS", "reference": "a known distance"}[report.frame["scale_from"]]
        return f"{words} · in metres, by {source}"
    return f"{words} · upright, of unknown scale"


def _warnings(report: PoseReport) -> str:
    if not report.warnings and not report.unreadable:
        return '<section class="card notice good"><p><b>All is well.</b> All photos fit together.</p></section>'
    items = [f"<li><p>{text(_sentence(item['text']))}</p>{_show(item['photos'])}</li>" for item in report.warnings]
    if report.unreadable:
        items.append(f"<li><p>Cannot be read, left out: {text(', '.join(report.unreadable))}.</p></li>")
    return f'<section class="card notice"><h2>What to do next</h2><ul>{"".join(items)}</ul></section>'


def _show(names: Sequence[str]) -> str:
    """A button that narrows the table to some photos."""
    return f'<button type="button" data-only="{text(json.dumps(names))}">show</button>' if names else ""


def _sentence(words: str) -> str:
    """With a capital at its start, unless that is a name, and a full stop."""
    first = words.split(" ", 1)[0]
    return (words if "." in first else words[:1].upper() + words[1:]) + "."


def _figures(report: PoseReport) -> str:
    return tiles([
        ("photos with a pose", f"{report.registered} of {report.photos}", ""),
        ("3D points", f"{report.points:,}", ""),
        ("mean reprojection error", f"{report.mean_reprojection_error_px:.2f}", "px"),
        ("of the matches agree", f"{100 * report.agreement:.0f}", "%"),
        ("camera" if report.cameras == 1 else "cameras", f"{report.cameras}", ""),
        ("time", *duration(report.seconds["total"])),
    ])  # fmt: skip


def _view() -> str:
    keys = (
        "Drag to turn, with Shift or two fingers to move, wheel or pinch to zoom. Keys: arrows turn, Shift + arrows "
        "move, + and - zoom, N and P select the next and the previous photo, T looks from the top, 0 resets."
    )
    buttons = "".join(
        f'<button type="button" data-do="{name}" title="{title}" aria-label="{title}">{label}</button>'
        for name, label, title in (
            ("in", "+", "Zoom in"), ("out", "&minus;", "Zoom out"), ("top", "Top", "Look from the top"),
            ("side", "Side", "Look from the side"), ("reset", "Reset", "Reset the view"),
        )
    )  # fmt: skip
    return (
        '<section><div class="bar"><h2>Cameras and points</h2>'
        '<label class="check"><input type="checkbox" id="show-photos"> photos in the cameras</label></div>'
        '<div class="stage"><div class="card view">'
        f'<canvas id="view" tabindex="0" role="application" aria-label="Cameras and points in 3D. {keys}"></canvas>'
        f'<div class="buttons">{buttons}</div><div id="tip" hidden><img alt=""><span></span></div></div>'
        '<aside class="card" id="chosen" aria-live="polite"><p class="soft">Select a photo in the view or in the '
        f"table.</p></aside></div><p class='soft small'>{keys}</p></section>"
    )


COLUMNS = (  # title, what it means, text or number
    ("photo", "", "text"),
    ("pose", "whether the photo has a pose, or why not", "text"),
    ("features", "features found", "number"),
    ("partners", "photos it matches", "number"),
    ("matches", "verified matches with all of them", "number"),
    ("points", "3D points it sees", "number"),
    ("error, px", "mean reprojection error", "number"),
    ("focal, px", "estimated focal length", "number"),
    ("best neighbours", "the photos it has most matches with", "none"),
)


def _photos(
    photos: Sequence[Row], known: Sequence[PhotoFacts], pairs: Sequence[Pair], thumbnails: Sequence[str]
) -> str:
    near = neighbours(len(photos), pairs)
    heads = "".join(
        f'<th scope="col" title="{text(meaning)}"'
        + (f' aria-sort="ascending"><button type="button">{title}</button>' if index == 0 else
           f'><button type="button">{title}</button>' if kind != "none" else f">{title}")
        + "</th>"
        for index, (title, meaning, kind) in enumerate(COLUMNS)
    )  # fmt: skip
    rows = "".join(
        _photo(index, photo, why, [(photos[i]["name"], i, n) for i, n in near[index]], thumbnails[index])
        for index, (photo, why) in enumerate(zip(photos, (reason(one, known) for one in known)))
    )
    return (
        '<section><div class="bar"><h2>Photos</h2><button type="button" id="all" hidden>show all</button></div>'
        f'<div class="card sheet"><table id="photos"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</section>"
    )


def _photo(index: int, photo: Row, why: str | None, near: Sequence[tuple[str, int, int]], uri: str) -> str:
    picture = f'<img src="{uri}" alt="" loading="lazy">' if uri else ""
    links = " ".join(
        f'<button type="button" class="link" data-select="{i}" title="{n:,} matches">{text(name)}</button>'
        for name, i, n in near[:NEIGHBOURS]
    )
    focal = "" if photo["focal_px"] is None else f"{photo['focal_px']:,.0f}"
    if focal and photo["exif_focal_px"]:
        focal += f" <small>EXIF {photo['exif_focal_px']:,.0f}</small>"
    cells = [
        ("", why or "yes", f'<span class="state {"out" if why else "in"}">{why or "yes"}</span>'),
        *((photo[key], "", f"{photo[key]:,}") for key in ("features", "partners", "matches", "observations")),
        (photo["error_px"], "", "" if photo["error_px"] is None else f"{photo['error_px']:.2f}"),
        (photo["focal_px"], "", focal),
    ]  # fmt: skip
    body = "".join(
        f'<td data-value="{"" if number is None else text(str(number or word or 0))}">{shown or "&ndash;"}</td>'
        for number, word, shown in cells
    )
    return (
        f'<tr data-index="{index}" data-name="{text(photo["name"])}" aria-selected="false"><th scope="row">'
        f'<button type="button" data-select="{index}">{picture}<span>{text(photo["name"])}</span></button></th>'
        f'{body}<td class="near">{links}</td></tr>'
    )


def _matches(photos: Sequence[Row], pairs: Sequence[Pair]) -> str:
    sizes = Counter(photo["component"] for photo in photos)
    linked = [component for component, count in sorted(sizes.items()) if count > 1]
    keys = "".join(
        f'<span class="key"><i class="component" data-component="{component}"></i>{sizes[component]} photos</span>'
        for component in linked[:5]
    )
    alone = sum(count for count in sizes.values() if count == 1)
    keys += f'<span class="key"><i class="component alone"></i>{alone} without matches</span>' if alone else ""
    counts = [pair[2] for pair in pairs]
    ramp = f'<span class="legend">{min(counts):,} <i></i> {max(counts):,} matches</span>' if counts else ""
    found = "1 pair of photos matches" if len(pairs) == 1 else f"{len(pairs):,} pairs of photos match"
    words = "hang together" if len(linked) == 1 and not alone else f"in {len(linked)} groups that don't connect"
    words = "no photo matches another" if not linked else words if not alone or len(linked) > 1 else "hang together"
    return (
        f'<section><div class="bar"><h2>Which photos match</h2><div>{keys}</div></div>'
        '<div class="card graph"><canvas id="graph" tabindex="0" role="application" aria-label="Verified matches '
        f'between photos, in the order of their names: {words}. Arrow keys move, Enter selects."></canvas>'
        f'<div class="words"><p id="pair" aria-live="polite">{found}.</p>{ramp}'
        "<p class='soft small'>Each cell is a pair of photos, in the order of their names; the stronger its color, the "
        "more matches. A walk around something gives a band along the diagonal, with more cells where it comes back to "
        "a place seen before. Gaps in the band are where pictures are missing.</p></div></div></section>"
    )


def _details(report: PoseReport, photos: Sequence[Row], model: Any) -> str:
    frame, ground = report.frame, report.frame.get("ground")
    up = {"ground": "the ground or table that the points show", "gps": "GPS", "cameras": "the cameras' level sides"}
    rows = [
        ("up", f"z, from {up[frame['up_from']]}"),
        ("ground", f"z = 0, with {100 * ground['share_of_points']:.0f} % of the points" if ground else "none found"),
        ("origin", frame["origin"]),
        ("x", frame["x"]),
        *([("y", frame["y"])] if "y" in frame else []),
        ("unit", frame["unit"] + (" (scale unknown)" if frame["scale"] == "arbitrary" else "")),
    ]
    if "reference_m" in frame:
        rows.append(("scale from", f"a known distance of {frame['reference_m']:g} m"))
    if "gps" in frame:
        gps, place = frame["gps"], frame["gps"]["origin"]
        rows += [
            ("GPS", f"{gps['used']} of {gps['photos']} photos agree, within {gps['residual_m']:.2f} m"),
            ("scale from GPS, ±", f"{100 * gps['scale_error']:.1f} %"),
            ("origin at", f"{place['latitude']:.6f}, {place['longitude']:.6f}, {place['altitude']:.1f} m"),
        ]
    run = [("matcher", report.matcher)]
    run += [(name, " ".join(duration(value))) for name, value in report.seconds.items()]
    tables = [_table("World frame", rows), _cameras(photos, model), _table("How it was made", run)]
    return f'<section><h2>Details</h2><div class="tables">{"".join(tables)}</div></section>'


def _cameras(photos: Sequence[Row], model: Any) -> str:
    use = Counter(photo["camera"] for photo in photos if photo["camera"] is not None)
    rows = []
    for number, count in use.most_common(8):
        camera = model.cameras[number]
        focal = camera.mean_focal_length()
        angle = math.degrees(2 * math.atan(camera.width / 2 / focal))
        words = f"{camera.model.name}, {camera.width}x{camera.height}, {focal:,.0f} px"
        if camera.model.name != "OPENCV_FISHEYE":
            words += f" ({angle:.0f}° wide)"
        rows.append((f"{count} photo{'s' if count > 1 else ''}", words))
    if len(use) > len(rows):
        rows.append((f"{len(use) - len(rows)} more cameras", ""))
    return _table("Cameras", rows)


def _table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in rows)
    return f'<div class="card"><div class="head"><h3>{text(title)}</h3></div><table>{cells}</table></div>'


def _data(report: PoseReport, photos: Sequence[Row], pairs: Sequence[Pair], model: Any | None) -> dict[str, Any]:
    images = {} if model is None else {image.name: image for image in model.images.values() if image.has_pose}
    points = [] if model is None else list(model.points3D.values())
    positions = np.array([point.xyz for point in points]).reshape(-1, 3)
    colors = np.array([point.color for point in points], np.uint8).reshape(-1, 3)
    return {
        "photos": [
            {"name": photo["name"], "component": photo["component"], "camera": _frustum(images.get(photo["image"]))}
            for photo in photos
        ],
        "pairs": pairs,
        "points": quantised(positions, colors),
        "frame": {
            "unit": "m" if report.frame.get("scale") == "metric" else "units",
            "ground": report.frame.get("ground") is not None,
            "axes": ["east", "north", "up"] if report.frame.get("y") == "north" else ["x", "y", "up"],
        },
    }


def _frustum(image: Any) -> dict[str, Any] | None:
    """Position [3], world_from_cam [9] (rows), and left, top, right, bottom as tangents; None without a pose."""
    if image is None:
        return None
    pose, camera = image.cam_from_world().inverse().matrix(), image.camera
    fx, fy, cx, cy = camera.focal_length_x, camera.focal_length_y, camera.principal_point_x, camera.principal_point_y
    sides = [-cx / fx, -cy / fy, (camera.width - cx) / fx, (camera.height - cy) / fy]
    return {
        "at": [round(float(value), 5) for value in pose[:, 3]],
        "turn": [round(float(value), 5) for value in pose[:, :3].ravel()],
        "sides": [round(float(np.clip(value, -_STEEPEST, _STEEPEST)), 4) for value in sides],
    }
