"""The interfaces of nerfkit: what crosses the borders between its parts.

Conventions (docs/conventions.md): frames stand in names as ``b_from_a``; camera axes are OpenCV's
(x right, y down, z forward); pixel centres lie at +0.5; quaternions are ``w x y z``; ``depth`` is z
along the optical axis, ``t`` is distance along a unit ray; images are uint8 sRGB in memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:  # arrays of meshes and photos are numpy's, but the contracts need only their names
    import numpy as np

    from nerfkit.core.hash_grid import HashGrid
    from nerfkit.core.occupancy import Occupancy, Steps
    from nerfkit.core.types import FacePixels, Layers, Output, PhotoStep, Rasterized, SplatStats, Target
    from nerfkit.core.volume import BlockMap, Volume
    from nerfkit.data.scene import Scene

CameraModel = Literal["pinhole", "opencv", "fisheye", "equirect"]
Channel = Literal["rgb", "alpha", "depth", "normal"]


@dataclass(frozen=True)
class Cameras:
    """C cameras that share an image size and a camera model.

    ``distortion`` holds COLMAP's parameters in COLMAP's order: none for ``pinhole`` and
    ``equirect``, ``k1 k2 p1 p2`` for ``opencv`` (OPENCV), ``k1 k2 k3 k4`` for ``fisheye``
    (OPENCV_FISHEYE).
    """

    world_from_cam: Tensor  # [C, 4, 4] rigid, float32 or float64
    intrinsics: Tensor  # [C, 4] fx fy cx cy, pixels
    width: int
    height: int
    model: CameraModel = "pinhole"
    distortion: Tensor | None = None  # [C, K]

    def __len__(self) -> int:
        return self.world_from_cam.shape[0]

    def __getitem__(self, index: int | slice | list[int]) -> Cameras:
        """A subset that keeps the leading dimension: ``cameras[3]`` has C = 1."""
        pick: Any = [index] if isinstance(index, int) else index
        distortion = None if self.distortion is None else self.distortion[pick]
        return Cameras(
            self.world_from_cam[pick], self.intrinsics[pick], self.width, self.height, self.model, distortion
        )

    @functools.cached_property
    def cam_from_world(self) -> Tensor:  # [C, 4, 4]
        rotation = self.world_from_cam[:, :3, :3].transpose(1, 2)
        out = torch.zeros_like(self.world_from_cam)
        out[:, :3, :3] = rotation
        out[:, :3, 3:] = -rotation @ self.world_from_cam[:, :3, 3:]
        out[:, 3, 3] = 1
        return out


@dataclass(frozen=True)
class Rays:
    """R rays in the scene frame."""

    origins: Tensor  # [R, 3]
    directions: Tensor  # [R, 3] unit
    camera_index: Tensor  # [R] int64; -1 for a camera that is none of the scene's
    radii: Tensor | None = None  # [R] of the pixels' cones at distance 1


@dataclass(frozen=True)
class Samples:
    """Packed samples along rays: the samples of ray r are ``offsets[r]:offsets[r + 1]``."""

    t_start: Tensor  # [S]
    t_end: Tensor  # [S]
    offsets: Tensor  # [R + 1] int32
    ray_index: Tensor  # [S] int32


@dataclass(frozen=True)
class Gaussians:
    """N 3D Gaussians with activated values (no logits, no logs)."""

    ARRAYS: ClassVar = ("means", "quats", "scales", "opacities", "sh")

    means: Tensor  # [N, 3]
    quats: Tensor  # [N, 4] w x y z, need not be unit
    scales: Tensor  # [N, 3] > 0, standard deviations
    opacities: Tensor  # [N] in (0, 1)
    sh: Tensor  # [N, K, 3], K = (degree + 1)^2, Inria order
    antialiased: bool = False  # drawn with opacities that fall as splats get smaller than a pixel (Mip-Splatting)

    def __len__(self) -> int:
        return self.means.shape[0]


@dataclass
class Mesh:
    """A triangle mesh. Colors and textures are sRGB."""

    vertices: np.ndarray  # [V, 3] float
    faces: np.ndarray  # [F, 3] int, counter-clockwise seen from outside
    colors: np.ndarray | None = None  # [V, 3] uint8
    normals: np.ndarray | None = None  # [V, 3] unit
    uvs: np.ndarray | None = None  # [V, 2], origin bottom left
    texture: np.ndarray | None = None  # [H, W, 3] uint8, first row at the top (v = 1)
    normal_map: np.ndarray | None = None  # [H, W, 3] uint8 in tangent space: x along u, y along v, z out (as glTF)


class View(Protocol):
    """One photo with its camera, undistorted and at the size the scene was loaded with."""

    name: str  # unique, fit for a file's name, without the photo's suffix
    camera: Cameras  # C = 1, pinhole, in the scene frame

    def image(self) -> Tensor:  # [H, W, 3] uint8; decoded at first use, cached by the scene
        ...

    def mask(self) -> Tensor | None:  # [H, W] uint8 alpha, 255 = part of the scene
        ...


@dataclass
class Rendering:
    """What a model draws for one camera; only the channels asked for are present."""

    rgb: Tensor | None = None  # [H, W, 3] in [0, 1]
    alpha: Tensor | None = None  # [H, W]
    depth: Tensor | None = None  # [H, W] z, scene units; 0 where nothing is seen
    normal: Tensor | None = None  # [H, W, 3] unit, scene frame, towards the camera; 0 where nothing is seen
    background: Tensor | None = None  # [3] that rgb lies over: rgb = seen + (1 - alpha) * background
    extras: dict[str, Tensor] = field(default_factory=dict)


class Optimizer(Protocol):
    """What the trainer needs of an optimizer, as those of ``torch.optim`` have it."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any: ...

    def zero_grad(self) -> None: ...


