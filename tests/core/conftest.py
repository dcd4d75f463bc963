from __future__ import annotations

from typing import Any

import pytest

from core.cores import make


@pytest.fixture
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """nerfkit's own core, or one of those that :func:`core.cores.cores` names."""
    return make(getattr(request, "param", "nerfkit"), monkeypatch)
