"""Triangle meshes to pixels through the library."""

from __future__ import annotations

from torch import Tensor

from nerfkit.core._library import call
from nerfkit.core.types import FacePixels


def draw_mesh(vertices: Tensor, faces: Tensor, width: int, height: int) -> FacePixels:
    """The nearest face at every pixel centre: see :func:`nerfkit.core.reference_draw.draw_mesh`.

    Not differentiable. The result does not depend on the number of threads.

    Args:
        vertices: [V, 3] float32, x and y in pixels (centres at +0.5) and depth along the optical axis.
        faces: [F, 3] int32.
        width, height: of the picture.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
        RuntimeError: a face that names a vertex that is not there, or a picture without pixels.
    """
    face = faces.new_empty(height, width)
    barycentrics, depth = vertices.new_empty(height, width, 3), vertices.new_empty(height, width)
    call(
        "nk_draw_mesh_fwd", vertices=vertices.detach().contiguous(), faces=faces.contiguous(), face=face,
        barycentrics=barycentrics, depth=depth,
    )  # fmt: skip
    return FacePixels(face, barycentrics, depth)
