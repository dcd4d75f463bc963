"""Textured meshes drawn into held-out photos: how far their colours are from the photos', beside the model's own.

python scripts/bench_texture.py RUN            the mesh of a run, simplified to 60,000 faces
python scripts/bench_texture.py --truth        the bundled scene's true mesh and cameras: what texturing alone costs
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from nerfkit import bundled
from nerfkit.contracts import Mesh, SceneModel
from nerfkit.data.scene import Scene
from nerfkit.mesh import AssetOptions, MeshOptions, geometry
from nerfkit.mesh.assets.write import read
from nerfkit.mesh.options import TextureOptions
from nerfkit.mesh.pipeline import Pipeline
from nerfkit.mesh.quality.texture_error import held_out_error
from nerfkit.mesh.request import Request
from nerfkit.mesh.sample import bilinear, planes_of, texel_coordinates
from nerfkit.mesh.shape import simplify
from nerfkit.mesh.texture.bake import bake, texture_size
from nerfkit.mesh.texture.unwrap import unwrap
from nerfkit.train.checkpoint import fingerprint
from nerfkit.train.run import Run


def of_run(folder: Path, faces: int, resolution: int | None) -> tuple[Mesh, Scene, SceneModel]:
    run = Run.open(folder)
    scene, model = run.scene(), run.model()
    request = Request(MeshOptions(faces=faces, resolution=resolution), TextureOptions(texture="none"), AssetOptions())
    with tempfile.TemporaryDirectory() as kept:
        pipeline = Pipeline(scene, lambda: model, fingerprint(run.checkpoints), request, Path(kept))
        return pipeline.levels()[0], scene, model


def of_truth(faces: int) -> tuple[Mesh, Scene]:
    root = bundled.scene_path("still_life")
    scene = Scene.load(root / "truth", images=root / "photos")
    found = read(root / "truth" / "mesh.ply")
    mesh = Mesh(found.vertices.astype(np.float32), found.faces.astype(np.int32))
    mesh = simplify.simplify(geometry.transformed(mesh, scene.scene_from_world), faces)
    mesh.normals = geometry.vertex_normals(mesh)
    return mesh, scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--truth", action="store_true")
    parser.add_argument("--faces", type=int, default=60_000)
    parser.add_argument("--resolution", type=int, help="default: the command's")
    parser.add_argument("--size", type=int)
    parser.add_argument("--refine", type=int, nargs="*", default=[0, 1, 2])
    options = parser.parse_args()
    model: SceneModel | None = None
    if options.truth:
        mesh, scene = of_truth(options.faces)
    else:
        mesh, scene, model = of_run(options.run, options.faces, options.resolution)
    if mesh.colors is not None:
        print("fused vertex colours", held_out_error(mesh, scene, model, shading="colors"))
    size = texture_size(mesh, scene, TextureOptions(texture_size=options.size))
    start = time.process_time()
    mesh = unwrap(mesh, size)
    print(f"unwrapped for {size}: {time.process_time() - start:.1f} CPU s")
    for passes in options.refine:
        start = time.process_time()
        baked = bake(mesh, scene, TextureOptions(texture_size=size, refine=passes))
        mesh.texture = baked.texture
        print(f"texture, {passes} passes, {time.process_time() - start:.1f} CPU s", held_out_error(mesh, scene))
        print(" ", baked.facts)
    assert mesh.uvs is not None and mesh.texture is not None
    places = torch.from_numpy(texel_coordinates(mesh.uvs, size, size)).float()
    mesh.colors = bilinear(planes_of(mesh.texture), places).round().clamp(0, 255).to(torch.uint8).numpy()
    print("the texture's colours at the vertices", held_out_error(mesh, scene, shading="colors"))


if __name__ == "__main__":
    main()
