"""From photos in an order to a list people can use: each product once, the same photo once, variants together, not more
than some of one brand, and, on request, hits that differ from each other."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import Catalog
from lapel.core.colour_names import find_colour
from lapel.core.errors import QueryError
from lapel.core.text import fold
from lapel.core.types import Hit, Matches, Photo, Product, Query
from lapel.core.vectors import Keys, Vectors
from lapel.core.words import tokens
from lapel.engine.features import PICTURE_HASH
from lapel.engine.hits import Entries, FoundHits
from lapel.engine.ordering import Candidates
from lapel.engine.picture_hash import NEAR, hamming, whole_hash

VARIANTS = "variants"  # what `group` is called where it means each model once, whatever its colour
WHOLE_HASH = 64  # hex digits of a SHA-256
POOL, PAGE = 3, 10  # diversity chooses each ten hits among three times as many as are there then
MAX_NUMBERED = 500_000  # photos; 60 MB with their texts
LEFT_OUT = -1  # what stands for a product that is not to come

Name = tuple[str, str]
Rows = NDArray[np.int64]


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
        entries: Entries,
    ) -> FoundHits:
        """The first k products, or groups of products, each with its best photo.

        Args:
            found: Photos in their order.
            k: How many.
            query: What says how they are grouped.
            excluded: Ids of products that are left out.
            entries: Products and photos of some of the keys.

        Raises:
            QueryError: it groups by a field that no product has.
        """
        wanted = pool_of(k) if query.diversity else k
        collected = _Collected(wanted, query, self._fields(query), excluded)
        whole = query.group == VARIANTS or query.distinct  # what comes later may belong to a hit
        # Looked up in pieces: mostly the first k photos are of k products, and the spare ones are not needed.
        step = first_piece(k, excluded)
        for at in range(0, len(found.keys), step):
            keys = found.keys[at : at + step].tolist()
            if any(key not in entries for key in keys):
                entries = {**entries, **self._catalog.entries(keys)}
            hashes = self._catalog.features.get(*PICTURE_HASH.key, keys) if query.distinct else {}
            for place, key in enumerate(keys, at):
                # None: removed by another process since the index was built
                if (entry := entries.get(key)) is not None:
                    collected.take(place, *entry, whole_hash(hashes.get(key, b"")))
            if collected.full and not whole:
                break
        rows = collected.places
        others = {row: tuple(ids) for row, ids in collected.others.items()}
        return FoundHits(found.keys[rows], found.scores[rows], found.added[rows], entries, others)

    def diverse(self, hits: list[Hit], vectors: Vectors, k: int, diversity: float) -> list[Hit]:
        """The k hits that are both near and unlike each other, by maximal marginal relevance (Carbonell and Goldstein
        1998): the best first, then each the one with the highest ``(1 - diversity) * relevance - diversity * cosine to
        the most alike hit before``. What is chosen at a rank does not depend on k: pages of one answer fit together.

        Args:
            hits: Best first, up to ``pool_of(k)`` of them.
            vectors: (n, dim) float32, of their photos.
            k: How many.
            diversity: 0..1.
        """
        relevance = np.array([hit.score + hit.adjustment for hit in hits])
        alike = vectors @ vectors.T
        chosen, nearest = [0], alike[0].copy()
        while len(chosen) < min(k, len(hits)):
            worth = (1 - diversity) * relevance - diversity * nearest
            worth[chosen] = worth[pool_of(len(chosen) + 1) :] = -np.inf
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


def pool_of(k: int) -> int:
    """Among how many hits diversity chooses k."""
    return POOL * PAGE * math.ceil(k / PAGE)


def first_piece(k: int, excluded: frozenset[str]) -> int:
    """How many photos are looked up first for k hits."""
    return k + len(excluded)


def is_plain(query: Query) -> bool:
    """Whether each product simply comes once."""
    return not (query.diversity or query.group or query.max_per or query.distinct)


class PhotoNumbers:
    """The product of each photo, and its bytes, as numbers that compare: a batch then looks at no product. Safe to
    share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forget(-1)

    def _forget(self, change: int) -> None:
        self._change = change
        self._products: dict[str, int] = {}
        self._contents: dict[str, int] = {}
        self._keys: Keys = np.array([-1])  # sorted; -1 stands for no photo
        self._numbers = np.array([[-1, -1]])

    def of(
        self, change: int, keys: Keys, entries: Entries, excluded: Sequence[frozenset[str]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers of photos and products.

        Args:
            change: The catalogue's newest: after another one all is numbered anew.
            keys: (n,) sorted photo keys, each once.
            entries: The products and photos of those that are there.
            excluded: q sets of ids.

        Returns:
            (n, 2) the number of each photo's product and of its bytes, -1 of what is gone; and (q,) that of the one
            product of each set, -2 where it has none.
        """
        with self._lock:
            if change != self._change or len(self._keys) + len(keys) > MAX_NUMBERED:
                self._forget(change)
            new = [key for key in np.setdiff1d(keys, self._keys, assume_unique=True).tolist() if key in entries]
            if new:
                places = np.searchsorted(self._keys, new)
                self._keys = np.insert(self._keys, places, new)
                self._numbers = np.insert(self._numbers, places, [self._number(*entries[key]) for key in new], axis=0)
            places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            found = np.where((self._keys[places] == keys)[:, None], self._numbers[places], -1)
            own = np.array([self._products.get(next(iter(each), ""), -2) for each in excluded])
        if len(entries) < len(keys):  # some are gone, perhaps since they were numbered
            found[[key not in entries for key in keys.tolist()]] = -1
        return found, own

    def _number(self, product: Product, photo: Photo) -> tuple[int, int]:
        return (
            self._products.setdefault(product.id, len(self._products)),
            self._contents.setdefault(photo.sha256, len(self._contents)),
        )


def one_each(
    near: Matches,
    added: NDArray[np.float32],
    counts: Rows,
    excluded: Sequence[frozenset[str]],
    entries: Entries,
    change: int,
    numbers: PhotoNumbers,
) -> list[FoundHits | None]:
    """The hits of q queries whose first photos are those of so many products, each with bytes of its own, as they
    mostly are; None for a query where they are not, or one is gone.

    Args:
        near: (q, n) the first photos of each, in their order; -1 where there are no more.
        added: (q, n) what was added to the cosine of each.
        counts: (q,) how many hits each wants.
        excluded: The ids of products that each leaves out; None comes of a query with more than one.
        entries: The products and photos of those that are there, by key.
        change: The catalogue's newest, before they were read.
        numbers: Theirs.
    """
    keys, places = np.unique(near.keys, return_inverse=True)
    photos, own = numbers.of(change, keys, entries, excluded)
    product, content = photos[places, 0].reshape(near.keys.shape), photos[places, 1].reshape(near.keys.shape)
    left_out = product == own[:, None]
    rank = np.cumsum(~left_out, axis=1)
    sizes = counts + np.array([len(each) for each in excluded])  # see first_piece
    seen = np.arange(product.shape[1]) < sizes[:, None]
    chosen = seen & ~left_out & (rank <= counts[:, None])
    plain = (chosen.sum(axis=1) == counts) & ~(seen & (product < 0)).any(axis=1)
    plain &= np.array([len(each) < 2 for each in excluded])
    for column, some in ((product, chosen), (content, seen)):  # what is left out may have the bytes of a hit
        each = np.sort(np.where(some, column, -3 - np.arange(column.shape[1])), axis=1)
        plain &= (each[:, 1:] != each[:, :-1]).all(axis=1)
    chosen &= plain[:, None]
    keys, scores, more = near.keys[chosen], near.scores[chosen], added[chosen]
    ends = np.cumsum(chosen.sum(axis=1)).tolist()
    return [
        FoundHits(keys[begin:end], scores[begin:end], more[begin:end], entries) if begin < end else None
        for begin, end in zip([0, *ends], ends, strict=False)
    ]


class _Collected:
    """Photos that become hits, as they come.

    Attributes:
        places: Where each stands among the candidates.
        others: By hit, the ids of products that it stands for beside its own.
    """

    def __init__(self, wanted: int, query: Query, fields: tuple[str, str], excluded: frozenset[str]) -> None:
        self.places: list[int] = []
        self.others: dict[int, list[str]] = {}
        self._ids: list[str] = []
        self._wanted = wanted
        self._query = query
        self._group, self._limited = fields
        self._most = query.most[1] if query.most else 0
        self._of: dict[Name, int] = {("id", each): LEFT_OUT for each in excluded}
        self._held: Counter[str] = Counter()
        self._hashes: list[tuple[bytes, int]] = []

    @property
    def full(self) -> bool:
        """Whether there are as many as wanted."""
        return len(self.places) >= self._wanted

    def take(self, place: int, product: Product, photo: Photo, look: bytes) -> None:
        """Take a photo, or add its product to the hit that stands for it already."""
        names = self._names(product, photo)
        hit = next((self._of[name] for name in names if name in self._of), None)
        if hit is None and look:
            hit = self._near(look)
        if hit is None:
            if self.full or not self._room(product):
                return
            hit = len(self.places)
            self.places.append(place)
            self._ids.append(product.id)
            if look:
                self._hashes.append((look, hit))
        if hit != LEFT_OUT and product.id != self._ids[hit]:
            others = self.others.setdefault(hit, [])
            if product.id not in others:
                others.append(product.id)
        for name in names:
            self._of.setdefault(name, hit)

    def _near(self, look: bytes) -> int | None:
        return next((hit for other, hit in self._hashes if hamming(other, look) <= NEAR), None)

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
