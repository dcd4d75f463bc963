"""``report.html``: what a run came to, in one file that needs no network."""

from __future__ import annotations

from nerfkit.train.report.page import refresh, write

__all__ = ["refresh", "write"]
