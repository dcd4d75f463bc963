"""How much of photos' detail is finer than half of their size."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nerfkit.data.detail import kept_at_half

NOISE = np.random.default_rng(0).integers(0, 256, (96, 129, 3)).astype(np.uint8)
SOFT = cv2.resize(NOISE[:24, :33], (129, 96), interpolation=cv2.INTER_CUBIC)


def scene_of(*photos: NDArray[Any], mask: NDArray[Any] | None = None) -> Any:
    views = [
        SimpleNamespace(
            image=lambda photo=photo: torch.from_numpy(photo),
            mask=lambda: None if mask is None else torch.from_numpy(mask),
        )
        for photo in photos
    ]
    return SimpleNamespace(train=list(range(len(views))), views=views)


def test_soft_photos_lose_little_and_noise_nearly_all() -> None:
    half = cv2.resize(
        cv2.resize(NOISE, (65, 48), interpolation=cv2.INTER_AREA), (129, 96), interpolation=cv2.INTER_CUBIC
    )
    expected = -10 * math.log10(np.square((half.astype(float) - NOISE) / 255).mean())
    assert kept_at_half(scene_of(NOISE)) == pytest.approx(expected, abs=1e-6)
    assert expected < 12 and kept_at_half(scene_of(SOFT)) > expected + 15
    assert kept_at_half(scene_of(np.full((7, 5, 3), 90, np.uint8))) == math.inf
    assert kept_at_half(scene_of()) == math.inf


def test_a_sharp_photo_among_soft_ones_is_not_lost_in_their_mean() -> None:
    sharp, mixed = kept_at_half(scene_of(NOISE)), kept_at_half(scene_of(NOISE, SOFT))
    assert sharp < mixed < sharp + 3.1  # half of the pixels lose as much


def test_what_a_mask_hides_does_not_count() -> None:
    mask = np.full(NOISE.shape[:2], 255, np.uint8)
    mask[:, 40:] = 0
    photo = np.where(np.arange(129)[None, :, None] < 38, SOFT, NOISE)  # its edge is at the mask's
    assert kept_at_half(scene_of(photo, mask=mask)) > kept_at_half(scene_of(photo)) + 3
    assert kept_at_half(scene_of(NOISE, mask=np.zeros_like(mask))) == math.inf
