"""A scene model small enough to train in a second: colors that depend on the pixel and the camera's place.

It has all that makes resuming hard: a momentum optimizer, its own batches, the global random generator, and a
structure that grows on the way.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from nerfkit import models
from nerfkit.cameras import pixel_centers
from nerfkit.contracts import Cameras, Channel, Rendering
from nerfkit.models.options import ModelOptions
from nerfkit.progress import ProgressSink, quiet


@dataclass
class Config(ModelOptions):
    learning_rate: float = 0.05
    """Step size."""
    pause: float = 0.0
    """Seconds to sleep in each step."""
    nan_at: tuple[int, ...] = ()
    """Steps whose loss is not a number."""
    break_at: int = -1
    """Step that makes the parameters themselves NaN."""


class Model:
    name: ClassVar[str] = "toy"

    def __init__(self, config: Config, scene: Any) -> None:
        self.config, self.scene = config, scene
        self.background = torch.ones(3)
        self.calls = 0
        self._start(torch.randn(features(scene.views[0].camera, 2).shape[-1], 3) * 0.1, 2)

    def _start(self, weights: Tensor, degree: int) -> None:
        self.degree, self.weights = degree, weights.requires_grad_()
        self.optimizers = {"weights": torch.optim.Adam([self.weights], lr=self.config.learning_rate)}

    @classmethod
    def create(cls, config: Any, scene: Any, core: Any, device: torch.device) -> Self:
        return cls(config, scene)

    def losses(self, progress: float, rng: torch.Generator) -> Mapping[str, Tensor]:
        time.sleep(self.config.pause)
        view = self.scene.views[self.scene.train[int(torch.randint(len(self.scene.train), (), generator=rng))]]
        truth = view.image().float() / 255
        error = (self._image(view.camera) - truth).square().mean()
        self.calls += 1
        if self.calls - 1 in self.config.nan_at:
            error = error * torch.nan
        return {"mse": error, "size": 1e-4 * self.weights.square().mean()}

    def after_backward(self, progress: float) -> None:
        assert self.weights.grad is not None
        assert bool(torch.isfinite(self.weights.grad).all())

    def after_step(self, progress: float) -> None:
        with torch.no_grad():
            self.weights += 1e-4 * torch.randn_like(self.weights)  # from the global generator
            if self.calls == self.config.break_at:
                self.weights.fill_(torch.nan)
        if progress > 0.5 and self.degree == 2:
            grown = features(self.scene.views[0].camera, 3).shape[-1] - len(self.weights)
            self._start(torch.cat([self.weights.detach(), torch.zeros(grown, 3)]), 3)

    def render(
        self, camera: Cameras, channels: frozenset[Channel] = frozenset({"rgb"}), progress: ProgressSink = quiet
    ) -> Rendering:
        return Rendering(rgb=self._image(camera).detach())

    def statistics(self) -> Mapping[str, float]:
        return {"weights": float(self.weights.numel()), "psnr": 20.0}

    def state_dict(self) -> dict[str, Any]:
        optimizer = self.optimizers["weights"].state_dict()
        return {"degree": self.degree, "weights": self.weights, "optimizer": optimizer}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._start(state["weights"].clone(), state["degree"])
        self.optimizers["weights"].load_state_dict(state["optimizer"])

    def _image(self, camera: Cameras) -> Tensor:
        return torch.sigmoid(features(camera, self.degree) @ self.weights)


def features(camera: Cameras, degree: int) -> Tensor:  # [H, W, F]
    xy = pixel_centers(camera.width, camera.height) / camera.width  # [H, W, 2]
    place = camera.world_from_cam[0, :3, 3].expand(camera.height, camera.width, 3)
    waves = [wave(2**k * 3 * xy) for k in range(degree) for wave in (torch.sin, torch.cos)]
    return torch.cat([torch.ones_like(xy[..., :1]), xy, place, *waves], -1)


def register() -> None:
    """Puts the toy into MODELS, as a package of its own."""
    package, this = types.ModuleType("toy_model"), sys.modules[__name__]
    package.__path__ = []  # type: ignore[attr-defined]
    sys.modules.update({"toy_model": package, "toy_model.config": this, "toy_model.model": this})
    models.MODELS["toy"] = "toy_model"


def main() -> int:
    """``python toy.py train …``: the command line with the toy in it; TOY_KILL_AT kills it in that step."""
    register()
    if kill := os.environ.get("TOY_KILL_AT"):
        original = Model.after_step

        def after_step(self: Model, progress: float) -> None:
            original(self, progress)
            if self.calls == int(kill):
                os.kill(os.getpid(), signal.SIGKILL)

        Model.after_step = after_step  # type: ignore[method-assign]
    from nerfkit.cli import main as command_line

    return int(command_line(sys.argv[1:]) or 0)


if __name__ == "__main__":
    sys.modules["toy"] = sys.modules[__name__]
    sys.exit(main())