@runtime_checkable
class SceneModel(Protocol):
    """A scene model: everything the trainer, the renderer and the exporters need of one.

    ``progress`` runs from 0 to 1 over a whole training run, whatever its length.
    """

    name: ClassVar[str]
    optimizers: Mapping[str, Optimizer]

    @classmethod
    def create(cls, config: Any, scene: Scene, core: RenderCore, device: torch.device) -> Self: ...

    def losses(self, progress: float, rng: torch.Generator) -> Mapping[str, Tensor]:
        """Draws a batch (rays or whole views) from the scene's training views; the trainer sums the losses.

        The gradient of one that needs none (``requires_grad``) is already added to those of the parameters.
        """
        ...

    def after_backward(self, progress: float) -> None:
        """Reads gradients, before the optimizers step."""

    def after_step(self, progress: float) -> None:
        """Changes structure: densify, prune, refresh occupancy; sets learning rates."""
        ...

    def render(
        self, camera: Cameras, channels: frozenset[Channel] = frozenset({"rgb"}), progress: ProgressSink = quiet
    ) -> Rendering:
        """Draws one camera of the scene frame (C = 1, pinhole), without gradients."""
        ...

    def statistics(self) -> Mapping[str, float]:
        """Numbers for the progress line, ``log.jsonl`` and ``metrics.json``, such as ``gaussians``."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Nested dicts of tensors and JSON values: everything a resumed run needs, optimizers included."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class FixedStep:
    """A training step whose work is fixed before it begins: kernels, sizes of arrays, and where their memory lies."""

    kind: Hashable
    """Steps of one kind differ in the values of ``inputs`` and in their random numbers alone."""
    inputs: tuple[Tensor, ...]  # on the device
    rng: torch.Generator  # of the device, seeded for this step: all random numbers are drawn from it
    losses: Callable[..., Mapping[str, Tensor]]  # of ``inputs``, as SceneModel.losses gives them


@runtime_checkable
class HasFixedSteps(Protocol):
    def fixed_step(self, rng: torch.Generator) -> FixedStep | None:
        """The next training step, in place of :meth:`SceneModel.losses`; None, and nothing is drawn from ``rng``, if
        what it does depends on what it finds."""
        ...


@runtime_checkable
class HasDensity(Protocol):
    def density(self, xyz: Tensor) -> Tensor:
        """Volume density [P], per scene unit, at scene points [P, 3]; no gradients needed."""
        ...


@runtime_checkable
class HasRadiance(Protocol):
    def radiance(self, xyz: Tensor, directions: Tensor) -> Tensor:
        """sRGB [P, 3] in [0, 1] of the light that leaves scene points [P, 3], seen along unit ``directions`` [P, 3]
        (from the eye to the point)."""
        ...


@runtime_checkable
class HasRays(Protocol):
    def draw_rays(self, rays: Rays, channels: frozenset[Channel] = frozenset({"rgb"})) -> Rendering:
        """What rays of the scene frame [R] see, each on its own, without gradients: channels [R] or [R, 3].

        Depth is the distance along a ray.
        """
        ...


@runtime_checkable
class HasGaussians(Protocol):
    def gaussians(self) -> Gaussians:
        """The model's Gaussians in the scene frame, detached."""
        ...


