"""From photos in an order to a list people can use: each product once, the same photo once, variants together, not more
than some of one brand, and, on request, hits that differ from each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lapel.catalog import Catalog
from lapel.core.colour_names import find_colour
from lapel.core.errors import QueryError
from lapel.core.text import fold
from lapel.core.types import Hit, Photo, Product, Query
from lapel.core.vectors import Vectors
from lapel.core.words import tokens
from lapel.engine.features import PICTURE_HASH
from lapel.engine.ordering import Candidates
from lapel.engine.picture_hash import NEAR, hamming, whole_hash

VARIANTS = "variants"  # what `group` is called where it means each model once, whatever its colour
WHOLE_HASH = 64  # hex digits of a SHA-256
POOL = 3  # times k hits among which diversity chooses

Name = tuple[str, str]


@dataclass(slots=True)
class _Row:
    """What becomes a hit, with the ids of what it stands for beside its own product."""

    score: float
    added: float
    product: Product
    photo: Photo
    others: list[str]

    def hit(self, rank: int) -> Hit:
        return Hit(rank, self.score, self.product, self.photo, adjustment=self.added, others=tuple(self.others))


class Grouper:
    """Makes hits of candidates. Safe to share between threads.

    Args:
        catalog: The store's.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def group(
        self,
        found: Candidates,
        k: int,
        query: Query,
        excluded: frozenset[str],
        entries: Mapping[int, tuple[Product, Photo]],
    ) -> list[Hit]:
        """The first k products, or groups of products, each with its best photo.

        Args:
            found: Photos in their order.
            k: How many.
            query: What says how they are grouped.
            excluded: Ids of products that are left out.
            entries: Products and photos of the first :func:`first_piece` keys, those that are still there.

        Raises:
            QueryError: it groups by a field that no product has.
        """
        if not (query.diversity or query.group or query.max_per or query.distinct):
            hits = _one_each(found, k, excluded, entries)
            if hits is not None:
                return hits
        wanted = k if not query.diversity else POOL * k
        collected = _Collected(wanted, query, self._fields(query), excluded)
        whole = query.group == VARIANTS or query.distinct  # what comes later may belong to a hit
        # Looked up in pieces: mostly the first k photos are of k products, and the spare ones are not needed.
        step = first_piece(k, excluded)
        for at in range(0, len(found.keys), step):
            keys = found.keys[at : at + step]
            if at:
                entries = self._catalog.entries(keys)
            hashes = self._catalog.features.get(*PICTURE_HASH.key, keys.tolist()) if query.distinct else {}
            scores, added = (column[at : at + step].tolist() for column in (found.scores, found.added))
            for key, score, more in zip(keys.tolist(), scores, added, strict=True):
                # None: removed by another process since the index was built
                if (entry := entries.get(key)) is not None:
                    collected.take(_Row(score, more, *entry, []), whole_hash(hashes.get(key, b"")))
            if collected.full and not whole:
                break
        return [row.hit(rank) for rank, row in enumerate(collected.rows, 1)]

    def diverse(self, hits: list[Hit], vectors: Vectors, k: int, diversity: float) -> list[Hit]:
        """The k hits that are both near and unlike each other, by maximal marginal relevance (Carbonell and Goldstein
        1998): the best first, then each the one with the highest ``(1 - diversity) * relevance - diversity * cosine to
        the most alike hit before``.

        Args:
            hits: Best first.
            vectors: (n, dim) float32, of their photos.
            k: How many.
            diversity: 0..1.
        """
        relevance = np.array([hit.score + hit.adjustment for hit in hits])
        alike = vectors @ vectors.T
        chosen, nearest = [0], alike[0].copy()
        while len(chosen) < min(k, len(hits)):
            worth = (1 - diversity) * relevance - diversity * nearest
            worth[chosen] = -np.inf
            best = int(worth.argmax())
            chosen.append(best)
            nearest = np.maximum(nearest, alike[best])
        return [replace(hits[at], rank=rank) for rank, at in enumerate(chosen, 1)]

    def _fields(self, query: Query) -> tuple[str, str]:
        """The fields that group and that limit, as the catalogue calls them."""
        group = "" if query.group in ("", VARIANTS) else self._field(query.group)
        return group, self._field(query.most[0]) if query.most else ""

    def _field(self, name: str) -> str:
        """The field that a name means, whatever its case.

        Raises:
            QueryError: no product has such a field.
        """
        known = {fold(each): each for each in self._catalog.field_names()}
        if fold(name) not in known:
            raise QueryError(
                f"The catalogue has no field '{name}' to group by. There are: {', '.join(known.values())}.", field=name
            )
        return known[fold(name)]


