"""Where the photos are: addresses that change without a vector being made anew, as vectors know keys and only the
catalogue knows addresses."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from lapel.catalog.connection import Pool
from lapel.catalog.entries import PHOTOS, to_photo
from lapel.catalog.history import Clock, LogRow, record, utc_now, utc_text
from lapel.catalog.visibility import IN_LIST, LISTED
from lapel.core.errors import InputError
from lapel.core.types import Photo

# An address lies below a prefix when it goes on with one of these, or when the prefix ends with one.
_ENDS = "/?#!&="
_BELOW = (
    "substr({0}, 1, length(:old)) = :old"
    f" AND ({{0}} = :old OR :whole OR instr('{_ENDS}', substr({{0}}, length(:old) + 1, 1)))"
)


OUT_OF_REACH = "('dead', 'forbidden', 'unreachable')"  # kinds of issues that hide a photo in time, as SQL


@dataclass(frozen=True)
class MoveReport:
    """What a move of photos changed.

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

    def __init__(self, pool: Pool, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._clock = clock

    def photos(self, *, after: int = 0, limit: int = 256, shown: bool = False) -> list[Photo]:
        """Photos by rising key, only those with keys above ``after``; with ``shown`` without those of products that are
        delisted."""
        asked = f"{PHOTOS} WHERE key > ? AND {LISTED if shown else '1'} ORDER BY key LIMIT ?"
        with self._pool.borrow() as database:
            return [to_photo(row) for row in database.execute(asked, (after, limit))]

    def version_tokens(self, keys: Iterable[int]) -> dict[int, tuple[str, str]]:
        """The version token of each photo, as its source gave it, and the ETag of its server; empty while nobody
        asked."""
        asked = f"SELECT key, version_token, etag FROM photo WHERE key IN {IN_LIST}"
        with self._pool.borrow() as database:
            return {key: (token, etag) for key, token, etag in database.execute(asked, (json.dumps(list(keys)),))}

    def set_etags(self, etags: Mapping[int, str]) -> None:
        """Keep what the photos' servers call their bytes, by key."""
        with self._pool.transaction() as database:
            rows = [(etag, key) for key, etag in etags.items()]
            database.executemany("UPDATE photo SET etag = ?1 WHERE key = ?2 AND etag <> ?1", rows)

    def set_issues(self, found: Mapping[int, tuple[str, str]], fine: Iterable[int], *, now: str) -> None:
        """Write down which photos have an issue, as kind and reason by key, and which have none.

        What was there keeps its date.
        """
        rows = [(key, kind, reason, now, now) for key, (kind, reason) in found.items()]
        with self._pool.transaction() as database:
            database.execute(f"DELETE FROM media_issue WHERE key IN {IN_LIST}", (json.dumps(list(fine)),))
            database.executemany(
                "INSERT INTO media_issue SELECT key, ?2, ?3, ?4, ?5 FROM photo WHERE key = ?1"
                " ON CONFLICT (key) DO UPDATE SET"
                # Dead on Monday and forbidden on Tuesday is out of reach since Monday.
                f" since = iif(kind = excluded.kind OR (kind IN {OUT_OF_REACH} AND excluded.kind IN {OUT_OF_REACH}),"
                " since, excluded.since), kind = excluded.kind, reason = excluded.reason, seen = excluded.seen",
                rows,
            )

    def update_reachability(self, *, before: str, now: str) -> tuple[int, int]:
        """Hide photos that are out of reach since before a time, and show those again that are in reach.

        Returns:
            How many were hidden, and how many are back.
        """
        issue = f"SELECT key FROM media_issue WHERE kind IN {OUT_OF_REACH}"
        away = f"SELECT key FROM photo WHERE unreachable_at = '' AND key IN ({issue} AND since <= ?)"
        back = f"SELECT key FROM photo WHERE unreachable_at <> '' AND key NOT IN ({issue})"
        changed = f"UPDATE photo SET unreachable_at = ? WHERE key IN {IN_LIST}"
        owners = (
            f"SELECT id, key FROM photo JOIN product ON product.row = product_row WHERE key IN {IN_LIST} ORDER BY key"
        )
        log: list[LogRow] = []
        with self._pool.transaction() as database:
            hidden = json.dumps([key for (key,) in database.execute(away, (before,))])
            returned = json.dumps([key for (key,) in database.execute(back)])
            database.executemany(changed, [(now, hidden), ("", returned)])
            log += [("photo_unreachable", owner, key, None) for owner, key in database.execute(owners, (hidden,))]
            count = len(log)
            log += [("photo_reachable", owner, key, None) for owner, key in database.execute(owners, (returned,))]
            if log:
                record(database, log, at=now)
        return count, len(log) - count

    def issues(self) -> list[MediaIssue]:
        """Every photo with an issue, those that have it for longest first."""
        asked = (
            "SELECT kind, reason, since, unreachable_at, product.id, uri FROM media_issue JOIN photo USING (key)"
            f" JOIN product ON product.row = product_row WHERE {LISTED} ORDER BY since, key"
        )
        with self._pool.borrow() as database:
            return [MediaIssue(*row) for row in database.execute(asked)]

    def move(self, prefixes: Sequence[tuple[str, str]], *, keep: bool = True) -> MoveReport:
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
            report = MoveReport(moved["uri"], moved["full_link"] + moved["thumbnail_link"])
            if keep and any(moved.values()):
                record(database, [("addresses_moved", "", None, asdict(report))], at=utc_text(self._clock()))
        return report


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
