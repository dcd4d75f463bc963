"""Similarities between frames: one scale, one rotation, one translation. float64 throughout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nerfkit.errors import NerfkitError


@dataclass(frozen=True, eq=False)
class Similarity:
    """``x_b = scale * rotation @ x_a + translation``: named ``b_from_a`` where it is used."""

    scale: float
    rotation: Tensor  # [3, 3] float64, det = +1
    translation: Tensor  # [3] float64

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", float(self.scale))
        object.__setattr__(self, "rotation", torch.as_tensor(self.rotation, dtype=torch.float64))
        object.__setattr__(self, "translation", torch.as_tensor(self.translation, dtype=torch.float64))

    @classmethod
    def identity(cls) -> Similarity:
        return cls(1.0, torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))

    @property
    def matrix(self) -> Tensor:  # [4, 4]
        out = torch.eye(4, dtype=torch.float64)
        out[:3, :3] = self.scale * self.rotation
        out[:3, 3] = self.translation
        return out

    def inverse(self) -> Similarity:
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def compose(self, other: Similarity) -> Similarity:
        """``self ∘ other``: c_from_b.compose(b_from_a) is c_from_a."""
        return Similarity(
            self.scale * other.scale,
            self.rotation @ other.rotation,
            self.scale * (self.rotation @ other.translation) + self.translation,
        )

    def points(self, x: Tensor) -> Tensor:
        """Moves points [..., 3]; computed in float64, returned in the dtype of ``x``."""
        return (self.scale * (x.double() @ self.rotation.T) + self.translation).to(x.dtype)

    def poses(self, world_from_cam: Tensor) -> Tensor:
        """Moves rigid poses [..., 4, 4] and keeps them rigid: b_from_cam without the scale in its rotation."""
        pose = world_from_cam.double()
        out = torch.zeros_like(pose)
        out[..., :3, :3] = self.rotation @ pose[..., :3, :3]
        out[..., :3, 3] = self.points(pose[..., :3, 3])
        out[..., 3, 3] = 1
        return out.to(world_from_cam.dtype)

    def to_json(self) -> dict[str, Any]:
        return {"scale": self.scale, "rotation": self.rotation.tolist(), "translation": self.translation.tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Similarity:
        return cls(data["scale"], data["rotation"], data["translation"])


def align(points_a: Tensor, points_b: Tensor, with_scale: bool = True) -> Similarity:
    """The similarity ``b_from_a`` that brings points a onto points b with the least squared error.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    PAMI 1991, eq. 40-42. ``points_a`` and ``points_b`` are [N, 3] in corresponding order, N >= 3, not all
    on one line.

    Raises:
        NerfkitError: fewer than three points, or points on one line: no unique similarity.
    """
    a, b = points_a.double(), points_b.double()
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3:
        raise ValueError(f"align: two [N, 3] tensors expected, got {tuple(a.shape)} and {tuple(b.shape)}")
    if len(a) < 3:
        raise NerfkitError(f"alignment needs at least 3 common points, got {len(a)}")
    mean_a, mean_b = a.mean(0), b.mean(0)
    variance_a = (a - mean_a).square().sum(1).mean()
    covariance = (b - mean_b).T @ (a - mean_a) / len(a)  # [3, 3]
    u, singular, vt = torch.linalg.svd(covariance)
    if not singular[1] > 1e-12 * singular[0]:
        raise NerfkitError("alignment needs points that do not all lie on one line")
    sign = torch.ones(3, dtype=torch.float64)
    sign[2] = torch.sign(torch.linalg.det(u) * torch.linalg.det(vt))
    rotation = u @ torch.diag(sign) @ vt
    scale = float((singular * sign).sum() / variance_a) if with_scale else 1.0
    return Similarity(scale, rotation, mean_b - scale * (rotation @ mean_a))
