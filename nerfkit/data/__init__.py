"""Scenes: readers of the field's formats, cameras, photos, sparse points, the split and the normalisation."""
