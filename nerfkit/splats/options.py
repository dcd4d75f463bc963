"""What may be done to splats on their way into a file: the options that `convert` and `export` share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from nerfkit import limits
from nerfkit.errors import NerfkitError
from nerfkit.limits import Degree, Resize

if TYPE_CHECKING:  # the options are shown without torch, which takes seconds to load
    from torch import Tensor

    from nerfkit.contracts import Gaussians
    from nerfkit.data.similarity import Similarity
    from nerfkit.far_world import Near
    from nerfkit.splats.stream import Splats
    from nerfkit.splats.upright import Up

_UNITS = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30, "b": 1.0, "": 1.0}


@dataclass(frozen=True, kw_only=True)
class SplatOptions:
    crop_box: tuple[float, float, float, float, float, float] | None = None
    """Keep only Gaussians whose centres lie in the box of two corners x y z x y z, in the coordinates of the input."""
    crop_sphere: tuple[float, float, float, float] | None = None
    """Keep only Gaussians whose centres lie in the sphere x y z radius, in the coordinates of the input."""
    clean: bool = False
    """Leave out floaters: isolated, transparent, and huge faint Gaussians."""
    rotate: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Degrees about the axes x, then y, then z."""
    scale: Resize = 1.0
    """Size, about the origin, after the rotation."""
    translate: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Move by x y z, after rotation and scale."""
    sh_degree: Degree | None = None
    """Highest degree of view-dependent colours to keep, 0 to 3."""
    max_size: str | None = None
    """Largest size of the file, such as 10MB: finds the pruning, the SH degree and the quantisation that keep the most
    PSNR, and tells how much is lost."""

    def bytes(self) -> int | None:
        """``max_size`` in bytes. Raises NerfkitError: no size."""
        if self.max_size is None:
            return None
        text = self.max_size.strip().lower().replace(" ", "")
        number = text.rstrip("kmgib")
        try:
            size = float(number) * _UNITS[text[len(number) :]]
        except (ValueError, KeyError):
            size = 0.0
        if not 1 <= size < 1e15:
            raise NerfkitError(f"--max-size {self.max_size}: is no size; write it as 10MB, 500KB or 2GB")
        return int(size)

    def check(self) -> None:
        """Raises NerfkitError: options that make no sense, before any work."""
        from nerfkit.splats import edit

        limits.check(self)
        for name, numbers in (("box", self.crop_box), ("sphere", self.crop_sphere)):
            if numbers is not None and any(map(math.isnan, numbers)):
                raise NerfkitError(f"--crop-{name}: has something that is no number")
        if self.crop_sphere is not None and not self.crop_sphere[3] > 0:
            raise NerfkitError(f"--crop-sphere: its radius {self.crop_sphere[3]:g} must be above 0")
        self.bytes()
        edit.similarity(self.rotate, self.translate, self.scale)

    def moves(self) -> bool:
        return (self.rotate, self.translate, self.scale) != ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0)

    def near(self, world_from_scene: Similarity) -> tuple[Self, Near, Near]:
        """The options for a run's world, which may lie far from its origin.

        Returns:
            the options to the same effect on Gaussians in the frame that comes second, which is near; that frame; and
            that of what :meth:`moved` gives then.
        """
        from nerfkit.far_world import Near
        from nerfkit.splats import edit

        given, move = Near.of(world_from_scene), edit.similarity(self.rotate, self.translate, self.scale)
        made = Near.of(move.compose(world_from_scene))
        before, after, box, sphere = given.away, made.away, self.crop_box, self.crop_sphere
        x, y, z = (move.points(before) - after).tolist()
        near = replace(
            self,
            crop_box=None if box is None else (*_less(box[:3], before), *_less(box[3:], before)),
            crop_sphere=None if sphere is None else (*_less(sphere[:3], before), sphere[3]),
            translate=(x, y, z),
        )
        return near, given, made

    def up_after(self, up: Up | None) -> Up | None:
        """Which axis is up of what :meth:`moved` gives; None: it isn't known, or the rotation turns it."""
        from nerfkit.splats import edit, upright

        return upright.kept(up, edit.similarity(self.rotate, self.translate, self.scale).rotation)

    def kept(self, splats: Splats) -> tuple[Splats, dict[str, int]]:
        """What cropping, cleaning and the SH degree leave, and how many Gaussians each took.

        Raises:
            NerfkitError: none is left.
        """
        from nerfkit.splats import edit
        from nerfkit.splats.formats import of_degree

        kept, taken = splats, dict[str, int]()
        for option, crop in ((self.crop_box, edit.crop_box), (self.crop_sphere, edit.crop_sphere)):
            if option is not None:
                kept, outside = crop(kept, option)
                taken["cropped"] = taken.get("cropped", 0) + outside
        if self.clean and kept.most:
            kept, floaters = edit.clean(kept)
            taken |= floaters
        if not kept.most:
            told = ", ".join(f"{kind}: {count:,}" for kind, count in taken.items() if count)
            raise NerfkitError(f"none of {splats.most:,} Gaussians is left ({told}); take less away")
        return (kept if self.sh_degree is None else of_degree(kept, self.sh_degree)), taken

    def moved(self, splats: Splats) -> Splats:
        """Turned, scaled and moved; its blocks raise NerfkitError where that is beyond what a float holds."""
        if not self.moves():
            return splats
        from nerfkit.splats import edit
        from nerfkit.splats.stream import changed, sound
        from nerfkit.splats.transform import transform

        b_from_a = edit.similarity(self.rotate, self.translate, self.scale)

        def move(g: Gaussians) -> Gaussians:
            moved = transform(g, b_from_a)
            if not sound(moved).all():
                raise NerfkitError(
                    "--rotate, --scale, --translate: put Gaussians farther away than a float can say; move them less, "
                    "or leave the farthest out with --clean or a crop"
                )
            return moved

        return changed(splats, move)


def _less(point: Sequence[float], offset: Tensor) -> tuple[float, float, float]:
    x, y, z = (value - away for value, away in zip(point, offset.tolist(), strict=True))
    return x, y, z


@dataclass(frozen=True, kw_only=True)
class PageOptions(SplatOptions):
    title: str | None = None
    """For html: what the page is called, by default the name of the run or of the first file."""
    autoplay: bool = False
    """For html: the page starts by going around the scene; otherwise that waits for its play button."""
