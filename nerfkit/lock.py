"""One command at a time where two would spoil each other's work."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nerfkit.errors import NerfkitError
from nerfkit.files import cause


@contextmanager
def alone(folder: Path, named: Path | None = None, remedy: str = "choose another --out") -> Iterator[None]:
    """Makes the folder, and keeps other commands out of it meanwhile.

    The lock is the system's (flock), on the folder itself: it leaves no file, ends with the process, however that ends,
    and is this machine's alone, so that nothing ever waits for a file server. File systems without locks go without.
    The folder itself must stay while it is locked; what is in it may go.

    Args:
        named: what errors are about, where the user knows nothing of ``folder``.
        remedy: what else than to wait helps.

    Raises:
        NerfkitError: another command is at work there, or the folder can't be made or read.
    """
    named = named or folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        why = cause(folder / "any file", error)
        raise NerfkitError(f"{named}: cannot be written ({why}); choose another output path") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NerfkitError(
                f"{named}: another nerfkit is at work there; wait until it has ended, or {remedy}"
            ) from None
        except OSError:
            pass
        yield
    finally:
        os.close(handle)
