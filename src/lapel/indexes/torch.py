"""The GPU index: exact inner product over unit vectors, by PyTorch on a CUDA device, under integer keys.

Same keys, vectors and answers as :mod:`lapel.indexes.exact`. The vectors are held twice: in half precision on the device, where they are
searched (2.6 GB for ten million of 128 numbers), and in float32 in the machine's memory, where the best are ranked
(:mod:`lapel.indexes.device`). Scores may differ from the reference in their last digits, since floats are summed in another order (1e-6
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
from torch import Tensor

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors, check_keys, check_vectors
from lapel.indexes.device import DeviceRows, Selected, best_device
from lapel.indexes.exact import check_dim, check_k, damaged, last_of_each, other_width, pad, write_whole
from lapel.indexes.files import Checked, read_header, write_checked
from lapel.indexes.gate import Gate

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

    Appending keys above the highest one, as the catalogue gives them, and replacing and removing take the same time at any size; a new key
    below the highest one sorts all rows once a call. Readers run together, writers alone.
    """

    def __init__(self, rest: str = "", *, dim: int = 128, path: Path | None = None) -> None:
        self._dim = check_dim(dim)
        self.device = _device(rest)
        self._path = path
        self._gate = Gate()
        self._changing = (
            threading.Lock()
        )  # held by writers, and while a file is written, so that searches go on meanwhile
        self._rows: DeviceRows | None = DeviceRows(dim, self.device)
        self._keys = torch.empty(0, dtype=torch.int64, device=self.device)  # with room, as long as it pays
        self._alive = torch.empty(0, dtype=torch.bool, device=self.device)
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
            living: Keys = self._keys[: len(rows)][self._alive[: len(rows)]].cpu().numpy()
            return living

    def __len__(self) -> int:
        """How many vectors there are."""
        with self._gate.reading():
            return len(self._open_rows()) - self._dead

    # --- changing it ---

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add (n,) keys with (n, dim) vectors; a key that is there already gets the new vector; the last of equal keys counts.

        Raises:
            InputError: keys or vectors that cannot be used, or more than the device holds; then nothing is added.
        """
        given = check_vectors(vectors, self._dim)
        distinct, last = last_of_each(check_keys(keys, len(given)))
        if len(distinct) < len(given) or bool((np.diff(last) != 1).any()):
            given = given[last]
        with self._changing, self._gate.writing():
            rows = self._open_rows()
            places, known = self._find(distinct)
            new = ~known.cpu().numpy()
            if new.any():
                self._append(distinct[new], given[new] if not new.all() else given)
            if not new.all():
                self._dead -= int((~self._alive[places[known]]).sum())
                self._alive[places[known]] = True
                rows.replace(places[known], given[~new])
            if new.any():
                self._sort()
            self._filters.clear()

    def _append(self, keys: Keys, vectors: Vectors) -> None:
        """Sorted keys that are not there, at the end."""
        rows = self._open_rows()
        rows.append(vectors)
        count, first = len(rows), len(rows) - len(keys)
        if count > len(self._keys):
            room = max(count, 2 * len(self._keys))
            held, alive = self._keys[:first], self._alive[:first]
            self._keys = torch.empty(room, dtype=torch.int64, device=self.device)
            self._alive = torch.empty(room, dtype=torch.bool, device=self.device)
            self._keys[:first], self._alive[:first] = held, alive
        self._keys[first:count] = torch.from_numpy(keys).to(self.device)
        self._alive[first:count] = True

    def _sort(self) -> None:
        """Bring the rows back into the order of their keys, if they are not."""
        count = len(self._open_rows())
        if bool((self._keys[1:count] < self._keys[: count - 1]).any()):
            self._keep(self._keys[:count].argsort())

    def _keep(self, rows: Tensor) -> None:
        self._open_rows().keep(rows)
        self._keys, self._alive = self._keys[rows], self._alive[rows]
        self._dead = int((~self._alive).sum())

    def remove(self, keys: Keys) -> int:
        """Remove these keys and return how many were there."""
        gone = np.unique(check_keys(keys))
        with self._changing, self._gate.writing():
            rows = self._open_rows()
            places, known = self._find(gone)
            marked = places[known]
            marked = marked[self._alive[marked]]
            self._alive[marked] = False
            self._dead += len(marked)
            if self._dead > max(DEAD, len(rows) // 4):
                self._keep(self._alive[: len(rows)].nonzero()[:, 0])
            self._filters.clear()
            return len(marked)

    def _find(self, keys: Keys) -> tuple[Tensor, Tensor]:
        """The row of each key, removed or not, (m,), and whether there is one, (m,) bool."""
        held = self._keys[: len(self._open_rows())]
        wanted = torch.from_numpy(keys).to(self.device)
        if not len(held):
            return torch.zeros_like(wanted), torch.zeros_like(wanted, dtype=torch.bool)
        places = torch.searchsorted(held, wanted).clamp_(max=len(held) - 1)
        return places, held[places] == wanted

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
                selected = Selected(len(rows) - self._dead, may=self._alive[: len(rows)])
            found, scores = rows.search(asked, k, selected)
            named = self._keys[torch.from_numpy(found).to(self.device)].cpu().numpy()
        return pad(named.ravel(), np.arange(named.size).reshape(named.shape), scores, k)

    def _select(self, allowed: Keys) -> Selected:
        """The rows of the allowed keys; kept for arrays that cannot change, since many queries are asked under one filter."""
        lasting = isinstance(allowed, np.ndarray) and not allowed.flags.writeable
        known = self._filters.get(id(allowed)) if lasting else None
        if known is not None and known.allowed is allowed:
            return known.selected
        rows = self._open_rows()
        places, there = self._find(check_keys(allowed))
        may = torch.zeros(len(rows), dtype=torch.bool, device=self.device)
        may[places[there]] = True
        selected = rows.select(may & self._alive[: len(rows)])
        if lasting:
            if len(self._filters) >= SELECTIONS:
                self._filters.clear()
            self._filters[id(allowed)] = _Filter(allowed, selected)
        return selected

    # --- keeping it ---

    def save(self, path: Path | None = None) -> None:
        """Write to ``path``, or to the one it was opened with: wholly, or not at all. Searches go on meanwhile, changes wait.

        Raises:
            InputError: neither is given.
        """
        with self._changing:
            self._open_rows()
            write_whole(path or self._path, self._write)

    def _write(self, file: IO[bytes]) -> None:
        """The keys, then the vectors in float32."""
        rows = self._open_rows()
        living = self._alive[: len(rows)].nonzero()[:, 0]
        about = {"kind": "torch", "metric": "ip", "dim": self._dim, "count": len(living)}

        def data(check: Checked) -> None:
            check.write(self._keys[living].cpu().numpy().tobytes())
            places = living.cpu().numpy()
            for at in range(0, len(places), PIECE):
                check.write(rows.vectors(places[at : at + PIECE]).tobytes())

        write_checked(file, about, data)

    def _load(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                about = read_header(file, path)
                if about["kind"] != "torch" or about["metric"] != "ip":
                    raise InputError(
                        f"The saved index {path} is 'faiss:{about['kind']}'; 'torch:' was asked. Run 'lapel index rebuild'."
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
            self._keys, self._alive = self._keys[:0].clone(), self._alive[:0].clone()
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
