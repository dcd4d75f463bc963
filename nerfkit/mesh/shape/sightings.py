"""Pieces of a surface that too few photos see to know of them."""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from nerfkit.cameras import resize
from nerfkit.contracts import Mesh
from nerfkit.data.split import some_of
from nerfkit.mesh.draw import face_pixels
from nerfkit.mesh.shape.clean import pieces, select_faces
from nerfkit.threads import in_order, pictures_at_once

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_MOST_NEEDED, _SHARE_NEEDED = 10, 0.25  # photos, and of all photos, that must see a piece unless told otherwise
_LARGE = 0.01  # of the largest piece's area: what is larger stays
_PIXELS = 4  # of a piece that is seen
_SIDE = 800  # of the pictures that are drawn
_MOST_PHOTOS = 120  # that are asked, evenly chosen


def usual_views(photos: int) -> int:
    """How many of the photos must see a piece, unless the user says otherwise."""
    return min(_MOST_NEEDED, math.ceil(_SHARE_NEEDED * photos))


def drop_unseen(mesh: Mesh, scene: Scene, fewest: int) -> Mesh:
    """Leaves out the small pieces that fewer than ``fewest`` training photos see.

    Where a surface ends that only a few photos show, each of them guesses another depth, and what they guess stands
    loose in the air. What stands by itself and is there is seen by many: photos go around their subjects.

    Args:
        mesh: in the scene's frame.
        scene: whose training photos are asked; of very many some, evenly chosen.
        fewest: photos; with 0 nothing is left out.
    """
    if not fewest or not len(mesh.faces):
        return mesh
    piece, area = pieces(mesh)
    if len(area) == 1:
        return mesh
    asked = some_of(scene.train, _MOST_PHOTOS)
    needed = math.ceil(fewest * len(asked) / len(scene.train))
    keep = (area >= _LARGE * area.max()) | (_views(mesh, piece, scene, asked) >= needed)
    return select_faces(mesh, keep[piece])


def _views(mesh: Mesh, piece: np.ndarray, scene: Scene, asked: list[int]) -> np.ndarray:
    """How many of some photos see each piece, which faces [F] belong to."""
    count = int(piece.max()) + 1

    def seen(index: int) -> np.ndarray:
        camera = scene.views[index].camera
        smaller = max(1.0, max(camera.width, camera.height) / _SIDE)
        camera = resize(camera, max(1, round(camera.width / smaller)), max(1, round(camera.height / smaller)))
        face = face_pixels(mesh, camera).face.numpy()
        pixels: np.ndarray = np.bincount(piece[face[face >= 0]], minlength=count)
        return pixels >= _PIXELS

    with closing(in_order(seen, asked, pictures_at_once(_SIDE**2))) as found:
        return sum(found, np.zeros(count, np.int64))
