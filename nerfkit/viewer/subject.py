"""What is shown: a run, a splat file, or a scene that has no model yet."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Channel, Gaussians, HasGaussians, RenderCore, Rendering
from nerfkit.core.directions import unit
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.files import is_page
from nerfkit.progress import ProgressSink, quiet
from nerfkit.splats import formats
from nerfkit.splats.blocks import select
from nerfkit.splats.upright import USUAL, Up

log = logging.getLogger("nerfkit")

MANY = 1_000_000  # Gaussians
SENT = 32  # bytes of a Gaussian on its way to the browser
_UPS: dict[str, Up] = {"+z": "z", "+y": "y", "-y": "-y"}  # that glTF's frame can be turned to


class Drawable(Protocol):
    """What the viewer needs of a model; every :class:`nerfkit.contracts.SceneModel` has it."""

    def render(
        self, camera: Cameras, channels: frozenset[Channel] = frozenset({"rgb"}), progress: ProgressSink = quiet
    ) -> Rendering: ...


@dataclass(eq=False)
class Subject:
    """What is shown, in its frame: the scene's, or that of a splat file."""

    name: str
    scene: Scene | None  # photos, points and the split
    model: Drawable | None
    paths: Path  # folder for camera paths
    run: Path | None = None  # what nerfkit render takes
    up: str = "+z"


class Splats:
    """Gaussians without a run, to draw and to crop (:class:`nerfkit.contracts.HasGaussians`, ``HasCrop``)."""

    name: ClassVar[str] = "splats"

    def __init__(self, gaussians: Gaussians, core: RenderCore) -> None:
        self._gaussians, self.core = gaussians, core
        self.background = torch.zeros(3, device=gaussians.means.device)

    def gaussians(self) -> Gaussians:
        return self._gaussians

    @torch.no_grad()
    def render(
        self, camera: Cameras, channels: frozenset[Channel] = frozenset({"rgb"}), progress: ProgressSink = quiet
    ) -> Rendering:
        """Draws one pinhole camera over black."""
        layers: Any = "rgb+depth+normal" if "normal" in channels else "rgb+depth" if "depth" in channels else "rgb"
        drawn = self.core.rasterize(self._gaussians, camera, self.background, layers=layers)
        out = Rendering(drawn.rgb.permute(1, 2, 0).clamp(0, 1), drawn.alpha, background=self.background)
        if layers != "rgb":
            out.depth = drawn.mean_depth()
        if layers == "rgb+depth+normal":
            out.normal = unit(drawn.normal).permute(1, 2, 0)
        return out

    def cropped(self, inside: Callable[[Tensor], Tensor]) -> Self:
        """The Gaussians whose centres are ``inside``."""
        part = copy.copy(self)
        part._gaussians = select(self._gaussians, inside(self._gaussians.means))
        return part


def open_subject(path: Path, device: str = "auto", backend: str = "auto", up: str | None = None) -> Subject:
    """A run's folder, a splat file, or a scene of any format that nerfkit reads.

    Args:
        up: the axis that is up, with its sign. None: +z, and of a splat file what it says, else the usual one.

    Raises:
        NerfkitError: nothing of these is there, or it is damaged.
    """
    if not path.exists():
        raise NerfkitError(f"{path}: no such file or folder; give a run, a splat file or a scene with poses")
    if (path / "config.toml").is_file():
        return _of_run(path, device, backend, up or "+z")
    if path.is_file() and path.name.lower().endswith(tuple(formats.MODULES)):
        return _of_splats(path, device, backend, up or _up_of_splats(path))
    if is_page(path):
        raise NerfkitError(f"{path}: is a page, which needs no viewer: open {path.resolve().as_uri()} in a browser")
    scene = Scene.load(path, downscale=None)
    folder = path if path.is_dir() else path.parent
    return Subject(scene.name, scene, None, folder / "paths", up=up or "+z")


def too_many(path: Path, subject: Subject) -> str | None:
    """What to tell of a model of so many Gaussians that browsers have a hard time with it; else None."""
    count = len(subject.model.gaussians()) if isinstance(subject.model, HasGaussians) else 0
    if count <= MANY:
        return None
    smaller = "export" if subject.run is not None else "convert"
    return (
        f"{path}: {count / 1e6:.1f} million Gaussians, {count * SENT / 1e6:.0f} MB for each browser, which needs a "
        f"good graphics card; nerfkit {smaller} with --max-size 20MB makes a smaller file, and tells what is lost"
    )


def _of_run(path: Path, device: str, backend: str, up: str) -> Subject:
    from nerfkit.train.run import Run

    run = Run.open(path)
    scene = run.scene()
    return Subject(run.title, scene, run.model(device, backend, scene), path / "paths", path, up)


def _up_of_splats(path: Path) -> str:
    if formats.is_upright(path):
        return "+z"  # it is turned to that
    said = formats.said_up(path)
    if said is None:
        log.info(
            "%s %s say which way is up: it is taken to be %s, as in most splat files; "
            "--up z for what nerfkit exports, or the page's menu",
            path, "doesn't" if formats.says_up(path) else "can't, as all of its format,", USUAL,
        )  # fmt: skip
    return next(sign for sign, up in _UPS.items() if up == (said or USUAL))


def _of_splats(path: Path, device: str, backend: str, up: str) -> Subject:
    from nerfkit.train.device import choose

    gaussians = formats.read(path, up=_UPS.get(up, "z"))
    if len(gaussians) == 0:
        raise NerfkitError(f"{path}: holds no Gaussians; export it again")
    place, core = choose(device, backend)
    moved = replace(gaussians, **{name: getattr(gaussians, name).to(place) for name in Gaussians.ARRAYS})
    return Subject(path.stem, None, Splats(moved, core), path.parent / "paths", up=up)
