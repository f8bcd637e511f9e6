"""A model folder's network, whichever library runs it, and the encoder made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import ModelError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.vectors import Vectors, normalise
from lapel.encoders import BATCH, SHIPPED, Embeddings, Encoder
from lapel.encoders.model import ModelFolder
from lapel.encoders.words import KnownWords, TextTower, no_words

Output = NDArray[np.float32]  # one output of a network, (n, ...)
NUM_CHECKED = 8  # reference images that show whether 8-bit arithmetic is right on this CPU
VECTORS, SPATIAL = "vectors", "spatial"  # the outputs of an embedding network
# The least mean cosine of those: right arithmetic gives vectors 0.997 and masks 0.999, arithmetic that overflows 0.86
# to 0.98 and 0.995.
MIN_MEAN_COSINE = {VECTORS: 0.985, "mask": 0.998}


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


@dataclass(frozen=True)
class Network:
    """A network that is ready to run. Safe to share between threads.

    Attributes:
        model: The folder it comes from.
        runtime: What it runs on.
        outputs: Names of all its outputs.
        compute: (n, height, width, 3) uint8 with 1 <= n <= 32, and names -> those outputs, from one run.
    """

    model: ModelFolder
    runtime: Runtime
    outputs: frozenset[str]
    compute: Callable[[Pixels, Sequence[str]], list[Output]]

    def run(self, pixels: Pixels, output: str = VECTORS) -> Output:
        """One output of a batch."""
        return self.compute(pixels, (output,))[0]


def overflows(model: ModelFolder, compute: Callable[[Pixels, Sequence[str]], list[Output]]) -> bool:
    """Whether 8-bit layers come out wrong here: x86 CPUs without VNNI add two products of 8 bits in 16, which may
    overflow.

    Those are Intel's before 2019 and AMD's before Zen 4. Told by the folder's reference images, whatever the CPU says
    of itself. A folder that is not in 8 bits, or has no reference, is taken to be right.
    """
    reference = model.reference() if model.precision == "int8" else None
    if reference is None:
        return False
    (found,) = compute(reference.pixels[:NUM_CHECKED], (reference.output,))
    return bool(reference.cosines(found).mean() < MIN_MEAN_COSINE.get(reference.output, MIN_MEAN_COSINE[VECTORS]))


class NetworkEncoder(Encoder):
    """An exported network from a model folder as an encoder.

    Args:
        network: With the output ``vectors`` (n, dim), and perhaps ``spatial`` (n, dim, h, w).
        spec: What opens this encoder again.

    Raises:
        ModelError: it has no output ``vectors``.
    """

    spec = ""

    def __init__(self, network: Network, *, spec: str) -> None:
        if VECTORS not in network.outputs:
            raise ModelError(
                f"The network of {network.model.path} has no output '{VECTORS}', only"
                f" {', '.join(sorted(network.outputs))}: it is no encoder. Use {', '.join(SHIPPED)} or a"
                " folder that 'lapel train' wrote."
            )
        self.network, self.spec = network, spec
        self.model, self.runtime = network.model, network.runtime
        self._lock = Lock()
        self._tower: TextTower | None = None

    @property
    def name(self) -> str:
        """See :class:`Encoder`, as all below."""
        return self.model.name

    @property
    def dim(self) -> int:
        """See there."""
        return self.model.dim

    @property
    def fingerprint(self) -> str:
        """See there."""
        return self.model.fingerprint

    @property
    def preprocessing(self) -> Preprocessing:
        """See there."""
        return self.model.preprocessing

    @property
    def has_spatial(self) -> bool:
        """See there."""
        return SPATIAL in self.network.outputs

    @property
    def has_text(self) -> bool:
        """See there."""
        return bool(self.model.text_sha256)

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """See there. The first call opens the text tower, which takes a second."""
        return self._text_tower(texts).encode(texts)

    def known_words(self, text: str) -> KnownWords:
        """See there."""
        return self._text_tower(text).known_words(text)

    def _text_tower(self, asked: object) -> TextTower:
        if not self.has_text:
            raise no_words(self.name, asked)
        with self._lock:
            if self._tower is None:
                self._tower = TextTower.from_bytes(self.model.text_bytes())
            return self._tower

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """See there."""
        out = np.empty((len(pixels), self.dim), np.float32)
        for at in range(0, len(pixels), BATCH):
            out[at : at + BATCH] = self.network.run(pixels[at : at + BATCH])
        return normalise(out)

    def embed_pixels(self, pixels: Pixels) -> Embeddings:
        """See there."""
        if not self.has_spatial or not len(pixels):
            empty = np.empty((0, self.dim, 0, 0), np.float32) if self.has_spatial else None
            return Embeddings(self.encode_pixels(pixels), empty)
        parts = [
            self.network.compute(pixels[at : at + BATCH], (VECTORS, SPATIAL)) for at in range(0, len(pixels), BATCH)
        ]
        vectors, spatial = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
        return Embeddings(normalise(vectors), spatial)
