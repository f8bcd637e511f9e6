"""Files of records: CSV, TSV, JSON, spreadsheets and XML feeds in, each record as its line and its cells by column out.

Everything is read as a stream that can be begun again, except where a format allows no streaming. A record that cannot
be read is a text that says why.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

from lapel.core.errors import TableError
from lapel.core.text import counted, reason_of
from lapel.sources.cells import PROBLEM, identifier
from lapel.sources.encoding import Encoding, find_encoding
from lapel.sources.feeds import ATTRIBUTES, COLUMNS, Feed, Hidden
from lapel.sources.prices import ExactNumber
from lapel.sources.xml_feed import read_items

DELIMITERS = ",;\t|"
HEAD_BYTES = 64 * 1024  # characters that are looked at to find the delimiter
PEEK_RECORDS = (
    1000  # records that are looked at: for JSON's columns, for what a column holds, for a currency in the prices
)
MAX_CELL_CHARACTERS = 2**20  # characters; a longer one is a quote that was never closed
LISTS = ("products", "items", "data", "results", "records", "rows")  # names of a JSON file's list
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx and .ods, and .xls begin
Record = tuple[int, "dict[str, Any] | str"]


class Records(Protocol):
    """A file of records that was looked at and can be read, as often as wanted.

    Attributes:
        columns: The names of its columns.
        encoding: What its bytes are read as.
        kind: What wrote it, where that is known.
        hidden: How many products the last reading left out, as their shop does not show them, by why.
    """

    columns: tuple[str, ...]
    encoding: Encoding
    kind: str
    hidden: Counter[str]

    def __iter__(self) -> Iterator[Record]:
        """Each record as its line, from 1, and its cells by column, or what is wrong with it."""
        ...


def open_records(path: Path, encoding: str = "") -> Records:
    """Open a file of records, whatever its format.

    Args:
        path: The file.
        encoding: What it is written in; empty to find out.

    Raises:
        TableError: it cannot be read, is empty, or is another kind of file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if head.startswith(WORKBOOKS):
            return SheetRecords(path)
        found = find_encoding(path, head, encoding)
    except OSError as error:
        raise TableError(
            f"The table {path} cannot be read: {error.strerror}. Give a CSV, JSON or Excel file of products."
        ) from error
    text = head.decode(found.name, "replace").lstrip("\ufeff")
    if not text.strip():
        raise TableError(f"The table {path} is empty. It needs a line of column names and a line for each product.")
    begin = text.lstrip()[:1]
    if begin == "<":
        return XmlRecords(path)
    if begin == "{":
        lines = JsonRecords(path, found)
        return lines if lines.is_one_a_line() else JsonListRecords(path, found)
    return JsonListRecords(path, found) if begin == "[" else CsvRecords(path, found, text)


class _Base:
    kind = ""
    columns: tuple[str, ...] = ()

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self.path, self.encoding = path, encoding
        self.hidden: Counter[str] = Counter()

    def _open(self, newline: str = "") -> IO[str]:
        return self.path.open(encoding=self.encoding.name, errors="replace", newline=newline)


class _Lines:
    """A file's lines, of which the last ones can be given back."""

    def __init__(self, file: IO[str]) -> None:
        self._file = iter(file)
        self._given_back: list[str] = []
        self.taken: list[str] = []  # since they were last forgotten
        self.number = 0  # of the last line

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._given_back.pop() if self._given_back else next(self._file)
        self.taken.append(line)
        self.number += 1
        return line

    def give_back(self) -> str:
        """Give back all lines taken but the first, which is returned."""
        first, *rest = self.taken
        self._given_back += reversed(rest)
        self.number -= len(rest)
        self.taken = [first]
        return first


