"""Products by their photos' names: rows for a source that has no table, and a look at whether a table's ids are file
names at all."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from lapel.core.errors import SourceError, TableError
from lapel.core.text import printable
from lapel.core.types import Product
from lapel.sources import ImageSource
from lapel.sources.cells import identifier as identifier_of
from lapel.sources.names import is_image_name, stem
from lapel.sources.table import TableRow

if TYPE_CHECKING:
    from lapel.sources.mapping import ColumnMap
    from lapel.sources.table import Table

ID_SAMPLE_ROWS = 1000  # rows of a table without a column of photos whose ids are looked for
MIN_ID_SHARE = 0.1  # of them; below it the ids are hardly the photos' names


def photo_rows(source: ImageSource) -> Iterator[TableRow]:
    """A row for each product of a source without a table: the folders' names are the category, the file's name the
    title.

    The id is the file's name with its folders, without the ending (``Shirts/1163``), as that is what stays unique and
    stable. Files that differ only in their ending, in blanks or in how accents are stored are one product with several
    photos, in the walk's order; so are files of one name, which Drive allows, and what tools write beside a photo:
    ``shirt.jpg.webp`` beside ``shirt.jpg``. The rows of products with several photos come last.
    """
    several, joined = _doubled(source)
    groups: dict[str, tuple[int, list[str], tuple[str, ...]]] = {}
    for number, uri in enumerate(source.walk(), 1):
        path = source.path(uri)
        key, shorter = _keys(path)
        if shorter and hash(shorter) in joined:
            key, path = shorter, (*path[:-1], stem(path[-1]))
        if hash(key) in several:
            groups.setdefault(key, (number, [], path))[1].append(uri)
        else:
            yield _row(number, [uri], path)
    for number, uris, path in groups.values():
        yield _row(number, uris, path)


def _doubled(source: ImageSource) -> tuple[set[int], set[int]]:
    """Which ids several photos have, and which of these one has only without its second ending; as hashes, which take
    little memory."""
    seen: set[int] = set()
    several: set[int] = set()
    shorter_ones: set[int] = set()
    for uri in source.walk():
        key, shorter = _keys(source.path(uri))
        (several if hash(key) in seen else seen).add(hash(key))
        if shorter:
            shorter_ones.add(hash(shorter))
    joined = shorter_ones & seen
    return several | joined, joined


def _keys(path: tuple[str, ...]) -> tuple[str, str]:
    """What photos of one product have in common, and what it would be without a second ending; empty where there is
    none."""
    short = stem(path[-1])
    shorter = stem(short) if "." in short and is_image_name(short) else ""
    return _key(path[:-1], short, path[-1]), shorter and _key(path[:-1], shorter, path[-1])


def _key(folders: tuple[str, ...], short: str, name: str) -> str:
    identifier = _identifier(folders, short, name)
    return identifier if identifier.isascii() else unicodedata.normalize("NFC", identifier)


def _identifier(folders: tuple[str, ...], short: str, name: str) -> str:
    """A product's id; a file that is called nothing but an ending has it for a name."""
    return (
        "/".join(filter(None, (*map(identifier_of, folders), identifier_of(short) or identifier_of(name)))) or "picture"
    )


def _row(number: int, uris: list[str], path: tuple[str, ...]) -> TableRow:
    short = stem(path[-1])
    identifier = _identifier(path[:-1], short, path[-1])
    title = printable(identifier_of(short).replace("_", " ")).strip()
    category = tuple(filter(None, (printable(identifier_of(part)) for part in path[:-1])))
    return TableRow(number, Product(id=identifier, title=title, category=category), tuple(uris), "", identifier)


def check_ids(table: Table, mapping: ColumnMap, source: ImageSource) -> None:
    """See that a table which names no photos at least has ids that photos are called by.

    Raises:
        TableError: hardly any of its first rows has a photo; it lists the columns, as one of them may name the photos.
    """
    if (
        "pictures" in table.plan.sources or "pictures" in mapping.overrides
    ):  # said with --map pictures= that there is none
        return
    found = asked = 0
    for row in islice(table, ID_SAMPLE_ROWS):
        if row.product is None or row.pictures:
            continue
        asked += 1
        try:
            source.find_id(row.id)
            found += 1
        except SourceError:
            pass
    if asked and found < MIN_ID_SHARE * asked:
        raise TableError(
            f"{table.path} has no column that names pictures, and {found} of its first {asked} ids are the name of a"
            f" picture in"
            f" {source.where}. Which column names the pictures? Give it with --map pictures=COLUMN. There are:"
            f" {', '.join(table.columns)}. If the ids are right, give the folder or ZIP with the pictures, or add"
            f" --map pictures="
        )
