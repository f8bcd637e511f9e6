"""Pictures that move, in a store: addresses change, vectors stay."""

from __future__ import annotations

from lapel.catalog import writer_lock
from lapel.catalog.hosting import MoveReport
from lapel.engine.context import StoreContext
from lapel.sources.address import prefixes


def move(store: StoreContext, old: str, new: str, *, keep: bool = True) -> MoveReport:
    """Tell a store that its pictures, or the links to them, moved from one place to another.

    Args:
        store: The store.
        old: The folder, the ZIP or the beginning of the addresses where they were.
        new: The same, where they are.
        keep: Write it down; false only counts.

    Raises:
        SourceError: a place is missing, or both are the same.
        InputError: a product has a photo at the new address already; nothing was changed.
        StoreBusyError: another process adds to the store.
    """
    pairs = prefixes(old, new)
    if not keep:
        return store.catalog.hosting.move(pairs, keep=False)
    with writer_lock(store.folder):
        return store.catalog.hosting.move(pairs)
