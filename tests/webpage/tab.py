"""A page in headless Chromium, without a network, and what it shows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import torch
from torch import Tensor

from nerfkit.train import metrics

SETTLED = 3  # equal pictures in a row: splats are sorted beside the drawing, and arrive later
EVERY = 100  # ms between pictures


class Tab:
    """A page without a network. What it complains of and whatever it asks the network for are in ``faults``."""

    def __init__(self, browser: Any, width: int, height: int, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.page.on("requestfailed", lambda asked: self.faults.append(f"{asked.url}: {asked.failure}"))

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def open(self, page: Path) -> None:
        """Opens a page of nerfkit from its file, and waits for its splats."""
        self.page.goto(page.as_uri())
        self.page.wait_for_function("globalThis.nerfkitPage?.viewer.state.loaded || !fault.hidden")

    def hide(self, *selectors: str) -> None:
        self.page.add_style_tag(content=f"{','.join(selectors)} {{ display: none !important }}")

    def picture(self) -> Tensor:
        """What is in the window, [H, W, 3] from 0 to 1, once there is something and it doesn't change any more."""
        seen: list[bytes] = []
        for _ in range(100):
            seen.append(self.page.screenshot())
            if len(seen) >= SETTLED and len(set(seen[-SETTLED:])) == 1 and decoded(seen[-1]).std() > 0.02:
                break
            self.page.wait_for_timeout(EVERY)
        return decoded(seen[-1])


def decoded(png: bytes) -> Tensor:
    return torch.from_numpy(iio.imread(io.BytesIO(png), extension=".png")[..., :3].copy()).float() / 255


def psnr(a: Tensor, b: Tensor) -> float:
    """dB of pictures of one size; fails where the second is of a single colour."""
    assert a.shape == b.shape
    assert b.std() > 0.1
    value = metrics.psnr(a, b)
    print(f"PSNR {value:.1f} dB")
    return value
