"""NeRF: a network from encoded points and directions to density and colour (Mildenhall et al. 2020)."""
