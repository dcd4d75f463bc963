"""Runs on a GPU: on one that is pretended, which is strict about devices, and on a real one where there is one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from fixed_steps import assert_recorded_as_done
from pretend_gpu import Graphs, OnGpu, WrongDevice, pretend_gpu
from test_model_runs import SMALL
from toy_scene import write_scene

from nerfkit import models
from nerfkit.contracts import Cameras, Gaussians, SceneModel
from nerfkit.core import choose_core
from nerfkit.core.volume import Volume
from nerfkit.data.scene import Scene
from nerfkit.mesh.fusion import agreement, fuse
from nerfkit.mesh.options import MeshOptions
from nerfkit.splats import ply
from nerfkit.train.checkpoint import list_newest_first
from nerfkit.train.config import TrainConfig
from nerfkit.train.evaluate import evaluate
from nerfkit.train.fit import fit
from nerfkit.train.passes import Passes
from nerfkit.train.run import Run
from nerfkit.train.trainer import Trainer
from nerfkit.views.frames import render_frames

STEPS = 20
OPTIONS = SMALL | {f"{name} grid": SMALL[name] | {"sampler": "grid"} for name in ("ngp", "nerf")}
OPTIONS["gaussians exposed"] = SMALL["gaussians"] | {"exposure": "on", "masks": "ignore"}
WHAT_A_STEP_WAITS_FOR = {  # the number of rays that meet the space; of patches
    "gaussians": {},
    "gaussians on surfaces": {"aten.nonzero": 3},
    "gaussians exposed": {},
    "ngp": {},
    "ngp grid": {},
    "nerf": {},
    "nerf grid": {},
    "nerf paper": {"aten.nonzero": 1},
}
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="pretends a GPU where there is one")


def config(name: str, scene: Path, device: str = "cuda", **options: object) -> TrainConfig:
    model = name.split()[0]
    # Pictures take few rounds then: each operation costs here, not its size.
    more = {} if model == "gaussians" else {"batch": 8192}
    chosen = models.config_class(model)(**OPTIONS[name] | more | options)
    return TrainConfig(
        scene, model=model, steps=STEPS, downscale=1, device=device, threads=1, model_options=chosen, eval_every=0
    )


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene") / "scene", width=40, height=28, alpha=request.param)


def losses(run: Run) -> list[float]:
    return [line["loss"] for line in run.log_lines() if "loss" in line]


# Grids, which are for what has alpha, with it, all else without: these take long.
TRAINED = [
    (name, alpha) for name in OPTIONS for alpha in (False, True) if alpha == ("grid" in name) or name == "gaussians"
]


def watch_steps(monkeypatch: pytest.MonkeyPatch, waits: Counter[str], waited: list[Counter[str]]) -> None:
    own = Trainer.step

    def step(trainer: Trainer) -> None:
        waits.clear()
        own(trainer)
        waited.append(Counter(waits))

    monkeypatch.setattr(Trainer, "step", step)


@pytest.mark.parametrize(("name", "scene"), TRAINED, indirect=["scene"])
def test_every_model_trains_there_and_its_run_goes_on_here(
    name: str, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"densify_events": 1} if name.startswith("gaussians") else {}
    waited: list[Counter[str]] = []  # for what, in each step
    with pretend_gpu(monkeypatch) as waits:
        watch_steps(monkeypatch, waits, waited)
        run = fit(tmp_path / "run", config(name, scene, **options))
        usual = waited[12:15] + waited[17:19]  # every 16th looks at the loss and at the occupancy
        assert usual == [WHAT_A_STEP_WAITS_FOR[name]] * len(usual)
        metrics = json.loads(run.metrics.read_text())
        assert metrics["device"] == "cuda" and metrics["backend"] == "nerfkit"
        there = run.model("cuda")
        learned = [tensor for group in there.optimizers["adam"].param_groups for tensor in group["params"]]
        assert learned and all(isinstance(tensor, OnGpu) for tensor in learned)
        scores = evaluate(there, there.scene.views[:2])  # type: ignore[attr-defined]
    assert all(loss < 2 for loss in losses(run))
    if not name.startswith("gaussians"):  # whose random backgrounds outweigh what so few steps teach
        assert sum(losses(run)[-5:]) < sum(losses(run)[:5])
    here = run.model("cpu")
    assert evaluate(here, here.scene.views[:2])["psnr"] == pytest.approx(scores["psnr"], abs=0.01)  # type: ignore[attr-defined]
    longer = TrainConfig(scene, model=name.split()[0], steps=STEPS + 2, device="cpu", threads=1)
    assert fit(run.path, longer, resume=True).config.device == "cpu"
    with pretend_gpu(monkeypatch):  # and back
        longer = TrainConfig(scene, model=name.split()[0], steps=STEPS + 4, device="cuda", threads=1)
        assert losses(fit(run.path, longer, resume=True))[-1] < 2


@pytest.mark.parametrize("scene", [False], indirect=True)
@pytest.mark.parametrize("name", ["ngp", "nerf", "ngp grid", "nerf grid"])
def test_recorded_steps_are_the_steps(name: str, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(monkeypatch):
        options = config(name, scene).model_options
        model = models.model_class(name.split()[0]).create(
            options, Scene.load(scene), choose_core("nerfkit", "cuda"), torch.device("cuda")
        )
        assert_recorded_as_done(model, torch.device("cuda"), 1e-5)


@pytest.mark.parametrize("scene", [True], indirect=True)
def test_the_number_of_marched_rays_follows_what_is_found(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what steps before the last have found, and then it stays, so that steps can be recorded."""
    with pretend_gpu(monkeypatch):
        device = torch.device("cuda")
        options = config("ngp grid", scene).model_options
        model = models.model_class("ngp").create(options, Scene.load(scene), choose_core("nerfkit", "cuda"), device)
        passes, rng = Passes(model, device), torch.Generator().manual_seed(0)
        passes.run(0.0, rng)
        model.after_step(0.0)
        for begin_with in (256, 20):  # more than there is room for, and few
            model.pace.rays, rays, samples = begin_with, [], []
            for _ in range(60):  # the grid is not looked at anew: what is found stays alike
                passes.run(0.0, rng)
                model._tally.send(model.pace.rays)
                rays.append(model.pace.rays)
                samples.append(model.sample_count)
            assert rays[0] == begin_with and len(set(rays[-20:])) == 1 and len(set(rays)) < 8
            assert 0.7 * model.batch < (samples[-1] - samples[-21]) / 20 < 0.97 * model.batch
            assert any(kind[1] * kind[2] == pytest.approx(rays[-1], abs=32) for kind in passes._recordings)


