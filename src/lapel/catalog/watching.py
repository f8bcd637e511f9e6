"""What is watched for: banks of pictures, what was found against them, decisions, alerts, and a log that cannot be
edited unnoticed. A file beside the catalogue.

Every line of the log carries the SHA-256 of the line before it and of itself. Who changes, takes out or puts in a line
breaks the chain; who cuts its end off is found out by a hash that was noted before (``lapel watch log --verify
--head``).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapel.catalog.history import utc_now, utc_text
from lapel.catalog.side_file import SideFile
from lapel.core.errors import QueryError

FILE = "watch.sqlite"
START = "0" * 64  # what the first line of the log follows
STATES = ("open", "confirmed", "rejected")
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE bank (
        name TEXT PRIMARY KEY,
        kind TEXT NOT NULL,          -- restricted, own, logos or negative
        least REAL NOT NULL,         -- probability from which on a picture is a match
        flood REAL NOT NULL,         -- share of checked pictures beyond which the bank is quarantined
        created_at TEXT NOT NULL,
        quarantined_at TEXT NOT NULL DEFAULT '',
        checked INTEGER NOT NULL DEFAULT 0,  -- since it was last released
        matched INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE TABLE entry (
        row INTEGER PRIMARY KEY,
        bank TEXT NOT NULL REFERENCES bank (name) ON DELETE CASCADE,
        sha256 TEXT NOT NULL,
        name TEXT NOT NULL,          -- where it came from
        fingerprint TEXT NOT NULL,   -- of the model of its vector
        vector BLOB NOT NULL,        -- float32, little-endian
        hash BLOB NOT NULL,          -- 32 bytes and one of quality
        square BLOB NOT NULL,        -- 48 x 48 RGB
        ratio REAL NOT NULL,
        picture BLOB NOT NULL,       -- WebP, for people
        UNIQUE (bank, sha256)
    );
    CREATE TABLE finding (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        bank TEXT NOT NULL,
        entry TEXT NOT NULL,         -- SHA-256 of the bank's picture
        entry_name TEXT NOT NULL,
        upload TEXT NOT NULL,        -- SHA-256 of what was found
        place TEXT NOT NULL,         -- where it was found
        at TEXT NOT NULL,
        chance REAL NOT NULL,
        mirrored INTEGER NOT NULL,
        seen INTEGER NOT NULL DEFAULT 1,
        bank_picture BLOB NOT NULL,
        upload_picture BLOB NOT NULL,
        state TEXT NOT NULL DEFAULT 'open',
        note TEXT NOT NULL DEFAULT '',
        decided_at TEXT NOT NULL DEFAULT '',
        decided_by TEXT NOT NULL DEFAULT '',
        UNIQUE (bank, upload, place)
    );
    CREATE INDEX finding_state ON finding (state, chance DESC);
    CREATE TABLE log (
        sequence INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,          -- JSON object
        before TEXT NOT NULL,        -- hash of the line before
        hash TEXT NOT NULL
    );
    CREATE TABLE alert (
        id INTEGER PRIMARY KEY,
        url TEXT NOT NULL,
        secret TEXT NOT NULL,
        body TEXT NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        next REAL NOT NULL DEFAULT 0,  -- seconds since 1970
        state TEXT NOT NULL DEFAULT 'waiting'  -- waiting, delivered or given up
    );
    """,
)
_FINDING = "id, bank, entry, entry_name, upload, place, at, chance, mirrored, seen, state, note, decided_at, decided_by"


@dataclass(frozen=True)
class Bank:
    """Pictures that are watched for.

    Attributes:
        name: What it is called.
        kind: ``restricted``, ``own``, ``logos``, or ``negative``: what is near one of these is no match of any bank.
        least: The probability from which on a picture is a match.
        flood: The share of checked pictures beyond which the bank is quarantined.
        pictures: How many it holds.
        quarantined_at: Since when it raises no alerts, UTC; empty while it does.
        checked: Pictures checked against it since it was made or released.
        matched: Those that matched.
    """

    name: str
    kind: str
    least: float
    flood: float
    pictures: int
    quarantined_at: str
    checked: int
    matched: int


@dataclass(frozen=True)
class BankPicture:
    """One picture of a bank, see the table ``entry``."""

    bank: str
    sha256: str
    name: str
    fingerprint: str
    vector: bytes
    hash: bytes
    square: bytes
    ratio: float
    picture: bytes