class CsvRecords(_Base):
    """Comma- or otherwise separated values with a line of column names (RFC 4180)."""

    def __init__(self, path: Path, encoding: Encoding, text: str) -> None:
        super().__init__(path, encoding)
        first, *rest = [line for line in text.splitlines() if line.strip()]
        # Excel's own way of naming the delimiter, which other programs take for the column names.
        said = re.fullmatch(r'"?sep=(.)"?[,;\t|]*', first.strip(" \ufeff"), re.IGNORECASE) if rest else None
        self._skipped = 1 if said else 0
        self.delimiter = said[1] if said else _delimiter(first)
        with self._open() as file:
            header: list[str] = next(self._reader(islice(file, self._skipped, None)), [])
        self.columns = _unique(header)

    def _reader(self, lines: Iterable[str]) -> Any:
        csv.field_size_limit(MAX_CELL_CHARACTERS)
        return csv.reader(lines, delimiter=self.delimiter, strict=True)

    def __iter__(self) -> Iterator[Record]:
        """Each row below the column names; blank lines are passed over."""
        width = len(self.columns)
        with self._open() as file:
            lines = _Lines(file)
            for _ in range(self._skipped):
                next(lines, None)
            reader = self._reader(lines)
            next(reader, None)
            while True:
                lines.taken = []
                line = lines.number + 1
                note = ""
                try:
                    cells = next(reader, None)
                    if len(lines.taken) > 1 and self._swallowed(lines.taken):
                        cells, note = self._alone(lines.give_back())
                except csv.Error:
                    cells, note = self._alone(lines.give_back())
                if cells is None:
                    return
                if any(map(str.strip, cells)):
                    yield line, self._record(cells, width, note)

    def _record(self, cells: list[str], width: int, note: str) -> dict[str, Any] | str:
        if len(cells) < width or any(map(str.strip, cells[width:])):
            few = "few" if len(cells) < width else "many"
            found = f"{len(cells)}, where {width} columns are named"
            return f"the row has too {few} cells: {found}. Is a quote or a delimiter missing?"
        record: dict[str, Any] = dict(zip(self.columns, cells, strict=False))
        if note:
            record[PROBLEM] = note
        return record

    def _alone(self, line: str) -> tuple[list[str], str]:
        """The cells of a line in which a quote is not closed, or closed too early: read without the rows below it."""
        for options in ({"escapechar": "\\"}, {"quoting": csv.QUOTE_NONE}):
            try:
                cells = next(csv.reader([line], delimiter=self.delimiter, strict=True, **options))
            except (csv.Error, StopIteration):
                continue
            if len(cells) == len(self.columns):
                break
        cells = [cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell for cell in cells]
        return (
            cells,
            "a quote in the row is not closed, or stands in the middle of a cell; the row was read as it stands",
        )

    def _swallowed(self, lines: Sequence[str]) -> bool:
        """Whether a quoted cell holds whole rows: each of its lines has the cells of one, and begins like the first."""
        rows = [line.rstrip("\r\n").split(self.delimiter) for line in lines]
        alike = {(len(row), _shape(row[0])) for row in rows}
        return alike == {(len(self.columns), _shape(rows[0][0]))} and len(self.columns) > 1


def _shape(text: str) -> str:
    """What a text is made of: ``AB-12`` is ``a-9``."""
    return re.sub(r"a+", "a", re.sub(r"9+", "9", re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text.strip().strip('"')))))


class JsonRecords(_Base):
    """JSON Lines: one object a line."""

    def __init__(self, path: Path, encoding: Encoding) -> None:
        super().__init__(path, encoding)
        self._peeked = [record for _, record in islice(self, PEEK_RECORDS) if isinstance(record, dict)]
        self.columns = tuple(dict.fromkeys(name for record in self._peeked for name in record))

    def is_one_a_line(self) -> bool:
        """Whether lines are objects, and not one object that holds a list of them."""
        return bool(self._peeked) and not (len(self._peeked) == 1 and _list_in(self._peeked[0]))

    def __iter__(self) -> Iterator[Record]:
        """Each line that is not blank."""
        decoder = _decoder()
        # Split at line feeds only: JSON texts may hold other characters that Python takes for ends of lines.
        with self._open("\n") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip().strip("\ufeff"):
                    continue
                try:
                    record = decoder.decode(line.strip().strip("\ufeff"))
                except (ValueError, RecursionError) as error:
                    yield number, f"the line is not JSON: {error}"
                    continue
                yield number, _cells(record) if isinstance(record, dict) else "the line is not a JSON object in braces"