def test_steps_that_can_not_be_recorded_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    scene = write_scene(tmp_path / "scene", width=40, height=28)
    with pretend_gpu(monkeypatch):
        monkeypatch.setattr(Graphs, "record", fail)
        run = fit(tmp_path / "run", config("ngp", scene))
    assert sum(losses(run)[-5:]) < sum(losses(run)[:5])
    words = [record.getMessage() for record in caplog.records if "recorded" in record.getMessage()]
    assert len(words) == 1 and words[0].endswith("kernel by kernel: operation not permitted when stream is capturing")


@pytest.mark.parametrize("scene", [True], indirect=True)
def test_mcmc_and_noise_work_there(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(monkeypatch):
        for name, options in (
            ("gaussians", {"density": "mcmc"}),
            ("nerf paper", {"raw_noise": 0.1, "antialias": True}),
        ):
            run = fit(tmp_path / name, config(name, scene, **options))
            assert all(loss < 2 for loss in losses(run))


@pytest.mark.parametrize("space", ["contracted", "ndc"])
def test_every_space_works_there(space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = write_scene(tmp_path / "scene", count=4, width=40, height=28)
    text = json.loads((scene / "transforms.json").read_text())
    for index, frame in enumerate(text["frames"]):  # all look the same way
        pose = torch.eye(4)
        pose[0, 3], pose[2, 3] = 0.1 * index, 3.0
        frame["transform_matrix"] = pose.tolist()
    (scene / "transforms.json").write_text(json.dumps(text))
    with pretend_gpu(monkeypatch):
        run = fit(tmp_path / "run", config("ngp", scene, space=space, distortion=0.01))
        assert all(loss < 2 for loss in losses(run))


def trained(name: str, scene: Path, path: Path) -> SceneModel:
    return fit(path, config(name, scene)).model("cuda")


@pytest.mark.parametrize(("name", "scene"), [("gaussians", True), ("ngp", False)], indirect=["scene"])
def test_what_is_drawn_there_comes_out(name: str, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(monkeypatch):
        model = trained(name, scene, tmp_path / "run")
        loaded = model.scene  # type: ignore[attr-defined]
        views = [loaded.views[index].camera for index in loaded.train[:2]]
        cameras = Cameras(
            torch.cat([view.world_from_cam for view in views]), torch.cat([view.intrinsics for view in views]),
            views[0].width, views[0].height,
        )  # fmt: skip
        for frame in render_frames(model, cameras, ("rgb", "depth", "normal", "alpha")):
            assert all(image.shape == (28, 40, 3) for image in frame.values())
        options = MeshOptions(resolution=24)
        monkeypatch.setattr(agreement, "_LEAST_SHARE", 0)  # so few steps make no surface
        maps = fuse.render_depths(model, loaded, options)
        volume = fuse.fuse(maps, loaded, options, choose_core(device="cuda"), "cuda")
        assert isinstance(volume, Volume) and isinstance(volume.tsdf, OnGpu) and not isinstance(volume.origin, OnGpu)
        if name == "gaussians":
            drawn: Gaussians = model.gaussians()  # type: ignore[attr-defined]
            ply.write(tmp_path / "splats.ply", drawn)
            assert len(ply.read(tmp_path / "splats.ply")) == len(drawn)


@pytest.mark.parametrize("scene", [True], indirect=True)
def test_photos_that_do_not_fit_are_picked_from_on_the_cpu(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pretend_gpu(monkeypatch):
        monkeypatch.setattr("nerfkit.data.resident.room_for_photos", lambda device: 1000)
        for name in ("ngp", "gaussians"):
            run = fit(tmp_path / name, config(name, scene))
            assert all(loss < 2 for loss in losses(run))
            assert list_newest_first(run.checkpoints)


# --- the pretended GPU itself --------------------------------------------------------------------------------------


def test_the_pretended_gpu_is_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(monkeypatch) as waits:
        there, here = torch.ones(3, 2, device="cuda").requires_grad_(), torch.ones(3, 2)
        (there * 2).sum().backward()
        assert there.grad is not None and there.grad.device.type == "cuda" and there.grad.tolist() == [[2, 2]] * 3
        rng = torch.Generator("cuda").manual_seed(0)
        for mixed in (
            lambda: there + here,
            lambda: there[torch.tensor([0, 1])],
            lambda: torch.cat([there, here]),
            lambda: torch.rand(3, generator=rng),
            lambda: torch.rand(3, generator=torch.Generator(), device="cuda"),
            lambda: there.detach().numpy(),
            lambda: choose_core().composite(here[:, 0], there, torch.tensor([0, 3], dtype=torch.int32)),
        ):
            with pytest.raises((WrongDevice, ValueError), match=r"on the CPU|generator on|numpy|must be on"):
                mixed()
        waits.clear()
        there.sum().item()
        there.detach().cpu()
        torch.ones(3).to("cuda")
        torch.ones(3).to("cuda", non_blocking=True)
        assert waits == {"aten._local_scalar_dense": 1, "to the CPU": 1, "to the GPU": 1}
