"""The model folder: what training writes and encoders open.

``model.json`` + the exported network + ``reference.npz`` + ``MODEL_CARD.md``, and ``text.npz`` where it knows words.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import ModelError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.text import reason_of

FORMAT = 1
MANIFEST = "model.json"
REFERENCE = "reference.npz"
TEXT = "text.npz"  # the text tower


@dataclass(frozen=True)
class Reference:
    """Images and what the trained network, in float32, makes of them: what an exported file is compared with.

    Attributes:
        output: Name of the network's output.
        pixels: (m, height, width, 3) uint8.
        expected: (m, ...) float32, that output of them.
    """

    output: str
    pixels: Pixels
    expected: NDArray[np.float32]

    def save(self, folder: Path) -> None:
        """Write it into a model folder."""
        arrays: dict[str, Any] = {"pixels": self.pixels, self.output: self.expected}
        np.savez_compressed(folder / REFERENCE, **arrays)

    def cosines(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much alike the output of the first images, (n, ...), is to what is expected: (n,), 1 for the same."""
        one, other = (values.reshape(len(found), -1) for values in (found, self.expected[: len(found)]))
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        cosines: NDArray[np.float32] = np.einsum("nd,nd->n", one, other) / np.maximum(lengths, 1e-9)
        return cosines


@dataclass(frozen=True)
class ModelFolder:
    """A model on disk, checked.

    Attributes:
        path: The folder.
        name: What people call it.
        dim: Width of its vectors.
        network: Name of the exported file in the folder; it takes (n, height, width, 3) uint8 and gives ``vectors`` (n,
            dim) and ``spatial`` (n, dim, h, w).
        sha256: Hash of that file, hex.
        preprocessing: How images become its input.
        precision: Number format of its weights, such as ``int8``.
        details: How it was made and how good it is: free-form, shown by ``lapel info``, not part of the fingerprint.
        text_sha256: Hash of the text tower's file ``text.npz``, hex; empty where the model has none.
    """

    path: Path
    name: str
    dim: int
    network: str
    sha256: str
    preprocessing: Preprocessing
    precision: str
    details: Mapping[str, Any] = field(default_factory=dict)
    text_sha256: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights, those of the text tower included, and the preprocessing, 16 hex digits."""
        return fingerprint(self.sha256 + self.text_sha256, self.preprocessing, self.dim)

    @property
    def without_text(self) -> ModelFolder:
        """The same model as it was before it learned words."""
        return replace(self, text_sha256="")

    def network_bytes(self) -> bytes:
        """The exported network, after checking its hash.

        Raises:
            ModelError: missing, or changed since the folder was written.
        """
        return self._checked(self.network, self.sha256, "network")

    def text_bytes(self) -> bytes:
        """The text tower, after checking its hash.

        Raises:
            ModelError: missing, or changed since the folder was written.
        """
        return self._checked(TEXT, self.text_sha256, "text tower")

    def _checked(self, file: str, sha256: str, what: str) -> bytes:
        try:
            data = (self.path / file).read_bytes()
        except OSError as error:
            raise ModelError(
                f"The model {self.path} misses its {what} {file}: {reason_of(error)}. Install it again."
            ) from error
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise ModelError(
                f"The {what} {self.path / file} is not the one model.json was written for"
                f" (hash {found[:12]}, expected {sha256[:12]}; {len(data):,} bytes). Copy the model folder again."
            )
        return data

    def with_text(self, tower: bytes) -> ModelFolder:
        """The same model with a text tower, see :meth:`lapel.encoders.words.TextTower.to_bytes`; written at once."""
        (self.path / TEXT).write_bytes(tower)
        changed = replace(self, text_sha256=hashlib.sha256(tower).hexdigest())
        changed.save()
        return changed

    def reference(self) -> Reference | None:
        """What its exported network is compared with; None where the folder has none that can be read."""
        try:
            with np.load(self.path / REFERENCE) as file:
                output = next(name for name in file.files if name != "pixels")
                return Reference(output, file["pixels"], file[output])
        except (OSError, KeyError, ValueError, StopIteration, zipfile.BadZipFile):
            return None

    def save(self) -> None:
        """Write ``model.json``; the network must be there already."""
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "name": self.name,
            "dim": self.dim,
            "network": self.network,
            "sha256": self.sha256,
            "precision": self.precision,
            "preprocessing": self.preprocessing.to_json(),
            "details": dict(self.details),
        }
        if self.text_sha256:
            manifest["text"] = {"file": TEXT, "sha256": self.text_sha256}
        (self.path / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def fingerprint(weights: str, preprocessing: Preprocessing, dim: int) -> str:
    """16 hex digits that change with the weights' hash, any preprocessing setting or the width of the vectors."""
    text = json.dumps([weights, preprocessing.to_json(), dim], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_model(path: Path) -> ModelFolder:
    """Read and check a model folder's manifest.

    Raises:
        ModelError: no manifest, not JSON, missing fields, or a format this Lapel does not know.
    """
    manifest = path / MANIFEST
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            found = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise ModelError(
                f"{manifest} has format {found}; this Lapel reads format {FORMAT}. Update Lapel or export it again."
            )
        return ModelFolder(
            path=path,
            name=str(data["name"]),
            dim=int(data["dim"]),
            network=str(data["network"]),
            sha256=str(data["sha256"]),
            preprocessing=Preprocessing.from_json(data["preprocessing"]),
            precision=str(data["precision"]),
            details=data.get("details", {}),
            text_sha256=str(data["text"]["sha256"]) if "text" in data else "",
        )
    except FileNotFoundError as error:
        raise ModelError(f"{path} is not a model folder: it has no {MANIFEST}.") from error
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{manifest} cannot be read: {reason_of(error)}. Copy the model folder again.") from error
    except KeyError as error:
        raise ModelError(f"{manifest} misses the field {error}. Export the model again.") from error
