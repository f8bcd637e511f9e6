"""A table that is all there is: what it no longer names is hidden from results, and what it names again is back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from lapel.catalog import Catalog
from lapel.catalog.visibility import SyncPreview, refuse_to_empty
from lapel.sources.table import TableRow


@dataclass(frozen=True)
class FeedSync:
    """What a whole table names, found out before anything is changed.

    Attributes:
        feed: Its name.
        named: The ids of its rows, also of those that cannot be used: their products are not delisted.
    """

    feed: str
    named: frozenset[str]

    def apply(self, catalog: Catalog) -> SyncPreview:
        """Hide what the table does not name, and bring back what it does; after its rows were added."""
        return catalog.visibility.apply_sync(self.feed, self.named, now=datetime.now(UTC).isoformat(" ", "seconds"))


def plan_sync(catalog: Catalog, feed: str, rows: Iterable[TableRow], *, force: bool = False) -> FeedSync:
    """Read which products a table names, and see that taking it for the whole does no harm.

    Args:
        catalog: What is known.
        feed: The feed's name, so that several feeds can fill one store; the usual one has none.
        rows: The table's.
        force: Believe it whatever it lacks.

    Raises:
        InputError: it names nothing, has rows that cannot be read, or more than half would be delisted; nothing was
            changed.
    """
    named: set[str] = set()
    unreadable = 0
    for row in rows:
        named.add(row.id)
        unreadable += not row.id
    named.discard("")
    if not force:
        refuse_to_empty(catalog.visibility.preview_sync(feed, named), feed, named=len(named), unread=unreadable)
    return FeedSync(feed, frozenset(named))
