"""Locks beside the catalogue: one writer a store, one process at a time that brings another model into it, and one that
brings an index that several processes share up to the catalogue.

The operating system lets go of a lock when its process ends, however it ends, so a killed run never blocks the next
one.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from lapel.core.errors import StoreBusyError, StoreReadOnlyError

WRITER = "writer"  # writer.lock is the lock; writer.json says who holds it, for the message
MODEL = "model"
INDEX = "index"
REQUEST = "request"
REQUEST_LOCK_SECONDS = 10.0  # seconds that a request waits for those before it
INDEX_LOCK_SECONDS = 600.0  # seconds to wait for another process that fills the shared index


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Be the only writer of the store in ``folder``.

    Raises:
        StoreBusyError: another process is; the message says which.
        StoreReadOnlyError: no lock file can be made there.
    """
    with _lock(folder, WRITER, "writing to"):
        yield


@contextmanager
def request_lock(folder: Path) -> Iterator[None]:
    """Be the only process that changes products of the store in ``folder`` for a request; waits a while for others.

    Raises:
        StoreBusyError: others have been at it for long; the message says which.
        StoreReadOnlyError: no lock file can be made there.
    """
    with _lock(folder, REQUEST, "changing products of", patience=REQUEST_LOCK_SECONDS):
        yield


@contextmanager
def model_lock(folder: Path, *, work: str) -> Iterator[None]:
    """Be the only one to bring another model into the store in ``folder``. Adding products goes on beside it.

    Args:
        folder: The store.
        work: What is being done, for those who look.

    Raises:
        StoreBusyError: another process does; the message says which.
        StoreReadOnlyError: no lock file can be made there.
    """
    # A second's patience: who only looks (model_work) holds it for a moment.
    with _lock(folder, MODEL, "changing the model of", work=work, patience=1.0):
        yield


@contextmanager
def index_lock(folder: Path) -> Iterator[None]:
    """Be the only one to change an index that all processes of the store in ``folder`` share; waits for another one.

    Raises:
        StoreBusyError: another process has been at it for ten minutes.
        StoreReadOnlyError: no lock file can be made there.
    """
    with _lock(folder, INDEX, "filling the index of", patience=INDEX_LOCK_SECONDS):
        yield


def model_work(folder: Path) -> str:
    """What the holder of the model's lock does, who it is and since when; empty when nobody holds it."""
    lock = FileLock(folder / f"{MODEL}.lock", timeout=0)
    if not (folder / f"{MODEL}.json").exists():
        return ""
    try:
        lock.acquire()
    except Timeout:
        return f"{_read_holder(folder, MODEL).get('work', '')}{_holder(folder, MODEL)}"
    except OSError:  # nobody can lock in a folder that may not be written to
        return ""
    lock.release()
    return ""


@contextmanager
def _lock(folder: Path, name: str, doing: str, *, work: str = "", patience: float = 0) -> Iterator[None]:
    # Not thread-local: a run's worker threads belong to the one that took the lock.
    lock = FileLock(folder / f"{name}.lock", timeout=patience, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreBusyError(
            f"Another process is {doing} the store {folder}{_holder(folder, name)}. Wait until it is done, or stop it;"
            f" nothing was changed."
        ) from error
    except OSError as error:
        raise StoreReadOnlyError(
            f"The store {folder} may not be written to: {error.strerror or error}. Choose another folder with --store."
        ) from error
    holder = folder / f"{name}.json"
    try:
        who = {
            "process": os.getpid(),
            "machine": socket.gethostname(),
            "since": datetime.now().astimezone().isoformat(" ", "seconds"),
            "work": work,
        }
        with suppress(OSError):  # on a full disk the lock holds all the same
            holder.write_text(json.dumps(who), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _read_holder(folder: Path, name: str) -> dict[str, str]:
    """What the holder of a lock wrote down; nothing when it did not, or not yet all of it."""
    try:
        facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return {key: str(value) for key, value in facts.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _holder(folder: Path, name: str) -> str:
    """Who holds a lock, in words; empty when it is not known."""
    who = _read_holder(folder, name)
    if not {"process", "machine", "since"} <= who.keys():
        return ""
    return f" (process {who['process']} on {who['machine']}, since {who['since']})"
