"""What pose estimation found, as ``poses.json`` holds it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PoseReport:
    photos: int  # readable ones
    registered: int
    unregistered: list[str]  # names of the readable photos without a pose
    unreadable: list[str]  # names of the files that were left out
    points: int
    mean_reprojection_error_px: float  # at the photos' full size
    agreement: float  # share of the verified matches that agree with the poses; a right model has 0.9 or more
    cameras: int  # different intrinsics
    matcher: str
    seconds: dict[str, float]  # features, matching, mapping, total; of the run that computed them
    frame: dict[str, Any] = field(default_factory=dict)  # the world frame: where up and the scale come from
    warnings: list[dict[str, Any]] = field(default_factory=list)  # kind, text, photos (names)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, file: Path) -> PoseReport:
        data = json.loads(file.read_text())
        return cls(**{known.name: data[known.name] for known in fields(cls)})
