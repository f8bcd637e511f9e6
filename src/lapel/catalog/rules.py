"""What a shop wants of its answers, kept in the catalogue in the order it was said."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lapel.catalog.connection import Pool, insert_rows
from lapel.catalog.history import Clock, utc_text


@dataclass(frozen=True)
class StoredRule:
    """A rule as it is kept.

    Attributes:
        name: What people call it.
        action: What it does.
        body: The rest of it, JSON values.
        created_at: When it was made, UTC.
    """

    name: str
    action: str
    body: dict[str, Any]
    created_at: str = ""


class RuleTable:
    """The rules of one catalogue. Safe to share between threads."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def version(self) -> int:
        """A number that rises with every change of rules."""
        with self._pool.borrow() as database:
            row = database.execute("SELECT value FROM setting WHERE name = 'rules_version'").fetchone()
        return int(row[0]) if row else 0

    def put(self, rule: StoredRule) -> bool:
        """Keep a rule, in place of one of the same name. Returns whether there was one."""
        with self._pool.transaction() as database:
            gone = database.execute("DELETE FROM rule WHERE name = ?", (rule.name,)).rowcount
            row = (rule.name, rule.action, json.dumps(rule.body, ensure_ascii=False), utc_text(self._clock()))
            insert_rows(database, "rule", "name, action, body, created_at", [row])
            database.execute("UPDATE setting SET value = value + 1 WHERE name = 'rules_version'")
        return bool(gone)

    def remove(self, name: str) -> bool:
        """Drop a rule. Returns whether there was one."""
        with self._pool.transaction() as database:
            gone = database.execute("DELETE FROM rule WHERE name = ?", (name,)).rowcount
            database.execute("UPDATE setting SET value = value + 1 WHERE name = 'rules_version'")
        return bool(gone)

    def all(self) -> list[StoredRule]:
        """Every rule in its order."""
        with self._pool.borrow() as database:
            found = database.execute("SELECT name, action, body, created_at FROM rule ORDER BY row").fetchall()
        return [StoredRule(name, action, json.loads(body), at) for name, action, body, at in found]
