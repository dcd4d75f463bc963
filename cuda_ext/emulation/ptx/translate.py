"""Turns PTX, nvcc's assembly for a virtual GPU, into C++ that runs on the host: `translate.py IN OUT.cpp`.

IN is an object file that nvcc compiled with `--no-compress` for a virtual GPU (`code=compute_90`), or PTX itself. Each
kernel becomes a function, with a variable for each register and a statement for each instruction (instructions.py).
machine.h says what the statements do; runtime.cpp finds kernels by their names when the host launches them.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from instructions import SIZES, TYPES, Unknown, label, split, statement


@dataclass
class Kernel:
    """What is known of a kernel while its instructions are read."""

    name: str
    parameters: dict[str, tuple[int, int]]  # offset and bytes
    most_threads: int  # of a block; 0: not said
    arrays: dict[str, str]  # of the module: their names in C++
    shared: dict[str, int] = field(default_factory=dict)  # offsets
    shared_bytes: int = 0
    local: set[str] = field(default_factory=set)
    scopes: list[dict[str, str]] = field(default_factory=lambda: [{}])  # registers: their names in C++
    declarations: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)

    def register(self, name: str) -> str | None:
        return next((scope[name] for scope in reversed(self.scopes) if name in scope), None)

    def address(self, name: str) -> str | None:
        """Shared memory has addresses of its own, from 0 on."""
        if name in self.shared:
            return f"{self.shared[name]}ull"
        if name in self.parameters:
            return f"reinterpret_cast<uint64_t>(parameters + {self.parameters[name][0]})"
        return (
            f"reinterpret_cast<uint64_t>({self.arrays.get(name, name)})"
            if name in self.arrays or name in self.local
            else None
        )

    def declare(self, kind: str, name: str) -> None:
        """A register of the innermost scope."""
        own = f"r{len(self.declarations)}_{re.sub(r'[^A-Za-z0-9]', '', name)}"
        self.scopes[-1][name] = own
        self.declarations.append(f"{TYPES[kind if kind == 'pred' else f'u{kind[1:]}']} {own} = 0;")


@dataclass
class Module:
    """One piece of PTX: what stands outside of its kernels."""

    number: int
    files: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, str] = field(default_factory=dict)
    definitions: list[str] = field(default_factory=list)
    shared: dict[str, tuple[int, int | None]] = field(default_factory=dict)  # alignment, bytes (None: dynamic)
    kernels: list[Kernel] = field(default_factory=list)


_ARRAY = r"\.(\w+) ([\w$]+)(?:\[(\d*)\])?"  # type, name, count


def ptx_in(path: Path) -> list[str]:
    found = re.findall(rb"\.version \d+\.\d+\n[\t\n -~]*", path.read_bytes())
    if not found:
        raise SystemExit(f"{path}: holds no PTX in plain text; compile with -gencode …,code=compute_90 --no-compress")
    return [text.decode() for text in found]


def read_module(text: str, number: int) -> Module:
    module = Module(number)
    text = re.sub(r"//[^\n]*", "", text)
    module.files = dict(re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]*)"', text, re.M))
    text = re.split(r"^\s*\.section", text, maxsplit=1, flags=re.M)[0]  # for debuggers
    text = re.sub(r"^\s*\.(?:version|target|address_size|file)[^\n]*\n", "", text, flags=re.M)
    at = 0
    while text[at:].strip():
        brace, semicolon = text.find("{", at), text.find(";", at)
        if brace < semicolon and ".entry" in text[at:brace]:
            end = _matching_brace(text, brace)
            module.kernels.append(_read_kernel(module, text[at:brace], text[brace + 1 : end]))
        else:
            end = semicolon
            _read_array(" ".join(text[at:end].split()), module)
        at = end + 1
    return module


def _matching_brace(text: str, at: int) -> int:
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, at):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    raise Unknown(text[at : at + 100])


def _read_array(text: str, module: Module) -> None:
    """Outside of a kernel: shared memory, and numbers with or without values."""
    match = re.fullmatch(rf"(?:\.(?:visible|weak|extern) )?\.(\w+) \.align (\d+) {_ARRAY}(?: = (.*))?", text)
    if not match or match[1] not in ("shared", "global", "const"):
        raise Unknown(text)
    space, alignment, kind, name, count, values = match.groups()
    if space == "shared":
        module.shared[name] = int(alignment), SIZES[kind] * int(count) if count else None
        return
    own = module.arrays[name] = f"array_{module.number}_{len(module.arrays)}"
    values = values if (values or "").startswith("{") else f"{{{values or ''}}}"
    module.definitions.append(f"alignas({alignment}) {TYPES[kind]} {own}[{count or 1}] = {values};")


def _read_kernel(module: Module, head: str, body: str) -> Kernel:
    match = re.search(r"\.entry\s+([\w$]+)\s*\((.*?)\)(.*)", head, re.S)
    if not match:
        raise Unknown(head)
    bounds = re.search(r"\.maxntid\s+(\d+)(?:,\s*(\d+),\s*(\d+))?", match[3])
    most_threads = int(bounds[1]) * int(bounds[2] or 1) * int(bounds[3] or 1) if bounds else 0
    kernel = Kernel(match[1], _read_parameters(match[2]), most_threads, module.arrays)
    for alignment, kind, name, count in re.findall(rf"\.shared \.align (\d+) {_ARRAY};", body):
        module.shared[name] = int(alignment), SIZES[kind] * int(count or 1)
    _place_shared(kernel, {name: size for name, size in module.shared.items() if _names(body, name)})
    _read_body(module, kernel, body)
    return kernel


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", text) is not None


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _read_parameters(text: str) -> dict[str, tuple[int, int]]:
    parameters, end = {}, 0
    for part in split(" ".join(text.split())):
        part = re.sub(
            r" \.ptr(?: \.(?:global|shared|const|local))?(?: \.align \d+)?", "", part
        )  # what a pointer points to
        match = re.fullmatch(rf"\.param (?:\.align (\d+) )?{_ARRAY}", part)
        if not match:
            raise Unknown(part)
        size = SIZES[match[2]] * int(match[4] or 1)
        at = _up(end, int(match[1] or SIZES[match[2]]))
        parameters[match[3]] = at, size
        end = at + size
    return parameters


def _place_shared(kernel: Kernel, arrays: dict[str, tuple[int, int | None]]) -> None:
    """One after the other, and behind them what the launch asks for."""
    for name, (alignment, size) in sorted(arrays.items(), key=lambda item: item[1][1] is None):
        kernel.shared[name] = _up(kernel.shared_bytes, 128 if size is None else alignment)
        kernel.shared_bytes = kernel.shared[name] + (size or 0)


def _read_body(module: Module, kernel: Kernel, body: str) -> None:
    token = re.compile(
        r"\s*(?:(?P<open>\{)|(?P<close>\})|(?P<label>[$\w]+):|(?P<place>\.loc[^\n]*)|(?P<statement>[^;]*);)", re.S
    )
    at, site = 0, '{"", 0}'
    while body[at:].strip():
        found = token.match(body, at)
        if not found:
            raise Unknown(body[at : at + 100])
        at = found.end()
        if found["open"]:
            kernel.scopes.append({})
        elif found["close"]:
            kernel.scopes.pop()
        elif found["label"]:
            kernel.statements.append(f"{label(found['label'])}:;")
        elif found["place"]:
            _, file, line = found["place"].split()[:3]
            site = f'{{"{module.files[file]}", {line}}}'
        else:
            _read_statement(" ".join(found["statement"].split()), kernel, site)


def _read_statement(text: str, kernel: Kernel, site: str) -> None:
    if match := re.fullmatch(r"\.reg \.(\w+) (.*)", text):
        for name in split(match[2]):
            first, _, count = name.rstrip(">").partition("<")
            for each in [f"{first}{i}" for i in range(int(count))] if count else [first]:
                kernel.declare(match[1], each)
    elif match := re.fullmatch(r"\.local \.align (\d+) \.b8 ([\w$]+)\[(\d+)\]", text):
        kernel.local.add(match[2])
        kernel.declarations.append(f"alignas({match[1]}) char {match[2]}[{match[3]}];")
    elif match := re.fullmatch(r"@(!?)([%\w$]+) (.*)", text):
        condition = f"{match[1]}{kernel.register(match[2])}"
        kernel.statements.append(f"if ({condition}) {statement(match[3], kernel, site)}")
    elif text and not text.startswith((".shared", ".pragma")):
        kernel.statements.append(statement(text, kernel, site))


def cpp_of(modules: list[Module]) -> str:
    lines = ['#include "machine.h"', "namespace nk::ptx {", "namespace {"]
    for module in modules:
        lines += module.definitions
        for i, kernel in enumerate(module.kernels):
            own = f"kernel_{module.number}_{i}"
            lines += [f"void {own}(const char *parameters) {{", "(void)parameters;"]
            lines += [*kernel.declarations, *kernel.statements, "}"]
            parameters = ", ".join(f"{{{at}, {size}}}" for at, size in kernel.parameters.values())
            facts = f'"{kernel.name}", {own}, {{{parameters}}}, {kernel.shared_bytes}, {kernel.most_threads}'
            lines.append(f"const Registered {own}_is_known({facts});")
    return "\n".join([*lines, "}  // namespace", "}  // namespace nk::ptx", ""])


def main() -> None:
    source, target = (Path(argument) for argument in sys.argv[1:])
    try:
        modules = [read_module(text, i) for i, text in enumerate(ptx_in(source))]
    except Unknown as unknown:
        raise SystemExit(f"{source}: cannot be translated: {unknown}") from None
    target.write_text(cpp_of(modules))


if __name__ == "__main__":
    main()
