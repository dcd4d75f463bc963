"""Colours where no photo sees the surface, and around the charts."""

from __future__ import annotations

import cv2
import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.geometry import places
from nerfkit.mesh.requirements import require
from nerfkit.mesh.solver import solve
from nerfkit.mesh.texture.texels import Texels

_KNOWN = 0.05  # texels' worth of colour that a vertex needs to be known
_GREY = 128.0
_PULL = 1e-6  # towards nothing changed, so that pieces that no photo sees have a solution


def fill_unseen(mesh: Mesh, texels: Texels, colors: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Colours [T, 3] float32 with those of unseen texels made up: the mesh's own, fitted to the photos'.

    What the seen surface differs by from ``mesh.colors`` (the colours of the fused model; black without any) is
    continued over the unseen one harmonically along the mesh's edges, so that no border shows.

    Args:
        mesh: textured.
        texels: of its texture.
        colors: [T, 3] of the texels.
        seen: [T] bool.
    """
    place, count = places(mesh)
    if seen.all() or not count:
        return colors
    own = _colors_at_places(mesh, place, count)
    base = own if own is not None else np.full((count, 3), colors[seen].mean(0) if seen.any() else _GREY)
    total, weight = np.zeros((count, 3)), np.zeros(count)
    used = np.flatnonzero(seen & texels.inside)
    for corner in range(3):
        at, w = place[mesh.faces[texels.face[used], corner]], texels.barycentrics[used, corner].astype(np.float64)
        weight += np.bincount(at, w, count)
        for channel in range(3):
            total[:, channel] += np.bincount(at, w * colors[used, channel], count)
    known = weight > _KNOWN
    offset = np.where(known[:, None], total / np.maximum(weight, 1e-9)[:, None] - base, 0)
    values = base + _continued(place[mesh.faces], offset, known)
    made_up = np.clip(texels.interpolate(mesh, values[place]), 0, 255)
    return np.where(seen[:, None], colors, made_up).astype(np.float32)


def _colors_at_places(mesh: Mesh, place: np.ndarray, count: int) -> np.ndarray | None:
    if mesh.colors is None:
        return None
    number = np.maximum(np.bincount(place, minlength=count), 1)
    return np.stack([np.bincount(place, mesh.colors[:, c].astype(float), count) / number for c in range(3)], 1)


def _continued(faces: np.ndarray, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values [N, C] with unknown ones such that each is the mean of its neighbours along edges."""
    sparse = require("scipy.sparse")
    unknown = np.flatnonzero(~known)
    a, b = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    ones, shape = np.ones(len(a)), (len(values),) * 2
    graph = sparse.coo_matrix((ones, (a, b)), shape=shape) + sparse.coo_matrix((ones, (b, a)), shape=shape)
    graph = graph.tocsr()
    rows = graph[unknown]
    inner, outer = rows[:, unknown], rows[:, np.flatnonzero(known)]
    degree = np.asarray(rows.sum(1)).ravel() + _PULL
    laplacian = sparse.diags(degree) - inner
    out = values.copy()
    if len(unknown):
        out[unknown] = solve(laplacian, outer @ values[known])
    return out


def pad(image: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """A texture [S, S, 3] whose empty texels have the colour of the nearest filled one: mip-maps show no seams."""
    if filled.all() or not filled.any():
        return image
    labels = cv2.distanceTransformWithLabels(
        (~filled).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    color_of = np.zeros((int(labels.max()) + 1, image.shape[2]), image.dtype)
    color_of[labels[filled]] = image[filled]
    return color_of[labels]
