"""nerfkit: from a folder of photos to a 3D scene that people can use.

Importing the package has no side effects and does not import torch.
"""

# Before pycolmap, wherever that is imported. Its wheel exports the names of zlib-ng; where it is the first to load the
# system's zlib, that one calls half of its own functions and half of those, and PNG files written by Pillow, OpenCV or
# zlib itself abort the process ("double free or corruption"). Loaded earlier, zlib is bound to itself.
import zlib  # noqa: F401

__version__ = "0.1.0"
