"""Neighbours among pictures that are in memory for one question of the whole catalogue: of vectors by cosine, of hashes
by the bits in which they differ. Nothing is kept or saved; a store's own index is
:mod:`lapel.indexes.growing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.types import Matches
from lapel.core.vectors import Vectors
from lapel.indexes.hash_chunks import HashChunks
from lapel.indexes.rows import Rows, merge_matches, scan

EXACT_ROWS = 200_000  # up to which all are compared with all
CELLS_LOOKED = 16
TRAINED = 40  # vectors a cell learns from
FLAT_HASHES = 50_000  # up to which all are compared
BLOCK = 2048  # queries at once


def neighbour_index(vectors: Vectors, exact_rows: int = EXACT_ROWS) -> Any:
    """What :func:`nearest` looks in: up to so many rows those themselves, all of which are compared; above, cells.

    Cells are FAISS's (IVF: Jegou et al., "Product Quantization for Nearest Neighbor Search", 2011), with 16-bit
    numbers: a million vectors of 128 fit into 260 MB. Of 40,000 pictures they find all neighbours of .9 and more in 2 s
    of a core; building the graph that a store of that size has takes 16, comparing all 90.

    Args:
        vectors: (n, dim) float32 unit rows.
        exact_rows: How many; fewer where many are asked for, more than once.

    Returns:
        (n, dim) float32, or an index of FAISS.
    """
    if len(vectors) <= exact_rows:
        return np.ascontiguousarray(vectors, np.float32)
    import faiss

    count, dim = vectors.shape
    cells = int(2 * count**0.5)
    index: Any = faiss.index_factory(dim, f"IVF{cells},SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.nprobe = 10, CELLS_LOOKED
    index.train(vectors[np.sort(np.random.default_rng(0).choice(count, min(count, TRAINED * cells), replace=False))])
    for start in range(0, count, 65_536):
        index.add(vectors[start : start + 65_536])
    return index


def nearest(
    queries: Vectors,
    among: Any,
    k: int,
    *,
    groups: NDArray[np.int64] | None = None,
    own: NDArray[np.int64] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Matches:
    """The nearest rows of each query, by cosine.

    Args:
        queries: (m, dim) float32 unit rows.
        among: (n, dim) float32 unit rows, which are all compared, or :func:`neighbour_index` of them.
        k: How many; fewer where there are fewer rows.
        groups: (n,) a number for each row, such as its product,
        own: (m,) and for each query: rows with its own number are left out.
        progress: Called with how many queries are done, and how many there are.

    Returns:
        (m, k) places of the rows, the nearest first, and cosines; -1 and -inf where there are no more.
    """
    count, parts = len(among) if isinstance(among, np.ndarray) else among.ntotal, []
    k = min(k, count)
    left_out = 0 if groups is None else int(np.unique(groups, return_counts=True)[1].max(initial=0))
    for start in range(0, max(len(queries), 1), BLOCK):
        some, more = queries[start : start + BLOCK], min(k + left_out, count)
        if isinstance(among, np.ndarray):
            found = scan(some, among, np.arange(count), more)
        else:
            scores, keys = among.search(np.ascontiguousarray(some, np.float32), more)
            found = Matches(keys, np.where(keys < 0, np.float32(-np.inf), scores))
        if groups is not None and own is not None:
            is_own = groups[found.keys] == own[start : start + BLOCK, None]
            found.keys[is_own], found.scores[is_own] = -1, -np.inf
            found = merge_matches([found], k)
        parts.append(found)
        if progress is not None:
            progress(start + len(some), len(queries))
    return Matches(np.concatenate([part.keys for part in parts]), np.concatenate([part.scores for part in parts]))


def nearest_others(
    vectors: Vectors, k: int, *, progress: Callable[[int, int], None] | None = None
) -> tuple[Rows, NDArray[np.float32]]:
    """Each row's k nearest other rows, the nearest first: (n, k) rows and (n, k) cosines, k at most n - 1.

    Exact up to :data:`EXACT_ROWS` rows.
    """
    own = np.arange(len(vectors))
    found = nearest(vectors, neighbour_index(vectors), min(k, len(vectors) - 1), groups=own, own=own, progress=progress)
    return found.keys, found.scores


class HashIndex:
    """Finds the nearest of many hashes: all are compared where there are few, else those that nearly agree in a part,
    which misses none within 31 bits (:mod:`lapel.indexes.hash_chunks`). One thread looks; several may ask at once.

    Args:
        hashes: (n, b) uint8; of more than :data:`FLAT_HASHES`, b is 32.
    """

    def __init__(self, hashes: NDArray[np.uint8]) -> None:
        if len(hashes) > FLAT_HASHES:
            self._index: Any = HashChunks(hashes)
            return
        import faiss

        self._index = faiss.IndexBinaryFlat(hashes.shape[1] * 8)
        if len(hashes):
            self._index.add(np.ascontiguousarray(hashes))

    def nearest(self, hashes: NDArray[np.uint8], k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The nearest of each of m hashes: (m, k) distances in bits and (m, k) places, -1 where there are no more."""
        from lapel.indexes.structure import one_thread  # which loads FAISS

        with one_thread():
            distances, places = self._index.search(np.ascontiguousarray(hashes), k)
        return np.asarray(distances, np.int32), np.asarray(places, np.int64)
