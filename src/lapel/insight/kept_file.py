"""Arrays that a question keeps in the store's folder for the next time it is asked: a cache that may be deleted.

Whoever reads gets what was kept under the same mark, or nothing: where there is no such file, it is damaged (each array
has a checksum), of another store, or its arrays are none that the reader can use.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
from numpy.typing import NDArray

from lapel.core.vectors import Vectors
from lapel.engine.context import StoreContext

Arrays = Mapping[str, NDArray[Any]]
Digests = NDArray[np.uint64]


def read_kept(path: Path, mark: str, names: tuple[str, ...]) -> Arrays | None:
    """The arrays of these names in a file; None where they were not kept under this mark, or cannot be read."""
    with (
        suppress(OSError, ValueError, KeyError, EOFError, BadZipFile, ZlibError),
        path.open("rb") as file,  # which NumPy would leave open where it cannot be read
        np.load(file) as kept,
    ):
        if str(kept["mark"]) == mark:
            return {name: kept[name] for name in names}
    return None


def write_kept(context: StoreContext, name: str, mark: str, arrays: Arrays) -> None:
    """Keep arrays, whole or not at all. In a store that may not be written to, or where there is no room, nothing is
    kept and the next run does without."""
    if context.catalog.read_only:
        return
    path = context.folder / name
    part = path.with_name(f"{name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, mark=np.array(mark), **arrays)
        part.replace(path)
    except OSError:
        pass
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def digests_of(vectors: Vectors, *texts: Sequence[str]) -> Digests:
    """(n,) a number for each row, and what is said of it, by which it is known again: of equal rows the same."""
    rows = np.ascontiguousarray(vectors, np.float32)
    said = ["\0".join(each).encode() for each in zip(*texts, strict=True)] if texts else [b""] * len(rows)
    made = (row.tobytes() + each for row, each in zip(rows, said, strict=True))
    found = b"".join(hashlib.blake2b(each, digest_size=8).digest() for each in made)
    return np.frombuffer(found, np.uint64)
