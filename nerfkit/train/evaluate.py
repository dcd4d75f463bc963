"""Held-out views drawn and measured: ``eval/`` and ``metrics.json``."""

from __future__ import annotations

import json
import math
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import torch
from torch import Tensor

from nerfkit.contracts import SceneModel, View
from nerfkit.data.scene import Scene
from nerfkit.files import atomic, write_text
from nerfkit.progress import ProgressSink, quiet
from nerfkit.train import checkpoint
from nerfkit.train.metrics import color_matched, lpips, psnr, ssim
from nerfkit.train.run import Run


def evaluate(
    model: SceneModel,
    views: Sequence[View],
    out: Path | None = None,
    progress: ProgressSink = quiet,
    *,
    perceptual: bool = False,
) -> dict[str, Any]:
    """Renders views and compares them with their photos.

    Photos with alpha are laid over ``model.background`` (black for a model without one) first. The render is
    rounded to 8 bits before it is measured: what is measured is what the PNG shows.

    Args:
        out: folder for ``<name>.png`` (the render) and ``<name>.truth.png`` of every view; the latter is transparent
            where a pixel isn't judged.
        perceptual: measure LPIPS too, where its extra is installed.

    Returns:
        ``views`` and the means of ``psnr`` (dB), ``color_matched_psnr`` (dB, see :class:`Scores`), ``ssim`` and
        ``lpips``; None where there is nothing to average.
    """
    measured, distances = [], []
    for done, view in enumerate(views, 1):
        one = measure(model, view, progress)
        measured.append(one.scores)  # the pictures of all views would fill the memory
        distances.append(lpips(one.render, one.truth) if perceptual else None)
        if out is not None:
            _write_png(out / f"{view.name}.png", one.render)
            _write_png(out / f"{view.name}.truth.png", one.truth, one.shown)
        progress("held-out views", done, len(views))
    return mean_scores(measured) | {"lpips": _mean(distances)}


@dataclass(frozen=True)
class Scores:
    """How near a view as drawn is to its photo."""

    psnr: float  # dB, 100 at most; NaN: no pixel is judged
    ssim: float | None  # None: smaller than SSIM's window
    color_matched_psnr: float  # dB, once the render has the photo's exposure and white balance


@dataclass(frozen=True, eq=False)
class Measured:
    """A view as drawn, as photographed (both [H, W, 3] in [0, 1] on the CPU), and how near these are."""

    render: Tensor
    truth: Tensor
    shown: Tensor | None  # [H, W] bool, the pixels that are judged; None: all
    scores: Scores


def ignores_masks(model: SceneModel) -> bool:
    """Whether the model knows nothing of what masks hide, since something stands before the scene there."""
    return bool(getattr(model, "ignores_masks", False))


def measure(model: SceneModel, view: View, progress: ProgressSink = quiet) -> Measured:
    """Draws a view and compares it with its photo, as :func:`evaluate` says; ``progress`` is told of the drawing.

    What a mask hides of a photo is black in both, and isn't judged, where the model ignores masks.
    """
    render, truth, shown = draw(model, view, progress), ground_truth(model, view), judged(model, view)
    if shown is not None:
        render, truth = render * shown[..., None], truth * shown[..., None]
    similar = ssim(render, truth, shown) if min(truth.shape[:2]) >= 11 else None
    plain, matched = psnr(render, truth, shown), psnr(color_matched(render, truth, shown), truth, shown)
    scores = Scores(min(plain, 100.0), similar, min(matched, 100.0))  # JSON has no infinity
    return Measured(render, truth, shown, scores)


def judged(model: SceneModel, view: View) -> Tensor | None:
    """The pixels [H, W] bool of a view that a model can be judged by; None: all."""
    mask = view.mask() if ignores_masks(model) else None
    return None if mask is None else mask == 255


def mean_scores(measured: Sequence[Scores]) -> dict[str, Any]:
    """``views`` and the means of ``psnr``, ``color_matched_psnr`` (dB) and ``ssim``; None where there is nothing to
    average."""
    return {
        "views": len(measured),
        "psnr": _mean([one.psnr for one in measured]),
        "color_matched_psnr": _mean([one.color_matched_psnr for one in measured]),
        "ssim": _mean([one.ssim for one in measured]),
    }


def draw(model: SceneModel, view: View, progress: ProgressSink = quiet) -> Tensor:
    """The model's image of a view, in steps of 1/255: [H, W, 3] on the CPU."""
    with torch.no_grad():
        rgb = model.render(view.camera, frozenset({"rgb"}), progress).rgb
    assert rgb is not None, "render() was asked for rgb"
    return (rgb.clamp(0, 1) * 255).round().cpu() / 255


def ground_truth(model: SceneModel, view: View) -> Tensor:
    """The photo of a view [H, W, 3] in [0, 1] over the model's background; as it is for a model that ignores masks."""
    photo, mask = view.image().float() / 255, view.mask()
    if mask is None or ignores_masks(model):
        return photo
    alpha = mask[..., None].float() / 255
    background = getattr(model, "background", None)
    behind = torch.zeros(3) if background is None else background.detach().cpu().float()
    return photo * alpha + behind * (1 - alpha)


def write_metrics(
    run: Run, model: SceneModel, scene: Scene, backend: str, device: str, progress: ProgressSink = quiet,
    *, finished: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Evaluates the scene's held-out views into ``eval/`` and writes ``metrics.json``, which it returns.

    Args:
        finished: whether the training has come to its end; else that is as it was, if nothing was trained since.
    """
    finished = finished or run.finished
    before = json.loads(run.metrics.read_text()) if run.metrics.is_file() else {}
    last: dict[str, Any] = max(run.log_lines(), key=lambda line: line["step"], default={})
    files = checkpoint.list_newest_first(run.checkpoints)
    statistics = {key: value for key, value in model.statistics().items() if key != "psnr"}
    held_out = evaluate(model, [scene.views[i] for i in scene.held_out], run.eval, progress, perceptual=True)
    metrics = {
        "model": run.config.model,
        "backend": backend,
        "device": device,
        "steps": checkpoint.step_of(files[0]) if files else 0,
        "seconds": last.get("seconds", before.get("seconds", 0.0)),
        "finished": finished,
        "parameters": parameter_count(model),
        "file_bytes": files[0].stat().st_size if files else 0,
        "peak_memory_bytes": max(peak_memory_bytes(device), before.get("peak_memory_bytes", 0)),
        "eval": held_out,
        **statistics,
    }
    write_text(run.metrics, json.dumps(metrics, indent=1) + "\n")
    return metrics


def parameter_count(model: SceneModel) -> int:
    """How many numbers are learned."""
    groups = [group for optimizer in model.optimizers.values() for group in optimizer.param_groups]
    return sum(parameter.numel() for group in groups for parameter in group["params"])


def peak_memory_bytes(device: str) -> int:
    """The most memory this process has held so far: of the GPU on a GPU, else of the machine."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _mean(values: Sequence[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return fmean(finite) if finite else None


def _write_png(path: Path, image: Tensor, shown: Tensor | None = None) -> None:
    if shown is not None:
        image = torch.cat([image, shown[..., None].to(image.dtype)], 2)
    pixels = (image * 255).round().byte().numpy()
    order = cv2.COLOR_RGB2BGR if shown is None else cv2.COLOR_RGBA2BGRA
    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, order))  # Pillow takes ten times as long for 9 % fewer bytes
    with atomic(path) as partial:
        partial.write_bytes(data.tobytes())
