"""What judging asks of photos, kept in memory: what the probes say of their vectors, and the shop's labels as numbers.

The vector of a key stays what it is for one model, so what the probes say of it is kept. Labels are those of the product
at hand: where the catalogue gives another one, they are read again.
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

MAX_PHOTOS = 32_768  # 22 MB with the 166 values of the shipped probes; as many as the catalogue keeps products of
MAX_TEXTS = 100_000  # labels with a number, after which all is forgotten

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Figures:
    """Of n photos.

    Attributes:
        there: (n,) bool, which of them are there and have a vector; of others the rest says nothing.
        labels: (n, 4) int64, see :func:`lapel.engine.calibration.labels_of`; of one answer they compare.
        values: (n, values) float32, what all probes say.
        parts: By probe its columns among them.
    """

    there: NDArray[np.bool_]
    labels: Labels
    values: NDArray[np.float32]
    parts: dict[str, slice]

    def likely(self, rows: Rows) -> Likelihoods:
        """By probe how likely some of the photos are of each of its values."""
        some = self.values[rows]
        return {name: some[..., part] for name, part in self.parts.items()}

    def kinds(self, rows: Rows) -> NDArray[np.float32] | None:
        """How likely some of the photos are of each kind; None without a probe."""
        return self.values[rows, self.parts["kind"]] if "kind" in self.parts else None


class PhotoFigures:
    """Figures of the photos of one model. Safe to share between threads.

    Args:
        catalog: The store's.
        fingerprint: The model's.
        probes: Its.
        most: How many photos to keep.
    """

    def __init__(self, catalog: Catalog, fingerprint: str, probes: Probes, *, most: int = MAX_PHOTOS) -> None:
        self._catalog, self._fingerprint, self._probes = catalog, fingerprint, probes
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
        self._slots: dict[int, int] = {}  # of each key its row in what follows
        self._products: list[Product] = []
        self._labels: Labels = np.zeros((self._most, len(AGREEING)), np.int64)
        self._values = np.zeros((self._most, self._width), np.float32)  # takes memory as it is filled
        self._numbers: dict[str, int] = {}

    def of(self, keys: Keys) -> Figures:
        """Of (n,) photo keys, each once."""
        asked: list[int] = keys.tolist()
        if len(asked) > self._most:
            return PhotoFigures(self._catalog, self._fingerprint, self._probes, most=len(asked)).of(keys)
        entries = self._catalog.entries(keys)
        products = [entries[key][0] if key in entries else None for key in asked]
        with self._lock:
            if len(self._slots) + len(asked) > self._most or len(self._numbers) > MAX_TEXTS:
                self._forget()
            if missing := [key for key in asked if key not in self._slots and key in entries]:
                self._read(missing, [entries[key][0] for key in missing])
            slots = [self._slots.get(key, -1) for key in asked]
            for slot, product in zip(slots, products, strict=True):
                if slot >= 0 and product is not None and self._products[slot] is not product:
                    self._products[slot] = product
                    self._labels[slot] = labels_of([product], self._numbers)[0]
            rows = np.array(slots, np.int64)
            there = rows >= 0
            if len(entries) < len(asked):
                there &= np.array([product is not None for product in products], bool)
            return Figures(there, self._labels[rows], self._values[rows], self._parts)

    def _read(self, keys: list[int], products: list[Product]) -> None:
        """Keep the figures of photos that have a vector."""
        there, vectors = self._catalog.vectors_there(keys, fingerprint=self._fingerprint)
        places = np.flatnonzero(there).tolist()
        if not places:
            return
        first = len(self._slots)
        rows = slice(first, first + len(places))
        self._slots.update(zip([keys[place] for place in places], range(rows.start, rows.stop), strict=True))
        own = [products[place] for place in places]
        self._products += own
        self._labels[rows] = labels_of(own, self._numbers)
        for name, likely in likelihoods(self._probes, vectors).items():
            self._values[rows, self._parts[name]] = likely
