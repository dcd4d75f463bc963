"""Feature matches between photos, each pair verified by a two-view geometry, by pycolmap."""

from __future__ import annotations

from math import comb
from pathlib import Path
from typing import Any

from nerfkit.poses.worker import Tell, counting, settle

_OVERLAP = 10  # neighbours by name, and as many at distances 2, 4, 8, 16...
_BLOCK = 25  # photos whose descriptors are in memory at a time, twice


def work(tell: Tell, database: str, matcher: str, photos: int, seed: int) -> dict[str, Any]:
    """Adds matches to a database with features. Gives how many pairs were verified."""
    import pycolmap

    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu = False
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    options = {"matching_options": matching, "verification_options": verification}
    total = comb(photos, 2) if matcher == "exhaustive" else _sequential_pairs(photos)
    with counting(Path(database), "SELECT COUNT(*) FROM two_view_geometries", total, tell):
        if matcher == "exhaustive":
            pairing = pycolmap.ExhaustivePairingOptions()
            pairing.block_size = _BLOCK
            pycolmap.match_exhaustive(database, pairing_options=pairing, **options)
        else:
            neighbours = pycolmap.SequentialPairingOptions()
            neighbours.overlap = _OVERLAP
            neighbours.quadratic_overlap = True
            pycolmap.match_sequential(database, pairing_options=neighbours, **options)
    with pycolmap.Database.open(database) as filled:
        verified = filled.num_verified_image_pairs()
    settle(Path(database))
    return {"verified_pairs": verified}


def _sequential_pairs(photos: int) -> int:
    near = sum(min(_OVERLAP, photos - 1 - index) for index in range(photos))
    steps = [1 << power for power in range(_OVERLAP)]
    far = sum(step > _OVERLAP and index + step < photos for index in range(photos) for step in steps)
    return max(1, near + far)
