"""What a photo asks of Gaussians, through one call of the library."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core._header import constants
from nerfkit.core._library import call
from nerfkit.core.arguments import checked_degree
from nerfkit.core.native_rasterize import View, camera_arguments, on_host
from nerfkit.core.types import PhotoStep, SplatStats, Target

_SPARE = 1.25  # of the memory that a step takes: the next one may take more


class PhotoSteps:
    """The operator ``photo_step``, which remembers how much memory the last step took."""

    def __init__(self) -> None:
        self._needed = 0
        # A CPU's, from step to step: the system would else clear its pages for each. Of a GPU PyTorch keeps memory.
        self._kept: list[Tensor] = []

    def __call__(
        self, gaussians: Gaussians, camera: Cameras, background: Tensor, target: Target, ssim_weight: float, *,
        near: float = 0.01, stats: SplatStats | None = None,
    ) -> PhotoStep:  # fmt: skip
        """Draws the Gaussians and compares the colours with a photo; gives the loss and its gradients.

        The same as ``photometric_loss`` of what ``rasterize`` draws (which see), gone back through, but without
        autograd, and with nothing for a GPU to wait for in between: Python takes longer to call the single operators
        than a fast GPU takes for small scenes.

        Args:
            gaussians: activated values, float32, scene frame.
            camera: one pinhole camera (C = 1) of the target's size.
            background: [3] behind the colours.
            stats: its sums are added to.

        Raises:
            TypeError, ValueError: an array of another type, shape or layout; a camera that is no pinhole.
        """
        degree = checked_degree(gaussians, camera, None)
        view = View(camera, on_host(background), degree, 3, near, gaussians.antialiased, False, stats)
        if tuple(target.planes.shape) != (3, view.height, view.width):
            raise ValueError(f"photo_step: the camera has {view.width} x {view.height} pixels, the target "
                             f"{list(target.planes.shape)}")  # fmt: skip
        inputs = {name: getattr(gaussians, name).detach().contiguous() for name in Gaussians.ARRAYS}
        gradients = {name: torch.empty_like(tensor) for name, tensor in inputs.items()}
        means = inputs["means"]
        splats = means.new_empty(len(means), int(constants()["SPLAT_SIZE"]))
        sums = means.new_empty(3, dtype=torch.float64)
        own = camera_arguments(view)
        del own["width"], own["height"]
        workspace = self._kept.pop() if self._kept and means.is_cpu else _bytes(means, self._needed)
        while True:
            found = call(
                "nk_photo_step", **inputs, **own, background=view.background, target=target.planes, mean=target.mean,
                mean_square=target.mean_square, ssim_weight=ssim_weight, workspace=workspace, splats=splats, sums=sums,
                **{f"grad_{name}": tensor for name, tensor in gradients.items()},
                **({} if stats is None else vars(stats)),
            )  # fmt: skip
            if found.needed <= len(workspace):
                break
            self._needed = int(found.needed * _SPARE)
            del workspace  # before the larger one is taken
            workspace = _bytes(means, self._needed)
        if means.is_cpu:
            self._kept = [workspace]
        depths = splats[:, int(constants()["SPLAT_DEPTH"])]
        return PhotoStep(sums[2].to(means.dtype), gradients, depths)


def _bytes(like: Tensor, count: int) -> Tensor:
    return like.new_empty(count, dtype=torch.uint8)
