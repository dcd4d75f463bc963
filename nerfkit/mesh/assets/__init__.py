"""What is handed to an engine, and the files it stands in."""
