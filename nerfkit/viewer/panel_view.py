"""The panel of what is shown: channel, lens, cameras, points, grid, crop."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nerfkit.viewer.desk import Desk
from nerfkit.viewer.photos import Photos
from nerfkit.viewer.props import Props
from nerfkit.viewer.stage import UPS, Stage

if TYPE_CHECKING:
    from nerfkit.viewer.viewer import Viewer

CHANNELS = ("rgb", "depth", "normal", "alpha")


class ViewPanel:
    """One viewer's own: what others look at, and how, stays as it is. Made within the tab that it is in."""

    def __init__(self, viewer: Viewer, client: Any, props: Props, photos: Photos | None) -> None:
        self.viewer, self.client, self.props, self.photos = viewer, client, props, photos
        gui, desk, stage = client.gui, viewer.desk, viewer.stage
        self._model(gui, desk)
        self.fov = gui.add_slider("Field of view", 10, 120, 0.5, round(math.degrees(stage.fov) * 2) / 2)
        self.fov.on_update(self._zoom)
        self.up = gui.add_dropdown("Up", UPS, initial_value=props.up)
        self.up.on_update(lambda _: props.set_up(self.up.value))
        bare = desk.model is None  # there are only cameras and points to look at
        self.grid = gui.add_checkbox("Grid", bare)
        self.grid.on_update(lambda _: props.show_grid(self.grid.value))
        props.show_grid(bare)
        if props.has_points:
            self.points = gui.add_checkbox("Points", bare, hint="The sparse points of the poses")
            self.points.on_update(lambda _: props.show_points(self.points.value))
            props.show_points(bare)
        if photos is not None:
            self._photos(gui, photos, bare)
        if desk.can_crop:
            self._crop(gui, stage)

    def _model(self, gui: Any, desk: Desk) -> None:
        if desk.model is not None:
            self.channel = gui.add_dropdown("Show", CHANNELS, hint="What is drawn of the model")
            self.channel.on_update(lambda _: self._look(channel=self.channel.value))
        if desk.can_splat:
            self.in_browser = gui.add_checkbox(
                "Splats in the browser",
                True,
                hint="Fast, by the browser's GPU; off: drawn here, as nerfkit render does",
            )
            self.in_browser.on_update(lambda _: self._look(in_browser=self.in_browser.value))

    def _photos(self, gui: Any, photos: Photos, shown: bool) -> None:
        with gui.add_folder("Photos"):
            self.training = gui.add_checkbox("Training cameras", shown, hint="Click one to go there")
            self.held_out = gui.add_checkbox("Held-out cameras", shown, hint="Not trained on")
            self.size = gui.add_slider("Size", 0.1, 3.0, 0.1, 1.0)
        for box in (self.training, self.held_out):
            box.on_update(lambda _: photos.show(self.training.value, self.held_out.value))
        self.size.on_update(lambda _: photos.scale(self.size.value))
        photos.show(shown, shown)

    def _crop(self, gui: Any, stage: Stage) -> None:
        reach = [round(float(value), 3) for value in stage.reach]
        with gui.add_folder("Crop", expand_by_default=False):
            self.crop = gui.add_checkbox("Crop to the box", False)
            self.least = gui.add_vector3(
                "Least x y z", tuple(c - r for c, r in zip(stage.center, reach, strict=True)), step=0.01
            )
            self.most = gui.add_vector3(
                "Greatest x y z", tuple(c + r for c, r in zip(stage.center, reach, strict=True)), step=0.01
            )
        for handle in (self.crop, self.least, self.most):
            handle.on_update(lambda _: self._cropped())

    def _cropped(self) -> None:
        least, most = np.array(self.least.value), np.array(self.most.value)
        valid = bool((least < most).all())
        self.props.show_box(least, most, self.crop.value and valid)
        if self.crop.value and not valid:
            self.viewer.tell("Crop", "each of the least x y z must be below the greatest", self.client, bad=True)
            return
        box = tuple(float(value) for value in (*least, *most)) if self.crop.value else None
        self._look(crop=box)

    def _look(self, **changes: Any) -> None:
        desk = self.viewer.desk
        desk.show(self.client, replace(desk.look(self.client), **changes))
        self.viewer.path.tell_command(self.client)

    def _zoom(self, event: Any) -> None:
        if event.client is not None:  # not where a jump to a photo has set it
            self.client.camera.fov = math.radians(self.fov.value)
