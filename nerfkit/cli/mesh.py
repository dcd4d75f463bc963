"""``nerfkit mesh``: a textured mesh from a run, for a game engine or in the cameras' own coordinates."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro

from nerfkit.errors import NerfkitError
from nerfkit.mesh.options import AssetOptions, MeshOptions, TextureOptions
from nerfkit.mesh.request import Request, Stage

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.mesh.pipeline import Pipeline
    from nerfkit.train.run import Run

_MANY = 1.5  # times the faces asked for: whoever has a limit should know

Chosen = TypeVar("Chosen", MeshOptions, TextureOptions, AssetOptions)


@dataclass(frozen=True, kw_only=True)
class Options(MeshOptions, TextureOptions, AssetOptions):
    source: Annotated[Literal["depth", "density"], tyro.conf.arg(name="from")] = "depth"
    run: tyro.conf.Positional[Path]
    """Run folder, as `nerfkit train` leaves it."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File to write: .glb, .obj, .usdz or .ply. By default exports/mesh.glb in the run folder."""
    up: Literal["original", "y"] = "original"
    """Without --engine: original keeps the coordinates of the cameras' world; y turns the mesh upright, with +Y up
    (a GLB keeps its coordinates and gets a rotated root node)."""
    preview: bool = True
    """Whether pictures of the mesh on a turntable are made: a strip of stills and a video beside the file."""
    stage: Stage | None = None
    """Ends after this stage; what it made is kept for the next command, and written to --out where that is given."""
    device: str = "auto"
    """Where the model is rendered: auto, cpu, cuda or cuda:N (see nerfkit train)."""
    backend: str = "auto"
    """Render core: auto, nerfkit, gsplat, tcnn or reference (see nerfkit doctor)."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.files import check_place, remove_abandoned
    from nerfkit.lock import alone
    from nerfkit.mesh.assets import write
    from nerfkit.mesh.requirements import check_packages
    from nerfkit.train import report
    from nerfkit.train.run import Run

    source = Run.open(options.run)
    out = options.out or source.exports / "mesh.glb"
    parts = _part(MeshOptions, options), _part(TextureOptions, options), _part(AssetOptions, options)
    request = Request(*parts, out.suffix)
    request.check()  # before the work, not after it
    write.check_suffix(out, options.engine, options.image_format)
    check_place(out)
    check_packages()
    metric = is_metric(source)
    if options.metric and not metric:
        raise NerfkitError(
            f"{options.run}: --metric, but its poses have no scale; find them with --scale-ref (see nerfkit poses), "
            "or from photos with GPS"
        )
    with alone(source.mesh_stages, source.path, "work on a copy of the run"):
        remove_abandoned(source.mesh_stages, age=0)
        remove_abandoned(out.parent)
        pipeline = _pipeline(source, request, options, console)
        if options.stage is not None:
            return _stage(pipeline, options, console)
        result = _asset(pipeline, options, out, metric, console)
    report.refresh(source, map(Path, result["files"]))
    return result


def _warn_of_faces(made: int, asked: int, console: Console) -> None:
    """A surface of many tunnels and openings comes down to so many faces only: around each of them some are left."""
    if asked and made > _MANY * asked:
        console.warn(
            f"--faces {asked:,}: {made:,} are left, as many small tunnels and openings keep the surface from becoming "
            "simpler; a coarser one has fewer of them (--resolution 64, say)"
        )


def is_metric(source: Run) -> bool:
    """Whether a unit of the run's world is a metre, by what the pose stage says."""
    from nerfkit.poses import report

    scene = source.origin
    return report.is_metric((scene if scene.is_dir() else scene.parent) / "poses.json")


def _part(kind: type[Chosen], options: Options) -> Chosen:
    return kind(**{field.name: getattr(options, field.name) for field in fields(kind)})


def _pipeline(source: Run, request: Request, options: Options, console: Console) -> Pipeline:
    from nerfkit.mesh.pipeline import Pipeline
    from nerfkit.train import checkpoint

    scene = source.scene()
    return Pipeline(
        scene, lambda: source.model(options.device, options.backend, scene), checkpoint.fingerprint(source.checkpoints),
        request, source.mesh_stages, console.progress,
    )  # fmt: skip


def _stage(pipeline: Pipeline, options: Options, console: Console) -> dict[str, Any]:
    """One stage and those before it."""
    from nerfkit.mesh import geometry
    from nerfkit.mesh.assets import write
    from nerfkit.mesh.assets.asset import world_frame

    assert options.stage is not None
    start = time.perf_counter()
    meshes = pipeline.result(options.stage)
    files: list[str] = []
    near = world_frame(pipeline.scene.scene_from_world)
    if options.out is not None and meshes:
        write.write(options.out, geometry.transformed(meshes[0], near.out_from_scene))
        near.tell(options.out)
        files.append(str(options.out))
    faces = [len(mesh.faces) for mesh in meshes]
    words = ", ".join(f"{count:,}" for count in faces) or "no"
    console.say(f"{options.stage}: {words} faces in {time.perf_counter() - start:.1f} s")
    return {
        "stage": options.stage, "faces": faces, "files": files, "seconds": pipeline.seconds,
        "world_offset": near.to_json(),
    }  # fmt: skip


def _asset(pipeline: Pipeline, options: Options, out: Path, metric: bool, console: Console) -> dict[str, Any]:
    """All stages, the files, pictures of them, and the quality card."""
    from nerfkit.files import write_text
    from nerfkit.mesh import preview
    from nerfkit.mesh.assets import asset, write
    from nerfkit.mesh.quality import card

    began = time.perf_counter()
    scene = pipeline.scene
    levels, collision = pipeline.levels(), pipeline.result("collision")
    _warn_of_faces(len(levels[0].faces), options.faces, console)
    start = time.perf_counter()
    near = None if options.engine else asset.world_frame(scene.scene_from_world)
    frame = asset.asset_frame(scene.scene_from_world, levels[0]) if near is None else near.out_from_scene
    made = asset.place(out.stem, levels, collision, frame, metric)
    upright = write.upright(scene.scene_from_world) if options.up == "y" else None
    gltf = write.gltf_frame(frame, upright, options.engine)
    files = write.write_asset(out, made, options.engine, options.image_format, upright)
    seconds = pipeline.seconds | {"write": round(time.perf_counter() - start, 3)}
    start = time.perf_counter()
    if options.preview:
        files += preview.write(out, scene, levels[0], console.progress)
        seconds["preview"] = round(time.perf_counter() - start, 3)
    result = card.measure(pipeline, made) | {
        "engine": options.engine, "metric": metric, "gltf_from_scene": gltf.to_json(),
        "world_offset": None if near is None else near.to_json(),
        "files": [str(file) for file in files], "seconds": seconds,
    }  # fmt: skip
    write_text(out.with_suffix(".json"), json.dumps(result, indent=1) + "\n")
    if near is not None:
        near.tell(out, f"add it for the world's coordinates; of cameras laid around it, give --path-frame {out}")
    for line in card.lines(result):
        console.say(line)
    console.say(f"[bold]{out}[/]: {len(levels[0].faces):,} faces in {time.perf_counter() - began:.1f} s")
    return result
