"""Imports a file into Blender and tells what is there: python blender_import.py FILE [CAMERA.json PICTURE.png].

With a camera (world_from_cam with OpenCV axes in Blender's world, focal in pixels, size) the scene is drawn with the
base colours as they are, without light.
"""

import json
import sys
from pathlib import Path

import bpy
from mathutils import Matrix


def load(path: Path) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    load_with = {".glb": bpy.ops.import_scene.gltf, ".obj": bpy.ops.wm.obj_import, ".usdz": bpy.ops.wm.usd_import,
                 ".ply": bpy.ops.wm.ply_import}  # fmt: skip
    load_with[path.suffix](filepath=str(path))


def describe() -> dict:
    visible = {item.name for item in bpy.context.view_layer.objects}
    objects = {}
    for item in bpy.data.objects:
        if item.type != "MESH":
            continue
        corners = [item.matrix_world @ vertex.co for vertex in item.data.vertices]
        uvs = [tuple(entry.uv) for layer in item.data.uv_layers for entry in layer.data]
        objects[item.name] = {
            "low": [min(c[axis] for c in corners) for axis in range(3)],
            "high": [max(c[axis] for c in corners) for axis in range(3)],
            "faces": len(item.data.polygons),
            "mesh": item.data.name,
            "uv_layers": len(item.data.uv_layers),
            "uv_range": [min(map(min, uvs)), max(map(max, uvs))] if uvs else None,
            "colors": [attribute.name for attribute in item.data.color_attributes],
            "materials": [slot.material.name for slot in item.material_slots if slot.material],
            "collections": [collection.name for collection in item.users_collection],
            "visible": item.name in visible,
        }
    return {"objects": objects, "images": images(), "materials": materials()}


def images() -> dict:
    found = {}
    for image in bpy.data.images:
        if image.size[0]:
            pixels = list(image.pixels)
            mean = [255 * sum(pixels[channel::4]) / (len(pixels) // 4) for channel in range(3)]
            found[image.name] = {"size": list(image.size), "mean": mean, "space": image.colorspace_settings.name}
    return found


def principled(material):
    nodes = material.node_tree.nodes if material.node_tree else []
    return next((node for node in nodes if node.type == "BSDF_PRINCIPLED"), None)


def materials() -> dict:
    found = {}
    for material in bpy.data.materials:
        shader = principled(material)
        if shader is not None:
            found[material.name] = {
                "metallic": shader.inputs["Metallic"].default_value,
                "roughness": shader.inputs["Roughness"].default_value,
                "base_color": source_image(shader.inputs["Base Color"]),
                "normal": source_image(shader.inputs["Normal"]),
                "culled": material.use_backface_culling,
            }
    return found


def source_image(socket):
    """The image that reaches a socket, through whatever is between."""
    for link in socket.links:
        if link.from_node.type == "TEX_IMAGE":
            return link.from_node.image.name
        for entry in link.from_node.inputs:
            name = source_image(entry)
            if name:
                return name
    return None


def shine() -> None:
    """Lets every material send out its base colour."""
    for material in bpy.data.materials:
        shader = principled(material)
        if shader is None:
            continue
        tree = material.node_tree
        emission = tree.nodes.new("ShaderNodeEmission")
        base = shader.inputs["Base Color"]
        if base.links:
            tree.links.new(base.links[0].from_socket, emission.inputs["Color"])
        else:
            emission.inputs["Color"].default_value = base.default_value
        output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
        tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])


def draw(camera: dict, picture: Path) -> None:
    scene = bpy.context.scene
    shine()
    view = bpy.data.cameras.new("view")
    size = camera["size"]
    view.sensor_width, view.lens = 36, 36 * camera["focal"] / size
    view.clip_start = 0.001
    item = bpy.data.objects.new("view", view)
    turned = Matrix(((1, 0, 0, 0), (0, -1, 0, 0), (0, 0, -1, 0), (0, 0, 0, 1)))  # Blender looks along -z, y up
    item.matrix_world = Matrix(camera["world_from_cam"]) @ turned
    scene.collection.objects.link(item)
    scene.camera = item
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples = "CPU", camera.get("samples", 8)
    scene.cycles.use_denoising = False
    scene.cycles.max_bounces = 0
    scene.render.threads_mode, scene.render.threads = "FIXED", 2
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = True
    scene.render.filter_size = 0.01  # samples lie within their pixel
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGBA"
    scene.render.filepath = str(picture)
    bpy.ops.render.render(write_still=True)


def main() -> None:
    load(Path(sys.argv[1]))
    found = describe()
    if len(sys.argv) > 3:
        draw(json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]))
    print(json.dumps(found))


main()
