"""How much work a picture is for a rasterizer on a GPU, in warps: nerfkit's kernels and gsplat's, counted on a CPU.

    python scripts/count_pairs.py                            # the random Gaussians of scripts/gpu_bench.py
    python scripts/count_pairs.py RUN --size 960x540         # a view of a trained run, as large as that
    python scripts/count_pairs.py --gaussians 50000 --size 480x270

Both rasterizers bring the splats of a tile of 16x16 pixels to its 8 warps, 256 splats at a time. What counts is how
often a warp looks at a splat (``evaluated``), how often any of its pixels draws it (``drawn``), which is when the
backward pass has something to add up, and how many of its lanes do (``lanes``). nerfkit's warps are parts of 8x4
pixels, which pass over splats that do not reach them and look every 32 splats whether a pixel is still open. gsplat's
are rows of 16x2 pixels and look at every splat of the tile until their last pixel is full; its tiles have every splat
whose box, in whole pixels, touches them (gsplat 1.5.3, csrc/RasterizeToPixels3DGS*.cu and IntersectTile.cu).
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from gpu.context import LARGE
from gpu.operators import scene
from torch import Tensor

from nerfkit.cli.render import parse_size
from nerfkit.contracts import Cameras, Gaussians, HasGaussians
from nerfkit.core import reference
from nerfkit.core._header import constants
from nerfkit.train.run import Run
from nerfkit.views import paths

TILE, BATCH, GROUP = 16, 256, 32
VIEWS = 8
NEARLY = 1e-4  # of a pixel's light: what is behind is not drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--size", type=parse_size, default="1920x1080")
    parser.add_argument("--gaussians", type=int, default=LARGE.gaussians)
    parser.add_argument("--view", type=int, default=0, help=f"of {VIEWS} around what a run shows")
    options = parser.parse_args()
    width, height = options.size
    if options.run:
        gaussians, camera = of_run(options.run, options.view, width, height)
    else:
        sizes = dataclasses.replace(LARGE, gaussians=options.gaussians, width=width, height=height)
        gaussians, camera = scene(sizes, torch.device("cpu"))
    with torch.no_grad():
        counts = count(Projection(gaussians, camera))
    print(f"{len(gaussians):,} Gaussians, {width}x{height}")
    for name, value in counts.items():
        print(f"{name:36} {value:15,}")


def of_run(path: Path, view: int, width: int, height: int) -> tuple[Gaussians, Cameras]:
    """A run's Gaussians, and a view of an orbit around what it shows."""
    run = Run.open(path)
    scene_of_run = run.scene()
    model = run.model("cpu", "auto", scene_of_run)
    assert isinstance(model, HasGaussians), f"{path}: not a run of Gaussians"
    return model.gaussians(), paths.orbit(scene_of_run, VIEWS, (width, height))[view]


