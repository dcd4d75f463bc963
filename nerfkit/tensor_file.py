"""Tensors in safetensors files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from nerfkit.files import atomic

_ERRNO = re.compile(r"os error (\d+)")  # the Rust writer hides it in its words


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes a file as :func:`nerfkit.files.atomic` does.

    safetensors itself writes to a file of a name of its own, which a killed process leaves behind unrecognizably, and
    which nobody but its owner may read. So it writes into a folder of ours, and the file gets the usual permissions.

    Raises:
        NerfkitError: no space left, or nothing can be written there.
    """
    with atomic(path) as partial:
        partial.touch()
        folder = partial.with_suffix("")
        folder.mkdir()
        try:
            written = folder / path.name
            save_file(dict(tensors), written, metadata=None if metadata is None else dict(metadata))
            written.chmod(partial.stat().st_mode & 0o777)
            os.replace(written, partial)
        except SafetensorError as error:
            if found := _ERRNO.search(str(error)):
                number = int(found[1])
                raise OSError(number, os.strerror(number)) from None
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
