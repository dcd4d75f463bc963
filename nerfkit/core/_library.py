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

from nerfkit.errors import NerfkitError

_SCALARS: dict[str, Any] = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "float": ctypes.c_float,
}
_DTYPES = {
    "float": torch.float32,
    "double": torch.float64,
    "int32_t": torch.int32,
    "int64_t": torch.int64,
    "uint8_t": torch.uint8,
    "uint16_t": torch.float16,  # its bits: C has no such type
}
_HOST = torch.device("cpu")
# Best first: library name, what the CPU must know, and its lanes.
_X86_LIBRARIES = (("avx512", ("avx512f", "avx512bw", "avx512dq", "avx512vl"), 16), ("avx2", ("avx2", "fma", "bmi2"), 8))


@dataclass(frozen=True)
class _Field:
    name: str
    ctype: str
    shape: tuple[str, ...] | None  # None: a number
    optional: bool
    on_host: bool = False  # not in a GPU's memory: an array that the operator itself reads or writes
    read_only: bool = False


@dataclass(frozen=True)
class _Operator:
    name: str
    params: str
    fields: tuple[_Field, ...]
    structure: Any
    function: Any


def _headers() -> Path:
    """Where ``nerfkit.h`` lies: in ``include/`` beside this file when installed, in ``cuda_ext/`` in a checkout."""
    installed = Path(__file__).with_name("include")
    return installed if installed.exists() else Path(__file__).parents[2] / "cuda_ext"


def header_text() -> str:
    """``nerfkit.h`` and, below it, the headers of ``operators/`` that it includes."""
    text = (_headers() / "nerfkit.h").read_text()
    included = re.findall(r'^#include "(operators/\w+\.h)"$', text, re.MULTILINE)
    return "\n".join([text, *((_headers() / name).read_text() for name in included)])


@functools.cache
def constants() -> dict[str, float]:
    """The constants of ``math/constants.h``, by name without the prefix: ``constants()["ALPHA_MIN"]``."""
    header = (_headers() / "math" / "constants.h").read_text()
    found: dict[str, float] = {}
    for name, text in re.findall(r"#define NK_(\w+) +([^/\n]+(?:/ [\d.]+f\))?)", header):
        numerator, _, denominator = text.replace("f", "").strip("() ").partition("/")
        found[name] = float(numerator) / float(denominator) if denominator else float(numerator)
    return found


