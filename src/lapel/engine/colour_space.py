"""Where colour is in a store's vectors, so that "the same in red" is one direction and one search.

Vectors of one kind of product differ by colour in much the same way whatever the kind. Each of the store's names of
colours gets the mean of its products' vectors, each less the mean of its own kind (category and gender); those means
span the space of colours. A query's part in that space is what its colour says, and is exchanged for the one asked for.
Where the store names no colours, the palettes of its photos stand in: vectors are regressed on how much of each photo
has each common colour.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.colours import name_shares
from lapel.core.vectors import Keys, Vectors
from lapel.engine.look import LookReranker, LookTable, decoded_palettes

GAIN = 2.5  # times the mean of a colour: those of single products lie further out
OWN = 1.5  # times a query's own colour that is taken off: at 1 its neighbours in the old colour still come
SAMPLE = 60_000  # photos it is learned from at most
RIDGE = 0.05  # of the regression on palettes, in units of the mean square
REFRESH = 1.05  # times as many photos, or as many fewer, after which it is learned again


@dataclass(frozen=True)
class ColourSpace:
    """The part of a model's vectors that says what colour a product has.

    Attributes:
        basis: (r, dim) float32 orthonormal rows that span it; r is 0 where nothing could be learned.
        centres: (colours, dim) float32, what each colour adds to a product's vector.
        by_name: Whether the colours are the names of the store that its look table knows, in its order; else those of
            :data:`lapel.core.colours.NAMES`.
        kinds: (category, gender) -> (dim,) float32, the mean of that kind's vectors.
    """

    basis: NDArray[np.float32]
    centres: NDArray[np.float32]
    by_name: bool
    kinds: dict[tuple[str, str], NDArray[np.float32]]

    def own(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """(dim,) what to take off a vector so that it says nothing of its colour."""
        return np.asarray(OWN * (vector @ self.basis.T) @ self.basis, np.float32)

    def centre(self, shares: NDArray[np.floating]) -> NDArray[np.float32]:
        """(dim,) what a colour adds that is so much of each, (colours,); zeros where nothing could be learned."""
        if not len(self.centres):
            return np.zeros(self.centres.shape[1], np.float32)
        return np.asarray(GAIN * (shares @ self.centres), np.float32)


class ColourSpaces:
    """The colour space of one store, learned when it is first needed. Safe to share between threads.

    Args:
        look: What knows the palettes and the names of colours.
    """

    def __init__(self, look: LookReranker) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, ColourSpace]] = {}

    def of(self, generation: int, fingerprint: str) -> ColourSpace:
        """The space of a model's vectors, about as of a generation of the catalogue (0.5 s for 40,000 photos, once)."""
        table = self._look.table(generation)
        with self._lock:
            photos, space = self._known.get(fingerprint, (0, None))
            if space is None or not photos / REFRESH <= len(table.keys) <= photos * REFRESH:
                space = learn_colours(table, *self._vectors(table.keys, fingerprint))
                self._known = {fingerprint: (len(table.keys), space)}
            return space

    def _vectors(self, keys: Keys, fingerprint: str) -> tuple[Keys, Vectors]:
        """Those of up to :data:`SAMPLE` photos, evenly taken."""
        step = max(1, -(-len(keys) // SAMPLE))
        catalog, kept, found = self._look.catalog, [], []
        for some, vectors in catalog.vectors(fingerprint):
            kept.append(some[::step])
            found.append(vectors[::step])
        if not kept:
            return np.empty(0, np.int64), np.empty((0, 1), np.float32)
        return np.concatenate(kept), np.concatenate(found)


def learn_colours(table: LookTable, keys: Keys, vectors: Vectors) -> ColourSpace:
    """The colour space of (n, dim) vectors of photos (n,)."""
    at = np.searchsorted(table.keys, keys)
    there = at < len(table.keys)
    there[there] = table.keys[at[there]] == keys[there]
    at, vectors = at[there], vectors[there]
    columns = [table.columns[name] for name in ("category", "gender")]
    each, kinds = _kinds([column.of[at] for column in columns])
    means = _means(vectors, kinds)
    apart = vectors - means[kinds]
    names = [(columns[0].values[category], columns[1].values[gender]) for category, gender in each.tolist()]
    by_kind = dict(zip(names, means, strict=True))
    by_name = len(table.names) > 0
    if by_name:
        numbers = np.cumsum(table.known) - 1
        colours = table.columns["colour"].of[at]
        known = table.known[colours]
        centres = _means(apart[known], numbers[colours[known]], int(table.known.sum()))
    else:
        centres = _regressed(table, at, apart, kinds)
    if not len(centres):
        return ColourSpace(np.zeros((0, vectors.shape[1]), np.float32), centres, by_name, by_kind)
    _, size, basis = np.linalg.svd(centres, full_matrices=False)
    return ColourSpace(basis[size > 1e-3 * max(size[0], 1e-6)].astype(np.float32), centres, by_name, by_kind)


def _kinds(columns: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The different combinations of values, (kinds, columns), and (n,) which each photo has."""
    each, kinds = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    return each, np.asarray(kinds.reshape(-1), np.int64)


def _means(vectors: NDArray[np.float32], groups: NDArray[np.int64], count: int = 0) -> NDArray[np.float32]:
    """(groups, dim) the mean of each group's rows; zeros for one without."""
    sizes = np.bincount(groups, minlength=count)
    order = np.argsort(groups, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sums = np.zeros((len(sizes), vectors.shape[1]), np.float32)
    if len(vectors):
        filled = sizes > 0
        sums[filled] = np.add.reduceat(vectors[order], starts[filled], axis=0)
    return np.asarray(sums / np.maximum(sizes, 1)[:, None], np.float32)


def _regressed(
    table: LookTable, at: NDArray[np.int64], apart: NDArray[np.float32], kinds: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(names, dim) what each common colour adds to vectors, by how much of the photos' palettes it takes."""
    lab, shares = decoded_palettes(table.palettes[at])
    if not shares.any():
        return np.zeros((0, apart.shape[1]), np.float32)
    named = name_shares(lab.reshape(-1, 3)).reshape(*shares.shape, -1)
    held = (named * shares[..., None]).sum(axis=1).astype(np.float32)
    held -= _means(held, kinds)[kinds]
    square: NDArray[Any] = held.T @ held
    ridge = RIDGE * float(np.trace(square)) / len(square) * np.eye(len(square), dtype=np.float32)
    inverse: NDArray[np.float32] = np.linalg.inv(square + ridge)
    return np.asarray(inverse @ (held.T @ apart), np.float32)
