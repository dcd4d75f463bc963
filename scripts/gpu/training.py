"""Whole trainings as `nerfkit train` does them: quality over time, and what comes of the trained models."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from gpu import kernels, operators
from gpu.context import ROOT, Context, Row, Rows
from nerfkit import models
from nerfkit.contracts import Cameras, SceneModel
from nerfkit.train.clock import Clock
from nerfkit.train.config import TrainConfig
from nerfkit.train.fit import fit
from nerfkit.train.monitor import Status
from nerfkit.train.run import Run
from nerfkit.train.trainer import Trainer

BUNDLED = ROOT / "scenes" / "still_life" / "truth"
GOALS = (20, 22, 25, 28, 30, 31, 32, 33, 34, 35)  # dB
EVALUATIONS = 10
# Of a training that only has to work.
SMALL_STEPS, SMALL_HOLD_OUT = 6, 40
SMALL_OPTIONS: dict[str, dict[str, Any]] = {
    "gaussians": {"cap": 2000},
    "ngp": {"batch": 8192, "grid_cells": 32, "samples": 32, "log2_size": 10},
    "nerf": {"batch": 8192, "grid_cells": 32, "samples": 32, "depth": 2, "width": 16},
}


def bundled(context: Context, model: str) -> Rows:
    """A training of the bundled scene."""
    yield from training(context, BUNDLED, model, context.seconds)


def own(context: Context, model: str) -> Rows:
    """A training of the scene that was given."""
    assert context.scene is not None
    yield from training(context, context.scene, model, context.own_seconds[model])


def training(context: Context, scene: Path, model: str, seconds: float) -> Rows:
    """When each quality was reached, in seconds of training: evaluating, saving and setting up are not counted."""
    start = time.perf_counter()
    run = trained(context, scene, model, seconds)
    wall = time.perf_counter() - start
    metrics, name = json.loads(run.metrics.read_text()), name_of(scene)
    curve = [(line["seconds"], line["step"], line["eval"]["psnr"]) for line in run.log_lines() if "eval" in line]
    curve.append((metrics["seconds"], metrics["steps"], metrics["eval"]["psnr"]))
    options = run.config.model_options
    chosen = {name: getattr(options, name) for name in options.chosen(context.device_name)}
    row: Row = {
        "scene": name, "model": model, "options": " ".join(f"{key}={value}" for key, value in chosen.items()),
        "PSNR": metrics["eval"]["psnr"], "SSIM": metrics["eval"]["ssim"], "s": metrics["seconds"],
        "steps": metrics["steps"], "steps/s": metrics["steps"] / max(metrics["seconds"], 1e-9),
        "parameters": metrics["parameters"], "peak GiB": metrics["peak_memory_bytes"] / 2**30,
        "wall s, all told": wall,
    }  # fmt: skip
    yield "Trainings", row
    reached = {f"{goal} dB": next((point[0] for point in curve if point[2] >= goal), None) for goal in GOALS}
    yield "Seconds of training to a PSNR on held-out photos", {"scene": name, "model": model, **reached}
    for seconds_, step, psnr in curve:
        yield "Curves", {"scene": name, "model": model, "s": seconds_, "step": step, "PSNR": psnr}


def name_of(scene: Path) -> str:
    return scene.parent.name if scene == BUNDLED else scene.name


def trained(context: Context, scene: Path, model: str, seconds: float) -> Run:
    """The run of a scene and a model, trained now unless it was before."""
    out = context.work / name_of(scene) / model
    if (out / "metrics.json").is_file():
        return Run.open(out)
    options = models.config_class(model)(**SMALL_OPTIONS[model] if context.small else {})
    length: dict[str, Any] = {"budget": f"{seconds:g}s"}
    if context.small:
        length = {"steps": SMALL_STEPS, "hold_out_every": SMALL_HOLD_OUT}
    config = TrainConfig(
        scene, model=model, device=context.device_name, downscale=context.sizes.downscale,
        eval_every=1 / EVALUATIONS if not context.small else 0.5, checkpoint_every=0.5, model_options=options, **length,
    )  # fmt: skip
    return fit(out, config, overwrite=True, monitor=Told(Run(out, config)))


class Told:
    """Says each measurement as soon as it is made: a training that takes too long leaves these at least."""

    def __init__(self, run: Run):
        self.run, self.count = run, 0

    def __call__(self, status: Status) -> None:
        found = [line for line in self.run.log_lines() if "eval" in line]
        for line in found[self.count :]:
            psnr, views = line["eval"]["psnr"], line["eval"]["views"]
            print(
                f"  {line['seconds']:.1f} s, step {line['step']}: {psnr:.2f} dB of {views} views",
                file=sys.stderr,
                flush=True,
            )
        self.count = len(found)


# --- trained models -----------------------------------------------------------------------------------------


def trained_scene(context: Context) -> Rows:
    """The rasterizers on a trained model, seen as a held-out photo saw it, in 1920x1080 pixels."""
    model, run = _model(context, "gaussians")
    view = run.scene().views[run.scene().held_out[0]].camera
    gaussians = model.gaussians()  # type: ignore[attr-defined]
    for leaf in operators.leaves(gaussians):
        leaf.requires_grad_()
    camera = seen_in(view, context.sizes.width, context.sizes.height)
    yield from operators.drawing(context, f"{len(gaussians):,} trained Gaussians", gaussians, camera)


def seen_in(view: Cameras, width: int, height: int) -> Cameras:
    """A view in another number of pixels: its height fills the picture's, and the sides follow from that."""
    zoom = height / view.height
    fx, fy, cx, cy = view.intrinsics.unbind(1)
    moved = torch.stack([fx * zoom, fy * zoom, cx * zoom + (width - view.width * zoom) / 2, cy * zoom], dim=1)
    return dataclasses.replace(view, intrinsics=moved, width=width, height=height)


def steps(context: Context, model_name: str) -> Rows:
    """The kernels of a step at four fifths of a training."""
    model, run = _model(context, model_name)
    clock = Clock(10**6, None, step=800_001)
    trainer = Trainer(run, model, clock, torch.Generator().manual_seed(0), device=context.device)
    for group in (group for optimizer in model.optimizers.values() for group in optimizer.param_groups):
        group["base"] = group["lr"] = 0.0
    for _ in run.scene().train if not context.small else ():
        trainer.step()  # photos are decoded when they are first looked at
    yield from kernels.profiled(context, f"a step of training {model_name}", trainer.step)


def _model(context: Context, name: str) -> tuple[SceneModel, Run]:
    run = trained(context, BUNDLED, name, context.seconds)
    return run.model(context.device_name), run
