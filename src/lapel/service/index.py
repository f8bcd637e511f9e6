"""The index of a store: its kind, whether it agrees with the catalogue, rebuilding and tuning it. ``store.index``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lapel.core.filters import NO_FILTER
from lapel.core.types import Filter
from lapel.core.vectors import Keys, Vectors
from lapel.engine.check import Difference, check_index
from lapel.engine.context import StoreContext
from lapel.engine.index_sync import IndexStatus

if TYPE_CHECKING:
    from lapel.insight.tuning import Trial, Tuning


class IndexService:
    """Looks after the index of one store. The catalogue is the truth: nothing here can lose a product."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context

    def __len__(self) -> int:
        """How many vectors it holds, brought up to the catalogue."""
        return len(self._context.index)

    @property
    def kind(self) -> str:
        """Which kind of index is searched, see :func:`lapel.open_index`."""
        return self._context.index_spec

    def status(self) -> IndexStatus:
        """Its kind, what it is complete for, and why the last work in the background failed, if it did."""
        return self._context.index_sync.status()

    def use(self, spec: str) -> int:
        """Search with another kind of index from now on, in every process. Returns how many vectors it was built of.

        Raises:
            InputError: there is no such kind; nothing was changed.
        """
        self._context.use_index(spec)
        return len(self)

    def rebuild(self) -> int:
        """Build it anew from the catalogue's vectors. Returns how many there are.

        Raises:
            IndexUnavailableError: it is kept elsewhere and does not answer.
        """
        self._context.index_sync.rebuild()
        return len(self)

    def check(self, *, sample: int = 1000, repair: bool = False) -> Difference:
        """Compare it with the catalogue. See :func:`lapel.engine.check.check_index`."""
        return check_index(self._context, sample=sample, repair=repair)

    def tune(
        self,
        specs: Sequence[str] = (),
        *,
        recall: float = 0.99,
        queries: Filter = NO_FILTER,
        count: int = 500,
        progress: Callable[[Trial], None] | None = None,
    ) -> Tuning:
        """Measure kinds of index on the store's own vectors and queries.

        Args:
            specs: Kinds to measure; those worth trying by default.
            recall: Wanted Recall@10 against exact search.
            queries: Photos to ask with; some of all by default.
            count: How many queries.
            progress: Called with each kind that was measured.

        Raises:
            InputError: too few vectors, or no query.
        """
        from lapel.insight.tuning import tune

        catalog = self._context.catalog
        pieces = list(catalog.vectors(self._context.model.fingerprint))
        keys: Keys = np.concatenate([part for part, _ in pieces]) if pieces else np.empty(0, np.int64)
        width = pieces[0][1].shape[1] if pieces else 0
        vectors: Vectors = np.concatenate([np.empty((0, width), np.float32), *(part for _, part in pieces)])
        asking = np.intersect1d(catalog.matching_keys(queries), keys)
        own = np.sort(np.random.default_rng(7).permutation(asking)[:count])
        return tune(
            keys,
            vectors,
            vectors[np.searchsorted(keys, own)],
            own,
            specs=specs,
            recall=recall,
            folder=self._context.folder,
            report=progress or (lambda _: None),
        )

    def save_tuning(self, tuning: Tuning, folder: Path) -> None:
        """Write ``tuning.json`` and the plot ``tuning.png`` into a folder, which is made.

        Raises:
            MissingDependencyError: the plot needs matplotlib.
            OSError: the folder cannot be written to.
        """
        from lapel.insight.tuning import draw

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tuning.json").write_text(json.dumps(tuning.to_json(), indent=2) + "\n", encoding="utf-8")
        draw(tuning, folder / "tuning.png")
