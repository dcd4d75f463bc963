"""The command line as a user meets it: real processes, their exit statuses, words and results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import nerfkit
from nerfkit.cli import VERBS, main


def nerfkit_run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nerfkit.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    code = "import sys; from nerfkit.cli import main; main(['--help']); print(sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    words, modules = result.stdout.rsplit("\n", 2)[:2]
    for verb in VERBS:
        assert f"  {verb} " in words
    for heavy in ("'torch'", "'numpy'", "'tyro'", "'rich'"):
        assert heavy not in modules


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_explains_itself_without_torch(verb: str) -> None:
    code = f"import sys; from nerfkit.cli import main; sys.exit(main(['{verb}', '--help']) or 'torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"nerfkit {verb}" in result.stdout


def test_version() -> None:
    assert nerfkit_run("--version").stdout == f"nerfkit {nerfkit.__version__}\n"
    assert version("nerfkit") == nerfkit.__version__


def test_unknown_verb_suggests_the_nearest() -> None:
    result = nerfkit_run("trian")
    assert result.returncode == 2
    assert result.stderr == "error: there is no verb 'trian' (did you mean train?); see nerfkit --help\n"


def test_a_file_behind_the_options_is_told_where_it_belongs() -> None:
    result = nerfkit_run("convert", "a.ply", "--up", "z", "b.ply")
    assert result.returncode == 2
    assert result.stderr.startswith("error: b.ply: what stands here is no option's; name files before the options;")


def test_names_with_colons_are_told_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(Path(__file__).parent), "--device", "cuda:x", "--out", "none"]) == 2
    assert "--device cuda:x: no such device" in capsys.readouterr().err


def test_unknown_option_is_the_users_fault() -> None:
    result = nerfkit_run("eval", "run", "--speed", "9")
    assert result.returncode == 2
    assert "--speed" in result.stderr
    assert "Traceback" not in result.stderr


def test_json_is_one_object_and_words_go_to_stderr() -> None:
    result = nerfkit_run("doctor", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["checks"]["render core"]["state"] == "ok"
    assert "render core" in result.stderr
    assert nerfkit_run("doctor", "--json", "--quiet").stderr == ""


def test_doctor_names_a_missing_library() -> None:
    result = nerfkit_run("doctor", "--json", NERFKIT_ISA="none")
    assert result.returncode == 0
    check = json.loads(result.stdout)["checks"]["render core"]
    assert check["state"] == "problem"
    assert "make setup" in check["hint"]


def test_bad_input_is_one_line_and_status_2(tmp_path: Path) -> None:
    result = nerfkit_run("eval", str(tmp_path / "nowhere"))
    assert result.returncode == 2
    assert (
        result.stderr == f"error: {tmp_path / 'nowhere'}: no such run; give the folder that nerfkit train --out made\n"
    )


def test_our_own_fault_is_status_1_with_a_report(tmp_path: Path) -> None:
    code = (
        "import nerfkit.cli.scenes as s, sys\n"
        "def broken(options, console): raise ZeroDivisionError('oh')\n"
        "s.run = broken\n"
        "from nerfkit.cli import main\nsys.exit(main(['scenes']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert result.returncode == 1
    assert "This is a fault of nerfkit" in result.stderr
    assert "Traceback" not in result.stderr
    (report,) = tmp_path.glob("nerfkit-scenes-*.txt")
    assert "ZeroDivisionError: oh" in report.read_text()


def test_interrupt_is_status_130() -> None:
    code = (
        "import nerfkit.cli.scenes as s, sys\n"
        "def stopped(options, console): raise KeyboardInterrupt\n"
        "s.run = stopped\n"
        "from nerfkit.cli import main\nsys.exit(main(['scenes']))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 130


def test_scenes_are_listed_and_found() -> None:
    listed = json.loads(nerfkit_run("scenes", "--json").stdout)["scenes"]
    assert {"still_life", "fox", "lego"} <= set(listed)
    folder = Path(nerfkit_run("scenes", "--path", "still_life").stdout.strip())
    assert any((folder / "photos").glob("*.jpg"))
    assert json.loads(nerfkit_run("scenes", "--path", "still_life", "--json").stdout) == {"path": str(folder)}
    missing = nerfkit_run("scenes", "--path", "castle")
    assert missing.returncode == 2
    assert "there is no scene 'castle'" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["render"], "missing from nerfkit render: PATH: Run folder"),
        (["render", "run", "--szie", "3"], "unrecognized options: --szie, 3 (did you mean --size?)"),
        (["render", "run", "--fps", "fast"], "--fps fast: must be a number"),
        (["mesh", "run", "--engine", "maya"], "Expected one of ('unity', 'unreal', 'godot', 'blender')"),
        (["convert", "a.ply", "b.ply", "--rotate", "10"], "--rotate 10: takes 3 numbers, and 1 are given"),
    ],
)
def test_a_mistaken_option_is_told_in_one_line(arguments: list[str], words: str) -> None:
    result, in_ascii = (nerfkit_run(*arguments, PYTHONIOENCODING=encoding) for encoding in ("utf-8", "ascii"))
    assert in_ascii.stderr == result.stderr
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith(f"; see nerfkit {arguments[0]} --help\n")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", list(VERBS))
def test_help_tells_no_internals_and_each_default_once(verb: str) -> None:
    help_text = " ".join(nerfkit_run(verb, "--help", COLUMNS="1000").stdout.split())
    for internal in ("None", "``", "(default: )"):
        assert internal not in help_text
    assert help_text.count("(default: the photos' size)") == (verb == "render")
    assert "--json" in help_text


def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    code = f"{sys.executable} -m nerfkit.cli train --help | head -n 1"
    result = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout == "usage: nerfkit train [-h] [OPTIONS] PATH\n"
    assert result.stderr == ""


def test_a_second_interrupt_says_nothing() -> None:
    """It comes while Python ends, where it would be the traceback of whatever is taken down just then."""
    code = "import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
    code += "from nerfkit.cli import main; main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
