"""Splat files, both ways, and what can be done to splats without a model."""
