"""The file of an index in memory: a header of fixed length with kind, width, length and checksum, then arrays.

The arrays are NumPy's own format (NEP 1), one after the other. A file is written beside its place and moved there once
it is on the disk, so that a crash leaves the old one; and its bytes are checked before anybody trusts them.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from lapel.core.errors import InputError

MAGIC = b"LAPELID4"  # the last digit is the layout's; files of others are built again
HEADER_BYTES = 512  # magic and JSON before the data
NO_FAISS_KINDS = {"exact": "exact:", "torch": "torch:"}  # how their index is opened; others are 'faiss:' and the kind

Content = dict[str, Any]  # plain values and arrays, by name


class _Counted:
    """A file that counts and sums what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size, self.crc32 = 0, 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self.size, self.crc32 = self.size + len(data), zlib.crc32(data, self.crc32)
        return len(data)


def write_checked(path: Path | None, content: Content) -> None:
    """Write an index's file wholly, or not at all.

    Args:
        path: Where to.
        content: ``kind``, ``dim`` and what else it holds.

    Raises:
        InputError: there is no path.
        OSError: it cannot be written.
    """
    if path is None:
        raise InputError("This index was opened without a path, so it cannot be saved. Give open_index a path.")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.seek(HEADER_BYTES)
            counted = _Counted(file)
            arrays = {name: value for name, value in content.items() if isinstance(value, np.ndarray)}
            for array in arrays.values():
                np.lib.format.write_array(counted, array, allow_pickle=False)
            told = {name: value for name, value in content.items() if name not in arrays}
            told |= {"metric": "ip", "arrays": list(arrays), "bytes": counted.size, "crc32": counted.crc32}
            file.seek(0)
            file.write((MAGIC + json.dumps(told).encode()).ljust(HEADER_BYTES))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):  # the new name itself must reach the disk; Windows has no such call and no such need
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_checked(path: Path, kind: str, dim: int) -> Content:
    """What an index's file holds.

    Raises:
        InputError: it is damaged, or of another kind or width.
    """
    try:
        with path.open("rb") as file:
            header = _read_header(file, path)
            if header["kind"] != kind or header["metric"] != "ip":
                found, asked = (NO_FAISS_KINDS.get(each, f"faiss:{each}") for each in (header["kind"], kind))
                raise InputError(
                    f"The saved index {path} is '{found}'; '{asked}' was asked. Run 'lapel index rebuild'."
                )
            if header["dim"] != dim:
                raise wrong_width(path, header["dim"], dim)
            return header | {name: np.lib.format.read_array(file, allow_pickle=False) for name in header["arrays"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def _read_header(file: IO[bytes], path: Path) -> dict[str, Any]:
    """Check magic, length and checksum, and leave the file at the first byte of the data."""
    head = file.read(HEADER_BYTES)
    if not head.startswith(MAGIC):
        raise damaged(path, "it does not start like one, or another version of Lapel wrote it")
    header: dict[str, Any] = json.loads(head[len(MAGIC) :])
    size = os.fstat(file.fileno()).st_size - HEADER_BYTES
    if size != header["bytes"]:
        raise damaged(path, f"it has {size:,} bytes of data where {header['bytes']:,} were written")
    # Read where the system keeps it, without copying: three quarters of the time.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped)[HEADER_BYTES:] as data:
        crc32 = zlib.crc32(data)
    if crc32 != header["crc32"]:
        raise damaged(path, "its checksum is another")
    file.seek(HEADER_BYTES)
    return header


def damaged(path: Path, why: object) -> InputError:
    """The error for a saved index that cannot be read."""
    return InputError(
        f"The saved index {path} is damaged or no index: {why}. Run 'lapel index rebuild': it is built again from the"
        f" catalogue."
    )


def wrong_width(path: Path | str, found: int, dim: int) -> InputError:
    """The error for a saved index of another width than the model's."""
    return InputError(
        f"The saved index {path} holds vectors {found} wide; {dim} are needed."
        " Another model made it: run 'lapel index rebuild' after encoding with this one."
    )
