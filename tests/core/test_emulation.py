"""Every CUDA kernel without a GPU: the operator tests on the emulated library, and what the emulation itself finds.

`make emulated` builds the kernels for the CPU twice: under AddressSanitizer and UBSan, and watched for races
(cuda_ext/emulation/). Where nvcc is, `make ptx` makes of them what it would for a GPU, CUB's included, and that is run
instruction by instruction (cuda_ext/emulation/ptx/; `make ptx-test`). The tests of the operators then run on each in a
process of their own. Some of them by hand:

    make emulated && .venv/bin/python tests/core/test_emulation.py races tests/core/test_hash_grid.py -k gradients
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # also when run by hand
from core.emulated import COMPILED, KINDS, ROOT, build, environment

TESTS = ["tests/core", "tests/mesh/test_tsdf.py", "tests/mesh/test_marching_cubes.py"]
# Whole solids from 30 views: a minute, in which kernels meet nothing that smaller tests don't show them.
LARGE = ["--deselect=tests/mesh/test_tsdf.py::test_solids_are_in_their_place"]

pytestmark = pytest.mark.cpu_only


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder of what g++ compiled."""
    return build("emulated").parent


def run_operator_tests(kind: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, whose core is an emulated library."""
    return subprocess.run(
        # What a sanitizer says isn't captured, since it ends the process.
        [sys.executable, "-m", "pytest", "--capture=sys", "-m", "not (cpu_only or gpu)", *arguments],
        env=environment(kind),
        cwd=ROOT,
        text=True,
        check=False,
        **options,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_operators_equal_their_references(kind: str) -> None:
    build(kind)
    result = run_operator_tests(kind, "-q", "-p", "no:cacheprovider", *TESTS, *LARGE, capture_output=True)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-12000:]
    assert int(result.stdout.rsplit(" passed", 1)[0].split()[-1]) > 400, "too few tests have run to prove anything"


@pytest.mark.parametrize("kind", KINDS)
def test_every_operator_has_a_kernel(kind: str) -> None:
    """By the library's symbols, so that it isn't loaded into this process."""
    from nerfkit.core._library import library

    listed = subprocess.run(
        ["nm", "-D", "--defined-only", str(build(kind))], capture_output=True, text=True, check=True
    )
    assert set(library().operators) <= set(re.findall(r" T (nk_\w+)", listed.stdout))


# --- what the emulation finds: emulation_faults.cu -----------------------------------------------------------------


def _library(path: str) -> ctypes.CDLL:
    dll = ctypes.CDLL(path)
    dll.nk_error.restype = ctypes.c_char_p
    dll.nk_use_scratch.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    dll.nk_scratch_needed.restype = ctypes.c_int64
    return dll


def run_fault(path: str, name: str) -> None:
    """In a process of its own, which a sanitizer may end: runs the kernel on 64 floats and prints what comes of it."""
    dll = _library(path)
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    memory = libc.malloc(ctypes.c_size_t(4 * 64))  # not Python's own, of which a sanitizer doesn't know the end
    values = (ctypes.c_float * 64).from_address(memory)
    for i in range(64):
        values[i] = 0
    dll.nk_use_scratch(None, 1 << 20)  # the emulation only counts
    status = dll[f"fault_{name}"](ctypes.c_void_p(memory))
    print(f"status {status}", dll.nk_error().decode() if status else list(values))


@pytest.fixture
def fault(built: Path) -> Callable[[str, str], str]:
    def run(kind: str, name: str) -> str:
        path = built / f"libfaults_{kind}.so"
        result = subprocess.run(
            [sys.executable, __file__, str(path), name],
            env=environment(kind), capture_output=True, text=True, check=False,
        )  # fmt: skip
        return result.stdout + result.stderr

    return run


AT = r"\(.*emulation_faults.cu:\d+\)"
FULL = "with the mask 0xffffffff"
PAST_THE_END = "AddressSanitizer: heap-buffer-overflow"
MISALIGNED = r"emulation_faults.cu:\d+:\d+: runtime error: .* misaligned address 0x\w+ for type .*float4"
MISTAKES = {
    "past_the_end_of_shared": PAST_THE_END,
    "past_the_end_of_dynamic_shared": PAST_THE_END,
    "past_the_end_of_global": PAST_THE_END,
    "past_the_end_of_scratch": PAST_THE_END,
    "misaligned_vector": MISALIGNED,
    "divergent_barrier": f"divergent barrier: thread 0 waits in __syncthreads {AT}, thread 10 waits in __syncthreads",
    "barrier_against_shuffle": f"thread 3 waits in __shfl_sync {FULL} {AT} for thread 0, which waits in __syncthreads",
    "shuffle_with_returned": f"thread 0 waits in __shfl_down_sync {FULL} {AT} for thread 5, which has returned",
    "shuffle_from_outside_the_mask": "lane 0 reads from lane 7 in a shuffle, which is not in the mask",
    "lane_not_in_its_mask": f"thread 3 is not in its own mask in __ballot_sync {AT}",
}
BETWEEN = r"the same word of shared memory, \w+ \+ \d+ bytes with no barrier between them"
RACES = {
    "missing_barrier": f"thread 31 read and thread 32 writes {AT} {BETWEEN}",
    "missing_warp_barrier": f"thread 31 wrote and thread 30 reads {AT} {BETWEEN}",
    "overwrite_what_was_read": f"thread 62 read and thread 63 writes {AT} {BETWEEN}",
    "same_word_of_two_blocks": r"thread 0 of block \(0, 0, 0\) wrote and thread 0 of block \(1, 0, 0\) writes "
    f"{AT} the same word of global memory; nothing orders blocks",
    "read_beside_an_atomic": f"thread 0 atomically changed and thread 1 reads {AT} the same word of global memory",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_kernels_may_not_do_is_named(fault: Callable[[str, str], str], name: str) -> None:
    message = MISTAKES[name]
    where = "" if message in (PAST_THE_END, MISALIGNED) else r"status 1 fault: kernel \w+, block \(0, 0, 0\): "
    got = fault("emulated", name)
    assert re.search(where + message, got), got


@pytest.mark.parametrize("name", RACES)
def test_races_are_named(fault: Callable[[str, str], str], name: str) -> None:
    got = fault("races", name)
    assert re.search(r"status 1 fault: kernel [\w<>]+, block \(\d, 0, 0\): race: " + RACES[name], got), got


@pytest.mark.parametrize("kind", COMPILED)
@pytest.mark.parametrize("name", ["barrier", "warp_barrier"])
def test_barriers_order(fault: Callable[[str, str], str], kind: str, name: str) -> None:
    got = fault(kind, name)
    assert got.startswith("status 0"), got
    if name == "barrier":
        assert got.split("[")[1].startswith("63.0, 62.0, 61.0"), got


@pytest.mark.parametrize("kind", COMPILED)
def test_warps_blocks_and_atomics_add_up(fault: Callable[[str, str], str], kind: str) -> None:
    total = 63 * 64 // 2
    expected = [total, total, total, total, 16, 11, 7]
    assert fault(kind, "all_that_is_right").startswith(f"status 0 {[float(x) for x in expected]}"[:-1])


def test_shared_memory_begins_as_nan_in_every_block(fault: Callable[[str, str], str]) -> None:
    assert fault("emulated", "unset_shared").startswith("status 0 [nan, nan")


def test_too_little_scratch_launches_nothing(built: Path) -> None:
    code = f"""
import ctypes, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_emulation import _library
dll = _library({str(built / "libfaults_races.so")!r})
dll.nk_use_scratch(None, 255)
print(dll.fault_past_the_end_of_scratch(None), dll.nk_scratch_needed(), dll.nk_error().decode())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "3 256 fault: needs more scratch memory (nk_use_scratch)", result.stderr


def test_tensor_cores_multiply_tiles(built: Path) -> None:
    torch = pytest.importorskip("torch")  # not above: the processes of `fault` do without it
    rng = torch.Generator().manual_seed(0)
    a, b, c = (torch.randint(-9, 9, (16, 16), generator=rng).float() for _ in range(3))
    dll = _library(str(built / "libfaults_races.so"))
    assert dll.fault_product(*(ctypes.c_void_p(t.data_ptr()) for t in (a, b, c))) == 0, dll.nk_error()
    assert torch.equal(c, (a @ b.T).relu())


def test_sorts_and_scans(built: Path) -> None:
    torch = pytest.importorskip("torch")
    rng = torch.Generator().manual_seed(0)
    keys = torch.randint(0, 1 << 16, (1000,), generator=rng, dtype=torch.int32)
    values = torch.arange(1000, dtype=torch.int32)
    sorted_keys, sorted_values, sums = (torch.empty(1000, dtype=torch.int32) for _ in range(3))
    largest = torch.empty(1, dtype=torch.int32)
    dll = _library(str(built / "libfaults_races.so"))
    dll.nk_use_scratch(None, 1 << 20)
    pointer = [ctypes.c_void_p(t.data_ptr()) for t in (keys, values, sorted_keys, sorted_values, sums, largest)]
    assert dll.fault_sort(*pointer[:2], ctypes.c_int64(1000), *pointer[2:]) == 0, dll.nk_error()
    order = ((keys >> 4) & 255).sort(stable=True).indices
    assert torch.equal(sorted_values.long(), order) and torch.equal(sorted_keys, keys[order])
    assert torch.equal(sums, (values.cumsum(0) - values).int())
    assert largest.item() == 999


if __name__ == "__main__":
    if sys.argv[1] in (*COMPILED, "ptx"):
        sys.exit(run_operator_tests(*sys.argv[1:]).returncode)
    run_fault(*sys.argv[1:])
