"""The thumbnails of a store brought up to date: what is missing is made, what is of no photo any more goes, the bound
holds."""

from __future__ import annotations

from collections.abc import Iterator

from lapel.core.types import Photo
from lapel.engine.backfill import BackfillReport, Progress, backfill
from lapel.engine.context import StoreContext
from lapel.engine.features import THUMBNAIL

PAGE = 256  # photos asked of the catalogue at once


def fill_thumbnails(store: StoreContext, *, report: Progress | None = None) -> BackfillReport:
    """Make the thumbnails that are missing, and drop those that are of no photo.

    Args:
        store: The store; nothing is made where its thumbnails may take no room.
        report: Called with how many photos are done, and how many there are.

    Raises:
        StoreReadOnlyError: nothing can be written there.
    """
    done = backfill(store, THUMBNAIL, progress=report) if store.thumbnails.most else BackfillReport()
    store.thumbnails.trim(keep=[photo.sha256 for page in photo_pages(store) for photo in page])
    return done


def photo_pages(store: StoreContext, *, size: int = PAGE, shown: bool = False) -> Iterator[list[Photo]]:
    """Every photo by rising key, some at a time; with ``shown`` not those of products that are not shown.

    Photos may come and go meanwhile.
    """
    after = 0
    while page := store.catalog.hosting.photos(after=after, limit=size, shown=shown):
        after = page[-1].key
        yield page
