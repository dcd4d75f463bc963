"""The binding: what nerfkit.h says is what Python does, and every build of the library gives the same numbers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nerfkit import cameras
from nerfkit.core import (
    _library,
    photo_step,
    reference,
    reference_distortion,
    reference_draw,
    reference_frequency,
    reference_hash_grid,
    reference_march,
    reference_marching_cubes,
    reference_photo_colors,
    reference_ray_samples,
    reference_resample,
    reference_tsdf,
)  # fmt: skip
from nerfkit.core._binding import DTYPES, bind, device_of, fixed_size, quick_binder
from nerfkit.core._header import Field, constants, header_text, parse_header
from nerfkit.core._library import library

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "cuda_ext"
SOURCES_OF_A_CPU = [path for folder in ("cpu", "steps") for path in (SOURCES / folder).glob("*.cpp")]
REFERENCES = {  # operator -> the function that defines it
    "nk_project_fwd": reference.project, "nk_project_bwd": reference.project, "nk_bin": reference.rasterize,
    "nk_fill": reference.rasterize, "nk_rasterize_fwd": reference.rasterize, "nk_rasterize_bwd": reference.rasterize,
    "nk_splat_stats": reference.rasterize, "nk_ssim_target": reference.ssim_map,
    "nk_photometric": reference.photometric_loss, "nk_photo_step": photo_step.composed_photo_step,
    "nk_adam": reference.adam,
    "nk_rays_fwd": cameras.rays, "nk_rays_bwd": cameras.rays,
    "nk_march_count": reference_march.march, "nk_march_fill": reference_march.march,
    "nk_composite_fwd": reference.composite, "nk_composite_bwd": reference.composite,
    "nk_hash_encode_fwd": reference_hash_grid.hash_encode, "nk_hash_encode_bwd": reference_hash_grid.hash_encode,
    "nk_mlp_fwd": reference.mlp, "nk_mlp_bwd": reference.mlp,
    "nk_frequency_encode_fwd": reference_frequency.frequency_encode,
    "nk_frequency_encode_bwd": reference_frequency.frequency_encode,
    "nk_resample": reference_resample.resample,
    "nk_distortion_fwd": reference_distortion.distortion, "nk_distortion_bwd": reference_distortion.distortion,
    "nk_draw_mesh_fwd": reference_draw.draw_mesh, "nk_photo_colors": reference_photo_colors.photo_colors,
    "nk_tsdf_mark": reference_tsdf.tsdf_mark, "nk_tsdf_integrate": reference_tsdf.tsdf_integrate,
    "nk_cubes_count": reference_marching_cubes.marching_cubes, "nk_cubes_fill": reference_marching_cubes.marching_cubes,
    "nk_ray_ranges": reference_ray_samples.ray_ranges, "nk_intervals": reference_ray_samples.intervals,
    "nk_sample_points": reference_ray_samples.sample_points,
    "nk_to_cube_fwd": reference_ray_samples.to_cube, "nk_to_cube_bwd": reference_ray_samples.to_cube,
    "nk_exp_density_fwd": reference_ray_samples.exp_density, "nk_exp_density_bwd": reference_ray_samples.exp_density,
    "nk_opacity_fwd": reference_ray_samples.opacity, "nk_opacity_bwd": reference_ray_samples.opacity,
    "nk_missed_fwd": reference_ray_samples.missed, "nk_missed_bwd": reference_ray_samples.missed,
    "nk_sh_encode_fwd": reference.sh_basis, "nk_sh_encode_bwd": reference.sh_basis,
}  # fmt: skip


def test_every_operator_has_a_reference_and_a_kernel() -> None:
    sources = "\n".join(path.read_text() for path in SOURCES_OF_A_CPU)
    for name in library().operators:
        assert re.search(rf"\bint {name}\(", sources), f"{name}: no kernel in cuda_ext/cpu, and no step"
        assert name in REFERENCES, f"{name}: no reference"


def test_header_is_read_completely() -> None:
    text = header_text()
    structs = parse_header(text)
    written = [path.read_text().count("typedef struct") for path in SOURCES.glob("**/operators/*.h")]
    assert len(structs) == sum(written) > 0
    for name, fields in structs.items():
        body = re.search(rf"typedef struct {name} \{{(.*?)\}}", text, re.DOTALL)
        assert body is not None and len(fields) == sum(bool(line.strip()) for line in body.group(1).splitlines()), name
        assert all(field.shape is not None for field in fields if f"*{field.name};" in body.group(1)), name
    assert constants()["ALPHA_MIN"] == 1 / 255
    assert constants()["TILE"] == 8


def test_arrays_are_checked_before_the_call() -> None:
    planes = torch.rand(3, 4, 5)
    arguments = {"threads": 1, "target": planes, "mean": torch.empty(3, 4, 5), "mean_square": torch.empty(3, 4, 5)}
    library().call("nk_ssim_target", **arguments)
    with pytest.raises(TypeError, match="the array mean is missing"):
        library().call("nk_ssim_target", **{**arguments, "mean": None})
    with pytest.raises(ValueError, match=r"mean must be \[C, H, W\] with H=4 \(from target\), got \[3, 5, 4\]"):
        library().call("nk_ssim_target", **{**arguments, "mean": torch.empty(3, 5, 4)})
    with pytest.raises(ValueError, match="target must be contiguous"):
        library().call("nk_ssim_target", **{**arguments, "target": torch.rand(3, 5, 4).transpose(1, 2)})
    with pytest.raises(ValueError, match="H is 9, but target has 4"):
        library().call("nk_ssim_target", **{**arguments, "H": 9})
    with pytest.raises(TypeError, match="unknown argument sigma"):
        library().call("nk_ssim_target", **{**arguments, "sigma": 2})


def variants(function: str) -> Iterator[dict[str, Any]]:
    """An operator's arguments as they should be, with all sizes 3 and up, and then with one thing after the other
    wrong."""
    fields = library().fields(function)
    sizes = {
        size: 3 + number for number, size in enumerate(sorted({s for f in fields.values() for s in f.shape or ()}))
    }

    def array(field: Field) -> torch.Tensor:
        assert field.shape is not None
        known = [fixed_size(size) for size in field.shape]
        shape = [fixed[0] if fixed else sizes[size] for fixed, size in zip(known, field.shape)]
        return torch.zeros(shape, dtype=DTYPES[field.ctype], device="cpu" if field.on_host else library().device_type)

    whole: dict[str, Any] = {name: 1 for name, field in fields.items() if field.shape is None and name not in sizes}
    whole |= {name: array(field) for name, field in fields.items() if field.shape is not None}
    yield whole
    yield whole | {"sigma": 2}
    yield whole | {name: size for name, size in sizes.items() if name in fields}
    for name, field in fields.items():
        if field.shape is None:
            yield whole | {name: 7 if field.ctype != "float" else 7.5}
            yield {given: value for given, value in whole.items() if given != name}
            continue
        yield whole | {name: None}
        yield whole | {name: whole[name].to(torch.float16 if whole[name].dtype != torch.float16 else torch.float32)}
        yield whole | {name: whole[name][None]}
        for axis in range(len(field.shape)):
            yield whole | {name: torch.cat([whole[name], whole[name]], axis)}
            yield whole | {name: torch.stack([whole[name], whole[name]], -1)[..., 0]}
            yield whole | {name: whole[name].narrow(axis, 0, 0)}


@pytest.mark.parametrize("function", library().operators)
def test_what_is_bound_quickly_is_what_is_bound(function: str) -> None:
    operator, gpu = library()._operators[function], 0 if library().device_type == "cuda" else -1
    right = wrong = 0
    for arguments in variants(function):
        quick = operator.bind_quickly(arguments)
        try:
            slow = bind(function, operator.fields, operator.structure, arguments)
        except (TypeError, ValueError):
            assert quick is None
            wrong += 1
            continue
        right += 1
        assert quick is not None and bytes(quick[0]) == bytes(slow) and quick[1] == gpu
    assert right > 1 and wrong > 3


class OnSecondGpu(torch.Tensor):
    """As far as binding asks."""

    def get_device(self) -> int:
        return 1


@pytest.mark.cpu_only
def test_arrays_on_a_gpu_are_bound_quickly() -> None:
    operator = library()._operators["nk_adam"]
    bind_quickly = quick_binder(operator.fields, operator.structure, on_gpu=True)
    arguments = next(variants("nk_adam"))
    assert bind_quickly(arguments) is None
    there = {
        name: value.as_subclass(OnSecondGpu) if isinstance(value, torch.Tensor) and name != "lr" else value
        for name, value in arguments.items()
    }
    bound = bind_quickly(there)
    assert bound is not None and bound[1] == 1
    assert bytes(bound[0]) == bytes(bind("nk_adam", operator.fields, operator.structure, there))
    for name in ("param", "drawn"):
        assert bind_quickly(there | {name: arguments[name]}) is None


@pytest.mark.cpu_only
def test_arrays_of_a_gpu_lie_on_one_device() -> None:
    """But for those that the header leaves on the host. "meta" stands for the GPU."""
    text = """typedef struct nk_some_params {
  int32_t N;
  const float *x;   /* [N] */
  const int *sizes; /* [2] on the host; of something */
  float *y;         /* [N] or NULL on the host */
} nk_some_params;"""
    fields = parse_header(text)["nk_some_params"]
    assert [field.on_host for field in fields] == [False, False, True, True]
    gpu, cpu = torch.empty(3, device="meta"), torch.empty(3)
    assert device_of("nk_some", fields, {"x": gpu, "sizes": cpu, "y": None}) == gpu.device
    assert device_of("nk_some", fields, {"sizes": cpu}) == cpu.device
    with pytest.raises(ValueError, match="nk_some: sizes must be on cpu, got meta"):
        device_of("nk_some", fields, {"x": gpu, "sizes": gpu})


def test_failures_come_back_as_exceptions() -> None:
    h = w = 8
    arrays = {
        "splats": torch.empty(0, 16), "tile_offsets": torch.zeros(2, dtype=torch.int32),
        "indices": torch.empty(0, dtype=torch.int32), "reach": torch.empty(0, dtype=torch.uint8),
        "background": torch.zeros(3), "walked": torch.zeros(1, dtype=torch.int32),
        "image": torch.empty(5, h, w), "alpha": torch.empty(h, w),
    }  # fmt: skip
    with pytest.raises(RuntimeError, match="nk_rasterize_fwd: channels must be 3, 4 or 7"):
        library().call("nk_rasterize_fwd", threads=1, **arrays)


def test_dump_saves_the_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file

    monkeypatch.setattr(_library, "_DUMP", str(tmp_path))
    target = torch.rand(3, 4, 5)
    library().call(
        "nk_ssim_target", threads=1, target=target, mean=torch.empty(3, 4, 5), mean_square=torch.empty(3, 4, 5)
    )
    (file,) = tmp_path.iterdir()
    assert torch.equal(load_file(file)["target"], target)


@pytest.mark.cpu_only
def test_missing_library_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NERFKIT_ISA", "none")
    with pytest.raises(_library.NerfkitError, match=r"libnerfkit_none.so is not built .* run `make setup`"):
        _library.library.__wrapped__()


def builds_not_chosen() -> list[str]:
    """What this CPU could run beside the library that it chooses, on which all other tests run."""
    chosen, flags = _library._choose()[0], _library._cpu_flags()
    installed = [name for name, needed, _ in _library._X86_LIBRARIES if flags.issuperset(needed)]
    if chosen != "neon":
        installed.append("base")
    return [name for name in installed if name != chosen] + ["16 lanes"] * (chosen != "avx512")


@pytest.mark.cpu_only
@pytest.mark.parametrize("build", builds_not_chosen())
def test_every_build_passes_the_operator_tests(build: str, tmp_path: Path) -> None:
    environment = {"NERFKIT_ISA": build}
    if build == "16 lanes":  # those of AVX-512, compiled for a CPU without
        environment = {"NERFKIT_LIBRARY": str(compiled(16, tmp_path))}
    files = (
        "rasterize", "losses_and_adam", "hash_grid", "mlp", "sh_encode", "frequency_encode", "resample", "distortion",
        "rays", "ray_samples", "opacity", "missed", "photo_step", "photo_colors",
    )  # fmt: skip
    tests = [str(Path(__file__).with_name(f"test_{name}.py")) for name in files]
    chosen = ["-m", "not (cpu_only or gpu)", "-k", "equal or loss", *tests]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *chosen],
        env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:]
    assert int(result.stdout.rsplit(" passed", 1)[0].split()[-1]) > 250, "too few tests have run to prove anything"


def compiled(lanes: int, folder: Path) -> Path:
    """The library of another lane width, by this machine's compiler and for its CPU; compiling takes longest."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++: apt-get install g++")
    built = folder / f"libnerfkit_lanes{lanes}.so"
    flags = ["-std=c++17", "-O0", "-march=native", "-fopenmp", "-fPIC", "-shared", "-fno-math-errno", "-Wno-psabi"]
    sources = [str(path) for path in SOURCES_OF_A_CPU]
    subprocess.run([compiler, *flags, f"-DNK_LANES={lanes}", *sources, "-o", str(built)], check=True)
    return built
