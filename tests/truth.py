"""One known scene, written in every format by what the format's documentation says.

Cameras are described by what they physically are: where they stand, and which way the right, the bottom and the depth
of their photo point. Pixels come from dot products with these. Nothing here uses nerfkit's cameras, readers or
writers.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

COUNT, WIDTH, HEIGHT, FOCAL = 8, 160, 120, 140.0
CENTER = np.array([84.0, 57.0])  # of the pixels' grid, whose first pixel has its centre at (0.5, 0.5)
MIDDLE = np.array([WIDTH / 2, HEIGHT / 2])
NAMES = [f"shot_{index}.png" for index in range(COUNT)]


def cameras() -> tuple[Array, Array, Array, Array]:
    """Eyes, right, down and forward [8, 3] of a rolled, uneven ring."""
    rng = np.random.default_rng(7)
    angle = np.arange(COUNT) * 2 * np.pi / COUNT + rng.uniform(-0.2, 0.2, COUNT)
    target = np.array([1.0, 2.0, 3.0])
    eye = target + np.stack([5 * np.cos(angle), 5 * np.sin(angle), 1.5 + rng.uniform(-1, 1, COUNT)], -1)
    forward = (target - eye) / np.linalg.norm(target - eye, axis=1, keepdims=True)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    down = np.cross(forward, right)
    roll = rng.uniform(-0.5, 0.5, (COUNT, 1))
    return eye, np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right, forward


def points() -> tuple[Array, NDArray[np.uint8]]:
    rng = np.random.default_rng(8)
    return rng.uniform(-1, 1, (60, 3)) + np.array([1, 2, 3]), rng.integers(1, 255, (60, 3)).astype(np.uint8)


def plane(index: int) -> Array:
    """All points in a camera's normalised plane [60, 2]: to the right and down over depth."""
    eye, right, down, forward = (part[index] for part in cameras())
    offset = points()[0] - eye
    return np.stack([offset @ right, offset @ down], -1) / (offset @ forward)[:, None]


def radial(xy: Array, *k: float) -> Array:
    r2 = (xy**2).sum(1, keepdims=True)
    return xy * (1 + sum(value * r2 ** (power + 1) for power, value in enumerate(k)))


def tangential(xy: Array, both: float, x_first: float) -> Array:
    """``both`` goes with 2xy in x and r^2 + 2 y^2 in y; ``x_first`` the other way round (OpenCV's p1 and p2)."""
    x, y = xy.T
    r2 = x * x + y * y
    return np.stack([2 * both * x * y + x_first * (r2 + 2 * x * x), both * (r2 + 2 * y * y) + 2 * x_first * x * y], -1)


def theta(xy: Array, *k: float) -> Array:
    r = np.linalg.norm(xy, axis=1, keepdims=True)
    angle = np.arctan(r)
    return xy / r * angle * (1 + sum(value * angle ** (2 * power + 2) for power, value in enumerate(k)))


def write_photos(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for name in NAMES:
        photo = cv2.resize(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8), (WIDTH, HEIGHT))
        assert cv2.imwrite(str(folder / name), photo)
    return folder


# Each writer gives the pixels [8, 60, 2] that its cameras see the points at.


def openmvg(folder: Path, model: str = "disto_k3") -> Array:
    """x_cam = R (X - C), rows right, down, forward; pixels from the first pixel's centre."""
    write_photos(folder / "images")
    eye, right, down, forward = cameras()
    coefficients = {
        "pinhole": [], "disto_k1": [-0.05], "disto_k3": [-0.05, 0.02, 0.0],
        "disto_t2": [-0.05, 0.02, 0.0, 0.002, -0.003], "fisheye": [0.02, -0.01, 0.003, -0.001],
    }[model]  # fmt: skip
    seen = []
    for index in range(COUNT):
        xy = plane(index)
        if model == "fisheye":
            xy = theta(xy, *coefficients)
        else:
            xy = radial(xy, *coefficients[:3]) + (tangential(xy, 0.002, -0.003) if model == "disto_t2" else 0)
        seen.append(FOCAL * xy + CENTER)
    pixels = np.array(seen)
    intrinsics = {"width": WIDTH, "height": HEIGHT, "focal_length": FOCAL, "principal_point": (CENTER - 0.5).tolist()}
    if model != "pinhole":
        intrinsics[model] = coefficients
    data = {
        "sfm_data_version": "0.3",
        "root_path": "C:\\elsewhere\\images",
        "views": [
            {"key": 10 + i, "value": {"polymorphic_id": 1073741824, "ptr_wrapper": {"id": 2147483649 + i, "data": {
                "local_path": "", "filename": name, "width": WIDTH, "height": HEIGHT,
                "id_view": 10 + i, "id_intrinsic": 3, "id_pose": 20 + i}}}}
            for i, name in enumerate(NAMES)
        ],
        "intrinsics": [{"key": 3, "value": {"polymorphic_id": 2147483649, "polymorphic_name": "pinhole",
                                            "ptr_wrapper": {"id": 2147483660, "data": intrinsics}}}],
        "extrinsics": [
            {"key": 20 + i, "value": {"rotation": [right[i].tolist(), down[i].tolist(), forward[i].tolist()],
                                      "center": eye[i].tolist()}}
            for i in range(COUNT)
        ],
        "structure": [
            {"key": 100 + p, "value": {"X": xyz.tolist(), "observations": [
                {"key": 10 + i, "value": {"id_feat": p, "x": (pixels[i, p] - 0.5).tolist()}} for i in range(COUNT)]}}
            for p, xyz in enumerate(points()[0])
        ],
        "control_points": [],
    }  # fmt: skip
    (folder / "sfm_data.json").write_text(json.dumps(data))
    return pixels


