"""Headless Chromium, and what a page says of itself in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ASK = """<script>
const faults = [];
addEventListener("error", event => faults.push(event.message));
console.error = console.warn = (...words) => faults.push(words.join(" "));
addEventListener("load", () => setTimeout(async () => {
  let answer;
  try { answer = await (async () => { %s })(); } catch (error) { faults.push(String(error)); }
  const told = JSON.stringify({ answer, faults, width: document.documentElement.scrollWidth, window: innerWidth });
  const bytes = new TextEncoder().encode(told);
  parent.postMessage(btoa(String.fromCharCode(...bytes)), "*");
}, 300));
</script>"""
FRAME = """<script>onmessage = e => document.title = 'told ' + e.data + ' end'</script>
<iframe src="%s" style="width:%dpx;height:%dpx;border:0"></iframe>"""


def ask(page: Path, script: str, folder: Path, width: int = 1280, height: int = 900) -> Any:
    """What ``script``, the body of an async function, returns in the page; fails on any error or sideways scrolling."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("needs headless Chromium: apt-get install chromium")
    copy, frame = folder / "asked.html", folder / "frame.html"
    copy.write_text(page.read_text().replace("<body>", "<body>" + ASK % script, 1))
    frame.write_text(FRAME % (copy.name, width, height))  # a browser's own window can't be as narrow as a phone
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        "--window-size=1400,1000", "--virtual-time-budget=8000", "--dump-dom", frame.as_uri(),
    ]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.search(r"told (\S+) end", shown)
    assert found, shown[-2000:]
    import base64

    told = json.loads(base64.b64decode(found[1]))
    assert told["faults"] == []
    assert told["window"] == width
    assert told["width"] <= width
    return told["answer"]
