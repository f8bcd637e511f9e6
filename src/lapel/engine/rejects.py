"""What a run could not use: a CSV with a line for each row and picture, and its reasons by count.

Messages that differ only in names, places and numbers are one reason.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lapel.core.errors import InputError
from lapel.core.text import shortened
from lapel.sources.table import TableRow

REJECT_COLUMNS = ("line", "product", "picture", "outcome", "reason")
Note = Callable[[TableRow, str, str, str], None]  # row, picture, outcome, reason
MAX_CELL_CHARACTERS = 2000  # an image may be written into the table where its name belongs
MAX_REASONS = 500  # kept apart; a run has a handful
OTHER_REASONS = "other reasons"
# What one message has and the next of its kind has otherwise: quoted names, addresses, paths, numbers.
_VARIES = re.compile(r"'[^']*'|\b[a-z0-9]+://\S+|(?<!\w)/\S+|\d[\d,.]*\d|\d")


class Reasons:
    """Counts messages by what they have in common.

    >>> reasons = Reasons()
    >>> reasons.count("There is no file 'a.jpg' in /shop.")
    >>> reasons.count("There is no file 'b.jpg' in /shop.")
    >>> reasons.counts()
    {"There is no file '…' in /shop.": 2}
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._parts: dict[str, list[str]] = {}

    def count(self, message: str) -> None:
        """Count one message."""
        message = message.replace("\0", " ")
        kind = _VARIES.sub("\0", message)
        if kind not in self._counts and len(self._counts) >= MAX_REASONS:
            kind = message = OTHER_REASONS
        self._counts[kind] = self._counts.get(kind, 0) + 1
        found = _VARIES.findall(message)
        parts = self._parts.setdefault(kind, found)
        if parts != found:
            self._parts[kind] = [old if old == new else _blank(old) for old, new in zip(parts, found, strict=True)]

    def counts(self) -> dict[str, int]:
        """How often each reason was met, the most frequent first; what differs among its messages stands as ``…``."""
        made: dict[str, int] = {}
        for kind, count in sorted(self._counts.items(), key=lambda item: -item[1]):
            texts = kind.split("\0")
            filled = [text + part for text, part in zip(texts, [*self._parts[kind], ""], strict=True)]
            made["".join(filled)] = made.get("".join(filled), 0) + count
        return made


def _blank(part: str) -> str:
    return "'…'" if part.startswith("'") else "…"


@contextmanager
def rejects_file(path: Path | None, reasons: Reasons) -> Iterator[Note]:
    """A CSV that grows beside its final name and gets it at the end, also when the run was interrupted; its reasons are
    counted."""
    if path is None:
        yield lambda *line: reasons.count(line[-1])
        return
    part = path.with_name(path.name + ".part")
    try:
        # Line by line, so that even a killed run leaves what it found so far.
        file = part.open("w", encoding="utf-8", newline="", buffering=1)
    except OSError as error:
        raise InputError(
            f"The list of unusable pictures cannot be written to {path}: {error.strerror}. Choose another place."
        ) from error
    with file:
        table = csv.writer(file)
        table.writerow(REJECT_COLUMNS)

        def note(row: TableRow, picture: str, outcome: str, reason: str) -> None:
            reasons.count(reason)
            table.writerow([_storable(value) for value in (str(row.line), row.id, picture, outcome, reason)])

        try:
            yield note
        finally:
            file.flush()
            part.replace(path)


def _storable(text: str) -> str:
    """What UTF-8 holds, as names of files may be made of any bytes; and not more than tells what is meant."""
    text = shortened(
        text, 40 if text[:5].lower() == "data:" else MAX_CELL_CHARACTERS
    )  # such an address is the picture itself
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
