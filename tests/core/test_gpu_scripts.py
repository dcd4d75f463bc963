"""What `make gpu-bench` and `make gpu-all` run, as far as it runs without a GPU."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pretend_gpu import pretend_gpu

from core import stand_ins
from nerfkit.core import choose_core
from nerfkit.core._library import library

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import gpu_all  # noqa: E402
import gpu_bench  # noqa: E402
from gpu import isolate, kernels, operators, roofline, tables, timing  # noqa: E402
from gpu.context import Context, Rows  # noqa: E402

pytestmark = pytest.mark.cpu_only


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for peer in ("gsplat", "tinycudann", "nerfacc", "fused_ssim"):  # which want a real one, if they are installed
        monkeypatch.setitem(sys.modules, peer, None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    monkeypatch.setattr(kernels, "traced", lambda work, rounds, device: [_event("some_kernel", 0, 1)])
    roofline.ceilings.cache_clear()
    with pretend_gpu(monkeypatch):
        yield
    roofline.ceilings.cache_clear()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def _context(device: str, work: Path) -> Context:
    return Context(device, True, 1, work, None, 1.0, {})


def _event(name: str, start: float, duration: float) -> dict[str, Any]:
    return {"ph": "X", "cat": "kernel", "name": name, "ts": start, "dur": duration}


@pytest.mark.parametrize("name", gpu_bench.CASES)
def test_every_case_works_on_a_gpu_that_is_none(name: str, gpu: None, work: Path) -> None:
    rows = list(gpu_bench.CASES[name][0](_context("cuda", work)))
    assert rows and not [row for _, row in rows if row.get("fault")]
    ours = [row for table, row in rows if table == "Cases" and row["side"] == timing.OURS]
    assert all(row["ms"] > 0 and row["floor ms"] > 0 for row in ours)


def test_gsplat_is_given_the_same_work(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same picture and gradients, within what its rules differ by."""
    stand_ins.gsplat_on_the_cpu(monkeypatch)
    context = _context("cpu", work)
    gaussians, camera = operators.scene(dataclasses.replace(context.sizes, gaussians=200), context.device)
    gaussians.opacities.data.clamp_max_(0.5)
    target = torch.rand(3, camera.height, camera.width)
    ours = choose_core("nerfkit", "cpu")
    gsplat = operators.Gsplat(ours, camera, context.device)
    pictures, gradients = [], []
    grad = torch.autograd.grad

    def watched(outputs: Any, inputs: Any, *others: Any, **named: Any) -> Any:
        found = grad(outputs, inputs, *others, **named)
        if inputs[0] is gaussians.means:  # not what the stand-in itself asks for
            gradients.append(found)
        return found

    monkeypatch.setattr(torch.autograd, "grad", watched)
    for core in (ours, gsplat):
        pictures.append(core.rasterize(gaussians, camera, torch.zeros(3)).image)
        operators.both(core, gaussians, camera, target)()
        operators.step(core, gaussians, camera, target)()
    assert (pictures[0] - pictures[1]).abs().max() < 2e-3 and pictures[0].max() > 0.2
    for a, b in zip(*gradients, strict=True):
        assert (a - b).norm() < 0.02 * a.norm()


# --- floors -------------------------------------------------------------------------------------------------


def test_floors_are_those_of_the_arrays() -> None:
    param, grad, m, v = (torch.zeros(1000) for _ in range(4))
    arrays = {"param": param, "grad": grad, "m": m, "v": v, "lr": torch.ones(1), "step": 1}
    assert roofline.fewest_bytes("nk_adam", arrays) == 7 * 4000  # three are read and written, lr lies on the host
    limits = roofline.Ceilings(memory=28e6, single=1e6, half=1e6)
    assert roofline.floor(limits, "nk_adam", arrays) == pytest.approx((1.0, 12.0))


def test_a_large_table_costs_what_is_looked_up() -> None:
    table, positions = torch.zeros(1 << 16, 2), torch.zeros(10, 3)
    arrays = {"table": table, "positions": positions, "features": torch.zeros(10, 8), "offsets": torch.zeros(5)}
    looked_up = 10 * 8 * 4 * 2 * 4
    assert roofline.fewest_bytes("nk_hash_encode_fwd", arrays) == looked_up + positions.nbytes + 10 * 8 * 4


