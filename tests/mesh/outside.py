"""Programs that no one here wrote, which open what nerfkit writes."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

CLIENTS = Path(__file__).parents[1] / "clients"
BLENDER = CLIENTS / ".venv" / "bin" / "python"


def gltf_reports(paths: list[Path]) -> list[dict[str, Any]]:
    """What the Khronos validator says of GLB files."""
    node = shutil.which("node")
    if node is None or not (CLIENTS / "node_modules" / "gltf-validator").is_dir():
        pytest.skip("needs Node.js and `npm ci --prefix tests/clients`")
    command = [node, str(CLIENTS / "validate_glb.cjs"), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    reports: list[dict[str, Any]] = json.loads(done.stdout)
    return reports


def blender(script: str, *arguments: str | Path) -> dict[str, Any]:
    """Runs a script of tests/clients with Blender as a module, in a process of its own; it prints JSON at last."""
    if not list(BLENDER.parents[1].glob("lib/python*/site-packages/bpy/__init__*")):
        pytest.skip("needs Blender as a module: `make clients` with Python 3.11")
    command = [str(BLENDER), str(CLIENTS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def godot(project: Path) -> dict[str, list[dict[str, Any]]]:
    """Imports the files of a folder as a Godot project, and tells the nodes of each."""
    program = shutil.which("godot3-server")
    if program is None:
        pytest.skip("needs Godot: `apt-get install godot3-server` (21 MB)")
    shutil.copy(CLIENTS / "check.gd", project)
    (project / "project.godot").write_text("config_version=4\n")
    home = project / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    _import(program, project, environment)
    command = [program, "--path", str(project), "--script", "check.gd"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    lines = [line.removeprefix("found ") for line in done.stdout.splitlines() if line.startswith("found ")]
    return {found["file"]: found["nodes"] for found in map(json.loads, lines)}


def _import(program: str, project: Path, environment: dict[str, str]) -> None:
    """Runs the editor until it has imported every file: asked to quit by itself, it may hang at the end of that."""
    expected = len([path for path in project.iterdir() if path.suffix in (".glb", ".obj")])
    command = [program, "--path", str(project), "--editor"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as editor:
        try:
            until = time.monotonic() + 90
            while len(list((project / ".import").glob("*.md5"))) < expected:
                assert time.monotonic() < until and editor.poll() is None, "Godot didn't import the files"
                time.sleep(0.1)
        finally:
            editor.kill()
