"""The file of a FAISS index: a header of fixed length with length and checksum, then data.

FAISS trusts the bytes it is given, so they
are checked before it sees them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from lapel.indexes.exact import damaged

MAGIC = b"LAPELID2"
HEADER = 512  # bytes of magic and JSON before the data
CHUNK = 1 << 20


def write_checked(file: IO[bytes], about: Mapping[str, Any], write: Callable[[Checked], None]) -> None:
    """Write data, then the header before it, when length and checksum are known."""
    check = Checked(file)
    file.seek(HEADER)
    write(check)
    file.seek(0)
    file.write((MAGIC + json.dumps({**about, "bytes": check.bytes, "crc32": check.crc32}).encode()).ljust(HEADER))


def read_header(file: IO[bytes], path: Path) -> dict[str, Any]:
    """Check magic, length and checksum, and leave the file at the first byte of the data."""
    head = file.read(HEADER)
    if not head.startswith(MAGIC):
        raise damaged(path, "it does not start like one")
    about: dict[str, Any] = json.loads(head[len(MAGIC) :])
    size, crc32 = 0, 0
    while chunk := file.read(CHUNK):
        size, crc32 = size + len(chunk), zlib.crc32(chunk, crc32)
    if size != about["bytes"]:
        raise damaged(path, f"it has {size:,} bytes of data where {about['bytes']:,} were written")
    if crc32 != about["crc32"]:
        raise damaged(path, "its checksum is another")
    file.seek(HEADER)
    return about


class Checked:
    """Hands bytes on to a file and keeps their number and checksum."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.bytes = 0
        self.crc32 = 0

    def write(self, data: bytes) -> int:
        """Write one piece."""
        self._file.write(data)
        self.bytes += len(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        return len(data)
