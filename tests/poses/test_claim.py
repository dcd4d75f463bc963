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


@pytest.mark.parametrize("mark", ["", "{", "[]", "{}"])
def test_a_damaged_mark_is_written_anew(tmp_path: Path, mark: str) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    claim(out, tmp_path)
    file = out / ".cache" / "nerfkit-poses.json"
    whole = file.read_text()
    file.write_text(mark)
    claim(out, tmp_path)
    assert file.read_text() == whole
    with pytest.raises(NerfkitError, match="holds the poses of other photos"):
        claim(out, other)


def test_what_a_full_disk_left_is_taken_again(tmp_path: Path) -> None:
    (tmp_path / "out" / ".cache").mkdir(parents=True)
    claim(tmp_path / "out", tmp_path)
    (tmp_path / "others" / ".cache" / "x").mkdir(parents=True)
    with pytest.raises(NerfkitError, match="exists and holds other files"):
        claim(tmp_path / "others", tmp_path)
