"""What people did, and what they were shown: a file beside the catalogue, so that a flood of clicks never makes a
product wait for its turn to be written.

Events come in any order, each counts once however often it comes, and none is thrown away. A person is a keyed hash:
nobody can tell from the file who it was, and with the name all of it can be found and erased.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lapel.catalog.connection import ROWS_PER_INSERT, insert_rows
from lapel.catalog.side_file import SideFile
from lapel.core.events import KINDS, Event

VIEW, LIKE, DISLIKE, CART, BUY, DISMISS = range(len(KINDS))
PLACES = {kind: place for place, kind in enumerate(KINDS)}
WEIGHTS = (1.0, 3.0, 0.0, 5.0, 10.0, 0.0)  # what each kind adds to a product's popularity
HALF_LIFE = 30 * 86_400.0  # seconds after which an event says half as much of what is popular
EPOCH = 1_767_225_600.0  # 2026: popularity is kept as if it were looked at then, so that time alone changes no row
COUNTED_EVENTS = 10_000  # of one person, for what is popular: more is a program
HISTORY = 1_000  # of each kind, the newest events of a person that count for what is shown
MAX_SERVED = 200_000  # lists that are kept; a list of ten takes 300 bytes
TRIM_INTERVAL = 1_000  # lists between two looks at how many there are

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO setting VALUES ('erasures', '0');
    CREATE TABLE person (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        hash BLOB NOT NULL UNIQUE,   -- keyed with the store's own salt
        events INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE item (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE); -- products, also those that are not there yet
    CREATE TABLE event (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        person INTEGER NOT NULL,
        item INTEGER NOT NULL,
        kind INTEGER NOT NULL,       -- place in lapel.core.events.KINDS
        at REAL NOT NULL,            -- seconds since 1970
        list TEXT NOT NULL,
        weight REAL NOT NULL         -- what it adds to what is popular; 0 of people who have too many
    );
    CREATE INDEX event_person ON event (person, kind, at, item);
    CREATE INDEX event_list ON event (list) WHERE list <> '';
    CREATE TABLE refused (person INTEGER NOT NULL, item INTEGER NOT NULL, PRIMARY KEY (person, item)) WITHOUT ROWID;
    CREATE TABLE tally (item INTEGER PRIMARY KEY, weight REAL NOT NULL);
    CREATE TABLE served (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        person INTEGER,
        at REAL NOT NULL,
        request TEXT NOT NULL,       -- JSON object: kind, k, products, filter, seed
        items TEXT NOT NULL,         -- JSON list of products' ids
        chances TEXT NOT NULL        -- JSON list: how likely each was to stand at its place
    );
    CREATE INDEX served_person ON served (person) WHERE person IS NOT NULL;
    """,
)


@dataclass(frozen=True)
class Added:
    """What became of a batch.

    Attributes:
        new: Events that were not there.
        conflicts: Ids that were there and say another thing than before; what was there first stays.
        capped: New events of people who have so many that these count no more for what is popular.
    """

    new: tuple[Event, ...]
    conflicts: tuple[str, ...]
    capped: int


@dataclass(frozen=True)
class History:
    """What one person did lately, newest last.

    Attributes:
        products: (n,) ids.
        kinds: (n,) places in :data:`lapel.core.events.KINDS`.
        at: (n,) seconds since 1970.
        refused: Ids of all products they ever bought or dismissed.
    """

    products: tuple[str, ...]
    kinds: NDArray[np.int64]
    at: NDArray[np.float64]
    refused: frozenset[str]


NO_HISTORY = History((), np.empty(0, np.int64), np.empty(0), frozenset())


