"""`nerfkit mesh` and `nerfkit export` on a run whose model is analytic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import analytic
import pytest
import torch
from test_stages import turned

from nerfkit.cli import export as export_verb
from nerfkit.cli import main
from nerfkit.cli import mesh as mesh_verb
from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.mesh import write
from nerfkit.splats import ply
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
    run = type("FakeRun", (), {})()
    run.exports = folder / "exports"
    run.scene = lambda: analytic.scene(analytic.ring(24), turned())
    run.model = lambda *_, **__: WithGaussians()
    monkeypatch.setattr(Run, "open", lambda path: run)
    return folder


def test_mesh_writes_the_file_and_its_facts(a_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "ball.glb"
    result = mesh_verb.run(mesh_verb.Options(run=a_run, out=out, resolution=48, faces=3000), Silent())  # type: ignore[arg-type]
    facts: dict[str, Any] = json.loads((out.parent / "mesh.json").read_text())
    assert facts == json.loads(json.dumps(result))
    assert list(facts) == [
        "faces",
        "vertices",
        "watertight",
        "bounds",
        "texture_size",
        "files",
        "seconds",
    ]
    assert facts["files"] == [str(out)] and facts["texture_size"] is None and facts["watertight"] is False
    assert list(facts["seconds"]) == ["fuse", "extract", "clean", "simplify", "write"]
    loaded = write.read(out)
    assert (len(loaded.faces), len(loaded.vertices)) == (
        facts["faces"],
        facts["vertices"],
    )
    assert 2500 < facts["faces"] <= 3000
    assert loaded.vertices.min(0).tolist() == pytest.approx(facts["bounds"][0], abs=1e-5)
    in_scene = turned().points(torch.from_numpy(loaded.vertices).double())
    assert analytic.distance_to_truth(in_scene).median() < 0.2 / 48


def test_mesh_lies_in_the_runs_exports_by_default(a_run: Path) -> None:
    mesh_verb.run(mesh_verb.Options(run=a_run, resolution=32), Silent())  # type: ignore[arg-type]
    assert sorted(path.name for path in (a_run / "exports").iterdir()) == [
        "mesh.glb",
        "mesh.json",
    ]


def test_mesh_refuses_a_format_before_it_works(a_run: Path, tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match=r"use \.glb"):
        mesh_verb.run(mesh_verb.Options(run=a_run, out=tmp_path / "ball.blend"), Silent())  # type: ignore[arg-type]


def test_mesh_from_density(
    a_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Run.open(a_run), "model", lambda *_, **__: analytic.ShiningBall())
    out = tmp_path / "ball.ply"
    arguments = ["mesh", str(a_run), "--from", "density", "--density-threshold", "500", "--resolution", "48"]
    assert main([*arguments, "-o", str(out), "--json", "--quiet"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert list(facts["seconds"]) == ["density", "extract", "clean", "simplify", "write"]
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
        mesh_verb.run(mesh_verb.Options(run=a_run, out=out, resolution=32, source="density"), Silent())  # type: ignore[arg-type]
        assert len(write.read(out).faces) > 500


def test_models_without_density_are_told(a_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mesh", str(a_run), "--from", "density", "--quiet"]) == 2
    assert capsys.readouterr().err == "error: this model has no density field; use --from depth\n"
    assert not (a_run / "exports").exists()


def test_export_writes_splats_in_the_world_frame(a_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "ball.ply"
    result = export_verb.run(export_verb.Options(run=a_run, out=out), Silent())  # type: ignore[arg-type]
    assert result == {
        "format": "ply",
        "gaussians": 3,
        "bytes": out.stat().st_size,
        "files": [str(out)],
    }
    back = ply.read(out)
    torch.testing.assert_close(turned().points(back.means), torch.ones(3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(back.scales, torch.full((3, 3), 0.1 / turned().scale))


def test_export_names_the_alternatives(a_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run.open(a_run), "model", lambda *_, **__: analytic.BallOnTable())
    with pytest.raises(NerfkitError, match=r"has no Gaussians to export.*nerfkit mesh"):
        export_verb.run(export_verb.Options(run=a_run), Silent())  # type: ignore[arg-type]
    with pytest.raises(NerfkitError, match=r"needs the suffix \.ply"):
        export_verb.run(export_verb.Options(run=a_run, out=tmp_path / "a.spz"), Silent())  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
