"""The options that models of rays share. Imports no torch; the docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from nerfkit.errors import NerfkitError
from nerfkit.limits import NotNegative, Positive, PositiveShare, Share, Within
from nerfkit.machine import available_memory
from nerfkit.models.options import ModelOptions
from nerfkit.models.photos import default_exposure, default_masks

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene


@dataclass
class FieldConfig(ModelOptions):
    """Everything scheduled is a function of progress (0 to 1), whatever the run's length."""

    model: ClassVar[str]  # whose options they are

    space: Literal["auto", "box", "contracted", "ndc"] = "auto"
    """What the field fills: a box around the object, all of space, drawn together far away, or what lies in front of
    photos that all look the same way; auto: a box for photos with an alpha channel, ndc for such photos."""
    background: Literal["auto", "random", "black", "white"] = "auto"
    """What is behind the scene; auto: random colours for photos with an alpha channel, else black."""
    masks: Literal["ignore", "empty"] | None = None
    """What mask files mean: pixels to leave out, since something stands before the scene there, or that nothing is
    there (default: as the sparse points tell; transparent pixels are empty)."""
    loss: Literal["huber", "l2"] = "huber"
    """How differences in colour are weighed."""
    distortion: NotNegative | None = None
    """Weight of the loss on what is spread out along rays, against floaters (default: 0.003 where small fields propose
    to look, else 0; 0.01 is too much for fox)."""
    exposure: Literal["on", "off"] | None = None
    """Whether each photo has an exposure and white balance of its own; renders have the mean of all (default: on where
    the photos differ by more than a quarter of a stop, unless they have an appearance)."""
    appearance: Annotated[int, Within(0, 64)] = 0
    """Numbers learned for each photo that its colours may follow, for captures under changing light (try 8);
    renders see their mean."""
    batch: Annotated[int, Within(1024)] | None = None
    """Samples of a training step; the number of rays follows (default: 65536 on a CPU, 262144 on a GPU)."""
    memory: Positive | None = None
    """Most GiB that a training step's samples, or those of a picture's part, may take: the batch shrinks to fit
    (default: half of what is free on the device; a run keeps its own)."""
    samples: Annotated[int, Within(16)] | None = None
    """Steps along the diagonal of the (inner) cube, where rays are marched (default: 512 in a box, 256 in a contracted
    space)."""
    grid_cells: Annotated[int, Within(32, 1024)] = 128
    """Cells along a side of each level of the occupancy grid, a multiple of 32."""
    near: NotNegative = 0.02
    """Nearest distance from a camera that is drawn, in scene units."""
    lr: NotNegative = 1e-2
    """First learning rate."""
    final_lr: PositiveShare = 0.03
    """What is left of the learning rate at the end."""
    lr_from: Share = 0.3
    """Progress at which the learning rate begins to fall."""

    @classmethod
    def kept(cls, values: dict[str, Any]) -> Self:
        return cls(**{"exposure": "off", "masks": "empty"} | values)

    def check(self, model: str) -> None:
        super().check(model)
        if self.grid_cells % 32:
            raise NerfkitError(f"--{model}.grid-cells {self.grid_cells}: must be a multiple of 32")

    def chosen(self, device: str) -> dict[str, Any]:
        batch = 1 << 18 if device.startswith("cuda") else 1 << 16
        return {"batch": batch, "memory": round(available_memory(device) / 2**31, 2)}

    def chosen_for(self, scene: Scene, device: str) -> dict[str, Any]:
        exposure = self.exposure or ("off" if self.appearance else default_exposure(scene))
        return {"exposure": exposure, "masks": self.masks or default_masks(scene, self.model)}


@dataclass
class SampledConfig(FieldConfig):
    """And the options of models whose samples may be proposed."""

    sampler: Literal["auto", "grid", "proposals"] = "auto"
    """Where rays have samples: where a grid says that there may be something, or where small fields propose to look;
    auto: proposals where space has no end, else the grid."""
    proposed_samples: Annotated[int, Within(8, 1024)] = 128
    """Samples of a ray that the first of the small fields is looked at; the second is at half as many."""
    ray_samples: Annotated[int, Within(4, 1024)] = 32
    """Samples of a ray that are drawn with proposals."""

    @classmethod
    def kept(cls, values: dict[str, Any]) -> Self:
        return super().kept({"sampler": "grid"} | values)

    def check(self, model: str) -> None:
        super().check(model)
        if self.sampler not in ("auto", "grid", "proposals"):
            raise NerfkitError(f"--{model}.sampler {self.sampler}: must be auto, grid or proposals")

    def proposes(self, contracted: bool) -> bool:
        """Whether samples are proposed, where space has an end or none."""
        return self.sampler == "proposals" or (self.sampler == "auto" and contracted)
