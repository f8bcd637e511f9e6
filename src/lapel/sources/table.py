"""Product tables and feeds: a file in, one :class:`TableRow` a product out, read as a stream.

Format, encoding, delimiter, feed and columns are found by looking, and what is a guess is said in :attr:`Table.notes`.
A row that cannot be used says why and never stops the reading; a value that cannot be read is left out of its product,
with a reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from lapel.core.errors import TableError
from lapel.core.text import shortened
from lapel.core.types import Product, is_web_address
from lapel.sources.cells import PROBLEM, identifier, photo_names, raw_text, text_of
from lapel.sources.feeds import recognise, shop_gender
from lapel.sources.mapping import ColumnMap, Plan, Source
from lapel.sources.names import as_link
from lapel.sources.prices import ASSUMED_SIGNS, ExactNumber, currency_of, parse_price, parse_stock, sign_of
from lapel.sources.records import PEEK_RECORDS, FeedRecords, Records, open_records

# How the names of table files end.
ENDINGS = (
    *(".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".xml", ".rss", ".atom"),
    *(".xlsx", ".xlsm", ".xls", ".ods"),
)
_NOTHING = Source()


@dataclass(frozen=True)
class TableRow:
    """One row of a table, or one photo of a source that has no table.

    Attributes:
        line: Line of the file where it begins, from 1; for photos their number.
        product: The product; None when the row cannot be used.
        photos: Its photos as the table names them, best first; none means "the photo called like the id".
        problem: What is wrong: why the row cannot be used, or what was left out of the product. Empty when all is well.
        id: The row's id, also when it cannot be used.
    """

    line: int
    product: Product | None
    pictures: tuple[str, ...] = ()
    problem: str = ""
    id: str = ""


def read_table(path: str | Path, mapping: ColumnMap | None = None, *, encoding: str = "") -> Table:
    """Open a product table. Iterating over it, as often as wanted, gives a :class:`TableRow` for each of its products.

    Args:
        path: A CSV, TSV, JSON, JSON Lines, Excel, OpenDocument, RSS or Atom file.
        mapping: Which column fills which field.
        encoding: What the file is written in, such as ``cp1251``; empty to find out.

    Raises:
        TableError: it cannot be read, is another kind of file, lacks a column, or has prices without a currency.
    """
    path, mapping = Path(path), mapping or ColumnMap()
    records = open_records(path, encoding)
    feed = recognise(records.columns) if mapping.preset == "auto" else None
    return Table(path, FeedRecords(records, feed) if feed else records, mapping)


class Table:
    """A product table that was looked at and can be read. Open it with :func:`read_table`.

    Attributes:
        path: The file.
        columns: Its columns; of a feed also those that joining its rows makes.
        plan: Which of them fills which field.
        notes: What was guessed and should be seen, a sentence each.
    """

    def __init__(self, path: Path, records: Records, mapping: ColumnMap) -> None:
        self.path, self._records = path, records
        self.columns = records.columns
        self._peeked = [record for _, record in islice(records, PEEK_RECORDS) if isinstance(record, dict)]
        try:
            self.plan = mapping.resolve(self.columns, self._peeked)
        except TableError as error:
            raise TableError(f"{path}: {error}") from error
        if isinstance(records, FeedRecords):
            used = {column for each in self.plan.sources.values() for column in each.columns}
            names = {name: name for name in records.attributes if name not in used}
            self.plan = replace(self.plan, attributes=names)
        self.notes = (
            *filter(None, (records.encoding.note, *self.plan.notes, self._gender_note(), self._currency_note())),
        )

    @property
    def kind(self) -> str:
        """What wrote it, where that is known, such as Shopify."""
        return self._records.kind

    @property
    def encoding(self) -> str:
        """What its bytes are read as."""
        return self._records.encoding.name

    @property
    def hidden(self) -> int:
        """How many products the last reading left out, as their shop does not show them."""
        return self._records.hidden.total()

    @property
    def hidden_why(self) -> Mapping[str, int]:
        """The same by why, such as ``draft``."""
        return self._records.hidden

    def __iter__(self) -> Iterator[TableRow]:
        build = _builder(self.plan, broken=self._records.encoding.broken, feed=isinstance(self._records, FeedRecords))
        repeated = self._scanned[1]
        waiting: dict[str, list[TableRow]] = {}
        for line, cells in self._records:
            if isinstance(cells, str):
                yield TableRow(line, None, (), cells)
                continue
            row = build(line, cells)
            if row.id not in repeated:
                yield row
                continue
            rows = waiting.setdefault(row.id, [])
            rows.append(row)
            if len(rows) == repeated[row.id]:
                yield from _join(waiting.pop(row.id))
        for rows in waiting.values():  # the file lost rows since it was looked through
            yield from _join(rows)

    def count(self) -> int:
        """How many rows the file has, for showing how far a run is."""
        return self._scanned[0]

    @cached_property
    def _scanned(self) -> tuple[int, dict[str, int]]:
        """How many rows there are, and how often each id stands that stands several times: the file is read once for
        both."""
        column = self.plan.sources["id"].columns
        rows = 0
        seen: set[str] = set()
        more: Counter[str] = Counter()
        for _, cells in self._records:
            rows += 1
            if column and isinstance(cells, dict) and (name := identifier(cells.get(column[0]))):
                more.update((name,) if name in seen else ())
                seen.add(name)
        return rows, {name: count + 1 for name, count in more.items()}

    def _gender_note(self) -> str:
        """What to say of words for whom a product is that are written otherwise."""
        texts = {_text(cells, self.plan.sources.get("gender", _NOTHING)) for cells in self._peeked}
        said = [f"'{text}' as {shop_gender(text)}" for text in sorted(texts) if shop_gender(text) != text]
        return f"Gender is written as other shops do: {', '.join(said)}" if said else ""

    def _currency_note(self) -> str:
        """See that prices have a currency before the first row rather than at each of them; what to say of a sign that
        several use."""
        price, currency = self.plan.sources.get("price"), self.plan.sources.get("currency")
        if price is None:
            return ""
        if currency is not None and (currency.fixed or any(_text(cells, currency) for cells in self._peeked)):
            return ""
        prices = [text for record in self._peeked if (text := _price_text(record, price))]
        known = {text: sign for text in prices if currency_of(sign := sign_of(text))}
        if prices and not known:
            raise TableError(
                f"{self.path} has prices such as '{prices[0]}' in '{' '.join(price.columns)}', but names no currency. "
                "Add --map currency=EUR (or another), or leave prices out with --map price="
            )
        assumed = {sign.casefold().rstrip("."): text for text, sign in known.items()}
        said = [f"'{text}' as {currency_of(sign)}" for sign, text in assumed.items() if sign in ASSUMED_SIGNS]
        return (
            f"Prices are read such as {', '.join(said)}. If that is wrong, say it: --map currency=CAD" if said else ""
        )


def _join(rows: Sequence[TableRow]) -> Iterator[TableRow]:
    """Rows of one id: those that say the same of the product and only name other photos are one, as in a table with a
    row a photo."""
    first, *others = sorted(rows, key=lambda row: row.product is None)  # the first that can be used
    left: list[TableRow] = []
    for row in others:
        joined = _joined(first, row)
        if joined is None:
            problem = f"id '{row.id}' was already used in line {first.line}; the first row counts"
            left.append(TableRow(row.line, None, row.pictures, problem, row.id))
        else:
            first = joined
    yield first
    yield from left


def _joined(first: TableRow, row: TableRow) -> TableRow | None:
    """The first row with the photos and attributes of another; None when this names no other photos, or is another
    product."""
    one, other = first.product, row.product
    if one is None or other is None or not set(row.pictures) - set(first.pictures):
        return None
    attributes = dict(one.attributes)
    for name, text in other.attributes.items():
        known = attributes.get(name, "").split("|")
        attributes[name] = "|".join(filter(None, dict.fromkeys((*known, *text.split("|")))))
    same = replace(other, **{name: getattr(one, name) for name in _BLANK if not getattr(other, name)}, attributes={})
    if replace(one, attributes={}) != same:
        return None
    problem = "; ".join(dict.fromkeys(filter(None, (first.problem, row.problem))))
    pictures = tuple(dict.fromkeys((*first.pictures, *row.pictures)))
    return replace(first, product=replace(one, attributes=attributes), pictures=pictures, problem=problem)


# What the further rows of a product may leave empty.
_BLANK = ("title", "category", "gender", "brand", "colour", "season", "price_minor", "currency", "in_stock", "url")


def _builder(plan: Plan, *, broken: bool, feed: bool) -> Callable[[int, dict[str, Any]], TableRow]:
    """A function from a record to its row, with everything that is the same for all rows decided once."""
    texts = {name: plan.sources.get(name, _NOTHING) for name in ("title", "brand", "colour", "season")}
    ids, gender, price, currency, stock, url, category, pictures = (
        plan.sources.get(name, _NOTHING)
        for name in ("id", "gender", "price", "currency", "in_stock", "url", "category", "pictures")
    )
    attributes = list(plan.attributes.items())

    def build(line: int, cells: dict[str, Any]) -> TableRow:
        named = identifier(cells.get(ids.columns[0])) if ids.columns else ids.fixed
        if not named:
            return TableRow(line, None, (), f"the row has no id in column '{' '.join(ids.columns)}'")
        problems = [cells[PROBLEM]] if PROBLEM in cells else []
        if broken and any("\ufffd" in raw_text(value) for value in cells.values()):
            problems.append("the row holds bytes that are no text in the table's encoding, shown as \ufffd")
        minor, money = _price(_price_text(cells, price), _text(cells, currency).upper(), problems)
        product = Product(
            id=named,
            **{name: _text(cells, source) for name, source in texts.items()},
            gender=shop_gender(_text(cells, gender)),
            category=_levels(cells, category),
            price_minor=minor,
            currency=money,
            in_stock=_stock(_text(cells, stock), problems),
            attributes={name: text for column, name in attributes if (text := text_of(cells.get(column)))},
            url=_url(_text(cells, url), problems),
        )
        names = _pictures(cells, pictures)
        if not names and feed:  # its ids are no names of files
            return TableRow(line, None, (), "the row names no picture", named)
        if not names and pictures.columns:
            problems.append("the row names no picture; the one that is called like its id is taken, if there is one")
        return TableRow(line, product, names, "; ".join(problems), named)

    return build


def _price_text(cells: dict[str, Any], source: Source) -> str:
    """A price as it is written: a JSON number stays one."""
    value = cells.get(source.columns[0]) if source.columns else source.fixed
    return value if isinstance(value, ExactNumber) else text_of(value)


def _price(text: str, currency: str, problems: list[str]) -> tuple[int | None, str]:
    """A price and its currency; what is wrong with it goes to ``problems``, and it is left out."""
    if not text:
        return None, ""
    try:
        stated = currency_of(currency) or currency
        if stated and len(stated) != 3 and currency_of(sign_of(text)):
            problems.append(f"the currency '{currency}' is not known; the one beside the price counts")
            stated = ""
        minor, found = parse_price(text, stated)
    except ValueError as error:
        problems.append(f"{error}; kept without a price")
        return None, ""
    if not (len(found) == 3 and found.isascii() and found.isalpha()):
        said = f"the currency '{found}', which is not three letters such as EUR" if found else "no currency"
        problems.append(f"price '{text}' has {said}; kept without a price")
        return None, ""
    return minor, found


def _stock(text: str, problems: list[str]) -> bool | None:
    try:
        return parse_stock(text)
    except ValueError as error:
        problems.append(f"{error}; kept without it")
        return None


def _url(text: str, problems: list[str]) -> str:
    """The address of a product's page; one that cannot stand in a page is left out."""
    address: str = as_link(text) or text
    address = re.sub(r"[ '()<>]", lambda found: f"%{ord(found[0]):02X}", address)
    if not address or is_web_address(address):
        return address
    problems.append(f"url '{shortened(text)}' is not an http or https address; kept without it")
    return ""


def _text(cells: dict[str, Any], source: Source) -> str:
    return text_of(cells.get(source.columns[0])) if source.columns else source.fixed


def _levels(cells: dict[str, Any], source: Source) -> tuple[str, ...]:
    """The category from wide to narrow: a column a level, a JSON list, or one text with ``>`` between the levels."""
    if not source.columns:
        texts = source.fixed.split(">")
    elif len(source.columns) > 1:
        texts = [text_of(cells.get(column)) for column in source.columns]
    else:
        value = cells.get(source.columns[0])
        texts = [text_of(level) for level in value] if isinstance(value, list) else text_of(value).split(">")
    return tuple(filter(None, map(str.strip, texts)))


def _pictures(cells: dict[str, Any], source: Source) -> tuple[str, ...]:
    if not source.columns:
        return photo_names(source.fixed)
    found = tuple(dict.fromkeys(name for column in source.columns for name in photo_names(cells.get(column))))
    others = (photo_names(cells.get(column)) for column in source.others)
    return found or next(filter(None, others), ())
