"""From a question to an answer: a query becomes one unit vector, the index finds photos, the catalogue says whose they
are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from lapel.core.errors import ModelMismatchError, QueryError
from lapel.core.types import Filter, Hit, Query
from lapel.core.vectors import Keys, Vectors, check_vectors, normalise
from lapel.encoders.foreground import encode_photos, open_foreground
from lapel.engine.context import StoreContext
from lapel.engine.index_sync import SearchSnapshot

RECENT_FILTERS = 64  # filters whose keys are kept; at 40,000 photos each is 0.3 MB at most


class SearchEngine:
    """Answers queries over one store. Safe to share between threads."""

    def __init__(self, store: StoreContext) -> None:
        self.store = store
        self._recent: dict[Filter, tuple[int, Keys]] = {}  # filter -> generation, its keys

    def search(self, query: Query) -> list[Hit]:
        """The products that look most like the query, best first, each once with its best photo.

        Returns:
            Up to ``query.k`` hits: fewer only when fewer products pass the filter. Empty when none does.

        Raises:
            QueryError: an unknown product or field, or a product without a usable photo.
            ModelMismatchError: the store's vectors come from another model than its encoder's, or than the query's
                vector.
        """
        # One view for all of it: whatever another process does meanwhile, the query and the index are of one model.
        view, vector = self._vector(query)
        allowed = self._allowed(query.where) if query.where else None
        excluded = query.exclude if query.product_id is None else query.exclude | {query.product_id}
        index = view.index
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
        return self._vector(query)[1]

    def embed(self, query: Query) -> Query:
        """The same query with its vector and the model that made it, for asking it again without encoding again."""
        view, vector = self._vector(query)
        own = frozenset() if query.product_id is None else {query.product_id}
        return replace(
            query,
            image=None,
            product_id=None,
            vector=vector[0],
            fingerprint=view.model.fingerprint,
            exclude=query.exclude | own,
        )

    def cut_out(self, image: object) -> Image.Image | None:
        """The product of a picture, of any kind that a query takes, on white, as a search sees it; None where none is
        found, or where it is on white already."""
        return open_foreground().cut_out([image], shape=self.store.current().encoder.preprocessing)[0]

    def _vector(self, query: Query) -> tuple[SearchSnapshot, Vectors]:
        """The store as it is now, and the query as a (1, dim) float32 unit row of that model."""
        view = self.store.current()
        if query.image is not None:
            if query.cut_out:
                return view, encode_photos(view.encoder, [query.image])
            return view, view.encoder.encode([query.image])
        if query.vector is not None:
            if query.fingerprint and query.fingerprint != view.model.fingerprint:
                raise ModelMismatchError(
                    f"The query's vector was made by the model {query.fingerprint}; the store {self.store.folder} is"
                    f" searched"
                    f" with '{view.model.name}' ({view.model.fingerprint}) now. Ask with the picture again."
                )
            return view, check_vectors(np.atleast_2d(query.vector), view.index.dim)
        return self._of_product(query, view)

    def _of_product(self, query: Query, view: SearchSnapshot) -> tuple[SearchSnapshot, Vectors]:
        """The mean direction of a product's photos."""
        catalog = self.store.catalog
        photos = catalog.photos(str(query.product_id))
        if not photos:
            raise QueryError(
                f"There is no product '{query.product_id}' in this store. 'lapel info' says what it holds."
            )
        keys = np.array([photo.key for photo in photos], np.int64)
        while not len(vectors := catalog.vector_of(keys, fingerprint=view.model.fingerprint)):
            now = self.store.current()
            if now.version == view.version:
                raise QueryError(
                    f"No photo of the product '{query.product_id}' has a vector of the model '{view.model.name}'."
                    " Run 'lapel add' for it again."
                )
            view = now  # the store changed its model and dropped this one's vectors since
        return view, normalise(vectors.mean(axis=0, keepdims=True))

    def _allowed(self, where: Filter) -> Keys:
        """The photo keys that pass a filter; kept for the next query, as people look at many pictures with one
        filter."""
        generation = self.store.catalog.generation
        known = self._recent.get(where)
        if known is None or known[0] != generation:
            known = (generation, self.store.catalog.matching_keys(where))
            known[1].flags.writeable = False  # so that an index may keep what it found out about these keys
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
