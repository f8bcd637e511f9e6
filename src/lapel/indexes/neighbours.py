"""Neighbours among pictures that are in memory for one question of the whole catalogue: of vectors by cosine, of hashes
by the bits in which they differ. Nothing is kept or saved; a store's own index is
:mod:`lapel.indexes.growing`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.vectors import Vectors

FLAT_VECTORS = 150_000  # up to which all are compared
CELLS_LOOKED = 12  # of an index by cells above that
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


def hash_index(hashes: NDArray[np.uint8]) -> Any:
    """An index of (n, b) uint8 hashes that compares all; its ``search(hashes, k)`` gives (m, k) distances in bits and
    places. For many see :mod:`lapel.indexes.hash_chunks`."""
    import faiss

    index: Any = faiss.IndexBinaryFlat(hashes.shape[1] * 8)
    if len(hashes):
        index.add(np.ascontiguousarray(hashes))
    return index
