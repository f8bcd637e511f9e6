"""What one process that serves a store holds: the store, who encodes, who may ask, and how much."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request

from lapel.apps.api.batching import Batcher, Gate
from lapel.apps.api.metrics import Metrics
from lapel.apps.api.probe import Probe
from lapel.core.errors import InputError
from lapel.service import Store

Result = TypeVar("Result")
KEYS_SECONDS = 1.0  # how long it takes until a new key counts, or a revoked one does not
MAX_BUCKETS = 10_000  # keys and addresses whose pace is remembered


@dataclass(frozen=True)
class ApiOptions:
    """How a store is served.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        keys: Whether keys are asked for, where the store has some.
        hosts: Names that requests may ask for beside this machine's own.
        origins: Web pages' origins that browsers may ask from, such as ``https://shop.example``; ``*`` for all.
        rate: Requests a minute of one key, and of one address.
        pictures: Pictures that may be on their way at once; more are told to come back.
        picture_mb: The most that one picture may have, in MB (2^20 bytes).
        bulk_mb: The most that a bulk or a feed may have.
        bulk_rows: The most products of a bulk; a feed may have as many as it likes.
        body_seconds: How long a request's body may take to come.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    keys: bool = True
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    rate: int = 6000
    pictures: int = 48
    picture_mb: float = 20.0
    bulk_mb: float = 256.0
    bulk_rows: int = 1000
    body_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("rate", "pictures", "picture_mb", "bulk_mb", "bulk_rows", "body_seconds"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is above zero; found {getattr(self, name)}.")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can ask."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


class Buckets:
    """Token buckets: each name may ask at a pace, and a little at once. Safe to share between threads.

    Args:
        per_minute: The pace; as much as a fifth of it may come at once.
    """

    def __init__(self, per_minute: int) -> None:
        self._pace = per_minute / 60
        self._most = max(1.0, per_minute / 5)
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, name: str, now: float | None = None) -> float:
        """Take one. Returns 0.0, or the seconds after which there is one again."""
        now = time.monotonic() if now is None else now
        with self._lock:
            left, at = self._left.pop(name, (self._most, now))
            left = min(self._most, left + (now - at) * self._pace)
            wait = 0.0 if left >= 1 else (1 - left) / self._pace
            self._left[name] = (left - 1 if left >= 1 else left, now)
            while len(self._left) > MAX_BUCKETS:
                del self._left[next(iter(self._left))]
            return wait


class Serving:
    """What the routes work with.

    Args:
        store: The store; whoever made it closes it.
        options: How it is served.
    """

    def __init__(self, store: Store, options: ApiOptions) -> None:
        self.store = store
        self.options = options
        self.metrics = Metrics(self)
        self.batcher = Batcher(store.search_batch, told=self.metrics.batch)
        self.gate = Gate(options.pictures)
        self.buckets = Buckets(options.rate)
        self.probe = Probe(store)
        # Each kind of work has its own threads, so that none waits for another kind.
        self._quick = ThreadPoolExecutor(8, thread_name_prefix="lapel-quick")
        self._decode = ThreadPoolExecutor(4, thread_name_prefix="lapel-decode")
        self._fetch = ThreadPoolExecutor(16, thread_name_prefix="lapel-fetch")
        self._write = ThreadPoolExecutor(4, thread_name_prefix="lapel-write")
        self._keys: tuple[float, Any] = (float("-inf"), ())

    def known_keys(self) -> Any:
        """The store's keys, as of a moment ago."""
        at, keys = self._keys
        if time.monotonic() - at > KEYS_SECONDS:
            keys = self.store.keys.list()
            self._keys = (time.monotonic(), keys)
        return keys

    async def needs_keys(self) -> bool:
        """Whether a request needs a key."""
        if not self.options.keys:
            return False
        fresh = time.monotonic() - self._keys[0] <= KEYS_SECONDS
        return bool(self.known_keys() if fresh else await self.quick(self.known_keys))

    async def quick(self, work: Callable[..., Result], *given: Any, **named: Any) -> Result:
        """Do what needs no network and no encoder."""
        return await self._run(self._quick, work, *given, **named)

    async def decode(self, work: Callable[..., Result], *given: Any, **named: Any) -> Result:
        """Turn bytes into a picture."""
        return await self._run(self._decode, work, *given, **named)

    async def fetch(self, work: Callable[..., Result], *given: Any, **named: Any) -> Result:
        """Wait for other servers."""
        return await self._run(self._fetch, work, *given, **named)

    async def write(self, work: Callable[..., Result], *given: Any, **named: Any) -> Result:
        """Change products; done to its end even if the client hangs up."""
        return await asyncio.shield(self._run(self._write, work, *given, **named))

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[..., Result], *given: Any, **named: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(pool, functools.partial(work, *given, **named))

    def close(self) -> None:
        """End all work that was begun."""
        self.batcher.close()
        for pool in (self._quick, self._decode, self._fetch, self._write):
            pool.shutdown()


def serving(request: Request) -> Serving:
    """What serves a request."""
    found: Serving = request.app.state.serving
    return found
