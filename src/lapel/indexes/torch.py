"""The GPU index: exact inner product over unit vectors, by PyTorch on a CUDA device, under integer keys.

Same keys, vectors and answers as :mod:`lapel.indexes.exact`. The vectors are held twice: in half precision on the
device, where they are
searched (2.6 GB for ten million of 128 numbers), and in float32 in the machine's memory, where the best are ranked
(:mod:`lapel.indexes.device`). Scores may differ from the reference in their last digits, since floats are summed in
another order (1e-6
at 128 wide), so two products that are equally alike to that precision may change places; nothing else may differ.

``torch:`` takes the first CUDA device, or the CPU where there is none; ``torch:cuda:1`` and ``torch:cpu`` say which.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors, check_keys, check_vectors
from lapel.indexes.device import DeviceRows, Selected, best_device
from lapel.indexes.exact import Rows, check_dim, check_k, damaged, last_of_each, other_width, pad, rows_of, write_whole
from lapel.indexes.files import Checked, read_header, write_checked
from lapel.indexes.locks import ReadWriteLock

SELECTIONS = 16  # filters whose rows are kept
DEAD = 4096  # removed rows that are kept at least; above a quarter of all they are let go of
PIECE = 2**18  # vectors read or written at once: 134 MB at 128 wide


@dataclass(frozen=True)
class _Filter:
    """The rows that some allowed keys mean.

    Attributes:
        allowed: The caller's own array: while it is held here, no other array has its identity.
        selected: Its rows.
    """

    allowed: Keys
    selected: Selected


class TorchIndex:
    """``torch:``. Rows are in the order of their keys. See :class:`lapel.indexes.VectorIndex`.

    Appending keys above the highest one, as the catalogue gives them, and replacing and removing take the same time at
    any size; a new key
    below the highest one sorts all rows once a call. Readers run together, writers alone.
    """

    def __init__(self, rest: str = "", *, dim: int = 128, path: Path | None = None) -> None:
        self._dim = check_dim(dim)
        self.device = _device(rest)
        self._path = path
        self._gate = ReadWriteLock()
        self._changing = (
            threading.Lock()
        )  # held by writers, and while a file is written, so that searches go on meanwhile
        self._rows: DeviceRows | None = DeviceRows(dim, self.device)
        # With room for more. Both are here and on the device, since asking the device takes longer than looking.
        self._keys: Keys = np.empty(0, np.int64)
        self._alive = np.empty(0, bool)
        self._device_keys = torch.empty(0, dtype=torch.int64, device=self.device)
        self._device_alive = torch.empty(0, dtype=torch.bool, device=self.device)
        self._dead = 0
        self._filters: dict[int, _Filter] = {}
        if path is not None and path.exists():
            self._load(path)

    # --- what it is ---

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self._dim

    @property
    def keys(self) -> Keys:
        """Every key, (n,) int64, sorted; a copy."""
        with self._gate.reading():
            rows = self._open_rows()
            living: Keys = self._keys[: len(rows)][self._alive[: len(rows)]]
            return living

    def __len__(self) -> int:
        """How many vectors there are."""
        with self._gate.reading():
            return len(self._open_rows()) - self._dead

    # --- changing it ---

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add (n,) keys with (n, dim) vectors; a key that is there already gets the new vector; the last of equal keys
        counts.

        Raises:
            InputError: keys or vectors that cannot be used, or more than the device holds; then nothing is added.
        """
        given = check_vectors(vectors, self._dim)
        distinct, last = last_of_each(check_keys(keys, len(given)))
        if len(distinct) < len(given) or bool((np.diff(last) != 1).any()):
            given = given[last]
        with self._changing, self._gate.writing():
            rows = self._open_rows()
            places, known = rows_of(self._keys[: len(rows)], distinct)
            if not known.all():
                self._append(distinct[~known], given[~known] if known.any() else given)
            if known.any():
                back = places[known]
                self._dead -= int((~self._alive[back]).sum())
                self._mark(back, True)
                rows.replace(back, given[known] if not known.all() else given)
            if not known.all():
                self._sort()
            self._filters.clear()

    def _append(self, keys: Keys, vectors: Vectors) -> None:
        """Sorted keys that are not there, at the end."""
        rows = self._open_rows()
        rows.append(vectors)
        count, first = len(rows), len(rows) - len(keys)
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
        keys = self._keys[: len(self._open_rows())]
        if bool((keys[1:] < keys[:-1]).any()):
            self._keep(np.argsort(keys))

    def _keep(self, rows: Rows) -> None:
        self._open_rows().keep(rows)
        self._keys, self._alive = self._keys[rows], self._alive[rows]
        self._dead = int((~self._alive).sum())
        self._reserve(len(rows), len(rows))

    def _mark(self, rows: Rows, alive: bool) -> None:
        """These rows count, or no longer do."""
        self._alive[rows] = alive
        self._device_alive[torch.from_numpy(rows).to(self.device)] = alive

    def remove(self, keys: Keys) -> int:
        """Remove these keys and return how many were there."""
        gone = np.unique(check_keys(keys))
        with self._changing, self._gate.writing():
            rows = self._open_rows()
            places, known = rows_of(self._keys[: len(rows)], gone)
            marked = places[known]
            marked = marked[self._alive[marked]]
            self._mark(marked, False)
            self._dead += len(marked)
            if self._dead > max(DEAD, len(rows) // 4):
                self._keep(np.flatnonzero(self._alive[: len(rows)]))
            self._filters.clear()
            return len(marked)

    # --- searching it ---

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> Matches:
        """The k best for each of (q, dim) unit queries, only among ``allowed`` keys when given.

        Returns:
            (q, k), by descending score, then ascending key; padded with -1 and -inf.

        Raises:
            InputError: queries that are not (q, dim) unit rows, or keys that are none.
            QueryError: k below one.
        """
        asked = check_vectors(queries, self._dim)
        check_k(k)
        with self._gate.reading():
            rows = self._open_rows()
            selected: Selected | None = None
            if allowed is not None:
                selected = self._select(allowed)
            elif self._dead:
                selected = Selected(len(rows) - self._dead, may=self._device_alive[: len(rows)])
            return pad(self._keys, *rows.search(asked, k, selected), k)

    def _select(self, allowed: Keys) -> Selected:
        """The rows of the allowed keys; kept for arrays that cannot change, since many queries are asked under one
        filter."""
        lasting = isinstance(allowed, np.ndarray) and not allowed.flags.writeable
        known = self._filters.get(id(allowed)) if lasting else None
        if known is not None and known.allowed is allowed:
            return known.selected
        rows = self._open_rows()
        wanted = torch.from_numpy(check_keys(allowed)).to(self.device)
        may = torch.zeros(len(rows), dtype=torch.bool, device=self.device)
        if len(rows):
            held = self._device_keys[: len(rows)]
            places = torch.searchsorted(held, wanted).clamp_(max=len(held) - 1)
            may[places[held[places] == wanted]] = True
        selected = rows.select(may & self._device_alive[: len(rows)])
        if lasting:
            if len(self._filters) >= SELECTIONS:
                self._filters.clear()
            self._filters[id(allowed)] = _Filter(allowed, selected)
        return selected

    # --- keeping it ---

    def save(self, path: Path | None = None) -> None:
        """Write to ``path``, or to the one it was opened with: wholly, or not at all.

        Searches go on meanwhile, changes wait.

        Raises:
            InputError: neither is given.
        """
        with self._changing:
            self._open_rows()
            write_whole(path or self._path, self._write)

    def _write(self, file: IO[bytes]) -> None:
        """The keys, then the vectors in float32."""
        rows = self._open_rows()
        living = np.flatnonzero(self._alive[: len(rows)])
        about = {"kind": "torch", "metric": "ip", "dim": self._dim, "count": len(living)}

        def data(check: Checked) -> None:
            check.write(self._keys[living].tobytes())
            for at in range(0, len(living), PIECE):
                check.write(rows.vectors(living[at : at + PIECE]).tobytes())

        write_checked(file, about, data)

    def _load(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                about = read_header(file, path)
                if about["kind"] != "torch" or about["metric"] != "ip":
                    raise InputError(
                        f"The saved index {path} is 'faiss:{about['kind']}'; 'torch:' was asked. Run 'lapel index"
                        f" rebuild'."
                    )
                if about["dim"] != self._dim:
                    raise other_width(path, about["dim"], self._dim)
                keys = np.frombuffer(file.read(8 * about["count"]), np.int64)
                self._open_rows().reserve(len(keys))
                for at in range(0, len(keys), PIECE):
                    some = keys[at : at + PIECE]
                    read = file.read(4 * self._dim * len(some))
                    self.add(some, np.frombuffer(read, np.float32).reshape(-1, self._dim))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(path, error) from error

    def close(self) -> None:
        """Let go of memory. Closing twice is fine; unsaved changes are lost."""
        with self._changing, self._gate.writing():
            self._rows = None
            self._reserve(0, 0)
            self._filters.clear()

    def _open_rows(self) -> DeviceRows:
        if self._rows is None:
            raise InputError("This index is closed. Open it again with open_index.")
        return self._rows


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