@dataclass(frozen=True)
class Finding:
    """A picture that matches a bank's.

    Attributes:
        id: Its number.
        bank: Which bank.
        entry: SHA-256 of the bank's picture, hex.
        entry_name: Where that came from.
        upload: SHA-256 of what was found, hex.
        place: Where it was found: a path, a link, or a product of a feed.
        at: When it was first found, UTC.
        chance: How likely it is a copy, 0..1.
        mirrored: Whether it is the mirrored picture.
        seen: How often it was found there.
        state: ``open``, ``confirmed`` or ``rejected``.
        note: Of who decided.
        decided_at: When, UTC.
        decided_by: Who, as they said.
    """

    id: int
    bank: str
    entry: str
    entry_name: str
    upload: str
    place: str
    at: str
    chance: float
    mirrored: bool
    seen: int
    state: str
    note: str
    decided_at: str
    decided_by: str


@dataclass(frozen=True)
class LogCheck:
    """What became of a log.

    Attributes:
        lines: How many lines it has.
        head: The hash of the last one: note it somewhere else, and its end cannot be cut off unnoticed either.
        broken_at: The first line that does not fit, or None.
        head_found: Whether a hash that was noted before is still there; None when none was asked for.
    """

    lines: int
    head: str
    broken_at: int | None
    head_found: bool | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing was changed, as far as this shows."""
        return self.broken_at is None and self.head_found is not False


class WatchTable(SideFile):
    """The banks, findings and log of one store. Safe to share between threads and processes.

    Args:
        folder: The store's.
        read_only: Never write.
    """

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        super().__init__(folder / FILE, what="banks and findings", scripts=MIGRATIONS, read_only=read_only)

    # --- banks --------------------------------------------------------------------------------------------------------

    def put_bank(self, name: str, kind: str, least: float, flood: float) -> None:
        """Make a bank, or change an existing one."""
        with self._writable().transaction() as database:
            database.execute(
                "INSERT INTO bank (name, kind, least, flood, created_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, least = excluded.least,"
                " flood = excluded.flood",
                (name, kind, least, flood, utc_text(utc_now())),
            )
            _note(database, "bank", {"name": name, "kind": kind, "least": least, "flood": flood})

    def remove_bank(self, name: str) -> bool:
        """Take a bank out; what was found stays. Returns whether there was one."""
        with self._writable().transaction() as database:
            there = database.execute("DELETE FROM bank WHERE name = ?", (name,)).rowcount > 0
            if there:
                _note(database, "bank removed", {"name": name})
            return there

    def banks(self) -> list[Bank]:
        """All banks, by name."""
        asked = (
            "SELECT name, kind, least, flood, (SELECT count(*) FROM entry WHERE entry.bank = bank.name),"
            " quarantined_at, checked, matched FROM bank ORDER BY name"
        )
        return [Bank(*row) for row in self._rows(asked)]

    def add_pictures(self, pictures: Sequence[BankPicture]) -> int:
        """Put pictures into their bank; those that are there already are replaced. Returns how many are new."""
        with self._writable().transaction() as database:
            before = database.execute("SELECT count(*) FROM entry").fetchone()[0]
            database.executemany(
                "INSERT INTO entry (bank, sha256, name, fingerprint, vector, hash, square, ratio, picture)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (bank, sha256) DO UPDATE SET"
                " fingerprint = excluded.fingerprint, vector = excluded.vector, hash = excluded.hash",
                [
                    (p.bank, p.sha256, p.name, p.fingerprint, p.vector, p.hash, p.square, p.ratio, p.picture)
                    for p in pictures
                ],
            )
            new = int(database.execute("SELECT count(*) FROM entry").fetchone()[0] - before)
            for bank in sorted({picture.bank for picture in pictures}):
                hashes = [picture.sha256 for picture in pictures if picture.bank == bank]
                _note(database, "pictures", {"bank": bank, "sha256": hashes})
            return new

    def pictures(self, fingerprint: str) -> list[BankPicture]:
        """Every bank's pictures with a vector of a model, without the large pictures."""
        asked = "SELECT bank, sha256, name, fingerprint, vector, hash, square, ratio, x'' FROM entry"
        return [BankPicture(*row) for row in self._rows(asked + " WHERE fingerprint = ? ORDER BY row", (fingerprint,))]

    def other_models(self, fingerprint: str) -> int:
        """How many pictures have a vector of another model only."""
        return int(self._rows("SELECT count(*) FROM entry WHERE fingerprint <> ?", (fingerprint,))[0][0])

    def large(self, bank: str, sha256: str) -> bytes:
        """The WebP of a bank's picture."""
        found = self._rows("SELECT picture FROM entry WHERE bank = ? AND sha256 = ?", (bank, sha256))
        return bytes(found[0][0]) if found else b""

    def count(self, bank: str, checked: int, matched: int) -> None:
        """Add to what was checked against a bank."""
        with self._writable().transaction() as database:
            asked = "UPDATE bank SET checked = checked + ?, matched = matched + ? WHERE name = ?"
            database.execute(asked, (checked, matched, bank))

    def quarantine(self, bank: str, why: str) -> None:
        """Let a bank raise no more alerts until it is released."""
        with self._writable().transaction() as database:
            at = utc_text(utc_now())
            database.execute("UPDATE bank SET quarantined_at = ? WHERE name = ?", (at, bank))
            _note(database, "quarantined", {"bank": bank, "why": why})

    def release(self, bank: str) -> bool:
        """Let it raise alerts again, and count anew. Returns whether it was quarantined."""
        with self._writable().transaction() as database:
            asked = (
                "UPDATE bank SET quarantined_at = '', checked = 0, matched = 0 WHERE name = ? AND quarantined_at <> ''"
            )
            done = database.execute(asked, (bank,)).rowcount > 0
            if done:
                _note(database, "released", {"bank": bank})
            return done

    # --- findings -----------------------------------------------------------------------------------------------------

    def put_finding(self, match: Mapping[str, Any], upload_picture: bytes, bank_picture: bytes) -> tuple[Finding, bool]:
        """Keep what was found; the same picture at the same place is counted, not doubled. Returns it and whether it is
        new."""
        with self._writable().transaction() as database:
            key = (match["bank"], match["upload"], match["place"])
            asked = f"SELECT {_FINDING} FROM finding WHERE bank = ? AND upload = ? AND place = ?"
            row = database.execute(asked, key).fetchone()
            if row is not None:
                database.execute("UPDATE finding SET seen = seen + 1 WHERE id = ?", (row[0],))
                return _finding(row), False
            at = utc_text(utc_now())
            database.execute(
                "INSERT INTO finding (bank, entry, entry_name, upload, place, at, chance, mirrored, bank_picture,"
                " upload_picture) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    match["bank"], match["entry"], match["entry_name"], match["upload"], match["place"], at,
                    match["chance"], int(match["mirrored"]), bank_picture, upload_picture,
                ),
            )  # fmt: skip
            found = _finding(database.execute(asked, key).fetchone())
            told = {name: match[name] for name in ("bank", "entry", "upload", "place")}
            _note(database, "found", {"id": found.id, **told, "chance": round(match["chance"], 4)})
            return found, True

    def findings(self, state: str = "open", limit: int = 1000) -> list[Finding]:
        """What was found, the surest first; of one state, or all with an empty one."""
        asked = f"SELECT {_FINDING} FROM finding WHERE ? IN ('', state) ORDER BY chance DESC, id LIMIT ?"
        return [_finding(row) for row in self._rows(asked, (state, limit))]

    def finding(self, number: int) -> Finding:
        """One of them.

        Raises:
            QueryError: there is none of this number.
        """
        found = self._rows(f"SELECT {_FINDING} FROM finding WHERE id = ?", (number,))
        if not found:
            raise QueryError(f"There is no finding {number}. List them with: lapel watch queue --state all")
        return _finding(found[0])

    def finding_pictures(self, number: int) -> tuple[bytes, bytes]:
        """The bank's picture and what was found, WebP."""
        self.finding(number)
        row = self._rows("SELECT bank_picture, upload_picture FROM finding WHERE id = ?", (number,))[0]
        return bytes(row[0]), bytes(row[1])

    def decide(self, number: int, state: str, note: str, who: str) -> Finding:
        """Confirm or reject a finding, or open it again; every decision stays in the log.

        Raises:
            QueryError: there is none of this number, or no such state.
        """
        if state not in STATES:
            raise QueryError(f"A finding is {', '.join(STATES)}; found '{state}'.")
        before = self.finding(number)
        with self._writable().transaction() as database:
            database.execute(
                "UPDATE finding SET state = ?, note = ?, decided_at = ?, decided_by = ? WHERE id = ?",
                (state, note, utc_text(utc_now()), who, number),
            )
            told = {"id": number, "from": before.state, "to": state, "note": note, "by": who}
            _note(database, "decided", told)
        return self.finding(number)

    # --- alerts -------------------------------------------------------------------------------------------------------

    def add_alert(self, url: str, secret: str, body: str) -> None:
        """Something that a webhook is to be told."""
        with self._writable().transaction() as database:
            database.execute("INSERT INTO alert (url, secret, body) VALUES (?, ?, ?)", (url, secret, body))

    def due_alerts(self, now: float) -> list[tuple[int, str, str, str, int]]:
        """Number, link, secret, body and tries so far of those whose time has come."""
        asked = "SELECT id, url, secret, body, tries FROM alert WHERE state = 'waiting' AND next <= ? ORDER BY id"
        return [tuple(row) for row in self._rows(asked, (now,))]

    def told(self, number: int, state: str, next_at: float = 0.0) -> None:
        """What became of telling it."""
        with self._writable().transaction() as database:
            asked = "UPDATE alert SET state = ?, tries = tries + 1, next = ? WHERE id = ?"
            database.execute(asked, (state, next_at, number))

    def alert_counts(self) -> dict[str, int]:
        """How many alerts are in each state."""
        return dict(self._rows("SELECT state, count(*) FROM alert GROUP BY state"))

    # --- the log ------------------------------------------------------------------------------------------------------

    def log(self, limit: int = 1000) -> list[dict[str, Any]]:
        """The last lines, the newest first."""
        asked = "SELECT sequence, at, kind, body, hash FROM log ORDER BY sequence DESC LIMIT ?"
        return [
            {"line": number, "at": at, "what": kind, "about": json.loads(body), "hash": digest}
            for number, at, kind, body, digest in self._rows(asked, (limit,))
        ]

    def verify(self, head: str = "") -> LogCheck:
        """Whether every line still fits the one before it, and a head that was noted is still there."""
        before, broken, lines, seen = START, None, 0, not head
        states: dict[int, str] = {}
        for number, at, kind, body, follows, digest in self._rows(
            "SELECT sequence, at, kind, body, before, hash FROM log ORDER BY sequence"
        ):
            lines += 1
            fits = number == lines and follows == before and digest == _digest(number, at, kind, body, before)
            if not fits and broken is None:
                broken = number
            before, seen = digest, seen or digest == head
            if kind == "decided":
                told = json.loads(body)
                states[told["id"]] = told["to"]
        if broken is None:
            # What the queue says now is what was decided last: a state that was edited in the table is noticed too.
            for number, state in self._rows("SELECT id, state FROM finding ORDER BY id"):
                if states.get(number, "open") != state:
                    broken = lines
                    break
        return LogCheck(lines, before, broken, seen if head else None)

    # --- its file -----------------------------------------------------------------------------------------------------

    def _rows(self, asked: str, values: Sequence[Any] = ()) -> list[Any]:
        pool = self._opened()
        if pool is None:
            return [(0,)] if asked.startswith("SELECT count") else []
        with pool.borrow() as database:
            return database.execute(asked, values).fetchall()


def _finding(row: Sequence[Any]) -> Finding:
    values = dict(zip(_FINDING.split(", "), row, strict=True))
    return Finding(**{**values, "mirrored": bool(values["mirrored"])})


def _digest(number: int, at: str, kind: str, body: str, before: str) -> str:
    line = json.dumps([number, at, kind, body, before], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(line.encode()).hexdigest()


def _note(database: sqlite3.Connection, kind: str, body: Mapping[str, Any]) -> None:
    """Write a line of the log, in the transaction of what it tells of."""
    last = database.execute("SELECT sequence, hash FROM log ORDER BY sequence DESC LIMIT 1").fetchone()
    number, before = (last[0] + 1, last[1]) if last else (1, START)
    at, text = utc_text(utc_now()), json.dumps(body, ensure_ascii=False, sort_keys=True)
    line = (number, at, kind, text, before, _digest(number, at, kind, text, before))
    database.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", line)