def opensfm(folder: Path, model: str = "brown") -> Array:
    """x_cam = R X + t; image coordinates over the longer side, from the middle, which is the mean of the corner
    pixels."""
    write_photos(folder / "images")
    eye, right, down, forward = cameras()
    offset = (CENTER - MIDDLE) / WIDTH
    parameters = {
        "perspective": {"focal": FOCAL / WIDTH, "k1": -0.05, "k2": 0.02},
        "simple_radial": {"focal_x": FOCAL / WIDTH, "focal_y": FOCAL / WIDTH, "c_x": offset[0], "c_y": offset[1],
                          "k1": -0.05},
        "brown": {"focal_x": FOCAL / WIDTH, "focal_y": 1.1 * FOCAL / WIDTH, "c_x": offset[0], "c_y": offset[1],
                  "k1": -0.05, "k2": 0.02, "k3": 0.0, "p1": 0.002, "p2": -0.003},
        "fisheye": {"focal": FOCAL / WIDTH, "k1": 0.02, "k2": -0.01},
    }[model]  # fmt: skip
    cells, pixels, shots = ["OPENSFM_TRACKS_VERSION_v2"], [], {}
    for i, name in enumerate(NAMES):
        xy = plane(i)
        if model == "fisheye":
            xy = theta(xy, 0.02, -0.01)
        else:
            xy = radial(xy, -0.05, parameters.get("k2", 0.0)) + (
                tangential(xy, 0.002, -0.003) if model == "brown" else 0
            )
        scale = np.array([parameters.get(key, parameters.get("focal")) for key in ("focal_x", "focal_y")])
        normalised = scale * xy + [parameters.get("c_x", 0.0), parameters.get("c_y", 0.0)]
        corner_based = normalised * WIDTH + [(WIDTH - 1) / 2, (HEIGHT - 1) / 2]  # the first pixel's centre is (0, 0)
        pixels.append(corner_based + 0.5)
        rotation = np.stack([right[i], down[i], forward[i]])
        shots[name] = {"rotation": Rotation.from_matrix(rotation).as_rotvec().tolist(),
                       "translation": (-rotation @ eye[i]).tolist(), "camera": "v2 one", "orientation": 1}  # fmt: skip
        cells += [
            f"{name}\t{p}\t{p}\t{x!r}\t{y!r}\t0.004\t1\t2\t3\t-1\t-1" for p, (x, y) in enumerate(normalised.tolist())
        ]
    xyz, rgb = points()
    camera = {"projection_type": model, "width": WIDTH, "height": HEIGHT, **parameters}
    part = {
        "cameras": {"v2 one": camera},
        "shots": shots,
        "points": {
            str(p): {"coordinates": x.tolist(), "color": [float(v) for v in c]}
            for p, (x, c) in enumerate(zip(xyz, rgb))
        },
    }
    lesser = {"cameras": {}, "shots": {}, "points": {}}
    (folder / "reconstruction.json").write_text(json.dumps([lesser, part]))
    (folder / "tracks.csv").write_text("\n".join(cells) + "\n")
    return np.array(pixels)


def bundler(folder: Path) -> Array:
    """P = R X + t with rows right, up, backwards; p = -P / P.z; from the middle, y up. One camera has no pose."""
    write_photos(folder / "photos")
    eye, right, down, forward = cameras()
    xyz, rgb = points()
    lines, seen = [f"# Bundle file v0.3\n{COUNT + 1} {len(xyz)}"], []
    for i in range(COUNT):
        rotation = np.stack([right[i], -down[i], -forward[i]])
        t = -rotation @ eye[i]
        P = xyz @ rotation.T + t
        p = -P[:, :2] / P[:, 2:]
        seen.append(FOCAL * radial(p, -0.05, 0.02))
        lines += [f"{FOCAL} -0.05 0.02", *(" ".join(map(repr, row.tolist())) for row in [*rotation, t])]
        if i == 2:
            lines += ["0 0 0"] * 5
    number = [0, 1, 2, *range(4, COUNT + 1)]
    for p, (x, c) in enumerate(zip(xyz, rgb)):
        spots = [seen[i][p].tolist() for i in range(COUNT)]
        views = " ".join(f"{index} {p} {u!r} {v!r}" for index, (u, v) in zip(number, spots))
        lines += [" ".join(map(repr, x.tolist())), " ".join(map(str, c)), f"{COUNT} {views}"]
    (folder / "bundle.out").write_text("\n".join(lines) + "\n")
    names = [f"./photos/{name} 0 {FOCAL}" for name in NAMES]
    (folder / "list.txt").write_text("\n".join([*names[:3], "./photos/unposed.png", *names[3:]]) + "\n")
    return np.array(seen) * [1, -1] + MIDDLE