@dataclass(frozen=True)
class Interactions:
    """Events as columns of length n.

    Attributes:
        products: Ids of products.
        persons: (n,) numbers of people.
        items: (n,) places among the products.
        kinds: (n,) places in :data:`lapel.core.events.KINDS`.
        at: (n,) seconds since 1970.
    """

    products: tuple[str, ...]
    persons: NDArray[np.int64]
    items: NDArray[np.int64]
    kinds: NDArray[np.int64]
    at: NDArray[np.float64]

    @property
    def weights(self) -> NDArray[np.float64]:
        """(n,) what each adds to its product's popularity, as :meth:`EventLog.popularity` counts."""
        decay = np.exp2(np.maximum((np.minimum(self.at, time.time()) - EPOCH) / HALF_LIFE, -1000.0))
        return np.asarray(np.array(WEIGHTS)[self.kinds] * decay)


_NONE = np.empty(0, np.int64)
NO_INTERACTIONS = Interactions((), _NONE, _NONE, _NONE, np.empty(0))


@dataclass(frozen=True)
class ServedList:
    """A list that somebody was shown.

    Attributes:
        id: Its name, which events refer to.
        at: When, seconds since 1970.
        request: What was asked: kind, k, products, filter, seed.
        products: What was shown, in order.
        chances: How likely each was to stand at its place.
        person: Number of whom it was shown to; None without one.
    """

    id: str
    at: float
    request: dict[str, object]
    products: tuple[str, ...]
    chances: tuple[float, ...]
    person: int | None = None


