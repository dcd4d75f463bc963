"""Builds, tests and measures everything on a GPU within a time limit; `make gpu-all OUT=folder` runs it.

    python3 scripts/gpu_all.py --out folder [--minutes 9] [--scene photos/lego] [--skip memcheck]

First nerfkit is built, unless NERFKIT_LIBRARIES names a folder of libraries; then all tests run beside each other,
since none of them is timed; then comes the benchmark, with the GPU to itself. A stage that fails, or takes longer than
it may, ends only itself. `--out` gets the log of every stage, bench.json, and summary.txt with the benchmark's tables,
which is printed too. Needs nvcc, cmake, and a Python with torch, pytest, scipy, imageio, opencv-python-headless and
safetensors; pytest-xdist and pytest-timeout make it faster and surer.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ("operators", "runs", "memcheck", "racecheck")
LEFT_TO_SUM_UP = 5  # seconds
BUILD_SHARE, TESTS_SHARE = 0.35, 0.4  # of all the time, at most
TAIL = 12  # lines of the log of the build, and of what failed, that the summary shows


@dataclasses.dataclass
class Stage:
    """A command whose output goes into ``<name>.log``."""

    name: str
    command: Sequence[str]
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    output: Path | None = None  # where its standard output goes instead
    process: subprocess.Popen[bytes] | None = None
    seconds: float = 0.0
    result: str = "not run: no time was left"
    _started: float = 0.0

    @property
    def passed(self) -> bool:
        return self.result == "passed"

    def start(self, out: Path) -> None:
        self._started = time.monotonic()
        with (out / f"{self.name}.log").open("wb") as log, (self.output or Path(os.devnull)).open("wb") as output:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env={**os.environ, **self.env}, stdin=subprocess.DEVNULL,
                stdout=output if self.output else log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def has_ended(self, until: float) -> bool:
        """Whether it is over: of itself, or now that its time is, with all the processes it has started."""
        assert self.process is not None
        status = self.process.poll()
        if status is None and time.monotonic() < until:
            return False
        self.result = "took too long" if status is None else "passed" if status == 0 else f"failed with status {status}"
        self.seconds = time.monotonic() - self._started
        end(self.process)
        return True


def end(process: subprocess.Popen[bytes]) -> None:
    """A command and its children, which share a process group of their own. pytest, interrupted, tells what failed."""
    for number, patience in ((signal.SIGINT, 5), (signal.SIGTERM, 2), (signal.SIGKILL, 2)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        if number != signal.SIGKILL:
            time.sleep(0.5)  # for the children, which no one here can wait for


def main() -> int:
    options = parse()
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    finish = start + 60 * options.minutes - LEFT_TO_SUM_UP
    libraries = out / ".libraries"
    build = Stage("build", ["sh", "scripts/gpu_build.sh"], output=libraries)
    tests = [Stage(name, ["sh", "scripts/gpu_test.sh", name]) for name in TESTS if name not in options.skip]
    bench = Stage("bench", bench_command(options, out))
    stages = [build, *tests, *([] if "bench" in options.skip else [bench])]

    def report(note: str) -> None:
        print(f"[{time.monotonic() - start:5.0f} s] {note}", flush=True)

    together([build], out, start + BUILD_SHARE * 60 * options.minutes, report)
    if build.passed:
        env = {"NERFKIT_LIBRARIES": libraries.read_text().splitlines()[-1], "PYTHONPATH": python_path(),
               "PYTHONUNBUFFERED": "1"}  # fmt: skip
        for stage in stages[1:]:
            stage.env = env
        together(tests, out, min(finish, time.monotonic() + TESTS_SHARE * 60 * options.minutes), report)
        if bench in stages and time.monotonic() < finish - LEFT_TO_SUM_UP:
            together([bench], out, finish, report)
    else:
        for stage in stages[1:]:
            stage.result = "not run: nothing was built"
    libraries.unlink(missing_ok=True)
    text = summary(stages, out, time.monotonic() - start)
    (out / "summary.txt").write_text(text)
    print(text)
    return 0 if all(stage.passed for stage in stages) else 1


def together(stages: Sequence[Stage], out: Path, until: float, report: Callable[[str], None]) -> None:
    """Runs stages beside each other."""
    left = list(stages)
    for stage in left:
        report(f"{stage.name} begins")
        stage.start(out)
    while left:
        for stage in [stage for stage in left if stage.has_ended(until)]:
            left.remove(stage)
            report(f"{stage.name}: {stage.result}, {stage.seconds:.0f} s")
        time.sleep(0.1)


def summary(stages: Sequence[Stage], out: Path, seconds: float) -> str:
    lines = [f"{stage.name:10s} {stage.result:26s} {stage.seconds:5.0f} s" for stage in stages]
    lines.append(f"{'all':10s} {'':26s} {seconds:5.0f} s")
    for stage in stages:
        log = out / f"{stage.name}.log"
        if log.is_file() and stage.name != "bench":
            count = TAIL if stage.name == "build" or not stage.passed else 2
            tail = log.read_text(errors="replace").rstrip().splitlines()[-count:]
            lines += ["", f"--- the end of {log.name}", *(line[:400] for line in tail)]
    tables = out / "bench.md"
    if tables.is_file():
        lines += ["", "--- measured", tables.read_text()]
        tables.unlink()
    return "\n".join(lines) + "\n"


def bench_command(options: argparse.Namespace, out: Path) -> list[str]:
    command = [python(), "scripts/gpu_bench.py", "--out", str(out), "--seconds", f"{options.seconds:g}",
               "--own-seconds", f"{options.own_seconds:g}"]  # fmt: skip
    if options.scene is not None:
        command += ["--scene", str(options.scene.resolve())]
    return command + (["--device", "cpu", "--small", "--rounds", "2"] if options.small else [])


def python() -> str:
    """The environment of a checkout, else whatever this runs on."""
    own = ROOT / ".venv" / "bin" / "python"
    return str(own) if own.exists() else shutil.which("python3") or sys.executable


def python_path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9, help="that all of it may take")
    parser.add_argument("--scene", type=Path, help="a scene to train on, beside the bundled one")
    parser.add_argument("--seconds", type=float, default=15, help="see gpu_bench.py, like the next")
    parser.add_argument("--own-seconds", type=float, default=90)
    parser.add_argument("--small", action="store_true", help="measure on the CPU, to see that all of this works")
    parser.add_argument("--skip", action="append", default=[], choices=(*TESTS, "bench"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
