"""Learned features: ALIKED (Zhao et al. 2023), matched by LightGlue (Lindenberger et al. 2023), both run by pycolmap.

Their networks are files that the user has: nothing is downloaded. pycolmap runs them by ONNX Runtime, where it was
built with it; PyPI's for Linux (pycolmap and pycolmap-cuda12 4.2.1) were not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfkit.errors import NerfkitError

EXTRACTOR, MATCHER = "aliked-n16rot.onnx", "aliked-lightglue.onnx"  # COLMAP's own names, of its release 3.13.0
_SMALLEST = 1 << 16  # bytes; what comes in place of a file that wasn't found is smaller
_IR_VERSION = b"\x08"  # how a serialised ONNX ModelProto begins: field 1, a varint


@dataclass(frozen=True)
class Networks:
    extractor: str  # path
    matcher: str
    digest: str  # of both files' bytes


def networks(folder: Path | None) -> Networks:
    """The networks in a folder.

    Raises:
        NerfkitError: no folder, a file that is missing or no ONNX model; this pycolmap can't run them.
    """
    if folder is None:
        raise NerfkitError(
            f"--features aliked: name the folder that holds {EXTRACTOR} and {MATCHER} with --feature-models"
        )
    if not folder.is_dir():
        raise NerfkitError(f"{folder}: no such folder; --feature-models is one that holds {EXTRACTOR} and {MATCHER}")
    missing = [name for name in (EXTRACTOR, MATCHER) if not (folder / name).is_file()]
    if missing:
        raise NerfkitError(
            f"{folder}: {' and '.join(missing)} missing; download from COLMAP's release 3.13.0, under the same name"
        )
    digest = hashlib.blake2b(digest_size=16)
    for name in (EXTRACTOR, MATCHER):
        data = (folder / name).read_bytes()
        if not data.startswith(_IR_VERSION) or len(data) < _SMALLEST:
            raise NerfkitError(f"{folder / name}: not an ONNX model ({len(data)} bytes); download it again")
        digest.update(data)
    _check_build()
    return Networks(str((folder / EXTRACTOR).resolve()), str((folder / MATCHER).resolve()), digest.hexdigest())


def use_extractor(extraction: Any, path: str, max_num_features: int) -> None:
    """Sets ``pycolmap.FeatureExtractionOptions`` to ALIKED."""
    import pycolmap

    extraction.type = pycolmap.FeatureExtractorType.ALIKED_N16ROT
    extraction.aliked.n16rot_model_path = path
    extraction.aliked.max_num_features = max_num_features


def use_matcher(matching: Any, path: str) -> None:
    """Sets ``pycolmap.FeatureMatchingOptions`` to LightGlue, which COLMAP has no guided matching for."""
    import pycolmap

    matching.type = pycolmap.FeatureMatcherType.ALIKED_LIGHTGLUE
    matching.aliked.lightglue.model_path = path
    matching.guided_matching = False


def _check_build() -> None:
    import pycolmap

    if not hasattr(pycolmap.FeatureExtractionOptions(), "aliked"):
        raise NerfkitError(
            f"--features aliked: pycolmap {pycolmap.__version__} was built without ONNX Runtime, as PyPI's are; "
            "build it from COLMAP's source with ONNX_ENABLED=ON, or use --features sift"
        )