def realitycapture(folder: Path, k: tuple[float, ...] = (-0.05, 0.02, 0.0, 0.0)) -> Array:
    """Heading clockwise from north (+y), pitch 0 looks down, roll around the photo's upward axis; z is up."""
    write_photos(folder)
    eye, right, down, forward = cameras()
    lines = ["#cameras 8", "#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2"]
    px, py = (CENTER - MIDDLE) / WIDTH
    for i, name in enumerate(NAMES):
        axes = Rotation.from_matrix(np.stack([right[i], -down[i], -forward[i]], -1))  # right, up, backwards
        heading, pitch, roll = axes.as_euler("ZXY", degrees=True) * [-1, 1, 1]
        values = [*eye[i], heading, pitch, roll, FOCAL * 36 / WIDTH, px, py, *k, 0, 0]
        lines.append(",".join([name, *(repr(float(value)) for value in values)]))
    (folder / "export.csv").write_text("\n".join(lines) + "\n")
    return np.array([FOCAL * radial(plane(i), *k) + CENTER for i in range(COUNT)])


def polycam(folder: Path, part: str = "corrected_") -> Array:
    """Rows of camera-to-world; columns right, up, backwards."""
    write_photos(folder / "keyframes" / f"{part}images")
    cameras_folder = folder / "keyframes" / f"{part}cameras"
    cameras_folder.mkdir()
    eye, right, down, forward = cameras()
    for i, name in enumerate(NAMES):
        matrix = np.stack([right[i], -down[i], -forward[i], eye[i]], -1)
        data = {f"t_{row}{column}": matrix[row, column] for row in range(3) for column in range(4)}
        data |= {
            "fx": FOCAL,
            "fy": FOCAL,
            "cx": CENTER[0],
            "cy": CENTER[1],
            "width": WIDTH,
            "height": HEIGHT,
            "blur_score": 99.0,
        }
        (cameras_folder / f"{Path(name).stem}.json").write_text(json.dumps(data))
    return np.array([FOCAL * plane(i) + CENTER for i in range(COUNT)])


def metashape(folder: Path, kind: str = "frame", shift: float = 0.0) -> Array:
    """Camera to chunk, columns right, down, forward; the chunk is a smaller, turned copy of the world."""
    write_photos(folder / "images")
    eye, right, down, forward = cameras()
    scale, turn, place = 2.5, Rotation.from_euler("xyz", [0.3, -0.7, 1.1]).as_matrix(), np.array([3.0, -2.0, 5.0])
    place = place + shift
    rows = []
    for i, name in enumerate(NAMES):
        matrix = np.eye(4)
        matrix[:3, :3] = turn.T @ np.stack([right[i], down[i], forward[i]], -1)
        matrix[:3, 3] = turn.T @ (eye[i] - place + shift) / scale
        text = " ".join(repr(value) for value in matrix.ravel().tolist())
        rows.append(
            f'<camera id="{i}" sensor_id="4" component_id="0" label="{Path(name).stem}">'
            f"<transform>{text}</transform></camera>"
        )
    b1 = 0.1 * FOCAL if kind == "frame" else 0.0
    tangent = "<p1>-0.003</p1><p2>0.002</p2>" if kind == "frame" else ""
    text = " ".join(repr(value) for value in turn.ravel().tolist())
    (folder / "cameras.xml").write_text(
        f"""<?xml version="1.0" encoding="UTF-8"?>
<document version="1.5.0"><chunk label="Chunk 1" enabled="true">
<sensors next_id="5"><sensor id="4" label="X" type="{kind}"><resolution width="{WIDTH}" height="{HEIGHT}"/>
<calibration type="{kind}" class="initial"><resolution width="{WIDTH}" height="{HEIGHT}"/><f>1</f></calibration>
<calibration type="{kind}" class="adjusted"><resolution width="{WIDTH}" height="{HEIGHT}"/><f>{FOCAL}</f>
<cx>{CENTER[0] - WIDTH / 2}</cx><cy>{CENTER[1] - HEIGHT / 2}</cy><b1>{b1}</b1>
<k1>-0.05</k1><k2>0.02</k2>{tangent}</calibration></sensor></sensors>
<components><component id="0"><transform><rotation>{text}</rotation>
<translation>{" ".join(repr(value) for value in place.tolist())}</translation>
<scale>{scale}</scale></transform></component></components>
<cameras><group id="0" label="G">{"".join(rows)}</group>
<camera id="99" sensor_id="4" label="unaligned"/></cameras></chunk></document>
"""
    )
    seen = []
    for i in range(COUNT):
        xy = plane(i)
        xy = theta(xy, -0.05, 0.02) if kind == "fisheye" else radial(xy, -0.05, 0.02) + tangential(xy, 0.002, -0.003)
        seen.append(MIDDLE + (CENTER - MIDDLE) + xy * FOCAL + np.stack([xy[:, 0] * b1, 0 * xy[:, 0]], -1))
    return np.array(seen)
