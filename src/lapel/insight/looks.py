"""Looks: photos that are alike, as k groups of their vectors; the same vectors and seed give the same groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import QueryError
from lapel.core.vectors import Vectors
from lapel.indexes.spherical import spherical_k_means
from lapel.insight.findings import Gallery

LEAST_PHOTOS = 25  # of a look on average: fewer have no share that could be told from chance
NAMED = 0.5  # share of a look's photos that have the value by which it is named
MOST_LOOKS = 48  # by default; a person looks through no more


@dataclass(frozen=True)
class Looks:
    """Groups of photos.

    Attributes:
        of: (n,) the group of each photo.
        medoids: (k,) the place of the photo nearest to each group's middle.
        middles: (k, dim) float32 unit rows.
    """

    of: NDArray[np.int64]
    medoids: NDArray[np.int64]
    middles: Vectors

    def nearest(self, look: int, vectors: Vectors, count: int) -> NDArray[np.int64]:
        """Places of the photos of a look that are nearest to its middle, the nearest first."""
        own = np.flatnonzero(self.of == look)
        return own[np.argsort(-(vectors[own] @ self.middles[look]), kind="stable")[:count]]

    def assign(self, vectors: Vectors) -> NDArray[np.int64]:
        """The look whose middle is nearest to each of (m, dim) unit rows."""
        return np.asarray((vectors @ self.middles.T).argmax(axis=1), np.int64)


def find_looks(vectors: Vectors, count: int | None = None, *, seed: int = 0) -> Looks:
    """Group photos by spherical k-means.

    Args:
        vectors: (n, dim) float32 unit rows.
        count: How many looks; by default one for 25 photos, 48 at most. Where fewer photos differ there are fewer.
        seed: Another seed begins with other photos.

    Raises:
        QueryError: ``count`` is below one or above the number of photos.
    """
    if count is not None and not 1 <= count <= len(vectors):
        raise QueryError(f"There can be 1 to {len(vectors):,} looks of {len(vectors):,} photos; found {count}.")
    wanted = count or int(np.clip(len(vectors) // LEAST_PHOTOS, 1, MOST_LOOKS))
    wanted = min(wanted, len(np.unique(vectors.round(3), axis=0)) if len(vectors) < 5000 else wanted)
    middles = spherical_k_means(vectors, wanted, seed=seed)
    of = (vectors @ middles.T).argmax(axis=1)
    used = np.unique(of)  # k-means may leave a group empty
    of = np.searchsorted(used, of)
    middles = middles[used]
    likeness = np.einsum("nd,nd->n", vectors, middles[of])
    medoids = [int(own[likeness[own].argmax()]) for own in (np.flatnonzero(of == look) for look in range(len(used)))]
    return Looks(of.astype(np.int64), np.array(medoids, np.int64), middles)


def names_of_looks(gallery: Gallery, looks: Looks) -> list[str]:
    """What most of a look's products are, such as ``black casual shoes, Men``; a number where two are called alike."""
    names: list[str] = []
    for look in range(len(looks.medoids)):
        products = [gallery.product(place) for place in np.flatnonzero(looks.of == look).tolist()]
        parts = []
        for values in ([p.colour for p in products], [p.category[-1] if p.category else "" for p in products]):
            value, count = Counter(values).most_common(1)[0]
            if value and count >= NAMED * len(products):
                parts.append(value)
        if not parts or parts[-1] == Counter(p.colour for p in products).most_common(1)[0][0]:
            two = [value for value, _ in Counter(p.category[-1] for p in products if p.category).most_common(2)]
            parts.append(" and ".join(two) or "mixed")
        gender, count = Counter(p.gender for p in products).most_common(1)[0]
        if gender and count >= NAMED * len(products):
            parts.append(f"for {gender}")
        names.append(" ".join(parts))
    seen: Counter[str] = Counter()
    again = Counter(names)
    for place, name in enumerate(names):
        seen[name] += 1
        names[place] = f"{name} {seen[name]}" if again[name] > 1 else name
    return names
