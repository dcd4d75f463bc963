"""A core that leaves to another what it doesn't do itself."""

from __future__ import annotations

from typing import Any

from nerfkit.contracts import RenderCore


class Delegating:
    """Has the operators that a subclass defines, and the others of ``rest``."""

    def __init__(self, rest: RenderCore):
        self.rest = rest

    def __getattr__(self, operator: str) -> Any:
        if operator == "rest":  # not set yet: a copy in the making
            raise AttributeError(operator)
        return getattr(self.rest, operator)
