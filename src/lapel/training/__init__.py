"""Learning an embedding: labelled photos go in, a model folder comes out. The only layer that needs PyTorch."""

import lapel.encoders  # noqa: F401 - sees that no runtime reports to its makers, before one is loaded here