def test_every_named_operator_is_one(work: Path) -> None:
    core_library = library()
    known = {
        name: {field.name for field in core_library.fields(name).values() if field.read_only}
        for name in core_library.operators
    }
    assert {*roofline.OPERATIONS, *roofline.READ_TOO} <= known.keys()
    assert known["nk_adam"] == {"lr", "drawn", "grad"}


def test_splats_are_counted_at_the_pixels_they_reach(work: Path) -> None:
    context = _context("cpu", work)
    gaussians, camera = operators.scene(context.sizes, context.device)
    core = operators.rasterizers(camera, context.device)["nerfkit"]
    found = roofline.operators(context, operators.forward(core, gaussians, camera, torch.zeros(3, 64, 96)))
    assert [part.operator for part in found] == ["nk_project_fwd", "nk_bin", "nk_fill", "nk_rasterize_fwd"]
    assert found[-1].bound_by == "arithmetic" and all(part.ms > 0 and part.floor_ms > 0 for part in found)


# --- kernels ------------------------------------------------------------------------------------------------


def test_a_trace_tells_how_long_a_gpu_was_busy() -> None:
    trace = {"traceEvents": [
        _event("void nk::draw<(int)3>(nk_params, float*)", 0, 10),
        _event("void nk::draw<(int)3>(nk_params, int)", 5, 10),
        _event("gap", 100, 5), {"ph": "X", "cat": "cpu_op", "name": "aten::add", "ts": 0, "dur": 1e6},
    ]}  # fmt: skip
    events = kernels.device_events(trace, "cuda")
    assert kernels.busy_ms(events) == pytest.approx(0.020)
    assert kernels.by_name(events) == {"draw<(int)3>": (2, pytest.approx(0.020)), "gap": (1, pytest.approx(0.005))}
    assert kernels.short("(anonymous namespace)::adam_by_fours(nk_adam_params)") == "adam_by_fours"


# --- each case on its own -----------------------------------------------------------------------------------


def _good(context: Context) -> Rows:
    yield "Good", {"n": 1}


def _bad(context: Context) -> Rows:
    yield "Bad", {"n": 2}
    raise ValueError("wrong\nin two lines")


def _dead(context: Context) -> Rows:
    os._exit(3)
    yield


def _endless(context: Context) -> Rows:
    time.sleep(1000)
    yield


def test_a_fault_ends_only_its_own_case(work: Path) -> None:
    cases = {"first": _good, "bad": _bad, "dead": _dead, "endless": _endless, "last": _good}
    limits = dict.fromkeys(cases, 60.0) | {"endless": 0.5}
    told = [(kind, name, what) for kind, name, what in isolate.run(cases, list(cases), _context("cpu", work), limits)]
    faults = {name: what for kind, name, what in told if kind == "fault"}
    assert faults["bad"] == "ValueError: wrong" and "died" in faults["dead"] and "took longer" in faults["endless"]
    assert [name for kind, name, _ in told if kind == "done"] == ["first", "last"]
    assert ("row", "bad", ("Bad", {"n": 2})) in told


def test_a_side_that_fails_is_a_row(work: Path) -> None:
    def fails() -> None:
        raise RuntimeError("no such kernel")

    rows = dict(timing.compared(_context("cpu", work), "some", {"peer": fails}))
    assert rows["Cases"]["fault"] == "RuntimeError: no such kernel" and rows["Cases"]["ms"] is None


def test_tables_are_kept_as_they_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tables.Tables({"device": "some"}, tmp_path)
    kept.add("A", {"x": 1234, "of the floor's speed": 0.5})
    kept.add("A", {"x": 0.12345, "of the floor's speed": None})
    assert "| 1,234 | 50% |\n| 0.1235 |  |" in capsys.readouterr().out.replace("0.1234", "0.1235")
    assert json.loads((tmp_path / "bench.json").read_text())["tables"]["A"][1]["x"] == 0.12345


# --- one command --------------------------------------------------------------------------------------------


def test_stages_end_in_time_and_alone(tmp_path: Path) -> None:
    def stage(name: str, script: str) -> gpu_all.Stage:
        return gpu_all.Stage(name, ["sh", "-c", script])

    stages = [stage("good", "echo fine"), stage("bad", "echo wrong; exit 3"), stage("long", "sleep 1000 & wait")]
    gpu_all.together(stages, tmp_path, time.monotonic() + 1, lambda note: None)
    assert [stage.result for stage in stages] == ["passed", "failed with status 3", "took too long"]
    assert (tmp_path / "bad.log").read_text() == "wrong\n"
    assert stages[0].seconds < stages[2].seconds
    (tmp_path / "bench.md").write_text("| some | table |")
    text = gpu_all.summary([*stages, stage("never", "")], tmp_path, 12)
    assert "no time was left" in text and "| some | table |" in text and "--- the end of bad.log\nwrong" in text


