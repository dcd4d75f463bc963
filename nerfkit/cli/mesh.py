"""``nerfkit mesh``: a triangle mesh from a run."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from nerfkit.mesh.options import MeshOptions

if TYPE_CHECKING:
    from nerfkit.cli.console import Console


@dataclass(frozen=True, kw_only=True)
class Options(MeshOptions):
    source: Annotated[Literal["depth", "density"], tyro.conf.arg(name="from")] = "depth"
    run: tyro.conf.Positional[Path]
    """Run folder, as `nerfkit train` leaves it."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Mesh to write: .glb, .ply or .obj. By default exports/mesh.glb in the run folder."""
    up: Literal["original", "y"] = "original"
    """original keeps the coordinates of the cameras' world; y turns the mesh upright for engines, which take +Y as up
    (a GLB keeps its coordinates and gets a rotated root node)."""
    device: str = "auto"
    """Where the model is rendered: auto, cpu, cuda or cuda:N (see nerfkit train)."""
    backend: str = "auto"
    """Render core: auto, nerfkit, gsplat, tcnn or reference (see nerfkit doctor)."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit import mesh as meshes
    from nerfkit.files import write_text
    from nerfkit.mesh import geometry, write
    from nerfkit.train.run import Run

    source = Run.open(options.run)
    out = options.out or source.exports / "mesh.glb"
    write.check_suffix(out)  # before the work, not after it
    scene = source.scene()
    model = source.model(options.device, options.backend, scene)
    settings = MeshOptions(**{field.name: getattr(options, field.name) for field in fields(MeshOptions)})
    seconds: dict[str, float] = {}
    mesh = meshes.extract(model, scene, settings, console.progress, seconds=seconds)
    start = time.perf_counter()
    write.write(out, mesh, write.upright(scene.scene_from_world) if options.up == "y" else None)
    seconds["write"] = round(time.perf_counter() - start, 3)
    result = {
        "faces": len(mesh.faces),
        "vertices": len(mesh.vertices),
        "watertight": geometry.is_watertight(mesh),
        "bounds": geometry.bounds(mesh),
        "texture_size": None,
        "files": [str(out)],
        "seconds": seconds,
    }
    write_text(out.parent / "mesh.json", json.dumps(result, indent=1) + "\n")
    console.say(f"[bold]{out}[/]: {len(mesh.faces):,} faces in {sum(seconds.values()):.1f} s")
    return result
