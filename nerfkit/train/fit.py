"""From a config to a finished run."""

from __future__ import annotations

import logging
import random
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from nerfkit import models
from nerfkit.contracts import RenderCore, SceneModel
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.files import remove_abandoned
from nerfkit.lock import alone
from nerfkit.progress import ProgressSink, quiet
from nerfkit.train import checkpoint
from nerfkit.train.clock import Clock
from nerfkit.train.config import TrainConfig
from nerfkit.train.device import choose
from nerfkit.train.evaluate import write_metrics
from nerfkit.train.monitor import TrainMonitor, silent
from nerfkit.train.observer import TrainObserver, absent
from nerfkit.train.run import Run
from nerfkit.train.trainer import Trainer, set_random_state

log = logging.getLogger("nerfkit")


def fit(
    path: Path,
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    monitor: TrainMonitor = silent,
    progress: ProgressSink = quiet,
    observer: TrainObserver = absent,
) -> Run:
    """Trains ``config`` in the run folder ``path``, then evaluates it and writes its report.

    An ``observer`` sees the model while it trains, and may end the training early.

    With ``resume``, goes on from the newest good checkpoint of the run that is there; see :meth:`Run.resumed`
    for what ``config`` may change then.

    Raises:
        NerfkitError: whatever is wrong with the scene, the folder, the device or the options.
        KeyboardInterrupt: Ctrl-C or SIGTERM; a checkpoint has been written.
    """
    config.check()
    with ExitStack() as stack:
        if resume:
            Run.open(path)  # or there is nothing to lock
            stack.enter_context(alone(path))
            run = Run.open(path).resumed(config)
            for folder in (path, run.eval):
                remove_abandoned(folder)
        else:
            Run.check_free(path, overwrite=overwrite)
            run = Run(path, config)
        device, core = choose(run.config.device, run.config.backend)
        run = Run(path, run.config.for_device(str(device)))
        if run.config.threads is not None:
            torch.set_num_threads(run.config.threads)
        scene = open_scene(run, resume)
        if not scene.train:
            raise NerfkitError(f"{run.config.scene}: no photo is left to train on; --hold-out-every 0 trains on all")
        scene.preload(progress)
        if not resume:
            stack.enter_context(alone(path))  # makes the folder: a scene that can't be read leaves none
            run = Run.create(path, run.config.for_scene(scene, str(device)), overwrite=overwrite)
            scene.save(path)
        _train(run, scene, core, device, resume, monitor, progress, observer)
    return run


def _train(
    run: Run, scene: Scene, core: RenderCore, device: torch.device, resume: bool, monitor: TrainMonitor,
    progress: ProgressSink, observer: TrainObserver,
) -> None:  # fmt: skip
    """Trains a run whose folder is there, from its newest checkpoint on if it is resumed, and measures it."""
    rng = seed_everything(run.config.seed)
    model = models.model_class(run.config.model).create(run.config.model_options, scene, core, device)
    clock = Clock(run.config.steps, run.config.budget_seconds)
    if resume:
        restore(run, model, clock, rng, device)
        check_length(run, clock)
        run.config.save(run.path / "config.toml")
    held_out = [scene.views[index] for index in scene.held_out]
    observer.begin(run, scene, model)
    Trainer(run, model, clock, rng, held_out, monitor, device, observer).train()
    write_metrics(run, model, scene, core.name, str(device), progress, finished=True)
    write_report(run)


def write_report(run: Run) -> None:
    from nerfkit.train import report  # its drawing libraries are not needed to train

    report.write(run)


def open_scene(run: Run, resume: bool) -> Scene:
    if resume and (run.path / "scene.json").is_file():
        return run.scene()
    config = run.config
    return Scene.load(
        config.scene, images=config.images, downscale=config.downscale, hold_out_every=config.hold_out_every
    )


def seed_everything(seed: int) -> torch.Generator:
    """Seeds the global generators of all devices, which models may use, and gives the one that draws their batches."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def restore(run: Run, model: SceneModel, clock: Clock, rng: torch.Generator, device: torch.device) -> None:
    """Brings model, clock and random numbers to where the newest good checkpoint has them."""
    if not checkpoint.list_newest_first(run.checkpoints):
        log.warning("%s: stopped before its first checkpoint; starting from the beginning", run.path)
        run.cut_log(-1)
        return
    saved = checkpoint.load_newest(run.checkpoints)
    model.load_state_dict(saved.state["model"])
    set_random_state(rng, saved.state["random"], device)
    clock.step, clock.earlier = saved.step, run.cut_log(saved.step)


def check_length(run: Run, clock: Clock) -> None:
    """Says that a run which is resumed is trained already, where it is.

    Raises:
        NerfkitError: it shall become shorter than it is.
    """
    if not clock.done:
        return
    steps, seconds = run.config.steps, run.config.budget_seconds
    has = f"{clock.step} steps, {clock.earlier:.0f} s"
    if (steps is not None and steps < clock.step) or (seconds is not None and seconds < 0.95 * clock.earlier):
        option = f"--steps {steps}" if steps is not None else f"--budget {run.config.budget}"
        raise NerfkitError(
            f"{run.path}: is trained for longer than {option} already ({has}); ask for more, or leave it out"
        )
    log.info(
        "%s: is trained already (%s), so it is only measured anew; a larger --steps or --budget trains on",
        run.path,
        has,
    )
