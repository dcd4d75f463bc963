"""What a mesh is worth: against a true one, and against photos."""
