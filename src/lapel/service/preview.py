"""Looking at a table before it is added: what its columns are taken for, and what its first rows become."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lapel.core.errors import TableError
from lapel.sources.mapping import TARGETS, ColumnMap, Plan
from lapel.sources.records import PEEK_RECORDS, Records, open_records
from lapel.sources.table import read_table

ROWS = 10


@dataclass(frozen=True)
class TablePreview:
    """What a table is taken for.

    Attributes:
        columns: Its columns.
        fields: The fields that a column can fill.
        mapping: By field the columns that fill it, such as ``{"title": "name"}``; those of a category with ``>``
            between them. A fixed text stands in quotes.
        notes: What was guessed and should be seen.
        rows: The first rows as products: by field its text, with ``line``, ``pictures`` and ``problem``. Where the
            table cannot be read so, as they are written: by column its cell.
        error: Why it cannot be read so.
    """

    columns: tuple[str, ...]
    fields: tuple[str, ...]
    mapping: Mapping[str, str]
    notes: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]
    error: str = ""


def preview_table(data: bytes, mapping: Sequence[str] = (), *, rows: int = ROWS) -> TablePreview:
    """Read the beginning of a table as adding it would.

    >>> preview_table(b"id,name,image\\n1,Red saree,1.jpg").mapping["title"]
    'name'

    Args:
        data: The bytes of a CSV, TSV, JSON, Excel or XML file.
        mapping: Which column fills which field, such as ``title=name``.
        rows: How many rows.

    Raises:
        TableError: it is no table.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        path.write_bytes(data)
        records = open_records(path)
        columns = tuple(records.columns)
        try:
            table = read_table(path, ColumnMap.parse(mapping))
        except TableError as error:
            written = tuple(
                {name: str(cells.get(name, "")) for name in columns}
                for _, cells in islice(records, rows)
                if isinstance(cells, dict)
            )
            return TablePreview(
                columns, TARGETS, _guessed(records, mapping), (), written, str(error).replace(f"{path}: ", "")
            )
        used = _used(table.plan)
        shown = []
        for row in islice(table, rows):
            known = {"line": str(row.line), "problem": row.problem, "pictures": ", ".join(row.pictures), "id": row.id}
            if row.product is not None:
                own = {
                    name: str(getattr(row.product, name)) for name in ("title", "gender", "brand", "colour", "season")
                }
                known |= {**own, "category": " > ".join(row.product.category), "price": row.product.price}
            shown.append(known)
        return TablePreview(columns, TARGETS, used, tuple(table.notes), tuple(shown))


def _used(plan: Plan) -> dict[str, str]:
    """By field the columns that fill it, as :class:`TablePreview` has them."""
    return {
        name: f"'{source.fixed}'" if source.fixed else ">".join(source.columns) for name, source in plan.sources.items()
    }


def _guessed(records: Records, mapping: Sequence[str]) -> dict[str, str]:
    """What the columns are taken for where the table cannot be read so, such as for want of an id or a currency."""
    peeked = [cells for _, cells in islice(records, PEEK_RECORDS) if isinstance(cells, dict)]
    for stand_in in ([], [f"id={records.columns[0]}"]):
        try:
            used = _used(ColumnMap.parse([*mapping, *stand_in]).resolve(records.columns, peeked))
        except TableError:
            continue
        return {name: columns for name, columns in used.items() if name != "id" or not stand_in}
    return {}
