"""Rows of unit vectors on a GPU: half precision where they are searched, float32 in memory where the best are ranked.

In go unit rows, queries and which rows may be found; out come row numbers and float32 scores, the same as those of
exact search. It knows no keys; :mod:`lapel.indexes.torch` makes an index of it. All of it runs on PyTorch's CPU too,
for tests and for reading the code.

A search multiplies all rows with the queries and keeps only the best score of each block of rows. The best blocks are
looked at row by row, and the best rows are scored again in float32. How far a half-precision score can be from the
float32 one is known (Cauchy-Schwarz: at most the length of what rounding took from the row, plus the same of the
query), so a search can tell that no row it left out belongs among the best. Where it cannot tell, such as among many
equal pictures, it ranks every row within that error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lapel.core.errors import InputError
from lapel.core.vectors import Vectors
from lapel.indexes.rows import Rows, Scores

BLOCK_ROWS = 128  # that are represented by their best score
EXTRA_CANDIDATES = 22  # ranked in float32 beyond the k wanted
MAX_QUERIES = 256  # searched at once
MAX_SCORES = 2**26  # held at once: 256 MB of float32
MAX_GATHERED = 2**28  # numbers of the best blocks held at once: 512 MB of float16
STEP_NUMBERS = {"cuda": 2**29, "cpu": 2**22}  # of the matrix multiplied at once
CHUNK_ROWS = 2**18  # moved to the device at once: 134 MB at 128 wide
COPIED_FRACTION = 8  # allowed rows are copied together when they are fewer than one in so many
SUM_ERROR = 2.0**-22  # of float32 sums, for each product summed; twice what their order can do


@dataclass(frozen=True)
class DeviceSelection:
    """Which rows may be found.

    Attributes:
        count: How many they are.
        rows: (count,) int64 ascending, on the device; for few.
        mask: (n,) bool, on the device; for many.
    """

    count: int
    rows: Tensor | None = None
    mask: Tensor | None = None


class DeviceRows:
    """A growing matrix of unit rows, searched on a device. Not safe to change while it is searched.

    Args:
        dim: Width of the rows.
        device: Where the half-precision copy is kept.
    """

    def __init__(self, dim: int, device: torch.device) -> None:
        self.dim = dim
        self.device = device
        self._count = 0
        self._near = torch.zeros((0, dim), dtype=torch.float16, device=device)  # room for more rows than there are
        self._full = torch.empty((0, dim), dtype=torch.float32)
        self._error = 0.0  # the longest difference between a row and its half-precision copy

    def __len__(self) -> int:
        return self._count

    # --- changing it ---

    def add(self, vectors: Vectors) -> None:
        """More (m, dim) rows at the end.

        Raises:
            InputError: the device has no room for them; then nothing is added.
        """
        first, count = self._count, self._count + len(vectors)
        self.reserve(count)
        for at in range(0, len(vectors), CHUNK_ROWS):
            self._put(slice(first + at, min(first + at + CHUNK_ROWS, count)), vectors[at : at + CHUNK_ROWS])
        self._count = count

    def replace(self, rows: Rows, vectors: Vectors) -> None:
        """Other (m, dim) vectors for (m,) rows that are there."""
        for at in range(0, len(vectors), CHUNK_ROWS):
            self._put(torch.from_numpy(rows[at : at + CHUNK_ROWS]), vectors[at : at + CHUNK_ROWS])

    def _put(self, rows: slice | Tensor, vectors: Vectors) -> None:
        full = torch.from_numpy(vectors.copy())
        near = full.half()
        self._error = max(self._error, float((full - near.float()).norm(dim=1).max()))
        self._full[rows] = full
        self._near[rows if isinstance(rows, slice) else rows.to(self.device)] = near.to(self.device)

    def keep(self, rows: Rows) -> None:
        """Only these (m,) rows, in this order."""
        room = _whole_blocks(len(rows))
        near = torch.zeros((room, self.dim), dtype=torch.float16, device=self.device)
        kept = torch.from_numpy(rows)
        near[: len(rows)] = self._near[kept.to(self.device)]
        full = torch.empty((room, self.dim), dtype=torch.float32)
        full[: len(rows)] = self._full[kept]
        self._near, self._full, self._count = near, full, len(rows)

    def reserve(self, count: int) -> None:
        """Room for so many rows: at least twice what there was, so that adding one by one copies each row once on the
        whole.

        Raises:
            InputError: the device has none.
        """
        held = len(self._near)
        if count <= held:
            return
        room = _whole_blocks(max(count, 2 * held))
        try:
            near = torch.zeros((room, self.dim), dtype=torch.float16, device=self.device)
        except torch.OutOfMemoryError as error:
            free = torch.cuda.mem_get_info(self.device)[0]
            raise InputError(
                f"{room:,} vectors need {2 * room * self.dim / 1e9:.1f} GB on {self.device}; {free / 1e9:.1f} GB are"
                f" free. Use faiss:auto, or keep them on several machines with milvus://."
            ) from error
        full = torch.empty((room, self.dim), dtype=torch.float32)
        near[: self._count] = self._near[: self._count]
        full[: self._count] = self._full[: self._count]
        self._near, self._full = near, full

    # --- reading it ---

    def vectors(self, rows: Rows) -> Vectors:
        """(m,) rows -> their (m, dim) float32 vectors."""
        found: Vectors = self._full[torch.from_numpy(rows)].numpy()
        return found

    def select_on_device(self, mask: Tensor) -> DeviceSelection:
        """What is needed to search only the rows of a mask, (n,) bool on the device."""
        count = int(mask.sum())
        if count * COPIED_FRACTION < self._count:
            return DeviceSelection(count, rows=mask.nonzero()[:, 0])
        return DeviceSelection(count, mask=mask)

    def search_exact(self, queries: Vectors, k: int, selection: DeviceSelection | None = None) -> tuple[Rows, Scores]:
        """The min(k, n) best rows of each of (q, dim) queries, equal scores by ascending row.

        Returns:
            (q, min(k, n)) rows and scores.
        """
        available = self._count if selection is None else selection.count
        k = min(k, available)
        found = np.empty((len(queries), k), np.int64)
        scores = np.empty((len(queries), k), np.float32)
        if not k or not len(queries):
            return found, scores
        searched = _SearchedMatrix(self._near, self._count)
        if selection is not None and selection.rows is not None:
            searched = _copied(self._near, selection.rows)
        elif selection is not None:
            searched = _SearchedMatrix(self._near, self._count, mask=selection.mask)
        more = min(k + EXTRA_CANDIDATES, searched.count)
        together = min(max(1, MAX_GATHERED // (more * BLOCK_ROWS * self.dim)), MAX_QUERIES)
        for at in range(0, len(queries), together):
            some = slice(at, at + together)
            found[some], scores[some] = self._search(searched, queries[some], k, more)
        return found, scores

    def _search(self, searched: _SearchedMatrix, queries: Vectors, k: int, more: int) -> tuple[Rows, Scores]:
        rounded = queries.astype(np.float16)
        error = self._error + np.linalg.norm(queries - rounded, axis=1) + SUM_ERROR * self.dim
        asked = torch.from_numpy(rounded).to(self.device)
        rows, unseen = searched.candidates(asked, more)
        found, scores = self._rank(queries, rows, k)
        for query in np.flatnonzero(scores[:, -1] <= unseen + error):
            least = float(scores[query, -1] - error[query])
            every = searched.above(asked[query : query + 1], least)
            found[query], scores[query] = self._rank_all(queries[query : query + 1], every, k)
        return found, scores

    def _rank(self, queries: Vectors, rows: Rows, k: int) -> tuple[Rows, Scores]:
        """The k best of (q, m) rows, -1 for none, by float32 scores."""
        rows = np.sort(rows, axis=1)
        full = self._full[torch.from_numpy(np.maximum(rows, 0))].numpy()
        scores = np.where(rows < 0, -np.inf, np.einsum("qmd,qd->qm", full, queries)).astype(np.float32)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(rows, best, axis=1), np.take_along_axis(scores, best, axis=1)

    def _rank_all(self, query: Vectors, rows: Rows, k: int) -> tuple[Rows, Scores]:
        """The same for one (1, dim) query and any number of rows, a piece at a time: (k,) rows and scores."""
        kept = rows[:0]
        scores = np.empty((1, 0), np.float32)
        for at in range(0, len(rows), CHUNK_ROWS):
            candidates = np.concatenate([kept, rows[at : at + CHUNK_ROWS]])
            best, scores = self._rank(query, candidates[None], k)
            kept = best[0]
        return kept, scores[0]


@dataclass(frozen=True)
class _SearchedMatrix:
    """The matrix a search reads.

    Attributes:
        near: (at least count, dim) float16; whole blocks.
        count: Rows that are there.
        rows: (count,) what each row is called; None for its own number.
        mask: (count,) bool, whether it may be found; None for all.
    """

    near: Tensor
    count: int
    rows: Tensor | None = None
    mask: Tensor | None = None

    def candidates(self, asked: Tensor, more: int) -> tuple[Rows, NDArray[np.float64]]:
        """About the best rows of each query.

        Returns:
            (q, more) rows, -1 for none; and (q,) a score that no other row's is above, in half precision.
        """
        best = self._best_of_blocks(asked)
        top = best.topk(min(more, best.shape[1]), dim=1)
        blocks = self.near[: best.shape[1] * BLOCK_ROWS].view(-1, BLOCK_ROWS, self.near.shape[1])
        near = blocks[top.indices].flatten(1, 2)  # (q, blocks * BLOCK_ROWS, dim)
        rows = (top.indices[:, :, None] * BLOCK_ROWS + torch.arange(BLOCK_ROWS, device=near.device)).flatten(1)
        scores = _products(asked[:, None], near.mT)[:, 0]
        out = rows >= self.count
        if self.mask is not None:
            out |= ~self.mask[rows.clamp(max=self.count - 1)]
        scores.masked_fill_(out, -torch.inf)
        ranked = scores.topk(more, dim=1)
        chosen = rows.gather(1, ranked.indices)
        named = chosen if self.rows is None else self.rows[chosen.clamp(max=self.count - 1)]
        named = named.masked_fill(ranked.values == -torch.inf, -1)
        left = ranked.values[:, -1] if more < self.count else torch.full_like(ranked.values[:, -1], -torch.inf)
        if top.indices.shape[1] < best.shape[1]:
            left = torch.maximum(left, top.values[:, -1])
        # Waiting for the device takes longer than copying, so both come in one piece.
        packed = torch.cat([named, left.double().view(torch.int64)[:, None]], dim=1).cpu().numpy()
        return packed[:, :-1], packed[:, -1].copy().view(np.float64)

    def above(self, asked: Tensor, least: float) -> Rows:
        """Every row that scores at least so much for one (1, dim) query, ascending: (m,)."""
        parts = [at + (scores[0] >= least).nonzero()[:, 0] for at, scores in self._scores(asked)]
        found = torch.cat(parts)
        named: Rows = (found if self.rows is None else self.rows[found]).cpu().numpy()
        return named

    def _best_of_blocks(self, asked: Tensor) -> Tensor:
        """(q, blocks) the best score in each block."""
        blocks = _whole_blocks(self.count) // BLOCK_ROWS
        best = torch.empty((len(asked), blocks), dtype=torch.float32, device=asked.device)
        for at, scores in self._scores(asked):
            first, some = at // BLOCK_ROWS, scores.shape[1] // BLOCK_ROWS
            torch.amax(scores.view(len(asked), some, BLOCK_ROWS), dim=2, out=best[:, first : first + some])
        return best

    def _scores(self, asked: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The scores of all rows, some whole blocks at a time: the first row, and (q, rows) float32, -inf for none."""
        step = (
            max(1, min(STEP_NUMBERS[asked.device.type] // self.near.shape[1], MAX_SCORES // len(asked)) // BLOCK_ROWS)
            * BLOCK_ROWS
        )
        for at in range(0, self.count, step):
            scores = _products(asked, self.near[at : min(at + step, _whole_blocks(self.count))].T)
            if self.mask is not None:
                scores[:, : self.count - at].masked_fill_(~self.mask[at : at + step], -torch.inf)
            scores[:, max(self.count - at, 0) :] = -torch.inf
            yield at, scores


def best_device() -> torch.device:
    """The first CUDA device, or the CPU where there is none."""
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def _copied(near: Tensor, rows: Tensor) -> _SearchedMatrix:
    """Some rows alone."""
    copied = torch.zeros((_whole_blocks(len(rows)), near.shape[1]), dtype=near.dtype, device=near.device)
    torch.index_select(near, 0, rows, out=copied[: len(rows)])
    return _SearchedMatrix(copied, len(rows), rows=rows)


def _products(asked: Tensor, near: Tensor) -> Tensor:
    """(.., q, dim) by (.., dim, n) float16 -> (.., q, n), summed in float32."""
    if asked.device.type == "cuda":
        multiply = torch.mm if asked.ndim == 2 else torch.bmm
        return multiply(asked, near, out_dtype=torch.float32)
    return asked.float() @ near.float()


def _whole_blocks(rows: int) -> int:
    return -(-rows // BLOCK_ROWS) * BLOCK_ROWS
