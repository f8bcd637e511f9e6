"""The small pictures of a store brought up to date: what is missing is made, what is of no photo any more goes, the
bound holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lapel.core.errors import InputError
from lapel.core.images import decode, thumbnails
from lapel.core.types import Photo
from lapel.engine.context import StoreContext
from lapel.sources import read_uri

PAGE = 256  # photos looked at together
READERS = 8  # pictures read at once: links wait for their server, not for this machine


@dataclass(frozen=True)
class Filled:
    """What was done.

    Attributes:
        made: Photos that got small pictures.
        failed: Photos that could not be read, each with the reason.
    """

    made: int
    failed: tuple[tuple[Photo, str], ...]


def fill_thumbnails(store: StoreContext, *, report: Callable[[int, int], None] | None = None) -> Filled:
    """Make the small pictures that are missing.

    Args:
        store: The store.
        report: Called with how many photos were looked at, and how many there are.

    Raises:
        StoreReadOnlyError: nothing can be written there.
    """
    total, done, made = store.catalog.counts().photos, 0, 0
    failed: list[tuple[Photo, str]] = []
    hashes: list[str] = []
    with ThreadPoolExecutor(READERS) as pool:
        for page in photo_pages(store):
            known = store.thumbnails.has(photo.sha256 for photo in page)
            missing = list({photo.sha256: photo for photo in page if photo.sha256 not in known}.values())
            found = dict(zip(missing, pool.map(_make, missing), strict=True))
            small = {photo.sha256: each for photo, each in found.items() if not isinstance(each, str)}
            store.thumbnails.put(small)
            failed += [(photo, each) for photo, each in found.items() if isinstance(each, str)]
            made, done = made + len(small), done + len(page)
            hashes += [photo.sha256 for photo in page]
            if report is not None:
                report(done, total)
    store.thumbnails.trim(keep=hashes)
    return Filled(made, tuple(failed))


def photo_pages(store: StoreContext, *, size: int = PAGE) -> Iterator[list[Photo]]:
    """Every photo by rising key, some at a time; photos may come and go meanwhile."""
    after = 0
    while page := store.catalog.hosting.photos(after=after, limit=size):
        after = page[-1].key
        yield page


def _make(photo: Photo) -> dict[int, bytes] | str:
    """A photo's small pictures, or why there are none."""
    try:
        return thumbnails(decode(read_uri(photo.uri)))
    except InputError as error:
        return str(error)
