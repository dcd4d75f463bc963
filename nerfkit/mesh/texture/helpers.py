"""Processes that unwrap: as many as there are cores, and gone as soon as whoever needs them is interrupted."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import nerfkit
from nerfkit.errors import NerfkitError
from nerfkit.mesh.texture import atlas


class Helpers:
    """Processes for the tasks of :mod:`nerfkit.mesh.texture.atlas`; they end with the ``with`` block.

    Args:
        count: of processes at most; they begin when they are needed.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._processes: list[subprocess.Popen[bytes]] = []
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()

    def __enter__(self) -> Helpers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    def ask(self, task: str, jobs: Sequence[tuple[Any, ...]], done: Callable[[], None]) -> list[Any]:
        """The results of one task on the arguments of each job, in their order; ``done`` hears of each that is ready.

        Whatever ends this call early, such as Ctrl-C, ends the processes.

        Raises:
            NerfkitError: a process was ended, as the system does where memory runs out.
            RuntimeError: the task failed.
        """
        while len(self._processes) < min(self._count, len(jobs)):
            self._processes.append(_start())
            self._idle.put(self._processes[-1])
        with ThreadPoolExecutor(len(self._processes)) as threads:
            try:
                futures = [threads.submit(self._one, task, job) for job in jobs]
                for future in as_completed(futures):
                    future.result()
                    done()
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                for process in self._processes:
                    process.kill()  # the threads wait for their answers
                raise
        return [future.result() for future in futures]

    def _one(self, task: str, job: tuple[Any, ...]) -> Any:
        process = self._idle.get()
        try:
            return _ask(process, task, job)
        finally:
            self._idle.put(process)


def _start() -> subprocess.Popen[bytes]:
    root = str(Path(nerfkit.__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", atlas.__name__],  # -P: or a numpy.py where the user is would be taken for NumPy
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # Ctrl-C at the terminal is for the one that ends them
    )  # fmt: skip


def _ask(process: subprocess.Popen[bytes], task: str, job: tuple[Any, ...]) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        pickle.dump((task, job), process.stdin, pickle.HIGHEST_PROTOCOL)
        process.stdin.flush()
        succeeded, result = pickle.load(process.stdout)
    except (BrokenPipeError, EOFError, pickle.UnpicklingError):
        code = process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
        raise NerfkitError(
            f"unwrapping: xatlas's process ended ({how}); if memory ran out, take fewer --faces or a smaller "
            "--texture-size"
        ) from None
    if not succeeded:
        raise RuntimeError(f"xatlas: {result}")
    return result
