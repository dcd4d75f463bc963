"""What one browser has of its own: settings, props, frustums, and the command that renders what it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nerfkit.data.view import PhotoView
from nerfkit.viewer.camera import fitting_fov
from nerfkit.viewer.panel_view import ViewPanel
from nerfkit.viewer.photos import Photos
from nerfkit.viewer.props import Props
from nerfkit.viewer.trail import Trail

if TYPE_CHECKING:
    from nerfkit.viewer.viewer import Viewer


class Looker:
    """One client of the server, with its panels in the tabs that all have."""

    def __init__(self, viewer: Viewer, client: Any) -> None:
        self.viewer, self.client = viewer, client
        self.props = Props(client, viewer.stage)
        self.photos: Photos | None = None
        if viewer.thumbnails is not None:
            bare = viewer.desk.model is None
            self.photos = Photos(client, viewer.thumbnails, self._go_to_photo, bare)
        self.trail = Trail(client, viewer.stage, viewer.path.pick)
        with viewer.view_tab:
            self.view = ViewPanel(viewer, client, self.props, self.photos)
        with viewer.path_tab:
            self.command = client.gui.add_text("Render it", "", multiline=True, visible=False)

    def tell_command(self, words: str) -> None:
        """Shows a command line, all of it; none where there are no words."""
        self.command.value, self.command.visible = words, bool(words)

    def moved(self) -> None:
        """Hides what would stand in its way."""
        self.trail.clear(self.client.camera.position)
        if self.photos is not None:
            self.photos.clear(self.client.camera.position)

    def close(self) -> None:
        if self.photos is not None:
            self.photos.close()

    def _go_to_photo(self, view: PhotoView) -> None:
        """Goes to where a photo was taken, with all of it in the window."""
        pose = view.camera.world_from_cam[0].double()
        self.viewer.go(self.client, pose, fitting_fov(view.camera, self.client.camera.aspect))
