"""PTX on a CPU (cuda_ext/emulation/ptx/): what each kind of instruction gives, and what is refused."""

from __future__ import annotations

import ctypes
import math
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PTX = ROOT / "cuda_ext" / "emulation" / "ptx"
HEAD = '.version 9.0\n.target sm_90\n.address_size 64\n.file 1 "kernel.cu"\n'
THREADS = 64
NAN = math.nan

pytestmark = pytest.mark.cpu_only


def f32(x: float) -> int:
    return struct.unpack("<I", struct.pack("<f", x))[0]


def f64(x: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def f16(x: float) -> int:
    return struct.unpack("<H", struct.pack("<e", x))[0]


def word(x: int) -> int:
    """32 bits, of a negative number as well."""
    return x % 2**32


@dataclass
class Case:
    """Every thread does this to its a, b and c (%ra in 32 bits, %da in 64); what it leaves in %d is compared."""

    does: str
    gives: int | Callable[[int], int]  # the result, or that of each thread
    a: int | Callable[[int], int] = 0
    b: int | Callable[[int], int] = 0
    c: int | Callable[[int], int] = 0
    before: str = ""  # outside of the kernel
    name: str = field(default="", compare=False)


def of_32(instruction: str, gives: int | Callable[[int], int], *operands: int | Callable[[int], int]) -> Case:
    """An instruction whose result is %r, of operands in %ra, %rb and %rc."""
    return Case(f"{instruction}; cvt.u64.u32 %d, %r", gives, *operands)


def truth(instruction: str, gives: bool, *operands: int) -> Case:
    return of_32(f"{instruction}; selp.u32 %r, 1, 0, %p", int(gives), *operands)


CASES = [
    of_32("add.s32 %r, %ra, %rb", word(-2), 2**31 - 1, 2**31 - 1),
    of_32("sub.s32 %r, 7, %ra", word(-3), 10),
    of_32("mul.lo.s32 %r, %ra, %rb", word(-6), word(-2), 3),
    of_32("mad.lo.s32 %r, %ra, %rb, %rc", word(-5), word(-2), 3, 1),
    of_32("mul.hi.s32 %r, %ra, %rb", word(-1), word(-2), 3),
    of_32("mul.hi.u32 %r, %ra, %rb", 2, 2**32 - 2, 3),
    Case("mul.wide.s32 %d, %ra, %rb", 2**64 - 2**32, word(-(2**31)), 2),
    Case("mul.wide.u32 %d, %ra, %rb", 2**32, 2**31, 2),
    Case("mad.wide.s32 %d, %ra, %rb, %dc", 2**64 - 1, word(-2), 3, 5),
    Case("mul.hi.u64 %d, %da, %db", 1, 2**63, 2),
    of_32("div.s32 %r, %ra, %rb", word(-2), word(-7), 3),
    of_32("rem.s32 %r, %ra, %rb", word(-1), word(-7), 3),
    of_32("shl.b32 %r, %ra, %rb", 0, 1, 32),
    of_32("shr.u32 %r, %ra, %rb", 0, 2**31, 40),
    of_32("shr.s32 %r, %ra, %rb", word(-1), 2**31, 40),
    Case("shl.b64 %d, %da, %rb", 2**40, 1, 40),
    of_32("and.b32 %r, %ra, -256", 0x1200, 0x12FF),
    of_32("xor.b32 %r, %ra, %rb; not.b32 %r, %r", word(~0b110), 0b011, 0b101),
    of_32("min.s32 %r, %ra, %rb", word(-1), word(-1), 1),
    of_32("min.u32 %r, %ra, %rb", 1, word(-1), 1),
    of_32("clz.b32 %r, %ra", 24, 255),
    of_32("clz.b64 %r, %da", 64, 0),
    of_32("popc.b64 %r, %da", 64, 2**64 - 1),
    of_32("brev.b32 %r, %ra", 2**31, 1),
    of_32("bfind.shiftamt.u32 %r, %ra", 23, 256),
    of_32("bfi.b32 %r, %ra, %rb, 8, 4", 0xFFFFF3FF, 0x123, 0xFFFFFFFF),
    Case("bfi.b64 %d, %da, %db, 32, 32", 2**33 + 5, 2, 5),
    of_32("bfe.u32 %r, %ra, 8, 4", 0x3, 0x12345),
    of_32("bfe.u32 %r, %ra, 40, 4", 0, 0x12345),
    of_32("shf.l.wrap.b32 %r, %ra, %rb, 24", 0x44AABBCC, 0xAABBCCDD, 0x11223344),
    of_32("shf.r.wrap.b32 %r, %ra, %rb, 40", 0x44AABBCC, 0xAABBCCDD, 0x11223344),
    of_32("dp2a.lo.u32.u32 %r, %ra, %rb, %rc", 5 + 3 * 7 + 2 * 4, 0x00020003, 0x09090407, 5),
    of_32("dp2a.hi.u32.u32 %r, %ra, %rb, %rc", 5 + 3 * 7 + 2 * 4, 0x00020003, 0x04070909, 5),
    of_32("bmsk.clamp.b32 %r, %ra, %rb", 0b11100, 2, 3),
    of_32("prmt.b32 %r, %ra, %rb, 0x7610", 0x88771100, 0x33221100, 0x88776655),
    of_32("prmt.b32 %r, %ra, %rb, 0x0008", 0x808080FF, 0x00000080, 0),
    Case("mov.b64 {%r, %r2}, %da; mov.b64 %d, {%r2, %r}", 0x1111111122222222, 0x2222222211111111),
    Case("mov.b32 {%h, %h2}, %ra; mov.b32 %r, {%h2, %h}; cvt.u64.u32 %d, %r", 0x11112222, 0x22221111),
    Case("cvt.u16.u32 %h, %ra; cvt.s64.s16 %d, %h", 2**64 - 1, 0x1FFFF),
    Case("cvt.s64.s32 %d, %ra", 2**64 - 2, word(-2)),
    of_32("add.f32 %r, %ra, 0fBF800000", f32(1.5), f32(2.5)),
    of_32("fma.rn.f32 %r, %ra, %rb, %rc", f32(2.0**-24), f32(1 + 2.0**-12), f32(1 + 2.0**-12), f32(-1 - 2.0**-11)),
    of_32("mul.f32 %r, %ra, %rb; add.f32 %r, %r, %rc", 0, f32(1 + 2.0**-12), f32(1 + 2.0**-12), f32(-1 - 2.0**-11)),
    of_32("add.sat.f32 %r, %ra, %rb", f32(1), f32(0.75), f32(0.75)),
    of_32("max.f32 %r, %ra, %rb", f32(-3), f32(NAN), f32(-3)),
    of_32("rcp.approx.ftz.f32 %r, %ra", f32(0.25), f32(4)),
    of_32("ex2.approx.ftz.f32 %r, %ra", f32(8), f32(3)),
    Case("fma.rn.f64 %d, %da, %db, %dc", f64(7.5), f64(1.5), f64(3), f64(3)),
    truth("setp.lt.f32 %p, %ra, %rb", False, f32(NAN), f32(1)),
    truth("setp.ltu.f32 %p, %ra, %rb", True, f32(NAN), f32(1)),
    truth("setp.geu.f32 %p, %ra, %rb", False, f32(0), f32(1)),
    truth("setp.ne.f32 %p, %ra, %rb", False, f32(NAN), f32(1)),
    truth("setp.neu.f32 %p, %ra, %rb", True, f32(NAN), f32(1)),
    truth("setp.nan.f32 %p, %ra, %ra", True, f32(NAN)),
    truth("setp.lt.s32 %p, %ra, 0", True, word(-1)),
    truth("setp.lt.u32 %p, %ra, 1", False, word(-1)),
    truth("setp.lt.s32 %p, %ra, 0; setp.eq.and.s32 %p, %rb, 2, %p; not.pred %p, %p", False, word(-1), 2),
    of_32("cvt.rzi.s32.f32 %r, %ra", word(-2), f32(-2.75)),
    of_32("cvt.rzi.s32.f32 %r, %ra", 2**31 - 1, f32(1e20)),
    of_32("cvt.rzi.u32.f32 %r, %ra", 0, f32(-5)),
    of_32("cvt.rzi.s32.f32 %r, %ra", 0, f32(NAN)),
    of_32("cvt.rni.s32.f32 %r, %ra", 2, f32(2.5)),
    of_32("cvt.rmi.f32.f32 %r, %ra", f32(-3), f32(-2.25)),
    of_32("cvt.rpi.f32.f32 %r, %ra", f32(-2), f32(-2.25)),
    of_32("cvt.rn.f32.s32 %r, %ra", f32(-7), word(-7)),
    of_32("cvt.rn.f32.f64 %r, %da", f32(0.1), f64(0.1)),
    Case("cvt.f64.f32 %d, %ra", f64(0.25), f32(0.25)),
    of_32("cvt.rn.f16.f32 %h, %ra; cvt.f32.f16 %r, %h", f32(struct.unpack("<e", struct.pack("<e", 0.1))[0]), f32(0.1)),
    of_32("cvt.rn.satfinite.f16x2.f32 %r, %ra, %rb", f16(-65504.0) << 16 | f16(0.5), f32(-1e9), f32(0.5)),
    of_32("add.f16x2 %r, %ra, %rb", f16(3) << 16 | f16(7), f16(1) << 16 | f16(3), f16(2) << 16 | f16(4)),
    of_32("mov.u32 %r, %tid.x", lambda i: i),
    of_32("mov.u32 %r, %laneid", lambda i: i % 32),
    of_32("mov.u32 %r, %lanemask_lt", lambda i: 2 ** (i % 32) - 1),
    # Scopes hide what has the same name; what is predicated is done only then.
    of_32("{ .reg .b32 t; mov.u32 t, 1; { .reg .b32 t; mov.u32 t, 2; } mov.u32 %r, t; }", 1),
    of_32("mov.u32 %r, 5; setp.lt.u32 %p, %ra, 32; @%p mov.u32 %r, 6; @!%p add.u32 %r, %r, 2",
          lambda i: 6 if i < 32 else 7, lambda i: i),  # fmt: skip
    of_32("mov.u32 %r, 0; $up: add.u32 %r, %r, 3; setp.lt.u32 %p, %r, %ra; @%p bra $up", 12, 10),
    # Lanes: of 8 at a time, and of the whole warp; who asks beyond the end keeps its own.
    of_32("shfl.sync.down.b32 %r|%p, %ra, 3, 0x181f, -1", lambda i: i + 3 if i % 8 < 5 else i, lambda i: i),
    of_32("shfl.sync.up.b32 %r, %ra, 3, 0x1800, -1", lambda i: i - 3 if i % 8 >= 3 else i, lambda i: i),
    of_32("shfl.sync.bfly.b32 %r, %ra, 4, 0x1f, -1", lambda i: i ^ 4, lambda i: i),
    of_32("shfl.sync.idx.b32 %r, %ra, 2, 0x181f, -1", lambda i: i // 8 * 8 + 2, lambda i: i),
    of_32("shfl.sync.down.b32 %r|%p, %ra, 3, 0x1f, -1; selp.u32 %r, 1, 0, %p", lambda i: int(i % 32 < 29)),
    of_32("setp.gt.u32 %p, %ra, 3; vote.sync.ballot.b32 %r, %p, -1",
          lambda i: 0xFFFFFFF0 if i < 32 else 2**32 - 1, lambda i: i),  # fmt: skip
    truth("setp.eq.u32 %p, %ra, 3; vote.sync.all.pred %p, %p, -1", False, 4),
    of_32("match.any.sync.b32 %r, %ra, -1",
          lambda i: 0x55555555 << (i % 2), lambda i: i % 2),  # fmt: skip
    of_32("setp.eq.u32 %p, %ra, 40; bar.red.or.pred %p, 0, %p; selp.u32 %r, 1, 0, %p", 1, lambda i: i),
    # Memory: of the block, behind what is aligned; by either kind of address.
    of_32("mov.u32 %r2, words; shl.b32 %r, %ra, 2; add.u32 %r2, %r2, %r; st.shared.u32 [%r2+4], %ra; bar.sync 0;"
          "mov.u32 %r2, words; ld.shared.u32 %r, [%r2+8]", 1, lambda i: i),  # fmt: skip
    of_32("mov.u64 %d2, words; cvta.shared.u64 %d2, %d2; st.u32 [%d2], 9; cvta.to.shared.u64 %d2, %d2;"
          "bar.warp.sync -1; ld.shared.u32 %r, [%d2]", 9),  # fmt: skip
    of_32("mov.u32 %r2, words; st.shared.u32 [%r2], 0; bar.sync 0; atom.shared.add.u32 %r, [%r2], 1; bar.sync 0;"
          "ld.shared.u32 %r, [%r2]", 64),  # fmt: skip
    of_32("mov.u32 %r2, words; st.shared.v4.f32 [%r2], {0f3F800000, 0f40000000, 0f40400000, 0f40800000}; bar.sync 0;"
          "ld.shared.v2.f32 {%r, %r2}, [%r2+8]; add.f32 %r, %r, %r2", f32(7)),  # fmt: skip
    of_32("mov.u32 %r2, words; st.shared.u32 [%r2], -1; bar.sync 0; atom.shared.cas.b32 %r, [%r2], -1, %ra; bar.sync 0;"
          "ld.shared.u32 %r, [%r2]", 0, lambda i: i),  # fmt: skip
    of_32("ld.global.nc.u8 %r, [numbers+2]", 250),
    Case("ld.global.s8 %d, [numbers+2]", 2**64 - 6),
]  # fmt: skip
DECLARED = """
.shared .align 16 .b8 words[512];
.global .align 4 .b8 numbers[4] = {1, 2, 250, 4};
"""
KERNEL = """
.visible .entry {name}(.param .u64 data)
{{
  .reg .pred %p; .reg .b16 %h, %h2; .reg .b32 %r, %r2, %ra, %rb, %rc; .reg .b64 %d, %d2, %da, %db, %dc, %at, %i;
  ld.param.u64 %at, [data];
  mov.u32 %r, %tid.x;
  mul.wide.u32 %i, %r, 32;
  add.s64 %at, %at, %i;
  ld.global.u64 %da, [%at]; cvt.u32.u64 %ra, %da;
  ld.global.u64 %db, [%at+8]; cvt.u32.u64 %rb, %db;
  ld.global.u64 %dc, [%at+16]; cvt.u32.u64 %rc, %dc;
  .loc 1 7 3
  {does};
  st.global.u64 [%at+24], %d;
  ret;
}}
"""
MISTAKES = {
    "misaligned": ("ld.global.v2.f32 {%r, %r2}, [%at+4]", "misaligned address for 8 bytes"),
    "out_of_shared": ("mov.u32 %r, words; st.shared.u32 [%r+512], 1", "beyond its 512 bytes of shared memory"),
    "divergent": (
        "setp.lt.u32 %p, %ra, 3; @%p bar.sync 0; .loc 1 8 3\n bar.sync 0",
        "waits in __syncthreads (kernel.cu:7)",
    ),
    "not_in_mask": ("shfl.sync.down.b32 %r, %ra, 1, 0x1f, 2", "thread 0 is not in its own mask in shfl.sync"),
    "spinning": ("nanosleep.u32 32", "waits for what will never come"),
}


def translate(ptx: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "kernels.ptx").write_text(ptx)
    command = [sys.executable, str(PTX / "translate.py"), "kernels.ptx", "kernels.cpp"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, ctypes.Array[ctypes.c_uint64]], str]:
    """Runs a kernel, of the cases or the mistakes, by its name; what went wrong."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++: apt-get install g++")
    folder = tmp_path_factory.mktemp("ptx")
    bodies = {f"case{i}": case.does for i, case in enumerate(CASES)}
    bodies |= {name: does for name, (does, _) in MISTAKES.items()}
    ptx = HEAD + DECLARED + "".join(KERNEL.format(name=name, does=does) for name, does in bodies.items())
    translated = translate(ptx, folder)
    assert translated.returncode == 0, translated.stderr
    emulation = PTX.parent
    sources = [
        folder / "kernels.cpp",
        emulation / "engine.cpp",
        emulation / "races.cpp",
        Path(__file__).with_name("ptx_harness.cpp"),
    ]
    command = [
        "g++",
        "-std=gnu++17",
        "-O1",
        "-march=x86-64-v3",
        "-ffp-contract=off",
        "-fPIC",
        "-shared",
        "-w",
        f"-I{PTX}",
    ]
    subprocess.run([*command, *map(str, sources), "-o", str(folder / "kernels.so"), "-ldl"], check=True)
    dll = ctypes.CDLL(str(folder / "kernels.so"))
    dll.run.restype = ctypes.c_char_p
    return lambda name, data: dll.run(name.encode(), data).decode()


def of_threads(value: int | Callable[[int], int]) -> Sequence[int]:
    return [value(i) if callable(value) else value for i in range(THREADS)]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.does.split("; cvt")[0][:60] for case in CASES])
def test_instructions_do_what_ptx_says(run: Callable[..., str], number: int) -> None:
    case = CASES[number]
    rows = zip(*(of_threads(x) for x in (case.a, case.b, case.c, 0)), strict=True)
    data = (ctypes.c_uint64 * (4 * THREADS))(*(x for row in rows for x in row))
    assert run(f"case{number}", data) == ""
    assert [hex(x) for x in data[3::4]] == [hex(x) for x in of_threads(case.gives)]


@pytest.mark.parametrize("name", MISTAKES)
def test_what_kernels_may_not_do_is_named(run: Callable[..., str], name: str) -> None:
    data = (ctypes.c_uint64 * (4 * THREADS))(*(x // 4 for x in range(4 * THREADS)))
    assert MISTAKES[name][1] in run(name, data)


REFUSED = [
    "frobnicate.b32 %r, %ra",
    "add.rz.f32 %r, %ra, %rb",
    "bar.sync 1",
    "bfe.s32 %r, %ra, 0, 8",
    "shf.l.clamp.b32 %r, %ra, %rb, 8",
    "mov.u32 %r, %clock",
    "ld.global.u32 %r, [nowhere]",
    "cvt.rna.tf32.f32 %r, %ra",
    "setp.lt.s32 %p|%p, %ra, %rb",
    "atom.global.dec.u32 %r, [%at], 1",
    "wmma.load.a.sync.aligned.row.m8n32k16.global.f16 {%r}, [%at], 8",
]


@pytest.mark.parametrize("does", REFUSED)
def test_what_is_not_known_is_refused(does: str, tmp_path: Path) -> None:
    refused = translate(HEAD + KERNEL.format(name="kernel", does=does), tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith("kernels.ptx: cannot be translated: ") and does.split()[0] in refused.stderr


def test_a_file_without_ptx_is_refused(tmp_path: Path) -> None:
    refused = translate("compressed", tmp_path)
    assert refused.returncode == 1 and "--no-compress" in refused.stderr
