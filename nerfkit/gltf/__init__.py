"""glTF 2.0 as a container: documents, buffers, accessors and nodes, for whatever is in them."""
