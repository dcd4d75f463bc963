"""What the kernels of a CUDA object consist of, by its machine code: nothing is run, and no GPU is needed.

    python scripts/count_sass.py OBJECT [OBJECT ...] [--kernel draw_tiles] [--loop MUFU.EX2]

Takes objects and cubins of one architecture, such as ``nvcc -arch=sm_90 -cubin`` makes, and cuobjdump from the PATH or
from --cuobjdump. A line per kernel: registers, the blocks that find room on a multiprocessor by registers, shared
memory and threads where --threads tells how many a block has, and instructions by kind; with --loop of the innermost
loop around the first instruction of that name alone. Branches are counted once, taken or not: ``--list`` shows the
instructions to tell by eye what is passed how often.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

REGISTERS, SHARED, THREADS, BLOCKS = 65536, 233472, 2048, 32  # of a multiprocessor of sm_90
RESERVED = 1024  # bytes of shared memory that each block takes beside its own
KINDS = {
    "FP32": r"F(ADD|MUL|FMA|MNMX|SETP|SEL|SET|SWZADD|CHK)\b",
    "special": r"(MUFU|BREV|FLO|POPC|I2F|F2I|F2F)\b",  # 16 lanes a clock and multiprocessor
    "shuffle": r"SHFL\b",
    "shared": r"(LDS|STS|LDSM|ATOMS)\b",
    "global": r"(LDG|STG|LD|ST|LDL|STL)\b",
    "atomic": r"(RED|REDG|ATOM|ATOMG)\b",
    "branch": r"(BRA|BRX|BSSY|BSYNC|BREAK|WARPSYNC|EXIT|CALL|RET|YIELD|NANOSLEEP)\b",
}
OTHER = "integer, moves"


@dataclass(frozen=True)
class Instruction:
    address: int
    text: str

    @property
    def name(self) -> str:
        return re.sub(r"^@!?U?P\d+\s+", "", self.text).split()[0]

    @property
    def kind(self) -> str:
        return next((kind for kind, pattern in KINDS.items() if re.match(pattern, self.name)), OTHER)

    @property
    def target(self) -> int | None:
        """Of a jump."""
        found = re.search(r"\bBRA(?:\.\w+)* (?:!?U?P\w+, )?(0x[0-9a-f]+)", self.text)
        return int(found[1], 16) if found else None


@dataclass(frozen=True)
class Kernel:
    name: str
    registers: int
    shared: int  # bytes, static
    code: list[Instruction]

    def loop(self, around: str) -> list[Instruction]:
        """The smallest loop that holds an instruction whose name begins like that; nothing where there is none."""
        inside = [i.address for i in self.code if i.name.startswith(around)]
        loops = [
            (i.target, i.address)
            for i in self.code
            if i.target is not None and any(i.target <= address < i.address for address in inside)
        ]
        first, last = min(loops, key=lambda ends: ends[1] - ends[0], default=(1, 0))
        return [i for i in self.code if first <= i.address <= last]

    def blocks(self, threads: int, shared: int) -> int:
        """How many blocks of so many threads find room on a multiprocessor."""
        warp = -(-self.registers * 32 // 256) * 256  # registers are given to a warp 256 at a time
        by_shared = SHARED // (RESERVED + -(-(self.shared + shared) // 128) * 128)
        return min(REGISTERS // warp // (-(-threads // 32)), by_shared, THREADS // threads, BLOCKS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", nargs="+", type=Path)
    parser.add_argument("--kernel", default="", help="a regular expression that its name holds")
    parser.add_argument("--loop", default="", help="count only the innermost loop around this instruction")
    parser.add_argument("--threads", type=int, default=256, help="of a block, for the blocks on a multiprocessor")
    parser.add_argument("--shared", type=int, default=0, help="bytes of dynamic shared memory of a block")
    parser.add_argument("--list", action="store_true", help="print the instructions too")
    parser.add_argument("--cuobjdump", default=shutil.which("cuobjdump"))
    options = parser.parse_args()
    if options.cuobjdump is None:
        print("cuobjdump is not here: install the CUDA toolkit, or say where it is by --cuobjdump", file=sys.stderr)
        return 1
    print("| kernel | registers | blocks | instructions | " + " | ".join([*KINDS, OTHER]) + " |")
    print("|---" * (len(KINDS) + 5) + "|")
    for path in options.objects:
        for kernel in kernels(path, options.cuobjdump):
            if not re.search(options.kernel, kernel.name):
                continue
            code = kernel.loop(options.loop) if options.loop else kernel.code
            kinds = Counter(instruction.kind for instruction in code)
            blocks = kernel.blocks(options.threads, options.shared)
            numbers = [kernel.registers, blocks, len(code), *(kinds[kind] for kind in [*KINDS, OTHER])]
            print(f"| {kernel.name} | " + " | ".join(map(str, numbers)) + " |")
            if options.list:
                print(*(f"{i.address:6x}  {i.text}" for i in code), sep="\n")
    return 0


def kernels(path: Path, cuobjdump: str) -> list[Kernel]:
    def said(*options: str) -> str:
        return subprocess.run([cuobjdump, *options, str(path)], capture_output=True, text=True, check=True).stdout

    usage = {
        name: (int(registers), int(shared))
        for name, registers, shared in re.findall(r"Function (\S+):\s+REG:(\d+) .*?SHARED:(\d+)", said("-res-usage"))
    }
    found = []
    for part in re.split(r"Function : ", said("-sass"))[1:]:
        name = part.split()[0]
        code = [
            Instruction(int(address, 16), text.strip())
            for address, text in re.findall(r"/\*([0-9a-f]{4,5})\*/\s+(.*?)\s*;", part)
        ]
        while code and code[-1].name == "NOP":  # filled up
            code.pop()
        found.append(Kernel(_plain(name), *usage[name], code))
    return found


def _plain(name: str) -> str:
    """A kernel's name and template arguments without its parameters."""
    plain = subprocess.run(["c++filt", name], capture_output=True, text=True, check=True).stdout.strip()
    plain = plain.removeprefix("void ").replace("(anonymous namespace)::", "")
    plain = re.sub(r"\((?:unsigned )?(?:int|bool|long)\)", "", plain)
    depth = 0
    for i, letter in enumerate(plain):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            return plain[:i]
    return plain


if __name__ == "__main__":
    sys.exit(main())
