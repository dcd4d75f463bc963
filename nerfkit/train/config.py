"""The options of a training run, and the ``config.toml`` they are kept in. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nerfkit import limits, models
from nerfkit.errors import NerfkitError
from nerfkit.files import write_text
from nerfkit.limits import Count, HoldOut, Seed, Share, Threads

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

DEFAULT_STEPS = {"cuda": 30_000, "cpu": 3_000}
UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}


@dataclass
class TrainConfig:
    """What a run is made of. Equal configs on the same device and thread count give equal bytes."""

    scene: Path
    """Folder or file of a scene with poses (COLMAP, transforms.json, Blender, LLFF)."""
    images: Path | None = None
    """Folder of the photos, where the scene's own files don't say it."""
    model: str = "gaussians"
    """The scene model to fit."""
    steps: Count | None = None
    """Length of the run in optimisation steps (default: 30000 on a GPU, 3000 on a CPU)."""
    budget: str | None = None
    """Length of the run in time, such as 60s, 3min or 1h30min; evaluation and saving don't count."""
    downscale: Count | None = None
    """Shrink the photos by this factor (default: the longer side becomes at most 1600 pixels)."""
    hold_out_every: HoldOut = 8
    """Keep every n-th photo out of training, to measure quality on: 2 is every second; 0 trains on all."""
    seed: Seed = 0
    """Seed of everything random."""
    device: str = "auto"
    """Where to train: cpu, cuda, cuda:N, or auto, which is a GPU where torch sees one and nerfkit's CUDA library is
    built, else the CPU (see nerfkit doctor)."""
    backend: str = "auto"
    """The render core to use: auto, nerfkit, gsplat, tcnn or reference (see nerfkit doctor)."""
    threads: Threads | None = None
    """CPU threads (default: all cores). Results are equal only for an equal number of threads."""
    eval_every: Share = 0.25
    """Evaluate the held-out photos each time this fraction of the run is done, as many of them as take a quarter of the
    time trained since; 0 only at the end, where all are."""
    checkpoint_every: Share = 0.1
    """Save a checkpoint each time this fraction of the run is done, and at least every minute."""
    model_options: Any = None
    """The model's own options; None stands for its defaults."""

    def __post_init__(self) -> None:
        if self.model_options is None:
            self.model_options = models.config_class(self.model)()

    @property
    def budget_seconds(self) -> float | None:
        return None if self.budget is None else parse_duration(self.budget)

    def check(self) -> None:
        """Raises NerfkitError: values that no run can have."""
        if self.steps is not None and self.budget is not None:
            raise NerfkitError("--steps and --budget both set the length of the run; give one of them")
        limits.check(self, leave=("model_options",))
        self.model_options.check(self.model)
        if self.budget is not None:
            parse_duration(self.budget)

    def for_device(self, device: str) -> TrainConfig:
        """The same config with what the device (``cpu``, ``cuda`` or ``cuda:N``) decides on where it wasn't given."""
        steps = self.steps
        if steps is None and self.budget is None:
            steps = DEFAULT_STEPS[device.partition(":")[0]]
        return dataclasses.replace(self, steps=steps, model_options=self.model_options.for_device(device))

    def for_scene(self, scene: Scene, device: str) -> TrainConfig:
        """The same config with what the scene decides on where it wasn't given."""
        return dataclasses.replace(self, model_options=self.model_options.for_scene(scene, device))

    def save(self, path: Path) -> None:
        write_text(path, to_toml(self))

    @classmethod
    def open(cls, path: Path) -> TrainConfig:
        """Reads ``config.toml``.

        Raises:
            NerfkitError: unreadable, not TOML, or with fields or values that this version doesn't know.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise NerfkitError(f"{path}: cannot be read ({error}); put the file back or train again") from None
        options = {key: _tuples(value) for key, value in values.pop("model_options", {}).items()}
        try:
            model_options = models.config_class(values.get("model", cls.model)).kept(options)
            images = values.get("images")
            values.update(scene=Path(values["scene"]), images=None if images is None else Path(images))
            return cls(**values, model_options=model_options)
        except (KeyError, TypeError) as error:
            raise NerfkitError(f"{path}: written by another version of nerfkit ({error}); train again") from None


def differing(given: Any, defaults: Any, leave: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a dataclass that are not as in ``defaults``."""
    values = {field.name: getattr(given, field.name) for field in dataclasses.fields(given) if field.name not in leave}
    return {name: value for name, value in values.items() if value != getattr(defaults, name)}


def _tuples(value: Any) -> Any:
    """TOML's arrays as the tuples that options are."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def parse_duration(text: str) -> float:
    """Seconds of ``60s``, ``3min``, ``1.5h`` or ``1h30min``.

    Raises:
        NerfkitError: anything else.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(sec|min|s|m|h)\s*", text)
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if re.fullmatch(r"\s*(\d+(\.\d+)?\s*(sec|min|s|m|h)\s*)+", text) is None or seconds <= 0:
        raise NerfkitError(f"--budget {text!r}: not a duration; write it like 60s, 3min or 1h30min")
    return seconds


def to_toml(config: TrainConfig) -> str:
    """A dataclass as TOML: plain values, then the model's options as a table. Fields that are None are left out."""
    values = dataclasses.asdict(config)
    options = values.pop("model_options")
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    lines += ["", "[model_options]"]
    lines += [f"{key} = {_toml(value)}" for key, value in options.items() if value is not None]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(value)  # never an integer; inf and nan are TOML's words too
    # A JSON string is a TOML string once the one character that only TOML escapes is.
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False).replace("\x7f", "\\u007F")