class EventLog(SideFile):
    """The events of one store. Safe to share between threads and processes.

    Args:
        path: The file; it is made when something is first put there.
        read_only: Never write.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        super().__init__(path, what="events", scripts=MIGRATIONS, read_only=read_only)
        self._salt = b""

    # --- writing ------------------------------------------------------------------------------------------------------

    def add(self, events: Sequence[Event], *, now: float) -> Added:
        """Keep a batch, all of it in one transaction: what is known by its id is passed over.

        Args:
            events: In any order.
            now: Seconds since 1970; what claims to come later counts as of now.
        """
        pool = self._writable()
        with pool.transaction() as database:
            known = _known(database, list({event.id for event in events}))
            hashes = {person: self._hash(person) for person in {event.person for event in events}}
            persons = _rows(database, "person", "hash", list(hashes.values()))
            items = _rows(database, "item", "id", sorted({event.product for event in events}))
            new, conflicts = [], []
            for event in events:
                row = (persons[hashes[event.person]], items[event.product], PLACES[event.kind], event.at)
                before = known.setdefault(event.id, row)
                if before is row:
                    new.append((event, row))
                elif before != row:
                    conflicts.append(event.id)
            capped = _insert(database, new, now)
        return Added(tuple(event for event, _ in new), tuple(conflicts), capped)

    def serve(self, served: Sequence[ServedList], persons: Sequence[str | None]) -> None:
        """Keep lists that were shown, with whom they were shown to; the oldest go beyond :data:`MAX_SERVED`."""
        pool = self._writable()
        with pool.transaction() as database:
            hashes = [None if each is None else self._hash(each) for each in persons]
            rows = _rows(database, "person", "hash", list({each for each in hashes if each is not None}))
            insert_rows(
                database,
                "served",
                "id, person, at, request, items, chances",
                [
                    (
                        one.id,
                        None if whose is None else rows[whose],
                        one.at,
                        json.dumps(one.request, ensure_ascii=False),
                        json.dumps(one.products, ensure_ascii=False),
                        json.dumps([round(chance, 6) for chance in one.chances]),
                    )
                    for one, whose in zip(served, hashes, strict=True)
                ],
            )
            newest = database.execute("SELECT max(row) FROM served").fetchone()[0]
            if newest % TRIM_INTERVAL < len(served):
                database.execute("DELETE FROM served WHERE row <= ?", (newest - MAX_SERVED,))

    def erase(self, person: str) -> tuple[int, int]:
        """Forget a person: events, lists they were shown and what they count for. Returns how many of the first two.

        Freed pages are overwritten, and the write-ahead log is emptied as far as no reader holds it.
        """
        pool = self._opened()
        if pool is None:
            return 0, 0
        with pool.transaction() as database:
            database.execute("PRAGMA secure_delete = ON")
            row = self._person(database, person)
            if row is None:
                return 0, 0
            touched = [item for (item,) in database.execute("SELECT DISTINCT item FROM event WHERE person = ?", (row,))]
            events = database.execute("DELETE FROM event WHERE person = ?", (row,)).rowcount
            lists = database.execute("DELETE FROM served WHERE person = ?", (row,)).rowcount
            for table, column in (("refused", "person"), ("person", "row")):
                database.execute(f"DELETE FROM {table} WHERE {column} = ?", (row,))
            _count_again(database, touched)
            database.execute("UPDATE setting SET value = value + 1 WHERE name = 'erasures'")
        with pool.borrow() as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return events, lists

    # --- reading ------------------------------------------------------------------------------------------------------

    def history(self, person: str, *, before: float | None = None) -> History:
        """What a person did lately; with ``before``, as it was at that moment."""
        pool = self._opened()
        if pool is None:
            return NO_HISTORY
        with pool.snapshot() as database:
            row = self._person(database, person)
            return NO_HISTORY if row is None else _history(database, row, before)

    def history_of_row(self, row: int, *, before: float) -> History:
        """The same of a person by number, as a served list has it."""
        pool = self._opened()
        assert pool is not None
        with pool.snapshot() as database:
            return _history(database, row, before)

    def export(self, person: str) -> tuple[list[Event], list[ServedList]]:
        """All events of a person, the oldest first, and the lists they were shown."""
        pool = self._opened()
        if pool is None:
            return [], []
        with pool.snapshot() as database:
            row = self._person(database, person)
            asked = (
                "SELECT event.id, item.id, kind, at, list FROM event JOIN item ON item.row = item WHERE person = ?"
                " ORDER BY at, sequence"
            )
            events = [
                Event(name, person, product, KINDS[kind], at, of)
                for name, product, kind, at, of in database.execute(asked, (row,))
            ]
            return events, list(_served(database, "WHERE person = ? ORDER BY row", (row,)))

    def served(self, *, since: float = 0.0) -> list[tuple[ServedList, dict[str, set[str]]]]:
        """The lists shown since a moment, the oldest first, each with the kinds of events that came from it, by
        product."""
        pool = self._opened()
        if pool is None:
            return []
        with pool.snapshot() as database:
            came: dict[str, dict[str, set[str]]] = {}
            asked = (
                "SELECT list, item.id, kind FROM event JOIN item ON item.row = item WHERE list <> '' AND list IN"
                " (SELECT id FROM served WHERE at >= ?)"
            )
            for name, product, kind in database.execute(asked, (since,)):
                came.setdefault(name, {}).setdefault(product, set()).add(KINDS[kind])
            return [(one, came.get(one.id, {})) for one in _served(database, "WHERE at >= ? ORDER BY row", (since,))]

    def version(self) -> tuple[int, int]:
        """A pair that is another one after any change of events."""
        pool = self._opened()
        if pool is None:
            return 0, 0
        with pool.borrow() as database:
            asked = "SELECT coalesce((SELECT max(sequence) FROM event), 0), (SELECT value FROM setting WHERE name = ?)"
            newest, erasures = database.execute(asked, ("erasures",)).fetchone()
        return int(newest), int(erasures)

    def setting(self, name: str) -> str | None:
        """A value that was kept; None where none was."""
        pool = self._opened()
        if pool is None:
            return None
        with pool.borrow() as database:
            found = database.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def set_setting(self, name: str, value: str) -> None:
        """Keep a value."""
        with self._writable().transaction() as database:
            database.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))

    def popularity(self) -> dict[str, float]:
        """By product, what all events say of how popular it is, the lately popular more; without a unit."""
        pool = self._opened()
        if pool is None:
            return {}
        with pool.borrow() as database:
            return dict(database.execute("SELECT id, weight FROM tally JOIN item ON row = item WHERE weight > 0"))

    def interactions(self, kinds: Sequence[int] = (VIEW, LIKE, CART, BUY)) -> Interactions:
        """All events of some kinds that speak for a product and count, by person and time."""
        pool = self._opened()
        if pool is None:
            return NO_INTERACTIONS
        with pool.snapshot() as database:
            names = dict(database.execute("SELECT row, id FROM item ORDER BY row"))
            some = ", ".join(str(int(kind)) for kind in kinds)
            asked = (
                f"SELECT person, item, kind, at FROM event WHERE weight > 0 AND kind IN ({some}) ORDER BY person, at"
            )
            rows = database.execute(asked).fetchall()
        place = {row: at for at, row in enumerate(names)}
        columns = list(zip(*rows, strict=True)) or [()] * 4
        items = np.fromiter((place[row] for row in columns[1]), np.int64, len(rows))
        persons, of_kind = (np.array(columns[at], np.int64) for at in (0, 2))
        return Interactions(tuple(names.values()), persons, items, of_kind, np.array(columns[3], float))

    def counts(self) -> dict[str, int]:
        """How many events, people, products and lists there are, and how many events of each kind."""
        pool = self._opened()
        if pool is None:
            return dict.fromkeys(("events", "people", "products", "lists", *KINDS), 0)
        with pool.snapshot() as database:
            tables = {"events": "event", "people": "person", "products": "item", "lists": "served"}
            found = {
                name: int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
                for name, table in tables.items()
            }
            by_kind = dict(database.execute("SELECT kind, count(*) FROM event GROUP BY kind"))
        return found | {name: int(by_kind.get(kind, 0)) for kind, name in enumerate(KINDS)}

    # --- its file -----------------------------------------------------------------------------------------------------

    def _hash(self, person: str) -> bytes:
        return hashlib.blake2b(person.encode("utf-8", "surrogatepass"), digest_size=16, key=self._salt).digest()

    def _person(self, database: sqlite3.Connection, person: str) -> int | None:
        row = database.execute("SELECT row FROM person WHERE hash = ?", (self._hash(person),)).fetchone()
        return None if row is None else int(row[0])

    def _started(self, database: sqlite3.Connection, *, writable: bool) -> None:
        if writable:
            database.execute("INSERT OR IGNORE INTO setting VALUES (?, ?)", ("salt", secrets.token_hex(32)))
        salt = database.execute("SELECT value FROM setting WHERE name = 'salt'").fetchone()
        self._salt = bytes.fromhex(salt[0]) if salt else b""


def _known(database: sqlite3.Connection, ids: list[str]) -> dict[str, tuple[int, int, int, float]]:
    """What is kept under these ids."""
    asked = "SELECT event.id, person, item, kind, at FROM json_each(?) AS wanted JOIN event ON event.id = wanted.value"
    return {name: tuple(row) for name, *row in database.execute(asked, (json.dumps(ids),))}


def _rows(
    database: sqlite3.Connection, table: str, column: str, values: Sequence[bytes] | Sequence[str]
) -> dict[bytes | str, int]:
    """The number of each person or product; those that are new are given one."""
    found: dict[bytes | str, int] = {}
    for at in range(0, len(values), ROWS_PER_INSERT):
        some = values[at : at + ROWS_PER_INSERT]
        asked = f"SELECT {column}, row FROM {table} WHERE {column} IN ({', '.join('?' * len(some))})"
        found.update(database.execute(asked, some))
        new = [value for value in some if value not in found]
        if new:
            insert_rows(database, table, column, [(value,) for value in new])
            found.update(database.execute(asked, some))
    return found


def _insert(database: sqlite3.Connection, new: list[tuple[Event, tuple[int, int, int, float]]], now: float) -> int:
    """Keep new events with all that is counted of them. Returns how many count no more."""
    came = Counter(row[0] for _, row in new)
    asked = "SELECT row, events FROM person WHERE row IN (SELECT value FROM json_each(?))"
    held = dict(database.execute(asked, (json.dumps(list(came)),)))
    rows, weights, capped = [], defaultdict[int, float](float), 0
    for event, (person, item, kind, at) in new:
        held[person] += 1
        over = held[person] > COUNTED_EVENTS
        capped += over
        weight = 0.0 if over else _weight(kind, at, now)
        weights[item] += weight
        rows.append((event.id, person, item, kind, at, event.list_id, weight))
    rows.sort()  # near in the index of ids, which is quicker than in any order
    insert_rows(database, "event", "id, person, item, kind, at, list, weight", rows)
    database.executemany("UPDATE person SET events = ? WHERE row = ?", [(count, row) for row, count in held.items()])
    refused = [(row[0], row[1]) for _, row in new if row[2] in (BUY, DISMISS)]
    database.executemany("INSERT OR IGNORE INTO refused VALUES (?, ?)", refused)
    _tally(database, weights)
    return capped


def _weight(kind: int, at: float, now: float) -> float:
    """What an event adds to a product's popularity, as seen from :data:`EPOCH`."""
    return WEIGHTS[kind] * math.exp2(max((min(at, now) - EPOCH) / HALF_LIFE, -1000.0))


