"""How much two ranked answers to one question agree: two arrays of items in, one number a query out.

Everywhere ``a`` and ``b`` are (q, k) int64 items, best first, no item twice in a row, padded with -1 where there are
fewer than k.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError
from lapel.core.metrics import PerQuery

Ranked = NDArray[np.int64]  # (q, k)
PERSISTENCE = 0.9  # the first ten ranks then carry 86 % of the weight (Webber et al. 2010, section 4.4)


def shared(a: Ranked, b: Ranked) -> NDArray[np.int64]:
    """How many items both lists hold among their first d, for d = 1..k: (q, k)."""
    if a.ndim != 2 or a.shape != b.shape:
        raise InputError(f"Two ranked answers need one shape (queries, k); found {a.shape} and {b.shape}.")
    same = (a[:, :, None] == b[:, None, :]) & (a >= 0)[:, :, None]  # (q, k, k)
    query, rank = np.nonzero(same.any(axis=2))
    # An item at rank i of one list and j of the other is shared from depth max(i, j) on.
    depth = np.maximum(rank, same[query, rank].argmax(axis=1)) if len(query) else rank
    found = np.zeros(a.shape, np.int64)
    np.add.at(found, (query, depth), 1)
    counts: NDArray[np.int64] = found.cumsum(axis=1)
    return counts


def overlap(a: Ranked, b: Ranked) -> PerQuery:
    """The share of the answers that both lists hold, whatever their order.

    ``overlap@k = |a and b| / k``, with k at most the length of the shorter list; two empty lists agree.
    """
    length = np.minimum((a >= 0).sum(axis=1), (b >= 0).sum(axis=1))
    both = shared(a, b)[:, -1]
    share: PerQuery = np.where(length > 0, both / np.maximum(length, 1), 1.0)
    return share


def rank_biased_overlap(a: Ranked, b: Ranked, *, p: float = PERSISTENCE) -> PerQuery:
    """How much two rankings agree when the first ranks count most: 1 for equal lists, 0 for disjoint ones.

    ``rbo_ext = (x_k / k) p^k + ((1 - p) / p) * sum over d <= k of (x_d / d) p^d``, where ``x_d`` items are shared among
    the first d: equation 32 of W. Webber, A. Moffat, J. Zobel, A Similarity Measure for Indefinite Rankings, ACM TOIS
    28(4), 2010, which supposes that the lists go on agreeing as they do at k. Lists that end earlier are seen to their
    end.

    Raises:
        InputError: p outside 0..1, or lists of different length.
    """
    if not 0 < p < 1:
        raise InputError(f"The persistence of a rank-biased overlap lies between 0 and 1; found {p}.")
    length = (a >= 0).sum(axis=1)
    if not np.array_equal(length, (b >= 0).sum(axis=1)):
        raise InputError("A rank-biased overlap compares lists of the same length; these differ.")
    depth = np.arange(1, a.shape[1] + 1)
    agreement = shared(a, b) / depth
    weight = np.where(depth <= length[:, None], p**depth, 0.0)
    last = np.take_along_axis(agreement, np.maximum(length - 1, 0)[:, None], axis=1)[:, 0]
    value = last * p**length + (1 - p) / p * (agreement * weight).sum(axis=1)
    result: PerQuery = np.where(length > 0, np.minimum(value, 1.0), 1.0)
    return result
