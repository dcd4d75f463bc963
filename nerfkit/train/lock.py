"""One training at a time in a run's folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nerfkit.errors import NerfkitError


@contextmanager
def sole_trainer(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps other trainings out of it meanwhile.

    The lock is the system's (flock), on the folder itself: it leaves no file, and ends with the process, however that
    ends. File systems that have no locks go without.

    Raises:
        NerfkitError: another training is at work there, or the folder can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise NerfkitError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NerfkitError(
                f"{folder}: another training is at work there; wait until it has ended, or choose another --out"
            ) from None
        except OSError:
            pass
        yield
    finally:
        os.close(handle)
