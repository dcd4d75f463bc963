"""``nerfkit convert IN... OUT``, or ``IN... -o OUT``: splat files converted, cropped, cleaned, moved or smaller."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from nerfkit.errors import NerfkitError
from nerfkit.files import is_page
from nerfkit.splats.options import PageOptions

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.contracts import Gaussians
    from nerfkit.splats.judge import Judge
    from nerfkit.splats.upright import Up


@dataclass(frozen=True, kw_only=True)
class Options(PageOptions):
    files: tyro.conf.Positional[tuple[Path, ...]] = field(default=())
    """Splat files to read (.ply, .compressed.ply, .splat, .spz, .ksplat, .sog, .glb, .gltf, or a folder of SOG's files;
    several become one), and last, unless --out names it, the one to write (.ply, .compressed.ply, .splat, .spz, .sog,
    .glb; .html: a page that shows them in any browser)."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File to write, in place of the last one named."""
    up: Literal["z", "y", "-y"] | None = None
    """Which axis of the splats is up: glTF (+Y there) and pages are turned by it, and .ply, .compressed.ply and .sog
    files say it (default: what the files say, as those of nerfkit do; else -y, as in most others). .spz, .splat and
    .ksplat files can't say it: give --up z with those that nerfkit wrote."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.cli import splat_page
    from nerfkit.cli.splat_file import save
    from nerfkit.splats import formats
    from nerfkit.splats.stream import joined
    from nerfkit.splats.upright import USUAL

    options.check()
    sources, out = _sources_and_out(options)
    if is_page(out):
        splat_page.check_written(out)
    else:
        formats.check_written(out)
    said = formats.agreed_up(sources) if options.up is None else None
    known = options.up or said or (USUAL if all(map(formats.is_upright, sources)) else None)
    up = known or USUAL  # glTF is turned to it, whatever it is
    opened = [formats.open_file(source, up=up) for source in sources]
    splats = opened[0] if len(opened) == 1 else joined(opened)
    told = ", ".join(map(str, sources))
    if not splats.antialiased and any(source.antialiased for source in opened):
        console.warn(
            f"{told}: not all are antialiased, so {out.name} won't be: small Gaussians of those that are will look "
            "larger; convert what nerfkit export writes without --antialiased"
        )
    if not splats.most:
        raise NerfkitError(f"{told}: no Gaussians to convert; the file is empty")
    console.say(f"{told}: {splats.most:,} Gaussians")
    if options.up is None and any(map(_needs_up, (*sources, out))):
        console.say(_told_up(said, up, sources, out))
    elif known is None and formats.says_up(out) and not any(map(formats.says_up, sources)):
        console.say(f"{told}: can't say which way is up, so {out.name} won't either; --up z for what nerfkit exports")

    def judge(kept: Gaussians) -> Judge:
        from nerfkit.splats.judge import Judge
        from nerfkit.train.device import choose

        return Judge.around(choose("cpu")[1], kept, up)

    if is_page(out):
        from nerfkit.splats.page import Shown

        def shown(kept: Gaussians) -> Shown:
            return Shown.around(kept, up)

        name = options.title or sources[0].name.removesuffix(formats.suffix_of(sources[0]))
        return splat_page.save(out, splats, options, shown, judge, name, console)
    return save(out, splats, options, known, judge, console)


def _sources_and_out(options: Options) -> tuple[list[Path], Path]:
    """Raises NerfkitError: nothing to read, or nothing to write."""
    if options.out is not None:
        if not options.files:
            raise NerfkitError("nerfkit convert: give a file to read")
        return list(options.files), options.out
    if len(options.files) < 2:
        raise NerfkitError(
            "nerfkit convert: give at least two files: one to read, and last (or by --out) the one to write"
        )
    *sources, out = options.files
    return sources, out


def _told_up(said: Up | None, up: Up, sources: list[Path], out: Path) -> str:
    """A line about which axis is up, where no option says it."""
    from nerfkit.splats import formats

    if said is not None:
        return f"up is {up}, by the file's own word"
    if not all(map(formats.is_upright, sources)):
        return f"up is taken to be {up}, as in most splat files; --up z for what nerfkit exports"
    if _needs_up(out):
        return "up is +Y, as in all of glTF"
    return f"glTF's up, +Y, becomes {up}, as in most splat files; --up z for what nerfkit exports"


def _needs_up(file: Path) -> bool:
    """Whether a file is turned by which axis is up, or is a page, which is."""
    from nerfkit.splats import formats

    return is_page(file) or formats.is_upright(file)
