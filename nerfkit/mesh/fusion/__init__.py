"""Depth maps or densities → one dense surface."""
