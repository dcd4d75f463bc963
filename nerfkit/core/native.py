"""The compiled backend: nerfkit's own kernels behind the interface of a render core."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from nerfkit.core import _library
from nerfkit.core._library import call
from nerfkit.core.native_composite import composite
from nerfkit.core.native_distortion import distortion
from nerfkit.core.native_draw import draw_mesh
from nerfkit.core.native_frequency import frequency_encode
from nerfkit.core.native_hash_grid import hash_encode
from nerfkit.core.native_march import march
from nerfkit.core.native_marching_cubes import marching_cubes
from nerfkit.core.native_missed import missed
from nerfkit.core.native_mlp import mlp
from nerfkit.core.native_opacity import exp_density, opacity
from nerfkit.core.native_photo_colors import photo_colors
from nerfkit.core.native_photo_step import PhotoSteps
from nerfkit.core.native_photometric import photometric_loss, target
from nerfkit.core.native_rasterize import rasterize
from nerfkit.core.native_ray_samples import intervals, ray_ranges, sample_points, to_cube
from nerfkit.core.native_rays import rays
from nerfkit.core.native_resample import resample
from nerfkit.core.native_sh import sh_encode
from nerfkit.core.native_tsdf import tsdf_integrate, tsdf_mark


class NativeCore:
    """The render core through nerfkit's own kernels, on the device that its arguments lie on."""

    name = "nerfkit"
    composite = staticmethod(composite)
    distortion = staticmethod(distortion)
    draw_mesh = staticmethod(draw_mesh)
    exp_density = staticmethod(exp_density)
    frequency_encode = staticmethod(frequency_encode)
    hash_encode = staticmethod(hash_encode)
    intervals = staticmethod(intervals)
    march = staticmethod(march)
    marching_cubes = staticmethod(marching_cubes)
    missed = staticmethod(missed)
    mlp = staticmethod(mlp)
    opacity = staticmethod(opacity)
    photo_colors = staticmethod(photo_colors)
    photometric_loss = staticmethod(photometric_loss)
    rasterize = staticmethod(rasterize)
    ray_ranges = staticmethod(ray_ranges)
    rays = staticmethod(rays)
    resample = staticmethod(resample)
    sample_points = staticmethod(sample_points)
    sh_encode = staticmethod(sh_encode)
    target = staticmethod(target)
    to_cube = staticmethod(to_cube)
    tsdf_integrate = staticmethod(tsdf_integrate)
    tsdf_mark = staticmethod(tsdf_mark)

    def __init__(self, kind: str = "cpu") -> None:
        """Args: kind: of device that will be worked on, cpu or cuda."""
        _library.library(kind)  # fail here, where the message can still be of use
        self.photo_step = PhotoSteps()

    def adam(
        self,
        param: Tensor,
        grad: Tensor,
        m: Tensor,
        v: Tensor,
        step: int,
        lr: Tensor,
        betas: tuple[float, float],
        epsilon: float,
        drawn: Tensor | None = None,
    ) -> None:
        """One Adam step in place (Kingma & Ba 2015).

        Args:
            lr: [L], at most 64, on the CPU; repeats over the parameter's entries.
            drawn: [R] uint8, of the parameter's R rows those that change; all without it.
        """
        call(
            "nk_adam", param=_flat(param), grad=_flat(grad.contiguous()), m=_flat(m), v=_flat(v), step=step, lr=lr,
            beta1=betas[0], beta2=betas[1], epsilon=epsilon, drawn=drawn,
        )  # fmt: skip


def _flat(array: Tensor) -> Tensor:
    return array if array.ndim == 1 else array.detach().view(-1)


def operator_names() -> Sequence[str]:
    """The operators of the loaded library, for `nerfkit doctor` and the tests."""
    return _library.library().operators
