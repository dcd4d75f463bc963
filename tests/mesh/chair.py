"""A textured chair of two boxes that is known in closed form: what is drawn of a file can be compared with it.

In the asset frame: +Z up, metres, the pivot at the middle of the base, the back rest on the side of -X.
"""

from __future__ import annotations

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.assets import collision
from nerfkit.mesh.assets.asset import Asset

BOXES = np.array(
    [
        [[-0.25, -0.2, 0.0], [0.25, 0.2, 0.5]],
        [[-0.25, -0.2, 0.5], [-0.15, 0.2, 1.1]],
    ]
)
SIZE = (0.5, 0.4, 1.1)
SIDES = 8  # of a box are six; the texture has room for eight, so that its size is a power of two
CELL = 32  # pixels of a side's patch in the texture; one row a box, one column a side


def chair(levels: int = 3, textured: bool = True, normal_map: bool = False, parts: int = 2) -> Asset:
    """Every side is a grid of 4^(levels - level - 1) quads, so that coarser levels show the same."""
    texture = checkered() if textured else None
    bumps = bump_map() if normal_map else None
    meshes = [grid_boxes(2 ** (levels - 1 - level), texture, bumps) for level in range(levels)]
    shapes = [collision.collision_shapes(box_mesh(box), "hull")[0] for box in BOXES[:parts]]
    return Asset("chair", meshes, shapes, metric=True)


def checkered() -> np.ndarray:
    """[2 * CELL, 8 * CELL, 3] uint8: a colour of its own for every side, growing lighter along u, greener along v."""
    rng = np.random.default_rng(1)
    image = np.zeros((2, CELL, SIDES, CELL, 3))
    ramp = (np.arange(CELL) + 0.5) / CELL
    image[:] = rng.uniform(30, 160, (2, 1, SIDES, 1, 3))
    image += 60 * ramp[:, None]
    image[..., 1] += 30 * ramp[::-1, None, None]  # the first row is v = 1
    return image.reshape(2 * CELL, SIDES * CELL, 3).round().astype(np.uint8)


def bump_map() -> np.ndarray:
    image = np.full((2 * CELL, SIDES * CELL, 3), (128, 128, 255), np.uint8)
    image[::8, :, :2] = (160, 100)
    return image


def sides(box: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Corner, u edge and v edge of the six sides; u x v looks outwards."""
    found = []
    for axis in range(3):
        for side in (0, 1):
            u, v = np.zeros(3), np.zeros(3)
            a, b = (axis + 1) % 3, (axis + 2) % 3
            if side == 0:
                a, b = b, a
            u[a], v[b] = box[1, a] - box[0, a], box[1, b] - box[0, b]
            corner = box[0].copy()
            corner[axis] = box[side, axis]
            found.append((corner, u, v))
    return found


def box_mesh(box: np.ndarray) -> Mesh:
    corners, faces = [], []
    for corner, u, v in sides(box):
        start = len(corners)
        corners += [corner, corner + u, corner + v, corner + u + v]
        faces += [[start, start + 1, start + 2], [start + 1, start + 3, start + 2]]
    return Mesh(np.array(corners, np.float32), np.array(faces, np.int32))


def grid_boxes(cells: int, texture: np.ndarray | None, normal_map: np.ndarray | None) -> Mesh:
    """Both boxes; normals, uvs and texture, or colours."""
    step = np.linspace(0, 1, cells + 1)
    u, v = (grid.ravel() for grid in np.meshgrid(step, step))
    a = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    quads = np.concatenate([np.stack([a, a + 1, a + cells + 1], 1), np.stack([a + 1, a + cells + 2, a + cells + 1], 1)])
    vertices, faces, normals, uvs = [], [], [], []
    for row, box in enumerate(BOXES):
        for column, (corner, along_u, along_v) in enumerate(sides(box)):
            faces.append(quads + sum(map(len, vertices)))
            vertices.append(corner + u[:, None] * along_u + v[:, None] * along_v)
            normal = np.cross(along_u, along_v)
            normals.append(np.broadcast_to(normal / np.linalg.norm(normal), (len(u), 3)))
            inset = 0.5 / CELL  # half a pixel, so that the patch's neighbours don't show
            uv = np.stack([u, v], 1) * (1 - 2 * inset) + inset
            uvs.append((uv + np.array([column, 1 - row])) / [SIDES, 2])
    mesh = Mesh(
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(faces).astype(np.int32),
        normals=np.concatenate(normals).astype(np.float32),
    )
    uv = np.concatenate(uvs).astype(np.float32)
    if texture is None:
        mesh.colors = (uv @ np.array([[200.0, 0, 90], [0, 200, 60]])).round().astype(np.uint8)
    else:
        mesh.uvs, mesh.texture, mesh.normal_map = uv, texture, normal_map
    return mesh


def draw(world_from_cam: np.ndarray, focal: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What a pinhole camera (OpenCV axes) sees: colours [size, size, 3] of the texture, and where the chair is."""
    axis = (np.arange(size) + 0.5 - size / 2) / focal
    x, y = np.meshgrid(axis, axis)
    rays = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ world_from_cam[:3, :3].T
    origin = world_from_cam[:3, 3]
    nearest, color = np.full(len(rays), np.inf), np.zeros((len(rays), 3))
    texture = checkered().astype(np.float64)
    for row, box in enumerate(BOXES):
        for column, (corner, u, v) in enumerate(sides(box)):
            normal = np.cross(u, v)
            facing = rays @ normal
            t = np.where(facing < 0, ((corner - origin) @ normal) / np.where(facing < 0, facing, 1), 0)
            place = origin + t[:, None] * rays - corner
            s, r = place @ u / (u @ u), place @ v / (v @ v)
            hit = (t > 0) & (t < nearest) & (s >= 0) & (s <= 1) & (r >= 0) & (r <= 1)
            nearest[hit] = t[hit]
            px = column * CELL + s[hit] * (CELL - 1)
            py = (row + 1) * CELL - 1 - r[hit] * (CELL - 1)
            color[hit] = texture[py.round().astype(int), px.round().astype(int)]
    return color.reshape(size, size, 3), np.isfinite(nearest).reshape(size, size)