def _tally(database: sqlite3.Connection, weights: dict[int, float]) -> None:
    keep = "INSERT INTO tally VALUES (?, ?) ON CONFLICT (item) DO UPDATE SET weight = weight + excluded.weight"
    database.executemany(keep, [pair for pair in weights.items() if pair[1]])


def _count_again(database: sqlite3.Connection, items: list[int]) -> None:
    """The popularity of products from the events that are left."""
    named = "(SELECT value FROM json_each(?))"
    bound = (json.dumps(items),)
    database.execute(f"DELETE FROM tally WHERE item IN {named}", bound)
    left = f"SELECT item, sum(weight) FROM event WHERE item IN {named} GROUP BY item HAVING sum(weight) > 0"
    database.execute(f"INSERT INTO tally {left}", bound)


def _history(database: sqlite3.Connection, person: int, before: float | None) -> History:
    limit = float("inf") if before is None else before
    asked = "SELECT item, kind, at FROM event WHERE person = ? AND kind = ? AND at < ? ORDER BY at DESC LIMIT ?"
    found = [
        row for kind in range(len(KINDS)) for row in database.execute(asked, (person, kind, limit, HISTORY)).fetchall()
    ]
    found = sorted(found, key=lambda row: row[2])[-HISTORY:]
    if before is None:
        refused = "SELECT id FROM refused JOIN item ON row = item WHERE person = ?"
        gone = frozenset(name for (name,) in database.execute(refused, (person,)))
    else:
        refused = (
            "SELECT DISTINCT item.id FROM event JOIN item ON row = item WHERE person = ? AND kind IN (?, ?) AND at < ?"
        )
        gone = frozenset(name for (name,) in database.execute(refused, (person, BUY, DISMISS, limit)))
    names = _names(database, [row[0] for row in found])
    return History(
        tuple(names[row[0]] for row in found),
        np.array([row[1] for row in found], np.int64),
        np.array([row[2] for row in found], float),
        gone,
    )


def _names(database: sqlite3.Connection, rows: list[int]) -> dict[int, str]:
    asked = "SELECT row, id FROM item WHERE row IN (SELECT value FROM json_each(?))"
    return dict(database.execute(asked, (json.dumps(list(set(rows))),)))


def _served(database: sqlite3.Connection, where: str, bound: tuple[object, ...]) -> Iterator[ServedList]:
    asked = f"SELECT id, person, at, request, items, chances FROM served {where}"
    for name, person, at, request, items, chances in database.execute(asked, bound):
        yield ServedList(name, at, json.loads(request), tuple(json.loads(items)), tuple(json.loads(chances)), person)
