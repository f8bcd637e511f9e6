"""Which products and photos are shown: a product that its feed no longer names is delisted, a photo that cannot be
reached for long is unreachable, and both come back.

Nothing is deleted for that: vectors stay, so what comes back is searched again at once, and the index follows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from lapel.catalog.connection import Pool
from lapel.catalog.history import LogRow, record
from lapel.core.errors import InputError
from lapel.core.text import counted

#: The keys of photos that no search finds; a view of the catalogue.
HIDDEN = "SELECT key FROM hidden"
IN_LIST = "(SELECT value FROM json_each(?))"  # bound to a JSON list
LISTED = "product.delisted_at = ''"
#: The rows of products all of whose photos are unreachable. Few photos are, and an index holds those.
UNREACHABLE = (
    "SELECT away.product_row FROM photo AS away WHERE away.unreachable_at <> ''"
    " AND NOT EXISTS (SELECT 1 FROM photo AS seen WHERE seen.product_row = away.product_row"
    " AND seen.unreachable_at = '')"
)
#: The rows of products that their feed no longer names, and of all that are not shown.
DELISTED = "SELECT row FROM product WHERE delisted_at <> ''"
NOT_SHOWN = f"{DELISTED} UNION {UNREACHABLE}"
SHOWN = f"{LISTED} AND product.row NOT IN ({UNREACHABLE})"
MAX_DELISTED_SHARE = 0.5  # of a feed's products at once: more is rather a broken export than a clearance


@dataclass(frozen=True)
class SyncPreview:
    """What taking a feed for the whole shop does to the products that were there.

    Attributes:
        known: Products of this feed that were shown before.
        delisted: Products it no longer names: hidden from now on.
        relisted: Products it names again.
    """

    known: int
    delisted: int
    relisted: int


class Visibility:
    """Who is shown in one catalogue. Get it from :attr:`lapel.catalog.Catalog.visibility`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def preview_sync(self, feed: str, named: Collection[str]) -> SyncPreview:
        """What :meth:`apply_sync` would do, changing nothing."""
        with self._pool.snapshot() as database:
            return _preview(database, feed, json.dumps(sorted(named)))[0]

    def apply_sync(self, feed: str, named: Collection[str], *, now: str) -> SyncPreview:
        """Take a feed for all there is: its products that it does not name are delisted, those it names are there and
        belong to it.

        Args:
            feed: The feed's name; products that were added without one belong to the feed ``""``.
            named: The ids it names.
            now: The time, as it is kept with what is delisted.
        """
        names = json.dumps(sorted(named))
        with self._pool.transaction() as database:
            # Looked at before products of other feeds that it names become this one's.
            preview, log = _preview(database, feed, names)
            database.execute(
                f"UPDATE product SET delisted_at = ? WHERE feed = ? AND delisted_at = '' AND id NOT IN {IN_LIST}",
                (now, feed, names),
            )
            database.execute(
                f"UPDATE product SET delisted_at = '', feed = ? WHERE id IN {IN_LIST}"
                " AND (delisted_at <> '' OR feed <> ?)",
                (feed, names, feed),
            )
            if log:
                record(database, log, at=now)
        return preview


def _preview(database: sqlite3.Connection, feed: str, names: str) -> tuple[SyncPreview, list[LogRow]]:
    """What a feed that names these products (a JSON list of ids) changes, counted and as the change log says it."""
    known = database.execute("SELECT count(*) FROM product WHERE feed = ? AND delisted_at = ''", (feed,)).fetchone()[0]
    delisted = f"SELECT id FROM product WHERE feed = ? AND delisted_at = '' AND id NOT IN {IN_LIST} ORDER BY row"
    relisted = f"SELECT id FROM product WHERE delisted_at <> '' AND id IN {IN_LIST} ORDER BY row"
    log: list[LogRow] = [
        ("product_delisted", name, None, None) for (name,) in database.execute(delisted, (feed, names))
    ]
    gone = len(log)
    log += [("product_relisted", name, None, None) for (name,) in database.execute(relisted, (names,))]
    return SyncPreview(int(known), gone, len(log) - gone), log


def refuse_to_empty(preview: SyncPreview, feed: str, *, named: int, unread: int) -> None:
    """See that a feed does not take away what it should not.

    Raises:
        InputError: it names nothing, has rows whose product is not known, or lacks more than half of what was there.
    """
    of = f"feed '{feed}'" if feed else "shop"
    advice = "Nothing was changed. Look at the file; with --force it counts as the whole all the same."
    if not named:
        raise InputError(f"The table names no product, so all {preview.known:,} of the {of} would be gone. {advice}")
    if unread and preview.delisted:
        raise InputError(
            f"{counted(unread, 'row')} of the table cannot be read, so nobody knows whether their products are among"
            f" the {preview.delisted:,} of the"
            f" {of} that it does not name. {advice}"
        )
    if preview.delisted > MAX_DELISTED_SHARE * preview.known:
        raise InputError(
            f"The table names {counted(named, 'product')} and lacks {preview.delisted:,} of the {preview.known:,} that"
            f" the {of} has: more than half would be gone. {advice}"
        )
