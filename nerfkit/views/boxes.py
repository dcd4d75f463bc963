"""A part of a scene: boxes outside of which nothing is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nerfkit.contracts import HasCrop, SceneModel
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError

Box = tuple[float, float, float, float, float, float]  # least x y z, greatest x y z; scene frame


def check(boxes: Sequence[Box]) -> None:
    """Raises NerfkitError: a box without an inside."""
    for box in boxes:
        if not all(math.isfinite(value) for value in box) or not all(box[k] < box[k + 3] for k in range(3)):
            said = " ".join(f"{value:g}" for value in box)
            raise NerfkitError(f"--crop {said}: give the least x y z and then the greatest, each larger than the least")


def cropped(model: SceneModel, boxes: Sequence[Box], box_from_scene: Similarity | None = None) -> SceneModel:
    """The model without what lies outside all of the boxes.

    Args:
        box_from_scene: from the model's scene frame to that of the boxes, where they aren't the same.

    Raises:
        NerfkitError: see :func:`check`; or a model that has no parts.
    """
    check(boxes)
    if not boxes:
        return model
    if not isinstance(model, HasCrop):
        raise NerfkitError(f"--crop: a {model.name} model can't be cropped; leave it out")
    return model.cropped(inside(boxes, box_from_scene or Similarity.identity()))


def inside(boxes: Sequence[Box], box_from_scene: Similarity) -> Callable[[Tensor], Tensor]:
    """Whether scene points [P, 3] lie in any of the boxes: [P] bool."""
    corners = torch.tensor(boxes, dtype=torch.float32).view(-1, 2, 3)

    def test(xyz: Tensor) -> Tensor:
        rotation, shift = box_from_scene.rotation.to(xyz), box_from_scene.translation.to(xyz)
        points = box_from_scene.scale * (xyz @ rotation.T) + shift
        low, high = corners.to(xyz).unbind(1)  # [B, 3]
        found = torch.zeros(len(points), dtype=torch.bool, device=points.device)
        for least, most in zip(low, high, strict=True):
            found |= ((points >= least) & (points <= most)).all(1)
        return found

    return test
