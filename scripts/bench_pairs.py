"""Which pairs are compared, and what that costs: ``python scripts/bench_pairs.py [--photos FOLDER] [--counts 50 100]``.

Makes sets of photos by perturbing those of a folder (the bundled scene's, unless another is given): crops, small
turns and warps, brightness. Each set is matched by every matcher; printed are the pairs compared, the share of the
verified pairs of exhaustive matching that were found (of all of them, and weighted by their matches), the groups that
verified pairs leave the photos in, and CPU seconds (which hardly depend on what else the machine does).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from nerfkit.poses import features, matching, pairs
from nerfkit.poses.options import QUALITY

ROOT = Path(__file__).parents[1]
Verified = dict[tuple[str, str], int]  # names -> matches


class Silent:
    """Hears what the stages tell."""

    def __call__(self, done: int, total: int) -> None:
        pass

    def say(self, line: str) -> None:
        pass


def perturbed(sources: list[Path], count: int, folder: Path) -> list[str]:
    """Writes ``count`` photos, each a perturbed source; names don't tell which. Gives their names."""
    rng = np.random.default_rng(0)
    order = rng.permutation(count)
    names = [f"{number:04d}.jpg" for number in range(count)]
    for index in range(count):
        image = cv2.imread(str(sources[index * len(sources) // count]))
        height, width = image.shape[:2]
        size = np.array([width, height])
        crop, turn = rng.uniform(0.75, 1.0), np.radians(rng.uniform(-8, 8))
        center = size / 2 + rng.uniform(-0.5, 0.5, 2) * (1 - crop) * size
        corners = (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * crop * size / 2) @ np.array(
            [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
        ) + center + rng.normal(0, 0.015, (4, 2)) * size  # fmt: skip
        target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        warp = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
        image = cv2.warpPerspective(image, warp, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        noisy = image.astype(np.float32) * rng.uniform(0.7, 1.3) + rng.normal(0, 3, image.shape)
        cv2.imwrite(str(folder / names[order[index]]), noisy.clip(0, 255).astype(np.uint8))
    return names


def verified(database: Path) -> Verified:
    import pycolmap

    with pycolmap.Database.open(database) as filled:
        names = {image.image_id: image.name for image in filled.read_all_images()}
        numbers, counts = filled.read_two_view_geometry_num_inliers()
    found = {}
    for number, count in zip(numbers, counts):
        if count:
            one, two = sorted(names[image] for image in pycolmap.pair_id_to_image_pair(number))
            found[one, two] = count
    return found


def measure(sources: list[Path], count: int, matchers: list[str], work: Path) -> None:
    folder = work / f"photos-{count}"
    folder.mkdir()
    if count <= len(sources):  # the photos themselves, under their own names
        names = [source.name for source in sources[:count]]
        for source in sources[:count]:
            shutil.copy(source, folder)
    else:
        names = perturbed(sources, count, folder)
    height, width = cv2.imread(str(folder / names[0])).shape[:2]
    base = work / f"features-{count}.db"
    groups = [{"names": names, "size": (width, height), "focal_px": None}]
    features.work(Silent(), str(base), str(folder), groups, "OPENCV", asdict(QUALITY["draft"]))
    truth: Verified | None = None
    for matcher in matchers:
        database = work / f"{matcher}-{count}.db"
        shutil.copy(base, database)
        start, wall = time.process_time(), time.perf_counter()
        result = matching.work(Silent(), str(database), matcher, False, False, 0)
        seconds, wall = time.process_time() - start, time.perf_counter() - wall
        found = verified(database)
        truth = found if matcher == "exhaustive" else truth
        recall = "| |"
        if truth:
            both = sum(truth[pair] for pair in found.keys() & truth.keys())
            recall = f"{len(found.keys() & truth.keys()) / len(truth):.3f} | {both / sum(truth.values()):.3f} |"
        index = {name: number for number, name in enumerate(names)}
        left = pairs.components(count, [(index[one], index[two]) for one, two in found]).max() + 1
        print(f"| {count} | {result['matcher']} | {result['pairs']} | {len(found)} | {recall} {left} | "
              f"{seconds:.0f} | {wall:.0f} |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=ROOT / "scenes" / "still_life" / "photos")
    parser.add_argument("--counts", type=int, nargs="*", default=[50, 100, 200, 300])
    parser.add_argument("--matchers", nargs="*", default=["exhaustive", "preview", "sequential", "retrieval"])
    parser.add_argument("--exhaustive-up-to", type=int, default=300, help="its cost grows with the square")
    options = parser.parse_args()
    sources = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    print("| photos | matcher | pairs | verified | recall | … by matches | groups | CPU s | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for count in options.counts:
            chosen = [one for one in options.matchers if one != "exhaustive" or count <= options.exhaustive_up_to]
            measure(sources, count, chosen, Path(work))


if __name__ == "__main__":
    main()
