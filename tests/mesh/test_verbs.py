"""`nerfkit mesh` and `nerfkit export` on a run whose model is analytic."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import analytic
import numpy as np
import pytest
import torch
from test_stages import turned

from nerfkit.cli import export as export_verb
from nerfkit.cli import main
from nerfkit.cli import mesh as mesh_verb
from nerfkit.cli.console import Console
from nerfkit.contracts import Gaussians
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.mesh import preview
from nerfkit.mesh.assets import write
from nerfkit.mesh.options import AssetOptions, MeshOptions, TextureOptions
from nerfkit.mesh.request import Request
from nerfkit.splats import formats, ply
from nerfkit.train import checkpoint
from nerfkit.train.run import Run


class Silent:
    def say(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        raise AssertionError(text)

    def progress(self, stage: str, done: int, total: int) -> None:
        assert 0 <= done <= total


class WithGaussians(analytic.BallOnTable):
    def gaussians(self) -> Gaussians:
        return Gaussians(
            torch.ones(3, 3),
            torch.ones(3, 4),
            torch.full((3, 3), 0.1),
            torch.full((3,), 0.5),
            torch.ones(3, 4, 3),
        )


@pytest.fixture
def a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that opens as a run of the analytic model, in a turned world."""
    folder = tmp_path / "run"
    run = SimpleNamespace(path=folder, checkpoints=folder / "checkpoints", origin=folder)
    checkpoint.save(run.checkpoints, checkpoint.Checkpoint("analytic", 1, {}))
    run.exports, run.metrics, run.mesh_stages = folder / "exports", folder / "metrics.json", folder / ".mesh"
    run.scene = lambda: analytic.scene(analytic.ring(24), turned())
    run.model = lambda *_, **__: WithGaussians()
    monkeypatch.setattr(Run, "open", lambda path: run)
    return folder


def mesh(run: Path, **options: Any) -> dict[str, Any]:
    return mesh_verb.run(mesh_verb.Options(run=run, **options), Silent())  # type: ignore[arg-type]


def test_mesh_writes_the_file_and_its_facts(a_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "_FRAMES", 8)
    monkeypatch.setattr(preview, "_VIDEO_SIDE", 160)
    out = tmp_path / "made" / "ball.glb"
    result = mesh(a_run, out=out, resolution=48, faces=3000, smooth=0, texture_size=256, fit=1, refine=1)
    facts: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    assert facts == json.loads(json.dumps(result))
    assert facts["files"] == [str(out), *(str(out.with_name(f"ball_turntable.{kind}")) for kind in ("png", "mp4"))]
    assert all(Path(file).stat().st_size > 1000 for file in facts["files"])
    assert facts["texture_size"] == 256 and facts["watertight"] is False and facts["levels"] == [facts["faces"]]
    assert list(facts["seconds"]) == [
        "surface", "clean", "simplify", "unwrap", "fit", "bake", "normals", "write", "preview"
    ]  # fmt: skip
    loaded = write.read(out)
    assert (len(loaded.faces), len(loaded.vertices)) == (facts["faces"], facts["vertices"])
    assert 2500 < facts["faces"] <= 3000
    assert loaded.vertices.min(0).tolist() == pytest.approx(facts["bounds"][0], abs=1e-5)
    in_scene = turned().points(torch.from_numpy(loaded.vertices).double())
    assert analytic.distance_to_truth(in_scene).median() < 0.2 / 48
    assert facts["color_error"]["mean_error"] < 6 and facts["distance_to_dense_percent"] < 0.5


def test_mesh_lies_in_the_runs_exports_by_default(a_run: Path) -> None:
    mesh(a_run, resolution=32, texture="none", preview=False)
    assert sorted(path.name for path in (a_run / "exports").iterdir()) == ["mesh.glb", "mesh.json"]


