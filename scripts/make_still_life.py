#!/usr/bin/env python3
"""Makes the bundled scene ``scenes/still_life``: photos by a path tracer, and their ground truth.

Everything comes from this code and one seed; there are no assets. Needs Python 3.11 and Blender as a
module, in an environment of its own (nerfkit does not need it)::

    python3.11 -m venv /tmp/blender && /tmp/blender/bin/pip install bpy==5.0.1 numpy pillow
    /tmp/blender/bin/python scripts/make_still_life.py                 # about twenty minutes on 2 cores
    /tmp/blender/bin/python scripts/make_still_life.py --out /tmp/look --only 0 20 45 --samples 16
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from still_life import blender, truth
from still_life.arrangement import room, still_life
from still_life.cameras import walk
from still_life.materials import materials

ROOT = Path(__file__).resolve().parent.parent
EXPOSURE = -0.3  # stops, the same for all photos
NOISE = 1.0  # deviation of the sensor's noise, in steps of 8 bits


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "scenes" / "still_life")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--samples", type=int, default=16, help="paths per pixel, before denoising")
    parser.add_argument("--only", type=int, nargs="*", help="render only these photos, write no truth")
    parser.add_argument("--truth-only", action="store_true", help="write cameras, depth and mesh, render nothing")
    options = parser.parse_args(argv)

    shape_rng, paint_rng, walk_rng, noise_rng = (np.random.default_rng([options.seed, k]) for k in range(4))
    near, far, photos = still_life(shape_rng), room(), walk(walk_rng)
    if options.only is None:
        truth.write(options.out / "truth", near, far, photos)
    if options.truth_only:
        return 0

    blender.build(near | far, materials(paint_rng))
    blender.settings(options.samples, EXPOSURE)
    folder = options.out / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for k, photo in enumerate(photos):
            grain = noise_rng.normal(0, NOISE, (480, 640, 3))
            if options.only is not None and k not in options.only:
                continue
            png = Path(scratch) / "photo.png"
            blender.shoot(photo.world_from_cam, png, 1000 * options.seed + k)
            pixels = np.asarray(Image.open(png).convert("RGB")) + grain
            picture = Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8))
            picture.save(folder / photo.name, quality=90, exif=truth.exif())
            print(f"{photo.name}  {k + 1} of {len(photos)}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
