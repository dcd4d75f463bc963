"""Seeing a scene: camera paths, frames, videos and stills."""
