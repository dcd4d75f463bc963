"""Reads a verb's options with tyro, in the words of nerfkit: what may be left out is not called None, defaults that the
text explains are not told twice, and a mistake is one line."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import itertools
import os
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from contextlib import redirect_stderr
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
    UnsupportedTypeAnnotationError,
)

from nerfkit.limits import is_number

_NO_VALUE = (  # what tyro says of a value that it can't read, and how that is said here
    (r"error parsing (\S+): no type matching (.+?) could be instantiated from \['(.*?)'\].*", r"\1 \3: must be \2"),
    (r"error parsing (\S+): invalid literal for int\(\) with base 10: '(.*)'", r"\1 \2: must be a whole number"),
    (r"error parsing (\S+): could not convert string to float: '(.*)'", r"\1 \2: must be a number"),
)
_NO_PATHS = {
    "": "an empty name; a variable without a value?",
    "-": "nerfkit reads and writes files, not standard input and output; name one (./- if it is called so)",
}
_EVERY_VERB = "--json prints the result as one JSON object on stdout; --quiet prints warnings and errors only."


def parse(options: Any, verb: str, description: str, arguments: list[str]) -> Any:
    """The options of a verb, an instance of the dataclass ``options``.

    Raises SystemExit: 0 after ``--help``, 2 after a mistake, which has been told on stderr in one line.
    """
    heard = io.StringIO()
    columns = os.environ.get("COLUMNS")
    helping = any(word in ("-h", "--help") for word in arguments)
    if not helping:
        os.environ["COLUMNS"] = "10000"  # tyro wraps what it says to this width, in the middle of words too
    try:
        with redirect_stderr(heard):
            return tyro.cli(
                options, prog=f"nerfkit {verb}", description=description.replace("``", ""), args=arguments,
                registry=_registry(),
            )  # fmt: skip
    except SystemExit as stop:
        if stop.code in (0, None):
            print(_EVERY_VERB)
            raise SystemExit(0) from None
        mistake = _wrong_count(options, arguments) or _no_path(arguments, heard.getvalue())
        mistake = mistake or _in_one_line(heard.getvalue())
        if late := re.match(r"unrecognized options: ([^-,\s][^,]*)", mistake):
            mistake = f"{late[1]}: what stands here is no option's; name files before the options"
        print(f"error: {mistake}; see nerfkit {verb} --help", file=sys.stderr)
        raise SystemExit(2) from None
    finally:
        if not helping:
            os.environ.pop("COLUMNS")
            if columns is not None:
                os.environ["COLUMNS"] = columns


def _no_path(arguments: list[str], box: str) -> str | None:
    """Which word names no file, where tyro can't read one: of several files it says only that it can't."""
    found = next((word for word in arguments if word in _NO_PATHS), None)
    return f"{found!r}: {_NO_PATHS[found]}" if found is not None and "arsing" in box else None


def _wrong_count(options: Any, arguments: list[str]) -> str | None:
    """What is wrong with the first option of several numbers that has too few or too many of them; tyro is vague."""
    widths = dict(_widths(options))
    for index, word in enumerate(arguments):
        name = word.replace("_", "-")
        if name not in widths:
            continue
        given = list(itertools.takewhile(is_number, arguments[index + 1 :]))
        width, repeated = widths[name]
        if not given or (len(given) % width if repeated else len(given) != width):
            more = ", or several times as many" if repeated else ""
            return f"{' '.join([name, *given])}: takes {width} numbers{more}, and {len(given)} are given"
    return None


def _widths(options: Any) -> Iterator[tuple[str, tuple[int, bool]]]:
    """The options that are several numbers: how many, and whether there may be several such rows."""
    for name, hint in typing.get_type_hints(options).items():
        for kind in (hint, *typing.get_args(hint)):
            row = typing.get_args(kind)
            repeated = len(row) == 2 and row[1] is Ellipsis
            numbers = typing.get_args(row[0]) if repeated else row
            if len(numbers) > 1 and set(numbers) <= {int, float} and typing.get_origin(kind) is tuple:
                yield f"--{name.replace('_', '-')}", (len(numbers), repeated)
                break


def _in_one_line(box: str) -> str:
    """What tyro says in a box, without the box, its title and where the help is to be found.

    Where the output is ASCII only, the title is a line like the others, and the first rule is below it.
    """
    parts: list[list[str]] = [[]]
    for line in box.splitlines():
        if re.match(r"[│ ]\s*(─{5}|-{5})", line):
            parts.append([])
        elif not re.match(r"[╭╰]", line):
            parts[-1].append(line.strip("│ "))
    if "│" not in box and len(parts) > 1:
        parts = parts[1:]
    mistake = ": ".join(line.rstrip(":.") for line in parts[0] if line).removesuffix(" (required)").rstrip(".")
    close = [line.split()[0].rstrip(",") for part in parts[1:] for line in part if line.startswith("--")]
    close = [option for option in close if option not in mistake]
    text = mistake[:1].lower() + mistake[1:]
    for theirs, ours in _NO_VALUE:
        text = re.sub(theirs, ours, text)
    return f"{text} (did you mean {close[0]}?)" if close else text or "these options make no sense"


@cache
def _registry() -> ConstructorRegistry:
    registry = ConstructorRegistry()
    registry.primitive_rule(_path)
    registry.primitive_rule(_optional)
    registry.struct_rule(_dataclass)
    return registry


def _path(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A path, but neither nothing, which pathlib takes for the current folder, nor ``-``."""
    if info.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        1, "PATH", _read_path, lambda value: isinstance(value, Path), lambda value: [str(value)]
    )


def _read_path(words: list[str]) -> Path:
    if words[0] in _NO_PATHS:
        raise ValueError(_NO_PATHS[words[0]])
    return Path(words[0])


def _optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | UnsupportedTypeAnnotationError | None:
    """``T | None`` is read as T: None is what stands where an option isn't given."""
    kinds = typing.get_args(info.type)
    if info.type_origin not in (typing.Union, types.UnionType) or len(kinds) != 2 or type(None) not in kinds:
        return None
    (kind,) = (kind for kind in kinds if kind is not type(None))
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kind, info.markers))
    if isinstance(spec, UnsupportedTypeAnnotationError):
        return spec
    inner = spec
    return dataclasses.replace(
        spec,
        is_instance=lambda value: value is None or inner.is_instance(value),
        str_from_instance=lambda value: [] if value is None else inner.str_from_instance(value),
    )


def _dataclass(info: StructTypeInfo) -> StructConstructorSpec | None:
    if not dataclasses.is_dataclass(info.type):
        return None
    hints = typing.get_type_hints(info.type, include_extras=True)
    words = _words(info.type)
    fields = []
    for field in dataclasses.fields(info.type):
        default = _default(field, info.default)
        kind = hints[field.name]
        if default is None or default == ():
            kind = Annotated[kind, tyro.conf.arg(help_behavior_hint="")]
        fields.append(StructFieldSpec(field.name, kind, default, words.get(field.name)))
    return StructConstructorSpec(info.type, tuple(fields))


def _default(field: dataclasses.Field[Any], whole: Any) -> Any:
    if hasattr(whole, field.name):
        return getattr(whole, field.name)
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return tyro.MISSING


def _words(kind: type) -> dict[str, str]:
    """What stands below each field of a dataclass and of those it comes from, as one paragraph each."""
    words: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        except (OSError, TypeError):
            continue  # builtins, and what make_dataclass has made
        if not isinstance(body, ast.ClassDef):
            continue
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                value = text.value if isinstance(text, ast.Expr) else None
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    words[field.target.id] = " ".join(value.value.split())
    return words
