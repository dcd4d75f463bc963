"""What this machine is like."""

from __future__ import annotations

import functools
from pathlib import Path

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_USUAL_L2 = 512 << 10
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
