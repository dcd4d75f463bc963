"""``nerfkit eval``: measures a run on its held-out photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from nerfkit.cli.console import Console


@dataclass
class Options:
    run: tyro.conf.Positional[Path]
    """Run folder, as `nerfkit train` leaves it."""
    device: str = "auto"
    """Where the model is rendered: auto, cpu, cuda or cuda:N (see nerfkit train)."""
    backend: str = "auto"
    """Render core: auto, nerfkit, gsplat, tcnn or reference (see nerfkit doctor)."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.cli.train import summary
    from nerfkit.train import report
    from nerfkit.train.device import choose
    from nerfkit.train.evaluate import write_metrics
    from nerfkit.train.run import Run

    measured = Run.open(options.run)
    device, core = choose(options.device, options.backend)
    scene = measured.scene()
    model = measured.model(options.device, options.backend, scene)
    metrics = write_metrics(measured, model, scene, core.name, str(device), console.progress)
    report.write(measured)
    console.say(summary(measured.path, metrics))
    return {"run": str(measured.path), **metrics}
