"""Learning an embedding: labelled photos go in, a model folder comes out. The only layer that needs PyTorch."""
