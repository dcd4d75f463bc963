"""What `nerfkit export` and `nerfkit convert` do with Gaussians before they are a web page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.contracts import Gaussians
    from nerfkit.splats.judge import Judge
    from nerfkit.splats.options import PageOptions
    from nerfkit.splats.page import Shown
    from nerfkit.splats.stream import Splats
    from nerfkit.webpage.scene import ScenePage


def check_written(path: Path) -> None:
    """Raises NerfkitError: no suffix of a page, a folder, or this installation of nerfkit is without the viewer."""
    from nerfkit.errors import NerfkitError
    from nerfkit.files import is_page
    from nerfkit.splats.formats import check_no_folder
    from nerfkit.webpage.scene import check_viewer

    if not is_page(path):
        raise NerfkitError(f"{path}: a page needs the suffix .html")
    check_no_folder(path)
    check_viewer()


def save(
    out: Path,
    splats: Splats,
    options: PageOptions,
    shown: Callable[[Gaussians], Shown],
    judge: Callable[[Gaussians], Judge],
    title: str,
    console: Console,
) -> dict[str, Any]:
    """Crops, cleans and moves Gaussians as the options say, and writes their page, as :func:`write` does.

    Args:
        shown, judge: for Gaussians that come without cameras, in whatever frame they are given.
    """
    from nerfkit.cli.splat_file import edited
    from nerfkit.splats import page
    from nerfkit.splats.stream import load
    from nerfkit.splats.transform import transform

    left, taken = edited(splats, options, console)
    kept = load(left)
    kept = transform(kept, page.within_reach(kept))
    return write(out, kept, options, shown(kept), judge, title, console)[0] | {"left_out": taken}


def write(
    out: Path,
    kept: Gaussians,
    options: PageOptions,
    shown: Shown,
    judge: Callable[[Gaussians], Judge],
    title: str,
    console: Console,
) -> tuple[dict[str, Any], ScenePage]:
    """Fits the Gaussians into the size that the options allow, writes their page, and tells what came of it.

    Args:
        judge: the pictures to judge by, in the frame of the Gaussians.
    """
    from nerfkit.cli.splat_file import fitted
    from nerfkit.splats import page
    from nerfkit.splats.transform import transform
    from nerfkit.train.device import choose

    limit = options.bytes()
    result: dict[str, Any] = {"format": "html", "title": title}
    empty = page.empty_page(choose("cpu")[1], kept, shown, title, plays=options.autoplay)
    turn = page.file_from(shown.up)  # sizes are those of the file in its own frame only
    turned = transform(kept, turn)
    settings: Mapping[str, Any] = {}
    if limit is not None:
        room = page.room(limit, empty)
        console.say(f"of {limit / 1e6:g} MB, {room / 1e6:.2f} MB are left for the splats: the viewer takes the rest")
        turned, settings, told = fitted(turned, room, page.FORMAT, None, judge(kept).moved(turn), console)
        result |= told
    made = replace(empty, sog=page.packed(turned, settings))
    page.write(out, made)
    size = out.stat().st_size
    console.say(f"[bold]{out}[/]: {len(turned):,} Gaussians, {size / 1e6:.1f} MB, opens in any browser")
    return result | {"gaussians": len(turned), "bytes": size, "files": [str(out)]}, made
