"""How close two backends of the render core must be: float32 kernels against the float64 reference."""

VALUE = 2e-5
"""Absolute, for images and losses in [0, 1]; depths and other values relative to their size."""

FILLED = 1.1e-4
"""What gsplat may leave out of a pixel that fills up, of splats that are half transparent."""

FLIP = 1.1 / 255
"""A pixel may differ by this much where a splat's alpha lies on the cut at 1/255."""

FLIP_SHARE = 2e-3
"""…in at most this share of the pixels."""

GRADIENT = 2e-4
"""Norm of the difference over the norm of the gradient."""

HALF = 1e-2
"""Norm of the difference over the norm, of values and gradients in half precision."""
