from __future__ import annotations

import os
import re
from collections.abc import Generator
from typing import Any

import pytest

from core.cores import make


@pytest.fixture
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """nerfkit's own core, or one of those that :func:`core.cores.cores` names."""
    return make(getattr(request, "param", "nerfkit"), monkeypatch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Operators that the library doesn't have are skipped, where one was named by hand that need not have all."""
    try:
        return (yield)
    except Exception as error:
        missing = _missing_operator(error)
        if missing and os.environ.get("NERFKIT_LIBRARY"):
            pytest.skip(f"the library has no {missing}")
        raise


def _missing_operator(error: BaseException | None) -> str | None:
    """Also behind the error of a test that expected another one."""
    while error is not None:
        if isinstance(error, NotImplementedError) and (match := re.search(r"has no (nk_\w+)", str(error))):
            return match.group(1)
        error = error.__cause__ or error.__context__
    return None
