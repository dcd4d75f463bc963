"""What a program may import after nerfkit."""

from __future__ import annotations

import subprocess
import sys

import pytest

PNG = """
import io
import nerfkit
import pycolmap
from PIL import Image
picture = Image.effect_noise((300, 300), 80)
file = io.BytesIO()
picture.save(file, "PNG")
assert Image.open(file).tobytes() == picture.tobytes()
"""
ZLIB = """
import nerfkit
import pycolmap
import zlib
data = bytes(range(256)) * 1000
assert zlib.decompress(zlib.compress(data)) == data
"""


@pytest.mark.parametrize("program", [PNG, ZLIB], ids=["png", "zlib"])
def test_compression_works_beside_pycolmap(program: str) -> None:
    """pycolmap's wheel exports zlib's names, and loaded before zlib makes it abort."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr[:500]
