"""Looks at what matching and mapping made: the facts of every photo, the match graph, and the world frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.poses import frame, gps, scale_reference
from nerfkit.poses.advice import Facts, PhotoFacts
from nerfkit.poses.scale_reference import Mark, ScaleReference
from nerfkit.poses.worker import Tell

Array = NDArray[np.float64]
Model = Any  # pycolmap.Reconstruction

_POINTS = 2000  # whose angles are looked at


@dataclass(frozen=True)
class ReviewedPhoto:
    """A photo as the report page shows it. ``image`` is its name in the model, ``name`` that of the user's file."""

    name: str
    image: str
    width: int  # pixels, upright
    height: int
    features: int
    matches: int  # verified ones, with all its partners
    partners: int
    component: int
    registered: bool
    observations: int
    error_px: float | None  # mean reprojection error
    camera: int | None  # number of its camera in the model
    focal_px: float | None
    exif_focal_px: float | None


def work(
    tell: Tell, database: str, model: str | None, photos: list[dict[str, Any]], scale_ref: dict[str, Any] | None
) -> dict[str, Any]:
    """The facts of ``photos`` (``name``, ``image``, ``width``, ``height``, ``exif_focal_px``, ``gps``), in their order.

    Gives ``photos``, ``pairs`` (two indices into them and their number of verified matches), ``angle_deg``, and for a
    model ``frame`` and ``world_from_model``.

    Raises:
        NerfkitError: the scale reference can't be measured.
    """
    import pycolmap

    reconstruction = None if model is None else pycolmap.Reconstruction(model)
    features, pairs = _matches(database, [photo["image"] for photo in photos])
    components = _components(len(photos), pairs)
    images = {} if reconstruction is None else {image.name: image for image in reconstruction.images.values()}
    matches, partners = np.zeros(len(photos), int), np.zeros(len(photos), int)
    for one, two, count in pairs:
        matches[[one, two]] += count
        partners[[one, two]] += 1
    rows = [
        ReviewedPhoto(
            photo["name"], photo["image"], photo["width"], photo["height"], features[index], int(matches[index]),
            int(partners[index]), components[index], **_pose(images.get(photo["image"]), reconstruction),
            exif_focal_px=photo.get("exif_focal_px"),
        )
        for index, photo in enumerate(photos)
    ]  # fmt: skip
    result: dict[str, Any] = {"photos": [asdict(row) for row in rows], "pairs": pairs, "angle_deg": None}
    if reconstruction is not None:
        reference = None if scale_ref is None else _reference(scale_ref)
        world, described = world_frame(reconstruction, {p["image"]: p.get("gps") for p in photos}, reference)
        result |= {
            "angle_deg": _angle(reconstruction), "world_from_model": world.to_json(), "frame": described,
        }  # fmt: skip
    tell(1, 1)
    return result


def facts(
    result: dict[str, Any], agreement: float | None, mean_error_px: float | None, with_gps: int,
    doubts: Sequence[str] = (),
) -> Facts:  # fmt: skip
    """What :mod:`nerfkit.poses.advice` wants to know, from what :func:`work` gave."""
    names = {field.name for field in fields(PhotoFacts)}
    photos = [
        PhotoFacts(**{k: v for k, v in row.items() if k in names}, longer_side=max(row["width"], row["height"]))
        for row in result["photos"]
    ]
    used = bool(result.get("frame", {}).get("gps"))
    return Facts(photos, agreement, mean_error_px, result["angle_deg"], with_gps, used, doubts)


def world_frame(
    model: Model, places: dict[str, gps.Place | None], reference: ScaleReference | None
) -> tuple[frame.Similarity, dict[str, Any]]:
    """``world_from_model`` and what ``poses.json`` says about it.

    Args:
        places: GPS of images, by their name.
        reference: a known distance, whose photos have the images' names. Its scale wins over that of GPS.
    """
    images = sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)
    poses = np.tile(np.eye(4), (len(images), 1, 1))
    poses[:, :3] = [image.cam_from_world().inverse().matrix() for image in images]
    points = np.array([point.xyz for point in model.points3D.values()]).reshape(-1, 3)
    found = frame.upright(poses, points)
    known = [index for index, image in enumerate(images) if places.get(image.name) is not None]
    located = [place for index in known if (place := places[images[index].name]) is not None]
    fit = gps.fit(found.world_from_model.points(poses[known, :3, 3]), located)
    up_from = "ground" if found.ground else "cameras"
    if fit is None and (up := gps.up_from_gps(poses[known, :3, 3], located)) is not None:
        other = frame.upright(poses, points, up)
        fit = gps.fit(other.world_from_model.points(poses[known, :3, 3]), located)
        if fit is not None:
            found, up_from = other, "ground" if other.ground else "gps"
    world = found.world_from_model
    described: dict[str, Any] = {
        "up": "+z",
        "up_from": up_from,
        "x": "the right-hand side of the first photo",
        "origin": "below the cameras' focus, on the ground" if found.ground else "the cameras' focus",
        "ground": {"share_of_points": round(found.ground.share, 3)} if found.ground else None,
        "scale": "arbitrary",
        "unit": "median distance of the cameras to their focus",
        "scale_from": None,
    }
    if fit is not None:
        world, described = _located(world, described, fit, len(known))
    if reference is not None:
        factor = reference.metres / scale_reference.measure(reference, model) / world.scale
        world = frame.Similarity(factor * world.scale, world.rotation, factor * world.translation)
        described |= {"scale": "metric", "unit": "metre", "scale_from": "reference"}
        described |= {"reference_m": reference.metres}
    return world, described | {"world_from_colmap": world.to_json()}