def first_piece(k: int, excluded: frozenset[str]) -> int:
    """How many photos are looked up first for k hits."""
    return k + len(excluded)


def _one_each(
    found: Candidates, k: int, excluded: frozenset[str], entries: Mapping[int, tuple[Product, Photo]]
) -> list[Hit] | None:
    """The hits where the first photos are those of k products, each with bytes of its own, as they mostly are; None
    where they are not, or one is gone."""
    step = first_piece(k, excluded)
    some = [entries.get(key) for key in found.keys[:step].tolist()]
    there = [entry for entry in some if entry is not None]
    if len(there) < len(some) or len({photo.sha256 for _, photo in there}) < len(there):
        return None
    kept = [(row, *entry) for row, entry in enumerate(there) if entry[0].id not in excluded][:k]
    if len(kept) < k or len({product.id for _, product, _ in kept}) < k:
        return None
    scores, added = found.scores[:step].tolist(), found.added[:step].tolist()
    return [
        Hit(rank, scores[row], product, photo, (), added[row]) for rank, (row, product, photo) in enumerate(kept, 1)
    ]


class _Collected:
    """Hits as they come."""

    def __init__(self, wanted: int, query: Query, fields: tuple[str, str], excluded: frozenset[str]) -> None:
        self.rows: list[_Row] = []
        self._wanted = wanted
        self._query = query
        self._group, self._limited = fields
        self._most = query.most[1] if query.most else 0
        self._of: dict[Name, _Row | None] = {("id", each): None for each in excluded}
        self._held: Counter[str] = Counter()
        self._hashes: list[tuple[bytes, _Row]] = []

    @property
    def full(self) -> bool:
        """Whether there are as many as wanted."""
        return len(self.rows) >= self._wanted

    def take(self, new: _Row, look: bytes) -> None:
        """Take a row, or add its product to the row that stands for it already."""
        names = self._names(new.product, new.photo)
        for name in names:
            if name in self._of:
                row = self._of[name]
                break
        else:
            row = self._near(look) if look else None
            if row is None:
                if self.full or not self._room(new.product):
                    return
                row = new
                self.rows.append(row)
                if look:
                    self._hashes.append((look, row))
        if row is not None and new.product.id != row.product.id and new.product.id not in row.others:
            row.others.append(new.product.id)
        for name in names:
            self._of.setdefault(name, row)

    def _near(self, look: bytes) -> _Row | None:
        return next((row for other, row in self._hashes if hamming(other, look) <= NEAR), None)

    def _room(self, product: Product) -> bool:
        """Whether another product of its brand, or what is limited, may come; and count it."""
        if not self._limited:
            return True
        values = product.facets().get(self._limited, ())
        if any(self._held[value] >= self._most for value in values):
            return False
        self._held.update(values)
        return True

    def _names(self, product: Product, photo: Photo) -> list[Name]:
        """What must not come twice: the product, its photo, and what groups; a product without that stands for
        itself."""
        names = [("id", product.id)]
        if len(photo.sha256) == WHOLE_HASH:
            names.append(("sha256", photo.sha256))
        if self._query.group == VARIANTS:
            names.append((VARIANTS, variant_key(product)))
        elif self._group and self._group != "price":
            value = "|".join(product.facets().get(self._group, ()))
            if value:
                names.append((self._group, value))
        return names


def variant_key(product: Product) -> str:
    """What variants of one model share: brand, kind, gender and the title without words for colours.

    >>> red = Product("1", title="Nike Air Red Shoes", brand="Nike", colour="Red")
    >>> variant_key(red) == variant_key(Product("2", title="Nike Air Navy Blue Shoes", brand="Nike"))
    True
    """
    own = set(tokens(product.colour))
    words = [word for word in tokens(product.title) if word not in own and find_colour(word) is None]
    return "|".join((product.brand, *product.category, product.gender, " ".join(words) or product.id))
