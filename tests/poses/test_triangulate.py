"""Features for cameras that are known: each image keeps its number and camera, so that runs don't differ."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pycolmap

from nerfkit.poses import triangulate
from tests.poses.test_refine import Silent


def test_images_keep_the_numbers_and_cameras_of_the_model(tmp_path: Path) -> None:
    """Whatever the order in which threads are done with them; photos of several sizes, one without features."""
    rng = np.random.default_rng(0)
    model = pycolmap.Reconstruction()
    for number in range(9, 2, -1):
        width, height = 200 + 10 * number, 160
        noise = rng.integers(0, 256, (height // 8, width // 8), dtype=np.uint8) * (number != 5)
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), cv2.resize(noise, (width, height)))
        params = [150 + number / 3, 150, width / 2, height / 2]
        camera = pycolmap.Camera(camera_id=number, model="PINHOLE", width=width, height=height, params=params)
        model.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(name=f"{number}.png", camera_id=number, image_id=number)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    database = str(tmp_path / "database.db")
    triangulate._enter(model, database)
    triangulate._features(Silent(), model, str(tmp_path), database, None)
    with pycolmap.Database.open(database) as filled:
        assert {image.image_id: image.name for image in filled.read_all_images()} == {
            number: f"{number}.png" for number in range(3, 10)
        }
        for number in range(3, 10):
            assert (filled.num_keypoints_for_image(number) > 20) == (number != 5)
            camera = filled.read_camera(filled.read_image(number).camera_id)
            assert camera.has_prior_focal_length and (camera.params == model.cameras[number].params).all()
