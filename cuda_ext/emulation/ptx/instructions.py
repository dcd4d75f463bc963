"""One instruction of PTX as a statement of C++, in the words of machine.h.

By the PTX ISA, version 9.0, section 9.7 (docs.nvidia.com/cuda/parallel-thread-execution). What isn't known here is
refused, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

TYPES = {f"{kind}{bits}": f"{'int' if kind == 's' else 'uint'}{bits}_t" for kind in "sub" for bits in (8, 16, 32, 64)}
TYPES |= {"f32": "float", "f64": "double", "f16": "Half", "f16x2": "Halves", "pred": "bool"}
SIZES = {"pred": 1, "f16x2": 4} | {name: int(name[1:]) // 8 for name in TYPES if name[1:].isdigit()}

SPECIAL = {
    **{f"%tid.{x}": f"threadIdx.{x}" for x in "xyz"},
    **{f"%ctaid.{x}": f"blockIdx.{x}" for x in "xyz"},
    **{f"%ntid.{x}": f"blockDim.{x}" for x in "xyz"},
    **{f"%nctaid.{x}": f"gridDim.{x}" for x in "xyz"},
    "%laneid": "lane()",
    "%lanemask_eq": "(1u << lane())",
    "%lanemask_lt": "((1u << lane()) - 1)",
    "%lanemask_le": "((2u << lane()) - 1)",
    "%lanemask_gt": "~((2u << lane()) - 1)",
    "%lanemask_ge": "~((1u << lane()) - 1)",
}

# What an instruction's result is, by its operands.
PLAIN = {
    "add": "a + b", "sub": "a - b", "mul": "a * b", "mad": "a * b + c", "fma": "std::fma(a, b, c)",
    "div": "a / b", "rem": "a % b", "neg": "-a", "abs": "std::abs(a)", "min": "least(a, b)", "max": "greatest(a, b)",
    "and": "a & b", "or": "a | b", "xor": "a ^ b", "not": "~a", "brev": "reversed(a)",
    "rcp": "1 / a", "sqrt": "std::sqrt(a)", "rsqrt": "1 / std::sqrt(a)",
    "ex2": "std::exp2(a)", "lg2": "std::log2(a)", "sin": "std::sin(a)", "cos": "std::cos(a)",
}  # fmt: skip
WRAP_AROUND = ("add", "sub", "mul", "mad", "neg")  # whole numbers, as C++ has it only of unsigned ones
COMPARISONS = {"eq": "a == b", "ne": "a != b", "lt": "a < b", "le": "a <= b", "gt": "a > b", "ge": "a >= b"}
OF_UNSIGNED = {"lo": "a < b", "ls": "a <= b", "hi": "a > b", "hs": "a >= b"}
# True also if a or b is not a number; the others never are then, "ne" included.
UNORDERED = {
    "equ": "!(a < b || a > b)", "neu": "a != b", "num": "a == a && b == b", "nan": "a != a || b != b",
    "ltu": "!(a >= b)", "leu": "!(a > b)", "gtu": "!(a <= b)", "geu": "!(a < b)",
}  # fmt: skip
OF_FLOATS = COMPARISONS | UNORDERED | {"ne": "a < b || a > b"}
TO_WHOLE = {"rni": "std::nearbyint", "rzi": "std::trunc", "rmi": "std::floor", "rpi": "std::ceil"}

SPACES = ("global", "shared", "param", "local", "const")
# Say nothing here: rounding as the host rounds, caches, the order of memory.
NO_MATTER = {
    "rn", "approx", "ftz", "full", "noftz", "uni", "lo", "nc", "cs", "cg", "ca", "cv", "wb", "wt",
    "volatile", "relaxed", "acquire", "release", "acq_rel", "weak", "cta", "gpu", "sys", "sync", "aligned",
}  # fmt: skip


class Unknown(Exception):
    """What isn't known of PTX here."""


class Names(Protocol):
    """What a kernel's names are in C++."""

    parameters: Mapping[str, tuple[int, int]]

    def register(self, name: str) -> str | None: ...
    def address(self, name: str) -> str | None: ...


