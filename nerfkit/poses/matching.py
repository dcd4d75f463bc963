"""Feature matches between photos, each pair verified by a two-view geometry, by pycolmap."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

from nerfkit.poses.worker import Tell, counting, settle

_BLOCK = 25  # photos whose descriptors are in memory at a time, twice
_NEIGHBOURS = 10
_KEYS = 60  # photos of a sequence that are compared all with all, to close its loops


def work(tell: Tell, database: str, matcher: str, seed: int, rig: bool = False) -> dict[str, Any]:
    """Adds matches to a database with features; views of a ``rig`` in one place aren't compared with each other.

    Gives how many pairs were verified.
    """
    import pycolmap

    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    matching = pycolmap.FeatureMatchingOptions()
    matching.skip_image_pairs_in_same_frame = rig
    options = {"matching_options": matching, "verification_options": verification, "device": pycolmap.Device.cpu}
    with pycolmap.Database.open(database) as filled:
        images = sorted(filled.read_all_images(), key=lambda image: image.name)
    chosen = sequential_pairs(len(images))
    total = comb(len(images), 2) if matcher == "exhaustive" else len(chosen)
    with counting(Path(database), "SELECT COUNT(*) FROM two_view_geometries", total, tell):
        if matcher == "exhaustive":
            every = pycolmap.ExhaustivePairingOptions()
            every.block_size = _BLOCK
            pycolmap.match_exhaustive(database, pairing_options=every, **options)
        else:
            listed = pycolmap.ImportedPairingOptions()
            listed.match_list_path = Path(database).with_name("pairs.txt")
            numbers = [image.image_id for image in images]
            listed.match_list_path.write_text("".join(f"{numbers[i]} {numbers[j]}\n" for i, j in chosen))
            # COLMAP reads the pairs split at spaces, which names may contain.
            _rename(Path(database), {number: str(number) for number in numbers})
            pycolmap.match_image_pairs(database, pairing_options=listed, **options)
            _rename(Path(database), {image.image_id: image.name for image in images})
    with pycolmap.Database.open(database) as filled:
        verified = filled.num_verified_image_pairs()
    settle(Path(database))
    return {"verified_pairs": verified}


def _rename(database: Path, names: dict[int, str]) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany("UPDATE images SET name = ? WHERE image_id = ?", [(n, i) for i, n in names.items()])


def sequential_pairs(photos: int) -> list[tuple[int, int]]:
    """Pairs of indices for photos in the order of a walk: the next ten, those 16, 32, 64… further on, and all pairs
    among 60 photos spread evenly, which find where the walk comes back."""
    steps = [*range(1, _NEIGHBOURS + 1), *(1 << power for power in range(4, photos.bit_length()))]
    pairs = {(index, index + step) for step in steps for index in range(photos - step)}
    pairs.update(combinations(sorted({round(key * (photos - 1) / (_KEYS - 1)) for key in range(_KEYS)}), 2))
    return sorted(pairs)
