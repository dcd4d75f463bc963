"""Documents, buffers, accessors and nodes of glTF, whatever is in them."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nerfkit.errors import NerfkitError
from nerfkit.gltf.accessors import ARRAY_BUFFER, Layout, accessor
from nerfkit.gltf.container import damaged, glb_head, read_gltf
from nerfkit.gltf.nodes import placed_nodes

NUMBERS = np.arange(12, dtype="<f4").reshape(4, 3)


def glb(**changes: Any) -> bytes:
    """Bytes [5], which leave three free, and floats [4, 3]."""
    layout = Layout()
    layout.accessor(np.dtype("<i1"), 5, 1, ARRAY_BUFFER, normalized=True)
    layout.accessor(np.dtype("<f4"), 4, 3, ARRAY_BUFFER, min=[0, 1, 2], max=[9, 10, 11])
    document = {"asset": {"version": "2.0"}, **layout.document(), **changes}
    data = np.array([-128, -127, 0, 64, 127], np.int8).tobytes() + bytes(3) + NUMBERS.tobytes()
    assert layout.size == len(data) == 56
    return glb_head(document, layout.size) + data


def test_arrays_come_back(tmp_path: Path) -> None:
    (tmp_path / "a.glb").write_bytes(glb())
    gltf = read_gltf(tmp_path / "a.glb")
    assert np.array_equal(accessor(gltf, 1).all(), NUMBERS)
    assert np.array_equal(accessor(gltf, 1).rows(slice(1, 3)), NUMBERS[1:3])
    assert accessor(gltf, 1).rows(slice(2, 2)).shape == (0, 3)
    np.testing.assert_allclose(accessor(gltf, 0).all()[:, 0], [-1, -1, 0, 64 / 127, 1])
    total = int.from_bytes((tmp_path / "a.glb").read_bytes()[8:12], "little")
    assert total == (tmp_path / "a.glb").stat().st_size and total % 4 == 0


@pytest.mark.parametrize("place", ["beside", "within"])
def test_strides_and_buffers_beside_or_within_a_document(tmp_path: Path, place: str) -> None:
    rows = np.zeros(4, [("pad", "u1", 4), ("v", "<f4", 3)])
    rows["v"] = NUMBERS
    (tmp_path / "a b.bin").write_bytes(b"xx" + rows.tobytes())
    uri = "a%20b.bin" if place == "beside" else "data:;base64," + base64.b64encode(b"xx" + rows.tobytes()).decode()
    document = {
        "asset": {"version": "2.0"}, "buffers": [{"byteLength": 66, "uri": uri}],
        "bufferViews": [{"buffer": 0, "byteOffset": 2, "byteStride": 16, "byteLength": 64}],
        "accessors": [{"bufferView": 0, "byteOffset": 4, "componentType": 5126, "count": 4, "type": "VEC3"}],
    }  # fmt: skip
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    assert np.array_equal(accessor(read_gltf(tmp_path / "a.gltf"), 0).all(), NUMBERS)


def one(**changes: Any) -> list[dict[str, Any]]:
    return [{"bufferView": 1, "componentType": 5126, "count": 4, "type": "VEC3"} | changes]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accessors": one(count=5)}, "reaches beyond the end of its buffer"),
        ({"accessors": one(count=1 << 61)}, "reaches beyond the end of its buffer"),
        ({"accessors": one(byteOffset=-1)}, "no whole number from 0 on"),
        ({"accessors": one(count=True)}, "no whole number from 0 on"),
        ({"accessors": one(type="MAT9")}, "KeyError: 'MAT9'"),
        ({"accessors": one(componentType=[])}, "TypeError"),
        ({"accessors": one(sparse={})}, "is sparse or compressed"),
        ({"accessors": []}, "IndexError"),
        ({"accessors": 7}, "TypeError"),
        ({"buffers": [{"uri": "../secret"}]}, "are not beside it"),
        ({"buffers": [{"uri": "%2e%2e/secret"}]}, "are not beside it"),
        ({"buffers": [{"uri": "/etc/passwd"}]}, "are not beside it"),
        ({"buffers": [{"uri": "data:;base64,?"}]}, "no base64"),
        ({"bufferViews": [{"buffer": 0, "byteStride": 0}]}, "lie within each other"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = tmp_path / "a.glb"
    path.write_bytes(glb(**changes))
    with pytest.raises(NerfkitError, match=re.escape(words)) as error, damaged(path):
        accessor(read_gltf(path), 0)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("length", [0, 3, 15, 25, 300, -1])
def test_cut_off(tmp_path: Path, length: int) -> None:
    (tmp_path / "a.glb").write_bytes(glb()[:length])
    with pytest.raises(NerfkitError, match=r"truncated|no glTF"):
        read_gltf(tmp_path / "a.glb")


def test_nodes_of_the_default_scene_are_placed() -> None:
    nodes = [
        {"mesh": 0, "translation": [1, 0, 0]},
        {"children": [0], "rotation": [0, 0, 2**0.5, 2**0.5], "scale": [2, 2, 2]},  # a quarter about Z, not of length 1
        {"mesh": 1, "matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 7, 8, 9, 1]},
        {"mesh": 2},
    ]
    document = {"nodes": nodes, "scenes": [{"nodes": [3]}, {"nodes": [1, 2]}], "scene": 1}
    placed = {node["mesh"]: matrix for node, matrix in placed_nodes(Path("a"), document) if "mesh" in node}
    assert sorted(placed) == [0, 1]
    np.testing.assert_allclose(placed[0] @ [0, 0, 0, 1], [0, 2, 0, 1], atol=1e-12)
    np.testing.assert_allclose(placed[0] @ [1, 0, 0, 1], [0, 4, 0, 1], atol=1e-12)
    np.testing.assert_allclose(placed[1][:3, 3], [7, 8, 9])
    with pytest.raises(NerfkitError, match="go round in circles"):
        list(placed_nodes(Path("a"), {"nodes": [{"children": [1]}, {"children": [0]}]}))
    with pytest.raises(NerfkitError, match="no proper matrix, rotation"):
        list(placed_nodes(Path("a"), {"nodes": [{"rotation": [0, 0, 0, 0]}]}))


def test_many_children_are_refused_before_there_is_room_for_them() -> None:
    """100 kB that say 50,000 times 50,000 nodes."""
    for document in ({"nodes": [{"children": [0] * 50_000}]}, {"nodes": [{}], "scenes": [{"nodes": [0] * 200_000}]}):
        with pytest.raises(NerfkitError, match="go round in circles, or are more than 100,000"):
            list(placed_nodes(Path("a"), document))
    with pytest.raises(NerfkitError, match="names a node that is missing"):
        list(placed_nodes(Path("a"), {"nodes": [{"children": [7]}]}))


def test_more_than_a_glb_holds() -> None:
    assert len(glb_head({}, (1 << 32) - 64)) == 32
    with pytest.raises(NerfkitError, match=r"at most 4 GiB, and 4,294,967,300 bytes are needed"):
        glb_head({}, (1 << 32) - 28)
