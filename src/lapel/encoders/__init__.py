"""Encoders: images and words go in, unit vectors of one space come out.

Lapel ships two networks: ``open_encoder("default")`` and ``"small"``. A model folder holds ``model.json`` (what it is
and how images are prepared), the exported network, and the model card. ``colour:`` needs no weights: it compares
colours and their places, and is the baseline that any learned embedding must beat.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import ModelError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.registry import Backend, Registry
from lapel.core.vectors import Vectors
from lapel.encoders.model import read_model
from lapel.encoders.words import KnownWords, no_words

__all__ = [
    "ENCODERS",
    "SHIPPED",
    "Embeddings",
    "Encoder",
    "KnownWords",
    "absolute_spec",
    "open_encoder",
    "repaired_model",
    "repaired_spec",
    "shipped_model",
]

# Runtimes report to their makers unless they are told not to before they are loaded: ONNX Runtime each session, since
# 1.29, and OpenVINO its import, for which it also writes a folder into the home.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

ENCODERS = Registry(
    "encoder",
    {
        "colour": Backend("lapel.encoders.colour:ColourEncoder"),
        "model": Backend("lapel.encoders.fastest:open_fastest"),
        "onnx": Backend("lapel.encoders.onnx:open_onnx"),
        "openvino": Backend("lapel.encoders.openvino:open_openvino"),
    },
    "lapel.encoders",
)

BATCH = 32  # images encoded at a time: throughput is flat from here on, and memory stays small
# Names that mean the same on every machine.
SHIPPED = ("default", "small")
RUN_FOLDERS = ("model", "onnx", "openvino")  # schemes followed by a model folder, or by the name of a shipped one


@dataclass(frozen=True)
class Embeddings:
    """What one run of a network gives for n images.

    Attributes:
        vectors: (n, dim) float32 unit rows.
        spatial: (n, dim, h, w) float32, the map whose mean over its h x w places, scaled to length 1, is ``vectors``:
            what each place of an image has in its vector. None where an encoder has no map.
    """

    vectors: Vectors
    spatial: NDArray[np.float32] | None = None


class Encoder(Protocol):
    """What every encoder can do: images in, unit vectors out.

    An encoder of your own inherits from it and has the properties, and ``encode_pixels``; the rest follows. Two
    encoders with the same fingerprint give the same vectors; all others must not be mixed.
    """

    @property
    def name(self) -> str:
        """What people call the model."""
        ...

    @property
    def spec(self) -> str:
        """What :func:`open_encoder` opens it again with."""
        ...

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and the preprocessing, 16 hex digits."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the network's input."""
        ...

    @property
    def has_spatial(self) -> bool:
        """Whether ``embed_pixels`` gives a map."""
        return False

    @property
    def has_text(self) -> bool:
        """Whether ``encode_text`` and ``known_words`` can be asked."""
        return False

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """N texts -> (n, dim) float32 unit rows, in the space of the pictures: the cosine with a picture's vector says
        how well it fits the words.

        >>> open_encoder("default").encode_text(["red dress", "Herrenschuhe"]).shape  # doctest: +SKIP
        (2, 128)

        Args:
            texts: In English or, where the model knows them, other languages; a few words each.

        Raises:
            ModelError: the model knows no words.
            InputError: no list of texts, or a text without letters and digits.
        """
        raise no_words(self.name, texts)

    def known_words(self, text: str) -> KnownWords:
        """Which words of a text mean something to the model, and which do not.

        >>> open_encoder("default").known_words("zorblax dress")  # doctest: +SKIP
        KnownWords(understood=('dress',), unknown=('zorblax',))

        Raises:
            ModelError: the model knows no words.
        """
        raise no_words(self.name, text)

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """(n, height, width, 3) uint8 made by ``preprocessing`` -> (n, dim) float32 unit rows."""
        ...

    def embed_pixels(self, pixels: Pixels) -> Embeddings:
        """As ``encode_pixels``, with the map of the same run where there is one."""
        return Embeddings(self.encode_pixels(pixels))

    def encode(self, images: Iterable[object]) -> Vectors:
        """N images of any size -> (n, dim) float32 unit rows.

        Args:
            images: A list, a generator or an array of several; each as :func:`lapel.core.images.to_image` takes it: PIL
                images of any mode, arrays, paths, bytes of files.

        Raises:
            ImageError: one of them is none, or a single image was given.
        """
        parts = [self.encode_pixels(part) for part in self.preprocessing.batches(images, BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)


def shipped_model(name: str = "default") -> Path:
    """The folder of a model that comes with Lapel, see :data:`SHIPPED`."""
    return Path(str(resources.files("lapel") / "models" / name))


def open_encoder(spec: str = "default", *, threads: int | None = None) -> Encoder:
    """Open an encoder.

    Args:
        spec: ``default``, ``small``, the path of a model folder, ``colour:``, or ``scheme:rest`` of an installed
            plugin. What runs a model folder is chosen by what is fastest here; ``onnx:PATH`` and ``openvino:PATH``
            choose it by name. A folder that is called like a shipped model is ``./small``.
        threads: How many CPU threads to use; all cores by default.

    Raises:
        ModelError: no such model folder, or a broken one.
        InputError: an unknown scheme.
        MissingDependencyError: the runtime that was named is not installed.
    """
    if not isinstance(spec, (str, os.PathLike)):
        raise ModelError(
            f"An encoder is named by a text, such as 'default', 'colour:' or a model folder; found"
            f" {type(spec).__name__}."
            " Register a class of your own as an entry point of lapel.encoders."
        )
    scheme, rest = _parts(spec)
    if scheme not in RUN_FOLDERS:
        other: Encoder = ENCODERS.find(scheme)(rest, threads=threads)
        return other
    folder = shipped_model(rest) if rest in SHIPPED else Path(rest)
    if not folder.is_dir():
        raise ModelError(
            f"There is no model folder '{rest}'. Use {', '.join(map(repr, SHIPPED))}, 'colour:' or the path of a"
            f" folder with model.json."
        )
    encoder: Encoder = ENCODERS.find(scheme)(str(folder), threads=threads, spec=absolute_spec(spec))
    return encoder


def absolute_spec(spec: str) -> str:
    """An encoder's spec as it is kept: a model folder by its absolute path.

    Names and schemes mean the same everywhere, whatever folders there are where it is read.
    """
    scheme, rest = _parts(spec)
    if scheme not in RUN_FOLDERS or rest in SHIPPED or not Path(rest).is_dir():
        return spec
    folder = str(Path(rest).resolve())
    return folder if scheme == "model" else f"{scheme}:{folder}"


def repaired_spec(spec: str, fingerprint: str) -> str:
    """A kept spec, or a shipped model's name where the path of a folder of that name was kept in its place, as Lapel
    once did."""
    name = PurePath(spec).name
    return name if name in SHIPPED and spec != name and fingerprint == _shipped_fingerprint(name) else spec


def repaired_model(spec: str, fingerprint: str) -> tuple[str, str]:
    """A kept spec as :func:`repaired_spec` has it, and the fingerprint that the model has now: another one where its
    folder learned words since, which leaves vectors of pictures as they are."""
    right = repaired_spec(spec, fingerprint)
    scheme, rest = _parts(right or "default")
    if not fingerprint or scheme not in RUN_FOLDERS:
        return right, fingerprint
    try:
        model = read_model(shipped_model(rest) if rest in SHIPPED else Path(rest))
    except ModelError:
        return right, fingerprint
    return right, model.fingerprint if fingerprint == model.without_text.fingerprint else fingerprint


@cache
def _shipped_fingerprint(name: str) -> str:
    return read_model(shipped_model(name)).fingerprint


def _parts(spec: str) -> tuple[str, str]:
    """A spec's scheme and rest.

    Names and schemes win over folders: one that is called like them is named with its path, such as ./small.
    """
    spec = os.fspath(spec)
    scheme, colon, rest = spec.partition(":")
    if spec in SHIPPED or not colon:
        return "model", spec
    # A colon may stand in a path too.
    return ("model", spec) if scheme not in ENCODERS.schemes() and Path(spec).is_dir() else (scheme, rest)
