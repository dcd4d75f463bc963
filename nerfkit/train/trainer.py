"""The one training loop, whatever the model."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nerfkit.contracts import SceneModel, View
from nerfkit.errors import NerfkitError
from nerfkit.train import checkpoint
from nerfkit.train.clock import Clock, Every
from nerfkit.train.interrupt import Interrupt
from nerfkit.train.monitor import Status, TrainMonitor, silent
from nerfkit.train.observer import TrainObserver, absent
from nerfkit.train.passes import Passes, parameters_of
from nerfkit.train.run import Run
from nerfkit.train.spot_check import allowance, spot_check

BAD_STEPS = 5  # in a row, before a run goes back to its last checkpoint
RECOVERIES = 3  # before it gives up
PAUSE = 0.02  # seconds between two questions to an observer that holds the run
_CPU = torch.device("cpu")

log = logging.getLogger("nerfkit")


@dataclass
class Trainer:
    """Trains ``model``, which is on ``device``, until ``clock`` is done. ``rng``, on the CPU, feeds its batches."""

    run: Run
    model: SceneModel
    clock: Clock
    rng: torch.Generator
    held_out: Sequence[View] = ()
    monitor: TrainMonitor = silent
    device: torch.device = _CPU
    observer: TrainObserver = absent
    bad_steps: int = field(default=0, init=False)  # in a row
    recoveries: int = field(default=0, init=False)
    _losses: Mapping[str, Tensor] = field(default_factory=dict, init=False)
    _logged: int = field(default=-1, init=False)  # the step of the last line
    _measured: float = field(default=0.0, init=False)  # seconds trained until the last measurement
    _speed: Speed = field(init=False)
    _passes: Passes = field(init=False)

    def __post_init__(self) -> None:
        self._passes = Passes(self.model, self.device)

    def train(self) -> None:
        """Runs the loop and ends with a checkpoint.

        Raises:
            NerfkitError: the loss stays non-finite, or a checkpoint can't be written.
            KeyboardInterrupt: Ctrl-C or SIGTERM, after the checkpoint.
        """
        config, clock = self.run.config, self.clock
        log_due, show_due = Every(0.01, 5).start(clock), Every(0, 0.25).start(clock)
        evaluation_due = Every(config.eval_every).start(clock)
        checkpoint_due = Every(config.checkpoint_every, 60).start(clock)
        self._speed = Speed(clock.step, clock.seconds)
        self._measured = clock.seconds
        with clock.running(), Interrupt() as interrupt:
            while not clock.done and not interrupt.requested and self.heed(interrupt):
                self.step()
                if log_due.due(clock):
                    self.write_log()
                if show_due.due(clock):
                    self.monitor(self.status())
                if evaluation_due.due(clock) and not clock.done:
                    self.evaluate(interrupt)
                if checkpoint_due.due(clock) and not clock.done:
                    self.save()
            self.save()
            if self._losses:
                self.monitor(self.status())  # the last word: evaluation may take the screen now
        if interrupt.requested and not clock.done:
            raise KeyboardInterrupt

    def heed(self, interrupt: Interrupt) -> bool:
        """Lets the observer look, and waits while it holds the run; False: the run is to end here."""
        with self.clock.paused():
            wish = self.observer.between_steps()
            while wish == "pause" and not interrupt.requested:
                time.sleep(PAUSE)
                wish = self.observer.between_steps()
        return wish != "stop"

    def step(self) -> None:
        progress = self.clock.progress
        self._losses, loss = self._passes.run(progress, self.rng)
        if self.is_good(loss):
            self.model.after_backward(progress)
            for optimizer in self.model.optimizers.values():
                optimizer.step()
        for optimizer in self.model.optimizers.values():
            optimizer.zero_grad()
        if self.bad_steps == 0:
            self.model.after_step(progress)
        elif self.bad_steps >= BAD_STEPS:
            self.recover()
        self.clock.step += 1

    def is_good(self, loss: Tensor) -> bool:
        """Whether to take this step. On a GPU looks only at every 16th loss: each look waits for the GPU."""
        if loss.device.type == "cpu" or self.bad_steps or self.clock.step % 16 == 0:
            self.bad_steps = 0 if bool(torch.isfinite(loss)) else self.bad_steps + 1
        return self.bad_steps == 0

    def recover(self) -> None:
        """Goes back to the model of the last checkpoint; the random numbers go on, or the same would come again."""
        self.recoveries += 1
        diverged = f"{self.run.path}: training diverged at step {self.clock.step} (the loss is not a finite number)"
        if self.recoveries > RECOVERIES or not checkpoint.list_newest_first(self.run.checkpoints):
            raise NerfkitError(f"{diverged}; try lower learning rates, another --seed, or look for broken photos")
        saved = checkpoint.load_newest(self.run.checkpoints)
        self.model.load_state_dict(saved.state["model"])
        self.bad_steps = 0
        log.warning("%s; going on with the model of step %d", diverged, saved.step)

    def evaluate(self, interrupt: Interrupt) -> None:
        """Measures the model on the way, on as many of the held-out views as there is time for, and logs it."""
        if not self.held_out:
            return
        devices = [self.device] if self.device.type == "cuda" else []
        seconds = allowance(self.clock.seconds - self._measured)
        with self.clock.paused(), torch.random.fork_rng(devices):
            scores = spot_check(self.model, self.held_out, seconds, lambda: interrupt.requested)
        self._measured = self.clock.seconds
        if interrupt.requested:
            return
        self._tell_of_less(0 if scores is None else scores["views"], seconds)
        if scores is not None:
            line = {"step": self.clock.step, "progress": self.clock.progress, "seconds": self.clock.seconds}
            self.run.append_log(line | {"eval": scores})

    def _tell_of_less(self, views: int, seconds: float) -> None:
        """Says it where a measurement has had too little time for all the views."""
        if views == len(self.held_out):
            return
        found = f"{views} of {len(self.held_out)} held-out photos are measured" if views else "no photo is measured"
        log.info("step %d: %s on the way, in %.0f s, as pictures take long yet; the end's figures are of all",
                 self.clock.step, found, seconds)  # fmt: skip

    def save(self) -> None:
        """A checkpoint, and a log line from which a resumed run takes its seconds. Never saves a broken model."""
        if not all(bool(torch.isfinite(parameter).all()) for parameter in parameters_of(self.model)):
            self.recover()
        with self.clock.paused():
            if self._losses and self._logged != self.clock.step:
                self.write_log()
            state = {"model": self.model.state_dict(), "random": random_state(self.rng, self.device)}
            checkpoint.save(self.run.checkpoints, checkpoint.Checkpoint(self.run.config.model, self.clock.step, state))

    def write_log(self) -> None:
        self.run.append_log(self.status().line())
        self._logged = self.clock.step

    def status(self) -> Status:
        step, seconds = self.clock.step, self.clock.seconds
        speed = self._speed.at(step, seconds)
        losses = {name: float(value) for name, value in self._losses.items()}
        return Status(step, self.clock.progress, seconds, self.clock.seconds_left(speed), speed,
                      math.fsum(losses.values()), losses, self.model.statistics())  # fmt: skip


@dataclass
class Speed:
    """Steps per second, over windows of about a second."""

    step: int
    seconds: float
    value: float = 0.0

    def at(self, step: int, seconds: float) -> float:
        if seconds > self.seconds and (seconds - self.seconds > 1 or self.value == 0):
            self.value = (step - self.step) / (seconds - self.seconds)
            self.step, self.seconds = step, seconds
        return self.value


def random_state(rng: torch.Generator, device: torch.device = _CPU) -> dict[str, Tensor]:
    """The state of everything random: the trainer's generator, and torch's own, which models may use."""
    state = {"batches": rng.get_state(), "torch": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(rng: torch.Generator, state: Mapping[str, Tensor], device: torch.device = _CPU) -> None:
    """Undoes :func:`random_state`. On another kind of device than before, that device's own numbers are other ones."""
    rng.set_state(state["batches"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
