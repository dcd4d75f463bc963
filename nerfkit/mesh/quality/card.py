"""The quality card of a mesh: what a buyer would ask of it, measured."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh import geometry
from nerfkit.mesh.assets.asset import Asset
from nerfkit.mesh.pipeline import Pipeline
from nerfkit.mesh.quality import evaluate
from nerfkit.mesh.quality.texture_error import held_out_error
from nerfkit.mesh.shape.clean import drop_degenerate
from nerfkit.mesh.shape.holes import holes
from nerfkit.mesh.shape.manifold import make_manifold

log = logging.getLogger("nerfkit")

_SAMPLES = 50_000


def measure(pipeline: Pipeline, asset: Asset) -> dict[str, Any]:
    """Figures of an asset made by the pipeline; lengths in the asset's unit unless they say otherwise."""
    finest, light = asset.levels[0], pipeline.levels()[0]
    welded = make_manifold(drop_degenerate(Mesh(finest.vertices, finest.faces)))  # charts' borders are no openings
    return {
        "faces": len(finest.faces),
        "vertices": len(finest.vertices),
        "watertight": geometry.is_watertight(welded),
        "holes": len(holes(welded)),
        "bounds": geometry.bounds(finest),
        "levels": [len(level.faces) for level in asset.levels],
        "collision_shapes": len(asset.collision),
        "texture_size": None if finest.texture is None else len(finest.texture),
        "texture": pipeline.facts.get("bake") or None,
        "distance_to_dense_percent": _distance(light, pipeline.result("clean")[0]),
        "color_error": _color_error(pipeline, light),
    }


def _distance(light: Mesh, dense: Mesh) -> float:
    """Mean distance between the light mesh and the dense surface, both ways, in percent of the diagonal."""
    return round(evaluate.compare(light, dense, samples=_SAMPLES).chamfer, 4)


def _color_error(pipeline: Pipeline, light: Mesh) -> dict[str, Any] | None:
    """On the held-out photos, where any was held out and shows the mesh: a part of a scene may be in none of them."""
    if not pipeline.scene.held_out or (light.texture is None and light.colors is None):
        return None
    try:
        return held_out_error(light, pipeline.scene).to_json()
    except NerfkitError as error:
        log.warning("%s", error)
        return None


def lines(card: Mapping[str, Any]) -> Iterator[str]:
    """The card in words, a line for each."""
    low, high = card["bounds"]
    unit = "m" if card["metric"] else "units (the poses have no scale)"
    size = " x ".join(f"{b - a:.3g}" for a, b in zip(low, high, strict=True))
    closed = "closed" if card["watertight"] else f"{card['holes']} openings" if card["holes"] else "open"
    yield f"size {size} {unit}, {closed}, {card['distance_to_dense_percent']:.3f} % from the dense surface"
    if len(card["levels"]) > 1 or card["collision_shapes"]:
        faces = ", ".join(f"{count:,}" for count in card["levels"])
        yield f"levels of {faces} faces, {card['collision_shapes']} collision shapes"
    if card["texture"]:
        seen = 100 * card["texture"]["seen"]
        yield f"texture {card['texture_size']} x {card['texture_size']}, {seen:.0f} % of the surface seen by photos"
    if card["color_error"]:
        error = card["color_error"]
        yield f"held-out photos: {error['mean_error']:.1f} of 255 mean colour error, {error['psnr']:.1f} dB"
