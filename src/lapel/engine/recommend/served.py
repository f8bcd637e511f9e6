"""Keeps lists that were shown a moment in memory and writes them together, so that nobody waits for the disk.

A process that is killed loses those of its last second; events that come from them are kept all the same.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

from lapel.catalog.events import EventLog, ServedList
from lapel.core.errors import StoreError

logger = logging.getLogger(__name__)

WAIT = 1.0  # seconds that a list waits for others
MAX_WAITING = 5_000  # lists, while another process writes; then the oldest are lost, and it is said


class ServedLog:
    """The lists of one store that wait to be written. Safe to share between threads.

    Args:
        log: Where they are written.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: deque[tuple[ServedList, str | None]] = deque()
        self._timer: threading.Timer | None = None
        self._closed = False

    def put(self, served: ServedList, person: str | None) -> None:
        """Keep a list with whom it was shown to."""
        with self._lock:
            self._waiting.append((served, person))
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                logger.warning("Events cannot be written: a list that was shown is not kept for replay.")
            self._begin()

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:
            with self._lock:
                some = list(self._waiting)
                self._waiting.clear()
                self._timer = None
            if not some:
                return
            try:
                self._log.serve([one for one, _ in some], [person for _, person in some])
            except StoreError as error:
                logger.info("Served lists wait: %s", error)
                with self._lock:
                    self._waiting.extendleft(reversed(some))
                    self._begin()

    def close(self) -> None:
        """Write what waits. Closing twice is fine."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
        self.flush()

    def _begin(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = threading.Timer(WAIT, self.flush)
            self._timer.daemon = True
            self._timer.start()
