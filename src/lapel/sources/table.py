"""Product tables: CSV, TSV, JSON Lines and feeds (RSS, Atom) in, one :class:`TableRow` a product out, read as a stream.

The encoding (UTF-8, UTF-16, else Windows-1252) and the delimiter (comma, semicolon, tab or bar) are found by looking. A row that
cannot be used says why and never stops the reading; a price or stock that cannot be read is left out of its product, with a reason.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from lapel.core.errors import TableError
from lapel.core.types import Product
from lapel.sources.feeds import ATTRIBUTES, COLUMNS, Feed, recognise
from lapel.sources.mapping import ColumnMap, Plan, Source
from lapel.sources.prices import ExactNumber, has_currency, parse_price, parse_stock
from lapel.sources.xml_feed import read_items

DELIMITERS = ",;\t|"
SAMPLE = 64 * 1024  # characters that are looked at to find the delimiter
PEEK = 1000  # rows that are looked at for JSON's columns and for a currency in the prices
LONGEST_CELL = 2**20  # characters; a longer one is a quote that was never closed


@dataclass(frozen=True)
class TableRow:
    """One row of a table, or one picture of a source that has no table.

    Attributes:
        line: Line of the file where it begins, from 1; for pictures their number.
        product: The product; None when the row cannot be used.
        pictures: Its pictures as the table names them, best first; none means "the picture called like the id".
        problem: What is wrong: why the row cannot be used, or what was left out of the product. Empty when all is well.
        id: The row's id, also when it cannot be used.
    """

    line: int
    product: Product | None
    pictures: tuple[str, ...] = ()
    problem: str = ""
    id: str = ""


def read_table(path: str | Path, mapping: ColumnMap = ColumnMap()) -> Table:  # noqa: B008 - a frozen value
    """Open a product table. Iterating over it, as often as wanted, gives a :class:`TableRow` for each of its rows.

    Raises:
        TableError: it cannot be read, is another kind of file, lacks a column, or has prices without a currency.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(SAMPLE)
        encoding = _encoding(path, head)
    except OSError as error:
        raise TableError(
            f"The table {path} cannot be read: {error.strerror}. Give a CSV or JSON Lines file."
        ) from error
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise TableError(f"The table {path} is an Excel workbook or an archive. Save it as CSV (UTF-8) and give that.")
    text = head.decode(encoding, "replace").lstrip("\ufeff")
    table: Table
    if not text.strip():
        raise TableError(f"The table {path} is empty. It needs a line of column names and a line for each product.")
    if text.lstrip().startswith("["):
        raise TableError(f"The table {path} is one JSON list. Write one JSON object a line (JSON Lines) instead.")
    if text.lstrip().startswith("<"):
        table = XmlTable(path, encoding)
    elif text.lstrip().startswith("{"):
        table = JsonTable(path, encoding)
    else:
        table = CsvTable(path, encoding, _delimiter(text))
    feed = recognise(table.columns) if mapping.preset == "auto" else None
    if feed is not None:
        table = FeedTable(table, feed)
    table.use(mapping)
    table.check_currency()
    return table