class Projection:
    """The visible splats, near to far, and the tiles of each by gsplat's boxes, which hold all of nerfkit's."""

    def __init__(self, gaussians: Gaussians, camera: Cameras):
        self.width, self.height = camera.width, camera.height
        self.across, self.down = -(-self.width // TILE), -(-self.height // TILE)
        splats = reference.project(gaussians, camera, 0)
        order = splats.depths.argsort()
        order = order[splats.visible[order]]
        self.means, self.conics = splats.means[order], splats.conics[order]
        self.opacities = splats.opacities[order]
        self.extents = splats.extents[order]
        self.cut = 2 * (self.opacities / constants()["ALPHA_MIN"]).log()
        radii = self.extents.ceil()
        first = ((self.means - radii) / TILE).floor().clamp_min(0).long()
        end = ((self.means + radii) / TILE).ceil().clamp_min(0).long()
        end = end.minimum(torch.tensor([self.across, self.down]))
        size = (end - first).clamp_min(0)
        pairs = size.prod(1)
        self.splat = torch.arange(len(order)).repeat_interleave(pairs)  # [I]
        number = torch.arange(len(self.splat)) - (pairs.cumsum(0) - pairs)[self.splat]
        tile = first[self.splat] + torch.stack([number % size[self.splat, 0], number // size[self.splat, 0]], 1)
        index = tile[:, 1] * self.across + tile[:, 0]
        by_tile = index.argsort(stable=True)
        self.splat = self.splat[by_tile]
        self.offsets = torch.searchsorted(index[by_tile], torch.arange(self.across * self.down + 1))


def count(p: Projection) -> Counter[str]:
    counts: Counter[str] = Counter()
    counts["visible splats"] = len(p.means)
    for tile, (first, end) in enumerate(pairwise(p.offsets.tolist())):
        if first < end:
            counts.update(count_tile(p, tile % p.across, tile // p.across, p.splat[first:end]))
    return counts


def count_tile(p: Projection, tile_x: int, tile_y: int, splats: Tensor) -> dict[str, int]:
    along = torch.arange(TILE)
    y, x = torch.cartesian_prod(along + tile_y * TILE, along + tile_x * TILE).unbind(1)
    inside = (x < p.width) & (y < p.height)  # [256], row by row
    dx, dy = x + 0.5 - p.means[splats, 0, None], y + 0.5 - p.means[splats, 1, None]  # [n, 256]
    a, b, c = p.conics[splats].T[:, :, None]
    form = a * dx * dx + c * dy * dy + 2 * b * dx * dy
    alpha = p.opacities[splats, None] * torch.exp(-0.5 * form)
    reached = (form <= p.cut[splats, None]) & inside
    return _ours(alpha, reached, inside) | _gsplat(alpha, reached, inside)


def _ours(alpha: Tensor, reached: Tensor, inside: Tensor) -> dict[str, int]:
    listed = reached.any(1)
    alpha, reached = alpha[listed], reached[listed]
    found = {}
    through = (1 - torch.where(reached, alpha.clamp_max(constants()["ALPHA_MAX"]), 0)).cumprod(0)
    before = torch.cat([inside[None].float(), through[:-1] * inside]) if len(alpha) else through
    is_open = before > NEARLY  # [n, 256]
    drawn = reached & is_open
    groups = torch.arange(0, len(alpha), GROUP)
    for name, parts in (("", _parts(8, 4)), (" in parts of 8x8", _parts(8, 8))):
        at_start = parts(is_open[groups]).any(2).repeat_interleave(GROUP, 0)[: len(alpha)]
        found[f"nerfkit: evaluated{name}"] = int((parts(reached).any(2) & at_start).sum())
        found[f"nerfkit: drawn{name}"] = int(parts(drawn).any(2).sum())
    batches = is_open[::BATCH].any(1)
    return found | {
        "nerfkit: instances": len(alpha),
        "nerfkit: brought to a tile": min(len(alpha), BATCH * int(batches.sum())),
        "nerfkit: lanes": int(drawn.sum()),
    }


def _gsplat(alpha: Tensor, reached: Tensor, inside: Tensor) -> dict[str, int]:
    count = len(alpha)
    after = (1 - torch.where(reached, alpha.clamp_max(0.999), 0)).cumprod(0)
    going = (after > NEARLY) & inside  # the splat that would fill a pixel is left out
    drawn = reached & going
    # A lane looks at splats up to the one that would fill its pixel; those outside of the image at none.
    looked = ((going.sum(0) + 1).clamp_max(count) * inside).view(8, 32).amax(1)
    numbers = torch.arange(1, count + 1)[:, None]
    last = torch.where(drawn, numbers, 0).amax(0).view(8, 32).amax(1)
    batches = -(-int(looked.max()) // BATCH)
    warps = drawn.view(count, 8, 32).any(2)
    return {
        "gsplat: instances": count,
        "gsplat: brought to a tile": min(count, BATCH * batches),
        "gsplat: evaluated": int(looked.sum()),
        "gsplat: evaluated, backward": int(last.sum()),
        "gsplat: drawn": int(warps.sum()),
        "gsplat: lanes": int(drawn.sum()),
    }


def _parts(width: int, height: int) -> Callable[[Tensor], Tensor]:
    """From pixels [n, 256] of a tile to its parts [n, P, pixels]."""

    def split(values: Tensor) -> Tensor:
        split = values.view(-1, TILE // height, height, TILE // width, width)
        return split.transpose(2, 3).reshape(len(values), 256 // (width * height), width * height)

    return split


if __name__ == "__main__":
    main()
