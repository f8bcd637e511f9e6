"""What judging asks of photos, kept in memory: what the probes say of their vectors, and the shop's labels as numbers.

The vector of a key stays what it is for one model, so what the probes say of it is kept. Labels are those of the
product as it was at a place of the change log: after another change each photo that is asked for is compared with the
catalogue once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import Catalog
from lapel.core.types import Product
from lapel.core.vectors import Keys
from lapel.encoders.probes import Probes
from lapel.engine.calibration import AGREEING, Labels, Likelihoods, labels_of, likelihoods

MAX_PHOTOS = 65_536  # 44 MB with the 166 values of the shipped probes, taken as they are filled
MAX_TEXTS = 100_000  # labels with a number, after which all is forgotten

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Figures:
    """Of n photos.

    Attributes:
        there: (n,) bool, which of them are there and have a vector; of others the rest says nothing.
        labels: (n, 4) int64, see :func:`lapel.engine.calibration.labels_of`; of one answer they compare.
        texts: The text of each label, by its number; "" first.
        values: (m, values) float32, what all probes say of photos, these among them.
        rows: (n,) where each photo is among those.
        parts: By probe its columns among them.
    """

    there: NDArray[np.bool_]
    labels: Labels
    texts: NDArray[np.object_]
    values: NDArray[np.float32]
    rows: Rows
    parts: dict[str, slice]

    def likely(self, places: Rows) -> Likelihoods:
        """By probe how likely some of the photos are of each of its values."""
        some = self.values[self.rows[places]]
        return {name: some[..., part] for name, part in self.parts.items()}

    def kinds(self, places: Rows) -> NDArray[np.float32] | None:
        """How likely some of the photos are of each kind; None without a probe."""
        return self.likely(places).get("kind")

    def categories(self, places: Rows) -> list[str]:
        """The last level of the category of each of some photos; "" where the shop does not say."""
        found: list[str] = self.texts[self.labels[places, 0]].tolist()
        return found


class PhotoFigures:
    """Figures of the photos of one model. Safe to share between threads.

    Args:
        catalog: The store's.
        fingerprint: The model's.
        probes: Its.
        most: How many photos to keep.

    Attributes:
        fingerprint: The model's.
        probes: Its.
    """

    def __init__(self, catalog: Catalog, fingerprint: str, probes: Probes, *, most: int = MAX_PHOTOS) -> None:
        self._catalog, self.fingerprint, self.probes = catalog, fingerprint, probes
        self._parts: dict[str, slice] = {}
        width = 0
        for name in AGREEING:
            if name in probes:
                self._parts[name] = slice(width, width + len(probes[name].values))
                width = self._parts[name].stop
        self._most, self._width = most, width
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._count = 0
        self._rows: dict[int, int] = {}  # of each key, in what follows
        self._products: list[Product | None] = []  # None of photos that are gone
        self._sequence = -1  # of the change log, at which ...
        self._compared = np.zeros(self._most, bool)  # ... these have been compared with the catalogue
        self._there = np.zeros(self._most, bool)
        self._labels: Labels = np.zeros((self._most, len(AGREEING)), np.int64)
        self._values = np.zeros((self._most, self._width), np.float32)
        self._numbers: dict[str, int] = {}
        self._texts: NDArray[np.object_] = np.array([""], object)

    def of(self, keys: Keys) -> Figures:
        """Of (n,) sorted photo keys, each once."""
        if len(keys) > self._most:
            return PhotoFigures(self._catalog, self.fingerprint, self.probes, most=len(keys)).of(keys)
        sequence = self._catalog.latest_change()
        with self._lock:
            if sequence != self._sequence:
                self._compared[:] = False
                self._sequence = sequence
            rows = self._find(keys)
            if not (rows.min(initial=0) >= 0 and self._compared[rows].all()):
                rows = self._compare(keys)
            if len(self._texts) <= len(self._numbers):
                self._texts = np.array(["", *self._numbers], object)
            # What the probes say of a photo is written once, before anybody gets its row.
            return Figures(self._there[rows], self._labels[rows], self._texts, self._values, rows, self._parts)

    def _find(self, keys: Keys) -> Rows:
        """The row of each key, -1 where it has none."""
        return np.array([self._rows.get(key, -1) for key in keys.tolist()], np.int64)

    def _compare(self, keys: Keys) -> Rows:
        """The row of each key, once it is there and says what the catalogue says."""
        entries = self._catalog.entries(keys)
        products = [entries[key][0] if key in entries else None for key in keys.tolist()]
        if self._count + len(keys) > self._most or len(self._numbers) > MAX_TEXTS:
            sequence = self._sequence
            self._forget()
            self._sequence = sequence
        rows = self._find(keys)
        if (new := rows < 0).any():
            self._read(keys[new])
            rows = self._find(keys)
        changed: dict[int, Product] = {}
        for row, product in zip(rows.tolist(), products, strict=True):
            if product is None:
                self._there[row] = False
            elif self._products[row] is not product:
                self._products[row] = changed[row] = product
        if changed:
            self._labels[list(changed)] = labels_of(changed.values(), self._numbers)
        self._compared[rows] = True
        return rows

    def _read(self, keys: Keys) -> None:
        """Give new keys rows, with what the probes say of those that have a vector."""
        there, vectors = self._catalog.vectors_there(keys, fingerprint=self.fingerprint)
        rows = np.arange(self._count, self._count + len(keys))
        self._rows.update(zip(keys.tolist(), rows.tolist(), strict=True))
        self._count += len(keys)
        self._products += [None] * len(keys)
        self._there[rows] = there
        if len(vectors):
            for name, likely in likelihoods(self.probes, vectors).items():
                self._values[rows[there], self._parts[name]] = likely
