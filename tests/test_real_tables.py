"""Tables as shops really export them: right, or a counted line with the reason; nothing is dropped in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from inputs import tables as made
from lapel.apps.cli import app
from lapel.core.errors import TableError
from lapel.core.types import Product
from lapel.sources.cells import photo_names, text_of
from lapel.sources.encoding import find_encoding
from lapel.sources.mapping import ColumnMap
from lapel.sources.prices import parse_price, parse_stock
from lapel.sources.table import Table, TableRow, read_table


def table(folder: Path, text: str | bytes, *maps: str, name: str = "t.csv", encoding: str = "") -> Table:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, ColumnMap.parse(maps), encoding=encoding)


def products(rows: Table) -> dict[str, Product]:
    return {row.id: row.product for row in rows if row.product}


def only(rows: Table) -> TableRow:
    (row,) = rows
    return row


# --- keys that are empty
# -----------------------------------------------------------------------------------------------


def test_an_empty_sku_joins_no_products(tmp_path: Path) -> None:
    found = read_table(made.woocommerce(tmp_path / "wc.csv", without_sku=5), ColumnMap.parse(["currency=EUR"]))
    assert found.kind == "WooCommerce"
    assert list(products(found)) == [str(number) for number in range(100, 130)]
    assert found.hidden == 0


def test_a_variation_without_its_parent_is_named(tmp_path: Path) -> None:
    rows = [
        made.WOO_COLUMNS,
        [1, "variation", "V1", "Hoodie - M", 1, 0, "visible", 1, 5, "", "", "a.png", "HO", ""],
        [2, "variation", "V2", "Cap - L", 1, 0, "visible", 1, 5, "", "", "b.png", "", ""],
        [3, "simple", "", "Scarf", 1, 0, "visible", 1, 5, "", "", "c.png", "", "https://woo.example/scarf"],
    ]
    found = list(read_table(made.write_rows(tmp_path / "wc.csv", rows), ColumnMap.parse(["currency=EUR"])))
    assert [row.problem for row in found] == [
        "the variation 'Hoodie - M' belongs to no product: its parent 'HO' is not in the export. Export all products",
        "the variation 'Cap - L' belongs to no product: it names no parent. Export all products",
        "",
    ]
    assert found[2].product is not None
    assert found[2].product.url == "https://woo.example/scarf"


# --- columns of pictures
# -----------------------------------------------------------------------------------------------

NAMES = (
    *(
        "image",
        "image_url",
        "image_urls",
        "img",
        "img_url",
        "Image URL",
        "main_image",
        "photo_url",
        "Image Src",
        "imageUrl",
    ),
    *("Product Image", "picture_url", "Foto", "pictures", "image_link", "pic", "featured_image", "filename"),
)


@pytest.mark.parametrize("name", NAMES)
def test_columns_of_pictures_are_known_by_their_names(tmp_path: Path, name: str) -> None:
    found = table(tmp_path, f"id,title,{name}\n1,A,pics/7.jpg\n")
    assert (only(found).pictures, found.notes) == (("pics/7.jpg",), ())


@pytest.mark.parametrize("name", ["url", "thumbnail", "media", "zzz", "Beeld"])
def test_others_are_known_by_their_cells_and_said(tmp_path: Path, name: str) -> None:
    found = table(tmp_path, f"id,title,{name}\n1,A,pics/7.jpg\n2,B,https://x.example/8.png?w=9\n3,C,\n")
    assert [row.pictures for row in found] == [("pics/7.jpg",), ("https://x.example/8.png?w=9",), ()]
    (note,) = found.notes
    assert note.startswith(f"Pictures are taken from the column '{name}', as its cells look like pictures' names.")
    assert note.endswith("say it: --map pictures=COLUMN")


@pytest.mark.parametrize(
    "heading",
    [
        "Artikel-Nr.;Bezeichnung;Kategorie;Marke;Farbe;Geschlecht;Preis;Währung;Lagerbestand;Bild",
        "Référence;Désignation;Catégorie;Marque;Couleur;Genre;Prix;Devise;Disponibilité;Image",
        "Código;Título;Categoría;Marca;Color;Género;Precio;Moneda;Existencias;Imagen",
        "Codice;Titolo;Categoria;Marca;Colore;Genere;Prezzo;Valuta;Giacenza;Immagine",
        "Artikelnummer;Productnaam;Categorie;Merk;Kleur;Geslacht;Prijs;Valuta;Voorraad;foto",
        "ID;Nazwa produktu;Kategoria;Producent;Kolor;Płeć;Cena;Waluta;Dostępność;foto",
    ],
)
def test_columns_are_known_by_their_names_in_other_languages(tmp_path: Path, heading: str) -> None:
    found = table(tmp_path, f"{heading}\nA-1;Leinenhemd;Hemden;Acme;blue;Men;1.249,90;EUR;3;1.jpg\n")
    row = only(found)
    assert row.product is not None
    facts = row.product
    assert (facts.id, facts.title, facts.category, facts.brand) == ("A-1", "Leinenhemd", ("Hemden",), "Acme")
    assert (facts.colour, facts.gender, facts.price_minor, facts.currency) == ("blue", "Men", 124990, "EUR")
    assert (facts.in_stock, row.pictures) == (True, ("1.jpg",))
    assert set(facts.attributes) <= {"Color"}  # which is English as well, and stays an attribute as it did


def test_a_link_to_a_page_is_no_picture(tmp_path: Path) -> None:
    found = table(
        tmp_path, "id,url,image\n1,https://x.example/p/1,1.jpg\n2,javascript:alert(1),2.jpg\n3,//x.example/a b,3.jpg\n"
    )
    first, second, third = found
    assert [row.pictures for row in (first, second, third)] == [("1.jpg",), ("2.jpg",), ("3.jpg",)]
    assert first.product is not None
    assert first.product == Product("1", url="https://x.example/p/1")
    assert second.product == Product("2")
    assert "url 'javascript:alert(1)' is not an http or https address; kept without it" in second.problem
    assert third.product == Product("3", url="https://x.example/a%20b")


def test_a_column_whose_cells_are_no_pictures_gives_way(tmp_path: Path) -> None:
    found = table(tmp_path, "id,image,image_url\n1,yes,https://x.example/1.jpg\n2,no,https://x.example/2.jpg\n")
    assert [row.pictures for row in found] == [("https://x.example/1.jpg",), ("https://x.example/2.jpg",)]
    empty = table(tmp_path, "id,image\n1,\n2,\n")
    assert "pictures" not in empty.plan.sources  # the ids are asked then, and told when they lead nowhere


def test_several_columns_are_several_pictures(tmp_path: Path) -> None:
    found = table(tmp_path, "id,image1,image2,Image 3\n1,a.jpg,b.jpg,\n2,c.jpg,,d.jpg\n")
    assert [row.pictures for row in found] == [("a.jpg", "b.jpg"), ("c.jpg", "d.jpg")]
    more = table(tmp_path, "id,main_image,additional_images,thumbnail\n1,a.jpg,b.jpg;c.jpg,small.jpg\n")
    assert only(more).pictures == ("a.jpg", "b.jpg", "c.jpg")


def test_an_override_takes_the_column_that_a_guess_wants(tmp_path: Path) -> None:
    text = "id,name,title,image\n1,N,T,a.jpg\n"
    (row,) = table(tmp_path, text, "brand=title")
    assert row.product == Product("1", title="N", brand="T")
    (row,) = table(tmp_path, text, "title=image")
    assert (row.product, row.pictures) == (
        Product("1", title="a.jpg", attributes={"name": "N", "table_title": "T"}),
        (),
    )


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("1.jpg,2.jpg", ("1.jpg", "2.jpg")),
        ("5.jpg;6.jpg", ("5.jpg", "6.jpg")),
        ("1.jpg|2.jpg", ("1.jpg", "2.jpg")),
        ("1.jpg\n2.jpg", ("1.jpg", "2.jpg")),
        ('["1.jpg", "2.jpg"]', ("1.jpg", "2.jpg")),
        ('[{"src": "1.jpg"}, {"url": "2.jpg"}]', ("1.jpg", "2.jpg")),
        ([{"src": "1.jpg"}, "2.jpg", None, {"alt": "x"}], ("1.jpg", "2.jpg")),
        ("https://x.example/1 https://x.example/2", ("https://x.example/1", "https://x.example/2")),
        ("https://x.example/w_2,h_3/1.jpg", ("https://x.example/w_2,h_3/1.jpg",)),
        ("https://x.example/1?a=b,https://x.example/2", ("https://x.example/1?a=b", "https://x.example/2")),
        ("red, blue.jpg", ("red, blue.jpg",)),
        ("a b.jpg", ("a b.jpg",)),
        ("1.jpg,", ("1.jpg",)),
        ("N/A", ()),
        ("[broken.jpg", ("[broken.jpg",)),
    ],
)
def test_several_pictures_in_a_cell(cell: object, names: tuple[str, ...]) -> None:
    assert photo_names(cell) == names


def test_pictures_of_json(tmp_path: Path) -> None:
    text = '{"id": 1, "images": [{"src": "1.jpg"}, {"src": "2.jpg"}]}\n{"id": 2, "image": {"url": "3.jpg"}}\n'
    assert [row.pictures for row in table(tmp_path, text, name="t.jsonl")] == [("1.jpg", "2.jpg"), ("3.jpg",)]


def test_a_row_a_picture_is_one_product(tmp_path: Path) -> None:
    text = (
        "id,title,view,image\n1,A,front,1.jpg\n1,A,back,2.jpg\n2,B,front,3.jpg\n"
        "1,,side,4.jpg\n2,B,front,3.jpg\n2,Other,top,5.jpg\n"
    )
    first, *others = table(tmp_path, text)
    assert (first.id, first.pictures, first.problem) == ("1", ("1.jpg", "2.jpg", "4.jpg"), "")
    assert first.product == Product("1", title="A", attributes={"view": "front|back|side"})
    assert [(row.line, row.pictures, row.problem) for row in others] == [
        (4, ("3.jpg",), ""),
        (6, ("3.jpg",), "id '2' was already used in line 4; the first row counts"),
        (7, ("5.jpg",), "id '2' was already used in line 4; the first row counts"),
    ]


# --- quotes
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [",", "\t"])
def test_a_quote_swallows_no_rows(tmp_path: Path, mark: str) -> None:
    lines = [
        ["id", "title", "colour"],
        ["1", "A", "Red"],
        ["2", '"32 jeans', "Blue"],
        ["3", "C", "Green"],
        ["4", '"D"', "Red"],
    ]
    found = list(table(tmp_path, "\n".join(mark.join(line) for line in lines) + "\n"))
    assert [(row.id, row.line) for row in found] == [("1", 2), ("2", 3), ("3", 4), ("4", 5)]
    assert [row.product.title for row in found if row.product] == ["A", '"32 jeans', "C", "D"]
    assert [bool(row.problem) for row in found] == [False, True, False, False]
    assert "a quote in the row is not closed" in found[1].problem


def test_a_quote_that_another_closes_swallows_no_rows(tmp_path: Path) -> None:
    found = list(table(tmp_path, 'id,title,colour\n1,"32 jeans,Blue\n2,C,Green\n3,40",Red\n4,D,Red\n'))
    assert [row.id for row in found] == ["1", "2", "3", "4"]
    assert [row.product.colour for row in found if row.product] == ["Blue", "Green", "Red", "Red"]


def test_cells_of_several_lines_stay(tmp_path: Path) -> None:
    text = 'id,title,text\n1,A,"two\nlines, and ""quotes"", too"\n2,"B, b",x\n3,"C\n\nc",y\n'
    found = list(table(tmp_path, text))
    assert [(row.line, row.id, row.problem) for row in found] == [(2, "1", ""), (4, "2", ""), (5, "3", "")]
    assert found[0].product == Product("1", title="A", attributes={"text": 'two\nlines, and "quotes", too'})


def test_a_google_feed_keeps_its_rows(tmp_path: Path) -> None:
    rows = [
        "id\ttitle\timage link\tprice",
        *(f"{n}\t{t}\t{n}.jpg\t1 EUR" for n, t in enumerate(["A", '"32 jeans', "C", '"D"'], 1)),
    ]
    found = table(tmp_path, "\n".join(rows) + "\n", name="feed.tsv")
    assert found.kind == "Google Merchant"
    assert [(row.id, bool(row.problem)) for row in found] == [("1", False), ("2", True), ("3", False), ("4", False)]


# --- encodings
# ---------------------------------------------------------------------------------------------------------

TEXTS = {
    "cp1251": "Платье женское красное, Рубашка мужская синяя",
    "cp932": "赤いワンピース レディース, 青いシャツ メンズ",
    "gb18030": "红色连衣裙 女士夏季, 蓝色衬衫 男士长袖",
    "big5": "紅色連衣裙 女士夏季, 藍色襯衫 男士長袖",
    "cp949": "빨간 원피스 여성, 파란 셔츠 남성 긴팔",
    "cp1250": "Sukienka żółta długa, Košile pánská modrá",
    "cp1252": "Jupe d’été – 20 €, Größe für Mädchen, niño",
    "cp1253": "Φόρεμα κόκκινο γυναικείο, Πουκάμισο ανδρικό",
    "cp1254": "Kırmızı elbise kadın yazlık, şık gömlek",
}


@pytest.mark.parametrize("name", TEXTS)
def test_encodings_are_recognised_and_said(tmp_path: Path, name: str) -> None:
    found = table(tmp_path, f'id,title\n1,"{TEXTS[name]}"\n'.encode(name))
    assert found.encoding == name
    assert only(found).product == Product("1", title=TEXTS[name])
    assert found.notes == (
        f"t.csv is not UTF-8; it is read as {name}. If texts look wrong, name its encoding: --encoding",
    )


def test_utf8_with_a_bad_byte_stays_utf8(tmp_path: Path) -> None:
    text = "id,title\n1,Röcke für Mädchen\n2,Kleid ".encode() + b"\xff" + "\n3,Größe\n".encode()
    found = table(tmp_path, text)
    rows = list(found)
    assert [row.product.title for row in rows if row.product] == ["Röcke für Mädchen", "Kleid \ufffd", "Größe"]
    assert [bool(row.problem) for row in rows] == [False, True, False]
    assert found.notes[0].startswith("t.csv is UTF-8, but 1 line holds bytes that are not.")


def test_the_encoding_can_be_said(tmp_path: Path) -> None:
    data = "id,title\n1,Női ruha, piros\n".replace(", p", " p").encode("cp1250")
    assert only(table(tmp_path, data, encoding="cp1250")).product == Product("1", title="Női ruha piros")
    with pytest.raises(TableError, match=r"--encoding 'klingon' is not known. Common ones are utf-8, cp1252"):
        table(tmp_path, data, encoding="klingon")
    wrong = table(tmp_path, data, encoding="utf-8")
    assert wrong.notes == ("1 line of t.csv is not utf-8",)
    assert "shown as \ufffd" in only(wrong).problem


def test_plain_ascii_and_marks_need_no_guess(tmp_path: Path) -> None:
    path = tmp_path / "t"
    for data, name in ((b"id\n1\n", "utf-8-sig"), (b"\xff\xfei\0d\0", "utf-16"), ("id\n€".encode(), "utf-8-sig")):
        path.write_bytes(data)
        found = find_encoding(path, data)
        assert (found.name, found.note, found.broken) == (name, "", False)


# --- prices and other values
# -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "currency", "expected"),
    [
        ("$12.00", "CAD", (1200, "CAD")),
        ("¥199.00", "CNY", (19900, "CNY")),
        ("kr 99", "SEK", (9900, "SEK")),
        ("99 kr.", "DKK", (9900, "DKK")),
        ("£5", "EUR", (500, "EUR")),
        ("Kč 20", "", (2000, "CZK")),
        ("฿ 30", "", (3000, "THB")),
        ("40 ₽", "", (4000, "RUB")),
        ("Rs. 500", "", (50000, "INR")),
        ("R$ 12", "", (1200, "BRL")),
        ("A$ 9", "", (900, "AUD")),
        ("$12", "", (1200, "USD")),
        ("1,00,000", "INR", (10000000, "INR")),
        ("12,34,567.50", "INR", (123456750, "INR")),
        ("From 12", "EUR", (1200, "EUR")),
        ("ab 12,90 €", "", (1290, "EUR")),
        ("12.00 - 20.00", "EUR", (1200, "EUR")),
        ("€12 – €20", "", (1200, "EUR")),
    ],
)
def test_what_is_said_counts_more_than_a_sign(text: str, currency: str, expected: tuple[int, str]) -> None:
    assert parse_price(text, currency) == expected


@pytest.mark.parametrize(
    ("text", "currency", "words"),
    [
        ("12 USD", "CAD", "price '12 USD' is in USD, but its currency is said to be CAD"),
        ("kr 99", "", "may be in SEK, NOK or DKK. Say which: --map currency=SEK"),
        ("1,0,000", "INR", "odd places"),
    ],
)
def test_what_contradicts_is_said(text: str, currency: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_price(text, currency)


def test_a_column_and_a_map_name_the_currency(tmp_path: Path) -> None:
    text = "id,price,money\n1,$12.00,CAD\n"
    assert only(table(tmp_path, text, "currency=money")).product == Product(
        "1", price_minor=1200, currency="CAD", attributes={}
    )
    assert only(table(tmp_path, text, "currency=AUD")).product == Product(
        "1", price_minor=1200, currency="AUD", attributes={"money": "CAD"}
    )
    assumed = table(tmp_path, "id,price\n1,$12.00\n")
    assert assumed.notes == ("Prices are read such as '$12.00' as USD. If that is wrong, say it: --map currency=CAD",)
    with pytest.raises(TableError, match=r"names no currency"):
        table(tmp_path, "id,price,currency\n1,12,\n")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "NaN", ""])
def test_stock_that_is_no_number_is_unknown(text: str) -> None:
    assert parse_stock(text) is None


@pytest.mark.parametrize(
    ("yes", "no"),
    [("ja", "Nein"), ("Auf Lager", "ausverkauft"), ("oui", "non"), ("En stock", "Épuisé"), ("sí", "Agotado"),
     ("sì", "esaurito"), ("sim", "não"), ("ja", "nee"), ("tak", "nie"), ("Да", "Нет"), ("evet", "yok"),
     ("在庫あり", "在庫なし"), ("有货", "缺货")],
)  # fmt: skip
def test_stock_in_words_of_other_languages(yes: str, no: str) -> None:
    assert (parse_stock(yes), parse_stock(no)) == (True, False)


@pytest.mark.parametrize("text", ["NaN", "N/A", "null", "None", "-", "#N/A", "--", " nil "])
def test_words_for_nothing_are_nothing(text: str, tmp_path: Path) -> None:
    assert text_of(text) == ""
    assert only(table(tmp_path, f"id,colour,fit,stock\n1,{text},{text},{text}\n")).product == Product("1")


def test_texts_are_clean(tmp_path: Path) -> None:
    text = "id,title,brand,size\n1,Tom &amp; Jerry<br>new,\x1b[31mAcme\x1b[0m,S | M | L\n"
    row = only(table(tmp_path, text))
    assert row.product == Product("1", title="Tom & Jerry new", brand="Acme", attributes={"size": "S|M|L"})
    assert row.product.facets()["size"] == ("S", "M", "L")
    assert text_of("waist < 70 & > 60") == "waist < 70 & > 60"


def test_googles_words_for_people(tmp_path: Path) -> None:
    head = "id\ttitle\timage link\tgender\tage group"
    words = {
        "1": "male\tadult",
        "2": "female\tadult",
        "3": "female\tkids",
        "4": "male\ttoddler",
        "5": "\tkids",
        "6": "unisex\t",
    }
    rows = [f"{name}\tT\t{name}.jpg\t{text}" for name, text in words.items()]
    found = products(table(tmp_path, "\n".join([head, *rows]) + "\n"))
    assert [product.gender for product in found.values()] == ["Men", "Women", "Girls", "Boys", "Kids", "Unisex"]


# --- other formats
# -----------------------------------------------------------------------------------------------------


def test_excel_names_its_delimiter(tmp_path: Path) -> None:
    found = table(tmp_path, "sep=;\nid;title;image\n1;A, b;1.jpg\n")
    assert [(row.line, row.id, row.pictures) for row in found] == [(3, "1", ("1.jpg",))]


def test_a_workbook_is_read(tmp_path: Path) -> None:
    rows = [
        ["id", "title", "price", "currency", "in_stock", "image"],
        [1163, "Shirt &amp; tie", 49.9, "EUR", True, "1.jpg"],
    ]
    found = read_table(made.workbook(tmp_path / "t.xlsx", rows))
    assert [(row.line, row.product, row.pictures) for row in found] == [
        (2, Product("1163", title="Shirt & tie", price_minor=4990, currency="EUR", in_stock=True), ("1.jpg",))
    ]
    (tmp_path / "bad.xlsx").write_bytes(b"PK\x03\x04" + bytes(40))
    with pytest.raises(TableError, match=r"cannot be read as a workbook.*Save it as CSV"):
        read_table(tmp_path / "bad.xlsx")


@pytest.mark.parametrize(
    "text",
    [
        '[{"id": 1, "image": "1.jpg"}, {"id": 2, "image": "2.jpg"}, 3]',
        '{"products": [{"id": 1, "image": "1.jpg"},\n {"id": 2, "image": "2.jpg"}, 3]}',
        '{"products": [{"id": 1, "image": "1.jpg"}, {"id": 2, "image": "2.jpg"}, 3]}',
    ],
)
def test_a_json_list_is_read(tmp_path: Path, text: str) -> None:
    found = list(table(tmp_path, text, name="t.json"))
    assert [(row.id, row.pictures) for row in found] == [("1", ("1.jpg",)), ("2", ("2.jpg",)), ("", ())]
    assert found[2].problem == "the entry is not a JSON object in braces"


# --- as a command
# ------------------------------------------------------------------------------------------------------


def lapel(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--encoder", "colour:"])
    return result.exit_code, result.output


def test_what_was_guessed_is_printed(tmp_path: Path) -> None:
    made.pictures(tmp_path, "pics/7.png", "pics/1.png")
    (tmp_path / "t.csv").write_bytes("id,title,zzz\n1,Größe,pics/7.png\n".encode("cp1252"))
    code, said = lapel("add", tmp_path / "t.csv", "--store", tmp_path / "shop")
    assert code == 0
    assert "t.csv is not UTF-8; it is read as cp1252." in said
    assert "Pictures are taken from the column 'zzz'" in said
    assert "1 row: 1 product added" in said
    assert "1 picture of the source is named by no row" in said
    assert "files without an ending" not in said  # the store lies beside its pictures, and is none


def test_a_workbook_beside_its_pictures(tmp_path: Path) -> None:
    made.pictures(tmp_path, "1.png")
    made.workbook(tmp_path / "products.xlsx", [["id", "image"], [5, "1.png"]])
    code, said = lapel("add", tmp_path / "products.xlsx", "--store", tmp_path / "shop")
    assert (code, "1 product added" in said) == (0, True)


def test_encoding_needs_a_table(tmp_path: Path) -> None:
    made.pictures(tmp_path / "pics", "1.png")
    result = CliRunner().invoke(
        app, ["add", str(tmp_path / "pics"), "--encoding", "gbk", "--store", str(tmp_path / "s")]
    )
    assert isinstance(result.exception, TableError)
    assert "--map and --encoding say how to read a table" in str(result.exception)


# --- what a fresh pair of eyes found
# -----------------------------------------------------------------------------------


def test_numbers_of_a_workbook_stay_numbers(tmp_path: Path) -> None:
    rows = [
        ["id", "price", "currency", "image"],
        [4006381333931, 19.125, "EUR", "1.jpg"],
        [2, 1.234, "EUR", "2.jpg"],
        [3, 12.5, "EUR", "3.jpg"],
    ]
    found = products(read_table(made.workbook(tmp_path / "t.xlsx", rows)))
    assert {name: product.price for name, product in found.items()} == {
        "4006381333931": "19.13 EUR",
        "2": "1.23 EUR",
        "3": "12.50 EUR",
    }


def test_two_columns_of_one_name_in_a_workbook_are_both_read(tmp_path: Path) -> None:
    rows = [["id", "image", "image"], [1, "1.jpg", "2.jpg"], [2, "3.jpg", ""]]
    found = read_table(made.workbook(tmp_path / "t.xlsx", rows))
    assert [row.pictures for row in found] == [("1.jpg", "2.jpg"), ("3.jpg",)]


def test_a_front_and_a_back_image_come_before_a_thumbnail(tmp_path: Path) -> None:
    text = "id,Front Image,Back Image,thumbnail,swatch\n1,1.jpg,2.jpg,5.jpg,6.jpg\n2,,3.jpg,,7.jpg\n"
    found = table(tmp_path, text)
    assert [row.pictures for row in found] == [("1.jpg", "2.jpg"), ("3.jpg",)]
    assert "Front Image" in found.notes[0]


def test_a_second_column_of_pictures_is_mentioned(tmp_path: Path) -> None:
    found = table(tmp_path, "id,image,image_url\n1,1.jpg,2.jpg\n2,,3.jpg\n")
    assert [row.pictures for row in found] == [("1.jpg",), ("3.jpg",)]
    assert found.notes == ("'image_url' name pictures too, and count where 'image' is empty",)


def test_an_empty_picture_cell_is_said(tmp_path: Path) -> None:
    found = list(table(tmp_path, "id,image\n1,5.jpg\n2,\n"))
    assert [row.problem for row in found] == [
        "",
        "the row names no picture; the one that is called like its id is taken, if there is one",
    ]
    feed = table(tmp_path, "id\ttitle\timage link\tprice\n1\tA\t1.jpg\t1 EUR\n9\tB\t\t1 EUR\n")
    assert [(row.id, row.product is None, row.problem) for row in feed] == [
        ("1", False, ""),
        ("9", True, "the row names no picture"),
    ]


def test_a_second_woocommerce_row_of_one_id_is_named(tmp_path: Path) -> None:
    rows = [
        made.WOO_COLUMNS,
        [1, "simple", "a", "A", 1, 0, "visible", 1, 5, "", "", "1.png", "", ""],
        [1, "simple", "b", "A2", 1, 0, "visible", 1, 5, "", "", "2.png", "", ""],
    ]
    first, second = read_table(made.write_rows(tmp_path / "wc.csv", rows), ColumnMap.parse(["currency=EUR"]))
    assert (first.id, first.pictures, first.problem) == ("1", ("1.png",), "")
    assert second.problem == "id '1' was already used in line 2; the first row counts"


def test_a_currency_may_be_a_word(tmp_path: Path) -> None:
    found = list(table(tmp_path, "id,price,currency,image\n1,12.50 €,Euro,1.jpg\n2,12.50 €,Taler,2.jpg\n"))
    assert [row.product.price for row in found if row.product] == ["12.50 EUR", "12.50 EUR"]
    assert [row.problem for row in found] == ["", "the currency 'TALER' is not known; the one beside the price counts"]


def test_other_sheets_of_a_workbook_are_mentioned(tmp_path: Path) -> None:
    sheets = [[["id", "image"], [1, "1.jpg"]], [["id", "image"], [2, "2.jpg"]], []]
    found = read_table(made.workbook(tmp_path / "t.xlsx", *sheets))
    assert [row.id for row in found] == ["1"]
    assert found.notes == ("1 more sheet of t.xlsx is not read: Sheet2. Only 'Sheet1' is; save the others as files.",)


@pytest.mark.parametrize(
    ("word", "gender"),
    [
        ("women", "Women"),
        ("WOMEN", "Women"),
        ("Womens", "Women"),
        ("woman", "Women"),
        ("Men's", "Men"),
        ("boy", "Boys"),
        ("Damen", "Damen"),
    ],
)
def test_words_for_people_are_one(tmp_path: Path, word: str, gender: str) -> None:
    assert only(table(tmp_path, f"id,gender,image\n1,{word},1.jpg\n")).product == Product("1", gender=gender)


def test_rows_of_one_id_are_not_lost_when_the_file_shrinks(tmp_path: Path) -> None:
    found = table(tmp_path, "id,title,image\n1,A,1.jpg\n1,A,2.jpg\n2,B,3.jpg\n")
    assert found.count() == 3
    (tmp_path / "t.csv").write_text("id,title,image\n1,A,1.jpg\n2,B,3.jpg\n")
    assert sorted(row.id for row in found) == ["1", "2"]


def test_the_first_row_of_an_id_that_can_be_used_counts(tmp_path: Path) -> None:
    text = "id\ttitle\timage link\tprice\n1\tA\t\t1 EUR\n1\tA\t1.jpg\t1 EUR\n"
    found = list(table(tmp_path, text))
    assert [(row.id, row.pictures) for row in found if row.product] == [("1", ("1.jpg",))]
