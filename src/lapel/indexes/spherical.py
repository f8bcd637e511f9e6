"""Groups of unit vectors: spherical k-means (Dhillon and Modha 2001), as FAISS does it."""

from __future__ import annotations

from typing import Any

import faiss as typed_faiss
import numpy as np

from lapel.core.vectors import Vectors

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

ROUNDS = 25  # the middles hardly move after
FEW = 10_000  # vectors, up to which it is done several times and the best one kept, as it may end in a bad place
TIMES = 8


def spherical_k_means(
    vectors: Vectors, count: int, *, seed: int = 0, rounds: int = ROUNDS, times: int | None = None
) -> Vectors:
    """The middles of groups.

    Args:
        vectors: (n, dim) float32 unit rows, n at least ``count``.
        count: How many groups; of equal vectors some may stay empty.
        seed: Another seed begins with other vectors; the same gives the same middles on one machine.
        rounds: How often groups and middles are made anew.
        times: How often all of it is done; by default by the number of vectors.

    Returns:
        (count, dim) float32 unit rows.
    """
    times = times or (TIMES if len(vectors) <= FEW else 1)
    how = {"niter": rounds, "nredo": times, "seed": seed + 1, "spherical": True, "min_points_per_centroid": 1}
    means = faiss.Kmeans(vectors.shape[1], count, **how)
    means.train(np.ascontiguousarray(vectors, np.float32))
    return np.asarray(means.centroids, np.float32)
