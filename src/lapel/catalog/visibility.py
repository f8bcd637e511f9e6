"""Which products and photos are shown: what a feed no longer names is gone, what cannot be reached for long is lost,
and both come back.

Nothing is deleted for that: vectors stay, so what comes back is searched again at once. Who is hidden changes, and the
index follows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from lapel.catalog.connection import Pool
from lapel.catalog.writing import raise_generation
from lapel.core.errors import InputError
from lapel.core.text import counted

#: The keys of photos that no search finds; a view of the catalogue.
HIDDEN = "SELECT key FROM hidden"
LISTED = "(SELECT value FROM json_each(?))"  # bound to a JSON list
NAMED = "product.gone = ''"
#: The rows of products all of whose photos are lost. Few photos are, and an index holds those.
LOST = (
    "SELECT away.product_row FROM photo AS away WHERE away.lost <> ''"
    " AND NOT EXISTS (SELECT 1 FROM photo AS seen WHERE seen.product_row = away.product_row AND seen.lost = '')"
)
#: The rows of products that their feed no longer names, and of all that are not shown.
GONE = "SELECT row FROM product WHERE gone <> ''"
AWAY = f"{GONE} UNION {LOST}"
SHOWN = f"{NAMED} AND product.row NOT IN ({LOST})"
MOST_GONE = 0.5  # of a feed's products that may go at once: more is rather a broken export than a clearance


@dataclass(frozen=True)
class Census:
    """What a whole feed did to the products that were there.

    Attributes:
        known: Products of this feed that were shown before.
        gone: Products it no longer names: hidden from now on.
        back: Products it names again.
    """

    known: int
    gone: int
    back: int


class Visibility:
    """Who is shown in one catalogue. Get it from :attr:`lapel.catalog.Catalog.presence`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def foresee(self, feed: str, named: Collection[str]) -> Census:
        """What :meth:`settle` would do, changing nothing."""
        with self._pool.snapshot() as database:
            return _census(database, feed, json.dumps(sorted(named)))

    def settle(self, feed: str, named: Collection[str], *, now: str) -> Census:
        """Take a feed for all there is: products of it that it does not name are gone, those it names are there and
        belong to it.

        Args:
            feed: The feed's name; products that were added without one belong to the feed ``""``.
            named: The ids it names.
            now: The time, as it is kept with what goes.
        """
        names = json.dumps(sorted(named))
        with self._pool.transaction() as database:
            # Counted before products of other feeds that it names become this one's.
            census = _census(database, feed, names)
            rows = [row for (row,) in database.execute(_GONE.format("row"), (feed, names))]
            rows += [row for (row,) in database.execute(_BACK.format("row"), (names,))]
            keys = f"SELECT key FROM photo WHERE product_row IN {LISTED}"
            touched = [key for (key,) in database.execute(keys, (json.dumps(rows),))]
            database.execute(
                f"UPDATE product SET gone = ? WHERE feed = ? AND gone = '' AND id NOT IN {LISTED}", (now, feed, names)
            )
            database.execute(
                f"UPDATE product SET gone = '', feed = ? WHERE id IN {LISTED} AND (gone <> '' OR feed <> ?)",
                (feed, names, feed),
            )
            if rows:
                raise_generation(database, touched)
        return census


_GONE = f"SELECT {{}} FROM product WHERE feed = ? AND gone = '' AND id NOT IN {LISTED}"
_BACK = f"SELECT {{}} FROM product WHERE gone <> '' AND id IN {LISTED}"


def _census(database: sqlite3.Connection, feed: str, names: str) -> Census:
    known = database.execute("SELECT count(*) FROM product WHERE feed = ? AND gone = ''", (feed,)).fetchone()[0]
    gone = database.execute(_GONE.format("count(*)"), (feed, names)).fetchone()[0]
    back = database.execute(_BACK.format("count(*)"), (names,)).fetchone()[0]
    return Census(int(known), int(gone), int(back))


def refuse_to_empty(census: Census, feed: str, *, named: int, unread: int) -> None:
    """See that a feed does not take away what it should not.

    Raises:
        InputError: it names nothing, has rows whose product is not known, or lacks more than half of what was there.
    """
    of = f"feed '{feed}'" if feed else "shop"
    advice = "Nothing was changed. Look at the file; with --force it counts as the whole all the same."
    if not named:
        raise InputError(f"The table names no product, so all {census.known:,} of the {of} would be gone. {advice}")
    if unread and census.gone:
        raise InputError(
            f"{counted(unread, 'row')} of the table cannot be read, so nobody knows whether their products are among"
            f" the {census.gone:,} of the"
            f" {of} that it does not name. {advice}"
        )
    if census.gone > MOST_GONE * census.known:
        raise InputError(
            f"The table names {counted(named, 'product')} and lacks {census.gone:,} of the {census.known:,} that the"
            f" {of} has: more than half would"
            f" be gone. {advice}"
        )
