"""nerfkit: from a folder of photos to a 3D scene that people can use.

Importing the package has no side effects and does not import torch.
"""

__version__ = "0.1.0"
