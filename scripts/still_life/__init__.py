"""How the bundled still life is made: shapes, textures, arrangement, cameras, rendering, truth."""
