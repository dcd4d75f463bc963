"""OpenEXR frames: linear light, alpha, depth and normals as floats, for compositing.

Source: OpenEXR's "Technical Introduction" and "Standard Attributes" (openexr.com): colours weighted with alpha, depth
in a channel Z, primaries as an attribute.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.contracts import Channel, Rendering
from nerfkit.errors import NerfkitError
from nerfkit.views.frames import straight

_BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)  # red, green, blue, white: x, y; sRGB has the same


def require(path: Path) -> Any:
    """OpenEXR's own Python package. Raises NerfkitError: it isn't installed."""
    try:
        import OpenEXR
    except ImportError:
        raise NerfkitError(f"{path}: EXR files need a package more; run pip install 'nerfkit[exr]'") from None
    return OpenEXR


def linear(srgb: Tensor) -> Tensor:
    """The light that sRGB-encoded values in [0, 1] stand for (IEC 61966-2-1)."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def planes_of(drawn: Rendering, channels: Set[Channel], transparent: bool) -> dict[str, NDArray[np.float32]]:
    """EXR's planes for channels of what was drawn: R G B A, Z (scene units, 0 where nothing is seen), N.X N.Y N.Z.

    With ``transparent`` rgb is weighted with alpha and stays so: encoded colours are made linear in between. Otherwise
    it is a whole picture, and A tells how much of it the model drew itself.
    """
    planes: dict[str, Tensor] = {}
    if "rgb" in channels:
        assert drawn.rgb is not None
        if transparent:
            flat = straight(drawn.rgb, drawn.alpha)
            rgb = linear(flat[..., :3]) * flat[..., 3:]
        else:
            rgb = linear(drawn.rgb)
        planes.update(zip("RGB", rgb.unbind(-1), strict=True))
    if "alpha" in channels:
        assert drawn.alpha is not None
        planes["A"] = drawn.alpha
    if "depth" in channels:
        assert drawn.depth is not None
        planes["Z"] = drawn.depth
    if "normal" in channels:
        assert drawn.normal is not None
        planes.update(zip(("N.X", "N.Y", "N.Z"), drawn.normal.unbind(-1), strict=True))
    return {name: plane.float().contiguous().cpu().numpy() for name, plane in planes.items()}


def write(path: Path, drawn: Rendering, channels: Set[Channel], transparent: bool, bits: int = 32) -> None:
    """Writes a frame; with 16 bits all but depth is stored as half floats."""
    exr = require(path)
    planes: dict[str, Any] = dict(planes_of(drawn, channels, transparent))
    if bits == 16:
        planes = {name: plane if name == "Z" else plane.astype(np.float16) for name, plane in planes.items()}
    header = {
        "compression": exr.ZIP_COMPRESSION,
        "type": exr.scanlineimage,
        "chromaticities": _BT709,
        "comments": "R G B: linear light, BT.709 primaries. Z: depth in scene units, 0 = nothing. N: scene frame.",
    }
    exr.File(header, planes).write(str(path))
