"""Exports as people change them: sorted, without numbers, with ids of their own, short texts in old encodings; read
right all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from inputs import exports
from lapel.apps.cli import app
from lapel.core.types import Product
from lapel.sources.cells import photo_names, text_of
from lapel.sources.mapping import ColumnMap
from lapel.sources.prices import ExactNumber, parse_price
from lapel.sources.table import Table, TableRow, read_table


def table(folder: Path, text: str | bytes, *maps: str, name: str = "t.csv") -> Table:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, ColumnMap.parse(maps))


def products(found: Table) -> list[Product]:
    return [row.product for row in found if row.product]


def test_what_a_shop_does_not_show_is_counted_by_why(tmp_path: Path) -> None:
    found = read_table(exports.woocommerce(tmp_path / "woo.csv"), ColumnMap.parse(["currency=EUR"]))
    assert [product.id for product in products(found)] == ["1", "3"]
    assert (found.hidden, dict(found.hidden_why)) == (
        4,
        {"draft": 2, "hidden in the catalogue": 1, "not published": 1},
    )
    done = CliRunner().invoke(
        app,
        [
            *("add", str(tmp_path / "woo.csv"), "--store", str(tmp_path / "shop"), "--encoder", "colour:"),
            *("--map", "currency=EUR"),
        ],
    )
    said = "4 products that WooCommerce does not show left out: 2 draft, 1 hidden in the catalogue, 1 not published"
    assert said in done.output


def test_a_woocommerce_table_without_numbers_goes_by_skus(tmp_path: Path) -> None:
    text = (
        "ID,Type,SKU,Name,Images,Regular price,Parent\n,variable,A,Shirt,a.jpg,,\n"
        ",variation,A-M,Shirt M,m.jpg,5,A\n,simple,B,Hat,b.jpg,7,\n"
    )
    rows = list(table(tmp_path, text, "currency=EUR"))
    assert [(row.id, row.pictures) for row in rows] == [("A", ("a.jpg", "m.jpg")), ("B", ("b.jpg",))]


def test_a_sorted_shopify_export_keeps_its_titles(tmp_path: Path) -> None:
    found = read_table(exports.shopify(tmp_path / "shopify.csv"), ColumnMap.parse(["currency=EUR"]))
    nameless, hat = sorted(found, key=lambda row: row.id)
    assert "no id" in nameless.problem
    assert hat.product is not None
    assert (hat.id, hat.product.title, hat.product.brand, hat.product.attributes["size"]) == (
        "hat",
        "Hat",
        "Acme",
        "M|S",
    )
    assert dict(found.hidden_why) == {"draft": 1}


def test_google_rows_without_group_or_id_stay_apart(tmp_path: Path) -> None:
    text = "id,title,image_link,item_group_id,color\na,A,1.jpg,,Red\nb,B,2.jpg,,Red\n,C,3.jpg,,\n,D,4.jpg,,\n"
    assert [row.id for row in table(tmp_path, text)] == ["a", "b", "", ""]


def test_atoms_own_elements_do_not_mix_with_googles(tmp_path: Path) -> None:
    dress, hat = read_table(exports.atom(tmp_path / "google.xml"))
    assert dress.product == Product(
        "D1", title="Dress", gender="Girls", url="https://shop.example/d1", attributes={"age_group": "kids"}
    )
    assert hat.product == Product("H1", title="Hat & scarf", gender="Men")
    assert "'javascript:alert(1)'" in hat.problem


@pytest.mark.parametrize(
    ("encoding", "titles"),
    [
        ("gbk", ["连衣裙 夏季", "衬衫 男士"]),
        ("cp932", ["コットンシャツ", "デニムパンツ"]),
        ("cp1250", ["Sukienka żółta", "Koszula męska błękitna"]),
        ("cp1252", ["Größe für Élodie", "Café – 12 €"]),
        ("cp1252", ["¿Qué falda? 5 m³", "Señora ½"]),
    ],
)
def test_a_few_words_in_an_old_encoding(tmp_path: Path, encoding: str, titles: list[str]) -> None:
    text = "id,title\n" + "".join(f"{number},{title}\n" for number, title in enumerate(titles))
    assert [product.title for product in products(table(tmp_path, text.encode(encoding)))] == titles


@pytest.mark.parametrize("name", ["url", "link", "image_link"])
def test_a_column_of_pictures_is_no_products_page(tmp_path: Path, name: str) -> None:
    (row,) = table(tmp_path, f"id,image,{name}\n1,a.jpg,https://x.example/a.jpg\n")
    assert row.product is not None
    assert (row.product.url, row.pictures[0]) == ("", "a.jpg")


def test_a_thumbnails_link_needs_no_ending(tmp_path: Path) -> None:
    found = table(tmp_path, "id,title,thumbnail\n1,A,https://cdn.example/x/7\n")
    assert [row.pictures for row in found] == [("https://cdn.example/x/7",)]
    assert "'thumbnail'" in found.notes[0]


def test_numbered_pictures_come_in_their_order(tmp_path: Path) -> None:
    (row,) = table(tmp_path, "id,Image 2,image10,image1\n1,b.jpg,c.jpg,a.jpg\n")
    assert row.pictures == ("a.jpg", "b.jpg", "c.jpg")


def test_lists_and_links_in_cells() -> None:
    assert photo_names("['a.jpg', 'b.jpg']") == ("a.jpg", "b.jpg")
    assert photo_names("https://x.example/?a=1&amp;b=2") == ("https://x.example/?a=1&b=2",)
    assert photo_names("a &amp; b.jpg") == ("a &amp; b.jpg",)
    assert text_of("Shirts &amp;amp; Co") == "Shirts & Co"


def test_a_tab_named_as_delimiter(tmp_path: Path) -> None:
    assert list(table(tmp_path, "sep=\t\r\nid\ttitle\r\n1\tA\r\n")) == [TableRow(3, Product("1", title="A"), id="1")]


def test_a_json_list_two_levels_deep(tmp_path: Path) -> None:
    text = '{\n"data": {"items": [\n{"id": 1, "title": "A"},\n{"id": 2}]}}'
    assert products(table(tmp_path, text, name="t.json")) == [Product("1", title="A"), Product("2")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-0.00", (0, "CAD")),
        (ExactNumber("-0.00"), (0, "CAD")),
        ("$12.00 CAD", (1200, "CAD")),
        ("$1,299.00 CAD", (129900, "CAD")),
    ],
)
def test_prices_with_a_sign_and_a_code(text: str, expected: tuple[int, str]) -> None:
    assert parse_price(text, "CAD") == expected


def test_a_sign_before_another_currencys_code_is_a_conflict() -> None:
    assert parse_price("$12.00 CAD", "") == (1200, "CAD")
    with pytest.raises(ValueError, match="is in CAD, but its currency is said to be USD"):
        parse_price("$12.00 CAD", "USD")


def test_genders_of_plain_tables(tmp_path: Path) -> None:
    found = table(tmp_path, "id,gender\n1,male\n2,FEMALE\n3,Women\n4,kids\n5,unisex\n6,Damen\n")
    assert [product.gender for product in products(found)] == ["Men", "Women", "Women", "Kids", "Unisex", "Damen"]
    (note,) = found.notes
    assert (
        note
        == "Gender is written as other shops do: 'FEMALE' as Women, 'kids' as Kids, 'male' as Men, 'unisex' as Unisex"
    )


def test_a_page_with_blanks_and_brackets(tmp_path: Path) -> None:
    (product,) = products(table(tmp_path, "id,url\n1,https://shop.example/red dress (new)\n"))
    assert product.url == "https://shop.example/red%20dress%20%28new%29"
