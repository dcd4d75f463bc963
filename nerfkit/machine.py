"""What this machine is like, and how a process of ours uses it."""

from __future__ import annotations

import ctypes
import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_MEMORY = Path("/proc/meminfo")
_GROUPS, _OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_USUAL_L2 = 512 << 10
_USUAL_MEMORY = 4 << 30
_UNITS = {"K": 1 << 10, "M": 1 << 20}


@functools.cache
def level_2_cache(caches: Path = _CACHES) -> int:
    """Bytes of a core's second-level cache; what is usual where the system doesn't tell."""
    try:
        for cache in sorted(caches.glob("index*")):
            if (cache / "level").read_text().strip() == "2":
                size = (cache / "size").read_text().strip()
                return int(size[:-1]) * _UNITS[size[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        pass
    return _USUAL_L2


def cores() -> int:
    """How many processor cores this process may use: of a machine's, those that its affinity mask leaves."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory(device: str = "cpu") -> int:
    """Bytes of memory that are free on a device; what is usual where the system doesn't tell.

    Of the CPU also what the system would give up of its caches of files, which in time take all that is free; and no
    more than a container or a job of a cluster is allowed.
    """
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    try:
        match = re.search(r"^MemAvailable: +(\d+) kB$", _MEMORY.read_text(), re.MULTILINE)
    except OSError:
        match = None
    return min([int(match[1]) << 10 if match else _unused_memory(), *_left_to_groups()])


def _unused_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError):
        return _USUAL_MEMORY


@dataclass(frozen=True)
class _Groups:
    """Where a version of Linux's control groups tells of memory."""

    own: str  # the pattern of a process's group
    folder: str
    limit: str
    used: str
    cached: str  # in memory.stat: files that can be given up, of the group and those in it


_VERSIONS = (
    _Groups(r"^0::/(.*)$", "", "memory.max", "memory.current", "inactive_file"),
    _Groups(
        r"^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:/(.*)$",
        "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file",
    ),
)  # fmt: skip


def _left_to_groups() -> Iterator[int]:
    """Bytes left to each control group that this process is in and that has a limit (admin-guide/cgroup-v2.rst and
    cgroup-v1/memory.rst of Linux)."""
    try:
        own = _OWN_GROUP.read_text()
    except OSError:
        own = ""
    for version in _VERSIONS:
        name = re.search(version.own, own, re.MULTILINE)
        group = _GROUPS / version.folder / (name[1] if name else "")
        for place in (group, *group.parents):
            try:
                limit = int((place / version.limit).read_text())  # "max", or a huge one, where there is none
                used = int((place / version.used).read_text())
                stat = (place / "memory.stat").read_text()
            except (OSError, ValueError):
                continue
            cached = re.search(rf"^{version.cached} (\d+)$", stat, re.MULTILINE)
            yield max(0, limit - used + (int(cached[1]) if cached else 0))


def share_the_cores() -> None:
    """Lets OpenMP's threads wait for each other only for microseconds before they sleep.

    libgomp's own choice is milliseconds. On an idle machine both are equally fast; beside one other busy process
    training is several times faster with the shorter wait, since a waiting thread then gives its core away. The
    library reads this when it is loaded, that is, before any verb imports torch.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")


def keep_freed_memory() -> None:
    """Lets the C library keep what is freed: a training step frees and asks for the same megabytes again and again.

    Left to itself glibc hands them back to the system, which then clears them anew, page by page.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD: the most that it takes
        mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
