"""What changed and when: the change log that indexes and other readers catch up from, their cursors, and past prices.

Writing is a function inside an open transaction (:func:`record`); reading is :class:`ChangeFeed`. Times are UTC texts
such as ``2026-11-28T22:50:00Z``; empty for what happened before the catalogue kept times.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from lapel.catalog.connection import Pool, insert_rows
from lapel.core.errors import InputError

ChangeKind = Literal[
    "product_added",
    "product_changed",  # detail: fields, the names of what differs; "photos" among them for photos, order and links
    "product_removed",
    "product_delisted",  # its feed no longer names it
    "product_relisted",
    "price_changed",  # detail: old and new, each price_minor and currency
    "stock_changed",  # detail: old and new, each true, false or null
    "photo_added",
    "photo_changed",  # detail: replaces, the key of the former bytes; or model, whose vector is new
    "photo_removed",  # detail: replaced_by, the key of the new bytes, when there are some
    "photo_unreachable",  # hidden, as nobody can get it
    "photo_reachable",
    "model_changed",  # detail: fingerprint and previous
    "addresses_moved",  # detail: photos and links, how many
]
KINDS: tuple[str, ...] = get_args(ChangeKind)
#: Kind, product id, photo key and details of one change.
LogRow = tuple[ChangeKind, str, int | None, Mapping[str, object] | None]

Clock = Callable[[], datetime]

KEPT_ROWS = 500_000  # changes that are kept for whoever asks; with two for each new product, 250,000 new products
MAX_ROWS = 2_000_000  # changes that are kept for a named cursor that has not passed them
MAX_NAMED = 10_000  # products that are named as changed; of more it is said that it may be any
TRIM_INTERVAL = 64  # generations between two looks at how many there are
_VISIBILITY = "kind IN ('product_delisted', 'product_relisted')"  # as the index change_log_visibility says it


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def utc_text(moment: datetime) -> str:
    """A time as the catalogue keeps it.

    >>> utc_text(datetime(2026, 11, 28, 22, 50, 0, 123, tzinfo=UTC))
    '2026-11-28T22:50:00Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def record(database: sqlite3.Connection, changes: Sequence[LogRow], *, at: str) -> int:
    """Raise the generation by one and log what it changed. Returns the new generation."""
    raised = "UPDATE setting SET value = CAST(value AS INTEGER) + 1 WHERE name = 'generation' RETURNING value"
    ((value,),) = database.execute(raised).fetchall()
    generation = int(value)
    rows = [
        (generation, at, kind, product_id, key, json.dumps(detail, ensure_ascii=False) if detail else "{}")
        for kind, product_id, key, detail in changes
    ]
    insert_rows(database, "change_log", "generation, at, kind, product_id, photo_key, detail", rows)
    if generation % TRIM_INTERVAL == 0:
        _trim(database)
    return generation


def _trim(database: sqlite3.Connection) -> None:
    """Delete the oldest changes: all but ``KEPT_ROWS``, or up to ``MAX_ROWS`` while a cursor has not passed them."""
    latest = latest_sequence(database)
    passed = database.execute("SELECT min(sequence) FROM cursor").fetchone()[0]
    last = max(min(latest - KEPT_ROWS, latest if passed is None else passed), latest - MAX_ROWS)
    found = database.execute("SELECT max(sequence), max(generation) FROM change_log WHERE sequence <= ?", (last,))
    sequence, generation = found.fetchone()
    if sequence is not None:
        database.execute("DELETE FROM change_log WHERE sequence <= ?", (sequence,))
        keep = "UPDATE setting SET value = ? WHERE name = ?"
        database.executemany(keep, [(str(generation), "changes_since"), (str(sequence), "feed_start")])


def changed_keys(database: sqlite3.Connection, generation: int) -> list[int] | None:
    """Keys of photos whose searched vector may have changed after a generation, sorted; None when no longer known."""
    since = database.execute("SELECT value FROM setting WHERE name = 'changes_since'").fetchone()
    if since is None or int(since[0]) > generation:
        return None
    asked = (
        "SELECT photo_key FROM change_log WHERE generation > ?1 AND photo_key IS NOT NULL UNION SELECT photo.key"
        " FROM change_log JOIN product ON product.id = product_id JOIN photo ON product_row = product.row"
        f" WHERE generation > ?1 AND {_VISIBILITY} ORDER BY 1"
    )
    return [key for (key,) in database.execute(asked, (generation,))]


def latest_sequence(database: sqlite3.Connection) -> int:
    """The sequence of the newest change; 0 when nothing ever changed."""
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'change_log'").fetchone()
    return 0 if row is None else int(row[0])


def products_changed(database: sqlite3.Connection, sequence: int) -> set[str] | None:
    """Ids of the products that were there and changed, or their photos, after a change; None when it may be any."""
    start = database.execute("SELECT value FROM setting WHERE name = 'feed_start'").fetchone()
    if start is None or int(start[0]) > sequence:
        return None
    asked = (
        "SELECT DISTINCT product_id FROM change_log WHERE sequence > ? AND kind NOT IN ('product_added', 'photo_added')"
        f" LIMIT {MAX_NAMED + 1}"
    )
    found = {product_id for (product_id,) in database.execute(asked, (sequence,))}
    return None if "" in found or len(found) > MAX_NAMED else found


