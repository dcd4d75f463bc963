"""Lays a moving camera around a mesh as an artist would, and exports both: python blender_camera.py MESH.glb OUT.glb.

Prints where Blender sees each vertex of the mesh in each frame ([F, V, 2], shares of the picture from its upper left
corner), and the vertical fields of view, degrees.
"""

import json
import math
import sys

import bpy
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

FRAMES = 12


def main() -> None:
    mesh, out = sys.argv[1:3]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=mesh)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end, scene.render.fps = 1, FRAMES, 24
    scene.render.resolution_x, scene.render.resolution_y = 640, 360
    corners = [o.matrix_world @ v.co for o in bpy.data.objects if o.type == "MESH" for v in o.data.vertices]
    middle = sum(corners, Vector()) / len(corners)
    size = max((corner - middle).length for corner in corners)
    camera = camera_on_a_boom(scene, middle, size)
    seen, fovs = [], []
    for frame in range(1, FRAMES + 1):
        scene.frame_set(frame)
        bpy.context.view_layer.update()
        at = [world_to_camera_view(scene, camera, corner) for corner in corners]
        seen.append([[p.x, 1 - p.y] for p in at])
        fovs.append(math.degrees(2 * math.atan(camera.data.sensor_width * 360 / 640 / 2 / camera.data.lens)))
    options = {"export_pointer_animation": True, "export_animation_mode": "SCENE"} if "pointer" in sys.argv else {}
    bpy.ops.export_scene.gltf(filepath=out, export_cameras=True, export_animations=True, **options)
    print(json.dumps({"seen": seen, "fovs": fovs}))


def camera_on_a_boom(scene, middle: Vector, size: float):
    """A camera that is the child of a turning empty, moves itself too, and zooms."""
    boom = bpy.data.objects.new("boom", None)
    lens = bpy.data.cameras.new("lens")
    camera = bpy.data.objects.new("film camera", lens)
    for item in (boom, camera):
        scene.collection.objects.link(item)
    scene.camera, camera.parent = camera, boom
    boom.location = middle
    for frame, turn, away, focal in ((1, 0, 6, 40), (FRAMES, 80, 5, 60)):
        boom.rotation_euler = (0.1, 0, math.radians(turn))
        camera.location = (0, -away * size, 1.5 * size)
        camera.rotation_euler = Vector((0, away, -1.5)).to_track_quat("-Z", "Y").to_euler()
        boom.keyframe_insert("rotation_euler", frame=frame)
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_euler", frame=frame)
        lens.lens = focal
        if "pointer" in sys.argv:
            lens.keyframe_insert("lens", frame=frame)
    return camera


main()
