"""All that is done from models to a picture, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nerfkit.contracts import Cameras, SceneModel
from nerfkit.data.scene import Scene
from nerfkit.views import beside, boxes, frustums, panorama
from nerfkit.views.boxes import Box
from nerfkit.views.draw import Background, Draw, of_model, over, supersampled
from nerfkit.views.stereo import Layout, default_distance, stereo

Projection = Literal["pinhole", "equirect", "vr180"]
Comparison = Literal["wipe", "side-by-side"]

SPANS = {"equirect": 360, "vr180": 180}  # degrees from left to right
SIZES = {"equirect": (2048, 1024), "vr180": (1440, 1440)}  # of an eye's picture


@dataclass(frozen=True)
class Style:
    """What pictures are to be."""

    background: Background = "scene"
    crop: Sequence[Box] = ()  # frame of the first scene
    samples: int = 1  # along a pixel's side
    show_cameras: bool = False
    projection: Projection = "pinhole"
    stereo: Layout | None = None
    eye_distance: float | None = None  # scene units; None: as a person's, or a share of the distance
    metric_scale: float | None = None  # scene units in a metre, where that is known
    comparison: Comparison = "wipe"  # of two models
    sweeps: int = 1  # of the line between them, over the path

    @property
    def degrees(self) -> int | None:
        """That a panorama spans; None for a flat picture."""
        return SPANS.get(self.projection)


@dataclass(frozen=True)
class Source:
    """A model, its scene, and its name where it is compared."""

    model: SceneModel
    scene: Scene
    label: str


def placed(cameras: Cameras, style: Style, size: tuple[int, int] | None) -> Cameras:
    """A path's cameras as the style's projection needs them: panoramas have a size of their own and are upright."""
    if style.projection == "pinhole":
        return cameras
    return panorama.level(cameras, *(size or SIZES[style.projection]))


def frame_size(cameras: Cameras, style: Style, models: int) -> tuple[int, int]:
    """Width and height of a picture of these cameras: twice as wide or high with two in it."""
    beside_each_other = models > 1 and style.comparison == "side-by-side"
    across = (2 if style.stereo == "side-by-side" else 1) * (2 if beside_each_other else 1)
    return cameras.width * across, cameras.height * (2 if style.stereo == "over-under" else 1)


def assembled(sources: Sequence[Source], style: Style, cameras: Cameras) -> Draw:
    """The drawing of one model, or of two compared, for cameras of the first one's scene.

    Raises:
        NerfkitError: a model that can't be cropped.
    """
    draws = [_alone(source, sources[0].scene, style) for source in sources]
    drawing = draws[0]
    if len(sources) > 1:
        drawing = _compared(draws, sources, style)
    if style.stereo is not None:
        distance = style.eye_distance
        if distance is None:
            distance = default_distance(cameras, style.metric_scale)
        drawing = stereo(drawing, style.stereo, distance, converge=style.projection == "pinhole")
    return drawing


def _alone(source: Source, first: Scene, style: Style) -> Draw:
    """A model's own drawing, for cameras of the first scene's frame."""
    first_from_own = first.scene_from_world.compose(source.scene.scene_from_world.inverse())
    drawing = over(of_model(boxes.cropped(source.model, style.crop, first_from_own)), style.background)
    if source.scene is not first:
        drawing = beside.mapped(drawing, first_from_own.inverse())
    if style.show_cameras:
        drawing = frustums.with_lines(drawing, frustums.of_scene(first))
    if style.degrees is not None:
        drawing = panorama.panorama(drawing, style.degrees)
    return supersampled(drawing, style.samples)


def _compared(draws: Sequence[Draw], sources: Sequence[Source], style: Style) -> Draw:
    first, second = (
        beside.labelled(draw, source.label, right=index > 0 and style.comparison == "wipe")
        for index, (draw, source) in enumerate(zip(draws, sources, strict=True))
    )
    if style.comparison == "side-by-side":
        return beside.side_by_side(first, second)
    return beside.wipe(first, second, style.sweeps)
