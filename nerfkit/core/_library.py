"""Finds, checks and loads the compiled render core, and calls its operators.

``nerfkit.h``, with what it includes, is the only description of the operators: its structs become ctypes structures,
and the shape in each array's comment is checked at every call, so that no operator ever sees an array of another size,
type or layout than it was written for. Set ``NERFKIT_DUMP=folder`` to save the inputs of every call before it runs:
after a crash the last file there holds the arguments that caused it. ``NERFKIT_ISA=base|avx2|avx512`` takes another
library than the best one for the CPU, ``NERFKIT_LIBRARY=path`` any file; ``NERFKIT_LIBRARIES=folder`` is where both the
CPU's and the GPU's are looked for first.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import platform
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nerfkit.core._binding import SCALARS, QuickBinder, bind, device_of, quick_binder
from nerfkit.core._header import Field, constants, header_text, parse_header
from nerfkit.errors import NerfkitError

_DUMP = os.environ.get("NERFKIT_DUMP")
_dump_count = itertools.count()
_NEEDS_SCRATCH = int(constants()["NEEDS_SCRATCH"])
# Best first: library name, what the CPU must know, and its lanes.
_X86_LIBRARIES = (("avx512", ("avx512f", "avx512bw", "avx512dq", "avx512vl"), 16), ("avx2", ("avx2", "fma", "bmi2"), 8))


@dataclass(frozen=True)
class _Operator:
    name: str
    params: str
    fields: tuple[Field, ...]
    structure: Any
    function: Any
    on_gpu: bool

    @functools.cached_property
    def array(self) -> str:
        """An array that is always given and lies where the operator works."""
        return next(f.name for f in self.fields if f.shape is not None and not f.optional and not f.on_host)

    @functools.cached_property
    def bind_quickly(self) -> QuickBinder:
        return quick_binder(self.fields, self.structure, self.on_gpu)


def _cpu_flags() -> frozenset[str]:
    try:
        match = re.search(r"^flags\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return frozenset()
    return frozenset(match.group(1).split()) if match else frozenset()


def _choose() -> tuple[str, str]:
    """The library's name and why it was chosen."""
    wanted = os.environ.get("NERFKIT_ISA")
    if wanted:
        return wanted, "NERFKIT_ISA asks for it"
    if platform.machine().lower() in ("aarch64", "arm64"):
        return "neon", "the CPU is 64-bit Arm"
    flags = _cpu_flags()
    for name, needed, _ in _X86_LIBRARIES:
        if flags.issuperset(needed):
            return name, f"the CPU has {', '.join(needed)}"
    return "base", "the CPU has neither AVX2 nor AVX-512"


def _search_folders() -> list[Path]:
    """Where an installation may have put the libraries: beside this file, or anywhere on the package's path."""
    import nerfkit

    given = os.environ.get("NERFKIT_LIBRARIES")
    return [
        *([Path(given)] if given else []),
        Path(__file__).parent,
        *(Path(folder) / "core" for folder in nerfkit.__path__),
    ]


