"""A live view in the browser: splats, models that are drawn here, photos' cameras, camera paths. On viser."""
