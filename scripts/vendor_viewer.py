"""Bundles the web viewer of ``nerfkit export --format html`` into ``nerfkit/webpage/assets``.

    python scripts/vendor_viewer.py            # after a change of scripts/web_viewer/package.json
    python scripts/vendor_viewer.py --check    # says whether what is there is what the lock file gives

The viewer is PlayCanvas' SuperSplat Viewer with their engine (both MIT): npm installs the versions of
``scripts/web_viewer/package-lock.json``, whose hashes it checks, and esbuild makes one classic script of them, which
runs from ``file://`` where modules don't load. It is kept compressed, as the pages carry it. The result is in the
repository, so that nobody who writes a page needs npm.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "scripts" / "web_viewer"
ASSETS = ROOT / "nerfkit" / "webpage" / "assets"
PACKAGES = ("@playcanvas/supersplat-viewer", "playcanvas")  # whose code is in the bundle


def bundle(folder: Path) -> dict[str, bytes]:
    """The contents of the assets by their names, made in an empty folder."""
    for file in ("package.json", "package-lock.json", "entry.js"):
        shutil.copy(SOURCE / file, folder)
    subprocess.run(["npm", "ci", "--silent", "--ignore-scripts"], cwd=folder, check=True)
    modules = folder / "node_modules"
    options = ["--bundle", "--minify", "--format=iife", "--global-name=nerfkitViewer", "--target=es2022",
               "--charset=utf8", "--legal-comments=none", "--log-level=warning", "--outfile=viewer.js"]  # fmt: skip
    subprocess.run([modules / ".bin" / "esbuild", "entry.js", *options], cwd=folder, check=True)
    style = modules / PACKAGES[0] / "dist" / "viewer.css"
    subprocess.run([modules / ".bin" / "esbuild", style, "--minify", "--outfile=viewer.css"], cwd=folder, check=True,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    return {
        "viewer.js.gz": gzip.compress((folder / "viewer.js").read_bytes(), 9, mtime=0),
        "viewer.css": (folder / "viewer.css").read_bytes(),
        "viewer.license.txt": _licenses(modules).encode(),
    }


def _licenses(modules: Path) -> str:
    parts = []
    for name in PACKAGES:
        version = json.loads((modules / name / "package.json").read_text())["version"]
        parts.append(f"{name} {version}\n\n{(modules / name / 'LICENSE').read_text().strip()}\n")
    return "\n".join(parts)


def _same(name: str, new: bytes) -> bool:
    """Whether an asset holds these bytes, before compression: versions of zlib compress differently."""
    path = ASSETS / name
    if not path.is_file():
        return False
    old = path.read_bytes()
    return gzip.decompress(old) == gzip.decompress(new) if name.endswith(".gz") else old == new


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if an asset is out of date")
    check = parser.parse_args().check
    if shutil.which("npm") is None:
        print("npm is missing: apt-get install npm", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        made = bundle(Path(folder))
    stale = [name for name, data in made.items() if not _same(name, data)]
    for name in stale:
        if check:
            print(f"{ASSETS / name}: is not what {SOURCE} gives; run python scripts/vendor_viewer.py", file=sys.stderr)
        else:
            (ASSETS / name).write_bytes(made[name])
            print(f"{ASSETS / name}: {len(made[name]):,} bytes")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