class Library:
    """The loaded library: one callable operator per function of ``nerfkit.h``."""

    def __init__(self, path: Path, isa: str, reason: str):
        self.path, self.isa, self.reason = path, isa, reason
        self.device_type = "cuda" if isa == "cuda" else "cpu"
        text = header_text()
        self._dll = ctypes.CDLL(str(path))  # after `import torch`: both use torch's OpenMP runtime
        self._dll.nk_error.restype = ctypes.c_char_p
        self._dll.nk_params_size.restype = self._dll.nk_scratch_needed.restype = ctypes.c_int64
        self._dll.nk_use_stream.argtypes, self._dll.nk_use_stream.restype = [ctypes.c_void_p], None
        self._dll.nk_use_scratch.argtypes, self._dll.nk_use_scratch.restype = [ctypes.c_void_p, ctypes.c_int64], None
        self.lanes: int = self._dll.nk_lanes()
        self.tile: int = self._dll.nk_tile()  # pixels along the side of the rasterizer's tiles
        self._scratch: dict[tuple[int, int], Tensor] = {}  # by GPU and stream
        self._launching = threading.Lock()
        version, expected = self._dll.nk_abi_version(), int(constants()["ABI_VERSION"])
        if version != expected:
            raise NerfkitError(
                f"{path}: built for version {version} of the core's interface, expected {expected}; "
                "build again with `make setup` or `pip install .`"
            )
        structs = {name: self._structure(name, fields) for name, fields in parse_header(text).items()}
        self._operators = {}
        for function, params in re.findall(r"NK_API int (nk_\w+)\((?:const )?(nk_\w+) \*p\);", text):
            fields, structure = structs[params]
            code = getattr(self._dll, function, None)  # None: this library has no such kernel
            self._operators[function] = _Operator(function, params, fields, structure, code, isa == "cuda")

    def _structure(self, name: str, fields: tuple[Field, ...]) -> tuple[tuple[Field, ...], Any]:
        layout = [(f.name, ctypes.c_void_p if f.shape is not None else SCALARS[f.ctype]) for f in fields]
        structure = type(name, (ctypes.Structure,), {"_fields_": layout})
        size = self._dll.nk_params_size(name.encode())
        if size != ctypes.sizeof(structure):
            raise NerfkitError(
                f"{self.path}: {name} has {size} bytes there and {ctypes.sizeof(structure)} in nerfkit.h; "
                "build again with `make setup` or `pip install .`"
            )
        return fields, structure

    @property
    def threads(self) -> int:
        """How many threads an operator uses: PyTorch's number; a GPU's operators don't count theirs."""
        return torch.get_num_threads() if self.lanes > 1 else 1

    @property
    def operators(self) -> tuple[str, ...]:
        return tuple(self._operators)

    def is_for_gpu(self, function: str, arguments: Mapping[str, Any]) -> bool:
        """Whether an operator is given arrays on a GPU."""
        array = arguments.get(self._operators[function].array)
        return array is not None and array.is_cuda

    def fields(self, function: str) -> dict[str, Field]:
        """An operator's arguments by name, as ``nerfkit.h`` has them."""
        return {field.name: field for field in self._operators[function].fields}

    def call(self, function: str, /, **arguments: Any) -> Any:
        """Runs an operator and returns its params struct (for the numbers it puts out).

        Sizes are taken from the arrays' shapes; a size no array determines is an argument like any number. Without
        ``threads`` there are as many as PyTorch uses.

        Raises:
            TypeError, ValueError: an argument is missing, unknown, or of the wrong type, shape or layout.
            RuntimeError: the operator failed.
            NotImplementedError: this library has no such operator (a RuntimeError too).
        """
        operator = self._operators[function]
        if operator.function is None:
            raise NotImplementedError(f"{self.path} has no {function}")
        arguments.setdefault("threads", self.threads)
        params, gpu = operator.bind_quickly(arguments) or self._bind(operator, arguments)
        if _DUMP:
            _dump(_DUMP, function, arguments)
        on_cpu = self.lanes > 1
        status = operator.function(ctypes.byref(params)) if on_cpu else self._run_on_gpu(operator, params, gpu)
        if status != 0:
            raise RuntimeError(self._dll.nk_error().decode())
        return params

    def _bind(self, operator: _Operator, arguments: dict[str, Any]) -> tuple[Any, int]:
        """The params struct, and the GPU's index (-1: the CPU), or an exception that says what is wrong."""
        device = device_of(operator.name, operator.fields, arguments)
        if device.type != self.device_type:
            raise ValueError(f"{operator.name}: arrays on {device} were given to the library {self.path.name}")
        params = bind(operator.name, operator.fields, operator.structure, arguments)
        return params, device.index if device.type == "cuda" else -1

    def _run_on_gpu(self, operator: _Operator, params: Any, gpu: int) -> int:
        """Calls an operator on the device's current stream, with as much scratch memory as it turns out to want."""
        if gpu >= 0 and torch.cuda.current_device() != gpu:
            with torch.cuda.device(gpu):
                return self._run_on_gpu(operator, params, gpu)
        stream = _stream_of(gpu) if gpu >= 0 else 0
        with self._launching:  # threads share a stream's scratch memory, which is an operator's from kernel to kernel
            return self._launch(operator, params, gpu, stream)

    def _launch(self, operator: _Operator, params: Any, gpu: int, stream: int) -> int:
        self._dll.nk_use_stream(stream)
        while True:  # an operator that calls others finds what each of them wants one after the other
            self._use_scratch(self._scratch.get((gpu, stream)))
            status = int(operator.function(ctypes.byref(params)))
            if status != _NEEDS_SCRATCH:
                return status
            needed = self._dll.nk_scratch_needed()
            self._scratch.pop((gpu, stream), None)  # may be given back before the larger one is taken
            device = f"cuda:{gpu}" if gpu >= 0 else "cpu"
            self._scratch[gpu, stream] = torch.empty(needed + needed // 2, dtype=torch.uint8, device=device)

    def _use_scratch(self, scratch: Tensor | None) -> None:
        self._dll.nk_use_scratch(*((scratch.data_ptr(), scratch.numel()) if scratch is not None else (None, 0)))


# What PyTorch's compiler asks by; it makes no object, for which steps on a GPU would wait.
_raw_stream = getattr(torch._C, "_cuda_getCurrentRawStream", None)


def _stream_of(gpu: int) -> int:
    """The handle of this thread's stream on a GPU."""
    return int(_raw_stream(gpu) if _raw_stream is not None else torch.cuda.current_stream(gpu).cuda_stream)


def _dump(folder: str, function: str, arguments: Mapping[str, Any]) -> None:
    from safetensors.torch import save_file

    tensors = {k: v.detach().clone() for k, v in arguments.items() if isinstance(v, Tensor)}
    numbers = {k: str(v) for k, v in arguments.items() if isinstance(v, (int, float))}
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file(tensors, Path(folder) / f"{next(_dump_count):06d}_{function}.safetensors", metadata=numbers)


@functools.cache
def library(kind: str = "cpu") -> Library:
    """The library for this CPU, or with ``cuda`` for NVIDIA's GPUs.

    Raises:
        NerfkitError: it was not built, or was built from other sources than this package.
    """
    if kind == "cuda":
        return Library(_find("cuda", _NO_CUDA), "cuda", "the arrays are on a GPU")
    if given := os.environ.get("NERFKIT_LIBRARY"):
        return Library(Path(given), Path(given).stem.rpartition("_")[2], "NERFKIT_LIBRARY names it")
    isa, reason = _choose()
    missing = f"({reason}); run `make setup` in a checkout, or `pip install nerfkit` again"
    return Library(_find(isa, missing), isa, reason)


_NO_CUDA = (
    "(nerfkit's kernels for NVIDIA GPUs); with the CUDA toolkit's nvcc on PATH run `NERFKIT_CUDA=ON pip install .` in "
    "a checkout"
)


def _find(isa: str, missing: str) -> Path:
    """The file of a library. Raises NerfkitError: there is none; ``missing`` says what it is for and how to get it."""
    paths = [folder / f"libnerfkit_{isa}.so" for folder in _search_folders()]
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        raise NerfkitError(f"libnerfkit_{isa}.so is not built {missing}")
    return found


def library_of(tensor: Tensor) -> Library:
    """The library that works where a tensor lies."""
    return library("cuda") if tensor.is_cuda else library()  # which are what it remembers: a call each


def call(function: str, /, **arguments: Any) -> Any:
    """Runs an operator on the GPU if its arrays lie there, else on the CPU: see :meth:`Library.call`."""
    own = library()
    if own.is_for_gpu(function, arguments):
        own = library("cuda")
    return own.call(function, **arguments)


def describe(kind: str = "cpu") -> dict[str, Any]:
    """What `nerfkit doctor` says of a library of the core: isa, path, reason, lanes."""
    loaded = library(kind)
    return {"isa": loaded.isa, "path": str(loaded.path), "reason": loaded.reason, "lanes": loaded.lanes}
