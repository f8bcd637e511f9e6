"""Keeps what others like, and how much that counts, as events come: what takes seconds is done beside the answers, by
one thread, and kept with the events for other processes.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from lapel.catalog.events import EventLog
from lapel.core.errors import StoreError
from lapel.engine.recommend import rows
from lapel.engine.recommend.asking import AUTO, RowSettings
from lapel.engine.recommend.blend import Blend, choose_blend
from lapel.engine.recommend.collaborative import ItemItem
from lapel.engine.recommend.table import ProductTable

logger = logging.getLogger(__name__)

KEPT = "blend"  # the events' setting, JSON
REFRESH = 300.0  # seconds after which what others like is learned again, if there were events
LOOK_AGAIN = 30.0  # seconds for whether another process found another weight
MOST_GROWTH = 1.5  # times as many events as when the weight was found, from which it is looked for again
LEAST_EVENTS = 1_000  # before it is looked for at all


class BlendKeeper:
    """What others like in one store. Safe to share between threads.

    Args:
        log: The events.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._learned: tuple[float, tuple[int, int], ItemItem] | None = None
        self._view: tuple[ProductTable, ItemItem] | None = None  # of what was learned, for the table that is asked for
        self._known: tuple[float, int] = (0.0, 0)  # the weight, and the newest event when it was found
        self._read_at = float("-inf")
        self._pool: ThreadPoolExecutor | None = None
        self._work: Future[object] | None = None
        self._closed = False

    def weight(self, settings: RowSettings) -> float:
        """What others count."""
        if settings.collaborative != AUTO:
            return float(settings.collaborative)
        return self._kept()[0]

    def others(self, table: ProductTable, now: float) -> ItemItem:
        """What people like who like the same, learned when a process first needs it, and beside the answers later on:
        until then a product that came since goes without."""
        with self._lock:
            known, view = self._learned, self._view
        if known is None:
            known, view = self._learn(table, now), None
        elif now - known[0] >= REFRESH and self._log.version() != known[1]:
            self._aside(lambda: self._learn(table, now))
        if view is None or view[0] is not table:
            view = (table, known[2].on(table))
            with self._lock:
                if self._learned is known:
                    self._view = view
        return view[1]

    def renew(self, shop: Callable[[], rows.Shop]) -> None:
        """Look for the weight again, beside the answers, where there are many more events than when it was found."""
        newest = self._log.version()[0]
        if newest >= max(LEAST_EVENTS, MOST_GROWTH * self._kept()[1]):
            self._aside(lambda: self.tune(shop()))

    def tune(self, shop: rows.Shop) -> Blend:
        """Look for the weight now, and keep it.

        Raises:
            StoreReadOnlyError: nothing may be written.
        """
        newest = self._log.version()[0]
        found = choose_blend(shop, self._log.interactions(), stopped=lambda: self._closed)
        if found is None:
            return Blend()
        self._log.set_setting(KEPT, json.dumps({"weight": found.weight, "events": newest}))
        with self._lock:
            self._known = (found.weight, newest)
        logger.info("What others like counts %g in rows for people: %s", found.weight, found)
        return found

    def close(self) -> None:
        """Stop what is done beside. Closing twice is fine."""
        self._closed = True
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def _kept(self) -> tuple[float, int]:
        with self._lock:
            if time.monotonic() - self._read_at >= LOOK_AGAIN:
                self._read_at = time.monotonic()
                text = self._log.setting(KEPT)
                if text:
                    told = json.loads(text)
                    self._known = (float(told["weight"]), int(told["events"]))
            return self._known

    def _learn(self, table: ProductTable, now: float) -> tuple[float, tuple[int, int], ItemItem]:
        made = (now, self._log.version(), ItemItem(table, self._log.interactions()))
        with self._lock:
            self._learned, self._view = made, None
        return made

    def _aside(self, work: Callable[[], object]) -> None:
        """Do something beside the answers, unless something is being done."""

        def done() -> object:
            try:
                return work()
            except StoreError as error:  # another process writes, or the store is gone: it is tried again
                logger.info("What others like is as before: %s", error)
                return None

        with self._lock:
            if self._closed or (self._work is not None and not self._work.done()):
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="lapel-others")
            self._work = self._pool.submit(done)
