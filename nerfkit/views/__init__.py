"""Camera paths, and what is drawn along them: videos and stills."""
