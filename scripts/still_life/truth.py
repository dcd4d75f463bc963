"""What is known of the still life: cameras, depth of the held-out photos, meshes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from still_life.cameras import FOCAL_MM, FOCAL_PX, HEIGHT, SENSOR_MM, WIDTH, Photo
from still_life.shapes import Shape, joined

HOLD_OUT_EVERY = 8


def write(
    folder: Path, near: Mapping[str, list[Shape]], far: Mapping[str, list[Shape]], photos: Sequence[Photo]
) -> None:
    """Writes ``transforms.json``, ``mesh.ply``, ``room.ply`` and ``depth/*.png`` (16 bit, millimetres)."""
    from still_life.blender import DepthProbe

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "transforms.json").write_text(json.dumps(transforms(photos), indent=1) + "\n")
    near_shapes, far_shapes = ([s for shapes in part.values() for s in shapes] for part in (near, far))
    (folder / "mesh.ply").write_bytes(ply(near_shapes))
    (folder / "room.ply").write_bytes(ply(far_shapes))
    probe = DepthProbe(near_shapes + far_shapes)
    (folder / "depth").mkdir(exist_ok=True)
    for photo in photos[::HOLD_OUT_EVERY]:
        millimetres = np.round(probe.depth(photo.world_from_cam) * 1000).astype(np.uint16)
        Image.fromarray(millimetres).save(folder / "depth" / photo.name.replace(".jpg", ".png"), optimize=True)


def transforms(photos: Sequence[Photo]) -> dict[str, object]:
    """Cameras as nerfstudio writes them: OpenGL axes, camera to world, here in metres with +Z up."""
    return {
        "camera_model": "PINHOLE",
        "w": WIDTH,
        "h": HEIGHT,
        "fl_x": FOCAL_PX,
        "fl_y": FOCAL_PX,
        "cx": WIDTH / 2,
        "cy": HEIGHT / 2,
        "frames": [
            {"file_path": f"../photos/{p.name}", "transform_matrix": np.round(p.world_from_cam, 9).tolist()}
            for p in photos
        ],
    }


def ply(shapes: Sequence[Shape]) -> bytes:
    """Binary PLY with float32 vertices."""
    vertices, faces = joined(shapes)
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment nerfkit still life, metres, +Z up\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.empty(len(faces), dtype=[("count", "u1"), ("index", "<i4", 3)])
    rows["count"], rows["index"] = 3, faces
    return header.encode() + vertices.astype("<f4").tobytes() + rows.tobytes()


def exif() -> Image.Exif:
    """What a camera would write: maker, lens, and the size of its sensor."""
    data = Image.Exif()
    data[0x010F], data[0x0110] = "nerfkit", "still life"
    data[0x0112] = 1  # upright
    details = data.get_ifd(0x8769)
    details[0x920A] = FOCAL_MM
    details[0xA405] = round(FOCAL_MM)  # FocalLengthIn35mmFilm
    details[0xA20E] = details[0xA20F] = WIDTH / SENSOR_MM * 10  # focal plane resolution, pixels per ...
    details[0xA210] = 3  # ... centimetre
    return data