@dataclass
class Instruction:
    """`op.words operands`, of a kernel with these names, from this site of the source."""

    text: str
    names: Names
    site: str

    def __post_init__(self) -> None:
        name, _, rest = self.text.partition(" ")
        self.op, *self.words = name.split(".")
        self.operands = split(rest)
        self.kinds = [word for word in self.words if word in TYPES]
        self.space = next((word for word in self.words if word in SPACES), "generic")
        self.modifiers = {word for word in self.words if word not in TYPES and word not in SPACES} - NO_MATTER

    @property
    def kind(self) -> str:
        if not self.kinds:
            raise Unknown(self.text)
        return self.kinds[0]

    def one_of(self, *known: str, or_none: bool = False) -> str:
        """The only modifier, one of these."""
        if (or_none and not self.modifiers) or (len(self.modifiers) == 1 and self.modifiers <= set(known)):
            return next(iter(self.modifiers), "")
        raise Unknown(self.text)

    def bits(self, operand: str) -> str:
        """An operand as a whole number."""
        if known := self.names.register(operand) or SPECIAL.get(operand) or self.names.address(operand):
            return known
        if match := re.fullmatch(r"0[fF]([0-9a-fA-F]{8})|0[dD]([0-9a-fA-F]{16})", operand):
            return f"0x{match[1] or match[2]}ull"
        if re.fullmatch(r"-?\d+U?|0x[0-9a-fA-F]+U?", operand):
            return f"{int(operand.rstrip('U'), 0) % 2**64:#x}ull"
        raise Unknown(f"operand {operand} in {self.text}")

    def value(self, number: int, kind: str) -> str:
        """An operand, by its number, as a typed value."""
        return self.typed(self.operands[number], kind)

    def typed(self, operand: str, kind: str) -> str:
        if kind == "pred" and operand.startswith("!"):
            return f"!{self.bits(operand[1:])}"
        return f"as<{TYPES[kind]}>({self.bits(operand)})"

    def assign(self, operand: str, value: str) -> str:
        """To a register as wide as the value or wider; whole numbers are extended by their sign."""
        if operand == "_":
            return f"{value};"
        register = self.names.register(operand)
        if not register:
            raise Unknown(f"register {operand} in {self.text}")
        return f"set({register}, {value});"

    def result(self, value: str) -> str:
        return self.assign(self.operands[0], value)

    def results(self, operand: str, values: str) -> str:
        """To several registers, or one, the values x[0], x[1]…"""
        each = (self.assign(name, f"t.x[{i}]") for i, name in enumerate(members(operand)))
        return f"{{ const auto t = {values}; {' '.join(each)} }}"

    def pointer(self, number: int) -> str:
        """Of an operand `[name + offset]`."""
        match = re.fullmatch(r"\[\s*([^+\]]+?)\s*(?:\+\s*(-?\d+))?\s*\]", self.operands[number])
        if not match:
            raise Unknown(self.text)
        base, offset = self.bits(match[1]), match[2] or "0"
        return f"in_shared({base} + ({offset}))" if self.space == "shared" else f"at({base}, {offset})"

    def formula(self, expression: str, kind: str, *values: str) -> str:
        """The expression of a, b and c, which are these values."""
        given = ", ".join(f"{letter} = {value}" for letter, value in zip("abc", values, strict=False))
        return f"[{given}]() -> {TYPES[kind]} {{ return {expression}; }}()"

    def call(self, function: str, *kinds: str) -> str:
        """A function of the operands after the first."""
        if len(self.operands) != len(kinds) + 1:
            raise Unknown(self.text)
        return f"{function}({', '.join(self.value(i + 1, kind) for i, kind in enumerate(kinds))})"


def split(text: str) -> list[str]:
    """At commas outside of brackets."""
    parts = re.findall(r"(?:\{[^}]*\}|\[[^\]]*\]|[^,])+", text)
    return [part.strip() for part in parts]


