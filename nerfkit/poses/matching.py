"""Second stage: which photos show the same things, and which features of them agree."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from nerfkit.poses import worker
from nerfkit.poses.options import PoseOptions
from nerfkit.progress import ProgressSink

EXHAUSTIVE_LIMIT = 200  # photos; beyond, the pairs (n squared over two) take longer than all the rest
NEIGHBOURS = 10
KEY_PHOTOS = 60  # spread over a sequence and matched with each other, to close its loops
CHUNK = 100  # pairs a call: COLMAP commits, and progress and Ctrl-C get their turn, after each


def match(database: Path, names: list[str], options: PoseOptions, progress: ProgressSink) -> None:
    """Matches and verifies pairs; pairs that are in the database are left as they are."""
    import pycolmap

    with pycolmap.Database.open(database) as opened:
        ids = {image.name: image.image_id for image in opened.read_all_images()}
        wanted = pairs(names, options.matcher)
        missing = [
            (a, b) for a, b in wanted if not opened.exists_two_view_geometry(ids[a], ids[b])
        ]  # fmt: skip
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = options.seed
    pairing = pycolmap.ImportedPairingOptions()
    pair_file = database.with_name("pairs.txt")
    pairing.match_list_path = pair_file
    for start in range(0, len(missing), CHUNK):
        progress("matching", len(wanted) - len(missing) + start, len(wanted))
        chunk = missing[start : start + CHUNK]
        pair_file.write_text("".join(f"{a} {b}\n" for a, b in chunk))
        worker.run(
            lambda token: pycolmap.match_image_pairs(
                database, pairing_options=pairing, verification_options=verification,
                device=pycolmap.Device.cpu, cancellation_token=token,
            )  # fmt: skip
        )
    pair_file.unlink(missing_ok=True)
    progress("matching", len(wanted), len(wanted))


def clear(database: Path) -> None:
    """Takes all matches out of the database and leaves the features."""
    import pycolmap

    with pycolmap.Database.open(database) as opened:
        opened.clear_matches()
        opened.clear_two_view_geometries()


def pairs(names: list[str], matcher: str) -> list[tuple[str, str]]:
    """The pairs of names to match, each once, in a fixed order.

    ``sequential`` takes the next 10 by name, those 16, 32, 64… further on, and all pairs among 60 photos
    spread evenly over the sequence.
    """
    count = len(names)
    if matcher == "exhaustive" or (matcher == "auto" and count <= EXHAUSTIVE_LIMIT):
        return list(combinations(names, 2))
    steps = [*range(1, NEIGHBOURS + 1), *(2**k for k in range(4, count.bit_length()))]
    chosen = {(i, i + step) for step in steps for i in range(count - step)}
    keys = sorted({round(k * (count - 1) / (KEY_PHOTOS - 1)) for k in range(KEY_PHOTOS)})
    chosen.update(combinations(keys, 2))
    return [(names[i], names[j]) for i, j in sorted(chosen)]
