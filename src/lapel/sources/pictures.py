"""Rows for a source that has no table: its pictures become products, named by their folders and files."""

from __future__ import annotations

from collections.abc import Iterator

from lapel.core.types import Product
from lapel.sources import ImageSource
from lapel.sources.table import TableRow, _clean


def picture_rows(source: ImageSource) -> Iterator[TableRow]:
    """A row for each picture of a source without a table: the folders' names are the category, the file's name the title.

    The id is the file's name with its folders, without the extension (``Shirts/1163``), as that is what stays unique and stable.
    """
    before = ""
    for number, uri in enumerate(source.walk(), 1):
        parts = [_clean(part) for part in source.path(uri)]
        stem = parts[-1].rpartition(".")[0].strip()
        folders = tuple(filter(None, parts[:-1]))
        identifier = "/".join((*folders, stem)).strip()
        if identifier == before:  # a.jpg and a.png are neighbours, as walks are sorted
            problem = f"two pictures would be product '{identifier}': they differ in their extension only, or not at all. Rename one"
            yield TableRow(number, None, (uri,), problem, identifier)
        else:
            yield TableRow(
                number,
                Product(id=identifier, title=stem.replace("_", " ").strip(), category=folders),
                (uri,),
                "",
                identifier,
            )
        before = identifier
