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
    matcher: str  # exhaustive, preview, sequential or retrieval
    seconds: dict[str, float]  # features, matching, mapping, total; of the run that computed them
    doubts: list[str] = field(default_factory=list)  # why the poses may be wrong, in words
    groups: list[list[str]] = field(default_factory=list)  # unregistered photos that fit only among themselves
    attempts: int = 1  # 2: with stronger settings, since too few photos fitted together or the poses looked wrong
    frame: dict[str, Any] = field(default_factory=dict)  # the world frame: where up and the scale come from
    warnings: list[dict[str, Any]] = field(default_factory=list)  # kind, text, photos (names)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, file: Path) -> PoseReport:
        data = json.loads(file.read_text())
        return cls(**{one.name: data[one.name] for one in fields(cls) if one.name in data})


def is_metric(file: Path) -> bool:
    """Whether the poses that a ``poses.json`` tells of are in metres. Where it doesn't say so, as for imported poses,
    isn't there or is another program's, they aren't known to be."""
    try:
        data = json.loads(file.read_text())
    except (OSError, ValueError):
        return False
    frame = data.get("frame") if isinstance(data, dict) else None
    return isinstance(frame, dict) and frame.get("scale") == "metric"
