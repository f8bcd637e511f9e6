"""What indexes share: the checks, and for those in memory a lock for many readers or one writer and a file.

The lock is our own: PyPI's ``readerwriterlock`` would be one more dependency for what the class below does.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors, check_keys, check_vectors
from lapel.indexes.files import Content, damaged, read_checked, write_checked
from lapel.indexes.rows import RowFilter, check_dim, check_k, last_of_each

MAX_ROWS = 2**31


class ReadWriteLock:
    """Readers together, writers alone; readers that come while a writer waits go after it."""

    def __init__(self) -> None:
        self._entry = threading.Lock()  # a writer holds it from when it begins to wait
        self._state = threading.Condition()
        self._readers = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """As one of many."""
        with self._entry, self._state:
            self._readers += 1
        try:
            yield
        finally:
            with self._state:
                self._readers -= 1
                self._state.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Alone."""
        with self._entry, self._state:
            self._state.wait_for(lambda: not self._readers)
            yield


class BaseIndex(ABC):
    """An index that checks what it is given. See :class:`lapel.indexes.VectorIndex`.

    A subclass fills in the methods with an underscore; they are called with checked arguments, inside ``_access``.

    Args:
        dim: Width of the vectors.
    """

    def __init__(self, *, dim: int) -> None:
        self._dim = check_dim(dim)
        self._rows_at_once = MAX_ROWS  # that are put while nobody searches
        self._closed = False

    @property
    def dim(self) -> int:
        """See :class:`lapel.indexes.VectorIndex`, as of what follows."""
        return self._dim

    @property
    def keys(self) -> Keys:
        """Every key; a copy."""
        with self._access():
            return self._sorted_keys()

    def __len__(self) -> int:
        """How many vectors there are."""
        with self._access():
            return self._count()

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add or replace vectors."""
        given = check_vectors(vectors, self._dim)
        distinct, last = last_of_each(check_keys(keys, len(given)))
        if not np.array_equal(last, np.arange(len(given))):
            given = given[last]
        step = self._rows_at_once  # which background work may change meanwhile
        for at in range(0, len(distinct), step):
            with self._access(changes=True):
                self._put(distinct[at : at + step], given[at : at + step])

    def remove(self, keys: Keys) -> int:
        """Remove these keys and return how many were there."""
        removed = np.unique(check_keys(keys))
        with self._access(changes=True):
            return self._drop(removed)

    def search(self, queries: Vectors, k: int, allowed_keys: Keys | RowFilter | None = None) -> Matches:
        """The k best for each query."""
        checked = check_vectors(queries, self._dim)
        check_k(k)
        row_filter = RowFilter.of(allowed_keys)
        with self._access():
            return self._search(checked, k, row_filter)

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("This index is closed. Open it again with open_index.")

    @abstractmethod
    def _access(self, *, changes: bool = False) -> AbstractContextManager[None]:
        """What a look at the open index, or a change of it, happens in."""

    @abstractmethod
    def _count(self) -> int: ...

    @abstractmethod
    def _sorted_keys(self) -> Keys: ...

    @abstractmethod
    def _put(self, keys: Keys, vectors: Vectors) -> None:
        """Add or replace vectors under sorted keys, each once. ``vectors`` may be the caller's own array."""

    @abstractmethod
    def _drop(self, keys: Keys) -> int:
        """Remove sorted keys, each once; how many were there."""

    @abstractmethod
    def _search(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches: ...


class MemoryIndex(BaseIndex):
    """An index in this process's memory that is kept in one file. Readers run together, writers alone.

    Args:
        dim: Width of the vectors.
        path: The file to load from and save to.
    """

    kind: str  # what opens it; its file says so

    def __init__(self, *, dim: int, path: Path | None) -> None:
        super().__init__(dim=dim)
        self._path = path
        self._lock = ReadWriteLock()
        self._saving = threading.Lock()

    def save(self, path: Path | None = None) -> None:
        """Write to ``path``, or to the one it was opened with: wholly, or not at all. Everything goes on meanwhile.

        Raises:
            InputError: neither is given.
            OSError: it cannot be written.
        """
        with self._saving:
            with self._access():
                content = self._content()
            write_checked(path or self._path, {"kind": self.kind, "dim": self._dim, **content})

    def load(self) -> None:
        """Fill this empty index from its file, if there is one.

        Raises:
            InputError: the file is damaged, or of another kind or width.
        """
        if self._path is not None and self._path.exists():
            content = read_checked(self._path, self.kind, self._dim)
            try:
                self._restore(content)
            except (ValueError, KeyError, TypeError, RuntimeError) as error:
                raise damaged(self._path, error) from error

    def close(self) -> None:
        """Let go of memory. Closing twice is fine; unsaved changes are lost."""
        with self._lock.writing():
            self._closed = True
            self._clear()

    @contextmanager
    def _access(self, *, changes: bool = False) -> Iterator[None]:
        with self._lock.writing() if changes else self._lock.reading():
            self._check_open()
            yield

    @abstractmethod
    def _content(self) -> Content:
        """What a file holds; later changes leave its arrays as they are."""

    @abstractmethod
    def _restore(self, content: Content) -> None:
        """Take in what :meth:`_content` gave."""

    @abstractmethod
    def _clear(self) -> None:
        """Let go of memory."""
