"""Which pairs of photos are compared."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from nerfkit.poses import pairs, retrieval
from nerfkit.poses.options import EXHAUSTIVE_UP_TO, PREVIEW_UP_TO


def walk(photos: int) -> retrieval.Floats:
    """Vectors of photos on a circle, each most like its neighbours."""
    angle = np.arange(photos) * 2 * np.pi / photos
    turns = np.arange(1, 12)[:, None]
    wave = np.concatenate([np.cos(turns * angle), np.sin(turns * angle)]) / np.sqrt(11)
    return wave.T.astype(np.float32)


def places(groups: int, each: int, seed: int = 0) -> list[np.ndarray]:
    """Descriptors of photos of several places: those of one place share most of theirs, with noise."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(groups):
        place = rng.integers(0, 256, (300, 128))
        for _ in range(each):
            seen = place[rng.permutation(300)[:200]] + rng.normal(0, 6, (200, 128))
            others = rng.integers(0, 256, (100, 128))
            found.append(np.concatenate([seen, others]).clip(0, 255).astype(np.uint8))
    return found


def vectors(descriptors: list[np.ndarray]) -> retrieval.Floats:
    words = retrieval.words(descriptors, len(descriptors), seed=0)
    return retrieval.vectors(retrieval.count(one, words) for one in descriptors)


@pytest.mark.parametrize(
    ("matcher", "photos", "ordered", "chosen"),
    [
        ("auto", EXHAUSTIVE_UP_TO, False, "exhaustive"),
        ("auto", EXHAUSTIVE_UP_TO + 1, False, "preview"),
        ("auto", PREVIEW_UP_TO, True, "preview"),
        ("auto", PREVIEW_UP_TO + 1, True, "sequential"),
        ("preview", 10, False, "preview"),
        ("retrieval", 10, False, "retrieval"),
        ("exhaustive", 5000, True, "exhaustive"),
        ("sequential", 10, False, "sequential"),
    ],
)
def test_the_matcher_is_the_users_or_follows_from_the_number(
    matcher: str, photos: int, ordered: bool, chosen: str
) -> None:
    choice = pairs.choose(matcher, photos, ordered)
    assert choice is not None
    assert choice.matcher == chosen
    assert ("as asked" in choice.line) == (matcher != "auto")


def test_no_quick_look_is_trusted_by_a_thorough_search() -> None:
    for photos in (EXHAUSTIVE_UP_TO + 1, PREVIEW_UP_TO):
        choice = pairs.choose("auto", photos, ordered=True, thorough=True)
        assert choice is not None
        assert choice.matcher == "exhaustive"
    assert pairs.choose("auto", PREVIEW_UP_TO + 1, ordered=False, thorough=True) is None


def test_large_sets_are_looked_at_first() -> None:
    assert pairs.choose("auto", PREVIEW_UP_TO + 1, ordered=False) is None
    assert pairs.choose_by_sight(walk(120)).matcher == "sequential"
    shuffled = walk(120)[np.random.default_rng(0).permutation(120)]
    choice = pairs.choose_by_sight(shuffled)
    assert choice.matcher == "retrieval"
    assert "120 photos in no order" in choice.line


def test_sequential_pairs_are_neighbours_and_loops() -> None:
    assert pairs.sequential_pairs(10) == list(combinations(range(10), 2))
    found = set(pairs.sequential_pairs(400))
    assert len(found) < 400 * 16
    assert {(0, 1), (100, 110), (100, 116), (0, 256)} <= found
    assert (100, 111) not in found
    assert (0, 399) in pairs.first_round("sequential", walk(400))  # where the walk comes back


def test_the_most_alike_are_found_blockwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "_BLOCK", 7)
    rng = np.random.default_rng(1)
    looks = rng.normal(size=(40, 16)).astype(np.float32)
    alike = looks @ looks.T
    np.fill_diagonal(alike, -np.inf)
    np.testing.assert_array_equal(retrieval.nearest_photos(looks, 5), np.argsort(-alike, axis=1)[:, :5])
    assert retrieval.nearest_photos(looks[:3], 5).shape == (3, 2)


