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

_CANDIDATES = 8  # samples whose faces may hold the nearest point


@dataclass(frozen=True)
class MeshError:
    """Lengths are in percent of the diagonal of the true mesh's box (or of the box evaluated in)."""

    accuracy: float
    """Mean distance from the mesh to the truth."""
    completeness: float
    """Mean distance from the visible truth to the mesh."""
    chamfer: float
    """Mean of accuracy and completeness."""
    threshold: float
    """Of precision, recall and F-score."""
    precision: float
    """Fraction of the mesh within the threshold of the truth."""
    recall: float
    """Fraction of the visible truth within the threshold of the mesh."""
    f_score: float
    """Harmonic mean of precision and recall (Knapitsch et al. 2017, Tanks and Temples, eq. 5)."""
    f_score_half: float
    """F-score at half the threshold."""
    normal_consistency: float
    """Mean absolute cosine between the normals at nearest points, both ways (Mescheder et al. 2019, Occupancy Networks,
    section 4): absolute, since sheets without thickness, as leaves and cloths are, have no side that is outside."""
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
    """Distances between two meshes in one frame, both ways: from points drawn evenly on one surface to the other.

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
    forward, forward_cos = _nearest(ours.pick(counted[0]), theirs, truth)
    backward, backward_cos = _nearest(theirs.pick(counted[1]), ours, mesh)
    accuracy, completeness = (100 * float(d.mean()) / diagonal for d in (forward, backward))
    precision, recall, f_score = _agreement(forward, backward, threshold * diagonal)
    return MeshError(
        accuracy=accuracy,
        completeness=completeness,
        chamfer=(accuracy + completeness) / 2,
        threshold=100 * threshold,
        precision=precision,
        recall=recall,
        f_score=f_score,
        f_score_half=_agreement(forward, backward, threshold * diagonal / 2)[2],
        normal_consistency=float(forward_cos.mean() + backward_cos.mean()) / 2,
        diagonal=diagonal,
    )


def _agreement(forward: np.ndarray, backward: np.ndarray, distance: float) -> tuple[float, float, float]:
    """Precision, recall and F-score."""
    precision, recall = float((forward <= distance).mean()), float((backward <= distance).mean())
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


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
    faces: np.ndarray  # [P] that they lie on

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
        return cls(points, normals, face)

    def pick(self, mask: np.ndarray) -> _Surface:
        return _Surface(self.points[mask], self.normals[mask], self.faces[mask])


def _nearest(source: _Surface, target: _Surface, mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Distances from each source point to the target's mesh, and absolute cosines between the normals there.

    The nearest face is looked for among those of the nearest samples and of the nearest middles of faces (there are
    samples on large faces and middles of small ones), so that how far apart samples lie is no floor under distances.
    """
    triangles = mesh.vertices.astype(np.float64)[mesh.faces]
    crosses = face_crosses(mesh)
    normals = crosses / np.maximum(np.linalg.norm(crosses, axis=1, keepdims=True), 1e-300)
    faces = np.concatenate([target.faces, np.arange(len(triangles))])
    tree = require("scipy.spatial").cKDTree(np.concatenate([target.points, triangles.mean(1)]))
    _, index = tree.query(source.points, k=min(_CANDIDATES, len(faces)), workers=2)  # [P, k]
    best, cosine = np.full(len(index), np.inf), np.zeros(len(index))
    for face in faces[index.reshape(len(index), -1)].T:
        distance = to_triangles(source.points, triangles[face])
        closer = distance < best
        best = np.where(closer, distance, best)
        cosine = np.where(closer, np.abs((source.normals * normals[face]).sum(1)), cosine)
    return best, cosine


def to_triangles(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Distances [P] of points [P, 3] to one triangle [P, 3, 3] each: to its plane above it, else to its edges."""
    edges = np.roll(triangles, -1, axis=1) - triangles  # [P, 3, 3]
    offsets = points[:, None] - triangles
    along = (offsets * edges).sum(2) / np.maximum((edges**2).sum(2), 1e-300)
    to_edges = np.linalg.norm(offsets - along.clip(0, 1)[..., None] * edges, axis=2).min(1)
    normal = np.cross(edges[:, 0], edges[:, 1])
    length = np.linalg.norm(normal, axis=1)
    unit = normal / np.maximum(length, 1e-300)[:, None]
    above = (np.cross(edges, offsets) * unit[:, None]).sum(2).min(1) >= 0
    height = np.abs((offsets[:, 0] * unit).sum(1))
    return np.where(above & (length > 0), height, to_edges)
