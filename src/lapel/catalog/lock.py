"""One writer a store: a lock file beside the catalogue, held for as long as a command adds to it.

The operating system lets go of the lock when its process ends, however it ends, so a killed run never blocks the next one.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from lapel.core.errors import StoreBusy, StoreReadOnly

LOCK = "writer.lock"
HOLDER = "writer.json"  # who holds it, for the message; the lock itself is in LOCK


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Be the only writer of the store in ``folder``.

    Raises:
        StoreBusy: another process is; the message says which.
        StoreReadOnly: no lock file can be made there.
    """
    # Not thread-local: a run's worker threads belong to the one that took the lock.
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreBusy(
            f"Another process is writing to the store {folder}{_holder(folder)}. Wait until it is done, or stop it; nothing was changed."
        ) from error
    except OSError as error:
        raise StoreReadOnly(
            f"The store {folder} may not be written to: {error.strerror or error}. Choose another folder with --store."
        ) from error
    try:
        who = {
            "process": os.getpid(),
            "machine": socket.gethostname(),
            "since": datetime.now().astimezone().isoformat(" ", "seconds"),
        }
        (folder / HOLDER).write_text(json.dumps(who), encoding="utf-8")
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    """Who holds the lock, in words; empty when they did not say."""
    try:
        who = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f" (process {who['process']} on {who['machine']}, since {who['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
