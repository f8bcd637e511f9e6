"""Indexes: unit vectors under integer keys, searched by inner product. They know nothing of products.

``open_index("faiss:Flat", dim=128)`` for work, ``open_index("exact:", dim=128)`` for the numpy reference all others are
compared with, ``open_index("torch:")`` for exact search on a GPU, ``open_index("milvus://host:19530")`` for vectors
that live on a server.

Inside, a growing index is a table of keys, a structure over the first rows and a scan of the rest, the tail::

    exact     milvus     growing  =  table  +  structure  +  tail
                                               |
                                               graph (cells, kernels), compressed, device     what a choice names

    all       ->  base  ->  files, rows                     neighbours (hash_chunks, spherical): kept in no file
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

from lapel.core.registry import Backend, Registry
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.rows import RowFilter

__all__ = [
    "INDEXES",
    "ExternalIndex",
    "MaintainedIndex",
    "RowFilter",
    "VectorIndex",
    "current_spec",
    "is_external",
    "open_index",
]

INDEXES = Registry(
    "index",
    {
        "exact": Backend("lapel.indexes.exact:ExactIndex"),
        "faiss": Backend("lapel.indexes.growing:open_faiss"),
        "milvus": Backend("lapel.indexes.milvus:MilvusIndex", "milvus"),
        "torch": Backend("lapel.indexes.device:open_torch", "gpu"),
    },
    "lapel.indexes",
)


class VectorIndex(Protocol):
    """What every index can do. Keys are int64, vectors (n, dim) float32 unit rows; callers' arrays never change."""

    @property
    def dim(self) -> int:
        """Width of the vectors."""

    @property
    def keys(self) -> Keys:
        """Every key, (n,) int64, sorted."""

    def __len__(self) -> int:
        """How many vectors there are."""

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add (n,) keys with (n, dim) vectors; a key that is there gets the new vector; the last of equal keys counts.

        Raises:
            InputError: keys or vectors that cannot be used; then nothing is added.
        """

    def remove(self, keys: Keys) -> int:
        """Remove these keys and return how many were there."""

    def search(self, queries: Vectors, k: int, allowed_keys: Keys | RowFilter | None = None) -> Matches:
        """The k best for each of (q, dim) queries, only among ``allowed_keys`` when given; unknown keys are ignored.

        Who asks often under one filter keeps a :class:`RowFilter`, in which the index keeps what it found out.

        Returns:
            (q, k), by descending score, then ascending key; padded with -1 and -inf only where fewer than k exist.

        Raises:
            InputError: queries that are not (q, dim) unit rows, or keys that are none.
            QueryError: k below one.
        """

    def save(self, path: Path | None = None) -> None:
        """Write to ``path``, or to the one it was opened with, atomically."""

    def close(self) -> None:
        """Let go of memory and files. Closing twice is fine; unsaved changes are lost."""


@runtime_checkable
class ExternalIndex(Protocol):
    """What a :class:`VectorIndex` without a file can do besides.

    What is added is there for every process at once, and after a restart. ``path`` is its name.
    """

    def get_version_tag(self) -> str:
        """A short text kept with the vectors, in which a store writes what they are complete for; empty at first."""

    def set_version_tag(self, text: str) -> None:
        """Keep another text."""

    def drop(self) -> None:
        """Remove everything, wherever it is kept, and close."""


@runtime_checkable
class MaintainedIndex(Protocol):
    """An index that does work in the background: it builds, merges and tunes while it is searched."""

    problem: str  # why the last work failed, empty when it did not; the index goes on with what it has

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until the background work is done; false when it is not within ``timeout`` seconds."""


@cache  # every search asks
def is_external(spec: str) -> bool:
    """Whether indexes of this kind are :class:`ExternalIndex`: their class says so by an attribute of that name."""
    return bool(getattr(INDEXES.find(spec.partition(":")[0]), "is_external", False))


def explain(spec: str, *, count: int, dim: int) -> str:
    """What an index of this kind keeps so many vectors in, and why; nothing for kinds that do not choose."""
    from lapel.indexes.choice import Plan

    if spec == "faiss:Flat" or not spec.startswith("faiss:"):
        return ""
    return Plan.parse(spec.removeprefix("faiss:"), dim).choose(count).why


@cache
def current_spec(spec: str) -> str:
    """A spec that a store of before may name -> how it is opened now: what FAISS could build and Lapel builds no more
    is ``faiss:auto``."""
    from lapel.indexes import choice

    return choice.current_spec(spec) if spec.startswith("faiss:") else spec


def open_index(spec: str, *, dim: int = 128, path: Path | None = None) -> VectorIndex:
    """Open an index, from ``path`` when there is a saved one, else empty.

    Args:
        spec: ``exact:``, ``faiss:Flat`` (exact too, and quick), ``faiss:auto`` (chooses as it grows),
            ``faiss:HNSW16``, ``faiss:HNSW16_SQfp16`` or ``faiss:IVF1024,PQ32x4fs``; options follow a question mark,
            such as ``faiss:auto?recall=0.99&memory=4GB``; ``torch:`` (exact, on a GPU); ``milvus://lite``,
            ``milvus:///file.db`` or ``milvus://host:port/database``.
        dim: Width of the vectors.
        path: The file to load from and save to; without it the index lives in memory. For Milvus, the name under which
            it stays.

    Raises:
        InputError: an unknown spec, or a saved index of another width or kind, or a damaged file.
        MissingDependencyError: the backend's library is not installed.
        IndexUnavailableError: a server does not answer.
    """
    scheme, _, rest = spec.partition(":")
    index: VectorIndex = INDEXES.find(scheme)(rest, dim=dim, path=path)
    return index
