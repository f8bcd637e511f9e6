"""The encoder door: pictures go in, unit vectors come out. Lapel ships two networks: ``open_encoder("default")`` and ``"small"``.

A model folder holds ``model.json`` (what it is and how pictures are prepared), the exported network, and the model card. ``colour:``
needs no weights: it compares colours and their places, and is the floor that any learned look must beat.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Protocol

from lapel.core.errors import ModelError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.plugins import Backend, Door
from lapel.core.vectors import Vectors

__all__ = ["ENCODERS", "SHIPPED", "Encoder", "open_encoder", "shipped_model"]

ENCODERS = Door(
    "encoder",
    {
        "colour": Backend("lapel.encoders.colour:ColourEncoder"),
        "model": Backend("lapel.encoders.fastest:open_fastest"),
        "onnx": Backend("lapel.encoders.onnx:open_onnx"),
        "openvino": Backend("lapel.encoders.openvino:open_openvino"),
    },
    "lapel.encoders",
)


# Names that mean the same on every machine.
SHIPPED = ("default", "small")


class Encoder(Protocol):
    """What every encoder can do. Two encoders with the same fingerprint give the same vectors; all others must not be mixed."""

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
        """How a picture becomes the network's input."""
        ...

    def encode(self, images: Iterable[object]) -> Vectors:
        """N pictures of any size -> (n, dim) float32 unit rows.

        Args:
            images: A list, a generator or an array of several; each as :func:`lapel.core.images.to_image` takes it: PIL images of any mode,
                arrays, paths, bytes of files.

        Raises:
            ImageError: one of them is none, or a single picture was given.
        """
        ...

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """(n, height, width, 3) uint8 made by ``preprocessing`` -> (n, dim) float32 unit rows."""
        ...


def shipped_model(name: str = "default") -> Path:
    """The folder of a model that comes with Lapel, see :data:`SHIPPED`."""
    return Path(str(resources.files("lapel") / "models" / name))


def open_encoder(spec: str = "default", *, threads: int | None = None) -> Encoder:
    """Open an encoder.

    Args:
        spec: ``default``, ``small``, the path of a model folder, ``colour:``, or ``scheme:rest`` of an installed plugin. What runs a model
            folder is chosen by what is fastest here; ``onnx:PATH`` and ``openvino:PATH`` choose it by name.
        threads: How many CPU threads to use; all cores by default.

    Raises:
        ModelError: no such model folder, or a broken one.
        InputError: an unknown scheme.
        MissingDependency: the runtime that was named is not installed.
    """
    scheme, colon, rest = spec.partition(":")
    if spec in SHIPPED:
        scheme, rest = "model", str(shipped_model(spec))
    elif Path(spec).is_dir() or not colon:
        scheme, rest = "model", spec
    elif scheme in ("onnx", "openvino") and rest in SHIPPED:
        rest = str(shipped_model(rest))
    if scheme in ("model", "onnx", "openvino") and not Path(rest).is_dir():
        raise ModelError(
            f"There is no model folder '{rest}'. Use {', '.join(map(repr, SHIPPED))}, 'colour:' or the path of a folder with model.json."
        )
    encoder: Encoder = ENCODERS.find(scheme)(rest, threads=threads)
    return encoder
