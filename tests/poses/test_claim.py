"""Whose an output folder is, before anything is written into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nerfkit.errors import NerfkitError
from nerfkit.poses.claim import claim


def test_a_folder_whose_name_is_not_utf8_is_told(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    odd.mkdir()
    for source, out in ((odd, tmp_path / "out"), (tmp_path, odd / "out")):
        with pytest.raises(NerfkitError, match=r"/caf\\udce9\S*: its path has a name that isn't UTF-8.*; rename"):
            claim(out, source)
        assert not out.exists()
    claim(tmp_path / "out", tmp_path)
    assert (tmp_path / "out" / ".cache" / "nerfkit-poses.json").is_file()
