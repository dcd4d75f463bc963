"""The renderer's side: Blender as a module (bpy), Cycles on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector
from mathutils.bvhtree import BVHTree

from still_life.cameras import FOCAL_MM, FOCAL_PX, HEIGHT, SENSOR_MM, WIDTH
from still_life.materials import Painted, Speckled
from still_life.shapes import Array, Shape, joined


def build(objects: Mapping[str, list[Shape]], materials: Mapping[str, Painted | Speckled]) -> None:
    """Empties the file and makes meshes, materials, lights and the camera."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    made = {name: _painted(name, m) if isinstance(m, Painted) else _speckled(name, m) for name, m in materials.items()}
    for name, shapes in objects.items():
        for k, shape in enumerate(shapes):
            _add(f"{name} {k}", shape, made[shape.material])
    _light("key", (1.7, -1.3, 2.7), 1.3, 120, (1.0, 0.93, 0.82))
    _light("fill", (-1.9, 1.2, 2.4), 1.8, 46, (0.82, 0.9, 1.0))
    world = bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.80, 0.88, 1.0, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 1.15
    lens = bpy.data.cameras.new("camera")
    lens.sensor_fit, lens.sensor_width, lens.lens, lens.clip_start = ("HORIZONTAL", SENSOR_MM, FOCAL_MM, 0.01)
    camera = bpy.data.objects.new("camera", lens)
    bpy.context.collection.objects.link(camera)
    bpy.context.scene.camera = camera


def _add(name: str, shape: Shape, material: Any) -> None:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(shape.vertices.tolist(), [], shape.faces.tolist())
    layer = mesh.uv_layers.new()
    layer.data.foreach_set("uv", shape.uvs.astype(np.float32).ravel())
    mesh.polygons.foreach_set("use_smooth", np.full(len(shape.faces), shape.smooth))
    mesh.materials.append(material)
    mesh.update()
    bpy.context.collection.objects.link(bpy.data.objects.new(name, mesh))


def _light(
    name: str, position: tuple[float, float, float], size: float, watts: float, color: tuple[float, float, float]
) -> None:
    light = bpy.data.lights.new(name, "AREA")
    light.size, light.energy, light.color = size, watts, color
    lamp = bpy.data.objects.new(name, light)
    lamp.location = position
    lamp.rotation_euler = (Vector((0, 0, 0)) - Vector(position)).to_track_quat("-Z", "Y").to_euler()
    lamp.visible_camera = False
    bpy.context.collection.objects.link(lamp)


def _shader(name: str, roughness: float) -> tuple[Any, Any, Any]:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    tree = material.node_tree
    shader = tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Specular IOR Level"].default_value = 0.3
    return material, tree, shader


def _painted(name: str, look: Painted) -> Any:
    material, tree, shader = _shader(name, look.roughness)
    height, width = look.picture.shape[:2]
    image = bpy.data.images.new(name, width, height)
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = look.picture[::-1] / np.float32(255)  # rows from the bottom
    image.pixels.foreach_set(rgba.ravel())
    image.pack()
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image = image
    tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    return material


def _speckled(name: str, look: Speckled) -> Any:
    """Solid noise: patches of the colours with soft borders, and small flecks of the last one."""
    material, tree, shader = _shader(name, look.roughness)
    place = tree.nodes.new("ShaderNodeTexCoord").outputs["Object"]
    patches = tree.nodes.new("ShaderNodeTexNoise")
    patches.inputs["Scale"].default_value = look.scale
    patches.inputs["Detail"].default_value = 3.0
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    *colors, fleck = [_linear(c) for c in look.colors]
    stops = ramp.color_ramp.elements
    while len(stops) < len(colors):
        stops.new(0.5)
    for k, (stop, color) in enumerate(zip(stops, colors, strict=True)):
        stop.position = 0.36 + 0.28 * k / max(len(colors) - 1, 1)
        stop.color = (*color, 1)
    cells = tree.nodes.new("ShaderNodeTexVoronoi")
    cells.inputs["Scale"].default_value = look.scale * 1.7
    near = tree.nodes.new("ShaderNodeMapRange")
    near.inputs["From Min"].default_value, near.inputs["From Max"].default_value = (0.30, 0.20)
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    color_b = next(s for s in mix.inputs if s.identifier == "B_Color")
    color_a = next(s for s in mix.inputs if s.identifier == "A_Color")
    factor = next(s for s in mix.inputs if s.identifier == "Factor_Float")
    result = next(s for s in mix.outputs if s.identifier == "Result_Color")
    color_b.default_value = (*fleck, 1)
    for a, b in (
        (place, patches.inputs["Vector"]),
        (place, cells.inputs["Vector"]),
        (patches.outputs[0], ramp.inputs["Fac"]),
        (ramp.outputs["Color"], color_a),
        (cells.outputs["Distance"], near.inputs["Value"]),
        (near.outputs["Result"], factor),
        (result, shader.inputs["Base Color"]),
    ):
        tree.links.new(a, b)
    return material


def _linear(color: tuple[int, int, int]) -> tuple[float, ...]:
    return tuple(((c / 255 + 0.055) / 1.055) ** 2.4 for c in color)


def settings(samples: int, exposure: float) -> None:
    """Cycles on the CPU, denoised, AgX at one exposure for all photos."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    (scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage) = WIDTH, HEIGHT, 100
    scene.render.image_settings.file_format = "PNG"
    scene.render.use_persistent_data = True
    scene.render.filter_size = 1.2
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Base Contrast"
    scene.view_settings.exposure = exposure
    cycles = scene.cycles
    cycles.device, cycles.samples = "CPU", samples
    cycles.use_adaptive_sampling = False
    cycles.use_denoising, cycles.denoiser, cycles.denoising_prefilter = (True, "OPENIMAGEDENOISE", "FAST")
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 2, 2
    cycles.sample_clamp_indirect = 4.0


def shoot(world_from_cam: Array, path: Path, seed: int) -> None:
    """Renders one photo to a PNG file."""
    scene = bpy.context.scene
    scene.camera.matrix_world = Matrix(world_from_cam.tolist())
    scene.cycles.seed = seed
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


class DepthProbe:
    """Exact depth by one ray through each pixel centre."""

    def __init__(self, shapes: list[Shape]) -> None:
        vertices, faces = joined(shapes)
        self.tree = BVHTree.FromPolygons(vertices.tolist(), faces.tolist(), all_triangles=True)

    def depth(self, world_from_cam: Array) -> Array:
        """z along the optical axis [H, W] in metres, 0 where nothing is hit."""
        x = (np.arange(WIDTH) + 0.5 - WIDTH / 2) / FOCAL_PX
        y = (np.arange(HEIGHT) + 0.5 - HEIGHT / 2) / FOCAL_PX
        rays = np.stack(np.broadcast_arrays(x[None, :], -y[:, None], -1.0), axis=-1)  # [H, W, 3], one unit deep
        length = np.linalg.norm(rays, axis=-1)
        world = (rays / length[..., None]) @ world_from_cam[:3, :3].T
        eye = Vector(world_from_cam[:3, 3])
        hits = (self.tree.ray_cast(eye, Vector(d))[3] for d in world.reshape(-1, 3).tolist())
        t = np.array([0.0 if h is None else h for h in hits]).reshape(HEIGHT, WIDTH)
        depth: Array = t / length
        return depth
