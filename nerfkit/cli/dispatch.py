"""Runs one verb: parses its options, shows its words, prints its result, and reports what went wrong."""

from __future__ import annotations

import errno
import importlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nerfkit import limits
from nerfkit.cli.console import Console
from nerfkit.cli.parse import parse
from nerfkit.errors import NerfkitError
from nerfkit.machine import keep_freed_memory, share_the_cores

_OWN_FLAGS = ("--json", "--quiet")
_GPU_IS_FULL = (
    "the GPU's memory is full; end what else runs on it (nvidia-smi shows it), shrink the photos (--downscale), lower "
    "--gaussians.cap, --ngp.batch or --nerf.batch, or use --device cpu"
)


def dispatch(verb: str, arguments: list[str]) -> int:
    """Runs a verb of ``nerfkit.cli`` and returns the exit status."""
    share_the_cores()
    keep_freed_memory()
    as_json, quiet = (flag in arguments for flag in _OWN_FLAGS)
    module = importlib.import_module(f"nerfkit.cli.{verb}")
    try:
        options = parse(module.Options, verb, module.__doc__ or "", [w for w in arguments if w not in _OWN_FLAGS])
    except SystemExit as stop:  # it has been said why
        return int(stop.code or 0)
    console = Console(quiet, as_json)
    logging.getLogger("nerfkit").addHandler(console.log_handler())
    logging.getLogger("nerfkit").setLevel(logging.INFO)
    try:
        with console, ended_by_sigterm():
            limits.check(options)
            result = module.run(options, console)
    except NerfkitError as error:
        console.error(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        console.error("interrupted")
        _end_helpers()
        return 130
    except BrokenPipeError:
        raise  # main knows
    except OSError as error:
        words = _told(error)
        if words is None:
            return _our_fault(console, verb, error)
        console.error(words)
        return 2
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which isn't imported here
            console.error(_GPU_IS_FULL)
            return 2
        return _our_fault(console, verb, error)
    if as_json:
        print(json.dumps(result, default=_plain))
    return 0


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends a verb as Ctrl-C does, so that nothing half-written and no server stays behind."""
    if threading.current_thread() is not threading.main_thread():  # Python hears signals only there
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _told(error: OSError) -> str | None:
    """What the system refuses the user, wherever it is met; None: what it has against us."""
    if error.errno == errno.ENAMETOOLONG:
        return f"{error.filename}: is too long for the name of a file; give a shorter one"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and error.filename is not None:
        return (
            f"{error.filename}: {error.strerror}; check the permissions of it and of the folders above it, or choose "
            "another path"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename or 'the output'}: no space left; free some space and run the command again"
    return None


def _our_fault(console: Console, verb: str, error: Exception) -> int:
    text = traceback.format_exc()
    if os.environ.get("NERFKIT_TRACEBACK"):
        sys.stderr.write(text)
    handle, name = tempfile.mkstemp(prefix=f"nerfkit-{verb}-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    console.error(
        f"nerfkit {verb} failed ({type(error).__name__}: {error}). This is a fault of nerfkit; details: {name}"
    )
    return 1


def _end_helpers() -> None:
    """A thread inside a library can keep an interrupted process alive; its children end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a result")