def _located(
    world: frame.Similarity, described: dict[str, Any], fit: gps.GpsFit, known: int
) -> tuple[frame.Similarity, dict[str, Any]]:
    """In metres and with +X east; the origin stays below the focus."""
    metres = fit.metres_from_upright
    latitude, longitude, altitude = gps.geodetic(metres.translation, fit.reference)
    turned = frame.Similarity(metres.scale, metres.rotation, np.zeros(3)).after(world)
    return turned, described | {
        "x": "east",
        "y": "north",
        "scale": "metric",
        "unit": "metre",
        "scale_from": "gps",
        "gps": {
            "photos": known,
            "used": fit.used,
            "residual_m": round(fit.residual, 3),
            "scale_error": round(fit.scale_error, 4),
            "origin": {
                "latitude": round(latitude, 8), "longitude": round(longitude, 8), "altitude": round(altitude, 3),
            },
        },
    }  # fmt: skip


def _matches(database: str, names: Sequence[str]) -> tuple[list[int], list[list[int]]]:
    """Features of each photo, and the verified pairs: index, index, matches."""
    import pycolmap

    place = {name: index for index, name in enumerate(names)}
    with pycolmap.Database.open(database) as filled:
        index = {image.image_id: place[image.name] for image in filled.read_all_images() if image.name in place}
        features = [0] * len(names)
        for number, at in index.items():
            features[at] = int(filled.num_keypoints_for_image(number))
        ids, counts = filled.read_two_view_geometry_num_inliers()
    pairs = []
    for pair, count in zip(ids, counts):
        one, two = pycolmap.pair_id_to_image_pair(pair) if isinstance(pair, int | np.integer) else pair
        if count > 0 and one in index and two in index:
            pairs.append([*sorted((index[one], index[two])), int(count)])
    return features, sorted(pairs)


def _components(count: int, pairs: Sequence[Sequence[int]]) -> list[int]:
    """The component of each photo in the graph of verified pairs, the largest first."""
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for one, two, _ in pairs:
        parent[root(one)] = root(two)
    roots = [root(node) for node in range(count)]
    ranked = sorted(dict.fromkeys(roots), key=lambda r: (-roots.count(r), roots.index(r)))
    return [ranked.index(r) for r in roots]


def _pose(image: Any, model: Model) -> dict[str, Any]:
    """What a ReviewedPhoto says of its pose."""
    if image is None or not image.has_pose:
        return {"registered": False, "observations": 0, "error_px": None, "camera": None, "focal_px": None}
    errors = _errors(image, model)
    return {
        "registered": True,
        "observations": len(errors),
        "error_px": float(errors.mean()) if len(errors) else None,
        "camera": image.camera_id,
        "focal_px": float(image.camera.mean_focal_length()),
    }


def _errors(image: Any, model: Model) -> Array:
    """Reprojection errors [N] of an image's observations, pixels."""
    seen = [point for point in image.points2D if point.has_point3D()]
    if not seen:
        return np.zeros(0)
    world = np.array([model.points3D[point.point3D_id].xyz for point in seen])
    pose = image.cam_from_world().matrix()
    cam = world @ pose[:, :3].T + pose[:, 3]
    pixels = np.asarray(image.camera.img_from_cam(cam))
    return np.asarray(np.linalg.norm(pixels - np.array([point.xy for point in seen]), axis=1))


def _angle(model: Model) -> float | None:
    """The median over points of the widest angle, in degrees, between the rays of two photos to them."""
    points = list(model.points3D.values())
    centers = {number: image.projection_center() for number, image in model.images.items() if image.has_pose}
    angles = []
    for point in points[:: max(1, len(points) // _POINTS)]:
        rays = np.array([point.xyz - centers[element.image_id] for element in point.track.elements])
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        angles.append(np.arccos(np.clip((rays @ rays.T).min(), -1, 1)))
    return float(np.degrees(np.median(angles))) if angles else None


def _reference(data: dict[str, Any]) -> ScaleReference:
    return ScaleReference(data["metres"], tuple(Mark(**mark) for mark in data["marks"]), tuple(data["cameras"]))