def members(operand: str) -> list[str]:
    return split(operand[1:-1]) if operand.startswith("{") else [operand]


def label(name: str) -> str:
    return "label_" + re.sub(r"\W", "_", name)


# --- one kind of instruction each ----------------------------------------------------------------------------------


def _plain(i: Instruction) -> str:
    saturates = i.one_of("sat", or_none=True)
    kind, expression = i.kind, PLAIN[i.op]
    if kind == "f16x2":
        return i.result(
            f"by_halves([](float a, float b) {{ return {expression}; }}, {i.value(1, 'b32')}, {i.value(2, 'b32')})"
        )
    if kind == "pred":
        expression = expression.replace("~", "!")
    if kind[0] == "s" and i.op in WRAP_AROUND:
        kind = "u" + kind[1:]
    if saturates:
        expression = f"saturated({expression})"
    return i.result(i.formula(expression, kind, *(i.value(n, kind) for n in range(1, len(i.operands)))))


def _product(i: Instruction) -> str:
    """mul and mad, whose result may be twice as wide or the higher half."""
    if i.modifiers == {"wide"}:
        wide = f"{i.kind[0]}{2 * int(i.kind[1:])}"
        factors = [f"{TYPES[wide]}({i.value(n, i.kind)})" for n in (1, 2)]
        return i.result(i.formula(PLAIN[i.op], wide, *factors, *(i.value(3, wide) for _ in i.operands[3:])))
    if i.modifiers == {"hi"}:
        high = f"high_product({i.value(1, i.kind)}, {i.value(2, i.kind)})"
        return i.result(high if i.op == "mul" else f"{high} + {i.value(3, i.kind)}")
    return _plain(i)


def _move(i: Instruction) -> str:
    """Also packs registers into a wider one, and back."""
    i.one_of(or_none=True)
    into, source = members(i.operands[0]), members(i.operands[1])
    whole = f"u{8 * SIZES[i.kind]}"
    width = 8 * SIZES[i.kind] // max(len(into), len(source))
    if len(into) > 1:
        each = (i.assign(name, f"static_cast<uint{width}_t>(t >> {width * n})") for n, name in enumerate(into))
        return f"{{ const auto t = {i.value(1, whole)}; {' '.join(each)} }}"
    if len(source) > 1:
        parts = (f"{TYPES[whole]}({i.typed(name, f'u{width}')}) << {width * n}" for n, name in enumerate(source))
        return i.result(f"static_cast<{TYPES[whole]}>({' | '.join(parts)})")
    return i.result(i.value(1, i.kind))


def _load(i: Instruction) -> str:
    i.one_of("v2", "v4", or_none=True)
    count = len(members(i.operands[0]))
    return i.results(i.operands[0], f"load<{TYPES[i.kind]}, {count}>({i.pointer(1)})")


def _store(i: Instruction) -> str:
    i.one_of("v2", "v4", or_none=True)
    values = [i.typed(name, i.kind) for name in members(i.operands[1])]
    return f"store<{TYPES[i.kind]}, {len(values)}>({i.pointer(0)}, {{{{{', '.join(values)}}}}});"


def _change_space(i: Instruction) -> str:
    to_space = i.one_of("to", or_none=True)
    if i.space != "shared":
        return i.result(i.value(1, "u64"))
    return i.result(i.call("shared_from_generic" if to_space else "generic_from_shared", "u64"))


def _convert(i: Instruction) -> str:
    to, source = i.kinds
    how = i.one_of(*TO_WHOLE, "sat", "satfinite", or_none=True)
    if to == "f16x2" and how in ("", "satfinite"):
        return i.result(f"packed_halves({i.value(1, source)}, {i.value(2, source)}, {'true' if how else 'false'})")
    value = f"number({i.value(1, source)})"
    if source[0] == "f" and how in TO_WHOLE:
        value = f"{TO_WHOLE[how]}({value})"
    elif how and (how, to) != ("sat", "f32"):
        raise Unknown(i.text)
    if to[0] != "f":
        return i.result(f"{'to_whole' if source[0] == 'f' else 'static_cast'}<{TYPES[to]}>({value})")
    return i.result(f"saturated({value})" if how == "sat" else f"{TYPES[to]}({value})")


