"""Learning the look: labelled photos go in, a model folder comes out. The only room that needs PyTorch."""
