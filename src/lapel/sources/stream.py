"""Sources across a network as if they were here: many photos are read at once, ahead of who needs them, through one
cache.

``ahead`` lets a run say what it will need; whoever reads later gets what has arrived, or waits for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from lapel.core.errors import SourceError
from lapel.sources.base import ImageSource, SourceWrapper
from lapel.sources.cache import ImageCache, open_cache

FETCH_THREADS = 32  # photos under way at once: at 50 ms each, 640 a second, more than two cores encode
WAITING_BYTES = 64 * 2**20  # bytes of photos that wait in memory for their reader; more wait on disk

Item = TypeVar("Item")


def ahead(items: Iterable[Item], start: Callable[[Item], object], count: int) -> Iterator[Item]:
    """The items as they come, after ``start`` has been called with each of the next ``count``."""
    waiting: deque[Item] = deque()
    for item in items:
        start(item)
        waiting.append(item)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


def in_order(source: ImageSource, uris: Sequence[str], count: int = 8 * FETCH_THREADS) -> Callable[[str], bytes]:
    """A source's ``read`` for who goes through these photos in their order: reading one fetches the next ``count`` of
    them."""
    if not source.remote:
        return source.read
    place = {uri: number for number, uri in enumerate(uris)}
    begun = 0

    def read(uri: str) -> bytes:
        nonlocal begun
        here = place[uri]
        source.prefetch(uris[max(begun, here) : here + count])
        begun = max(begun, here + count)
        return source.read(uri)

    return read


def streamed(source: ImageSource) -> Streamed:
    """A remote source with the cache that the environment names."""
    source.cache = open_cache()  # links are asked for with what the cache knows of them
    return Streamed(source, source.cache)


class Streamed(SourceWrapper):
    """A remote source, read ahead and through a cache.

    Args:
        source: Where the photos are.
        cache: Where they are kept for a while; closed with this.
        reads: How many are fetched at once.
    """

    cache: ImageCache

    def __init__(self, source: ImageSource, cache: ImageCache, *, reads: int = FETCH_THREADS) -> None:
        super().__init__(source)
        self.cache = cache
        self._pool = ThreadPoolExecutor(reads, thread_name_prefix="lapel-fetch")
        self._tokens: dict[str, Future[str]] = {}
        self._reads: dict[str, Future[bytes | None]] = {}
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()
        self._held = 0

    def expect(self, names: Iterable[str]) -> None:
        """Ask ahead for these files' version tokens, where each takes a request of its own."""
        if not self.source.asks_for_token:
            return
        for name in names:
            try:
                uri = self.source.find(name)
            except SourceError:
                continue  # the error comes when its token is asked for
            if uri not in self._tokens:
                self._tokens[uri] = self._pool.submit(self.source.version_token, uri)

    def prefetch(self, uris: Iterable[str]) -> None:
        """Fetch these files now."""
        for uri in uris:
            if uri not in self._reads:
                self._reads[uri] = self._pool.submit(self._bring, uri)

    def version_token(self, uri: str) -> str:
        """A short text that changes whenever the bytes do; waited for when it was expected."""
        coming = self._tokens.pop(uri, None)
        made = coming.result() if coming else self.source.version_token(uri)
        self._known[uri] = made
        return made

    def read(self, uri: str) -> bytes:
        """The bytes of a photo: what was fetched ahead, else from the cache, else fetched now."""
        coming = self._reads.pop(uri, None)
        data = coming.result() if coming else None
        if data is None:
            return self._fetch(uri)
        with self._lock:
            self._held -= len(data)
        return data

    def close(self) -> None:
        """Stop what is under way, and let go of the source and the cache."""
        self._pool.shutdown(cancel_futures=True)
        self.source.close()
        self.cache.close()

    def _bring(self, uri: str) -> bytes | None:
        """Fetch ahead of the reader; None when too much is waiting in memory, and it is in the cache instead."""
        data = self._fetch(uri)
        with self._lock:
            if self._held + len(data) > WAITING_BYTES:
                return None
            self._held += len(data)
        return data

    def _fetch(self, uri: str) -> bytes:
        token = self._known.get(uri) or self.source.version_token(uri)
        data = self.cache.get(uri, token)
        if data is None:
            data = self.source.read(uri)
            self.cache.put(uri, token, data)
        return data
