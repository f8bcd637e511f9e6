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
from torch import Tensor

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.choice import Choice, Plan
from lapel.indexes.files import Content
from lapel.indexes.growing import GrowingIndex
from lapel.indexes.rows import Rows, Scores, merge_matches, no_matches
from lapel.indexes.structure import ReadRows, Structure, read_blocks
from lapel.indexes.table import Column

BLOCK_ROWS = 128  # that are represented by their best score
EXTRA_CANDIDATES = 22  # ranked in float32 beyond the k wanted
MAX_QUERIES = 256  # searched at once
MAX_SCORES = 2**26  # held at once: 256 MB of float32
MAX_GATHERED = 2**28  # numbers of the best blocks held at once: 512 MB of float16
STEP_NUMBERS = {"cuda": 2**29, "cpu": 2**22}  # of the matrix multiplied at once
CHUNK_ROWS = 2**18  # moved to the device at once: 134 MB at 128 wide
# Of float32 sums, for each product summed. Four sums are compared, of which each may be 2**-24 off; this is twice that.
SUM_ERROR = 2.0**-21


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
        full = torch.tensor(vectors)
        near = full.half()
        self._error = float((full - near.float()).norm(dim=1).numpy().max(initial=self._error))
        self._near[len(self) : len(self) + len(full)] = near.to(self.device)
        self._full.append(vectors)

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
        """See :meth:`Structure.select`: bool on the device, of all rows that there is room for."""
        mask = torch.zeros(len(self._near), dtype=torch.bool, device=self.device)
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

    def content(self, count: int) -> Content:
        """See :meth:`Structure.content`."""
        del count  # it is extended while nobody looks
        return {"vectors": self._full.all}

    @classmethod
    def restore(cls, name: str, content: Content) -> DeviceRows:
        """See :meth:`Structure.restore`."""
        return cls.build(name, len(content["vectors"]), content["vectors"].__getitem__, recall=1.0)

    def _search(self, queries: Vectors, k: int, more: int, mask: Tensor | None, keys: Keys) -> Matches:
        rounded = queries.astype(np.float16)
        asked = torch.from_numpy(rounded).to(self.device)
        rows, left = self._candidates(asked, more, mask)
        scores = np.einsum("qmd,qd->qm", self._full.all[rows], queries)
        scores[rows < 0] = -np.inf
        ranked = Matches(np.where(rows < 0, -1, keys[rows]), scores)
        best = merge_matches([ranked, no_matches(len(rows), k)], k)
        if more == len(self):
            return best
        error = self._error + np.linalg.norm(queries - rounded, axis=1) + SUM_ERROR * self.dim
        least = best.scores[:, k - 1] - error  # a row left out that scores less is not among the best
        for query in np.flatnonzero((least <= left) & (left > -np.inf)):
            every = self._above(asked[query : query + 1], float(least[query]), mask)
            scanned = self.scan(queries[query : query + 1], every, k, keys)
            best.keys[query], best.scores[query] = scanned.keys[0], scanned.scores[0]
        return best

    def _candidates(self, asked: Tensor, more: int, mask: Tensor | None) -> tuple[Rows, Scores]:
        """The best rows of each query, out of the best blocks. As many blocks are looked at as rows are wanted, so each
        of these rows scores at least as high as all rows of the other blocks.

        Returns:
            (q, more) rows, -1 for none; and (q,) a score that no other row's is above, in half precision.
        """
        best = self._best_of_blocks(asked, mask)
        top = best.topk(min(more, best.shape[1]), dim=1).indices
        near = self._near[: best.shape[1] * BLOCK_ROWS].view(-1, BLOCK_ROWS, self.dim)[top].flatten(1, 2)
        rows = (top[:, :, None] * BLOCK_ROWS + torch.arange(BLOCK_ROWS, device=top.device)).flatten(1)
        scores = _products(asked[:, None], near.mT)[:, 0]
        scores.masked_fill_(rows >= len(self) if mask is None else ~mask[rows], -torch.inf)
        ranked = scores.topk(more, dim=1)
        named = rows.gather(1, ranked.indices).masked_fill(ranked.values == -torch.inf, -1)
        return named.cpu().numpy(), ranked.values[:, -1].cpu().numpy()

    def _above(self, asked: Tensor, least: float, mask: Tensor | None) -> Rows:
        """Every row that scores at least so much for one (1, dim) query, ascending: (m,)."""
        parts = [at + (scores[0] >= least).nonzero()[:, 0] for at, scores in self._scores(asked, mask)]
        found: Rows = torch.cat(parts).cpu().numpy()
        return found

    def _best_of_blocks(self, asked: Tensor, mask: Tensor | None = None) -> Tensor:
        """(q, blocks) the best score in each block."""
        parts = [scores.view(len(asked), -1, BLOCK_ROWS).amax(2) for _, scores in self._scores(asked, mask)]
        return torch.cat(parts, dim=1)

    def _scores(self, asked: Tensor, mask: Tensor | None) -> Iterator[tuple[int, Tensor]]:
        """The scores of all rows, some whole blocks at a time: the first row, and (q, rows) float32, -inf for none."""
        rows = min(STEP_NUMBERS[asked.device.type] // self.dim, MAX_SCORES // len(asked))
        step = max(1, rows // BLOCK_ROWS) * BLOCK_ROWS
        near = self._near[: _whole_blocks(len(self))]
        for at in range(0, len(near), step):
            scores = _products(asked, near[at : at + step].T)
            if mask is None:
                scores[:, len(self) - at :] = -torch.inf
            else:
                scores.masked_fill_(~mask[at : at + scores.shape[1]], -torch.inf)
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
    if rest not in ("", "cpu", *devices):
        names = ", ".join(["cpu", *devices])
        raise InputError(f"'torch:{rest}' names no device; here are {names}. 'torch:' takes the best.")
    return torch.device(rest or "cpu")


def _products(asked: Tensor, near: Tensor) -> Tensor:
    """(.., q, dim) by (.., dim, n) float16 -> (.., q, n), summed in float32."""
    if asked.device.type == "cuda":
        multiply = torch.mm if asked.ndim == 2 else torch.bmm
        return multiply(asked, near, out_dtype=torch.float32)
    return asked.float() @ near.float()


def _whole_blocks(rows: int) -> int:
    return -(-rows // BLOCK_ROWS) * BLOCK_ROWS
