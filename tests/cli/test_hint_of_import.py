"""What `nerfkit train` says of scenes whose poses nothing has compared with their photos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nerfkit.cli.console import Console
from nerfkit.cli.train import say_of_import


@pytest.mark.parametrize(("random", "alpha", "said"), [(True, False, True), (False, False, False), (True, True, False)])
def test_a_scene_without_points_is_sent_to_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], random: bool, alpha: bool, said: bool
) -> None:
    """But for pictures with transparent pixels, which are renders as a rule, with exact poses."""
    (tmp_path / "scene.json").write_text(json.dumps({"points_are_random": random, "has_alpha": alpha}))
    say_of_import(tmp_path, Path("phone/transforms.json"), Console())
    words = capsys.readouterr().err
    assert ("nerfkit poses --import phone/transforms.json finds points and adjusts poses" in words) == said
