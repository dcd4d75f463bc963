"""How sharp each frame of a video is, and how far the picture has moved since the first, in one pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nerfkit.capture.decode import Picture

LONGEST = 640  # pixels of the longer side: motion blur that spoils photos shows there, the noise of codecs doesn't
_TRACKED = 320  # pixels of the longer side, for tracking
_WINDOW = (15, 15)  # pixels, at each of the pyramid's levels
_POINTS = 150
_FAST = 0.75  # quantile of the points by their motion: around an object in the middle, which stays, the rest moves
_REKEY = 0.02  # of the longer side: farther than this from the key frame, another one begins
_THINNED = 0.7  # share of the points still tracked, below which another key frame begins
_LOST = 0.25  # share below which the picture has changed at once
_GRACE = 3  # frames after which a picture that was lost (a flash, a hand) may be back
_INLIERS = 20  # matches that agree on an epipolar geometry


@dataclass
class Track:
    """One value per frame."""

    sharpness: NDArray[np.float64]  # variance of the Laplacian; only neighbours in time can be compared
    position: NDArray[np.float64]  # how far the picture has moved since the first frame, in longer sides; ascending
    cuts: list[int]  # frames that don't show what the one before showed


@dataclass
class Meter:
    """Takes a video's frames in order, [H, W] uint8 with :data:`LONGEST` pixels on the longer side.

    Motion is measured against a key frame, by points tracked from there (Lucas and Kanade 1981, in pyramids), so
    that the tremor of a hand that holds still does not add up.
    """

    sharpness: list[float] = field(default_factory=list)
    position: list[float] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    _previous: Picture | None = None
    _lost: tuple[int, Picture] | None = None  # number of the frame that lost the picture, and the frame before it

    def add(self, frame: Picture) -> None:
        import cv2

        self.sharpness.append(float(cv2.Laplacian(frame, cv2.CV_32F).var()))
        scale = _TRACKED / max(frame.shape)
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if self._previous is None:
            self._begin(small, 0.0)
        elif self._previous.shape != frame.shape:
            self.cuts.append(len(self.position))
            self._begin(small, self.position[-1])
        else:
            self._follow(frame, small)
        self._check_lost(frame)
        self._previous = frame

    def track(self) -> Track:
        if self._lost is not None:  # no later frame shows the picture again
            self.cuts.append(self._lost[0])
        return Track(np.array(self.sharpness), np.maximum.accumulate(np.array(self.position)), sorted(self.cuts))

    def _begin(self, small: Picture, position: float) -> None:
        """The present frame, at ``position``, becomes the key frame."""
        import cv2

        points = cv2.goodFeaturesToTrack(small, _POINTS, 0.005, 8)
        self._points = np.zeros((0, 1, 2), np.float32) if points is None else points  # [P, 1, 2]
        self._key, self._guess, self._base = small, self._points, position
        self.position.append(position)

    def _follow(self, frame: Picture, small: Picture) -> None:
        share, moved = self._tracked(small)
        if share < _LOST:
            self._begin(small, self.position[-1] + (self._jump(frame) if len(self._points) else 0.0))
        elif moved > _REKEY or share < _THINNED:
            self._begin(small, self._base + moved)
        else:
            self.position.append(self._base + moved)

    def _tracked(self, small: Picture) -> tuple[float, float]:
        """Share of the key frame's points that are found forth and back, and how far they have moved."""
        import cv2

        if not len(self._points):
            return 0.0, 0.0
        there, ok, _ = cv2.calcOpticalFlowPyrLK(
            self._key, small, self._points, self._guess.copy(), winSize=_WINDOW, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
        )
        back, ok_back, _ = cv2.calcOpticalFlowPyrLK(small, self._key, there, self._points.copy(), winSize=_WINDOW)
        error = np.linalg.norm((back - self._points)[:, 0], axis=1)
        good = (ok[:, 0] > 0) & (ok_back[:, 0] > 0) & (error < 1)
        if not good.any():
            return 0.0, 0.0
        flow = there - self._points
        self._guess = np.where(good[:, None, None], there, self._points + np.median(flow[good], 0)).astype(np.float32)
        return float(good.mean()), float(np.quantile(np.linalg.norm(flow[good, 0], axis=1), _FAST)) / max(small.shape)

    def _jump(self, frame: Picture) -> float:
        """How far the picture has moved from the frame before; where that isn't known, it may be a cut."""
        assert self._previous is not None
        moved = connected(self._previous, frame)
        if moved is None and self._lost is None:
            self._lost = len(self.position), self._previous
        return moved or 0.0

    def _check_lost(self, frame: Picture) -> None:
        """Whether the picture from before a loss is back."""
        if self._lost is None or len(self.position) - 1 < self._lost[0] + _GRACE:
            return
        number, before = self._lost
        moved = connected(before, frame)
        if moved is None:
            self.cuts.append(number)
        self._lost = None


def connected(one: Picture, two: Picture) -> float | None:
    """How far the picture moves between two frames [H, W], in longer sides; None where they show nothing in common."""
    import cv2

    sift = cv2.SIFT.create(1000)
    points_one, found_one = sift.detectAndCompute(one, None)
    points_two, found_two = sift.detectAndCompute(two, None)
    if found_one is None or found_two is None or len(found_one) < _INLIERS or len(found_two) < _INLIERS:
        return None
    pairs = cv2.BFMatcher().knnMatch(found_one, found_two, k=2)
    matches = [best for best, second in pairs if best.distance < 0.8 * second.distance]
    if len(matches) < _INLIERS:
        return None
    at_one = np.array([points_one[match.queryIdx].pt for match in matches])
    at_two = np.array([points_two[match.trainIdx].pt for match in matches])
    _, inliers = cv2.findFundamentalMat(at_one, at_two, cv2.USAC_MAGSAC, 1.5, 0.999, 2000)
    if inliers is None or inliers.sum() < _INLIERS:
        return None
    moved = np.linalg.norm(at_two - at_one, axis=1)[inliers[:, 0] > 0]
    return float(np.quantile(moved, _FAST)) / max(one.shape)
