"""Facts about this machine and installation, for `nerfkit doctor` and for bug reports."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nerfkit.core.backends import BACKENDS, obstacle
from nerfkit.errors import NerfkitError
from nerfkit.machine import available_memory


@dataclass(frozen=True)
class Package:
    """An optional package: what it is for, and how to get it."""

    module: str
    distribution: str
    enables: str
    get: str


OPTIONAL = (
    Package("trimesh", "trimesh", "meshes (GLB)", "pip install 'nerfkit[mesh]'"),
    Package("skimage", "scikit-image", "marching cubes", "pip install 'nerfkit[mesh]'"),
    Package("fast_simplification", "fast-simplification", "mesh decimation", "pip install 'nerfkit[mesh]'"),
    Package("lpips", "lpips", "the LPIPS metric in evaluations", "pip install 'nerfkit[lpips]'"),
    Package("viser", "viser", "the live viewer", "pip install 'nerfkit[viewer]'"),
)


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    state: str  # ok, missing, problem
    value: str
    hint: str = ""


def checks(folder: Path = Path()) -> list[Check]:
    """Everything worth knowing; takes about two seconds, most of it to import torch."""
    return [
        _python(), *_torch(), _cpu(), _core(), _gpu(), _gpu_core(), *(_backend(name) for name in BACKENDS),
        *(_package(package) for package in OPTIONAL), _pycolmap(), _ffmpeg(), _memory(), _disk(folder),
    ]  # fmt: skip


def usable_backends(found: list[Check]) -> list[str]:
    """What ``--backend`` takes here."""
    names = [check.name.removeprefix("backend ") for check in found if check.state == "ok"]
    return [name for name in BACKENDS if name in names]


def report(folder: Path = Path()) -> dict[str, Any]:
    """The checks as plain data, by name."""
    return {check.name: {k: v for k, v in asdict(check).items() if k != "name"} for check in checks(folder)}


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} ({sys.executable})")


def _torch() -> list[Check]:
    import torch

    return [Check("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")]


def _cpu() -> Check:
    name = platform.processor() or platform.machine()
    try:
        match = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        name = match.group(1) if match else name
    except OSError:
        pass
    return Check("cpu", "ok", f"{name}, {os.cpu_count()} cores")


def _core() -> Check:
    from nerfkit.core._library import describe

    try:
        core = describe()
    except NerfkitError as error:
        return Check("render core", "problem", "not usable", str(error))
    return Check(
        "render core", "ok", f"nerfkit on the CPU: {core['isa']}, {core['lanes']} lanes, since {core['reason']}"
    )


def _gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("gpu", "ok", torch.cuda.get_device_name(0))
    hint = "not needed: everything runs on the CPU"
    if torch.version.cuda is None and shutil.which("nvidia-smi"):
        hint = "this torch is built without CUDA: install one that has it (https://pytorch.org/get-started/locally)"
    return Check("gpu", "missing", "none that torch can use", hint)


def _gpu_core() -> Check:
    """nerfkit's kernels for the GPU: missed only where there is one."""
    import torch

    from nerfkit.core._library import describe

    try:
        core = describe("cuda")
    except NerfkitError as error:
        state = "problem" if "not built" not in str(error) else "missing"
        hint = str(error) if torch.cuda.is_available() or state == "problem" else ""
        return Check("gpu core", state, "nerfkit's kernels for NVIDIA GPUs", hint)
    return Check("gpu core", "ok", f"nerfkit on NVIDIA GPUs: {core['path']}")


def _backend(name: str) -> Check:
    """Whether ``--backend name`` works here."""
    found = obstacle(name)
    if found is None:
        return Check(f"backend {name}", "ok", BACKENDS[name])
    return Check(f"backend {name}", "missing", BACKENDS[name], "see render core" if name == "nerfkit" else found)


def _package(package: Package) -> Check:
    if importlib.util.find_spec(package.module) is None:
        return Check(package.module, "missing", package.enables, package.get)
    try:
        version = importlib.metadata.version(package.distribution)
    except importlib.metadata.PackageNotFoundError:
        version = "installed"
    return Check(package.module, "ok", f"{version}: {package.enables}")


def _pycolmap() -> Check:
    return Check("pycolmap", "ok", f"{importlib.metadata.version('pycolmap')}: camera poses")


def _ffmpeg() -> Check:
    try:
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
        words = subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stdout.split()
    except (ImportError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        return Check("ffmpeg", "problem", f"not usable ({error})", "pip install 'imageio[ffmpeg]'")
    return Check("ffmpeg", "ok", f"{words[2]}: videos")


def _memory() -> Check:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        free = available_memory() / 2**30
    except (ValueError, OSError):
        return Check("memory", "missing", "unknown on this system")
    return Check("memory", "ok" if total > 3.5 else "problem", f"{total:.1f} GiB, {free:.1f} free")


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free / 2**30
    hint = "" if free > 2 else "runs and pose databases need a gigabyte or two"
    return Check("disk", "ok" if free > 2 else "problem", f"{free:.1f} GiB free here", hint)
