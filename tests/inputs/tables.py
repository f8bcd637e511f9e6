"""Tables as shop systems, spreadsheets and people write them."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

WOO_COLUMNS = (
    *("ID", "Type", "SKU", "Name", "Published", "Is featured?", "Visibility in catalog", "In stock?"),
    *("Regular price", "Sale price", "Categories", "Images", "Parent", "External URL"),
)


def pictures(folder: Path, *names: str) -> Path:
    """Small pictures of these names, each of another colour."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 32), (number * 37 % 256, number * 91 % 256, 255 - number * 53 % 256)).save(path)
    return folder


def write_rows(path: Path, rows: Iterable[Sequence[object]], *, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """A CSV as Python's own writer writes it."""
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def woocommerce(path: Path, *, without_sku: int) -> Path:
    """A WooCommerce export of 30 simple products, one of which has no SKU."""
    rows = [
        [
            100 + n,
            "simple",
            "" if n == without_sku else f"S{n}",
            f"Shirt {n}",
            1,
            0,
            "visible",
            1,
            "19.90",
            "",
            "Shirts",
            f"p/{n}.png",
            "",
            "",
        ]
        for n in range(30)
    ]
    return write_rows(path, [WOO_COLUMNS, *rows])


def workbook(path: Path, *sheets: Sequence[Sequence[object]]) -> Path:
    """An .xlsx of these sheets, each as its rows: texts inline, numbers as numbers (ECMA-376). They are called Sheet1,
    Sheet2 ..."""

    def cell(value: object) -> str:
        if isinstance(value, bool):
            return f'<c t="b"><v>{int(value)}</v></c>'
        if isinstance(value, (int, float)):
            return f"<c><v>{value}</v></c>"
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'

    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    numbers = range(1, len(sheets) + 1)
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{kind}.worksheet+xml"/>' for n in numbers
    )
    listed = "".join(f'<sheet name="Sheet{n}" sheetId="{n}" r:id="r{n}"/>' for n in numbers)
    targets = "".join(
        f'<Relationship Id="r{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml"'
        ' ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>{overrides}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1"'
        f' Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">{targets}</Relationships>',
    }
    for number, rows in zip(numbers, sheets, strict=True):
        lines = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'
        )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    path.write_bytes(stream.getvalue())
    return path