def _compare(i: Instruction) -> str:
    known = OF_FLOATS if i.kind[0] == "f" else COMPARISONS | OF_UNSIGNED
    how = [word for word in i.words if word in known]
    also = {"and": "&&", "or": "||", "xor": "!="}
    combined = [word for word in i.words if word in also]
    if len(how) != 1 or i.modifiers - {*how, *combined} or "|" in i.operands[0]:
        raise Unknown(i.text)
    answer = i.formula(known[how[0]], "pred", f"number({i.value(1, i.kind)})", f"number({i.value(2, i.kind)})")
    return i.result(" ".join([answer, *(f"{also[word]} {i.value(3, 'pred')}" for word in combined)]))


def _select(i: Instruction) -> str:
    return i.result(f"{i.value(3, 'pred')} ? {i.value(1, i.kind)} : {i.value(2, i.kind)}")


def _shift(i: Instruction) -> str:
    i.one_of(or_none=True)
    return i.result(i.call("shifted_left" if i.op == "shl" else "shifted_right", i.kind, "u32"))


def _count_bits(i: Instruction) -> str:
    i.one_of(or_none=True)
    return i.result(i.call({"clz": "leading_zeros", "popc": "ones"}[i.op], i.kind))


def _find_bit(i: Instruction) -> str:
    found = i.call("highest_bit", i.kind)
    return i.result(f"{8 * SIZES[i.kind] - 1} - {found}" if i.one_of("shiftamt", or_none=True) else found)


def _bit_field(i: Instruction) -> str:
    i.one_of("clamp", or_none=True)
    kinds = {"bfi": (i.kind, i.kind, "u32", "u32"), "bmsk": ("u32", "u32"), "prmt": ("u32", "u32", "u32")}
    if i.kind[0] == "u":
        kinds["bfe"] = i.kind, "u32", "u32"
    return i.result(i.call(i.op, *kinds[i.op]))


def _dot(i: Instruction) -> str:
    """dp2a: two products of 16 by 8 bits, added up."""
    if i.kinds != ["u32", "u32"]:
        raise Unknown(i.text)
    higher = 16 if i.one_of("hi", or_none=True) else 0
    return i.result(f"two_products({i.value(1, 'u32')}, {i.value(2, 'u32')} >> {higher}, {i.value(3, 'u32')})")


def _funnel(i: Instruction) -> str:
    """shf: 32 bits of two registers side by side."""
    if i.modifiers not in ({"l", "wrap"}, {"r", "wrap"}):
        raise Unknown(i.text)
    return i.result(i.call("funnel_left" if "l" in i.modifiers else "funnel_right", "u32", "u32", "u32"))


def _block_barrier(i: Instruction) -> str:
    if i.words[0] == "warp":
        return f"meet_warp({i.site}, {i.value(0, 'u32')});"
    if not i.modifiers and i.operands == ["0"]:
        return f"nk::emulation::sync_block({i.site}, false);"
    how = i.modifiers - {"red"}
    if i.words[0] != "red" or len(i.operands) != 3 or i.operands[1] != "0" or len(how) != 1:
        raise Unknown(i.text)
    return i.result(f"reduce_{how.pop()}({i.site}, {i.value(2, 'pred')})")


def _shuffle(i: Instruction) -> str:
    how = i.one_of("up", "down", "bfly", "idx")
    into, _, inside = i.operands[0].partition("|")
    shuffled = f"shuffle_{how}({i.site}, {', '.join(i.value(n, 'u32') for n in range(1, 5))})"
    return f"{{ const auto t = {shuffled}; {i.assign(into, 't.value')} {i.assign(inside or '_', 't.inside')} }}"


def _vote(i: Instruction) -> str:
    how = i.one_of("ballot", "any", "all")
    return i.result(f"vote_{how}({i.site}, {i.value(1, 'pred')}, {i.value(2, 'u32')})")


