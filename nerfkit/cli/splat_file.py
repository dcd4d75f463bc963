"""What `nerfkit export` and `nerfkit convert` do with Gaussians before they are a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.contracts import Gaussians
    from nerfkit.splats.judge import Judge
    from nerfkit.splats.options import SplatOptions
    from nerfkit.splats.stream import Splats
    from nerfkit.splats.upright import Up

_MANY = 500_000  # Gaussians: fewer are read and written before a bar is looked at


def save(
    out: Path,
    splats: Splats,
    options: SplatOptions,
    up: Up | None,
    judge: Callable[[Gaussians], Judge],
    console: Console,
) -> dict[str, Any]:
    """Crops, cleans, moves and fits the Gaussians as the options say, writes them, and tells what came of it.

    Args:
        up: which axis of the Gaussians is up, where that is known: the file says it, where its format can and no
            rotation turns that axis.
        judge: the pictures to judge by, in the frame of the Gaussians it is given: those that are left, moved.
    """
    from nerfkit.splats import formats
    from nerfkit.splats.stream import load, stream, watched
    from nerfkit.splats.upright import USUAL

    suffix = formats.check_written(out)
    up = up if formats.is_upright(out) else options.up_after(up)
    if splats.most > _MANY:
        splats = watched(splats, console.progress)
    kept, taken = edited(splats, options, console)
    limit = options.bytes()
    result: dict[str, Any] = {"format": suffix[1:]}
    settings: Any = {}
    if limit is not None:
        whole = load(kept)
        found, settings, told = fitted(whole, limit, suffix, up, judge(whole), console)
        kept = stream(found)
        result |= told
    count = formats.write(out, kept, up=up, settings=settings)
    size = out.stat().st_size
    console.say(f"[bold]{out}[/]: {count:,} Gaussians, {size / 1e6:.1f} MB")
    if up not in (None, USUAL) and not (formats.says_up(out) or formats.is_upright(out)):
        console.say(f"{suffix} files can't say which way is up: nerfkit view and convert take it with --up {up}")
    return result | {"gaussians": count, "left_out": taken, "bytes": size, "files": [str(out)]}


def edited(splats: Splats, options: SplatOptions, console: Console) -> tuple[Splats, dict[str, int]]:
    """What the options leave of Gaussians, moved; how many each took is given back, and said."""
    kept, taken = options.kept(splats)
    for kind, count in taken.items():
        if count:
            console.say(f"left out, {kind}: {count:,}")
    return options.moved(kept), taken


def fitted(
    gaussians: Gaussians, limit: int, suffix: str, up: Up | None, judge: Judge, console: Console
) -> tuple[Gaussians, Any, dict[str, Any]]:
    """The Gaussians and the format's settings of the best file of at most ``limit`` bytes, and what that costs."""
    from nerfkit.splats.blocks import degree_of
    from nerfkit.splats.budget import fit
    from nerfkit.splats.judge import MOST_DB

    found = fit(gaussians, limit, suffix, judge, up=up, progress=console.progress)
    before, after = judge.psnr(gaussians), judge.psnr(found.stored)
    degree, n = degree_of(found.gaussians), len(found.gaussians)
    words = "".join(f", {name.replace('_', ' ')} {value}" for name, value in found.settings.items())
    console.say(
        f"at most {limit / 1e6:.4g} MB: {n:,} of {len(gaussians):,} Gaussians, SH degree {degree}{words}: "
        + (
            f"{after:.2f} dB against the whole scene"
            if before >= MOST_DB
            else f"[bold]{before - after:.2f} dB[/] lost ({before:.2f} before, {after:.2f} after)"
        )
        + f", {len(judge.cameras)} views"
    )
    told = {"sh_degree": degree, "settings": dict(found.settings), "psnr_before": before, "psnr_after": after}
    return found.gaussians, found.settings, told | {"lost_db": before - after, "tried": found.tried}
