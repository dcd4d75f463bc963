"""Processes of their own that needn't import torch again: forked from one that has, and has started no threads."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch._dynamo", "pytest", "imageio.v3", "nerfkit.train.fit"])


def run(function: Callable[..., Any], *arguments: object) -> tuple[int | None, Any]:
    """Calls a function of a module in such a process: its exit status (-9: killed), and what it gave or raised."""
    here, there = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_call, args=(there, function, arguments))
    process.start()
    there.close()
    try:
        given = here.recv()
    except EOFError:  # it died
        given = None
    process.join()
    return process.exitcode, given


def _call(there: Connection, function: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    try:
        there.send(function(*arguments))
    except Exception as error:
        there.send(repr(error))
        raise