def _match(i: Instruction) -> str:
    i.one_of("any")
    return i.result(f"match_any({i.site}, {i.value(1, i.kind)}, {i.value(2, 'u32')})")


def _atomic(i: Instruction) -> str:
    if i.op == "red":
        i.operands.insert(0, "_")
    parts = members(i.operands[2])
    how = i.modifiers - {"v2", "v4"}
    if len(how) != 1 or not how <= {"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc"}:
        raise Unknown(i.text)
    operation = f"atomic_{how.pop()}<{TYPES[i.kind]}"
    if len(parts) == 1:
        values = ", ".join(i.value(n, i.kind) for n in range(2, len(i.operands)))
        return i.result(f"{operation}>({i.pointer(1)}, {values})")
    size = SIZES[i.kind]
    each = (f"{operation}>(to + {n * size}, {i.typed(part, i.kind)})" for n, part in enumerate(parts))
    into = members(i.operands[0]) if i.op == "atom" else ["_"] * len(parts)
    lines = (i.assign(name, value) for name, value in zip(into, each, strict=True))
    return f"{{ char *const to = aligned<{len(parts) * size}>({i.pointer(1)}); {' '.join(lines)} }}"


def _tiles(i: Instruction) -> str:
    """Products of tiles. Which lane has which number is the hardware's affair: here, machine.h's."""
    if "m16n16k16" not in i.words:
        raise Unknown(i.text)
    layout = next(f"k{word.title()}" for word in i.words if word in ("row", "col"))
    if i.words[0] == "load":
        kind = "Half" if i.words[1] in ("a", "b") else "float"
        return i.results(
            i.operands[0], f"load_tile<{kind}, {layout}>({i.site}, {i.pointer(1)}, {i.bits(i.operands[2])})"
        )
    registers = [f"{{{{{', '.join(i.bits(name) for name in members(operand))}}}}}" for operand in i.operands[1:]]
    if i.words[0] == "mma" and i.words[-2:] == ["f32", "f32"]:
        return i.results(i.operands[0], f"multiply_tiles({i.site}, {', '.join(registers)})")
    if i.words[:2] == ["store", "d"] and i.kind == "f32":
        return f"store_tile<{layout}>({i.site}, {i.pointer(0)}, {registers[0]}, {i.bits(i.operands[2])});"
    raise Unknown(i.text)


_HANDLERS: dict[str, Callable[[Instruction], str]] = {
    **dict.fromkeys(PLAIN, _plain),
    **dict.fromkeys(("mul", "mad"), _product),
    **dict.fromkeys(("clz", "popc"), _count_bits),
    **dict.fromkeys(("shl", "shr"), _shift),
    **dict.fromkeys(("bfe", "bfi", "bmsk", "prmt"), _bit_field),
    **dict.fromkeys(("atom", "red"), _atomic),
    **dict.fromkeys(("bar", "barrier"), _block_barrier),
    **dict.fromkeys(("membar", "fence"), lambda i: ";"),
    **dict.fromkeys(("ret", "exit"), lambda i: "return;"),
    "nanosleep": lambda i: "spin();",
    "trap": lambda i: 'fail("trap");',
    "bra": lambda i: f"goto {label(i.operands[0])};",
    "mov": _move, "ld": _load, "st": _store, "cvta": _change_space, "cvt": _convert, "setp": _compare,
    "selp": _select, "shf": _funnel, "bfind": _find_bit, "shfl": _shuffle, "vote": _vote, "match": _match,
    "wmma": _tiles, "dp2a": _dot,
}  # fmt: skip


def statement(text: str, names: Names, site: str) -> str:
    """An instruction, without the predicate before it.

    Raises:
        Unknown: of an instruction, or a form of it, that isn't known.
    """
    instruction = Instruction(text, names, site)
    if instruction.op not in _HANDLERS:
        raise Unknown(text)
    try:
        return _HANDLERS[instruction.op](instruction)
    except (IndexError, KeyError, StopIteration, ValueError) as error:
        raise Unknown(text) from error
