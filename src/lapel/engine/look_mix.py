"""Shape, colour and pattern, each counting as much as is asked for.

Colour has a space of its own within a store's vectors (:mod:`lapel.engine.colour_space`), and so has pattern: what the
model's probe of patterns looks along. What is left of a vector is its shape: the kind of thing, its cut, whom it is
for. A weight for each is a linear map of the query, so that it stays one unit vector and one search.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import QueryError
from lapel.core.queries import LookMix
from lapel.core.types import EmbeddedQuery
from lapel.encoders.probes import Probes

PATTERN = "pattern"  # the probe
MAIN_COLOURS = (
    16  # directions of the space of colours that stand for colour where it counts more: further ones hold kinds
)
CANCELLED = 1e-6  # length of what is left of a query below which there is nothing to look for

Basis = NDArray[np.float32]  # (r, dim) orthonormal rows


def pattern_basis(probes: Probes, colour: Basis) -> Basis:
    """What a model's probe of patterns looks along, beside the colours; no rows where it has none.

    Args:
        probes: The model's.
        colour: (r, dim) the space of colours.
    """
    if PATTERN not in probes:
        return np.zeros((0, colour.shape[1]), np.float32)
    weights = probes[PATTERN].weights - probes[PATTERN].weights.mean(axis=0)
    weights = weights - weights @ colour.T @ colour
    _, size, basis = np.linalg.svd(weights, full_matrices=False)
    return np.asarray(basis[size > 1e-3 * size[0]], np.float32)


def mixed(embedded: EmbeddedQuery, mix: LookMix, colour: Basis, pattern: Basis) -> EmbeddedQuery:
    """A query in which shape, colour and pattern count as ``mix`` says.

    Raises:
        QueryError: a weight of what these vectors do not tell apart, or nothing is left to look for.
    """
    for name, basis, weight in (("colour", colour, mix.colour), ("pattern", pattern, mix.pattern)):
        if weight != mix.shape and not len(basis):
            raise QueryError(
                f"The vectors of this store do not tell {name} apart, so it cannot count {weight:g} where the shape"
                f" counts {mix.shape:g}. Give {name} the weight of the shape, or leave it out."
            )

    if mix.colour > mix.shape:
        colour = colour[:MAIN_COLOURS]

    def weighed(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        in_colour, in_pattern = rows @ colour.T @ colour, rows @ pattern.T @ pattern
        rest = rows - in_colour - in_pattern
        return np.asarray(mix.shape * rest + mix.colour * in_colour + mix.pattern * in_pattern, np.float32)

    vector = weighed(embedded.vector)
    length = float(np.linalg.norm(vector))
    if length < CANCELLED:
        raise QueryError("Nothing is left to look for with these weights of shape, colour and pattern. Raise one.")
    return replace(
        embedded,
        vector=vector / np.float32(length),
        directions=weighed(embedded.directions) / np.float32(length),
    )
