"""The file of an index in memory: a header of fixed length with kind, width, length and checksum, then data.

FAISS trusts the bytes it is given, so they are checked before it sees them. A file is written beside its place and
moved there once it is on the disk, so that a crash leaves the old one.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from lapel.core.errors import InputError

MAGIC = b"LAPELID3"  # the last digit is the layout's; files of others are built again
HEADER_BYTES = 512  # magic and JSON before the data

WriteBytes = Callable[[bytes], int]
NO_FAISS_KINDS = {"exact": "exact:", "torch": "torch:"}  # how their index is opened; others are 'faiss:' and the kind


def write_checked(path: Path | None, header: Mapping[str, Any], write_data: Callable[[WriteBytes], None]) -> None:
    """Write an index's file wholly, or not at all.

    Args:
        path: Where to.
        header: ``kind``, ``dim`` and what else reading needs.
        write_data: Called with what writes some bytes of data.

    Raises:
        InputError: there is no path.
        OSError: it cannot be written.
    """
    if path is None:
        raise InputError("This index was opened without a path, so it cannot be saved. Give open_index a path.")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            _write(file, {"metric": "ip", **header}, write_data)
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


def _write(file: IO[bytes], header: Mapping[str, Any], write_data: Callable[[WriteBytes], None]) -> None:
    """Data first, then the header before it, when length and checksum are known."""
    size, crc32 = 0, 0

    def write(data: bytes) -> int:
        nonlocal size, crc32
        file.write(data)
        size, crc32 = size + len(data), zlib.crc32(data, crc32)
        return len(data)

    file.seek(HEADER_BYTES)
    write_data(write)
    file.seek(0)
    file.write((MAGIC + json.dumps({**header, "bytes": size, "crc32": crc32}).encode()).ljust(HEADER_BYTES))


@contextmanager
def read_checked(path: Path, kind: str, dim: int) -> Iterator[tuple[IO[bytes], dict[str, Any]]]:
    """An index's file at the first byte of its data, and its header; what reading raises inside leaves as InputError.

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
            yield file, header
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
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


def read_column(file: IO[bytes], dtype: type, count: int) -> Any:
    """The next ``count`` numbers of a file, (count,), as an array that may be changed."""
    return np.frombuffer(file.read(np.dtype(dtype).itemsize * count), dtype).copy()


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
