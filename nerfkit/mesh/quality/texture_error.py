"""How far a mesh's colours are from photos that it was not made of."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from nerfkit.contracts import Mesh, RenderCore, SceneModel
from nerfkit.errors import NerfkitError
from nerfkit.mesh.draw import Shading, draw, sizes_of

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene


@dataclass(frozen=True)
class TextureError:
    """Over the pixels of the held-out photos that the mesh covers (and, in photos with masks, the scene's)."""

    views: int
    covered: float
    """Share of all pixels."""
    mean_error: float
    """Mean absolute difference, 0..255."""
    psnr: float
    """dB, of the mean squared error over all covered pixels of a photo, averaged over photos."""
    model_psnr: float | None = None
    """The model's own, on the same pixels."""

    def to_json(self) -> dict[str, float | None]:
        return asdict(self)


def held_out_error(
    mesh: Mesh, scene: Scene, model: SceneModel | None = None, *, shading: Shading = "auto",
    core: RenderCore | None = None,
) -> TextureError:  # fmt: skip
    """Draws a mesh, in the scene's frame, into the held-out photos and compares.

    Args:
        mesh: textured or with colours.
        scene: whose held-out views are taken.
        model: to be compared with the same photos on the same pixels.
        shading: see :func:`nerfkit.mesh.draw.draw`.
        core: whose operator draws.

    Raises:
        NerfkitError: no photo was held out, or the mesh is in none of them.
    """
    pixels = covered = 0
    texture = sizes_of(mesh)
    errors, ours, theirs = [], [], []
    for index in scene.held_out:
        view = scene.views[index]
        photo, mask = view.image().numpy().astype(np.float32), view.mask()
        drawing = draw(mesh, view.camera, shading=shading, core=core, texture=texture)
        used = drawing.mask if mask is None else drawing.mask & (mask.numpy() == 255)
        pixels += used.size
        if not used.any():
            continue
        covered += int(used.sum())
        difference = np.abs(drawing.rgb[used].astype(np.float32) - photo[used])
        errors.append((float(difference.mean()), int(used.sum())))
        ours.append(_psnr(difference))
        if model is not None:
            shown = model.render(view.camera, frozenset({"rgb"})).rgb
            assert shown is not None
            theirs.append(_psnr(255 * shown.clamp(0, 1).cpu().numpy()[used] - photo[used]))
    if not ours:
        raise NerfkitError(f"{scene.name}: no held-out photo shows the mesh; nothing to compare its colours with")
    mean = sum(error * count for error, count in errors) / covered
    own = float(np.mean(theirs)) if theirs else None
    return TextureError(len(ours), covered / pixels, mean, float(np.mean(ours)), own)


def _psnr(difference: np.ndarray) -> float:
    return 20 * math.log10(255) - 10 * math.log10(max(float((difference.astype(np.float64) ** 2).mean()), 1e-10))
