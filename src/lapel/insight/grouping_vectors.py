"""Groups of unit vectors at several levels, each level inside the next coarser one.

Vectors go in, a group number of each for every level comes out. Up to a thousand rows are joined one pair of groups
after the other, the pair with the highest mean cosine first (average linkage, Sokal and Michener 1958); of more rows,
k-means makes a thousand small groups first and those are joined. Joined groups find large kinds whole and small ones
apart, where k-means alone cuts large kinds into pieces: see ``benchmarks/clusters.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import MissingDependencyError
from lapel.core.vectors import Vectors

SMALL_GROUPS = 1000  # that are joined: their table of pairs takes 8 MB, and joining them a second
FIT_ROWS = 20_000  # that k-means learns from, twenty a group; the others go to the nearest centre
BLOCK = 4096  # rows that are compared with the middles at once
ROUNDS = 30  # of k-means; more change fewer than one row in a hundred
# Taken off the mean cosine of two groups for each doubling of their (harmonic) size: without it a coarse level is a
# few large groups and many of one product.
SIZE_PENALTY = 0.02 * float(np.log(2))
NEVER = -9.0  # below every mean cosine

Groups = NDArray[np.int64]


def require(library: str) -> Any:
    """A library of the extra ``insight``.

    Raises:
        MissingDependencyError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise MissingDependencyError(
            f"Groups and maps need {library.partition('.')[0]}. Install it with: pip install 'lapel[insight]'"
        ) from error


def nested_groups(
    vectors: Vectors, counts: Sequence[int], *, seed: int = 0, small: Groups | None = None
) -> list[Groups]:
    """Groups of rows at several levels.

    Args:
        vectors: (n, dim) unit rows.
        counts: How many groups each level has, rising; at most n, and at most 1,000.
        seed: Of k-means; up to 1,000 rows there is nothing to draw.
        small: (n,) small groups that are joined, where they are known; by default each row by itself, of more than
            1,000 those of k-means.

    Returns:
        For each level (n,) group numbers, the largest group first. Each group of a level lies in one of the level
        before.
    """
    if small is None:
        small = np.arange(len(vectors))
        if len(vectors) > SMALL_GROUPS:
            small = nearest_middles(vectors, learned_middles(vectors, SMALL_GROUPS, seed))
    cuts = joined(*_means(vectors, small), counts)
    return [_by_size(cut[small]) for cut in cuts]


def learned_middles(vectors: Vectors, count: int, seed: int) -> Vectors:
    """The middles of k-means of (n, dim) rows: (count, dim) float32. The same rows and seed give the same."""
    cluster, limits = require("sklearn.cluster"), require("threadpoolctl").threadpool_limits
    rng = np.random.default_rng(seed)
    learned = vectors
    if len(vectors) > FIT_ROWS:
        learned = vectors[np.sort(rng.permutation(len(vectors))[:FIT_ROWS])]
    count = min(count, len(np.unique(learned, axis=0)))
    means = cluster.KMeans(count, n_init=1, max_iter=ROUNDS, random_state=seed)
    with limits(1, user_api="openmp"):  # several threads add up in another order each time
        means.fit(learned)
    return np.asarray(means.cluster_centers_, np.float32)


def nearest_middles(vectors: Vectors, middles: Vectors) -> Groups:
    """(n,) which of (m, dim) middles is nearest to each row, counted from 0 over those that are nearest to any."""
    halves = (middles**2).sum(axis=1) / 2
    parts = [
        (vectors[start : start + BLOCK] @ middles.T - halves).argmax(axis=1) for start in range(0, len(vectors), BLOCK)
    ]
    return np.asarray(np.unique(np.concatenate(parts), return_inverse=True)[1], np.int64)


def _means(vectors: Vectors, groups: Groups) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The (m, dim) means and (m,) sizes of groups."""
    sizes = np.bincount(groups).astype(np.float64)
    sums = np.zeros((len(sizes), vectors.shape[1]))
    np.add.at(sums, groups, vectors)
    return sums / sizes[:, None], sizes


def joined(means: NDArray[np.float64], sizes: NDArray[np.float64], counts: Sequence[int]) -> list[Groups]:
    """Join groups until so many are left.

    The mean cosine of all pairs of two groups' rows is the inner product of the groups' means, so no row is looked at
    again.

    Args:
        means: (m, dim) means of unit rows.
        sizes: (m,) how many rows each is the mean of.
        counts: How many groups to stop at, rising.

    Returns:
        For each count, (m,) numbers.
    """
    means, sizes = means.copy(), sizes.copy()
    of = np.arange(len(means))
    alive = np.ones(len(means), bool)
    likeness = _likeness(means @ means.T, sizes[:, None], sizes[None])
    np.fill_diagonal(likeness, NEVER)
    cuts: dict[int, Groups] = {}
    for left in range(len(means), min(counts) - 1, -1):
        if left in counts:
            cuts[left] = of.copy()
        one, other = sorted(divmod(int(likeness.argmax()), len(means)))
        total = sizes[one] + sizes[other]
        means[one] = (sizes[one] * means[one] + sizes[other] * means[other]) / total
        sizes[one] = total
        of[of == other] = one
        alive[other] = False
        row = _likeness(means @ means[one], sizes, total)
        row[~alive] = row[one] = NEVER
        likeness[one], likeness[:, one] = row, row
        likeness[other], likeness[:, other] = NEVER, NEVER
    return [cuts[count] for count in counts]


def _likeness(cosines: NDArray[np.float64], one: Any, other: Any) -> NDArray[np.float64]:
    return np.asarray(cosines - SIZE_PENALTY * np.log2(one * other / (one + other)))


def _by_size(groups: Groups) -> Groups:
    """The same groups numbered by falling size."""
    _, first, inverse, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[inverse])
