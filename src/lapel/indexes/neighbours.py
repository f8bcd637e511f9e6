"""Neighbours among pictures that are in memory for one question of the whole catalogue: of vectors by cosine, of hashes
by the bits in which they differ. Nothing is kept or saved; a store's own index is
:mod:`lapel.indexes.growing`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.vectors import Vectors
from lapel.indexes.hash_chunks import HashChunks

FLAT_VECTORS = 10_000  # up to which all are compared: of 40,000 that takes 90 s of one core, by cells 2
CELLS_LOOKED = 16  # of an index by cells above that: finds all of 2,000 pictures' neighbours of .9 and more
FLAT_HASHES = 50_000  # up to which all are compared
TRAINED = 40  # vectors a cell learns from


def neighbour_index(vectors: Vectors) -> Any:
    """All are compared where there are few; else an index by cells with halved numbers, which a million vectors of 128
    fit into with 260 MB."""
    import faiss

    count, dim = vectors.shape
    if count <= FLAT_VECTORS:
        index: Any = faiss.IndexFlatIP(dim)
    else:
        cells = int(2 * count**0.5)
        kind = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(dim), dim, cells, kind, faiss.METRIC_INNER_PRODUCT)
        chosen = np.random.default_rng(0).choice(count, min(count, TRAINED * cells), replace=False)
        index.cp.niter = 10
        index.train(vectors[np.sort(chosen)])
        index.nprobe = CELLS_LOOKED
    for start in range(0, count, 65_536):
        index.add(vectors[start : start + 65_536])
    return index


def nearest_cosines(vectors: Vectors, others: Vectors, count: int) -> NDArray[np.float32]:
    """(m, count) the highest cosines of each of m vectors with others; fewer columns where there are fewer others."""
    import faiss

    found, _ = faiss.knn(vectors, others, min(count, len(others)), metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(found, np.float32)


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
