"""Products and photos that were read lately, kept in memory for as long as the change log says that they are so.

A search shows ten products, and reading one from SQLite and decoding it takes 20 us where looking it up here takes a
fraction of one. Other processes write the same file, so every question first asks for the newest change: what is kept
of products that were changed since is dropped, and all of it where that is no longer known.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence

from lapel.catalog import lookup
from lapel.catalog.history import latest_sequence, products_changed
from lapel.core.types import Photo, Product

MAX_ENTRIES = 81_920  # photos with their products, at 2 kB each with ten attributes; half of them are sure to be kept

Entries = dict[int, tuple[Product, Photo]]


class EntryCache:
    """What each key stands for, as of the moment that an open snapshot sees. Safe to share between threads.

    Entries are kept in two halves. When the newer one is full it becomes the older one, and what that held and nobody
    asked for since is forgotten.

    Args:
        most: How many photos to keep.
    """

    def __init__(self, most: int = MAX_ENTRIES) -> None:
        self._half = max(1, most // 2)
        self._newer: Entries = {}
        self._older: Entries = {}
        self._sequence = -1  # of the newest change that is taken account of
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def get(self, database: sqlite3.Connection, keys: Sequence[int]) -> Entries:
        """The product and photo of each key in their order; keys that are gone are left out.

        Args:
            database: Inside a snapshot of the catalogue.
            keys: Photo keys.
        """
        with self._lock:
            sequence = self._catch_up(database)
            found = self._known(keys)
        missing = [key for key in keys if key not in found]
        if missing:
            read = lookup.entries(database, json.dumps(missing))
            found |= read
            with self._lock:
                if self._sequence == sequence:  # else another thread sees a later moment than this snapshot
                    self._keep(read)
        return {key: found[key] for key in keys if key in found} if missing else found

    def _catch_up(self, database: sqlite3.Connection) -> int:
        """Drop what was changed since, and return the newest change that the snapshot sees."""
        sequence = latest_sequence(database)
        if sequence != self._sequence:
            changed = products_changed(database, self._sequence) if sequence > self._sequence else None
            if changed is None:
                self._newer, self._older = {}, {}
            elif changed:
                self._newer, self._older = (
                    {key: entry for key, entry in half.items() if entry[0].id not in changed}
                    for half in (self._newer, self._older)
                )
            self._sequence = sequence
        return sequence

    def _known(self, keys: Sequence[int]) -> Entries:
        newer, older = self._newer, self._older
        found = {key: newer[key] for key in keys if key in newer}
        again = {key: older[key] for key in keys if key in older and key not in found} if len(found) < len(keys) else {}
        if not again:
            return found
        self._keep(again)
        found |= again
        return {key: found[key] for key in keys if key in found}

    def _keep(self, entries: Entries) -> None:
        if len(self._newer) + len(entries) > self._half:
            self._older, self._newer = self._newer, {}
        if len(entries) <= self._half:
            self._newer.update(entries)