@runtime_checkable
class HasCrop(Protocol):
    def cropped(self, inside: Callable[[Tensor], Tensor]) -> SceneModel:
        """The model for drawing alone, without what lies at scene points [P, 3] that are not ``inside`` ([P] bool)."""
        ...


class RenderCore(Protocol):
    """The operators of the render core. Every backend gives equal numbers within tests/tolerances.py."""

    name: str

    def rasterize(
        self, gaussians: Gaussians, camera: Cameras, background: Tensor, *, degree: int | None = None,
        layers: Layers = "rgb", near: float = 0.01, median_depth: bool = False, stats: SplatStats | None = None,
    ) -> Rasterized: ...  # fmt: skip
    def target(self, planes: Tensor) -> Target: ...
    def photometric_loss(self, image: Tensor, target: Target, ssim_weight: float) -> Tensor: ...
    def photo_step(
        self, gaussians: Gaussians, camera: Cameras, background: Tensor, target: Target, ssim_weight: float,
        *, near: float = 0.01, stats: SplatStats | None = None,
    ) -> PhotoStep: ...  # fmt: skip
    def adam(
        self, param: Tensor, grad: Tensor, m: Tensor, v: Tensor, step: int, lr: Tensor,
        betas: tuple[float, float], epsilon: float, drawn: Tensor | None = None,
    ) -> None: ...  # fmt: skip
    def rays(self, cameras: Cameras, camera_index: Tensor, pixels: Tensor) -> Rays: ...
    def march(
        self, rays: Rays, ranges: Tensor, jitter: Tensor, grid: Occupancy, steps: Steps, room: int | None = None
    ) -> Samples: ...
    def composite(self, alphas: Tensor, values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...
    def resample(self, edges: Tensor, weights: Tensor, u: Tensor) -> Tensor: ...
    def distortion(self, weights: Tensor, t_start: Tensor, t_end: Tensor, offsets: Tensor) -> Tensor: ...
    def ray_ranges(self, rays: Rays, outer: float, near: float) -> Tensor: ...
    def intervals(self, edges: Tensor, half: float, disparity: bool) -> Samples: ...
    def sample_points(self, rays: Rays, samples: Samples) -> Tensor: ...
    def to_cube(self, points: Tensor, half: float, contracted: bool, scale: float, shift: float) -> Tensor: ...
    def exp_density(self, outputs: Tensor, first: float, most: float, half: float) -> Tensor: ...
    def opacity(self, density: Tensor, samples: Samples, whole_from: float = 0.0) -> tuple[Tensor, Tensor | None]: ...
    def missed(self, edges: Tensor, proposed: Tensor, finer: Tensor, weights: Tensor) -> Tensor: ...
    def hash_encode(self, positions: Tensor, table: Tensor, grid: HashGrid) -> Tensor: ...
    def mlp(
        self, input: Tensor, weights: Tensor, widths: Sequence[int], shared: Tensor | None = None,
        index: Tensor | None = None, output: Output = "linear",
    ) -> Tensor: ...  # fmt: skip
    def sh_encode(self, directions: Tensor, degree: int) -> Tensor: ...
    def frequency_encode(self, x: Tensor, frequencies: int, variance: Tensor | None = None) -> Tensor: ...
    def tsdf_mark(self, map: BlockMap, depth: Tensor, pixels: Tensor, cameras: Cameras) -> None: ...
    def tsdf_integrate(self, volume: Volume, depth: Tensor, pixels: Tensor, cameras: Cameras) -> None: ...
    def marching_cubes(self, volume: Volume, min_weight: float) -> tuple[Tensor, Tensor, Tensor]: ...
    def draw_mesh(self, vertices: Tensor, faces: Tensor, width: int, height: int) -> FacePixels: ...
    def photo_colors(
        self, positions: Tensor, normals: Tensor, camera: Cameras, depth: Tensor, trust: Tensor, planes: Tensor,
        min_cosine: float, slack: float,
    ) -> tuple[Tensor, Tensor]: ...  # fmt: skip


class SceneReader(Protocol):
    """One of the field's scene formats."""

    def accepts(self, path: Path) -> bool: ...

    def read(self, path: Path) -> Any:
        """Raises NerfkitError where the files are there but wrong."""
        ...