def test_what_an_engine_gets(a_run: Path, tmp_path: Path) -> None:
    wanted = Request(MeshOptions(), TextureOptions(), AssetOptions(engine="unreal"), ".glb")
    assert wanted.collision == "convex"  # which takes as long as it may: here a box
    out = tmp_path / "ball.glb"
    options: dict[str, Any] = {"resolution": 48, "faces": 6000, "texture_size": 256, "fit": 1, "refine": 0}
    facts = mesh(a_run, out=out, engine="unreal", collision="box", preview=False, **options)
    assert [Path(file).name for file in facts["files"]] == [
        "ball.glb",
        "ball_LOD1.glb",
        "ball_LOD2.glb",
        "ball_LOD3.glb",
    ]
    assert len(facts["levels"]) == 4 and facts["collision_shapes"] == 1
    low, high = np.array(facts["bounds"])  # upright, in the world's unit, the pivot at the middle of the base
    assert low[2] == pytest.approx(0, abs=1e-6) and np.abs(low[:2] + high[:2]).max() < 1e-6
    assert high[0] == pytest.approx(analytic.HALF / turned().scale, rel=0.05)


def test_a_stage_is_done_once_and_again_where_it_must(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Run.open(a_run).model()
    monkeypatch.setattr(Run.open(a_run), "model", lambda *_, **__: model)
    cheap: dict[str, Any] = {"resolution": 32, "texture": "none", "preview": False, "faces": 800}
    assert mesh(a_run, stage="surface", **cheap)["files"] == []
    drawn = len(model.seen)
    assert drawn == 21 and not (a_run / "exports").exists()
    first = mesh(a_run, **cheap)
    again = mesh(a_run, **cheap | {"faces": 400})
    assert len(model.seen) == drawn and first["faces"] > 1.5 * again["faces"]
    assert again["seconds"]["clean"] == first["seconds"]["clean"]
    mesh(a_run, **cheap | {"resolution": 24})
    assert len(model.seen) == drawn  # the depth maps are kept
    mesh(a_run, **cheap | {"image_scale": 0.5})
    assert len(model.seen) == 2 * drawn
    (a_run / ".mesh" / "surface.npz").write_bytes(b"cut off")
    assert mesh(a_run, **cheap | {"image_scale": 0.5})["faces"] > 0


def test_metres_are_not_made_up(a_run: Path) -> None:
    with pytest.raises(NerfkitError, match=r"--metric, but its poses have no scale.*--scale-ref"):
        mesh(a_run, metric=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"texture_size": 100}, "--texture-size 100"), ({"levels": 5}, "--levels 5"), ({"smooth": 2}, "--smooth 2"),
     ({"fill_holes": -1}, "--fill-holes -1"), ({"refine": -1}, "--refine -1"), ({"faces": -5}, "--faces -5"),
     ({"min_views": -1}, "--min-views -1")],
)  # fmt: skip
def test_senseless_options_are_told_before_the_work(a_run: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(NerfkitError, match=words):
        mesh(a_run, **options)
    assert not (a_run / ".mesh").exists()


def test_mesh_refuses_a_format_before_it_works(a_run: Path, tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match=r"use \.glb"):
        mesh(a_run, out=tmp_path / "ball.blend")


def test_mesh_from_density(
    a_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Run.open(a_run), "model", lambda *_, **__: analytic.ShiningBall())
    out = tmp_path / "ball.ply"
    arguments = ["mesh", str(a_run), "--from", "density", "--density-threshold", "500", "--resolution", "48"]
    arguments += ["--smooth", "0", "--no-preview"]
    assert main([*arguments, "-o", str(out), "--json", "--quiet"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert list(facts["seconds"]) == ["surface", "clean", "simplify", "write"]
    assert facts["watertight"] is True
    in_scene = turned().points(torch.from_numpy(write.read(out).vertices).double())
    assert (in_scene.norm(dim=1) - analytic.RADIUS).abs().max() < 1 / 48
    assert b"red" in out.read_bytes()[:1000]


def test_mesh_without_colors_is_written_in_every_format(
    a_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run.open(a_run), "model", lambda *_, **__: analytic.SolidBall())
    for suffix in write.FORMATS:
        out = tmp_path / f"ball{suffix}"
        mesh(a_run, out=out, resolution=32, source="density", texture="none", preview=False)
        assert len(write.read(out).faces) > 500


def test_models_without_density_are_told(a_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mesh", str(a_run), "--from", "density", "--quiet"]) == 2
    assert capsys.readouterr().err == "error: this model has no density field; use --from depth\n"
    assert not (a_run / "exports").exists()


def test_export_writes_splats_in_the_world_frame(a_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "ball.ply"
    result = export_verb.run(export_verb.Options(runs=(a_run,), out=out), Silent())  # type: ignore[arg-type]
    assert result == {
        "format": "ply",
        "gaussians": 3,
        "left_out": {},
        "bytes": out.stat().st_size,
        "files": [str(out)],
        "world_offset": None,
    }
    back = ply.read(out)
    torch.testing.assert_close(turned().points(back.means), torch.ones(3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(back.scales, torch.full((3, 3), 0.1 / turned().scale))


def test_far_from_the_origin_files_are_written_less_an_offset(
    a_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A world of survey coordinates: nothing of splats and mesh is lost to single precision."""
    monkeypatch.chdir(tmp_path)
    utm = torch.tensor([500_000.0, 5_400_000.0, 100.0]).double()
    near = turned()
    far = Similarity(near.scale, near.rotation, near.translation - near.scale * (near.rotation @ utm))
    options = ["--resolution", "48", "--no-preview", "--faces", "800", "--texture", "none", "--quiet"]
    assert main(["mesh", str(a_run), "-o", "near.ply", *options]) == 0
    monkeypatch.setattr(Run.open(a_run), "scene", lambda: analytic.scene(analytic.ring(24), far))
    assert main(["mesh", str(a_run), "-o", "far.ply", *options]) == 0
    assert "500000 5400000 100" in caplog.text and "--path-frame far.ply" in caplog.text
    card = json.loads(Path("far.json").read_text())
    offset = torch.tensor(card["world_offset"]).double()
    assert offset.tolist() == utm.tolist() and json.loads(Path("near.json").read_text())["world_offset"] is None
    np.testing.assert_allclose(write.read(Path("far.ply")).vertices, write.read(Path("near.ply")).vertices, atol=1e-5)
    bounds = [*(utm - 0.2).tolist(), *(utm + 0.2).tolist()]
    assert main(["mesh", str(a_run), "-o", "part.ply", "--bounds", *map(str, bounds), *options]) == 0
    card = json.loads(Path("part.json").read_text())
    part = write.read(Path("part.ply")).vertices + np.array(card["world_offset"])
    slack = 0.01  # of smoothing
    assert (part >= np.array(bounds[:3]) - slack).all() and (part <= np.array(bounds[3:]) + slack).all()
    assert np.ptp(part, axis=0).min() > 0.01
    assert card["color_error"] is None and "no held-out photo shows the mesh" in caplog.text  # and that is no fault

    assert main(["export", str(a_run), "-o", "far.splat", "--quiet"]) == 0
    torch.testing.assert_close(near.points(formats.read(Path("far.splat")).means), torch.ones(3, 3), atol=1e-5, rtol=0)


def test_export_names_the_alternatives(a_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run.open(a_run), "model", lambda *_, **__: analytic.BallOnTable())
    with pytest.raises(NerfkitError, match=r"has no Gaussians to export.*nerfkit mesh"):
        export_verb.run(export_verb.Options(runs=(a_run,)), Silent())  # type: ignore[arg-type]
    options = export_verb.Options(runs=(a_run,), out=tmp_path / "a.spz", format="ply")
    with pytest.raises(NerfkitError, match=r"needs the suffix \.ply"):
        export_verb.run(options, Silent())  # type: ignore[arg-type]
    assert not list(tmp_path.rglob("*.spz"))


def test_more_faces_than_asked_for_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for made, asked in ((1000, 0), (100, 100), (149, 100)):
        mesh_verb._warn_of_faces(made, asked, Console())
    assert not capsys.readouterr().err
    mesh_verb._warn_of_faces(779, 100, Console())
    assert "--faces 100: 779 are left" in capsys.readouterr().err
