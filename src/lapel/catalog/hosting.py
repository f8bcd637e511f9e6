"""Where the photos are: addresses that change without a vector being made anew, as vectors know keys and only the
catalogue knows addresses."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lapel.catalog.connection import Pool
from lapel.catalog.visibility import LISTED, NAMED
from lapel.catalog.writing import raise_generation
from lapel.core.errors import InputError
from lapel.core.types import Links, Photo

# An address lies below a prefix when it goes on with one of these, or when the prefix ends with one.
_ENDS = "/?#!&="
_BELOW = f"substr({{0}}, 1, length(:old)) = :old AND ({{0}} = :old OR :whole OR instr('{_ENDS}', substr({{0}}, length(:old) + 1, 1)))"


OUT_OF_REACH = "('dead', 'forbidden', 'unreachable')"  # kinds of trouble, as SQL


@dataclass(frozen=True)
class Moved:
    """What a move of pictures changed.

    Attributes:
        photos: Photos whose bytes are read from another place now.
        links: Links for browsers that lead elsewhere now.
    """

    photos: int
    links: int


@dataclass(frozen=True)
class MediaIssue:
    """A photo that is not where it was, or not what it was.

    Attributes:
        kind: ``dead``, ``forbidden``, ``unreachable``, ``moved`` or ``changed``.
        reason: Why, for people.
        since: When it was first found so, UTC.
        hidden: Since when no search finds it; empty while one does.
        product_id: Whose photo it is.
        uri: Where it was.
    """

    kind: str
    reason: str
    since: str
    hidden: str
    product_id: str
    uri: str


class Hosting:
    """The addresses in one catalogue. Get it from :attr:`lapel.catalog.Catalog.hosting`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def photos(self, *, after: int = 0, limit: int = 256, shown: bool = False) -> list[Photo]:
        """Photos by rising key, only those with keys above ``after``; with ``shown`` without those of products that are
        gone."""
        asked = (
            "SELECT key, product.id, uri, sha256, full_link, thumbnail_link FROM photo JOIN product ON product.row ="
            " product_row"
            f" WHERE key > ? AND {NAMED if shown else '1'} ORDER BY key LIMIT ?"
        )
        with self._pool.borrow() as database:
            return [
                Photo(key, owner, uri, sha256, Links(full, small))
                for key, owner, uri, sha256, full, small in database.execute(asked, (after, limit))
            ]

    def marks(self, keys: Iterable[int]) -> dict[int, tuple[str, str]]:
        """The stamp of each photo, as its source gave it, and what its server called its bytes; empty while nobody
        asked."""
        asked = f"SELECT key, stamp, mark FROM photo WHERE key IN {LISTED}"
        with self._pool.borrow() as database:
            return {key: (stamp, mark) for key, stamp, mark in database.execute(asked, (json.dumps(list(keys)),))}

    def mark(self, marks: Mapping[int, str]) -> None:
        """Keep what the photos' servers call their bytes."""
        with self._pool.transaction() as database:
            rows = [(mark, key) for key, mark in marks.items()]
            database.executemany("UPDATE photo SET mark = ?1 WHERE key = ?2 AND mark <> ?1", rows)

    def note(self, found: Mapping[int, tuple[str, str]], fine: Iterable[int], *, now: str) -> None:
        """Write down which photos are in trouble, as kind and reason by key, and which are not.

        What was there keeps its date.
        """
        rows = [(key, kind, reason, now, now) for key, (kind, reason) in found.items()]
        with self._pool.transaction() as database:
            database.execute(f"DELETE FROM trouble WHERE key IN {LISTED}", (json.dumps(list(fine)),))
            database.executemany(
                "INSERT INTO trouble SELECT key, ?2, ?3, ?4, ?5 FROM photo WHERE key = ?1 ON CONFLICT (key) DO UPDATE"
                " SET"
                # Dead on Monday and forbidden on Tuesday is out of reach since Monday.
                f" since = iif(kind = excluded.kind OR (kind IN {OUT_OF_REACH} AND excluded.kind IN {OUT_OF_REACH}),"
                f" since, excluded.since),"
                " kind = excluded.kind, reason = excluded.reason, seen = excluded.seen",
                rows,
            )

    def hide(self, *, before: str, now: str) -> tuple[int, int]:
        """Hide photos that are out of reach since before a time, and show those again that are in reach.

        Returns:
            How many were hidden, and how many are back.
        """
        lost = (
            f"SELECT key FROM trouble JOIN photo USING (key) WHERE lost = '' AND kind IN {OUT_OF_REACH} AND since <= ?"
        )
        back = f"SELECT key FROM photo WHERE lost <> '' AND key NOT IN (SELECT key FROM trouble WHERE kind IN {OUT_OF_REACH})"
        with self._pool.transaction() as database:
            gone = [key for (key,) in database.execute(lost, (before,))]
            returned = [key for (key,) in database.execute(back)]
            database.execute(f"UPDATE photo SET lost = ? WHERE key IN {LISTED}", (now, json.dumps(gone)))
            database.execute(f"UPDATE photo SET lost = '' WHERE key IN {LISTED}", (json.dumps(returned),))
            if gone or returned:
                raise_generation(database, [*gone, *returned])
        return len(gone), len(returned)

    def troubles(self) -> list[MediaIssue]:
        """Every photo in trouble, those that are so for longest first."""
        asked = (
            "SELECT kind, reason, since, lost, product.id, uri FROM trouble JOIN photo USING (key)"
            f" JOIN product ON product.row = product_row WHERE {NAMED} ORDER BY since, key"
        )
        with self._pool.borrow() as database:
            return [MediaIssue(*row) for row in database.execute(asked)]

    def move(self, prefixes: Sequence[tuple[str, str]], *, keep: bool = True) -> Moved:
        """Give every address that begins with an old prefix the new one instead. Keys and vectors stay.

        Args:
            prefixes: Pairs of old and new.
            keep: Write it down; false only counts.

        Raises:
            InputError: a product has a photo at the new address already; nothing was changed.
        """
        moved = {"uri": 0, "full_link": 0, "thumbnail_link": 0}
        with self._pool.transaction() if keep else self._pool.snapshot() as database:
            for old, new in prefixes:
                values = {"old": old, "new": new, "whole": old[-1:] in _ENDS}
                for column in moved:
                    moved[column] += _move(database, column, values, keep=keep)
            if keep and any(moved.values()):
                raise_generation(database, [])
        return Moved(moved["uri"], moved["full_link"] + moved["thumbnail_link"])


def _move(database: sqlite3.Connection, column: str, values: dict[str, object], *, keep: bool) -> int:
    below = _BELOW.format(column)
    if not keep:
        return int(database.execute(f"SELECT count(*) FROM photo WHERE {below}", values).fetchone()[0])
    try:
        return database.execute(
            f"UPDATE photo SET {column} = :new || substr({column}, length(:old) + 1) WHERE {below}", values
        ).rowcount
    except sqlite3.IntegrityError as error:
        raise InputError(
            f"Some product has a photo below {values['new']} already that one below {values['old']} would become."
            f" Nothing was changed."
            " Run lapel add with the new place instead."
        ) from error
