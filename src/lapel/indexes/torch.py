"""The GPU index: exact inner product over unit vectors, by PyTorch on a CUDA device, under integer keys.

Same keys, vectors and answers as :mod:`lapel.indexes.exact`. The vectors are held twice: in half precision on the
device, where they are searched (2.6 GB for ten million of 128 numbers), and in float32 in the machine's memory, where
the best are ranked (:mod:`lapel.indexes.device`). Scores may differ from the reference in their last digits, since
floats are summed in another order (1e-6 at 128 wide), so two products that are equally alike to that precision may
change places; nothing else may differ.

``torch:`` takes the first CUDA device, or the CPU where there is none; ``torch:cuda:1`` and ``torch:cpu`` say which.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.base import MemoryIndex
from lapel.indexes.device import CHUNK_ROWS, DeviceRows, DeviceSelection, best_device
from lapel.indexes.files import WriteBytes
from lapel.indexes.rows import RowFilter, Rows, next_version, pad, rows_of

MAX_DELETED_ROWS = 4096  # that are kept at least; above a quarter of all they are dropped


class TorchIndex(MemoryIndex):
    """``torch:``. Rows are in the order of their keys. See :class:`lapel.indexes.VectorIndex`.

    Appending keys above the highest one, as the catalogue gives them, and replacing and removing take the same time at
    any size; a new key below the highest one sorts all rows once a call.
    """

    kind = "torch"

    def __init__(self, rest: str = "", *, dim: int = 128, path: Path | None = None) -> None:
        super().__init__(dim=dim, path=path)
        self.device = _device(rest)
        self._clear()
        self.load()

    def _clear(self) -> None:
        self._rows = DeviceRows(self._dim, self.device)
        # With room for more. Both are here and on the device, since asking the device takes longer than looking.
        self._keys: Keys = np.empty(0, np.int64)
        self._alive = np.empty(0, bool)
        self._reserve(0, 0)
        self._deleted = 0
        self._version = next_version()

    def _sorted_keys(self) -> Keys:
        count = len(self._rows)
        living: Keys = self._keys[:count][self._alive[:count]]
        return living

    def _count(self) -> int:
        return len(self._rows) - self._deleted

    # --- changing it ---

    def _put(self, keys: Keys, vectors: Vectors) -> None:
        self._version = next_version()
        rows, known = rows_of(self._keys[: len(self._rows)], keys)
        if not known.all():
            self._append(keys[~known], vectors[~known] if known.any() else vectors)
        if known.any():
            back = rows[known]
            self._deleted -= int((~self._alive[back]).sum())
            self._mark(back, True)
            self._rows.replace(back, vectors if known.all() else vectors[known])
        if not known.all():
            self._sort()

    def _append(self, keys: Keys, vectors: Vectors) -> None:
        """Sorted keys that are not there, at the end."""
        first, count = len(self._rows), len(self._rows) + len(keys)
        self._rows.add(vectors)
        if count > len(self._keys):
            self._reserve(max(count, 2 * len(self._keys)), first)
        self._keys[first:count], self._alive[first:count] = keys, True
        self._device_keys[first:count] = torch.from_numpy(keys).to(self.device)
        self._device_alive[first:count] = True

    def _reserve(self, room: int, count: int) -> None:
        """Columns with room for more rows than the ``count`` there are."""
        keys, alive = self._keys[:count], self._alive[:count]
        self._keys, self._alive = np.empty(room, np.int64), np.empty(room, bool)
        self._keys[:count], self._alive[:count] = keys, alive
        self._device_keys = torch.from_numpy(self._keys.copy()).to(self.device)
        self._device_alive = torch.from_numpy(self._alive.copy()).to(self.device)

    def _sort(self) -> None:
        """Bring the rows back into the order of their keys, if they are not."""
        keys = self._keys[: len(self._rows)]
        if bool((keys[1:] < keys[:-1]).any()):
            self._keep(np.argsort(keys))

    def _keep(self, rows: Rows) -> None:
        self._rows.keep(rows)
        self._keys, self._alive = self._keys[rows], self._alive[rows]
        self._deleted = int((~self._alive).sum())
        self._reserve(len(rows), len(rows))

    def _mark(self, rows: Rows, alive: bool) -> None:
        """These rows count, or no longer do."""
        self._alive[rows] = alive
        self._device_alive[torch.from_numpy(rows).to(self.device)] = alive

    def _drop(self, keys: Keys) -> int:
        rows, known = rows_of(self._keys[: len(self._rows)], keys)
        marked = rows[known]
        marked = marked[self._alive[marked]]
        self._mark(marked, False)
        self._deleted += len(marked)
        if self._deleted > max(MAX_DELETED_ROWS, len(self._rows) // 4):
            self._keep(np.flatnonzero(self._alive[: len(self._rows)]))
        self._version = next_version()
        return len(marked)

    # --- searching it ---

    def _search(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        selection: DeviceSelection | None = None
        if row_filter is not None:
            selection = row_filter.cached("torch", self._version, self._select)
        elif self._deleted:
            selection = DeviceSelection(self._count(), mask=self._device_alive[: len(self._rows)])
        return pad(self._keys, *self._rows.search_exact(queries, k, selection), k)

    def _select(self, wanted: Keys) -> DeviceSelection:
        """The rows of the wanted keys."""
        count = len(self._rows)
        mask = torch.zeros(count, dtype=torch.bool, device=self.device)
        if count:
            held, asked = self._device_keys[:count], torch.from_numpy(wanted).to(self.device)
            places = torch.searchsorted(held, asked).clamp_(max=count - 1)
            mask[places[held[places] == asked]] = True
        return self._rows.select_on_device(mask & self._device_alive[:count])

    # --- keeping it ---

    def _file_content(self) -> tuple[dict[str, Any], Callable[[WriteBytes], None]]:
        """The keys, then the vectors in float32."""
        living = np.flatnonzero(self._alive[: len(self._rows)])

        def write_data(write: WriteBytes) -> None:
            write(self._keys[living].tobytes())
            for at in range(0, len(living), CHUNK_ROWS):
                write(self._rows.vectors(living[at : at + CHUNK_ROWS]).tobytes())

        return {"count": len(living)}, write_data

    def _read(self, file: IO[bytes], header: dict[str, Any]) -> None:
        keys = np.frombuffer(file.read(8 * header["count"]), np.int64)
        self._rows.reserve(len(keys))
        for at in range(0, len(keys), CHUNK_ROWS):
            some = keys[at : at + CHUNK_ROWS]
            read = file.read(4 * self._dim * len(some))
            self.add(some, np.frombuffer(read, np.float32).reshape(-1, self._dim))


def _device(rest: str) -> torch.device:
    """What follows ``torch:`` -> the device.

    Raises:
        InputError: there is no such device.
    """
    if not rest:
        return best_device()
    devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if rest == "cuda" and devices:
        return torch.device(devices[0])
    if rest not in [*devices, "cpu"]:
        raise InputError(
            f"'torch:{rest}' names no device; here are {', '.join(['cpu', *devices])}. 'torch:' takes the best."
        )
    return torch.device(rest)
