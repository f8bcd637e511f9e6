"""Sources across a network as if they were here: many pictures are read at once, ahead of who needs them, through one
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
from lapel.sources import ImageSource, Links, display_links
from lapel.sources.cache import PictureCache, open_cache

READS = 32  # pictures under way at once: at 50 ms each, 640 a second, more than two cores encode
HELD = 64 * 2**20  # bytes of pictures that wait in memory for their reader; more wait on disk

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


def in_order(source: ImageSource, uris: Sequence[str], count: int = 8 * READS) -> Callable[[str], bytes]:
    """A source's ``read`` for who goes through these pictures in their order: reading one fetches the next ``count`` of
    them."""
    prefetch: Callable[[Sequence[str]], None] | None = getattr(source, "prefetch", None)
    if prefetch is None:
        return source.read
    place = {uri: number for number, uri in enumerate(uris)}
    begun = 0

    def read(uri: str) -> bytes:
        nonlocal begun
        here = place[uri]
        prefetch(uris[max(begun, here) : here + count])
        begun = max(begun, here + count)
        return source.read(uri)

    return read


def streamed(source: ImageSource) -> Streamed:
    """A remote source with the cache that the environment names."""
    cache = open_cache()
    if hasattr(source, "cache"):  # it asks servers with what the cache knows
        source.cache = cache
    return Streamed(source, cache)


class Streamed:
    """A remote source, read ahead and through a cache.

    Args:
        source: Where the pictures are.
        cache: Where they are kept for a while; closed with this.
        reads: How many are fetched at once.
    """

    remote = True

    def __init__(self, source: ImageSource, cache: PictureCache, *, reads: int = READS) -> None:
        self.source, self.cache = source, cache
        self._pool = ThreadPoolExecutor(reads, thread_name_prefix="lapel-fetch")
        self._stamps: dict[str, Future[str]] = {}
        self._reads: dict[str, Future[bytes | None]] = {}
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()
        self._held = 0

    @property
    def scheme(self) -> str:
        """What its addresses begin with."""
        return str(getattr(self.source, "scheme", ""))

    @property
    def where(self) -> str:
        """What people call it."""
        return self.source.where

    @property
    def ignored(self) -> int:
        """How many files were passed over."""
        return self.source.ignored

    @property
    def skipped(self) -> dict[str, int]:
        """The same by kind, where the source knows kinds."""
        return dict(getattr(self.source, "skipped", {}))

    @property
    def unreadable(self) -> dict[str, str]:
        """Folders that cannot be read, with the reasons."""
        return dict(getattr(self.source, "unreadable", {}))

    @property
    def renamed(self) -> int:
        """How many names were found that are written otherwise there."""
        return int(getattr(self.source, "renamed", 0))

    def walk(self) -> Iterator[str]:
        """Every picture's URI."""
        return self.source.walk()

    def count(self) -> int:
        """How many pictures a walk gives."""
        return self.source.count()

    def lists(self, uri: str) -> bool:
        """Whether a walk gives this picture."""
        return self.source.lists(uri)

    def find(self, name: str) -> str:
        """The URI of the file that a table names."""
        return self.source.find(name)

    def find_id(self, product_id: str) -> str:
        """The URI of the picture called like a product."""
        return self.source.find_id(product_id)

    def path(self, uri: str) -> tuple[str, ...]:
        """Folder names and file name of a URI."""
        return self.source.path(uri)

    def links(self, uri: str) -> Links:
        """Where a browser finds the picture."""
        return display_links(self.source, uri)

    def expect(self, names: Iterable[str]) -> None:
        """Say which pictures' stamps will be asked for. Only where a stamp takes asking is anything done."""
        if not getattr(self.source, "asks", False):
            return
        for name in names:
            try:
                uri = self.source.find(name)
            except SourceError:
                continue  # said when it is asked for
            if uri not in self._stamps:
                self._stamps[uri] = self._pool.submit(self.source.version_token, uri)

    def prefetch(self, uris: Iterable[str]) -> None:
        """Say which pictures will be read, so that they are fetched now."""
        for uri in uris:
            if uri not in self._reads:
                self._reads[uri] = self._pool.submit(self._bring, uri)

    def version_token(self, uri: str) -> str:
        """A short text that changes whenever the bytes do; waited for when it was expected."""
        coming = self._stamps.pop(uri, None)
        made = coming.result() if coming else self.source.version_token(uri)
        self._known[uri] = made
        return made

    def read(self, uri: str) -> bytes:
        """The bytes of a picture: what was fetched ahead, else from the cache, else fetched now."""
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
            if self._held + len(data) > HELD:
                return None
            self._held += len(data)
        return data

    def _fetch(self, uri: str) -> bytes:
        stamp = self._known.get(uri) or self.source.version_token(uri)
        data = self.cache.get(uri, stamp)
        if data is None:
            data = self.source.read(uri)
            self.cache.put(uri, stamp, data)
        return data
