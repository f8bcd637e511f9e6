"""The shop's store, opened once for all visitors and for the routes beside the page."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

from lapel.core.errors import StoreBusyError, StoreReadOnlyError
from lapel.service import Store, open_store, store_exists

MOST_STORES = 4  # opened at once: one, and those that were swapped under the page

_stores: OrderedDict[tuple[str, int, bool], Store] = OrderedDict()
_runners: dict[int, Any] = {}
_lock = threading.Lock()


def open_shop(folder: Path, *, write: bool = False) -> Store:
    """The store of a shop folder: opened once, and again when the folder was made anew.

    Args:
        folder: Where it is.
        write: Open it for writing where that is possible.

    Raises:
        LapelError: there is no store, or it cannot be used.
    """
    key = (str(folder), store_exists(folder), write)
    with _lock:
        if key in _stores:
            _stores.move_to_end(key)
            return _stores[key]
        store = _opened(folder, write)
        store.check_model()  # a store of another model is refused here, not at the first search
        _stores[key] = store
        while len(_stores) > MOST_STORES:  # not closed: a visitor's run may still be reading it
            _stores.popitem(last=False)
        return store


def _opened(folder: Path, write: bool) -> Store:
    if write:
        with suppress(StoreReadOnlyError, StoreBusyError):
            return open_store(folder)
    return open_store(folder, read_only=None)


def run_jobs(store: Store) -> None:
    """Do the store's jobs in this process from now on, once however often it is asked."""
    with _lock:
        if id(store) not in _runners:
            _runners[id(store)] = (store.run_jobs(), store)


def close_all() -> None:
    """Let go of every store, and end the work on jobs: a job under way goes on with the next process."""
    with _lock:
        for runner, _ in _runners.values():
            runner.close()
        _runners.clear()
        for store in _stores.values():
            store.close()
        _stores.clear()
