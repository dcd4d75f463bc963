"""What was asked for, kept beside unfinished work, so that it is gone on with only where nothing has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfkit.contracts import Cameras
from nerfkit.files import write_text

_VERSION = 2  # of what is drawn and written for the same request


@dataclass(frozen=True)
class Request:
    """A number of frames, and a hash of all that decides what is on them."""

    key: str
    frames: int

    @classmethod
    def of(cls, cameras: Cameras, facts: Mapping[str, Any]) -> Request:
        """Args: facts: whatever else the pictures depend on; JSON."""
        digest = hashlib.blake2b(digest_size=16)
        for tensor in (cameras.world_from_cam, cameras.intrinsics, cameras.distortion):
            digest.update(b"-" if tensor is None else tensor.double().cpu().contiguous().numpy().tobytes())
        said = {"version": _VERSION, "size": [cameras.width, cameras.height], "model": cameras.model, **facts}
        digest.update(json.dumps(said, sort_keys=True).encode())
        return cls(digest.hexdigest(), len(cameras))

    def part(self, **facts: Any) -> Request:
        """The request for one of several outputs."""
        said = json.dumps(facts, sort_keys=True)
        return Request(hashlib.blake2b(f"{self.key} {said}".encode(), digest_size=16).hexdigest(), self.frames)

    def save(self, path: Path, output: Path) -> None:
        """Raises NerfkitError: it can't be written beside ``output``, which the error names."""
        write_text(path, json.dumps({"key": self.key, "frames": self.frames}) + "\n", named=output)

    @classmethod
    def load(cls, path: Path) -> Request | None:
        """None where there is none, or none that can be read."""
        try:
            data = json.loads(path.read_text())
            return cls(str(data["key"]), int(data["frames"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
