"""Damaged files of all formats: one clear line each, quickly, within a bound of memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_damaged_files_never_crash_hang_or_bloat() -> None:
    """360 of the 10,000 files that `make fuzz` tries."""
    script = Path(__file__).with_name("fuzz.py")
    done = subprocess.run([sys.executable, str(script), "360"], capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    result = json.loads(done.stdout)
    assert result["faults"] == [] and done.returncode == 0
    for suffix in (".ply", ".compressed.ply", ".splat", ".spz", ".ksplat", ".sog", ".glb", ".gltf", ".folder"):
        assert result["outcomes"].get(f"{suffix} refused", 0) > 5, suffix
    assert sum(count for what, count in result["outcomes"].items() if what.endswith(" read")) > 50


def with_fuzz(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code that has imported the module ``fuzz``, in a process of its own."""
    words = "import sys; sys.path.insert(0, sys.argv[1]); import fuzz\n" + code
    return subprocess.run([sys.executable, "-c", words, str(Path(__file__).parent)], capture_output=True, text=True)


def test_the_watch_on_memory_bites() -> None:
    """The limit is one that a file which is believed would break: else the test above could not fail."""
    code = (
        "fuzz.formats.read = lambda path: __import__('torch').zeros(100 << 20)\n"
        "import resource, pathlib\n"
        "used = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + fuzz.MEMORY, resource.RLIM_INFINITY))\n"
        "fuzz.try_one(pathlib.Path('x'))\n"
    )
    done = with_fuzz(code)
    assert done.returncode == 1 and "can't allocate memory" in done.stderr


def test_the_watch_on_time_bites() -> None:
    """A reader that takes an OSError for an unreadable file does not take the alarm for one."""
    code = (
        "import pathlib, signal, tempfile, time\n"
        "fuzz.ply.read_header = lambda path: time.sleep(30)\n"
        "signal.signal(signal.SIGALRM, fuzz.hang); signal.setitimer(signal.ITIMER_REAL, 0.1)\n"
        "with tempfile.NamedTemporaryFile(suffix='.ply') as file: fuzz.try_one(pathlib.Path(file.name))\n"
    )
    done = with_fuzz(code)
    assert done.returncode == 1 and "Hang: more than 5 s" in done.stderr
