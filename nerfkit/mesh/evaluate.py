"""How well a mesh fits a true one, on the part of the surface that the cameras saw."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from nerfkit.cameras import project
from nerfkit.contracts import Cameras, Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh.draw import depth_map
from nerfkit.mesh.geometry import face_crosses
from nerfkit.mesh.requirements import require


@dataclass(frozen=True)
class MeshError:
    """Lengths are in percent of the diagonal of the true mesh's box (or of the box evaluated in)."""

    accuracy: float
    """Mean distance from the mesh to the truth."""
    completeness: float
    """Mean distance from the visible truth to the mesh."""
    chamfer: float
    """Mean of accuracy and completeness."""
    precision: float
    """Fraction of the mesh within the threshold of the truth."""
    recall: float
    """Fraction of the visible truth within the threshold of the mesh."""
    f_score: float
    normal_consistency: float
    """Mean cosine between the normals of nearest points, both ways."""
    diagonal: float
    """In units of the meshes."""

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def compare(
    mesh: Mesh,
    truth: Mesh,
    cameras: Cameras | None = None,
    *,
    samples: int = 100_000,
    threshold: float = 0.01,
    box: np.ndarray | None = None,
    seed: int = 0,
) -> MeshError:
    """Distances between two meshes in one frame, both ways, between points drawn evenly on their surfaces.

    A point counts if at least one camera sees it: if it lies in front of the camera and within 1 % of the depth of
    the truth (for the mesh's points: not behind it by more) at its pixel.

    Args:
        mesh: the mesh to judge.
        truth: the true mesh.
        cameras: pinhole cameras (C of them) in the meshes' frame; without them all of the surface counts.
        samples: points drawn on each mesh.
        threshold: distance for precision, recall and F-score, as a fraction of the diagonal.
        box: [2, 3] region to judge in: points outside don't count; its diagonal takes the place of the truth's.
        seed: of the points drawn.

    Raises:
        NerfkitError: no point of one of the meshes is visible.
    """
    rng = np.random.default_rng(seed)
    ours, theirs = (
        _Surface.sample(mesh, samples, rng),
        _Surface.sample(truth, samples, rng),
    )
    span = box if box is not None else np.stack([truth.vertices.min(0), truth.vertices.max(0)])
    diagonal = float(np.linalg.norm(span[1] - span[0]))
    counted = [_within(surface.points, box) for surface in (ours, theirs)]
    if cameras is not None:
        seen = visible(truth, cameras, [ours.points, theirs.points])
        counted = [a & b for a, b in zip(counted, seen, strict=True)]
    for name, mask in zip(("mesh", "true mesh"), counted, strict=True):
        if not mask.any():
            raise NerfkitError(f"the cameras see nothing of the {name}: are both in the same frame?")
    # the nearest point may be one that does not count: a seen point beside an unseen part is no error
    forward, forward_cos = _nearest(ours.pick(counted[0]), theirs)
    backward, backward_cos = _nearest(theirs.pick(counted[1]), ours)
    precision = float((forward <= threshold * diagonal).mean())
    recall = float((backward <= threshold * diagonal).mean())
    accuracy, completeness = (100 * float(d.mean()) / diagonal for d in (forward, backward))
    return MeshError(
        accuracy=accuracy,
        completeness=completeness,
        chamfer=(accuracy + completeness) / 2,
        precision=precision,
        recall=recall,
        f_score=2 * precision * recall / max(precision + recall, 1e-12),
        normal_consistency=float(forward_cos.mean() + backward_cos.mean()) / 2,
        diagonal=diagonal,
    )


def visible(truth: Mesh, cameras: Cameras, point_sets: list[np.ndarray], tolerance: float = 0.01) -> list[np.ndarray]:
    """Which points [P, 3] of each set are seen by at least one camera, with ``truth`` in the way: [P] bool each.

    ``tolerance`` is the fraction of the depth by which a point may lie behind the truth.
    """
    seen = [np.zeros(len(points), bool) for points in point_sets]
    for index in range(len(cameras)):
        camera = cameras[index]
        depth = depth_map(truth, camera)
        for mask, points in zip(seen, point_sets, strict=True):
            mask |= _seen_by(camera, depth, torch.from_numpy(points), tolerance)
    return seen


def _seen_by(camera: Cameras, depth: Tensor, points: Tensor, tolerance: float) -> np.ndarray:
    pixels, z = project(camera, points.to(camera.world_from_cam.dtype))
    u, v = pixels[0].unbind(1)
    inside = (z[0] > 0) & (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    column, row = (
        u.nan_to_num(0).clamp(0, camera.width - 1).long(),
        v.nan_to_num(0).clamp(0, camera.height - 1).long(),
    )
    front = depth[row, column]  # inf where the truth is not in the way
    return (inside & (z[0] <= front * (1 + tolerance))).numpy()


def _within(points: np.ndarray, box: np.ndarray | None) -> np.ndarray:
    if box is None:
        return np.ones(len(points), bool)
    inside: np.ndarray = ((points >= box[0]) & (points <= box[1])).all(1)
    return inside


@dataclass(frozen=True)
class _Surface:
    points: np.ndarray  # [P, 3] float64
    normals: np.ndarray  # [P, 3] unit
    spacing: float  # of neighbouring points

    @classmethod
    def sample(cls, mesh: Mesh, count: int, rng: np.random.Generator) -> _Surface:
        """Points drawn evenly by area (Osada et al. 2002, eq. 1), stratified along the list of faces."""
        crosses = face_crosses(mesh)
        area = np.linalg.norm(crosses, axis=1)
        edges = np.cumsum(area)
        at = (np.arange(count) + rng.random(count)) * (edges[-1] / count)
        face = np.searchsorted(edges, at).clip(0, len(area) - 1)
        r1, r2 = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
        a, b, c = (mesh.vertices[mesh.faces[face, corner]].astype(np.float64) for corner in range(3))
        points = (1 - r1) * a + r1 * (1 - r2) * b + r1 * r2 * c
        normals = crosses[face] / np.maximum(area[face], 1e-300)[:, None]
        return cls(points, normals, float(np.sqrt(edges[-1] / 2 / count)))

    def pick(self, mask: np.ndarray) -> _Surface:
        return _Surface(self.points[mask], self.normals[mask], self.spacing)


def _nearest(source: _Surface, target: _Surface) -> tuple[np.ndarray, np.ndarray]:
    """Distances from each source point to the target's surface, and cosines between the normals there.

    A sample stands for a disc of the surface, as wide as samples are apart; without that, their distance would be a
    floor under all results.
    """
    tree = require("scipy.spatial").cKDTree(target.points)
    distance, index = tree.query(source.points, workers=2)
    offset = source.points - target.points[index]
    along = (offset * target.normals[index]).sum(1)
    across = np.sqrt(np.maximum(distance**2 - along**2, 0))
    distance = np.hypot(along, np.maximum(across - 2 * target.spacing, 0))
    cosine = (source.normals * target.normals[index]).sum(1)
    return distance, cosine
