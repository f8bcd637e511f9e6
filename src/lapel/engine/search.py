"""From a question to an answer: a query becomes one unit vector, the index finds photos, the catalogue says whose they are."""

from __future__ import annotations

import numpy as np

from lapel.core.errors import QueryError
from lapel.core.types import Filter, Hit, Query
from lapel.core.vectors import Keys, Vectors, check_vectors, normalise
from lapel.engine.store import Store

RECENT_FILTERS = 64  # filters whose keys are kept; at 40,000 photos each is 0.3 MB at most


class SearchEngine:
    """Answers queries over one store. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._recent: dict[Filter, tuple[int, Keys]] = {}  # filter -> generation, its keys

    def search(self, query: Query) -> list[Hit]:
        """The products that look most like the query, best first, each once with its best photo.

        Returns:
            Up to ``query.k`` hits: fewer only when fewer products pass the filter. Empty when none does.

        Raises:
            QueryError: an unknown product or field, or a product without a usable photo.
            ModelMismatch: the store's vectors come from another model.
        """
        vector = self.vector(query)
        allowed = self._allowed(query.where) if query.where else None
        excluded = query.exclude if query.product_id is None else query.exclude | {query.product_id}
        index = self.store.index
        reachable = len(index) if allowed is None else len(allowed)
        # A product has one to many photos, so k products may need more than k photos: fetch some spare, then ever more.
        fetch = query.k + max(8, query.k // 2) + 4 * len(excluded)
        while True:
            matches = index.search(vector, min(fetch, max(reachable, 1)), allowed)
            hits = self._hits(matches.keys[0], matches.scores[0], query.k, excluded)
            if len(hits) == query.k or fetch >= reachable:
                return hits
            fetch *= 4

    def vector(self, query: Query) -> Vectors:
        """The query as a (1, dim) float32 unit row."""
        if query.image is not None:
            return self.store.encoder.encode([query.image])
        if query.vector is not None:
            return check_vectors(np.atleast_2d(query.vector), self.store.dim)
        catalog = self.store.catalog
        photos = catalog.photos(str(query.product_id))
        if not photos:
            raise QueryError(
                f"There is no product '{query.product_id}' in this store. 'lapel info' says what it holds."
            )
        vectors = catalog.vector_of(np.array([photo.key for photo in photos], np.int64))
        return normalise(vectors.mean(axis=0, keepdims=True))

    def _allowed(self, where: Filter) -> Keys:
        """The photo keys that pass a filter; kept for the next query, as people look at many pictures with one filter."""
        generation = self.store.catalog.generation
        known = self._recent.get(where)
        if known is None or known[0] != generation:
            known = (generation, self.store.catalog.allowed(where))
            if len(self._recent) >= RECENT_FILTERS:
                self._recent.clear()
            self._recent[where] = known
        return known[1]

    def _hits(self, keys: Keys, scores: np.ndarray, k: int, excluded: frozenset[str]) -> list[Hit]:
        found = keys >= 0
        keys, scores = keys[found], scores[found]
        hits: list[Hit] = []
        seen = set(excluded)
        # Looked up in pieces: mostly the first k photos are of k products, and the spare ones are not needed.
        for at in range(0, len(keys), k):
            entries = self.store.catalog.entries(keys[at : at + k])
            for key, score in zip(keys[at : at + k].tolist(), scores[at : at + k].tolist(), strict=True):
                entry = entries.get(key)  # None: removed by another process since the index was drawn
                if entry is not None and entry[0].id not in seen:
                    seen.add(entry[0].id)
                    hits.append(Hit(len(hits) + 1, score, *entry))
                    if len(hits) == k:
                        return hits
        return hits
