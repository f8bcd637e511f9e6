"""What values the nearest photos of vectors vote for, see :func:`lapel.indexes.neighbours.nearest`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lapel.core.types import Matches

SHARPNESS = 0.05  # cosines: a neighbour that is so much further away counts 1/e


def weights_of(near: Matches) -> NDArray[np.float64]:
    """(m, k) how much each neighbour counts; they sum to 1."""
    top = np.where(np.isfinite(near.scores[:, :1]), near.scores[:, :1], 0)
    found = np.exp((near.scores - top).astype(np.float64) / SHARPNESS)
    return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12), np.float64)


def vote(
    near: Matches, values: Sequence[str], weights: NDArray[np.float64] | None = None
) -> tuple[list[str], NDArray[np.float64]]:
    """The value that most of each vector's neighbours have, by weight, and its share of those that have one.

    Args:
        near: (m, k) places of the neighbours and their cosines.
        values: (n,) of the gallery; empty where there is none.
        weights: (m, k) in place of the neighbours' own.

    Returns:
        m values, empty where no neighbour has one, and (m,) shares 0..1.
    """
    weighed = weights_of(near) if weights is None else weights
    names = sorted(set(values))
    code = {name: number for number, name in enumerate(names)}
    of = np.array([code[value] for value in values], np.int64)[near.keys]
    table = np.zeros((len(of), len(names)))
    np.add.at(table, (np.arange(len(of))[:, None], of), np.where(np.isfinite(near.scores), weighed, 0))
    if "" in code:
        table[:, code[""]] = 0
    best = table.argmax(axis=1)
    total = table.sum(axis=1)
    share = np.where(total > 0, table.max(axis=1) / np.maximum(total, 1e-12), 0.0)
    return [names[at] if some else "" for at, some in zip(best, total > 0, strict=True)], share
