"""How many of the largest features of each two photos match."""

from __future__ import annotations

import numpy as np

from nerfkit.poses import preview


def shapes(scales: np.ndarray, seed: int) -> np.ndarray:
    """Keypoints [M, 6] of these scales, turned by some angle."""
    rng = np.random.default_rng(seed)
    angle, places = rng.uniform(0, 6, len(scales)), rng.uniform(0, 500, (len(scales), 2))
    cosine, sine = scales * np.cos(angle), scales * np.sin(angle)
    return np.column_stack([places, cosine, -sine, sine, cosine]).astype(np.float32)


def test_the_largest_features_are_taken() -> None:
    descriptors = np.random.default_rng(0).integers(0, 256, (50, 128)).astype(np.uint8)
    scales = np.random.default_rng(1).permutation(50) + 1.0
    table = preview.largest(descriptors, shapes(scales, 2), 8)
    order = np.argsort(-scales)[:8]
    assert table.shape == (8, 128)
    expected = descriptors[order].astype(np.float64)
    np.testing.assert_allclose(table, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5)
    by_scale = np.column_stack([shapes(scales, 2)[:, :2], scales, scales * 0])  # x, y, scale, orientation
    np.testing.assert_array_equal(preview.largest(descriptors, by_scale.astype(np.float32), 8), table)


def test_fewer_features_leave_zeros() -> None:
    descriptors = np.full((3, 128), 7, np.uint8)
    table = preview.largest(descriptors, shapes(np.ones(3), 0), 8)
    assert (np.linalg.norm(table, axis=1) > 0).tolist() == [True] * 3 + [False] * 5
    assert not preview.largest(np.zeros((0, 128), np.uint8), np.zeros((0, 6), np.float32), 8).any()


def slow(one: np.ndarray, two: np.ndarray) -> int:
    """Mutual nearest neighbours that pass the ratio test and the limit, by their angles."""
    angles = np.arccos((one @ two.T).clip(-1, 1))
    found = 0
    for row, column in enumerate(angles.argmin(1)):
        nearest, second = np.sort(angles[row])[:2]
        found += angles[:, column].argmin() == row and nearest < 0.7 and nearest < 0.8 * second
    return found


def test_matches_are_counted_as_a_slow_search_does() -> None:
    rng = np.random.default_rng(0)
    place = rng.gamma(0.5, size=(60, 128))
    photos = []
    for number in range(19):  # more than two blocks
        seen = place[rng.permutation(60)[: 3 * number]] + rng.normal(0, 0.25, (3 * number, 128))
        table = np.concatenate([seen, rng.gamma(0.5, size=(60 - 3 * number, 128))])
        photos.append((table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32))
    counts = preview.matches(photos)
    expected = [[0 if one is two else slow(one, two) for two in photos] for one in photos]
    np.testing.assert_array_equal(np.triu(counts), np.triu(expected))
    np.testing.assert_array_equal(counts, counts.T)
    assert counts[18, 17] > 20
    assert counts[0].max() < 3


def test_photos_without_features_match_nothing() -> None:
    empty = np.zeros((16, 128), np.float32)
    some = np.eye(16, 128, dtype=np.float32)
    counts = preview.matches([empty, some, some, empty])
    assert counts[1, 2] == 16
    assert counts.sum() == 32
