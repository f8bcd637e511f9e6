"""A model folder's network as an encoder, whichever library runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.core.images import Pixels, Preprocessing
from lapel.core.vectors import Vectors, normalise
from lapel.encoders.model import ModelFolder

Output = NDArray[np.float32]  # one output of a network, (n, ...)
Run = Callable[[Pixels], Output]  # (n, height, width, 3) uint8 -> Output; may be called from several threads
BATCH = 32  # pictures a run: throughput is flat from here on, and memory stays small
CHECKED = 8  # pictures that show whether 8-bit arithmetic is right here
RIGHT = 0.985  # their mean cosine, at least: right arithmetic gives 0.997, arithmetic that overflows 0.86 to 0.98


@dataclass(frozen=True)
class Runtime:
    """What runs a network. Vectors of one model differ a little between runtimes, so it can be asked for.

    Attributes:
        name: ``openvino`` or ``onnxruntime``.
        version: Of that library.
        device: ``CPU`` or ``CUDA``.
        threads: CPU threads it may use.
        note: Why it was taken when another was wanted; empty when it was the first choice.
        in_float: Whether 8-bit layers are computed in float32, as 8-bit arithmetic overflows on this CPU.
    """

    name: str
    version: str
    device: str
    threads: int
    note: str = ""
    in_float: bool = False


def overflows(model: ModelFolder, compute: Callable[[Pixels, str], Output]) -> bool:
    """Whether 8-bit layers come out wrong here: x86 CPUs without VNNI add two products of 8 bits in 16, which may
    overflow.

    Those are Intel's before 2019 and AMD's before Zen 4. Told by the folder's reference pictures, whatever the CPU says
    of itself.

    Args:
        model: The folder; one that is not in 8 bits, or has no reference, is taken to be right.
        compute: Gives the output of a name for pictures.
    """
    reference = model.reference() if model.precision == "int8" else None
    if reference is None:
        return False
    found = compute(reference.pixels[:CHECKED], reference.output)
    return bool(reference.cosines(found).mean() < RIGHT)


class NetworkEncoder:
    """An exported network from a model folder.

    Args:
        model: The folder.
        run: For 1 <= n <= 32 pictures; its output is (n, dim).
        runtime: What ``run`` runs on.
        spec: What opens this encoder again.
    """

    def __init__(self, model: ModelFolder, run: Run, runtime: Runtime, *, spec: str) -> None:
        self.model = model
        self.runtime = runtime
        self.spec = spec
        self._run = run

    @property
    def name(self) -> str:
        """What people call the model."""
        return self.model.name

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.model.dim

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and the preprocessing."""
        return self.model.fingerprint

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes the network's input."""
        return self.model.preprocessing

    def encode(self, images: Iterable[object]) -> Vectors:
        """N pictures of any size, see :func:`lapel.core.images.to_image` -> (n, dim) float32 unit rows."""
        parts = [self.encode_pixels(part) for part in self.preprocessing.batches(images, BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """(n, height, width, 3) uint8 made by ``preprocessing`` -> (n, dim) float32 unit rows."""
        out = np.empty((len(pixels), self.dim), np.float32)
        for at in range(0, len(pixels), BATCH):
            out[at : at + BATCH] = self._run(pixels[at : at + BATCH])
        return normalise(out)
