"""A graph of near neighbours that grows in place while it is searched: HNSW (Malkov and Yashunin 2016).

Every row has links to 32 near rows, every 64th row also to 32 of these, and so on; a search goes from the few rows of
the highest level down, always with several candidates at once. It finds its way by vectors of a byte a number, which
take a quarter of the memory's time, and ranks what it found by the vectors as they are kept. The loops are in
:mod:`lapel.indexes.kernels`.

Beside the links the rows are parted into cells, by which a filter is searched (:mod:`lapel.indexes.cells`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes import kernels
from lapel.indexes.cells import CellRows, Cells
from lapel.indexes.files import Content
from lapel.indexes.rows import Rows
from lapel.indexes.structure import (
    BLOCK_ROWS,
    TUNING_K,
    ReadRows,
    SearchParams,
    Structure,
    Wide,
    in_parts,
    read_blocks,
    sample,
    scan_rows,
    tune,
)

BUILD_WIDTH = 100  # candidates kept while a row is linked (efConstruction)
FIRST_ROWS = 1024  # that one thread links: several would link them to too few others
LINKED_TOGETHER = 64  # rows a thread links at a time
ASKED_TOGETHER = 32  # queries a thread searches at a time
WIDTHS = (12, 14, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 512)  # candidates (efSearch), as tuning tries it
TUNING_ROWS = 400  # that are asked for
RETUNE_GROWTH = 1.5  # after which cells and width are found again
ROOM = 1.125  # times as many rows as there are that room is made for

# Rows of a filter that lets many through are met on the way. Of one that lets fewer through, the rows in the cells
# around the query are compared with it: so many rows, of so many cells at least.
WIDE_SHARE = 0.3
NEW_SHARE = 0.05  # when it is asked for the first time: looking up its rows takes ten times a search
SCANNED_ROWS = 600
SCANNED_CELLS = 8
FAR_CELLS = 48  # of a filter that lets many rows through, but none near the query: whole groups of product
MAX_WIDTH = 4096  # candidates that are kept for it at most
WIDE_MARGIN = 2  # times as many candidates as hold the wanted rows on average
EVERY_ROW = Wide(np.empty(0, np.int64), 1.0)
EXTRA_CANDIDATES = 16  # of these rows beyond k that are ranked by their vectors
MAX_SCANNED_ROWS = 2_000  # of so many cells; beyond, the graph is as quick


class Arrays(NamedTuple):
    """What :mod:`lapel.indexes.kernels` works on, with room for more rows. Another one takes its place when the room is
    used up; who searches the old one meanwhile finds it whole."""

    codes: NDArray[np.int8]  # (room, dim)
    vectors: NDArray[Any]  # (room, dim) float32 or float16
    links: tuple[NDArray[np.int32], ...]  # of each level
    twins: NDArray[np.int32]

    @classmethod
    def of(cls, room: int, dim: int, dtype: Any, old: Arrays | None = None, count: int = 0) -> Arrays:
        """New ones, with ``count`` rows of old ones."""
        made = cls(
            np.empty((room, dim), np.int8),
            np.empty((room, dim), dtype),
            tuple(
                np.full((room // kernels.STRIDE**level + 1, kernels.LINKS), -1, np.int32)
                for level in range(kernels.LEVELS)
            ),
            np.full(room, -1, np.int32),
        )
        if old is not None:
            made.codes[:count], made.vectors[:count] = old.codes[:count], old.vectors[:count]
            made.twins[: len(old.twins)] = old.twins
            for new, links in zip(made.links, old.links, strict=True):
                new[: len(links)] = links[: len(new)]
        return made


class Graph(Structure):
    """``HNSW16`` with float32 vectors, ``HNSW16_SQfp16`` with vectors in half precision.

    Args:
        name: Which.
        dim: Width of the vectors.
        scale: What their numbers are multiplied with to fill a byte.
    """

    _cells: Cells  # found when it is tuned

    def __init__(self, name: str, dim: int, scale: float) -> None:
        self.name = name
        self._dim, self._scale = dim, scale
        self._wide = -(-dim // kernels.LANES) * kernels.LANES
        self._dtype = np.float16 if name.endswith("fp16") else np.float32
        self._count = 0
        self._arrays = Arrays.of(0, self._wide, self._dtype)
        self._locks = np.zeros(kernels.LOCKS, np.int32)
        self._recall, self._tuned_rows = 0.0, 0

    @classmethod
    def build(cls, name: str, count: int, read: ReadRows, *, recall: float) -> Graph:
        """See :meth:`Structure.build`."""
        some = read(sample(count, FIRST_ROWS))
        built = cls(name, some.shape[1], 127 / float(np.abs(some).max(initial=1e-3)))
        built._reserve(count)
        for block in read_blocks(count, read):
            built._append(block)
        built._recall = recall
        built._tune()
        return built

    def __len__(self) -> int:
        return self._count

    def extend(self, vectors: Vectors) -> None:
        """See :meth:`Structure.extend`: wholly, or not at all."""
        count, cells = self._count, self._cells
        try:
            self._append(vectors)
            if self._count >= RETUNE_GROWTH * self._tuned_rows:
                self._tune()
            else:
                self._cells = cells.extended(vectors)
        except BaseException:
            self._count, self._cells = count, cells
            raise

    def _append(self, vectors: Vectors) -> None:
        first, count = self._count, self._count + len(vectors)
        self._reserve(count)
        codes, held, links, twins = self._arrays
        held[first:count, : self._dim], held[first:count, self._dim :] = vectors, 0
        codes[first:count] = self._coded(held[first:count])
        starts = [first, *range(max(first + 1, FIRST_ROWS), count, LINKED_TOGETHER), count]

        def link(at: int) -> None:
            kernels.link(
                codes.reshape(-1), links, twins, self._wide, starts[at], starts[at + 1], BUILD_WIDTH, self._locks
            )

        link(0)
        in_parts(link, range(1, len(starts) - 1))
        self._count = count

    def _coded(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """(m, dim) vectors as whole numbers that fit a byte."""
        return np.rint(np.clip(vectors * np.float32(self._scale), -127, 127))

    def _reserve(self, count: int) -> None:
        if count > len(self._arrays.codes):
            room = max(count, int(ROOM * self._count))
            self._arrays = Arrays.of(room, self._wide, self._dtype, self._arrays, self._count)

    def _tune(self) -> None:
        self._tuned_rows = self._count
        self._cells = Cells.choose(self._count, self.vectors)
        trial, asked = self._without_links()
        tune(trial, [[SearchParams(width) for width in WIDTHS]], self._recall, asked)
        self.search_params = trial.search_params
        self._compile()

    def _without_links(self) -> tuple[Graph, Rows]:
        """A graph to tune, and rows to ask it for, which lost their links in it: a row's own links lead straight to its
        neighbours, where a query that is not held has to find them. Those of higher levels keep theirs."""
        others = np.flatnonzero(np.arange(self._count) % kernels.STRIDE)
        asked = others[sample(len(others), TUNING_ROWS)]
        trial = Graph(self.name, self._dim, self._scale)
        lowest = self._arrays.links[0].copy()
        lowest[asked] = -1
        trial._arrays, trial._count = self._arrays._replace(links=(lowest, *self._arrays.links[1:])), self._count
        return trial, asked

    def vectors(self, rows: Rows) -> Vectors:
        """See :meth:`Structure.vectors`."""
        return self._arrays.vectors[rows, : self._dim].astype(np.float32, copy=False)

    # --- searching it ---

    def wide_share(self, k: int, is_new: bool) -> float:
        """See :meth:`Structure.wide_share`: where looking rows up, or those of the cells looked at, take as long."""
        cells = self._cells
        share = MAX_SCANNED_ROWS / SCANNED_CELLS * len(cells.centres) / len(cells.of)
        return max(min(NEW_SHARE if is_new else WIDE_SHARE, share), WIDE_MARGIN * k / MAX_WIDTH)

    def select(self, rows: Rows) -> CellRows:
        """See :meth:`Structure.select`."""
        cells = self._cells
        codes: NDArray[np.int8] = self._coded(self._padded(cells.centres)).astype(np.int8)
        return CellRows(codes.reshape(-1), *cells.part(rows))

    def search(self, queries: Vectors, k: int, selection: CellRows | Wide | None, keys: Keys) -> Matches:
        """See :meth:`Structure.search`."""
        arrays = self._arrays  # once: others may take their place meanwhile
        if isinstance(selection, CellRows):
            least, most = max(SCANNED_ROWS, 4 * k), k + EXTRA_CANDIDATES
            cells = FAR_CELLS if len(selection.rows) > WIDE_SHARE * len(keys) else SCANNED_CELLS
            return self._ask(kernels.search_cells, queries, k, arrays, *selection, keys, cells, least, most)
        allowed, share = selection or EVERY_ROW
        wanted = max(k, k + self.search_params.width - TUNING_K + max(k - TUNING_K, 0) // 8)
        width = wanted if share == 1 else int(WIDE_MARGIN * wanted / share)
        return self._ask(kernels.search, queries, k, arrays, *arrays[2:], keys, allowed, wanted, width)

    def _padded(self, queries: Vectors) -> Vectors:
        if self._wide == self._dim:
            return np.ascontiguousarray(queries)
        return np.pad(queries, ((0, 0), (0, self._wide - self._dim)))

    def _ask(self, search: Callable[..., None], queries: Vectors, k: int, arrays: Arrays, *what: Any) -> Matches:
        """What one of the compiled searches finds for (q, dim) queries."""
        count, asked = len(queries), self._padded(queries)
        best = Matches(np.empty((count, k), np.int64), np.empty((count, k), np.float32))
        held = arrays.codes.reshape(-1), _flat(arrays.vectors), self._wide

        def ask(at: int) -> None:
            some = slice(at, at + ASKED_TOGETHER)
            search(*held, *what, asked[some].reshape(-1), k, best.keys[some], best.scores[some])

        in_parts(ask, range(0, count, ASKED_TOGETHER))
        return best

    def scan(self, queries: Vectors, rows: Rows, k: int, keys: Keys) -> Matches:
        """See :meth:`Structure.scan`."""
        if self._dtype is np.float32:
            return scan_rows(self._padded(queries), self._arrays.vectors, rows, k, keys)
        return super().scan(queries, rows, k, keys)

    # --- keeping it ---

    def content(self, count: int) -> Content:
        """See :meth:`Structure.content`."""
        _, vectors, links, _ = self._arrays
        arrays = {f"links{level}": some[: -(-count // kernels.STRIDE**level)] for level, some in enumerate(links)} | {
            "vectors": vectors[:count, : self._dim],
            "centres": self._cells.centres,
            "cells": self._cells.of[:count],
        }
        plain = {"scale": self._scale, "width": self.search_params.width, "recall": self._recall}
        return {**plain, **arrays, "tuned": self._tuned_rows}

    @classmethod
    def restore(cls, name: str, content: Content) -> Graph:
        """See :meth:`Structure.restore`."""
        vectors = content["vectors"]
        restored = cls(name, vectors.shape[1], content["scale"])
        restored._count = count = len(vectors)
        wide = vectors if restored._wide == vectors.shape[1] else restored._padded(vectors)
        codes, links = np.empty(wide.shape, np.int8), [content[f"links{level}"] for level in range(kernels.LEVELS)]
        for at in range(0, count, BLOCK_ROWS):
            codes[at : at + BLOCK_ROWS] = restored._coded(wide[at : at + BLOCK_ROWS])
        for level, some in enumerate(links):
            rows = -(-count // kernels.STRIDE**level)
            if some.shape != (rows, kernels.LINKS) or some.min() < kernels.TWIN:
                raise ValueError("its links are not those of its rows")
            # Rows may have been linked while it was saved: links to those that were not saved lead back.
            np.copyto(some, np.arange(rows, dtype=np.int32)[:, None], where=some >= rows)
        twins = np.empty(count, np.int32)
        kernels.restore_twins(links[0], twins)
        restored._arrays = Arrays(codes, wide, tuple(links), twins)
        restored._cells = Cells(content["centres"], content["cells"])
        restored.search_params = SearchParams(content["width"])
        restored._recall, restored._tuned_rows = content["recall"], content["tuned"]
        restored._compile()
        return restored

    def _compile(self) -> None:
        """Have both kinds of search compiled before anybody asks: once on a machine it takes some seconds."""
        rows = np.arange(min(self._count, 1))
        for selection in (None, self.select(rows)):
            self.search(self.vectors(rows), 1, selection, rows)


def _flat(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors one after the other; Numba does not know float16 and sees whole numbers."""
    return vectors.view(np.uint16 if vectors.dtype == np.float16 else vectors.dtype).reshape(-1)