@dataclass(frozen=True)
class PricePoint:
    """What a product cost from a time on, and whether it could be bought.

    Attributes:
        at: Since when, UTC; empty when it was so before the catalogue kept times.
        price_minor: Price in the currency's smallest unit, or None.
        currency: ISO 4217 code.
        in_stock: Whether it could be bought, or None when unknown.
    """

    at: str
    price_minor: int | None
    currency: str
    in_stock: bool | None


def price_points(database: sqlite3.Connection, product_id: str) -> tuple[PricePoint, ...]:
    """A product's prices, the oldest first; none when there is no such product."""
    asked = (
        "SELECT at, price_history.price_minor, price_history.currency, price_history.in_stock FROM price_history"
        " JOIN product ON product.row = product_row WHERE product.id = ? ORDER BY generation"
    )
    return tuple(
        PricePoint(at, price, currency, None if in_stock is None else bool(in_stock))
        for at, price, currency, in_stock in database.execute(asked, (product_id,))
    )


@dataclass(frozen=True)
class ChangeRecord:
    """One change.

    Attributes:
        sequence: Its number; later changes have higher ones, and no number is used again.
        generation: The catalogue's generation that it made; changes of one transaction share one.
        at: When, UTC.
        kind: What happened, one of :data:`KINDS`.
        product_id: To which product; empty when it is about none in particular.
        photo_key: To which photo, or None.
        detail: More, by the kind: see :data:`ChangeKind`.
    """

    sequence: int
    generation: int
    at: str
    kind: str
    product_id: str
    photo_key: int | None
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class ChangePage:
    """Some changes in their order.

    Attributes:
        changes: The changes.
        next: The sequence to go on after, and to acknowledge once these are dealt with.
        complete: Whether there are no more for now.
        gap: Changes that the reader has not seen are no longer known, or its position is not of this catalogue: read
            the whole catalogue, then go on after ``next``.
    """

    changes: tuple[ChangeRecord, ...]
    next: int
    complete: bool
    gap: bool


@dataclass(frozen=True)
class Cursor:
    """How far a reader has come.

    Attributes:
        name: Its name.
        sequence: The last change it has dealt with.
        updated_at: When it said so, UTC.
    """

    name: str
    sequence: int
    updated_at: str


class ChangeFeed:
    """The changes of one catalogue, in order. Get it from :attr:`lapel.catalog.Catalog.feed`.

    A reader with a name survives restarts, and is waited for::

        page = catalog.feed.read("webhooks")
        for change in page.changes:
            send(change)
        catalog.feed.acknowledge("webhooks", page.next)
    """

    def __init__(self, pool: Pool, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._clock = clock

    @property
    def latest(self) -> int:
        """The sequence of the newest change; 0 when nothing ever changed."""
        with self._pool.borrow() as database:
            return latest_sequence(database)

    def read(self, after: int | str, *, limit: int = 1000) -> ChangePage:
        """The changes after a position.

        Args:
            after: A sequence, or the name of a cursor; a name that never acknowledged anything begins at 0.
            limit: How many changes to give at most.
        """
        if limit < 1:
            raise InputError(f"A page of changes holds at least one; found limit={limit}. Ask for 1 or more.")
        asked = (
            "SELECT sequence, generation, at, kind, product_id, photo_key, detail FROM change_log WHERE sequence > ?"
            " ORDER BY sequence LIMIT ?"
        )
        with self._pool.snapshot() as database:
            if isinstance(after, str):
                row = database.execute("SELECT sequence FROM cursor WHERE name = ?", (after,)).fetchone()
                after = 0 if row is None else int(row[0])
            latest = latest_sequence(database)
            start = int(database.execute("SELECT value FROM setting WHERE name = 'feed_start'").fetchone()[0])
            # A position beyond the end is of another copy of this catalogue, such as a backup that was put back.
            position = min(max(after, start), latest)
            rows = database.execute(asked, (position, limit)).fetchall()
        changes = tuple(
            ChangeRecord(number, generation, at, kind, product_id, key, json.loads(detail))
            for number, generation, at, kind, product_id, key, detail in rows
        )
        reached = changes[-1].sequence if changes else position
        return ChangePage(changes, reached, reached >= latest, gap=not start <= after <= latest)

    def acknowledge(self, name: str, sequence: int) -> None:
        """Keep that the reader ``name`` has dealt with all changes up to ``sequence``; an earlier one reads them again.

        Raises:
            InputError: no name, or a sequence that no change has yet.
        """
        keep = (
            "INSERT INTO cursor VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence,"
            " updated_at = excluded.updated_at"
        )
        with self._pool.transaction() as database:
            latest = latest_sequence(database)
            if not name or not 0 <= sequence <= latest:
                raise InputError(
                    f"A reader of changes needs a name and a sequence from 0 to {latest:,}, the newest change; found"
                    f" '{name}' and {sequence:,}. Acknowledge the `next` of a page."
                )
            database.execute(keep, (name, sequence, utc_text(self._clock())))

    def cursors(self) -> tuple[Cursor, ...]:
        """Every named reader, by name."""
        with self._pool.borrow() as database:
            return tuple(
                Cursor(*row) for row in database.execute("SELECT name, sequence, updated_at FROM cursor ORDER BY name")
            )

    def forget(self, name: str) -> bool:
        """Wait for a reader no longer. Returns whether there was one of this name."""
        with self._pool.transaction() as database:
            return bool(database.execute("DELETE FROM cursor WHERE name = ?", (name,)).rowcount)
