"""Work that goes on after its answer, and answers that a repeated request gets again: both survive a restart."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lapel.catalog.connection import Pool, insert_rows
from lapel.catalog.history import Clock, utc_text

STALE_SECONDS = 60.0  # after which a job whose process says nothing is taken over
KEPT_JOBS = 1000
REPLAY_SECONDS = 86_400.0  # how long an answer is kept for whoever asks again
STUCK_SECONDS = 600.0  # after which a request that never got its answer may be made anew
_COLUMNS = (
    "id, kind, owner, state, request, done, total, result, error, cancel, created_at, started_at, finished_at, webhook,"
    " webhook_secret, webhook_state, webhook_tries"
)


@dataclass(frozen=True)
class Job:
    """Work that goes on after its answer.

    Attributes:
        id: Its name.
        kind: What is done.
        owner: Id of the key that asked; empty without keys.
        state: ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``.
        request: What was asked.
        done: How far it is.
        total: How far it goes, when that is known.
        result: What came of it.
        error: Why it failed: code and message.
        cancel: Whether somebody asked to stop it.
        created_at: When it was asked for, UTC.
        started_at: When it was begun.
        finished_at: When it ended.
        webhook: Who is told of its end.
        webhook_secret: What signs that.
        webhook_state: ``waiting``, ``delivered`` or ``given up``; empty before the end, and without a webhook.
        webhook_tries: How often it was tried.
    """

    id: str
    kind: str
    owner: str
    state: str
    request: Mapping[str, Any]
    done: int
    total: int | None
    result: Mapping[str, Any]
    error: Mapping[str, Any]
    cancel: bool
    created_at: str
    started_at: str
    finished_at: str
    webhook: str
    webhook_secret: str = field(repr=False)
    webhook_state: str
    webhook_tries: int

    @property
    def ended(self) -> bool:
        """Whether nothing more happens."""
        return self.state in ("done", "failed", "cancelled")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, without the webhook's secret."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del told["webhook_secret"]
        return told


class JobTable:
    """The jobs of one catalogue. Safe to share between threads and processes."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def add(
        self,
        kind: str,
        request: Mapping[str, Any],
        *,
        owner: str = "",
        job_id: str = "",
        webhook: str = "",
        secret: str = "",
    ) -> Job:
        """Queue work."""
        made = job_id or uuid.uuid4().hex
        row = (made, kind, owner, "queued", json.dumps(dict(request)), utc_text(self._clock()), webhook, secret)
        columns = "id, kind, owner, state, request, created_at, webhook, webhook_secret"
        with self._pool.transaction() as database:
            insert_rows(database, "job", columns, [row])
            database.execute(
                "DELETE FROM job WHERE finished_at <> '' AND webhook_state <> 'waiting' AND id NOT IN"
                " (SELECT id FROM job ORDER BY created_at DESC, rowid DESC LIMIT ?)",
                (KEPT_JOBS,),
            )
        found = self.get(made)
        assert found is not None
        return found

    def get(self, job_id: str) -> Job | None:
        """One job; None where there is none of this id."""
        with self._pool.borrow() as database:
            row = database.execute(f"SELECT {_COLUMNS} FROM job WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else _job(row)

    def list(self, limit: int = 100) -> list[Job]:
        """The last jobs, the newest first."""
        asked = f"SELECT {_COLUMNS} FROM job ORDER BY created_at DESC, rowid DESC LIMIT ?"
        with self._pool.borrow() as database:
            return [_job(row) for row in database.execute(asked, (limit,))]

    def claim(self, runner: str, *, questions: bool) -> Job | None:
        """Take the oldest job that nobody works on, also one whose process is gone; None where there is none.

        Args:
            runner: Who takes it.
            questions: Whether one that asks is wanted; else one that changes the store.
        """
        now = time.time()
        free = (
            "SELECT id FROM job WHERE ((state = 'queued' AND seen_at <= ?) OR (state = 'running' AND seen_at < ?))"
            f" AND kind {'=' if questions else '!='} 'insight' ORDER BY created_at, rowid LIMIT 1"
        )
        with self._pool.borrow() as database:  # mostly there is none, and looking takes no lock
            if database.execute(free, (now, now - STALE_SECONDS)).fetchone() is None:
                return None
        with self._pool.transaction() as database:
            row = database.execute(
                f"UPDATE job SET state = 'running', runner = ?, seen_at = ?, started_at = ? WHERE id = ({free})"
                f" RETURNING {_COLUMNS}",
                (runner, now, utc_text(self._clock()), now, now - STALE_SECONDS),
            ).fetchone()
        return None if row is None else _job(row)

    def beat(self, job_id: str, runner: str, done: int, total: int | None) -> str:
        """Say that a job is being worked on, and how far it is. Returns ``go on``, ``cancel``, or ``lost`` where
        another process has it now."""
        with self._pool.transaction() as database:
            row = database.execute(
                "UPDATE job SET seen_at = ?, done = ?, total = ? WHERE id = ? AND runner = ? AND state = 'running'"
                " RETURNING cancel",
                (time.time(), done, total, job_id, runner),
            ).fetchone()
        return "lost" if row is None else "cancel" if row[0] else "go on"

    def finish(
        self, job_id: str, runner: str, state: str, *, result: Mapping[str, Any], error: Mapping[str, Any]
    ) -> None:
        """End a job; whoever is to be told of it is told from now on."""
        with self._pool.transaction() as database:
            database.execute(
                "UPDATE job SET state = ?, result = ?, error = ?, finished_at = ?, runner = '',"
                " webhook_state = iif(webhook = '', '', 'waiting') WHERE id = ? AND runner = ?",
                (state, json.dumps(dict(result)), json.dumps(dict(error)), utc_text(self._clock()), job_id, runner),
            )

    def release(self, job_id: str, runner: str, *, after: float = 0.0) -> None:
        """Give a job back, to be gone on with by whoever comes next, in so many seconds."""
        with self._pool.transaction() as database:
            database.execute(
                "UPDATE job SET state = 'queued', runner = '', seen_at = ? WHERE id = ? AND runner = ?",
                (time.time() + after, job_id, runner),
            )

    def cancel(self, job_id: str) -> Job | None:
        """Ask to stop a job: one that nobody began ends at once. Returns it; None where there is none."""
        with self._pool.transaction() as database:
            database.execute("UPDATE job SET cancel = 1 WHERE id = ? AND state IN ('queued', 'running')", (job_id,))
            database.execute(
                "UPDATE job SET state = 'cancelled', finished_at = ?, webhook_state = iif(webhook = '', '', 'waiting')"
                " WHERE id = ? AND state = 'queued'",
                (utc_text(self._clock()), job_id),
            )
        return self.get(job_id)

    def due_webhook(self, lease: float) -> Job | None:
        """A job whose end is to be told now; nobody else gets it for ``lease`` seconds."""
        now = time.time()
        due = "SELECT id FROM job WHERE webhook_state = 'waiting' AND webhook_next <= ? LIMIT 1"
        with self._pool.borrow() as database:
            if database.execute(due, (now,)).fetchone() is None:
                return None
        with self._pool.transaction() as database:
            row = database.execute(
                f"UPDATE job SET webhook_next = ?, webhook_tries = webhook_tries + 1 WHERE id = ({due})"
                f" RETURNING {_COLUMNS}",
                (now + lease, now),
            ).fetchone()
        return None if row is None else _job(row)

    def told(self, job_id: str, state: str, *, next_in: float = 0.0) -> None:
        """Write down how telling went: ``delivered``, ``given up``, or ``waiting`` for the next try."""
        with self._pool.transaction() as database:
            database.execute(
                "UPDATE job SET webhook_state = ?, webhook_next = ? WHERE id = ?",
                (state, time.time() + next_in, job_id),
            )


def _job(row: tuple[Any, ...]) -> Job:
    job_id, kind, owner, state, request, done, total, result, error, cancel, *rest = row
    read = (json.loads(request), done, total, json.loads(result or "{}"), json.loads(error or "{}"), bool(cancel))
    return Job(job_id, kind, owner, state, *read, *rest)


@dataclass(frozen=True)
class Replay:
    """An answer that was given before.

    Attributes:
        same: Whether the request was this very one.
        status: The HTTP status; 0 while the answer is still being made.
        type: The body's media type.
        body: The body.
    """

    same: bool
    status: int
    type: str
    body: bytes


class ReplayTable:
    """Answers by the key of their request. Safe to share between threads and processes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def begin(self, key: str, request_hash: str) -> Replay | None:
        """Begin a request; or what became of the one with this key."""
        now = time.time()
        with self._pool.transaction() as database:
            database.execute(
                "DELETE FROM api_replay WHERE at < ? OR (status = 0 AND at < ?)",
                (now - REPLAY_SECONDS, now - STUCK_SECONDS),
            )
            row = database.execute("SELECT request_hash, status, type, body FROM api_replay WHERE key = ?", (key,))
            if (found := row.fetchone()) is not None:
                return Replay(found[0] == request_hash, *found[1:])
            insert_rows(
                database, "api_replay", "key, request_hash, status, type, body, at", [_begun(key, request_hash, now)]
            )
        return None

    def finish(self, key: str, status: int, media_type: str, body: bytes) -> None:
        """Keep the answer."""
        with self._pool.transaction() as database:
            database.execute(
                "UPDATE api_replay SET status = ?, type = ?, body = ? WHERE key = ?", (status, media_type, body, key)
            )

    def forget(self, key: str) -> None:
        """Let the request be made anew."""
        with self._pool.transaction() as database:
            database.execute("DELETE FROM api_replay WHERE key = ?", (key,))


def _begun(key: str, request_hash: str, now: float) -> tuple[object, ...]:
    return (key, request_hash, 0, "", b"", now)