class JsonListRecords(_Base):
    """One JSON list of objects, or an object with such a list.

    All of it is in memory; its lines are the objects' numbers.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        super().__init__(path, encoding)
        try:
            with self._open() as file:
                read = _decoder().decode(file.read().strip().strip("\ufeff"))
        except (ValueError, RecursionError) as error:
            raise TableError(
                f"The table {path} is broken JSON: {error}. It was not read and nothing was changed. Export it again."
            ) from error
        self._list = read if isinstance(read, list) else _list_in(read) or [read]
        some = [record for record in self._list[:PEEK_RECORDS] if isinstance(record, dict)]
        if not some:
            raise TableError(f"The table {path} holds no JSON objects. Write one object for each product.")
        self.columns = tuple(dict.fromkeys(identifier(name) for record in some for name in record))

    def __iter__(self) -> Iterator[Record]:
        """Each entry of the list."""
        for number, record in enumerate(self._list, 1):
            yield number, _cells(record) if isinstance(record, dict) else "the entry is not a JSON object in braces"


class SheetRecords(_Base):
    """The first filled sheet of an Excel or OpenDocument workbook; its first filled row holds the column names."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Encoding("utf-8"))
        from python_calamine import CalamineError, CalamineWorkbook

        try:
            book = CalamineWorkbook.from_path(path)
            sheets = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}
        except (CalamineError, OSError, ValueError) as error:
            raise TableError(
                f"The table {path} cannot be read as a workbook: {reason_of(error)}. Save it as CSV (UTF-8) and give"
                f" that."
            ) from error
        filled = {name: _sheet_rows(rows) for name, rows in sheets.items()}
        name, *others = [name for name, rows in filled.items() if rows] or [""]
        if not name:
            raise TableError(f"The table {path} has no filled sheet. Save the sheet with the products as CSV (UTF-8).")
        self._rows = filled[name]
        self.columns = _unique(self._rows[0][1])
        if others:
            more = f"{counted(len(others), 'more sheet')} of {path.name} {'is' if len(others) == 1 else 'are'} not read"
            self.encoding = Encoding(
                "utf-8", f"{more}: {', '.join(others)}. Only '{name}' is; save the others as files."
            )

    def __iter__(self) -> Iterator[Record]:
        """Each filled row below the column names."""
        for number, cells in self._rows[1:]:
            yield number, dict(zip(self.columns, cells, strict=True))


class XmlRecords(_Base):
    """An RSS or Atom feed; its lines are the items' numbers."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Encoding("utf-8"))
        self._items = read_items(path)
        self.columns = tuple(dict.fromkeys(name for item in self._items for name in item))

    def __iter__(self) -> Iterator[Record]:
        """Each item."""
        return enumerate((dict(item) for item in self._items), 1)


class FeedRecords:
    """A feed whose rows are joined, a record a product. All of it is in memory while it is read."""

    def __init__(self, inner: Records, feed: Feed) -> None:
        self._inner, self._feed = inner, feed
        self.encoding, self.kind = inner.encoding, feed.name
        self.hidden: Counter[str] = Counter()
        self.columns = tuple(dict.fromkeys((*COLUMNS, *ATTRIBUTES, *inner.columns)))
        self.attributes = (*ATTRIBUTES, *feed.kept(inner.columns))

    def __iter__(self) -> Iterator[Record]:
        """What cannot be read, then each product."""
        good: list[tuple[int, dict[str, Any]]] = []
        for line, cells in self._inner:
            if isinstance(cells, str):
                yield line, cells
            else:
                good.append((line, cells))
        self.hidden.clear()
        for line, record in self._feed.records(good):
            if isinstance(record, Hidden):
                self.hidden[record.why] += 1
            else:
                yield line, record


def _sheet_rows(rows: Sequence[Sequence[Any]]) -> list[tuple[int, list[str]]]:
    """A sheet's rows that are not empty, as texts, with their numbers from 1."""
    read = [(number, [_sheet_cell(cell) for cell in row]) for number, row in enumerate(rows, 1)]
    return [(number, cells) for number, cells in read if any(cells)]


def _sheet_cell(value: Any) -> str:
    """A workbook's cell as text: whole numbers without a point, dates as ISO 8601. A number stays one, whatever its
    decimals look like."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return ExactNumber(format(Decimal(repr(value)), "f").removesuffix(".0"))
    if hasattr(value, "isoformat"):
        return str(value.isoformat()).removesuffix("T00:00:00")
    return str(value).strip() if value is not None else ""


def _unique(header: Iterable[str]) -> tuple[str, ...]:
    """Names of columns; the second of two equal ones is kept apart, not lost."""
    columns: list[str] = []
    for name in map(identifier, header):
        number = 2
        unique = name
        while name and unique in columns:
            unique, number = f"{name} {number}", number + 1
        columns.append(unique)
    return tuple(columns)


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_int=ExactNumber, parse_float=ExactNumber, parse_constant=lambda _: "")


def _cells(record: dict[str, Any]) -> dict[str, Any]:
    return {identifier(name): value for name, value in record.items()}


def _list_in(record: dict[str, Any]) -> list[Any]:
    """The list of objects that a JSON object holds under one of the usual names; empty when it holds none."""
    for name in LISTS:
        value = record.get(name)
        if isinstance(value, dict) and len(record) == 1:  # {"data": {"products": [...]}}
            value = _list_in(value)
        if isinstance(value, list) and value and isinstance(value[0], dict) and "id" not in record:
            return value
    return []


def _delimiter(header: str) -> str:
    """The delimiter that cuts the column names into the most pieces."""

    def pieces(mark: str) -> int:
        return len(next(csv.reader([header], delimiter=mark)))

    return max(DELIMITERS, key=pieces)
