"""The nearest photos of a gallery to many vectors at once, exactly, and what values they vote for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.core.vectors import Vectors

CELLS = 20_000_000  # cosines held at once: 80 MB
SHARPNESS = 0.05  # cosines: a neighbour that is so much further away counts 1/e


@dataclass(frozen=True)
class Near:
    """The k nearest of each of m vectors.

    Attributes:
        places: (m, k) places in the gallery, the nearest first.
        scores: (m, k) float32 cosines; -inf where there were fewer.
    """

    places: NDArray[np.int64]
    scores: NDArray[np.float32]

    @property
    def weights(self) -> NDArray[np.float64]:
        """(m, k) how much each neighbour counts; they sum to 1."""
        top = np.where(np.isfinite(self.scores[:, :1]), self.scores[:, :1], 0)
        found = np.exp((self.scores - top).astype(np.float64) / SHARPNESS)
        return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12), np.float64)


def nearest(
    queries: Vectors,
    gallery: Vectors,
    k: int,
    *,
    groups: NDArray[np.int64] | None = None,
    own: NDArray[np.int64] | None = None,
) -> Near:
    """Exact nearest neighbours by cosine.

    Args:
        queries: (m, dim) unit rows.
        gallery: (n, dim) unit rows.
        k: How many; fewer where the gallery is smaller.
        groups: (n,) the product of each photo of the gallery,
        own: (m,) and that of each query: its own photos are left out.
    """
    k = min(k, len(gallery))
    step = max(1, CELLS // max(1, len(gallery)))
    places, scores = [], []
    for start in range(0, len(queries), step):
        cosines = queries[start : start + step] @ gallery.T
        if groups is not None and own is not None:
            cosines[own[start : start + step, None] == groups[None]] = -np.inf
        top = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(cosines, top, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        places.append(np.take_along_axis(top, order, axis=1))
        scores.append(np.take_along_axis(values, order, axis=1))
    return Near(np.concatenate(places).astype(np.int64), np.concatenate(scores).astype(np.float32))


def vote(
    near: Near, values: Sequence[str], weights: NDArray[np.float64] | None = None
) -> tuple[list[str], NDArray[np.float64]]:
    """The value that most of each vector's neighbours have, by weight, and its share of those that have one.

    Args:
        near: The neighbours.
        values: (n,) of the gallery; empty where there is none.
        weights: (m, k) in place of the neighbours' own.

    Returns:
        m values, empty where no neighbour has one, and (m,) shares 0..1.
    """
    weighed = near.weights if weights is None else weights
    names = sorted(set(values))
    code = {name: number for number, name in enumerate(names)}
    of = np.array([code[value] for value in values], np.int64)[near.places]
    table = np.zeros((len(of), len(names)))
    np.add.at(table, (np.arange(len(of))[:, None], of), np.where(np.isfinite(near.scores), weighed, 0))
    if "" in code:
        table[:, code[""]] = 0
    best = table.argmax(axis=1)
    total = table.sum(axis=1)
    share = np.where(total > 0, table.max(axis=1) / np.maximum(total, 1e-12), 0.0)
    return [names[at] if some else "" for at, some in zip(best, total > 0, strict=True)], share
