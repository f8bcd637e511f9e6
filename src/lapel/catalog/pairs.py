"""What is known of pairs of pictures: which were compared, what came of it, and which people said are no duplicates. A
file beside the catalogue.

Pictures are known by the SHA-256 of their bytes, so that what was found survives a product that is taken out and added
again; decisions by the products' ids. Comparisons are a cache and may be deleted; decisions are kept for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lapel.catalog.history import utc_now, utc_text
from lapel.catalog.side_file import SideFile

FILE = "duplicates.sqlite"
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE dismissed (
        one TEXT NOT NULL,           -- products' ids, the smaller first
        other TEXT NOT NULL,
        at TEXT NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (one, other)
    ) WITHOUT ROWID;
    CREATE TABLE signature (
        sha256 TEXT PRIMARY KEY,     -- hex
        version TEXT NOT NULL,
        hash BLOB NOT NULL           -- 32 bytes and one of quality; empty where the picture cannot be read
    ) WITHOUT ROWID;
    CREATE TABLE looked (
        sha256 TEXT NOT NULL,
        version TEXT NOT NULL,       -- of the check, with the model's fingerprint
        PRIMARY KEY (sha256, version)
    ) WITHOUT ROWID;
    CREATE TABLE pair (
        one TEXT NOT NULL,           -- the smaller hash first
        other TEXT NOT NULL,
        version TEXT NOT NULL,
        chance REAL NOT NULL,        -- that one picture is made of the other, 0..1
        cosine REAL NOT NULL,
        colour REAL NOT NULL,        -- see lapel.insight.copy_check.MEASURES
        mirrored INTEGER NOT NULL,
        PRIMARY KEY (version, one, other)
    ) WITHOUT ROWID;
    """,
    # Hashes are derived while photos are added and kept in the catalogue.
    "DROP TABLE signature;",
)


@dataclass(frozen=True)
class Pair:
    """Two pictures that were compared.

    Attributes:
        one: SHA-256, hex; the smaller of the two.
        other: The larger.
        chance: How likely one is made of the other, 0..1.
        cosine: Of their vectors.
        colour: How far their colours are apart, see :data:`lapel.insight.copy_check.MEASURES`.
        mirrored: Whether they fit best when one is mirrored.
    """

    one: str
    other: str
    chance: float
    cosine: float
    colour: float
    mirrored: bool


@dataclass(frozen=True)
class Dismissed:
    """Two products that somebody said are no duplicates.

    Attributes:
        one: A product's id.
        other: Another's.
        at: When it was said, UTC.
        note: Why; may be empty.
    """

    one: str
    other: str
    at: str
    note: str


class PairTable(SideFile):
    """The pairs of one store. Safe to share between threads and processes.

    Args:
        folder: The store's.
        read_only: Never write.
    """

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        super().__init__(folder / FILE, what="pairs of pictures", scripts=MIGRATIONS, read_only=read_only)

    def dismiss(self, one: str, other: str, note: str = "") -> None:
        """Remember that two products are no duplicates.

        Raises:
            StoreReadOnlyError: nothing may be written.
        """
        with self._writable().transaction() as database:
            row = (*sorted((one, other)), utc_text(utc_now()), note)
            database.execute("INSERT OR REPLACE INTO dismissed VALUES (?, ?, ?, ?)", row)

    def restore(self, one: str, other: str) -> bool:
        """Forget that. Returns whether it was remembered."""
        pool = self._opened()
        if pool is None:
            return False
        with pool.transaction() as database:
            asked = "DELETE FROM dismissed WHERE one = ? AND other = ?"
            return database.execute(asked, tuple(sorted((one, other)))).rowcount > 0

    def dismissed(self) -> list[Dismissed]:
        """All that was dismissed, the newest first."""
        pool = self._opened()
        if pool is None:
            return []
        with pool.borrow() as database:
            asked = "SELECT one, other, at, note FROM dismissed ORDER BY at DESC, one, other"
            return [Dismissed(*row) for row in database.execute(asked)]

    def looked(self, version: str) -> set[str]:
        """The pictures whose neighbours were compared with them."""
        pool = self._opened()
        if pool is None:
            return set()
        with pool.borrow() as database:
            return {sha256 for (sha256,) in database.execute("SELECT sha256 FROM looked WHERE version = ?", (version,))}

    def put(self, looked: Sequence[str], pairs: Iterable[Pair], version: str) -> None:
        """Keep what came of some pictures, in one transaction: of two answers to one pair the surer; nothing in a
        store that may not be written."""
        if self.read_only:
            return
        with self._writable().transaction() as database:
            database.executemany("INSERT OR IGNORE INTO looked VALUES (?, ?)", [(each, version) for each in looked])
            rows = [(p.one, p.other, version, p.chance, p.cosine, p.colour, int(p.mirrored)) for p in pairs]
            database.executemany(
                "INSERT INTO pair VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET chance = excluded.chance,"
                " colour = excluded.colour, mirrored = excluded.mirrored WHERE excluded.chance > chance",
                rows,
            )

    def pairs(self, version: str) -> list[Pair]:
        """Every pair that was kept."""
        pool = self._opened()
        if pool is None:
            return []
        asked = "SELECT one, other, chance, cosine, colour, mirrored FROM pair WHERE version = ?"
        with pool.borrow() as database:
            return [
                Pair(one, other, chance, cosine, colour, bool(mirrored))
                for one, other, chance, cosine, colour, mirrored in database.execute(asked, (version,))
            ]
