"""What pose estimation tells about its result: ``poses.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nerfkit.errors import NerfkitError


@dataclass
class PoseReport:
    """The contents of ``poses.json``. Seconds of a stage are those of the run that did it."""

    photos: int
    registered: int
    unregistered: list[str]  # names
    points: int
    mean_reprojection_error_px: float
    seconds: dict[str, float]  # features, matching, mapping, total
    cameras: int
    match_agreement: float  # share of verified matches that agree with the final geometry
    photo_folder: str
    options: dict[str, Any] = field(default_factory=dict)
    stages_run: list[str] = field(default_factory=list)  # in this call; the others came from the cache

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, folder: Path) -> PoseReport:
        """Raises NerfkitError: no readable ``poses.json`` in the folder."""
        path = folder / "poses.json"
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise NerfkitError(f"{path}: no readable pose report ({error}); run `nerfkit poses` again") from None
