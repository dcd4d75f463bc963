"""Which pairs of photos are compared, and why: all, those that a quick look promises, neighbours in time, or those
that look alike.

Photos are indices 0…N-1 in the order of their names; pairs are (i, j) with i < j.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.poses.options import EXHAUSTIVE_UP_TO, PREVIEW_UP_TO
from nerfkit.poses.retrieval import Floats, in_order, nearest_photos

Pairs = list[tuple[int, int]]

ALIKE = 25  # photos that each one is compared with where there are too many for all pairs
_NEIGHBOURS = 10
_LOOPS = 8  # of the photos most alike, where neighbours are known by their names
_BRIDGES = 15  # photos of other groups that each photo of a small group is compared with
_FRIENDS = 5  # of the photos that its matching photos match
# After a quick look at all pairs: partners of each photo that match it best, and others, from near to far, which keep
# long walks from drifting; with 12 of the best in place of 5 and 5, poses of 50 photos are off by half as much again.
_BEST = 5
_SPREAD = 5
_PROMISING = 8  # matches of the largest features: of such pairs, 97 % are verified on fox, 81 % on the still life
_PARTNERS = 6  # a photo with fewer verified ones is compared with all others


@dataclass(frozen=True)
class Choice:
    matcher: str  # exhaustive, preview, sequential or retrieval
    why: str  # a line for the user

    @property
    def line(self) -> str:
        return f"pairs: {self.matcher}, {self.why}"


def choose(matcher: str, photos: int, ordered: bool, thorough: bool = False) -> Choice | None:
    """The matcher, as the user said or by the number of photos; None: it depends on what the photos look like.

    ``ordered`` says that the photos are known to be in the order they were taken in, as a video's frames are;
    ``thorough`` that no quick look at pairs is to be trusted.
    """
    if matcher == "exhaustive":
        return Choice(matcher, f"as asked: all {comb(photos, 2)} pairs")
    if matcher == "sequential":
        return Choice(matcher, "as asked: neighbours by name, and photos that look alike")
    if matcher == "retrieval":
        return Choice(matcher, "as asked: photos that look alike")
    if matcher == "preview":
        return Choice(matcher, "as asked: a quick look at all pairs, and then the promising ones")
    if photos <= EXHAUSTIVE_UP_TO or (thorough and photos <= PREVIEW_UP_TO):
        return Choice("exhaustive", f"all {comb(photos, 2)} of {photos} photos")
    if photos <= PREVIEW_UP_TO:
        return Choice("preview", f"those that a quick look at all {comb(photos, 2)} of {photos} photos promises")
    if ordered:
        return Choice("sequential", f"{photos} frames in order: neighbours, and frames that look alike")
    return None


def choose_by_sight(vectors: Floats) -> Choice:
    """The matcher for a large set of photos: whether they are in order is seen from their vectors [N, D]."""
    photos = len(vectors)
    if in_order(vectors):
        return Choice(
            "sequential", f"{photos} photos whose neighbours by name look alike: neighbours, and others that look alike"
        )
    return Choice("retrieval", f"{photos} photos in no order: the {ALIKE} most alike of each")


def first_round(matcher: str, vectors: Floats) -> Pairs:
    """The pairs to begin with, for the matchers ``sequential`` and ``retrieval``."""
    photos = len(vectors)
    if matcher == "sequential":
        return _sorted({*sequential_pairs(photos), *alike_pairs(vectors, _NEIGHBOURS + _LOOPS)})
    return alike_pairs(vectors, ALIKE)


def promising_pairs(matches: NDArray[np.int32]) -> Pairs:
    """Each photo with those that match it best at a quick look, and with others that match it, spread over the rest.

    Args:
        matches: how many of their largest features match [N, N].
    """
    pairs = []
    for photo, counts in enumerate(matches):
        order = np.argsort(-counts, kind="stable")
        order = order[order != photo]
        rest = order[_BEST:][counts[order[_BEST:]] >= _PROMISING]
        spread = rest[np.linspace(0, len(rest) - 1, min(_SPREAD, len(rest))).round().astype(int)]
        pairs += [(photo, int(other)) for other in (*order[:_BEST], *spread)]
    return _sorted(pairs)


def missing_pairs(matches: NDArray[np.int32], tried: Pairs, verified: Pairs) -> Pairs:
    """Pairs worth trying after the promising ones: those that connect groups, and all others of photos that few match.

    ``matches`` [N, N] are those of the quick look, ``verified`` those of the ``tried`` pairs that show the same place.
    Nothing of ``tried`` comes again.
    """
    photos, known = len(matches), set(tried)
    partners = np.bincount(np.array(verified, np.intp).reshape(-1), minlength=photos)
    alone = [(int(one), two) for one in np.flatnonzero(partners < _PARTNERS) for two in range(photos) if two != one]
    return [pair for pair in _sorted({*alone, *_bridges(photos, matches.__getitem__, verified)}) if pair not in known]


def sequential_pairs(photos: int) -> Pairs:
    """Pairs of photos in the order of a walk: the next ten, and those 16, 32, 64… further on."""
    steps = [*range(1, _NEIGHBOURS + 1), *(1 << power for power in range(4, photos.bit_length()))]
    return _sorted((index, index + step) for step in steps for index in range(photos - step))


def alike_pairs(vectors: Floats, count: int) -> Pairs:
    """Each photo with the ``count`` photos most like it."""
    nearest = nearest_photos(vectors, count)
    return _sorted((one, int(two)) for one, row in enumerate(nearest) for two in row)


def second_round(vectors: Floats, tried: Pairs, verified: Pairs) -> Pairs:
    """Pairs worth trying after the first ones: those that connect groups, and friends of friends.

    ``verified`` are those of the ``tried`` pairs that show the same place. Nothing of ``tried`` comes again.
    """
    bridges = _bridges(len(vectors), lambda photo: vectors @ vectors[photo], verified)
    known = set(tried)
    return [pair for pair in _sorted({*bridges, *_friends(len(vectors), verified)}) if pair not in known]


def components(photos: int, pairs: Pairs) -> NDArray[np.intp]:
    """The connected component of each photo [N], numbered from 0, of the graph with these edges."""
    one, two = np.array(pairs, np.intp).reshape(-1, 2).T
    lowest = np.arange(photos)  # a photo of the same component
    while (lowest[one] != lowest[two]).any():
        lower = np.minimum(lowest[one], lowest[two])
        for end in (one, two):
            np.minimum.at(lowest, lowest[end], lower)
            np.minimum.at(lowest, end, lower)
        lowest = lowest[lowest]
    return np.unique(lowest, return_inverse=True)[1].astype(np.intp)


def _bridges(photos: int, alike_to: Callable[[int], NDArray[Any]], verified: Pairs) -> Pairs:
    """Each photo outside of the largest group with the photos of other groups that are most like it: ``alike_to``
    gives how much each one is [N]."""
    group = components(photos, verified)
    largest = np.bincount(group).argmax()
    pairs = []
    for photo in np.flatnonzero(group != largest):
        alike = np.where(group == group[photo], -np.inf, alike_to(int(photo)))
        best = np.argsort(-alike, kind="stable")[: min(_BRIDGES, int((group != group[photo]).sum()))]
        pairs += [(int(photo), int(other)) for other in best]
    return pairs


def _friends(photos: int, verified: Pairs) -> Pairs:
    """Each photo with those that most of its matching photos match, and that it has not been compared with."""
    graph = _graph(photos, verified)
    graph = graph + graph.T
    common = (graph @ graph).tocsr()
    pairs = []
    for photo in range(photos):
        row = slice(common.indptr[photo], common.indptr[photo + 1])
        others, counts = common.indices[row], common.data[row]
        new = ~np.isin(others, graph.indices[graph.indptr[photo] : graph.indptr[photo + 1]]) & (others != photo)
        order = np.lexsort((others[new], -counts[new]))[:_FRIENDS]
        pairs += [(photo, int(other)) for other in others[new][order]]
    return pairs


def _graph(photos: int, pairs: Pairs):  # type: ignore[no-untyped-def] # scipy has no types
    from scipy.sparse import csr_matrix

    edges = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return csr_matrix((np.ones(len(edges), np.int32), (edges[:, 0], edges[:, 1])), shape=(photos, photos))


def _sorted(pairs: Iterable[tuple[int, int]]) -> Pairs:
    return sorted({(min(pair), max(pair)) for pair in pairs})
