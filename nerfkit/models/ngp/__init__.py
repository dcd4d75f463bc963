"""Instant-NGP: a hash-grid field, marched by an occupancy grid (Müller et al. 2022)."""
