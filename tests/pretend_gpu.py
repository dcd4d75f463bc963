"""A GPU that is none: tensors that say they lie on ``cuda`` and are strict about it, with values that a CPU computes.

`with pretend_gpu():` lets `torch.zeros(3, device="cuda")` and everything that follows from it work on a machine without
a GPU. Every operation whose tensors lie on two devices raises :class:`WrongDevice`, as it would on a real GPU, also
where PyTorch is lenient (indices); `numpy()` raises too. Operators of the render core run on the CPU's library, once
the arrays of the call are known to lie where `nerfkit.h` says. So whole trainings run, and must learn as the CPU does.
What would let the CPU wait for a GPU is counted by name.

How: such a tensor is a subclass that holds a CPU tensor. To PyTorch's C++ side it lies on ``meta``, whose backward pass
needs no device of its own; what Python sees is ``cuda``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from nerfkit.core import _library
from nerfkit.core._binding import device_of
from nerfkit.train import passes
from nerfkit.train.graphs import Outputs, Work

CUDA, META, CPU = torch.device("cuda", 0), torch.device("meta"), torch.device("cpu")
aten = torch.ops.aten


class WrongDevice(Exception):
    """An operation got tensors of two devices, or one that it can't take from a GPU."""


class OnGpu(Tensor):
    """A tensor on the GPU that is none."""

    held: Tensor  # the values, on the CPU

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        made = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=META
        )
        made.held = held
        return made

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    is_meta = property(lambda self: False)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"OnGpu({self.held})"

    def numpy(self, *, force: bool = False) -> Any:
        raise WrongDevice("numpy() of a tensor on the GPU")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise WrongDevice(f"{func} of a tensor on the GPU outside of pretend_gpu()")


class Generator(torch.Generator):
    """Random numbers of the GPU that is none."""

    def __new__(cls, device: Any = "cpu") -> Any:
        made = super().__new__(cls)
        made.on_gpu = torch.device(device).type == "cuda"
        return made

    @property
    def device(self) -> torch.device:
        return CUDA if self.on_gpu else CPU

    def manual_seed(self, seed: int) -> Any:
        super().manual_seed(seed)
        return self


# Where the CPU has to know what the GPU computed: it waits.
WAITS = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.is_nonzero, aten._unique2,
         aten.unique_consecutive, aten.bincount, aten.unique_dim}  # fmt: skip


