"""Which reader reads a path."""

from __future__ import annotations

from pathlib import Path

from nerfkit.capture.photos import has_photos_or_films
from nerfkit.contracts import SceneReader
from nerfkit.data.blender import BlenderReader
from nerfkit.data.bundler import BundlerReader
from nerfkit.data.colmap import ColmapReader, model_folder
from nerfkit.data.llff import LlffReader
from nerfkit.data.metashape import MetashapeReader
from nerfkit.data.openmvg import OpenMvgReader
from nerfkit.data.opensfm import OpenSfmReader
from nerfkit.data.polycam import PolycamReader
from nerfkit.data.raw import RawScene
from nerfkit.data.realitycapture import RealityCaptureReader
from nerfkit.data.transforms import TransformsReader
from nerfkit.errors import NerfkitError


def readers(images: Path | None = None, observations: bool = False) -> list[SceneReader]:
    """All readers, the first that accepts a path wins. ``images`` names the photo folder.

    ``nerfkit poses`` writes both ``transforms.json`` and a COLMAP model; the former, with its own points, comes first.
    Captures of LLFF often hold the COLMAP model that they were made from, with distortion and points: it comes first.
    OpenMVG and OpenSfM tell their JSON files by what is in them, before ``transforms.json`` takes all others.
    """
    return [
        BlenderReader(images),
        OpenMvgReader(images),
        OpenSfmReader(images),
        TransformsReader(images),
        ColmapReader(images, observations),
        LlffReader(images),
        PolycamReader(images),
        MetashapeReader(images),
        RealityCaptureReader(images),
        BundlerReader(images),
    ]


def read(path: Path, images: Path | None = None, observations: bool = False) -> RawScene:
    """Reads a scene in any of the known formats; with ``observations``, what its photos show of its points too.

    Raises:
        NerfkitError: no such path, photos without poses, no known format, or wrong files.
    """
    if not path.exists():
        raise NerfkitError(f"{path}: no such file or folder; check the path")
    if images is not None and not images.is_dir():
        raise NerfkitError(f"{images}: no such folder of photos; check --images")
    for reader in readers(images, observations):
        if reader.accepts(path):
            raw: RawScene = reader.read(path)
            return raw
    model = model_folder(path, ("cameras", "images"))
    if model is not None:
        raise NerfkitError(f"{model}: a COLMAP model without points3D; copy it too, or put an empty points3D.txt there")
    if has_photos_or_films(path):
        raise NerfkitError(f"{path}: photos without camera poses; run `nerfkit poses {path}` first")
    raise NerfkitError(
        f"{path}: no scene found, nor photos to find poses of; expected a COLMAP model (sparse/0), transforms.json, "
        "transforms_train.json, poses_bounds.npy, or what OpenMVG, OpenSfM, Bundler, Metashape, RealityCapture or "
        "Polycam export"
    )
