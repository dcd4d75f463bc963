"""The options of the NeRF model. Imports no torch; the docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from nerfkit.errors import NerfkitError
from nerfkit.limits import NotNegative, PositiveShare, Share, Within
from nerfkit.models.fields.config import SampledConfig

_RAYS = 1024  # of a training step of the paper


@dataclass
class Config(SampledConfig):
    """NeRF (Mildenhall et al. 2020). What is not given comes from the preset."""

    model: ClassVar[str] = "nerf"

    preset: Literal["fast", "paper"] = "fast"
    """paper: two wide networks, a coarse one that tells the fine one where to look, as published (days on a CPU); fast:
    a small network that is drawn at samples by the sampler."""
    depth: Annotated[int, Within(1, 32)] | None = None
    """Hidden layers before density (paper 8, fast 4)."""
    width: Annotated[int, Within(2, 1024)] | None = None
    """Width of hidden layers (paper 256, fast 64)."""
    frequencies: Annotated[int, Within(0, 24)] | None = None
    """Frequencies that points are encoded with (paper 10, fast 8)."""
    direction_frequencies: Annotated[int, Within(0, 24)] = 4
    """Frequencies that directions are encoded with."""
    skip: Annotated[int, Within(0, 32)] = 5
    """Layers after which the paper's network is given the encoded point again; 0 never."""
    activation: Literal["relu", "softplus", "exp"] | None = None
    """From the network's raw output to density (paper relu, fast exp)."""
    raw_noise: NotNegative = 0.0
    """Standard deviation of noise on the raw density in training, against floaters."""
    coarse: Annotated[int, Within(2, 4096)] = 64
    """Samples of a ray in the coarse network (paper)."""
    fine: Annotated[int, Within(1, 4096)] = 128
    """Samples of a ray that the coarse network's weights add for the fine one (paper)."""
    disparity: bool | None = None
    """Coarse samples lie evenly in inverse distance beyond the inner cube's half side (default: in a contracted
    space)."""
    antialias: bool = False
    """Encode cones in place of points (mip-NeRF, Barron et al. 2021)."""
    bf16: bool | None = None
    """Run the wide network in bfloat16 (default: where the CPU computes in it)."""
    distortion: NotNegative | None = None
    """Weight of the loss on what is spread out along rays, against floaters (default: 0; smooth networks make few)."""
    loss: Literal["huber", "l2"] | None = None  # type: ignore[assignment]
    """How differences in colour are weighed (paper l2, fast huber)."""
    batch: Annotated[int, Within(1024)] | None = None
    """Samples of a training step; the number of rays follows (paper 1024 rays, fast 16384 samples, or 131072 on a
    GPU)."""
    lr: NotNegative | None = None  # type: ignore[assignment]
    """First learning rate (paper 0.0005, fast 0.01)."""
    final_lr: PositiveShare | None = None  # type: ignore[assignment]
    """What is left of the learning rate at the end (paper 0.1, fast 0.03)."""
    lr_from: Share | None = None  # type: ignore[assignment]
    """Progress at which the learning rate begins to fall (paper 0, fast 0.3)."""

    @classmethod
    def kept(cls, values: dict[str, Any]) -> Self:
        return super().kept({"sampler": "auto"} | values if values.get("preset") == "paper" else values)

    def proposes(self, contracted: bool) -> bool:
        return self.preset == "fast" and super().proposes(contracted)

    def check(self, model: str) -> None:
        super().check(model)
        for name, choices in (("preset", ("fast", "paper")), ("activation", (None, "relu", "softplus", "exp"))):
            if getattr(self, name) not in choices:
                words = " or ".join(choice for choice in choices if choice)
                raise NerfkitError(f"--{model}.{name} {getattr(self, name)}: must be {words}")
        if self.preset == "fast" and self.width is not None and self.width > 128:
            raise NerfkitError(
                f"--{model}.width {self.width}: the fast preset's networks are at most 128 wide; "
                f"use --{model}.preset paper"
            )
        if self.preset == "fast" and self.disparity is not None:
            raise NerfkitError(
                f"--{model}.disparity: the fast preset has no coarse samples; use it with --{model}.preset paper"
            )
        if self.preset == "paper" and self.sampler != "auto":
            raise NerfkitError(
                f"--{model}.sampler {self.sampler}: the paper preset's coarse network tells where samples lie; use it "
                f"with --{model}.preset fast"
            )
        if self.antialias and self.space == "ndc":
            raise NerfkitError(
                f"--{model}.antialias: cones don't stay cones with --{model}.space ndc; leave out one of them"
            )

    def chosen(self, device: str) -> dict[str, Any]:
        """And what the preset decides on."""
        if self.preset == "paper":
            return super().chosen(device) | {
                "distortion": 0.0, "depth": 8, "width": 256, "frequencies": 10, "activation": "relu", "loss": "l2",
                "batch": _RAYS * (2 * self.coarse + self.fine), "lr": 5e-4, "final_lr": 0.1, "lr_from": 0.0,
            }  # fmt: skip
        return super().chosen(device) | {
            "distortion": 0.0, "depth": 4, "width": 64, "frequencies": 8, "activation": "exp", "loss": "huber",
            "batch": 1 << 17 if device.startswith("cuda") else 1 << 14, "lr": 1e-2, "final_lr": 0.03, "lr_from": 0.3,
        }  # fmt: skip
