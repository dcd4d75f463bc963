"""An operator's arguments as the struct that it takes, each array checked against what the header says of it.

:func:`bind` says how, and what is wrong where something is. :func:`quick_binder` does the same for what is right in
half the time: a training step on a GPU calls dozens of operators, and would else wait for Python.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nerfkit.core._header import Field, constants

SCALARS: dict[str, Any] = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "float": ctypes.c_float,
}
HOST = torch.device("cpu")
DTYPES = {
    "float": torch.float32,
    "double": torch.float64,
    "int32_t": torch.int32,
    "int64_t": torch.int64,
    "uint8_t": torch.uint8,
    "uint16_t": torch.float16,  # its bits: C has no such type
}


def device_of(name: str, fields: Sequence[Field], arguments: Mapping[str, Any]) -> torch.device:
    """Where the arrays of a call lie: all on one device, but for those that the header leaves on the host.

    Raises:
        ValueError: one of them lies elsewhere.
    """
    tensors = [(field, arguments[field.name]) for field in fields if isinstance(arguments.get(field.name), Tensor)]
    device = next((tensor.device for field, tensor in tensors if not field.on_host), HOST)
    for field, tensor in tensors:
        wanted = HOST if field.on_host else device
        if tensor.device != wanted:
            raise ValueError(f"{name}: {field.name} must be on {wanted}, got {tensor.device}")
    return device


def bind(name: str, fields: tuple[Field, ...], structure: Any, arguments: Mapping[str, Any]) -> Any:
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
def fixed_size(wanted: str) -> tuple[int, str] | None:
    """A size that the header itself fixes, by number or constant, and no source; None for a name."""
    if wanted.isdigit():
        return int(wanted), ""
    return (int(constants()[wanted[3:]]), "") if wanted.startswith("NK_") else None


def _check_array(name: str, field: Field, tensor: Tensor, sizes: dict[str, tuple[int, str]]) -> None:
    dtype = DTYPES[field.ctype]
    if tensor.dtype != dtype:
        raise TypeError(f"{name}: {field.name} must be {dtype}, got {tensor.dtype}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: {field.name} must be contiguous")
    assert field.shape is not None
    if tensor.ndim != len(field.shape):
        raise ValueError(f"{name}: {field.name} must be [{', '.join(field.shape)}], got {list(tensor.shape)}")
    for wanted, got in zip(field.shape, tensor.shape, strict=True):
        expected, source = fixed_size(wanted) or sizes.setdefault(wanted, (got, field.name))
        if got != expected:
            where = f" with {wanted}={expected} (from {source})" if source else ""
            raise ValueError(
                f"{name}: {field.name} must be [{', '.join(field.shape)}]{where}, got {list(tensor.shape)}"
            )


QuickBinder = Callable[[Mapping[str, Any]], "tuple[Any, int] | None"]


def quick_binder(fields: Sequence[Field], structure: Any, on_gpu: bool) -> QuickBinder:
    """A function that gives the struct and the GPU's index (-1: the CPU), or None where :func:`bind` or
    :func:`device_of` would raise, and for what it doesn't know to be right.

    It is written as Python for this operator, without loops: all that is known before the call is in its text.
    """
    arrays = sorted((field for field in fields if field.shape is not None), key=lambda field: field.optional)
    sizes = sorted({size for field in arrays for size in field.shape or () if fixed_size(size) is None})
    lines = ["if not arguments.keys() <= names: return None", "get = arguments.get", "where = -1"]
    lines += [f"n_{size} = None" for size in sizes]
    known: set[str] = set()  # sizes of arrays that must be there
    for field in arrays:
        checks = _checks(field, known, on_gpu)
        lines.append(f"a_{field.name} = get({field.name!r})")
        if field.optional:
            lines += [f"if a_{field.name} is not None:", *(f"  {line}" for line in checks)]
            lines.append(f"  a_{field.name} = a_{field.name}.data_ptr()")
        else:
            lines += [f"if a_{field.name} is None: return None", *checks]
            lines.append(f"a_{field.name} = a_{field.name}.data_ptr()")
            known.update(size for size in field.shape or () if fixed_size(size) is None)
    for field in fields:
        if field.shape is None:
            lines += _number(field.name, field.name in sizes)
    values = ", ".join(f"{'n' if field.shape is None else 'a'}_{field.name}" for field in fields)
    text = "\n  ".join(["def bind(arguments):", *lines, f"return structure({values}), where"])
    scope: dict[str, Any] = {"names": {field.name for field in fields}, "structure": structure}
    scope |= {f"{ctype}_dtype": dtype for ctype, dtype in DTYPES.items()}
    exec(text, scope)
    return scope["bind"]  # type: ignore[return-value]


def _checks(field: Field, known: set[str], on_gpu: bool) -> list[str]:
    """That an array is as the header says; ``known``: sizes that another has given for certain."""
    array, shape = f"a_{field.name}", field.shape or ()
    lines = [f"if {array}.dtype is not {field.ctype}_dtype or not {array}.is_contiguous(): return None"]
    if field.on_host or not on_gpu:
        lines.append(f"if not {array}.is_cpu: return None")
    else:
        lines.append(f"if where < 0: where = {array}.get_device()")
        lines.append(f"if where < 0 or {array}.get_device() != where: return None")
    expected = [str(fixed[0]) if (fixed := fixed_size(size)) else f"n_{size}" for size in shape]
    if all(size in known or fixed_size(size) for size in shape):
        return [*lines, f"if {array}.shape != ({', '.join([*expected, ''])}): return None"]
    got = [f"s{i}" for i in range(len(shape))]
    lines += [f"if {array}.ndim != {len(shape)}: return None", f"{', '.join(got)}, = {array}.shape"]
    for size, its, wanted in zip(shape, got, expected, strict=True):
        if size not in known and fixed_size(size) is None:
            lines.append(f"if {wanted} is None: {wanted} = {its}")
        lines.append(f"if {its} != {wanted}: return None")
    return lines


def _number(name: str, is_size: bool) -> list[str]:
    """A number's value: what was given, else the size of that name, else 0."""
    if not is_size:
        return [f"n_{name} = get({name!r}, 0)"]
    return [
        f"given = get({name!r}, n_{name})",
        f"if n_{name} is not None and given != n_{name}: return None",
        f"n_{name} = 0 if given is None else given",
    ]
