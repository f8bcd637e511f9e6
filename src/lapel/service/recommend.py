"""What to show next: rows of recommendations, the feed of substitutes, and how rows are made. ``store.recommend``,
``store.rows``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lapel.core.errors import QueryError
from lapel.core.types import SearchResult
from lapel.engine.context import StoreContext
from lapel.engine.recommend.asking import SETTING, RowQuery, RowSettings
from lapel.engine.recommend.recommender import Recommender
from lapel.engine.recommend.rules import RuleBook
from lapel.engine.retrieval import SearchEngine
from lapel.service.asking import Where, filter_of

Progress = Callable[[int, int | None], None]


class RowService:
    """Rows of one store. Safe to share between threads."""

    def __init__(self, context: StoreContext, engine: SearchEngine, rules: RuleBook) -> None:
        self._context = context
        self._recommender = Recommender(context, engine, rules)

    def recommend(
        self,
        *,
        person: str | None,
        product_id: str | None,
        basket: Iterable[str],
        kind: str | None,
        k: int,
        where: Where,
        exclude: Iterable[str],
        seed: int | None,
        keep_margin: bool,
    ) -> SearchResult:
        """One row, see :meth:`lapel.Store.recommend`."""
        return self._recommender.recommend(
            RowQuery(
                kind or _usual_kind(person, product_id, basket),
                person or "",
                product_id or "",
                _ids(basket, "basket"),
                k,
                filter_of(where),
                frozenset(_ids(exclude, "exclude")),
                seed,
                keep_margin,
            )
        )

    def flush(self) -> None:
        """Write the lists that were shown and wait to be kept, for a second at most."""
        self._recommender.flush()

    def close(self) -> None:
        """Write what waits."""
        self._recommender.close()

    @property
    def settings(self) -> RowSettings:
        """How rows are made."""
        return self._recommender.settings

    def configure(self, values: Mapping[str, Any]) -> RowSettings:
        """Change how rows are made from now on, in every process; what is not named is as usual.

        Raises:
            InputError: a name or a value that cannot be; nothing was changed.
        """
        made = RowSettings.of(values)
        self._context.catalog.set_setting(SETTING, json.dumps(made.to_json()))
        return made


def _usual_kind(person: str | None, product_id: str | None, basket: Iterable[str]) -> str:
    """What a row is when nobody says so."""
    if product_id:
        return "similar"
    return "together" if not person and tuple(basket) else "for-you"


def _ids(values: Iterable[str], name: str) -> tuple[str, ...]:
    found = (values,) if isinstance(values, str) else tuple(values)
    if not all(isinstance(each, str) for each in found):
        raise QueryError(f"{name} is several products' ids; found {values!r:.60}.")
    return found
