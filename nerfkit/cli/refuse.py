"""Options that were given where they would do nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def refuse(options: Any, names: Sequence[str], why: str) -> None:
    """Raises NerfkitError: one of these options of a verb, all of whose options have a default, was given."""
    from nerfkit.errors import NerfkitError

    usual = type(options)()
    for name in names:
        given = getattr(options, name)
        if given != getattr(usual, name):
            word = ("no-" if given is False else "") + name.replace("_", "-")
            raise NerfkitError(f"--{word}: {why}; leave it out")
