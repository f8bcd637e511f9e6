"""Feeds: exports of shop systems as products with several pictures, sizes and prices; broken and hostile ones are
refused whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from lapel.core.errors import TableError
from lapel.core.types import Filter, Product
from lapel.sources import feeds
from lapel.sources.mapping import ColumnMap
from lapel.sources.table import Table, read_table

SHOPIFY = """Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,Variant Compare At Price,Image Src,Image Position,Status
linen-shirt,Linen shirt,"<p>Cool, light</p>",Acme,Apparel & Accessories > Clothing > Shirts,Shirt,"summer, linen",true,Size,S,Color,Blue,LS-S,shopify,0,deny,39.90,49.90,https://cdn.shopify.example/2.jpg,2,active
linen-shirt,,,,,,,,,M,,Blue,LS-M,shopify,3,deny,39.90,49.90,https://cdn.shopify.example/1.jpg,1,
linen-shirt,,,,,,,,,L,,Blue,LS-L,shopify,0,continue,41.90,49.90,,,
linen-shirt,,,,,,,,,,,,,,,,,,https://cdn.shopify.example/3.jpg,3,
old-hat,Old hat,,Acme,,Hat,,true,Title,Default Title,,,OH,shopify,0,deny,20.00,,https://cdn.shopify.example/hat.jpg,1,active
secret,Secret,,Acme,,Hat,,true,Title,Default Title,,,SE,,,deny,20.00,,https://cdn.shopify.example/s.jpg,1,draft
"""
WOO = r"""ID,Type,SKU,Name,Published,"Is featured?","Visibility in catalog","In stock?",Stock,"Sale price","Regular price",Categories,Tags,Images,Parent,"Attribute 1 name","Attribute 1 value(s)","Attribute 2 name","Attribute 2 value(s)"
12,variation,HO-M,"Hoodie - M",1,0,visible,1,4,"35,50","45,00",,,https://woo.example/m.jpg,id:10,Size,M,Color,Red
10,variable,HO,Hoodie,1,0,visible,1,,,,"Clothing, Clothing > Hoodies > Zip\, warm",warm,"https://woo.example/a.jpg, https://woo.example/b,c.jpg",,Size,"S, M, L",Color,Red
11,variation,HO-S,"Hoodie - S",1,0,visible,0,0,,"45,00",,,,HO,Size,S,Color,Red
13,simple,CAP,Cap,1,0,visible,backorder,,,19,Accessories,,https://woo.example/cap.jpg,,,,,
14,simple,HID,Hidden,1,0,hidden,1,,,19,Accessories,,https://woo.example/h.jpg,,,,,
15,simple,DRA,Draft,-1,0,visible,1,,,19,Accessories,,https://woo.example/d.jpg,,,,,
"""
RSS = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title><link>https://shop.example</link>
<item><g:id>D1-S</g:id><title>Red dress</title><link>https://shop.example/d1</link><g:image_link>https://img.example/1.jpg</g:image_link>
<g:additional_image_link>https://img.example/2.jpg</g:additional_image_link><g:additional_image_link>https://img.example/3.jpg</g:additional_image_link>
<g:availability>out_of_stock</g:availability><g:price>60.00 EUR</g:price><g:sale_price>45.00 EUR</g:sale_price><g:brand>Acme &amp; Co</g:brand>
<g:color>Red</g:color><g:size>S</g:size><g:gender>female</g:gender><g:item_group_id>D1</g:item_group_id><g:custom_label_0>party</g:custom_label_0>
<g:product_type>Women &gt; Dresses</g:product_type><g:google_product_category>2271</g:google_product_category>
<g:shipping><g:country>DE</g:country><g:price>4.90 EUR</g:price></g:shipping></item>
<item><g:id>D1-M</g:id><title>Red dress</title><g:image_link>https://img.example/1.jpg</g:image_link><g:availability>in stock</g:availability>
<g:price>60.00 EUR</g:price><g:color>Red</g:color><g:size>M</g:size><g:item_group_id>D1</g:item_group_id></item>
<item><g:id>D1-B</g:id><title>Blue dress</title><g:image_link>https://img.example/b.jpg</g:image_link><g:availability>preorder</g:availability>
<g:price>60.00 EUR</g:price><g:sale_price>10.00 EUR</g:sale_price><g:sale_price_effective_date>2001-01-01T00:00+0100/2001-02-01T00:00+0100</g:sale_price_effective_date>
<g:color>Blue</g:color><g:item_group_id>D1</g:item_group_id></item>
<item><g:id>B2</g:id><title>Belt</title><g:image_link>https://img.example/belt.jpg</g:image_link><g:price>12 EUR</g:price></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><title>Shop</title>
<entry><g:id>B2</g:id><title>Belt</title><link href="https://shop.example/b2"/><g:image_link>https://img.example/belt.jpg</g:image_link><g:price>12 EUR</g:price></entry></feed>"""
TSV = "id\ttitle\timage link\tadditional image link\tavailability\tprice\nB2\tBelt\thttps://i.example/1.jpg\thttps://i.example/2.jpg,https://i.example/3,x.jpg\tin_stock\t12.00 EUR\n"
JSONL = '{"id": "B2", "title": "Belt", "image_link": "https://i.example/1.jpg", "additional_image_link": ["https://i.example/2.jpg"], "price": "12 EUR", "season": "Summer"}\n'


