"""Who may ask a store over HTTP: keys, of which only hashes are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from lapel.catalog.connection import Pool, insert_rows
from lapel.catalog.history import Clock, utc_text


@dataclass(frozen=True)
class StoredKey:
    """What is known of a key.

    Attributes:
        id: The public part of it.
        name: What people call it.
        scopes: What it may be used for.
        secret_hash: SHA-256 of its secret, 32 bytes.
        signing_key: What scoped keys that are derived from it are signed with, 32 bytes.
        created_at: When it was made, UTC.
        revoked_at: Since when it counts no more; empty while it does.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    secret_hash: bytes = field(repr=False)
    signing_key: bytes = field(repr=False)
    created_at: str = ""
    revoked_at: str = ""


class KeyTable:
    """The keys of one catalogue. Safe to share between threads."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def add(self, key: StoredKey) -> StoredKey:
        """Keep a key; returns it with the time."""
        at = utc_text(self._clock())
        row = (key.id, key.name, " ".join(key.scopes), key.secret_hash, key.signing_key, at)
        with self._pool.transaction() as database:
            insert_rows(database, "api_key", "id, name, scopes, secret_hash, signing_key, created_at", [row])
        return StoredKey(key.id, key.name, key.scopes, key.secret_hash, key.signing_key, at)

    def all(self) -> list[StoredKey]:
        """Every key, also those that are revoked; the oldest first."""
        asked = (
            "SELECT id, name, scopes, secret_hash, signing_key, created_at, revoked_at FROM api_key"
            " ORDER BY created_at, id"
        )
        with self._pool.borrow() as database:
            return [
                StoredKey(name, title, tuple(scopes.split()), *rest)
                for name, title, scopes, *rest in database.execute(asked)
            ]

    def revoke(self, key_id: str) -> bool:
        """Let a key count no more. Returns whether it did until now."""
        with self._pool.transaction() as database:
            changed = database.execute(
                "UPDATE api_key SET revoked_at = ? WHERE id = ? AND revoked_at = ''",
                (utc_text(self._clock()), key_id),
            )
            return changed.rowcount > 0