class _Operations(TorchDispatchMode):
    def __init__(self, waits: Counter[str]):
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors: list[Tensor] = []
        tree_map(lambda x: tensors.append(x) if isinstance(x, Tensor) else None, (args, kwargs))
        on_gpu = any(isinstance(tensor, OnGpu) for tensor in tensors)
        asked = kwargs.get("device")
        packet = func.overloadpacket
        if packet in (aten._to_copy, aten.copy_, aten._foreach_copy_):
            return self._copy(func, args, kwargs)
        if on_gpu:
            for tensor in tensors:  # numbers may come from the CPU
                if not isinstance(tensor, OnGpu) and tensor.ndim > 0:
                    raise WrongDevice(f"{func}: a tensor {list(tensor.shape)} on the CPU beside others on the GPU")
        goes_there = on_gpu if asked is None else torch.device(asked).type == "meta"
        if on_gpu and not goes_there and asked is not None:
            raise WrongDevice(f"{func}: makes a tensor on {asked} from one on the GPU")
        if asked is not None and goes_there:
            kwargs["device"] = CPU
        if on_gpu and (packet in WAITS or _has_mask(packet, args)):
            self.waits[str(packet)] += 1
        result = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if not goes_there:
            return result
        return _wrapped(result, _by_held(tensors))

    def _copy(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Between devices too."""
        asked = kwargs.get("device")
        there = isinstance(args[0], OnGpu) if asked is None else torch.device(asked).type == "meta"
        if asked is not None:
            kwargs["device"] = CPU
        moved = any(isinstance(arg, Tensor) and isinstance(arg, OnGpu) != there for arg in args)
        in_place = func.overloadpacket is aten.copy_
        if moved and not (kwargs.get("non_blocking") or (in_place and args[2:] == (True,))):
            self.waits["to the CPU" if not there else "to the GPU"] += 1
        result = func(*tree_map(_held, args), **kwargs)
        if func.overloadpacket is aten.copy_:
            return args[0]
        if moved and result is _held(args[0]):
            result = result.clone()
        return OnGpu(result) if there else result


def _has_mask(packet: Any, args: Any) -> bool:
    if packet not in (aten.index, aten.index_put, aten.index_put_):
        return False
    return any(index is not None and index.dtype == torch.bool for index in args[1])


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnGpu) else value


def _by_held(tensors: list[Tensor]) -> dict[int, OnGpu]:
    return {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, OnGpu)}


def _wrapped(result: Any, known: dict[int, OnGpu]) -> Any:
    """What works in place gives the tensor that it was given."""

    def wrap(value: Any) -> Any:
        return value if not isinstance(value, Tensor) else known[id(value)] if id(value) in known else OnGpu(value)

    return tree_map(wrap, result)


class _Devices(TorchFunctionMode):
    """To C++ the GPU is called ``meta``."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.device:
            return func(*args, **kwargs)
        if func in (torch.tensor, torch.as_tensor, Tensor.new_tensor):
            return _made_of_numbers(func, args, kwargs)
        generator = kwargs.get("generator")  # here, since to C++ every one is the CPU's
        if isinstance(generator, torch.Generator):
            asked = kwargs.get("device") or next((arg.device for arg in args if isinstance(arg, Tensor)), CPU)
            if generator.device.type != torch.device(asked).type:
                raise WrongDevice(f"{func}: a generator on {generator.device} for a tensor on {asked}")
        args = tree_map(_named_for_c, args)
        kwargs = {key: _named_for_c(value, key == "device") for key, value in kwargs.items()}
        return func(*args, **kwargs)


def _made_of_numbers(func: Any, args: Any, kwargs: Any) -> Tensor:
    """What PyTorch makes where no mode is asked."""
    own = args[0].device if isinstance(args[0], Tensor) else CPU
    there = torch.device(kwargs.pop("device", None) or own).type == "cuda"
    made: Tensor = func(*tree_map(_held, args), **kwargs)
    return made.to(META) if there else made


def _named_for_c(value: Any, names_device: bool = False) -> Any:
    if isinstance(value, torch.device) and value.type == "cuda":
        return META
    return META if isinstance(value, str) and value.partition(":")[0] == "cuda" else value


class Graphs:
    """Recordings are the work itself, done again; its results go where those of the first time are."""

    def __init__(self, device: torch.device):
        pass

    def rehearse(self, work: Work) -> Outputs:
        return work()

    def record(self, work: Work, rng: torch.Generator) -> tuple[Outputs, Callable[[], None]]:
        state = rng.get_state()
        outputs = work()
        rng.set_state(state)

        def replay() -> None:
            for own, new in zip(outputs, work(), strict=True):
                assert (own is None) == (new is None)
                if own is not None:
                    own.copy_(new, non_blocking=True)

        return outputs, replay


class Event:
    """Of a GPU that is none, whose work is done when the call returns."""

    def __init__(self, enable_timing: bool = False):
        self.time = 0.0

    def record(self) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, later: Event) -> float:
        return 1e3 * (later.time - self.time)


class Library(_library.Library):
    """The CPU's library as that of the GPU: takes arrays from there, and from the host where the header says so."""

    def call(self, function: str, /, **arguments: Any) -> Any:
        operator = self._operators[function]
        device = device_of(operator.name, operator.fields, arguments)
        if device != CUDA:
            raise WrongDevice(f"{function}: arrays on {device} were given to the GPU's library")
        return super().call(function, **{name: _held(value) for name, value in arguments.items()})


@contextmanager
def pretend_gpu(monkeypatch: Any) -> Iterator[Counter[str]]:
    """Gives a count of what a CPU would wait for, by name; it can be cleared on the way."""
    waits: Counter[str] = Counter()
    own = _library.library()
    gpus = Library(own.path, own.isa, "is to be pretended")
    with monkeypatch.context() as patched:
        patched.setattr(_library, "library", lambda kind="cpu": gpus if kind == "cuda" else own)
        patched.setattr(torch, "Generator", Generator)
        patched.setattr(passes, "Graphs", Graphs)
        patched.setattr(Tensor, "pin_memory", lambda tensor: tensor)
        patched.setattr(torch.cuda, "is_available", lambda: True)
        patched.setattr(torch.cuda, "Event", Event)
        patched.setattr(torch.cuda, "device_count", lambda: 1)
        patched.setattr(torch.cuda, "get_device_name", lambda device=None: "a GPU that is none")
        patched.setattr(torch.cuda, "mem_get_info", lambda device=None: (8 << 30, 16 << 30))
        patched.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
        patched.setattr(torch.cuda, "max_memory_allocated", lambda device=None: 1 << 20)
        patched.setattr(torch.cuda, "get_rng_state", lambda device=None: torch.zeros(16, dtype=torch.uint8))
        patched.setattr(torch.cuda, "set_rng_state", lambda state, device=None: None)
        with _Devices(), _Operations(waits):
            yield waits
