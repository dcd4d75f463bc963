"""Compiles the CUDA side for every GPU generation, warnings as errors, and holds its kernels to their registers.

Needs nvcc, no GPU. Every source is compiled for every architecture below that nvcc knows; every header, by itself, as
device code for the oldest. What the assembler says of each kernel is printed as a table and compared with
cuda_ext/cuda/limits.toml: a kernel that isn't there, takes more registers or spills any fails. ``--update`` writes that
file from what was measured. Another release of nvcc than the file's is held to the spills alone.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CUDA = ROOT / "cuda_ext" / "cuda"
LIMITS = CUDA / "limits.toml"
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
COMPILED_AS = {86: 80, 89: 80}  # no source tells them apart: compiled once, assembled for each
FLAGS = (
    "-std=c++17", "--expt-relaxed-constexpr", "-Werror", "all-warnings", "-Xcompiler", "-Wall,-Wextra,-Werror",
    f"-I{ROOT / 'cuda_ext'}",
)  # fmt: skip
AT_A_TIME = 2


@dataclass(frozen=True)
class Kernel:
    """What one kernel takes on one architecture."""

    source: str
    name: str
    architecture: int
    registers: int
    spilled: int  # bytes, stores and loads
    shared: int  # bytes, static


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write limits.toml")
    parser.add_argument("sources", nargs="*", type=Path, help="only these .cu files, and their limits")
    options = parser.parse_args()
    if shutil.which("nvcc") is None:
        print("nvcc is not here: install the CUDA toolkit to compile the CUDA side")
        return 0
    known = _architectures()
    headers = [] if options.sources else [*ROOT.glob("cuda_ext/math/*.h"), *CUDA.glob("*.h")]
    sources = [path.resolve() for path in options.sources] or sorted(CUDA.glob("*.cu"))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_A_TIME) as pool:
        jobs = [pool.submit(_compile, path, known if path.suffix == ".cu" else known[:1], Path(folder))
                for path in [*sorted(headers), *sources]]  # fmt: skip
        results = [job.result() for job in jobs]
    kernels = [kernel for found, _ in results for kernel in found]
    errors = [error for _, failed in results for error in failed]
    print(_table(kernels, known))
    if not errors and options.update:
        _write_limits(kernels, everything=not options.sources)
    elif not errors:
        errors = _beyond_limits(kernels, everything=not options.sources)
    for error in errors:
        print(error, file=sys.stderr)
    print(f"{len(sources)} CUDA sources and {len(headers)} headers: {'failed' if errors else 'compiled'}")
    return 1 if errors else 0


def _architectures() -> list[int]:
    listed = subprocess.run(["nvcc", "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout
    return [number for number in ARCHITECTURES if f"compute_{number}\n" in listed]


def _release() -> str:
    text = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release ([\d.]+)", text).group(1)  # type: ignore[union-attr]


def _compile(path: Path, architectures: list[int], folder: Path) -> tuple[list[Kernel], list[str]]:
    """The kernels of a file, and what is wrong with it."""
    source = path
    if path.suffix == ".h":
        source = folder / f"{path.parent.name}_{path.stem}.cu"
        source.write_text(f'#include "{path.relative_to(ROOT / "cuda_ext")}"\n')
    targets = [f"-gencode=arch=compute_{COMPILED_AS.get(n, n)},code=sm_{n}" for n in architectures]
    command = ["nvcc", *FLAGS, *targets, "-Xptxas", "-v", "-c", str(source), "-o", str(folder / f"{source.stem}.o")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    said = result.stdout + result.stderr
    if result.returncode != 0:
        return [], [f"{path.relative_to(ROOT)}: does not compile\n{said}"]
    return list(_kernels(path.stem, said)), []


def _kernels(source: str, said: str) -> Iterable[Kernel]:
    entries = re.split(r"ptxas info\s*: Compiling entry function ", said)[1:]
    names = [entry[1 : entry.index("'", 1)] for entry in entries]
    plain = subprocess.run(["c++filt", *names], capture_output=True, text=True, check=True).stdout.splitlines()
    for entry, name in zip(entries, plain if names else [], strict=True):
        if "cub::" in name:  # not ours
            continue
        yield Kernel(
            source, _short(name), int(_number(r"for 'sm_(\d+)\w?'", entry)), _number(r"Used (\d+) registers", entry),
            _number(r"(\d+) bytes spill stores", entry) + _number(r"(\d+) bytes spill loads", entry),
            _number(r"(\d+) bytes smem", entry),
        )  # fmt: skip


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match.group(1)) if match else 0


def _short(name: str) -> str:
    """``void nk::(anonymous namespace)::composite_rays<3>(nk_composite_params)`` -> ``composite_rays<3>``"""
    name = name.removeprefix("void ").replace("(anonymous namespace)::", "").replace("nk::", "")
    name = re.sub(r"\((?:int|bool|unsigned int|\w+)\)(?=[\w-])", "", name)  # (bool)1
    depth = 0
    for i, letter in enumerate(name):  # to the parameters, which follow the template's arguments
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            return name[:i].replace(" ", "")
    return name.replace(" ", "")


def _table(kernels: list[Kernel], architectures: list[int]) -> str:
    """Registers by architecture, + spilled bytes where there are any, and static shared memory."""
    rows = [["kernel", *(f"sm_{n}" for n in architectures), "shared"]]
    for (source, name), found in _by_kernel(kernels).items():
        on = {kernel.architecture: kernel for kernel in found}
        cells = [f"{on[n].registers}" + (f"+{on[n].spilled}B" if on[n].spilled else "") for n in architectures]
        rows.append([f"{source}: {name}", *cells, str(max(kernel.shared for kernel in found))])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        row[0].ljust(widths[0]) + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )


def _by_kernel(kernels: list[Kernel]) -> dict[tuple[str, str], list[Kernel]]:
    groups: dict[tuple[str, str], list[Kernel]] = {}
    for kernel in sorted(kernels, key=lambda k: (k.source, k.name)):
        groups.setdefault((kernel.source, kernel.name), []).append(kernel)
    return groups


def _write_limits(kernels: list[Kernel], everything: bool) -> None:
    old = {} if everything or not LIMITS.exists() else tomllib.loads(LIMITS.read_text())
    limits: dict[str, dict[str, int]] = {source: names for source, names in old.items() if isinstance(names, dict)}
    for source in {kernel.source for kernel in kernels}:
        limits[source] = {}
    for (source, name), found in _by_kernel(kernels).items():
        limits[source][name] = max(kernel.registers for kernel in found)
    lines = [
        "# The most registers that each kernel takes on any architecture: scripts/compile_cuda.py --update.",
        f'nvcc = "{_release()}"',
    ]
    for source, names in sorted(limits.items()):
        lines += [f"\n[{source}]", *(f'"{name}" = {most}' for name, most in names.items())]
    LIMITS.write_text("\n".join(lines) + "\n")


def _beyond_limits(kernels: list[Kernel], everything: bool) -> list[str]:
    limits: dict[str, Any] = tomllib.loads(LIMITS.read_text()) if LIMITS.exists() else {}
    same = limits.pop("nvcc", "") == _release()
    groups, errors = _by_kernel(kernels), []
    for (source, name), found in groups.items():
        limit = limits.get(source, {}).get(name)
        most = max(kernel.registers for kernel in found)
        for kernel in found:
            if kernel.spilled:
                errors.append(f"{source}: {name} spills {kernel.spilled} bytes on sm_{kernel.architecture}")
        if limit is None:
            errors.append(f"{source}: {name} is not in {LIMITS.name}: look at its registers, then --update")
        elif same and most > limit:
            errors.append(f"{source}: {name} takes {most} registers, {limit} in {LIMITS.name}")
    if everything:
        errors += [f"{source}: {name} is in {LIMITS.name}, but there is no such kernel"
                   for source, names in limits.items() for name in names if (source, name) not in groups]  # fmt: skip
    return errors


if __name__ == "__main__":
    sys.exit(main())
