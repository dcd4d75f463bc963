"""Two drawings in one picture."""

from __future__ import annotations

import math

import torch
import world

from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras, Rendering
from nerfkit.data.similarity import Similarity
from nerfkit.views import beside, draw

ALL: draw.Channels = frozenset({"rgb", "alpha", "depth", "normal"})


def plain(light: float) -> draw.Draw:
    def drawn(camera: Cameras, channels: draw.Channels, moment: float = 0.0) -> Rendering:
        shape = (camera.height, camera.width)
        return Rendering(torch.full((*shape, 3), light), torch.ones(shape), torch.full(shape, 1 + light))

    return drawn


def camera() -> Cameras:
    pose = look_at(torch.tensor([0.2, -1.1, 0.4]), torch.zeros(3), world.UP)
    return Cameras(pose[None], torch.tensor([[200.0, 200, 100, 60]]), 200, 120)


def test_a_wipe_parts_the_picture_where_its_line_is() -> None:
    wipe = beside.wipe(plain(0.1), plain(0.6), sweeps=2)
    for moment, line in ((0.0, 100), (1 / 24, 150), (1 / 16, 100 + 100 * math.sin(math.pi / 4)), (3 / 8, 0.0)):
        drawn = wipe(camera(), ALL, moment)
        assert drawn.rgb is not None and drawn.depth is not None
        row, depth = drawn.rgb[60, :, 0], drawn.depth[60]
        column = torch.arange(200) + 0.5
        left, right = column < line - 3, column > line + 3
        assert torch.allclose(row[left], torch.tensor(0.1)) and torch.allclose(row[right], torch.tensor(0.6))
        assert torch.allclose(depth[column < line], torch.tensor(1.1)) and torch.allclose(
            depth[column > line], torch.tensor(1.6)
        )
        if 3 < line < 197:
            assert float(row[int(line)]) > 0.9  # the line itself
    assert beside.line_at(0, 3) == 0.5 and abs(beside.line_at(1, 3) - 0.5) < 1e-9  # it loops


def test_side_by_side_with_labels() -> None:
    first, second = (beside.labelled(plain(light), text) for light, text in ((0.2, "one"), (0.7, "two")))
    drawn = beside.side_by_side(first, second)(camera(), ALL)
    assert drawn.rgb is not None and drawn.rgb.shape == (120, 400, 3)
    assert float(drawn.rgb[60, 100, 0]) == torch.tensor(0.2) and float(drawn.rgb[60, 300, 0]) == torch.tensor(0.7)
    corner, other = drawn.rgb[:25, :60, 0], drawn.rgb[:25, 200:260, 0]
    for part, light in ((corner, 0.2), (other, 0.7)):
        assert float(part.max()) > 0.85 and float(part.min()) < light * 0.6  # letters, and their plate
    assert not torch.equal(corner > 0.8, other > 0.8)  # of other words
    assert torch.equal(drawn.rgb[30:], torch.cat([plain(light)(camera(), ALL).rgb[30:] for light in (0.2, 0.7)], 1))  # type: ignore[index]


def test_a_long_label_stays_in_its_half() -> None:
    drawn = beside.labelled(plain(0.2), "a name that is much too long for any picture", right=True)(camera(), ALL)
    assert drawn.rgb is not None
    changed = (drawn.rgb[..., 0] != 0.2).any(0).nonzero()[:, 0]
    assert int(changed.min()) >= 95 and int(changed.max()) < 200


def test_another_scene_frame_shows_the_same_picture() -> None:
    """The ball's world, scaled and turned, drawn by cameras of the first frame: depth and normals are the first's."""
    angle = math.radians(35)
    turn = [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    other_from_scene = Similarity(2.5, turn, [0.3, -0.2, 0.5])
    plain_ball = draw.of_model(world.Model())

    def of_other(camera: Cameras, channels: draw.Channels, moment: float = 0.0) -> Rendering:
        """A model that was trained in the other frame."""
        scene_from_other = other_from_scene.inverse()
        pose = scene_from_other.poses(camera.world_from_cam)
        drawn = plain_ball(Cameras(pose, camera.intrinsics, camera.width, camera.height), channels)
        assert drawn.depth is not None and drawn.normal is not None
        normal = drawn.normal @ other_from_scene.rotation.float().T
        return Rendering(drawn.rgb, drawn.alpha, drawn.depth * other_from_scene.scale, normal)

    found, truth = beside.mapped(of_other, other_from_scene)(camera(), ALL), plain_ball(camera(), ALL)
    for name in ("alpha", "depth", "normal"):
        ours, theirs = getattr(found, name), getattr(truth, name)
        assert float(((ours - theirs).abs() < 1e-3).float().mean()) > 0.99, name
    assert found.rgb is not None and truth.rgb is not None
    assert float(((found.rgb - truth.rgb).abs() < 0.01).float().mean()) > 0.98
