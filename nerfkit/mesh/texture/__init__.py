"""Colours and fine normals on a light surface: unwrapping, baking, normal maps."""
