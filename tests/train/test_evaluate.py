"""Evaluation of many views."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nerfkit.contracts import Rendering
from nerfkit.train.evaluate import evaluate
from nerfkit.train.spot_check import spot_check


class Grey:
    """A model that is grey, and knows which of its pictures are still held."""

    def __init__(self) -> None:
        self.drawn: list[weakref.ref[torch.Tensor]] = []
        self.most = 0

    def render(self, camera: Any, channels: Any, progress: Any = None) -> Rendering:
        self.most = max(self.most, sum(one() is not None for one in self.drawn))
        rgb = torch.full((16, 20, 3), 0.5)
        return Rendering(rgb=rgb)


def views(count: int) -> list[Any]:
    def view(index: int) -> Any:
        photo = torch.full((16, 20, 3), 100 + index, dtype=torch.uint8)
        return SimpleNamespace(name=f"{index}", camera=None, image=lambda: photo, mask=lambda: None)

    return [view(index) for index in range(count)]


@pytest.mark.parametrize(
    "judge",
    [
        lambda model, views, folder: evaluate(model, views, folder),
        lambda model, views, folder: spot_check(model, views, 1e9, lambda: False),
    ],
)
def test_pictures_of_views_that_are_measured_are_let_go(
    judge: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nerfkit.train import evaluate as module

    model, real = Grey(), module.draw

    def draw(*arguments: Any) -> torch.Tensor:
        picture = real(*arguments)
        model.drawn.append(weakref.ref(picture))
        return picture

    monkeypatch.setattr(module, "draw", draw)
    scores = judge(model, views(9), tmp_path)
    assert scores["views"] == 9 and scores["psnr"] == pytest.approx(20.58, abs=0.01)
    assert len(model.drawn) == 9 and model.most <= 1