def test_photos_of_one_place_are_alike() -> None:
    found = pairs.alike_pairs(vectors(places(groups=8, each=6)), 5)
    assert {(one, two) for one, two in combinations(range(48), 2) if one // 6 == two // 6} == set(found)


def test_photos_without_features_are_like_nothing_and_break_nothing() -> None:
    descriptors = [np.zeros((0, 128), np.uint8), *places(groups=2, each=4)]
    looks = vectors(descriptors)
    assert not looks[0].any()
    assert np.isfinite(looks).all()
    assert all(0 <= one < two < 9 for one, two in pairs.alike_pairs(looks, 3))
    empty = vectors([np.zeros((0, 128), np.uint8)] * 4)
    assert pairs.alike_pairs(empty, 2)


def test_a_second_round_connects_groups_and_friends_of_friends() -> None:
    looks = walk(60)
    tried = [(i, i + 1) for i in range(59)] + [(29, 31)]
    verified = [pair for pair in tried if pair != (29, 30) and pair != (29, 31)]  # two groups: 0…29 and 30…59
    assert pairs.components(60, verified).max() == 1
    second = pairs.second_round(looks, tried, verified)
    assert not set(second) & set(tried)
    assert len(second) == len(set(second))
    assert all(one < two for one, two in second)
    bridges = {pair for pair in second if (pair[0] < 30) != (pair[1] < 30)}
    assert {(28, 30), (0, 59)} <= bridges  # the nearest of the other group, on both sides
    assert (10, 12) in second  # a friend of a friend
    assert len(second) < 60 * 20


def test_a_second_round_without_anything_verified() -> None:
    second = pairs.second_round(walk(12), tried=[(0, 1)], verified=[])
    assert (0, 1) not in second
    assert pairs.components(12, second).max() == 0


def ring(photos: int) -> np.ndarray:
    """Quick matches of photos on a circle: 60 with the next, fewer with those further off, none across."""
    apart = np.abs(np.arange(photos)[:, None] - np.arange(photos))
    matches = np.maximum(60 - 5 * np.minimum(apart, photos - apart), 0).astype(np.int32)
    np.fill_diagonal(matches, 0)
    return matches


def test_promising_are_the_best_and_others_from_near_to_far() -> None:
    found = set(pairs.promising_pairs(ring(60)))
    assert all(one < two for one, two in found)
    partners = {abs(step) for pair in found if 30 in pair for step in (pair[0] - 30, pair[1] - 30) if step}
    assert {1, 2} <= partners  # the best, on both sides
    assert max(partners) == 10  # the farthest that has 8 matches or more
    assert len(found) < 60 * 10


def test_photos_that_nothing_matches_still_get_their_best_guesses() -> None:
    found = pairs.promising_pairs(np.zeros((30, 30), np.int32))
    assert pairs.components(30, found).max() < 29
    assert pairs.promising_pairs(np.zeros((2, 2), np.int32)) == [(0, 1)]


def test_after_a_quick_look_groups_are_connected_and_lonely_photos_compared_with_all() -> None:
    matches = ring(60)
    tried = pairs.promising_pairs(matches)
    verified = [(one, two) for one, two in tried if (one < 30) == (two < 30) and 5 not in (one, two)]
    missing = pairs.missing_pairs(matches, tried, verified)
    assert not set(missing) & set(tried)
    assert {(min(5, other), max(5, other)) for other in range(60) if other != 5} <= {*tried, *missing}
    across = [pair for pair in {*tried, *missing} if (pair[0] < 30) != (pair[1] < 30)]
    assert len(across) > 30 * 5
    assert len(missing) < 60 * 20
    assert pairs.missing_pairs(matches, tried, tried) == []


def test_where_little_matches_all_pairs_are_compared() -> None:
    tried = pairs.promising_pairs(ring(40))
    missing = pairs.missing_pairs(ring(40), tried, [(at, at + 1) for at in range(39)])
    assert len(tried) + len(missing) == 40 * 39 // 2


@pytest.mark.parametrize("photos", [1, 2, 50, 2000])
def test_components_are_those_of_the_graph(photos: int) -> None:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    rng = np.random.default_rng(photos)
    order = rng.permutation(photos)
    chain = [(int(one), int(two)) for one, two in pairwise(order[: photos // 2])]
    some = [tuple(map(int, pair)) for pair in rng.integers(0, photos, (photos // 5, 2))]
    edges = np.array([*chain, *some]).reshape(-1, 2).astype(int)
    graph = csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (photos, photos))
    count, expected = connected_components(graph, directed=False)
    found = pairs.components(photos, [*chain, *some])
    assert len(set(zip(found, expected))) == count == found.max() + 1