class Table:
    """A product table that was looked at and can be read. Open it with :func:`read_table`."""

    kind = ""  # what wrote it, where that is known
    hidden = 0  # products that the last reading left out, as their shop does not show them
    plan: Plan

    def __init__(self, path: Path, encoding: str, columns: Sequence[str]) -> None:
        self.path = path
        self.encoding = encoding
        self.columns = tuple(columns)

    def use(self, mapping: ColumnMap) -> None:
        """Decide which column fills which field.

        Raises:
            TableError: a column that is not there, or no column for the id.
        """
        try:
            self.plan = mapping.resolve(self.columns)
        except TableError as error:
            raise TableError(f"{self.path}: {error}") from error

    def records(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """Each record as its line and its cells by column, or what is wrong with it."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[TableRow]:
        build = _builder(self.plan)
        first_lines: dict[str, int] = {}
        for line, cells in self.records():
            if isinstance(cells, str):
                yield TableRow(line, None, (), cells)
                continue
            row = build(line, cells)
            if row.product is not None:
                first = first_lines.setdefault(row.id, line)
                if first != line:
                    row = TableRow(
                        line,
                        None,
                        row.pictures,
                        f"id '{row.id}' was already used in line {first}; the first row counts",
                        row.id,
                    )
            yield row

    def count(self) -> int:
        """How many rows there are, for showing how far a run is. Reads the file once."""
        return sum(1 for _ in self.records())

    def check_currency(self) -> None:
        """See that prices have a currency, before the first row rather than at each of them."""
        price, currency = self.plan.sources.get("price"), self.plan.sources.get("currency")
        if price is None or currency is not None:
            return
        cells = [record for _, record in islice(self.records(), PEEK) if isinstance(record, dict)]
        prices = [text for record in cells if (text := _text(record, price))]
        if prices and not any(map(has_currency, prices)):
            raise TableError(
                f"{self.path} has prices such as '{prices[0]}' in '{' '.join(price.columns)}', but names no currency. "
                "Add --map currency=EUR (or another), or leave prices out with --map price="
            )

    def _open(self) -> IO[str]:
        return self.path.open(encoding=self.encoding, errors="replace", newline="")


class CsvTable(Table):
    """Comma- or otherwise separated values with a line of column names."""

    def __init__(self, path: Path, encoding: str, delimiter: str) -> None:
        self.delimiter = delimiter
        self.path, self.encoding = path, encoding
        with self._open() as file:
            header: list[str] = next(self._reader(file), [])
        columns: list[str] = []
        for name in map(_clean, header):
            number = 2
            unique = name
            while name and unique in columns:  # the second of two equal names is kept apart, not lost
                unique, number = f"{name} {number}", number + 1
            columns.append(unique)
        super().__init__(path, encoding, columns)

    def _reader(self, file: IO[str]) -> Any:
        csv.field_size_limit(LONGEST_CELL)
        return csv.reader(file, delimiter=self.delimiter)

    def records(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """Each row below the column names; blank lines are passed over."""
        width = len(self.columns)
        with self._open() as file:
            reader = self._reader(file)
            next(reader, None)
            while True:
                line = reader.line_num + 1
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    yield line, f"the row cannot be read ({error}): is a quote left open?"
                    continue
                if cells is None:
                    return
                if not any(map(str.strip, cells)):
                    continue
                if len(cells) < width or any(map(str.strip, cells[width:])):
                    few = "few" if len(cells) < width else "many"
                    found = f"{len(cells)}, where {width} columns are named"
                    yield line, f"the row has too {few} cells: {found}. Is a quote or a delimiter missing?"
                    continue
                yield line, dict(zip(self.columns, cells, strict=False))


class JsonTable(Table):
    """JSON Lines: one object a line."""

    def __init__(self, path: Path, encoding: str) -> None:
        self.path, self.encoding = path, encoding
        some = [record for _, record in islice(self.records(), PEEK) if isinstance(record, dict)]
        super().__init__(path, encoding, list(dict.fromkeys(name for record in some for name in record)))

    def records(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """Each line that is not blank."""
        decoder = json.JSONDecoder(parse_int=ExactNumber, parse_float=ExactNumber, parse_constant=lambda _: "")
        # Split at line feeds only: JSON texts may hold other characters that Python takes for ends of lines.
        with self.path.open(encoding=self.encoding, errors="replace", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip().strip("\ufeff"):
                    continue
                try:
                    record = decoder.decode(line.strip().strip("\ufeff"))
                except (ValueError, RecursionError) as error:
                    yield number, f"the line is not JSON: {error}"
                    continue
                if isinstance(record, dict):
                    yield number, {_clean(name): value for name, value in record.items()}
                else:
                    yield number, "the line is not a JSON object in braces"


class XmlTable(Table):
    """An RSS or Atom feed; its lines are the items' numbers."""

    def __init__(self, path: Path, encoding: str) -> None:
        self._items = read_items(path)
        super().__init__(path, encoding, list(dict.fromkeys(name for item in self._items for name in item)))

    def records(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """Each item."""
        return enumerate((dict(item) for item in self._items), 1)


class FeedTable(Table):
    """A feed whose rows are joined, a record a product. All of it is in memory while it is read."""

    def __init__(self, inner: Table, feed: Feed) -> None:
        self._inner, self._feed = inner, feed
        self.kind = feed.name
        super().__init__(inner.path, inner.encoding, list(dict.fromkeys((*COLUMNS, *ATTRIBUTES, *inner.columns))))

    def use(self, mapping: ColumnMap) -> None:
        """Fields are filled by what was joined, or by any column of the feed that ``mapping`` names."""
        super().use(mapping)
        used = {column for each in self.plan.sources.values() for column in each.columns}
        names = (*ATTRIBUTES, *self._feed.kept(self._inner.columns))
        self.plan = replace(self.plan, attributes={name: name for name in names if name not in used})

    def records(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """What cannot be read, then each product."""
        good: list[tuple[int, dict[str, Any]]] = []
        for line, cells in self._inner.records():
            if isinstance(cells, str):
                yield line, cells
            else:
                good.append((line, cells))
        self.hidden = 0
        for line, record in self._feed.records(good):
            if record is None:
                self.hidden += 1
            else:
                yield line, record


def _builder(plan: Plan) -> Callable[[int, dict[str, Any]], TableRow]:
    """A function from a record to its row, with everything that is the same for all rows decided once."""
    nothing = Source()
    source = {
        name: plan.sources.get(name, nothing)
        for name in ("id", "title", "gender", "brand", "colour", "season", "currency", "price", "in_stock")
    }
    category, pictures = plan.sources.get("category", nothing), plan.sources.get("pictures", nothing)
    attributes = list(plan.attributes.items())

    def build(line: int, cells: dict[str, Any]) -> TableRow:
        identifier = _text(cells, source["id"])
        if not identifier:
            return TableRow(line, None, (), f"the row has no id in column '{' '.join(source['id'].columns)}'")
        problems: list[str] = []
        price_minor, currency = _price(
            _text(cells, source["price"]), _text(cells, source["currency"]).upper(), problems
        )
        try:
            in_stock = parse_stock(_text(cells, source["in_stock"]))
        except ValueError as error:
            in_stock = None
            problems.append(f"{error}; kept without it")
        product = Product(
            id=identifier,
            title=_text(cells, source["title"]),
            category=_levels(cells, category),
            gender=_text(cells, source["gender"]),
            brand=_text(cells, source["brand"]),
            colour=_text(cells, source["colour"]),
            season=_text(cells, source["season"]),
            price_minor=price_minor,
            currency=currency,
            in_stock=in_stock,
            attributes={name: text for column, name in attributes if (text := _cell(cells.get(column)))},
        )
        return TableRow(line, product, _pictures(cells, pictures), "; ".join(problems), identifier)

    return build


def _price(text: str, currency: str, problems: list[str]) -> tuple[int | None, str]:
    """A price and its currency; what is wrong with it goes to ``problems``, and it is left out."""
    if not text:
        return None, ""
    try:
        minor, found = parse_price(text, currency)
    except ValueError as error:
        problems.append(f"{error}; kept without a price")
        return None, ""
    if not (len(found) == 3 and found.isascii() and found.isalpha()):
        said = f"the currency '{found}', which is not three letters such as EUR" if found else "no currency"
        problems.append(f"price '{text}' has {said}; kept without a price")
        return None, ""
    return minor, found


def _cell(value: Any) -> str:
    """A cell as text: JSON's numbers as written, yes and no for its truth values, lists joined by ``|``."""
    if type(value) is str:
        return _clean(value)
    if value is None:
        return ""
    if isinstance(value, ExactNumber):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "|".join(filter(None, map(_cell, value)))
    return _clean(json.dumps(value, ensure_ascii=False))


def _clean(text: str) -> str:
    """Without blanks around it, and without what UTF-8 or C cannot hold."""
    text = text.strip()
    if text.isascii():
        return text.replace("\0", "").strip() if "\0" in text else text
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip("\ufeff").strip()


def _text(cells: dict[str, Any], source: Source) -> str:
    return _cell(cells.get(source.columns[0])) if source.columns else source.fixed


def _levels(cells: dict[str, Any], source: Source) -> tuple[str, ...]:
    """The category from wide to narrow: a column a level, a JSON list, or one text with ``>`` between the levels."""
    if not source.columns:
        texts = source.fixed.split(">")
    elif len(source.columns) > 1:
        texts = [_cell(cells.get(column)) for column in source.columns]
    else:
        value = cells.get(source.columns[0])
        texts = [_cell(level) for level in value] if isinstance(value, list) else _cell(value).split(">")
    return tuple(filter(None, map(str.strip, texts)))


def _pictures(cells: dict[str, Any], source: Source) -> tuple[str, ...]:
    texts = _text(cells, source).split("|")
    return tuple(dict.fromkeys(filter(None, map(str.strip, texts))))


def _encoding(path: Path, head: bytes) -> str:
    """UTF-16 by its mark or its zeros, UTF-8 if the whole file is, else Windows-1252, which accepts anything."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    pairs = max(1, len(head) // 2)
    if head[1::2].count(0) > 0.4 * pairs:  # Latin letters have a zero as every second byte
        return "utf-16-le"
    if head[0::2].count(0) > 0.4 * pairs:
        return "utf-16-be"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _delimiter(text: str) -> str:
    """The delimiter that cuts the column names into the most pieces."""
    lines = [line for line in text.splitlines() if line.strip()]
    header = lines[0]
    pieces = {mark: len(next(csv.reader([header], delimiter=mark))) for mark in DELIMITERS}
    return max(DELIMITERS, key=lambda mark: pieces[mark])
