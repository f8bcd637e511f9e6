"""What can be read off a vector in words: linear classifiers that lie beside a model, with their measured precision.

``probes.npz`` in a model folder holds, for each attribute such as ``kind`` or ``colour``, a linear classifier of
the model's vectors, learned from its training catalogue. It is no part of the fingerprint: vectors do not depend on it.
A value is told only where it is as sure as those that were right in 80 of 100 on products that the probes have not seen
(:attr:`Probe.thresholds`); pictures on white and photos of people have thresholds of their own.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import ModelError
from lapel.core.text import reason_of
from lapel.core.vectors import Vectors

FILE = "probes.npz"
FORMAT = 1
DOMAINS = ("white", "photo")  # pictures on white, and all others
# Multiplied at once, of numbers: OpenBLAS takes more to several threads, which spin where a network has the cores. That
# took thirty times as long of the processors for the photos around 32 queries.
MAX_PRODUCTS = 2**18
NEVER = 2.0  # a threshold that no probability reaches: the probe stays silent


@dataclass(frozen=True)
class Probe:
    """One attribute.

    Attributes:
        name: What it is of, such as ``kind``.
        values: What it may be, such as ``Shirts``; an empty one stands for pictures it does not ask about.
        weights: (values, dim) float32.
        bias: (values,) float32.
        thresholds: By domain, the probability from which on the likeliest value is told; above 1 it never is.
        precision: By domain, the share of told values that were right on pictures not used for them.
        told: By domain, the share of pictures of which a value is told.
    """

    name: str
    values: tuple[str, ...]
    weights: NDArray[np.float32] = field(repr=False)
    bias: NDArray[np.float32] = field(repr=False)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    precision: Mapping[str, float] = field(default_factory=dict)
    told: Mapping[str, float] = field(default_factory=dict)

    def probabilities(self, vectors: Vectors) -> NDArray[np.float32]:
        """(n, dim) unit rows -> (n, values) float32, each row sums to 1."""
        logits = np.empty((len(vectors), len(self.values)), np.float32)
        rows = max(1, MAX_PRODUCTS // self.weights.size)
        for at in range(0, len(vectors), rows):
            logits[at : at + rows] = vectors[at : at + rows] @ self.weights.T
        logits += self.bias
        logits -= logits.max(axis=1, keepdims=True)
        powers = np.exp(logits)
        found: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return found

    def read(self, vector: NDArray[np.float32], *, on_white: bool) -> tuple[str, float] | None:
        """The value of one (dim,) unit vector and its probability; None where that is not sure enough."""
        likely = self.probabilities(vector[None])[0]
        best = int(likely.argmax())
        sure = bool(self.values[best]) and likely[best] >= self.thresholds.get(DOMAINS[not on_white], NEVER)
        return (self.values[best], float(likely[best])) if sure else None


Probes = Mapping[str, Probe]


def save_probes(probes: Probes, folder: Path) -> None:
    """Write them into a model folder."""
    arrays: dict[str, Any] = {"format": np.array(FORMAT)}
    for name, probe in probes.items():
        arrays |= {
            f"{name}.values": np.array(probe.values),
            f"{name}.weights": probe.weights.astype(np.float16),
            f"{name}.bias": probe.bias.astype(np.float32),
        }
        for what in ("thresholds", "precision", "told"):
            given: Mapping[str, float] = getattr(probe, what)
            arrays[f"{name}.{what}"] = np.array([given.get(domain, np.nan) for domain in DOMAINS])
    np.savez_compressed(folder / FILE, **arrays)


def read_probes(folder: Path, dim: int) -> dict[str, Probe]:
    """The probes of a model folder; none where it has no file of them.

    Raises:
        ModelError: the file is damaged, of another format, or of vectors of another width.
    """
    path = folder / FILE
    try:
        with np.load(path) as file:
            if int(file["format"]) != FORMAT:
                raise ModelError(f"{path} has format {int(file['format'])}; this Lapel reads {FORMAT}. Update Lapel.")
            names = sorted({name.partition(".")[0] for name in file.files if "." in name})
            found = {name: _read(file, name) for name in names}
    except FileNotFoundError:
        return {}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} cannot be read: {reason_of(error)}. Copy the model folder again.") from error
    for probe in found.values():
        if probe.weights.shape != (len(probe.values), dim):
            raise ModelError(
                f"The probe '{probe.name}' of {path} has weights {probe.weights.shape}, where"
                f" ({len(probe.values)}, {dim}) are needed. Copy the model folder again."
            )
    return found


def _read(file: Mapping[str, NDArray[Any]], name: str) -> Probe:
    def of(what: str) -> dict[str, float]:
        pairs = zip(DOMAINS, file[f"{name}.{what}"].tolist(), strict=True)
        return {domain: value for domain, value in pairs if np.isfinite(value)}

    return Probe(
        name,
        tuple(str(value) for value in file[f"{name}.values"]),
        file[f"{name}.weights"].astype(np.float32),
        file[f"{name}.bias"].astype(np.float32),
        of("thresholds"),
        of("precision"),
        of("told"),
    )
