"""A run is a folder: what was asked for, what was learned, and what came of it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nerfkit import models
from nerfkit.errors import NerfkitError
from nerfkit.files import check_place, write_text
from nerfkit.train.config import TrainConfig, differing

if TYPE_CHECKING:
    from nerfkit.contracts import SceneModel
    from nerfkit.data.scene import Scene

CHANGEABLE = frozenset({"steps", "budget", "device", "backend", "threads", "eval_every", "checkpoint_every"})
POSES = "poses"  # made from plain photos before the run exists, and kept by --overwrite
PARTS = ("config.toml", "scene.json", "points.safetensors", "checkpoints", "log.jsonl", "metrics.json", "eval",
         "renders", "exports", "report.html", ".mesh")  # fmt: skip


@dataclass(frozen=True)
class Run:
    """Paths and contents of a run's folder."""

    path: Path
    config: TrainConfig

    @classmethod
    def create(cls, path: Path, config: TrainConfig, *, overwrite: bool = False) -> Run:
        """Makes the folder with its ``config.toml``; ``overwrite`` replaces a run that is there.

        Raises:
            NerfkitError: see :meth:`check_free`; or the folder can't be written.
        """
        cls.check_free(path, overwrite=overwrite)
        _remove(path / name for name in PARTS)
        config = replace(config, scene=config.scene.absolute())  # whoever opens the run may be elsewhere
        config.save(path / "config.toml")
        return cls(path, config)

    @staticmethod
    def check_free(path: Path, *, overwrite: bool = False) -> None:
        """Raises NerfkitError: the path holds a run (and not ``overwrite``), or something that is no run."""
        if path.exists() and not path.is_dir():
            raise NerfkitError(f"{path}: is a file, not a folder; choose another --out")
        check_place(path / "config.toml", path)
        names = {entry.name for entry in path.iterdir()} if path.exists() else set()
        if "config.toml" in names and not overwrite:
            raise NerfkitError(
                f"{path}: already holds a run; go on with it (--resume), replace it (--overwrite) "
                "or choose another --out"
            )
        if "config.toml" not in names and names - {POSES}:
            raise NerfkitError(
                f"{path}: exists and is not a run (it holds {min(names - {POSES})}); choose another --out"
            )

    @property
    def origin(self) -> Path:
        """The scene that it was trained on; poses that were made within the run have moved with it."""
        own = self.path / POSES
        return own if self.config.scene.name == POSES and own.is_dir() else self.config.scene

    @property
    def scene_name(self) -> str:
        """That of the scene's folder; for poses made within the run, of runs/SCENE/MODEL or else of the run."""
        scene, folder = self.origin.resolve(), self.path.resolve()
        if scene.is_relative_to(folder):
            scene = folder.parent if folder.name == self.config.model else folder
        generic = scene.suffix == ".json" or scene.name in ("images", "photos", "input")
        return (scene.parent if generic else scene).name or str(scene)

    @property
    def title(self) -> str:
        """What people call the run: by its folder, unless that has the model's name only, as by default."""
        name = self.path.resolve().name
        return self.scene_name if name == self.config.model else name

    @classmethod
    def open(cls, path: Path) -> Run:
        """Raises NerfkitError: no such folder, no run, or an unreadable ``config.toml``."""
        if not (path / "config.toml").is_file():
            cause = "is no run (it has no config.toml)" if path.exists() else "no such run"
            raise NerfkitError(f"{path}: {cause}; give the folder that nerfkit train --out made")
        return cls(path, TrainConfig.open(path / "config.toml"))

    def resumed(self, given: TrainConfig) -> Run:
        """This run with what a resumed run may change (its length, device, cadences) taken from ``given``.

        An option of ``given`` at its default counts as not given; ``scene`` and ``images`` are the run's.

        Raises:
            NerfkitError: ``given`` changes something that must stay.
        """
        asked = differing(given, TrainConfig(given.scene), leave=("scene", "images", "model_options"))
        kept = [name for name, value in asked.items() if name not in CHANGEABLE and value != getattr(self.config, name)]
        options = differing(given.model_options, models.config_class(given.model)())
        own = vars(self.config.model_options) if given.model == self.config.model else {}
        kept += [f"{given.model}.{name}" for name, value in options.items() if name not in own or value != own[name]]
        if kept:
            option = kept[0].replace("_", "-")
            raise NerfkitError(
                f"{self.path}: a resumed run keeps its --{option}; leave it out, or start anew with --overwrite"
            )
        if "steps" in asked or "budget" in asked:
            asked = {"steps": None, "budget": None} | asked
        return Run(self.path, replace(self.config, **asked))

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def eval(self) -> Path:
        return self.path / "eval"

    @property
    def renders(self) -> Path:
        return self.path / "renders"

    @property
    def mesh_stages(self) -> Path:
        """What the stages of ``nerfkit mesh`` have made."""
        return self.path / ".mesh"

    @property
    def exports(self) -> Path:
        return self.path / "exports"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def finished(self) -> bool:
        """Whether its training came to its end, and was measured there: not one that is only measured by the way."""
        from nerfkit.train import checkpoint

        try:
            metrics = json.loads(self.metrics.read_text())
            newest = checkpoint.list_newest_first(self.checkpoints)
            return bool(metrics.get("finished", True)) and checkpoint.step_of(newest[0]) == metrics["steps"]
        except (OSError, ValueError, KeyError, IndexError, AttributeError):
            return False

    def scene(self) -> Scene:
        """The scene as it was trained on; photos are needed only once an image is asked for."""
        from nerfkit.data.scene import Scene

        return Scene.open(self.path)

    def model(self, device: str = "cpu", backend: str = "auto", scene: Scene | None = None) -> SceneModel:
        """The model of the newest good checkpoint.

        Raises:
            NerfkitError: no checkpoint, none that can be read, or no such device or backend.
        """
        from nerfkit.train import checkpoint
        from nerfkit.train.device import choose

        saved = checkpoint.load_newest(self.checkpoints)
        place, core = choose(device, backend)
        model_class = models.model_class(self.config.model)
        model = model_class.create(self.config.model_options, scene or self.scene(), core, place)
        model.load_state_dict(saved.state["model"])
        return model

    def log_lines(self) -> Iterator[dict[str, Any]]:
        """The lines of ``log.jsonl``; what is none, as one that a killed run left half-written, is passed over."""
        if self.log.is_file():
            for line in self.log.read_text().splitlines():
                try:
                    found = json.loads(line)
                except ValueError:
                    continue
                if isinstance(found, dict) and isinstance(found.get("step"), int):
                    yield found

    def append_log(self, line: Mapping[str, Any]) -> None:
        """Adds a line to ``log.jsonl``. Raises NerfkitError: no space left."""
        try:
            with self.log.open("a") as file:
                file.write(json.dumps({key: _finite(value) for key, value in line.items()}) + "\n")
        except OSError as error:
            raise NerfkitError(
                f"{self.log}: cannot be written ({error.strerror}); free some space and go on with --resume"
            ) from None

    def cut_log(self, step: int) -> float:
        """Drops what was logged after ``step``, and gives the training seconds logged up to there."""
        lines = [line for line in self.log_lines() if line["step"] <= step]
        write_text(self.log, "".join(json.dumps(line) + "\n" for line in lines))
        return max((float(line["seconds"]) for line in lines), default=0.0)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value  # JSON has no NaN


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
