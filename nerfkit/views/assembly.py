"""All that is done from models to a picture, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nerfkit.contracts import Cameras, HasGaussians, HasRays, SceneModel
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.views import beside, boxes, frustums, panorama
from nerfkit.views.boxes import Box
from nerfkit.views.draw import Background, Draw, of_model, over, supersampled
from nerfkit.views.lenses import SPANS, Equirect, Fisheye, Lens, Projection
from nerfkit.views.stereo import Layout, aside, both, default_distance

Comparison = Literal["wipe", "side-by-side"]

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
    if style.projection not in SIZES:
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
        NerfkitError: a model that can't be cropped, or of which nothing is left.
    """
    if style.stereo is None:
        return _seen_by(0.0, sources, style)
    distance = style.eye_distance
    if distance is None:
        distance = default_distance(cameras, style.metric_scale)
    left, right = (_seen_by(side * distance / 2, sources, style) for side in (-1, 1))
    return both(left, right, style.stereo)


def _seen_by(offset: float, sources: Sequence[Source], style: Style) -> Draw:
    """The drawing for an eye that is to the right of the cameras by ``offset`` (scene units)."""
    turning = offset if style.projection == "equirect" else 0.0  # with the direction, so that all of them are right
    draws = [_alone(source, sources[0].scene, style, turning) for source in sources]
    drawing = draws[0] if len(draws) == 1 else _compared(draws, sources, style)
    return aside(drawing, offset - turning, converge=style.projection == "pinhole")


def _alone(source: Source, first: Scene, style: Style, turning: float) -> Draw:
    """A model's own drawing, for cameras of the first scene's frame."""
    first_from_own = first.scene_from_world.compose(source.scene.scene_from_world.inverse())
    model = boxes.cropped(source.model, style.crop, first_from_own)
    if style.crop and isinstance(model, HasGaussians) and not len(model.gaussians()):
        raise NerfkitError("--crop: nothing of the scene lies in there; give boxes in the coordinates of its cameras")
    lens = _lens(style.projection, turning)
    if lens is not None and isinstance(model, HasRays) and not style.show_cameras:  # lines are drawn in pinholes
        in_own_units = _lens(style.projection, turning / first_from_own.scale) or lens
        drawing, lens = panorama.along_rays(model, in_own_units), None
    else:
        drawing = of_model(model)
    drawing = over(drawing, style.background)
    if source.scene is not first:
        drawing = beside.mapped(drawing, first_from_own.inverse())
    if style.show_cameras:
        drawing = frustums.with_lines(drawing, frustums.of_scene(first))
    if lens is not None:
        drawing = panorama.panorama(drawing, lens)
    return supersampled(drawing, style.samples)


def _lens(projection: Projection, turning: float) -> Lens | None:
    """How a projection's pixels look, of an eye that turns to the right of the middle; None: as a pinhole's."""
    if projection == "pinhole":
        return None
    return Fisheye() if projection == "fisheye" else Equirect(SPANS[projection], turning)


def _compared(draws: Sequence[Draw], sources: Sequence[Source], style: Style) -> Draw:
    first, second = (
        beside.labelled(draw, source.label, right=index > 0 and style.comparison == "wipe")
        for index, (draw, source) in enumerate(zip(draws, sources, strict=True))
    )
    if style.comparison == "side-by-side":
        return beside.side_by_side(first, second)
    return beside.wipe(first, second, style.sweeps)
