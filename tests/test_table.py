"""Product tables: encodings, delimiters, prices, mappings, and every row that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapel.core.errors import TableError
from lapel.core.types import Product
from lapel.sources.mapping import ColumnMap
from lapel.sources.prices import ExactNumber, parse_price, parse_stock
from lapel.sources.table import Table, TableRow, read_table

CSV = "id,title,category,gender,brand,colour,season,price,currency,in_stock,pictures,year\n"
ROW = "s1,Blue shirt,Apparel > Topwear,Men,Acme,Blue,Fall,49.90,EUR,yes,a.jpg|b.jpg,2012\n"
SHIRT = Product(
    id="s1",
    title="Blue shirt",
    category=("Apparel", "Topwear"),
    gender="Men",
    brand="Acme",
    colour="Blue",
    season="Fall",
    price_minor=4990,
    currency="EUR",
    in_stock=True,
    attributes={"year": "2012"},
)


def table(tmp_path: Path, text: str | bytes, *maps: str, name: str = "t.csv", encoding: str = "utf-8") -> Table:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_table(path, ColumnMap.parse(maps))


def rows(tmp_path: Path, text: str | bytes, *maps: str, name: str = "t.csv", encoding: str = "utf-8") -> list[TableRow]:
    return list(table(tmp_path, text, *maps, name=name, encoding=encoding))


def test_a_whole_row(tmp_path: Path) -> None:
    found = table(tmp_path, CSV + ROW)
    assert list(found) == list(found) == [TableRow(2, SHIRT, ("a.jpg", "b.jpg"), "", "s1")]
    assert found.count() == 1
    assert found.plan.preset == "lapel"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_and_delimiters_are_found(tmp_path: Path, delimiter: str, encoding: str, newline: str) -> None:
    cells = [["id", "title", "colour"], ["s1", "Größe für Élodie", "Grün"], ["s2", '"a, b; c\td"', "Blau"]]
    text = newline.join(delimiter.join(line) for line in cells)
    first, second = rows(tmp_path, text, encoding=encoding)
    assert first.product == Product("s1", title="Größe für Élodie", colour="Grün")
    assert second.product == Product("s2", title="a, b; c d", colour="Blau")


def test_a_late_byte_that_is_not_utf8_means_windows(tmp_path: Path) -> None:
    text = "id,title\n" + "".join(f"{number},plain\n" for number in range(20_000)) + "last,caf\u00e9\n"
    found = table(tmp_path, text, encoding="cp1252")
    assert found.encoding == "cp1252"
    assert [row for row in found if row.id == "last"][0].product == Product("last", title="café")  # noqa: RUF015


def test_quotes_line_breaks_and_blank_lines(tmp_path: Path) -> None:
    found = rows(tmp_path, 'id,title\n\n1,"two\nlines"\n  , \n2,x,,\n')
    assert [(row.line, row.id) for row in found] == [(3, "1"), (6, "2")]
    assert found[0].product is not None
    assert found[0].product.title == "two\nlines"


def test_rows_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    text = "id,title,colour\n1,a,b\n2,too few\n3,too,many,cells\n,no id,x\n1,again,x\n4,fine,x\n"
    found = sorted(rows(tmp_path, text), key=lambda row: row.line)
    assert [row.product.id if row.product else None for row in found] == ["1", None, None, None, None, "4"]
    assert [row.line for row in found] == [2, 3, 4, 5, 6, 7]
    assert "too few cells: 2, where 3" in found[1].problem
    assert "too many cells: 4, where 3" in found[2].problem
    assert "no id in column 'id'" in found[3].problem
    assert "line 2" in found[4].problem
    assert found[4].id == "1"
    assert found[0].problem == found[5].problem == ""


def test_an_open_quote_takes_no_row_but_its_own(tmp_path: Path) -> None:
    lines = [f"x{number},{'y' * 1000}" for number in range(1100)]  # more than one cell may hold
    found = rows(tmp_path, "\n".join(["id,title", "1,a", '2,"never closed', *lines, "last,b", ""]))
    assert [row.id for row in found] == ["1", "2", *(f"x{number}" for number in range(1100)), "last"]
    assert [row.line for row in found if row.problem] == [3]
    assert "a quote in the row is not closed" in found[1].problem
    assert found[1].product == Product("2", title='"never closed')


def test_bad_prices_are_left_out_with_a_reason(tmp_path: Path) -> None:
    text = "id,price,currency,stock\n1,abc,EUR,maybe\n2,-5,EUR,3\n3,5,moons,0\n4,5,,\n5,,EUR,no\n6,7.5,eur,in stock\n"
    found = rows(tmp_path, text)
    assert all(row.product is not None for row in found)
    assert "price 'abc' is not a number" in found[0].problem
    assert "in_stock 'maybe'" in found[0].problem
    assert "kept without" in found[0].problem
    assert "below zero" in found[1].problem
    assert "currency 'MOONS'" in found[2].problem
    assert "no currency" in found[3].problem
    assert found[4].problem == found[5].problem == ""
    kept = [row.product for row in found if row.product]
    assert [product.price_minor for product in kept] == [None, None, None, None, None, 750]
    assert [product.in_stock for product in kept] == [None, True, False, None, False, True]


@pytest.mark.parametrize(
    ("text", "currency", "expected"),
    [
        ("49.90", "EUR", (4990, "EUR")),
        ("49,90", "EUR", (4990, "EUR")),
        ("1.299,00", "EUR", (129900, "EUR")),
        ("1,299.00", "EUR", (129900, "EUR")),
        ("1 299,00", "EUR", (129900, "EUR")),
        ("1'299.50", "CHF", (129950, "CHF")),
        ("1\u202f299,00 €", "", (129900, "EUR")),
        ("€ 49,90", "", (4990, "EUR")),
        ("49.90 EUR", "", (4990, "EUR")),
        ("USD 5", "", (500, "USD")),
        ("US$5.5", "", (550, "USD")),
        ("5 usd", "USD", (500, "USD")),
        ("49,-", "EUR", (4900, "EUR")),
        ("49.-", "CHF", (4900, "CHF")),
        ("1.299", "EUR", (129900, "EUR")),
        ("1,299", "USD", (129900, "USD")),
        ("1,234,567", "USD", (123456700, "USD")),
        ("0.299", "EUR", (30, "EUR")),
        ("1.299", "KWD", (1299, "KWD")),
        ("1299", "JPY", (1299, "JPY")),
        ("1,299", "JPY", (1299, "JPY")),
        ("16.8067", "EUR", (1681, "EUR")),
        ("0.005", "EUR", (1, "EUR")),
        ("0", "EUR", (0, "EUR")),
        ("5", "", (500, "")),
        (ExactNumber("12.345"), "EUR", (1235, "EUR")),
        (ExactNumber("1.299"), "EUR", (130, "EUR")),
    ],
)
def test_prices(text: str, currency: str, expected: tuple[int, str]) -> None:
    assert parse_price(text, currency) == expected


@pytest.mark.parametrize(
    "text",
    ["abc", "", "-5", "5-", "€", "1.2.3", "1,2,3.4", "5 EUR each", "12 apples", "1e5", "9" * 30, "EUR 5 EUR", "1..5"],
)
def test_what_is_no_price(text: str) -> None:
    with pytest.raises(ValueError, match="price"):
        parse_price(text, "EUR")


@settings(derandomize=True)
@given(st.integers(0, 10**9), st.sampled_from([("{:,.2f}", str), ("{:.2f}", str)]), st.booleans())
def test_every_price_survives_its_writing(minor: int, style: tuple[str, type], german: bool) -> None:
    text = style[0].format(minor / 100)
    if german:
        text = text.translate(str.maketrans(",.", ".,"))
    assert parse_price(text, "EUR") == (minor, "EUR")


def test_stock_words() -> None:
    assert [parse_stock(text) for text in ("yes", "In Stock", "5", "0", "out of stock", "")] == [
        True,
        True,
        True,
        False,
        False,
        None,
    ]


def test_prices_without_a_currency_are_told_before_the_first_row(tmp_path: Path) -> None:
    text = "id,price\n1,49.90\n"
    with pytest.raises(TableError, match=r"49\.90.*names no currency.*--map currency=EUR.*--map price="):
        table(tmp_path, text)
    assert rows(tmp_path, text, "currency=EUR")[0].product == Product("1", price_minor=4990, currency="EUR")
    assert rows(tmp_path, text, "price=")[0].product == Product("1", attributes={"table_price": "49.90"})
    assert rows(tmp_path, "id,price\n1,49.90 €\n")[0].product == Product("1", price_minor=4990, currency="EUR")


def test_the_fashion_catalogue_is_recognised(catalogue: Path) -> None:
    found = read_table(catalogue / "products.csv")
    assert found.plan.preset == "fashion-products"
    assert found.count() == 40_097
    first = next(iter(found))
    assert first.product == Product(
        id="39386",
        title="Peter England Men Party Blue Jeans",
        category=("Apparel", "Bottomwear", "Jeans"),
        gender="Men",
        colour="Blue",
        season="Summer",
        attributes={
            "masterCategory": "Apparel",
            "subCategory": "Bottomwear",
            "articleType": "Jeans",
            "baseColour": "Blue",
            "year": "2012",
            "usage": "Casual",
            "group": "1",
            "split": "train",
        },
    )
    assert first.pictures == ()


def test_synonyms_are_found_and_raw_columns_stay(tmp_path: Path) -> None:
    text = "SKU,Product Name,Color,Product Type,Image Path,Fit\nA1,Jeans,Navy,Bottoms > Jeans,x/a.jpg,slim\n"
    (row,) = rows(tmp_path, text)
    assert row.product is not None
    assert (row.product.id, row.product.title, row.product.colour, row.product.category) == (
        "A1",
        "Jeans",
        "Navy",
        ("Bottoms", "Jeans"),
    )
    assert row.product.attributes == {"Color": "Navy", "Product Type": "Bottoms > Jeans", "Fit": "slim"}
    assert row.pictures == ("x/a.jpg",)


def test_maps(tmp_path: Path) -> None:
    text = "nr,what,a,b,img,id\n7,Shirt,Top,Shirts,p.png,raw\n"
    (row,) = rows(
        tmp_path, text, "id=nr", "title=what", "category=a>b", "pictures=img", "brand='Acme, Inc'", "color='Red'"
    )
    assert row.product == Product(
        "7",
        title="Shirt",
        category=("Top", "Shirts"),
        brand="Acme, Inc",
        colour="Red",
        attributes={"a": "Top", "b": "Shirts", "table_id": "raw"},
    )
    assert row.pictures == ("p.png",)


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        (["id=nope"], r"no column 'nope' for id.*nr, what.*quotes"),
        (["currency=euro"], r"no column 'euro'.*currency=EUR"),
        (["title"], r"field=column"),
        (["shoe=what"], r"fields id, title.*'shoe'"),
        (["id=nr", "id=what"], r"twice"),
        ([], r"no column for the product's id.*nr, what.*--map id=COLUMN"),
    ],
)
def test_wrong_maps_say_what_there_is(tmp_path: Path, maps: list[str], words: str) -> None:
    with pytest.raises(TableError, match=words):
        table(tmp_path, "nr,what\n1,x\n", *maps)


def test_unknown_presets_say_what_there_is() -> None:
    with pytest.raises(TableError, match="fashion-products"):
        ColumnMap("nope")


def test_equal_and_nameless_columns(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, ",id,size,size\n0,1,S,M\n")
    assert row.product == Product("1", attributes={"size": "S", "size 2": "M"})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n", "empty"),
        (b"PK\x03\x04" + bytes(30), "workbook.*CSV"),
        (b"[1, 2]", "no JSON objects"),
        (b'[{"id": 1}', "broken JSON.*nothing was changed"),
    ],
)
def test_other_files(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(TableError, match=words):
        table(tmp_path, data)


def test_missing_tables(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(TableError, match="cannot be read"):
            read_table(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_lines(tmp_path: Path, encoding: str) -> None:
    records = [
        {
            "id": 12,
            "title": "Größe\u2028x",
            "category": ["A", "B"],
            "price": 12.5,
            "currency": "EUR",
            "in_stock": False,
            "pictures": ["a.jpg", "b.jpg"],
        },
        {"id": "13", "price": None, "new": True, "tags": ["x", "y"], "more": {"a": 1}, "size": 4.50},
    ]
    text = "\n\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    first, second = rows(tmp_path, text, name="t.jsonl", encoding=encoding)
    assert first.product == Product(
        "12", title="Größe x", category=("A", "B"), price_minor=1250, currency="EUR", in_stock=False
    )
    assert first.pictures == ("a.jpg", "b.jpg")
    assert second.line == 3
    assert second.product == Product(
        "13", attributes={"new": "yes", "tags": "x|y", "more": '{"a": "1"}', "size": "4.5"}
    )


def test_bad_json_lines_say_why(tmp_path: Path) -> None:
    found = rows(
        tmp_path, '{"id": 1}\n{"id": \n["no"]\n{"title": "x"}\n{"id": 2, "title": "\\ud800\\u0000"}\n', name="t.jsonl"
    )
    assert [bool(row.product) for row in found] == [True, False, False, False, True]
    assert "not JSON" in found[1].problem
    assert "braces" in found[2].problem
    assert "no id" in found[3].problem
    assert found[4].product is not None
    assert found[4].product.title == "?"


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_no_bytes_break_the_reading(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes(b"id,title\n1,fine\n" + data)
    found = list(read_table(path))
    assert all(bool(row.product) or bool(row.problem) for row in found)