def test_what_was_built_is_tested_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "a folder", tmp_path / "out"
    for name, script in {
        "gpu_build.sh": 'echo building >&2; mkdir libraries; echo "$PWD/libraries"',
        "gpu_test.sh": 'test -d "$NERFKIT_LIBRARIES" && test "$1" != memcheck',
        "gpu_bench.py": """import os, sys
assert os.path.isdir(os.environ["NERFKIT_LIBRARIES"])
open(sys.argv[2] + "/bench.md", "w").write("| some | table |")""",
    }.items():
        file = root / "scripts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(script)
    monkeypatch.setattr(gpu_all, "ROOT", root)
    monkeypatch.setattr(sys, "argv", ["gpu_all.py", "--out", str(out), "--minutes", "1"])
    assert gpu_all.main() == 1
    found = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.split("memcheck begins")[1].splitlines()
                 if line.startswith(("build ", "operators ", "memcheck ", "bench ")))  # fmt: skip
    assert {name for name, result in found.items() if result.startswith("passed ")} == {"build", "operators", "bench"}
    assert found["memcheck"].startswith("failed with status 1 ")
    assert "| some | table |" in (out / "summary.txt").read_text()
    logs = {f"{name}.log" for name in ("build", *gpu_all.TESTS, "bench")}
    assert {file.name for file in out.iterdir()} == {*logs, "summary.txt"}


@pytest.mark.skipif(torch.cuda.is_available() or Path("/dev/nvidiactl").exists(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sh", "scripts/gpu_build.sh"], "gpu_build.sh: there is no NVIDIA GPU here to build for"),
        (["sh", "scripts/gpu_test.sh"], "sees no GPU; these tests need one"),
        ([sys.executable, "scripts/gpu_bench.py"], "sees no GPU"),
    ],
)
def test_without_a_gpu_one_line_says_so(command: list[str], words: str, tmp_path: Path) -> None:
    for tool in ("nvcc", "cmake"):  # whether or not they are installed: neither is run
        (tmp_path / tool).write_text("#!/bin/sh\nexit 9\n")
        (tmp_path / tool).chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for name in ("NERFKIT_GPU_ARCHITECTURES", "NERFKIT_TEST_DEVICE", "NERFKIT_LIBRARIES"):
        env.pop(name, None)
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and words in result.stderr and "Traceback" not in result.stderr


def test_libraries_that_were_brought_along_are_not_built_again(tmp_path: Path) -> None:
    env = {**os.environ, "NERFKIT_LIBRARIES": str(tmp_path)}
    built = subprocess.run(
        ["sh", "scripts/gpu_build.sh"], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert built.stdout.splitlines() == [str(tmp_path)]


# --- what there may not be ----------------------------------------------------------------------------------

BARE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def test_nothing_but_a_few_packages_is_needed(tmp_path: Path) -> None:
    """Imported and trained with nothing but PyTorch and what reads and writes pictures."""
    script = tmp_path / "bare.py"
    script.write_text(
        BARE.format(missing=sorted(missing_packages()))
        + f"""
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "scripts")!r}, {str(ROOT / "tests")!r}]
import conftest, pretend_gpu, gpu_bench
from gpu.context import Context
from pathlib import Path
context = Context("cpu", True, 1, Path({str(tmp_path)!r}), None, 1, {{}})
for model in gpu_bench.MODELS:
    rows = dict(gpu_bench.CASES[f"training {{model}}"][0](context))
    assert rows["Trainings"]["PSNR"] > 5
"""
    )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


def missing_packages() -> set[str]:
    """The modules of what nerfkit depends on that the scripts must do without."""
    return {
        "tyro", "pycolmap", "viser", "trimesh", "xatlas", "coacd", "fast_simplification", "pxr", "OpenEXR", "lensfunpy",
        "imageio_ffmpeg", "pillow_heif", "plyfile", "zstandard", "lpips", "playwright", "websockets", "gsplat",
        "skimage", "rich", "torchmetrics",
    }  # fmt: skip