def read(folder: Path, text: str, *mapping: str, name: str = "feed") -> Table:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_table(path, ColumnMap.parse(mapping))


def products(table: Table) -> dict[str, tuple[Product, tuple[str, ...]]]:
    rows = list(table)
    assert [row.problem for row in rows] == [""] * len(rows)
    return {row.id: (row.product, row.pictures) for row in rows if row.product}


def test_shopify(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"prices such as '39.90'.*--map currency=EUR"):
        read(tmp_path, SHOPIFY)
    table = read(tmp_path, SHOPIFY, "currency=EUR")
    assert table.kind == "Shopify"
    found = products(table)
    assert list(found) == ["linen-shirt", "old-hat"]
    assert table.hidden == 1
    shirt, pictures = found["linen-shirt"]
    assert pictures == tuple(f"https://cdn.shopify.example/{number}.jpg" for number in (1, 2, 3))
    assert (shirt.title, shirt.brand, shirt.colour, shirt.price) == ("Linen shirt", "Acme", "Blue", "39.90 EUR")
    assert shirt.in_stock
    assert shirt.category == ("Apparel & Accessories", "Clothing", "Shirts")
    assert shirt.attributes == {
        "size": "S|M|L",
        "size_in_stock": "M|L",
        "regular_price": "49.90",
        "on_sale": "yes",
        "variants": "LS-S|LS-M|LS-L",
        "sku": "LS-S",
        "tags": "summer|linen",
    }
    assert (found["old-hat"][0].in_stock, found["old-hat"][0].attributes) == (False, {"sku": "OH"})


def test_a_shop_may_be_read_by_other_columns(tmp_path: Path) -> None:
    found = products(read(tmp_path, SHOPIFY, "currency=EUR", "category=Type", "gender='Women'"))
    assert found["linen-shirt"][0].category == ("Shirt",)
    assert found["old-hat"][0].gender == "Women"


def test_woocommerce(tmp_path: Path) -> None:
    table = read(tmp_path, WOO, "currency=EUR")
    assert table.kind == "WooCommerce"
    found = products(table)
    assert list(found) == ["10", "13"]
    assert table.hidden == 2
    hoodie, pictures = found["10"]
    assert pictures == ("https://woo.example/a.jpg", "https://woo.example/b,c.jpg", "https://woo.example/m.jpg")
    assert (hoodie.title, hoodie.colour, hoodie.price, hoodie.in_stock) == ("Hoodie", "Red", "35.50 EUR", True)
    assert hoodie.category == ("Clothing", "Hoodies", "Zip, warm")
    assert hoodie.attributes["size"] == "M|S|L"
    assert hoodie.attributes["size_in_stock"] == "M"
    assert (hoodie.attributes["regular_price"], hoodie.attributes["on_sale"]) == ("45", "yes")
    assert (found["13"][0].price, found["13"][0].in_stock) == ("19.00 EUR", True)


