"""Where the photos are: addresses that change without a vector being made anew, as vectors know keys and only the catalogue knows addresses."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from lapel.catalog.connection import Pool
from lapel.catalog.writing import raise_generation
from lapel.core.errors import InputError
from lapel.core.types import Links, Photo

# An address lies below a prefix when it goes on with one of these, or when the prefix ends with one.
_ENDS = "/?#!&="
_BELOW = f"substr({{0}}, 1, length(:old)) = :old AND ({{0}} = :old OR :whole OR instr('{_ENDS}', substr({{0}}, length(:old) + 1, 1)))"


@dataclass(frozen=True)
class Moved:
    """What a move of pictures changed.

    Attributes:
        photos: Photos whose bytes are read from another place now.
        links: Links for browsers that lead elsewhere now.
    """

    photos: int
    links: int


class Hosting:
    """The addresses in one catalogue. Get it from :attr:`lapel.catalog.Catalog.hosting`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def photos(self, *, after: int = 0, limit: int = 256) -> list[Photo]:
        """Photos by rising key, only those with keys above ``after``."""
        asked = (
            "SELECT key, product.id, uri, sha256, full_link, thumbnail_link FROM photo JOIN product ON product.row = product_row"
            " WHERE key > ? ORDER BY key LIMIT ?"
        )
        with self._pool.borrow() as database:
            return [
                Photo(key, owner, uri, sha256, Links(full, small))
                for key, owner, uri, sha256, full, small in database.execute(asked, (after, limit))
            ]

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
            f"Some product has a photo below {values['new']} already that one below {values['old']} would become. Nothing was changed."
            " Run lapel add with the new place instead."
        ) from error
