"""``torch:``: exact search on a GPU, in half precision there, the best ranked in float32 in the machine's memory.

The vectors are held twice: 2.6 GB for ten million of 128 numbers on the device, twice as much here. All of it runs on
PyTorch's CPU too, for tests and for reading the code. Scores may differ from the reference's in their last digits,
since floats are summed in another order (1e-6 at 128 wide).

A search multiplies all rows with the queries and keeps only the best score of each block of rows. The best blocks are
looked at row by row, and the best rows are scored again in float32. How far a half-precision score can be from the
float32 one is known (Cauchy-Schwarz: at most the length of what rounding took from the row, plus the same of the
query), so a search can tell that no row it left out belongs among the best. Where it cannot tell, such as among many
equal pictures, it ranks every row within that error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.choice import Choice, Plan
from lapel.indexes.files import Content
from lapel.indexes.growing import GrowingIndex
from lapel.indexes.rows import Rows, merge_matches, no_matches
from lapel.indexes.structure import ReadRows, Structure, read_blocks
from lapel.indexes.table import Column

BLOCK_ROWS = 128  # that are represented by their best score
EXTRA_CANDIDATES = 22  # ranked in float32 beyond the k wanted
MAX_QUERIES = 256  # searched at once
MAX_SCORES = 2**26  # held at once: 256 MB of float32
MAX_GATHERED = 2**28  # numbers of the best blocks held at once: 512 MB of float16
STEP_NUMBERS = {"cuda": 2**29, "cpu": 2**22}  # of the matrix multiplied at once
CHUNK_ROWS = 2**18  # moved to the device at once: 134 MB at 128 wide
SUM_ERROR = 2.0**-22  # of float32 sums, for each product summed; twice what their order can do


class DeviceRows(Structure):
    """Unit rows on a device. See :class:`lapel.indexes.structure.Structure`; all searches are exact.

    Args:
        dim: Width of the rows.
        device: Where the half-precision copy is kept.
    """

    rows_at_once = CHUNK_ROWS

    def __init__(self, dim: int, device: torch.device) -> None:
        self.dim = dim
        self.device = device
        self._near = torch.zeros((0, dim), dtype=torch.float16, device=device)  # room for more rows than there are
        self._full = Column((dim,), np.float32)
        self._error = 0.0  # the longest difference between a row and its half-precision copy

    @classmethod
    def build(cls, name: str, count: int, read: ReadRows, *, recall: float) -> DeviceRows:
        """See :meth:`Structure.build`; the name is the index's spec."""
        del recall  # it is 1
        built = cls(read(np.arange(0)).shape[1], find_device(name.removeprefix("torch:")))
        built.name = name
        built._reserve(count)
        for block in read_blocks(count, read):
            built.extend(block)
        return built

    def __len__(self) -> int:
        return len(self._full)

    def extend(self, vectors: Vectors) -> None:
        """See :meth:`Structure.extend`.

        Raises:
            InputError: the device has no room for them; then nothing is added.
        """
        self._reserve(len(self) + len(vectors))
        for at in range(0, len(vectors), CHUNK_ROWS):
            full = torch.from_numpy(vectors[at : at + CHUNK_ROWS].copy())
            near = full.half()
            self._error = max(self._error, float((full - near.float()).norm(dim=1).max()))
            self._near[len(self) : len(self) + len(full)] = near.to(self.device)
            self._full.append(full.numpy())

    def _reserve(self, count: int) -> None:
        """Room for so many rows: at least twice what there was, so that adding one by one copies each row once on the
        whole."""
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
        near[: len(self)] = self._near[: len(self)]
        self._near = near

    def vectors(self, rows: Rows) -> Vectors:
        """See :meth:`Structure.vectors`."""
        found: Vectors = self._full.all[rows]
        return found

    def select(self, rows: Rows) -> Tensor:
        """See :meth:`Structure.select`: (n,) bool on the device."""
        mask = torch.zeros(len(self), dtype=torch.bool, device=self.device)
        mask[torch.from_numpy(rows).to(self.device)] = True
        return mask

    def search(self, queries: Vectors, k: int, selection: Tensor | None, keys: Keys) -> Matches:
        """See :meth:`Structure.search`."""
        found = no_matches(len(queries), k)
        more = min(k + EXTRA_CANDIDATES, len(self))
        together = min(max(1, MAX_GATHERED // (more * BLOCK_ROWS * self.dim)), MAX_QUERIES)
        for at in range(0, len(queries), together):
            some = slice(at, at + together)
            best = self._search(queries[some], k, more, selection, keys)
            found.keys[some], found.scores[some] = best.keys, best.scores
        return found

    def content(self) -> Content:
        """See :meth:`Structure.content`."""
        return {"vectors": self._full.all}

    @classmethod
    def restore(cls, name: str, content: Content) -> DeviceRows:
        """See :meth:`Structure.restore`."""
        vectors = content["vectors"]
        return cls.build(name, len(vectors), lambda rows: vectors[rows], recall=1.0)

    def _search(self, queries: Vectors, k: int, more: int, mask: Tensor | None, keys: Keys) -> Matches:
        rounded = queries.astype(np.float16)
        error = self._error + np.linalg.norm(queries - rounded, axis=1) + SUM_ERROR * self.dim
        asked = torch.from_numpy(rounded).to(self.device)
        rows, unseen = self._candidates(asked, more, mask)
        best = self._rank(queries, rows, k, keys)
        for query in np.flatnonzero(best.scores[:, min(k, more) - 1] <= unseen + error):
            least = float(best.scores[query, min(k, more) - 1] - error[query])
            every = self._above(asked[query : query + 1], least, mask)
            found = no_matches(1, k)
            for at in range(0, len(every), CHUNK_ROWS):
                ranked = self._rank(queries[query : query + 1], every[None, at : at + CHUNK_ROWS], k, keys)
                found = merge_matches([found, ranked], k)
            best.keys[query], best.scores[query] = found.keys[0], found.scores[0]
        return best

    def _rank(self, queries: Vectors, rows: Rows, k: int, keys: Keys) -> Matches:
        """The k best of (q, m) rows, -1 for none, by float32 scores."""
        scores = np.einsum("qmd,qd->qm", self.vectors(np.maximum(rows, 0)), queries)
        scores[rows < 0] = -np.inf
        return merge_matches([no_matches(len(rows), k), Matches(np.where(rows < 0, -1, keys[rows]), scores)], k)

    def _candidates(self, asked: Tensor, more: int, mask: Tensor | None) -> tuple[Rows, NDArray[np.float64]]:
        """About the best rows of each query.

        Returns:
            (q, more) rows, -1 for none; and (q,) a score that no other row's is above, in half precision.
        """
        best = self._best_of_blocks(asked, mask)
        top = best.topk(min(more, best.shape[1]), dim=1)
        blocks = self._near[: best.shape[1] * BLOCK_ROWS].view(-1, BLOCK_ROWS, self.dim)
        near = blocks[top.indices].flatten(1, 2)  # (q, blocks * BLOCK_ROWS, dim)
        rows = (top.indices[:, :, None] * BLOCK_ROWS + torch.arange(BLOCK_ROWS, device=near.device)).flatten(1)
        scores = _products(asked[:, None], near.mT)[:, 0]
        out = rows >= len(self)
        if mask is not None:
            out |= ~mask[rows.clamp(max=len(self) - 1)]
        scores.masked_fill_(out, -torch.inf)
        ranked = scores.topk(more, dim=1)
        chosen = rows.gather(1, ranked.indices)
        named = chosen.masked_fill(ranked.values == -torch.inf, -1)
        left = ranked.values[:, -1] if more < len(self) else torch.full_like(ranked.values[:, -1], -torch.inf)
        if top.indices.shape[1] < best.shape[1]:
            left = torch.maximum(left, top.values[:, -1])
        # Waiting for the device takes longer than copying, so both come in one piece.
        packed = torch.cat([named, left.double().view(torch.int64)[:, None]], dim=1).cpu().numpy()
        return packed[:, :-1], packed[:, -1].copy().view(np.float64)

    def _above(self, asked: Tensor, least: float, mask: Tensor | None) -> Rows:
        """Every row that scores at least so much for one (1, dim) query, ascending: (m,)."""
        parts = [at + (scores[0] >= least).nonzero()[:, 0] for at, scores in self._scores(asked, mask)]
        found: Rows = torch.cat(parts).cpu().numpy()
        return found

    def _best_of_blocks(self, asked: Tensor, mask: Tensor | None = None) -> Tensor:
        """(q, blocks) the best score in each block."""
        blocks = _whole_blocks(len(self)) // BLOCK_ROWS
        best = torch.empty((len(asked), blocks), dtype=torch.float32, device=asked.device)
        for at, scores in self._scores(asked, mask):
            first, some = at // BLOCK_ROWS, scores.shape[1] // BLOCK_ROWS
            torch.amax(scores.view(len(asked), some, BLOCK_ROWS), dim=2, out=best[:, first : first + some])
        return best

    def _scores(self, asked: Tensor, mask: Tensor | None) -> Iterator[tuple[int, Tensor]]:
        """The scores of all rows, some whole blocks at a time: the first row, and (q, rows) float32, -inf for none."""
        step = (
            max(1, min(STEP_NUMBERS[asked.device.type] // self.dim, MAX_SCORES // len(asked)) // BLOCK_ROWS)
            * BLOCK_ROWS
        )
        for at in range(0, len(self), step):
            scores = _products(asked, self._near[at : min(at + step, _whole_blocks(len(self)))].T)
            if mask is not None:
                scores[:, : len(self) - at].masked_fill_(~mask[at : at + step], -torch.inf)
            scores[:, len(self) - at :] = -torch.inf
            yield at, scores


class DevicePlan(Plan):
    """``torch:``, from the first vector to the last. See :class:`lapel.indexes.choice.Plan`."""

    def __init__(self, rest: str, dim: int) -> None:
        super().__init__("auto", dim)
        self.kind, self._name = "torch:", f"torch:{rest}"

    def choose(self, count: int) -> Choice:
        """See :meth:`lapel.indexes.choice.Plan.choose`."""
        del count  # for any number
        return Choice(self._name, "All vectors are on the device.")

    def restore(self, name: str, content: Content) -> Structure:
        """See :meth:`lapel.indexes.choice.Plan.restore`; another device may have saved it."""
        del name
        return super().restore(self._name, content)

    def _find(self, name: str) -> type[Structure]:
        del name
        return DeviceRows


def open_torch(rest: str = "", *, dim: int = 128, path: Path | None = None) -> GrowingIndex:
    """``torch:`` and perhaps the name of a device."""
    return GrowingIndex(DevicePlan(rest, dim), dim=dim, path=path)


def find_device(rest: str) -> torch.device:
    """What follows ``torch:`` -> the device: the first CUDA device, or the CPU where there is none; or the named one.

    Raises:
        InputError: there is no such device.
    """
    devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if rest in ("", "cuda") and devices:
        return torch.device(devices[0])
    if rest not in ["", "cpu", *devices]:
        raise InputError(
            f"'torch:{rest}' names no device; here are {', '.join(['cpu', *devices])}. 'torch:' takes the best."
        )
    return torch.device(rest or "cpu")


def _products(asked: Tensor, near: Tensor) -> Tensor:
    """(.., q, dim) by (.., dim, n) float16 -> (.., q, n), summed in float32."""
    if asked.device.type == "cuda":
        multiply = torch.mm if asked.ndim == 2 else torch.bmm
        return multiply(asked, near, out_dtype=torch.float32)
    return asked.float() @ near.float()


def _whole_blocks(rows: int) -> int:
    return -(-rows // BLOCK_ROWS) * BLOCK_ROWS
