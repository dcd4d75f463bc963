"""xatlas's two calls, and a process for them: ``python -m nerfkit.mesh.texture.atlas``.

xatlas can't be interrupted, and uses one core for a connected surface. So both are asked of processes
(:mod:`nerfkit.mesh.texture.helpers`). Such a process reads pickled pairs of a task's name and its arguments from stdin
and answers each with a pickled pair: whether it came about, and the result or the words of what failed. Imports no
torch, which would take a second to load.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from nerfkit.mesh.requirements import require

_LARGEST_CHART = 1200  # mean areas of a face: the time that xatlas takes for a chart grows with the square of it
_MAX_COST = 8.0  # how far charts may bend; few large charts have less of a seam than many flat ones
_DRAFT = 512  # texels a side when charts' places don't matter yet


def charts(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts a surface into charts and lays each flat. Their places, sizes and proportions mean nothing yet.

    Args:
        points: [V, 3] float32, in units in which the mean area of a face is about 1: xatlas leaves out faces that are
            smaller than its own epsilon, which doesn't follow the mesh's size, and bounds areas of charts.
        faces: [F, 3].

    Returns:
        Which of the points each of N vertices is [N]; the faces between these [F, 3]; and their places [N, 2] float64.
    """
    xatlas = require("xatlas")
    used, corner = np.unique(faces, return_inverse=True)
    atlas = xatlas.Atlas()
    atlas.add_mesh(np.ascontiguousarray(points[used], np.float32), corner.reshape(-1, 3).astype(np.uint32))
    cutting, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    cutting.max_cost, cutting.max_chart_area = _MAX_COST, float(_LARGEST_CHART)
    packing.resolution, packing.bilinear, packing.create_image = _DRAFT, False, False
    atlas.generate(cutting, packing)
    index, made, places = atlas[0]
    return used[index], made.astype(np.int64), places * np.array([atlas.width, atlas.height], np.float64)


def pack(
    places: np.ndarray, faces: np.ndarray, chart: np.ndarray, texels_per_unit: float, gap: int
) -> tuple[np.ndarray, int]:
    """Packs flat charts into one square, turned and mirrored as they fit.

    Args:
        places: [N, 2] of the charts' vertices.
        faces: [F, 3].
        chart: [F] number of the chart that each face belongs to.
        texels_per_unit: of ``places``.
        gap: texels around each chart; twice as many lie between two.

    Returns:
        Places [N, 2] in texels, and the side of the square that holds them. Vertices of faces without area lie at 0.
    """
    xatlas = require("xatlas")
    atlas = xatlas.Atlas()
    atlas.add_uv_mesh(places.astype(np.float32), faces.astype(np.uint32), chart.astype(np.uint32)[:, None])
    packing = xatlas.PackOptions()
    packing.texels_per_unit, packing.padding = texels_per_unit, gap
    packing.bilinear, packing.create_image = True, False
    atlas.generate(xatlas.ChartOptions(), packing)
    index, _, placed = atlas[0]
    number = atlas.get_mesh_vertex_assignment(0)[1].astype(np.int64)
    put = (number >= 0) & (number < atlas.chart_count)
    texels = np.zeros((len(places), 2))
    texels[index] = np.where(put[:, None], placed * np.array([atlas.width, atlas.height], np.float64), 0)
    return texels, max(atlas.width, atlas.height, 1)


TASKS: dict[str, Callable[..., Any]] = {"charts": charts, "pack": pack}


def _main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    # at work it hears nothing; the system ends it where whoever started it has gone
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(0, fcntl.F_GETFL)
    while True:
        try:
            task, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        fcntl.fcntl(0, fcntl.F_SETFL, flags | os.O_ASYNC)
        answer = _answer(task, arguments)
        fcntl.fcntl(0, fcntl.F_SETFL, flags)
        pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


def _answer(task: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, TASKS[task](*arguments)
    except Exception:  # it is told where it can be dealt with
        return False, traceback.format_exc()


if __name__ == "__main__":
    _main()
