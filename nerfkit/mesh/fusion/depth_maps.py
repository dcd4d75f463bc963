"""Depth maps between their rendering and their fusion: in memory, or in a folder where there are too many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.errors import NerfkitError

_BATCH_BYTES = 256 << 20


@dataclass(frozen=True)
class DepthMap:
    """What a model shows of its surface to one camera; on the CPU."""

    camera: Cameras  # C = 1, pinhole, scene frame
    depth: Tensor  # [H, W] float32, z in scene units; 0 where nothing is seen
    pixels: Tensor  # [H, W, 4] uint8 r g b, and the confidence times 255


@dataclass
class DepthMaps:
    """V depth maps; each lies in a file of its own where there is a folder, and is read when it is asked for."""

    BYTES_PER_PIXEL: ClassVar[int] = 8

    folder: Path | None = None
    _held: list[DepthMap | Path] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path) -> DepthMaps:
        """Those that lie in a folder.

        Raises:
            NerfkitError: there are none.
        """
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise NerfkitError(f"{folder}: no depth maps in it; render them anew")
        return cls(folder, list(files))

    def add(self, depth: Tensor, rgb: Tensor, confidence: Tensor, camera: Cameras) -> None:
        """Takes a depth map [H, W], its colours [H, W, 3] in [0, 1] and its pixels' confidence [H, W] in [0, 1]."""
        colors = torch.cat([rgb, confidence[..., None]], -1).clamp(0, 1)
        pixels = (colors * 255).round().to("cpu", torch.uint8).contiguous()
        camera = Cameras(
            camera.world_from_cam.to("cpu", torch.float32), camera.intrinsics.to("cpu", torch.float32),
            camera.width, camera.height,
        )  # fmt: skip
        made = DepthMap(camera, depth.to("cpu", torch.float32).contiguous(), pixels)
        if self.folder is None:
            self._held.append(made)
            return
        path = self.folder / f"{len(self._held):05d}.safetensors"
        save_file(
            {"depth": made.depth, "pixels": made.pixels, "intrinsics": camera.intrinsics.contiguous(),
             "world_from_cam": camera.world_from_cam.contiguous()}, path,
        )  # fmt: skip
        self._held.append(path)

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, index: int) -> DepthMap:
        held = self._held[index]
        if isinstance(held, DepthMap):
            return held
        read = load_file(held)
        height, width = read["depth"].shape
        camera = Cameras(read["world_from_cam"], read["intrinsics"], width, height)
        return DepthMap(camera, read["depth"], read["pixels"])

    def __iter__(self) -> Iterator[DepthMap]:
        return (self[index] for index in range(len(self)))

    def batches(
        self, device: torch.device | str = "cpu", most_bytes: int = _BATCH_BYTES
    ) -> Iterator[tuple[Tensor, Tensor, Cameras]]:
        """All maps in order, as many at once as are equally large and few enough: depth [V, H, W], pixels [V, H, W, 4]
        and V cameras."""
        batch: list[DepthMap] = []
        for one in self:
            room = most_bytes // (self.BYTES_PER_PIXEL * one.depth.numel())
            if batch and (one.depth.shape != batch[0].depth.shape or len(batch) >= room):
                yield _stacked(batch, device)
                batch = []
            batch.append(one)
        if batch:
            yield _stacked(batch, device)


def _stacked(maps: list[DepthMap], device: torch.device | str) -> tuple[Tensor, Tensor, Cameras]:
    cameras = Cameras(
        torch.cat([one.camera.world_from_cam for one in maps]),
        torch.cat([one.camera.intrinsics for one in maps]), maps[0].camera.width, maps[0].camera.height,
    )  # fmt: skip
    return (
        torch.stack([one.depth for one in maps]).to(device),
        torch.stack([one.pixels for one in maps]).to(device),
        cameras,
    )