def parse_header(text: str) -> dict[str, tuple[_Field, ...]]:
    """The fields of every ``typedef struct nk_…_params`` in the header's text."""
    structs = {}
    for name, body in re.findall(r"typedef struct (nk_\w+_params) \{(.*?)\} \1;", text, re.DOTALL):
        fields = []
        for line in body.strip().splitlines():
            match = re.match(
                r"\s*(const )?(\w+) (\*?)(\w+);(?:\s*/\* (?:\[([\w, ]*)\])?( or NULL)?( on the host)?)?", line
            )
            if match is None:
                raise ValueError(f"nerfkit.h: {name}: cannot read the line {line.strip()!r}")
            const, ctype, star, field, shape, optional, on_host = match.groups()
            sizes = tuple(size.strip() for size in shape.split(",")) if star and shape is not None else None
            fields.append(_Field(field, ctype, sizes, optional is not None, on_host is not None, const is not None))
        structs[name] = tuple(fields)
    return structs


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
        self._scratch: dict[tuple[torch.device, int], Tensor] = {}  # by device and stream
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
            self._operators[function] = _Operator(function, params, fields, structure, code)

    def _structure(self, name: str, fields: tuple[_Field, ...]) -> tuple[tuple[_Field, ...], Any]:
        layout = [(f.name, ctypes.c_void_p if f.shape is not None else _SCALARS[f.ctype]) for f in fields]
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

    def fields(self, function: str) -> dict[str, _Field]:
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
        device = _device(self._operators[function], arguments)
        if device.type != self.device_type:
            raise ValueError(f"{function}: arrays on {device} were given to the library {self.path.name}")
        return self.run(function, arguments, device)

    def run(self, function: str, arguments: dict[str, Any], device: torch.device) -> Any:
        """:meth:`call`, where it is known that the arrays lie on ``device``, as they should."""
        operator = self._operators[function]
        if operator.function is None:
            raise NotImplementedError(f"{self.path} has no {function}")
        arguments.setdefault("threads", self.threads)
        params = bind(operator.name, operator.fields, operator.structure, arguments)
        _dump(function, arguments)
        if self.lanes > 1:
            status = operator.function(ctypes.byref(params))
        else:
            status = self._run_on_gpu(operator, params, device)
        if status != 0:
            raise RuntimeError(self._dll.nk_error().decode())
        return params

    def _run_on_gpu(self, operator: _Operator, params: Any, device: torch.device) -> int:
        """Calls an operator on the device's current stream, with as much scratch memory as it turns out to want."""
        if device.type == "cuda" and torch.cuda.current_device() != device.index:
            with torch.cuda.device(device):
                return self._run_on_gpu(operator, params, device)
        stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
        with self._launching:  # threads share a stream's scratch memory, which is an operator's from kernel to kernel
            return self._launch(operator, params, device, stream)

    def _launch(self, operator: _Operator, params: Any, device: torch.device, stream: int) -> int:
        self._dll.nk_use_stream(stream)
        self._use_scratch(self._scratch.get((device, stream)))
        status = int(operator.function(ctypes.byref(params)))
        if status != int(constants()["NEEDS_SCRATCH"]):
            return status
        needed = self._dll.nk_scratch_needed()
        self._scratch.pop((device, stream), None)  # may be given back before the larger one is taken
        self._scratch[device, stream] = torch.empty(needed + needed // 2, dtype=torch.uint8, device=device)
        self._use_scratch(self._scratch[device, stream])
        return int(operator.function(ctypes.byref(params)))

    def _use_scratch(self, scratch: Tensor | None) -> None:
        self._dll.nk_use_scratch(*((scratch.data_ptr(), scratch.numel()) if scratch is not None else (None, 0)))


def _device(operator: _Operator, arguments: Mapping[str, Any]) -> torch.device:
    """Where the arrays of a call lie: all on one device, but for those that the header leaves on the host."""
    tensors = [
        (field, arguments[field.name]) for field in operator.fields if isinstance(arguments.get(field.name), Tensor)
    ]
    device = next((tensor.device for field, tensor in tensors if not field.on_host), _HOST)
    for field, tensor in tensors:
        wanted = _HOST if field.on_host else device
        if tensor.device != wanted:
            raise ValueError(f"{operator.name}: {field.name} must be on {wanted}, got {tensor.device}")
    return device


def bind(name: str, fields: tuple[_Field, ...], structure: Any, arguments: Mapping[str, Any]) -> Any:
    """A params struct from keyword arguments, checked against the fields' types and shapes."""
    params = structure()
    sizes: dict[str, tuple[int, str]] = {}  # size name -> value, and the argument it came from
    left = dict(arguments)
    for field in fields:
        if field.shape is None:
            continue
        tensor = left.pop(field.name, None)
        if tensor is None:
            if not field.optional:
                raise TypeError(f"{name}: the array {field.name} is missing")
            continue
        _check_array(name, field, tensor, sizes)
        setattr(params, field.name, tensor.data_ptr())
    for field in fields:
        if field.shape is not None:
            continue
        if field.name in left:
            value = left.pop(field.name)
            if field.name in sizes and sizes[field.name][0] != value:
                raise ValueError(
                    f"{name}: {field.name} is {value}, but {sizes[field.name][1]} has {sizes[field.name][0]}"
                )
            setattr(params, field.name, value)
        elif field.name in sizes:
            setattr(params, field.name, sizes[field.name][0])
    if left:
        raise TypeError(f"{name}: unknown argument {next(iter(left))}")
    return params


@functools.cache
def _fixed_size(wanted: str) -> tuple[int, str] | None:
    """A size that the header itself fixes, by number or constant, and no source; None for a name."""
    if wanted.isdigit():
        return int(wanted), ""
    return (int(constants()[wanted[3:]]), "") if wanted.startswith("NK_") else None


def _check_array(name: str, field: _Field, tensor: Tensor, sizes: dict[str, tuple[int, str]]) -> None:
    dtype = _DTYPES[field.ctype]
    if tensor.dtype != dtype:
        raise TypeError(f"{name}: {field.name} must be {dtype}, got {tensor.dtype}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: {field.name} must be contiguous")
    assert field.shape is not None
    if tensor.ndim != len(field.shape):
        raise ValueError(f"{name}: {field.name} must be [{', '.join(field.shape)}], got {list(tensor.shape)}")
    for wanted, got in zip(field.shape, tensor.shape, strict=True):
        expected, source = _fixed_size(wanted) or sizes.setdefault(wanted, (got, field.name))
        if got != expected:
            where = f" with {wanted}={expected} (from {source})" if source else ""
            raise ValueError(
                f"{name}: {field.name} must be [{', '.join(field.shape)}]{where}, got {list(tensor.shape)}"
            )


_dump_count = itertools.count()


def _dump(function: str, arguments: Mapping[str, Any]) -> None:
    folder = os.environ.get("NERFKIT_DUMP")
    if not folder:
        return
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
    """Runs an operator on the GPU if any of its arrays lies there, else on the CPU: see :meth:`Library.call`."""
    if _all_on_host(arguments):
        return library().run(function, arguments, _HOST)
    return library("cuda").call(function, **arguments)


def _all_on_host(arguments: Mapping[str, Any]) -> bool:
    return all([value.is_cpu for value in arguments.values() if isinstance(value, Tensor)])


def describe(kind: str = "cpu") -> dict[str, Any]:
    """What `nerfkit doctor` says of a library of the core: isa, path, reason, lanes."""
    loaded = library(kind)
    return {"isa": loaded.isa, "path": str(loaded.path), "reason": loaded.reason, "lanes": loaded.lanes}
