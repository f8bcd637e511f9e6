"""Where each product is on a map: near what looks like it, one product a cell.

Vectors go in, a column and a row of a grid come out. t-SNE (openTSNE: van der Maaten and Hinton 2008, Linderman et al.
2019) from the first two principal components puts what is alike together; then each product takes the cell it fell in,
or the nearest free one, so that no picture covers another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from lapel.core.vectors import Keys, Vectors, normalise
from lapel.engine.context import StoreContext
from lapel.indexes.neighbours import nearest_others
from lapel.insight.grouping_vectors import require
from lapel.insight.kept_file import read_kept, write_kept

NEIGHBOURS = 30
DIMENSIONS = 48  # that neighbours are looked for in
PERPLEXITY = 10.0  # a third of the neighbours
EARLY, LATE = 100, 250  # rounds: with everything pulled together first, then as it is
EARLY_PULL, LATE_PULL = 12.0, 1.5  # 1.5 keeps groups a little apart
FILL = 0.35  # of the cells that have a product: the rest is what keeps groups apart
FULLEST = 0.6  # to which a kept map fills up before it is laid out anew
ASPECT = 3 / 4  # a cell's width over its height, as of pictures of products
FEWEST = 12  # products that t-SNE can lay out; fewer lie by their principal components
NEW_SHARE = 0.1  # of products that find their place on a kept map; with more it is laid out anew
FILE = "map.npz"  # in the store's folder; may be deleted

Cells = NDArray[np.int64]  # (n, 2) column and row
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Layout:
    """A map.

    Attributes:
        cells: (n, 2) column and row of each product; no two the same.
        columns: Of the grid.
        rows: Of the grid.
        kept: How many products are where they were on the map before; 0 when it was laid out anew.
    """

    cells: Cells
    columns: int
    rows: int
    kept: int = 0


def lay_out(vectors: Vectors, *, seed: int = 0, progress: Progress | None = None) -> Layout:
    """A map of (n, dim) unit rows; the same rows and seed give the same map."""
    count = len(vectors)
    across = max(2, int(np.ceil(np.sqrt(count / FILL / ASPECT))))
    down = max(2, int(np.ceil(count / FILL / across)))
    points = _principal(vectors) if count < FEWEST else _tsne(vectors, seed, progress)
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.maximum(high - low, 1e-12) * (np.array([across, down]) - 1)
    return Layout(placed(scaled, np.zeros((across, down), bool)), across, down)


def _principal(vectors: Vectors) -> NDArray[np.float64]:
    """(n, 2) on the first two principal components, each with the sign under which its largest weight is positive."""
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return np.asarray(centred @ axes)


def _compressed(vectors: Vectors) -> Vectors:
    """Unit rows in fewer dimensions, with nearly the same cosines: comparing all with all takes a third of the time."""
    if vectors.shape[1] <= DIMENSIONS:
        return vectors
    rows = vectors.astype(np.float64)
    axes = np.linalg.eigh(rows.T @ rows)[1][:, -DIMENSIONS:]
    return normalise(rows @ axes)


def _tsne(vectors: Vectors, seed: int, progress: Progress | None) -> NDArray[np.float64]:
    tsne: Any = require("openTSNE")
    affinity: Any = require("openTSNE.affinity")
    neighbors: Any = require("openTSNE.nearest_neighbors")
    nearest, cosines = nearest_others(_compressed(vectors), min(NEIGHBOURS, len(vectors) - 1))
    distances = np.sqrt(np.maximum(2 - 2 * cosines.astype(np.float64), 0))
    graph = affinity.PerplexityBasedNN(
        perplexity=min(PERPLEXITY, nearest.shape[1] / 3),
        knn_index=neighbors.PrecomputedNeighbors(nearest, distances),
        n_jobs=1,
        random_state=seed,
    )
    start = _principal(vectors)
    start += np.random.default_rng(seed).normal(scale=1e-4, size=start.shape)  # equal pictures must come apart
    start *= 1e-2 / start.std()
    total = EARLY + LATE
    done = [0]

    def tell(_round: int, _error: float, _points: Any) -> bool:
        done[0] += 10
        if progress is not None:
            progress(min(done[0], total), total)
        return False

    # One job: several add up in another order each time, and the map would be another.
    points = tsne.TSNEEmbedding(
        start,
        graph,
        negative_gradient_method="fft" if len(vectors) > 5_000 else "bh",
        n_jobs=1,
        random_state=seed,
        callbacks=[tell],
        callbacks_every_iters=10,
    )
    points = points.optimize(EARLY, exaggeration=EARLY_PULL, momentum=0.5)
    points = points.optimize(LATE, exaggeration=LATE_PULL, momentum=0.8)
    return np.asarray(points, np.float64)


def placed(points: NDArray[np.float64], taken: NDArray[np.bool_]) -> Cells:
    """A free cell for each point, the nearest as far as others leave it.

    Args:
        points: (n, 2) column and row, with fractions.
        taken: (columns, rows) cells that are not free; there are at least n others.

    Returns:
        (n, 2); no two the same, none taken.
    """
    taken = taken.copy()
    wanted = np.clip(np.rint(points).astype(np.int64), 0, np.array(taken.shape) - 1)
    cells = np.full((len(points), 2), -1, np.int64)
    waiting = np.arange(len(points))
    while len(waiting):
        free = distance_transform_edt(taken, return_distances=False, return_indices=True)
        best = free[:, wanted[waiting, 0], wanted[waiting, 1]].T
        number = best[:, 0] * taken.shape[1] + best[:, 1]
        off = ((best - points[waiting]) ** 2).sum(axis=1)
        order = np.lexsort((waiting, off, number))  # of those that want a cell, the nearest gets it
        winners = order[np.flatnonzero(np.diff(number[order], prepend=-1))]
        cells[waiting[winners]] = best[winners]
        taken[best[winners, 0], best[winners, 1]] = True
        waiting = np.delete(waiting, winners)
    return cells


@dataclass(frozen=True)
class KeptMap:
    """A map of before.

    Attributes:
        keys: (n,) the photos it was of, rising.
        layout: Where they are.
        mark: Of what it was laid out: model, filter, seed.
    """

    keys: Keys
    layout: Layout
    mark: str

    @classmethod
    def read(cls, path: Path, mark: str) -> KeptMap | None:
        """The map in a file; None where there is none of this mark that can be read."""
        kept = read_kept(path, mark, ("keys", "cells", "grid"))
        if kept is None or kept["cells"].shape != (len(kept["keys"]), 2) or kept["grid"].shape != (2,):
            return None
        return cls(kept["keys"], Layout(kept["cells"], *(int(size) for size in kept["grid"])), mark)

    def write(self, context: StoreContext) -> None:
        """Keep it; where nothing can be written, the next map is laid out anew."""
        grid = np.array([self.layout.columns, self.layout.rows])
        write_kept(context, FILE, self.mark, {"keys": self.keys, "cells": self.layout.cells, "grid": grid})

    def extended(self, keys: Keys, vectors: Vectors) -> Layout | None:
        """The same map with some photos gone and some new, which go beside what is nearest to them; None where too much
        is new."""
        at = np.searchsorted(self.keys, keys).clip(0, max(0, len(self.keys) - 1))
        old = self.keys[at] == keys if len(self.keys) else np.zeros(len(keys), bool)
        size = self.layout.columns * self.layout.rows
        if (~old).sum() > NEW_SHARE * len(keys) or len(keys) > FULLEST * size or len(keys) < FILL * size / 2:
            return None
        cells = np.full((len(keys), 2), -1, np.int64)
        cells[old] = self.layout.cells[at[old]]
        if not old.all():
            taken = np.zeros((self.layout.columns, self.layout.rows), bool)
            taken[cells[old, 0], cells[old, 1]] = True
            there = np.flatnonzero(old)
            nearest = (vectors[~old] @ vectors[there].T).argmax(axis=1)
            cells[~old] = placed(cells[there[nearest]].astype(np.float64), taken)
        return Layout(cells, self.layout.columns, self.layout.rows, int(old.sum()))
