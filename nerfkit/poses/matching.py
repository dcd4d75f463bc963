"""Feature matches between photos, each pair verified by a two-view geometry, by pycolmap."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from nerfkit.poses import learned, pairs, preview, retrieval
from nerfkit.poses.worker import Tell, counting, settle

_BLOCK = 25  # photos whose descriptors are in memory at a time, twice
_FEWEST_TRIALS = 30
_COUNT = "SELECT COUNT(*) FROM two_view_geometries"


def work(
    tell: Tell, database: str, matcher: str, ordered: bool, guided: bool, seed: int, rig: bool = False,
    network: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Adds matches to a database with features.

    ``matcher`` is ``auto``, or what the user asks for; ``ordered`` tells that the photos, sorted by name, are in the
    order they were taken in; ``guided`` matches once more with the geometry of each verified pair known, and trusts no
    quick look at pairs. Views of a ``rig`` in one place aren't compared with each other. ``network`` is LightGlue's
    file, for ALIKED's features; None: the nearest descriptors. Gives the ``matcher`` that was chosen, ``why``, and how
    many pairs were compared and verified.
    """
    job = _Job(tell, Path(database), guided, seed, rig, network)
    thorough = guided or rig or network is not None
    choice = pairs.choose(matcher, len(job.images), ordered, thorough)
    vectors = None
    if choice is None or choice.matcher in ("sequential", "retrieval"):
        vectors = job.vectors()
        choice = choice or pairs.choose_by_sight(vectors)
    tell.say(choice.line)
    if choice.matcher == "preview":
        seen = preview.matches(job.largest())
        compared = job.rounds(pairs.promising_pairs(seen), partial(pairs.missing_pairs, seen))
    elif vectors is not None:
        compared = job.rounds(pairs.first_round(choice.matcher, vectors), partial(pairs.second_round, vectors))
    else:
        compared = job.exhaustive()
    verified = len(job.verified())
    settle(Path(database))
    return {"matcher": choice.matcher, "why": choice.why, "pairs": compared, "verified_pairs": verified}


class _Job:
    """What the rounds of matching share: the database, its images in the order of their names, and the options."""

    def __init__(self, tell: Tell, database: Path, guided: bool, seed: int, rig: bool, network: str | None) -> None:
        import pycolmap

        self.tell, self.database, self.seed = tell, database, seed
        with pycolmap.Database.open(database) as filled:
            self.images = sorted(filled.read_all_images(), key=lambda image: image.name)
        matching, verification = pycolmap.FeatureMatchingOptions(), pycolmap.TwoViewGeometryOptions()
        matching.guided_matching, matching.skip_image_pairs_in_same_frame = guided, rig
        verification.ransac.random_seed = seed
        # Where nine of ten matches are right, a hundred samples are three times what COLMAP's confidence asks for.
        verification.ransac.min_num_trials = _FEWEST_TRIALS
        if network is not None:
            learned.use_matcher(matching, network)
        self.options = {
            "matching_options": matching, "verification_options": verification, "device": pycolmap.Device.cpu,
        }  # fmt: skip

    def vectors(self) -> retrieval.Floats:
        """What each photo looks like [N, D]. Descriptors are read one photo at a time."""
        import pycolmap

        with pycolmap.Database.open(self.database) as filled:

            def descriptors() -> Iterator[retrieval.Descriptors]:
                return (_numbers(filled.read_descriptors(image.image_id)) for image in self.images)

            words = retrieval.words(descriptors(), len(self.images), self.seed)
            return retrieval.vectors(retrieval.count(one, words) for one in descriptors())

    def largest(self) -> list[retrieval.Floats]:
        """The descriptors of each photo's largest features."""
        import pycolmap

        with pycolmap.Database.open(self.database) as filled:
            numbers = [image.image_id for image in self.images]
            return [
                preview.largest(filled.read_descriptors(number).data, filled.read_keypoints(number))
                for number in numbers
            ]

    def rounds(self, first: pairs.Pairs, more: Callable[[pairs.Pairs, pairs.Pairs], pairs.Pairs]) -> int:
        """Compares pairs, and then ``more`` by those tried and verified; gives their number."""
        second = more(first, self.match(first, 0))
        if second:
            self.match(second, len(first))
        return len(first) + len(second)

    def exhaustive(self) -> int:
        """Compares all pairs; gives their number."""
        import pycolmap

        every = pycolmap.ExhaustivePairingOptions()
        every.block_size = _BLOCK
        total = comb(len(self.images), 2)
        with counting(self.database, _COUNT, total, self.tell):
            pycolmap.match_exhaustive(self.database, pairing_options=every, **self.options)
        return total

    def match(self, chosen: pairs.Pairs, before: int) -> pairs.Pairs:
        """Compares pairs of indices, after ``before`` others; gives all pairs verified until now."""
        import pycolmap

        listed = pycolmap.ImportedPairingOptions()
        listed.match_list_path = self.database.with_name("pairs.txt")
        numbers = [image.image_id for image in self.images]
        listed.match_list_path.write_text("".join(f"{numbers[i]} {numbers[j]}\n" for i, j in chosen))
        # COLMAP reads the pairs split at spaces, which names may contain.
        _rename(self.database, {number: str(number) for number in numbers})
        with counting(self.database, _COUNT, before + len(chosen), self.tell):
            pycolmap.match_image_pairs(self.database, pairing_options=listed, **self.options)
        _rename(self.database, {image.image_id: image.name for image in self.images})
        return self.verified()

    def verified(self) -> pairs.Pairs:
        """The pairs of indices that show the same place."""
        import pycolmap

        index = {image.image_id: index for index, image in enumerate(self.images)}
        with pycolmap.Database.open(self.database) as filled:
            numbers, inliers = filled.read_two_view_geometry_num_inliers()
        found = [pycolmap.pair_id_to_image_pair(number) for number, count in zip(numbers, inliers) if count > 0]
        return [(index[one], index[two]) for one, two in found]


def _numbers(descriptors: Any) -> retrieval.Descriptors:
    """Descriptors [M, D] of one photo; those of networks are floats, which the database holds byte by byte."""
    import pycolmap

    if descriptors.type == pycolmap.FeatureExtractorType.SIFT:
        return np.asarray(descriptors.data)
    return np.asarray(descriptors.to_float().data)


def _rename(database: Path, names: dict[int, str]) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany("UPDATE images SET name = ? WHERE image_id = ?", [(n, i) for i, n in names.items()])
