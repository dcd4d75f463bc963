"""A hand-held walk around the still life: two rings and a closer, higher one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from still_life.shapes import Array

WIDTH, HEIGHT = 640, 480
SENSOR_MM, FOCAL_MM = 36.0, 32.0
FOCAL_PX = FOCAL_MM / SENSOR_MM * WIDTH
RINGS = (  # photos, distance from the axis, height
    (22, 1.00, 0.52),
    (18, 0.88, 0.74),
    (14, 0.66, 0.60),
)


@dataclass(frozen=True)
class Photo:
    name: str
    world_from_cam: Array  # [4, 4] rigid, OpenGL camera axes (x right, y up, z back), metres, +Z up


def walk(rng: np.random.Generator) -> list[Photo]:
    """The photos in the order they are taken, with jitter of place, aim and roll."""
    photos: list[Photo] = []
    for ring, (count, distance, height) in enumerate(RINGS):
        for k in range(count):
            angle = 2 * np.pi * (k + 0.37 * ring + rng.uniform(-0.18, 0.18)) / count
            r = distance * rng.uniform(0.94, 1.06)
            eye = np.array([r * np.cos(angle), r * np.sin(angle), height * rng.uniform(0.9, 1.12)])
            aim = np.array([0, 0, 0.08]) + rng.normal(0, (0.04, 0.04, 0.02))
            photos.append(Photo(f"{len(photos):04d}.jpg", looking(eye, aim, np.radians(rng.normal(0, 2.5)))))
    return photos


def looking(eye: Array, aim: Array, roll: float) -> Array:
    """World-from-camera [4, 4] (OpenGL axes) of a camera at ``eye`` that looks at ``aim``."""
    back = (eye - aim) / np.linalg.norm(eye - aim)
    right = np.cross((0.0, 0.0, 1.0), back)
    right = right / np.linalg.norm(right)
    up = np.cross(back, right)
    c, s = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3] = np.stack([c * right + s * up, c * up - s * right, back, eye], axis=1)
    return pose