def test_google_rss(tmp_path: Path) -> None:
    table = read(tmp_path, RSS)
    assert table.kind == "Google Merchant"
    found = products(table)
    assert list(found) == ["D1/Red", "D1/Blue", "B2"]
    dress, pictures = found["D1/Red"]
    assert pictures == tuple(f"https://img.example/{number}.jpg" for number in (1, 2, 3))
    assert (dress.price, dress.in_stock, dress.gender, dress.brand) == ("45.00 EUR", True, "Women", "Acme & Co")
    assert dress.category == ("Women", "Dresses")
    assert dress.attributes == {
        "size": "S|M",
        "size_in_stock": "M",
        "regular_price": "60",
        "on_sale": "yes",
        "variants": "D1-S|D1-M",
        "custom_label_0": "party",
    }
    assert dress.url == "https://shop.example/d1"
    blue = found["D1/Blue"][0]
    assert (blue.price, blue.in_stock, blue.attributes) == ("60.00 EUR", True, {})  # its sale is long over
    assert found["B2"][0] == Product("B2", "Belt", price_minor=1200, currency="EUR")


@pytest.mark.parametrize(("text", "url"), [(ATOM, "https://shop.example/b2"), (TSV, ""), (JSONL, "")])
def test_google_in_other_dress(tmp_path: Path, text: str, url: str) -> None:
    table = read(tmp_path, text)
    assert table.kind == "Google Merchant"
    ((belt, pictures),) = products(table).values()
    assert (belt.id, belt.title, belt.price, belt.attributes, belt.url) == ("B2", "Belt", "12.00 EUR", {}, url)
    assert len(pictures) == {ATOM: 1, TSV: 3, JSONL: 2}[text]
    assert belt.season == ("Summer" if text == JSONL else "")


def test_a_size_can_be_asked_for() -> None:
    assert Product("a", attributes={"size": "S|M||L"}).facets()["size"] == ("S", "M", "L")
    assert Filter.parse(["size=M|L"]).conditions[0].values == ("M", "L")


def test_a_plain_table_stays_one(tmp_path: Path) -> None:
    table = read(tmp_path, "id,title,image,size\na,A,a.jpg,S\na,B,b.jpg,M\n")
    assert table.kind == ""
    assert [row.problem.startswith("id 'a' was already used") for row in table] == [False, True]
    assert feeds.recognise(["Handle", "Title"]) is None


def test_rows_that_cannot_be_read_are_named_and_the_others_used(tmp_path: Path) -> None:
    rows = list(read(tmp_path, SHOPIFY + "half,a row\n", "currency=EUR"))
    assert [row.problem[:24] for row in rows] == ["the row has too few cell", "", ""]


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
<!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">]>
<rss><channel><item><id>&lol3;</id></item></channel></rss>"""
OUTSIDE = """<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss><channel><item><id>&x;</id><title>&x;</title></item></channel></rss>"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "defines its own XML entities.*attacks use.*nothing was changed"),
        (OUTSIDE, "defines its own XML entities"),
        (RSS[: len(RSS) // 2], r"broken XML.*nothing was changed"),
        (RSS.replace("</title>", "</titel>", 1), "mismatched tag"),
        (RSS.replace("Acme &amp; Co", "Acme & Co"), "not well-formed"),
        ("<html><body>404</body></html>", "no <item>.*no <entry>"),
        ("<rss><channel>" + "<a>" * 5000 + "</a>" * 5000 + "</channel></rss>", "within each other"),
    ],
)
def test_a_feed_that_is_broken_or_hostile_is_refused_whole(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TableError, match=said):
        read(tmp_path, text, name="feed.xml")
