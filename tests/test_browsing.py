"""Looking through a store without a query: which fields are filters, what words find, and tiles of photos."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser.shop import draw
from inputs.page import boutique, products
from lapel.core.errors import SourceError
from lapel.core.images import decode
from lapel.core.types import Photo
from lapel.engine.facets import without_repeats
from lapel.service import by_size, fetch_image, field_label, open_store, thumbnails, tile
from lapel.service.browsing import choose_fields
from lapel.service.thumbnails import NEUTRAL, TILE_SIZE, ThumbnailService, ground_colour

# --- which fields -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([("a", 50), ("b", 50)], True),
        ([("a", 100)], False),  # every product has it
        ([("a", 99)], True),
        ([(f"{number}", 2) for number in range(50)], True),
        ([(f"{number}", 2 - number % 2) for number in range(50)], False),  # nearly an id
        ([(f"{number}", 40) for number in range(200)], True),
        ([(f"{number}", 40) for number in range(201)], False),
        ([("x" * 40, 50), ("y" * 40, 50)], True),
        ([("x" * 41, 50), ("y" * 41, 50)], False),  # sentences
        ([], False),
    ],
)
def test_an_attribute_is_a_filter_by_its_values(values, kept):
    assert choose_fields({"cut": values}, 100) == ((("cut",) if kept else ()), ())


def test_the_order_is_known_fields_then_what_most_products_have_and_the_rest_is_more():
    half = [("a", 30), ("b", 30)]
    counted = {
        "rare": [("a", 10), ("b", 9)], "often": [("a", 10), ("b", 10)], "fit": half,
        "cut": [("a", 20), ("b", 20), ("c", 20)], "on_sale": [("yes", 3)], "size": half,
        "brand": [(f"{number}", 1) for number in range(60)], "gender": half,
        "id": half, "title": half, "url": half, "price": half, "currency": half, "category": half, "in_stock": half,
    }  # fmt: skip
    assert choose_fields(counted, 100) == (("gender", "brand", "size", "on_sale", "fit", "cut", "often"), ("rare",))
    many = {f"a{number}": half for number in range(10)}
    assert choose_fields(many, 100) == (tuple(f"a{number}" for number in range(8)), ("a8", "a9"))


def test_columns_that_repeat_a_field_are_no_filters(tmp_path):
    rows = [
        (
            f"P{n}",
            ("Shoes", "Bags")[n % 2],
            f"Kind {n % 4}",
            ("Red", "Blue", "Green")[n % 3],
            "AB"[n % 5 == 0],
            f"{n}.png",
        )
        for n in range(12)
    ]
    for row in rows:
        draw("Dress", "Red", 8 * int(row[0][1:])).save(tmp_path / row[5])
    with (tmp_path / "products.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("id", "section", "kind", "Color", "fit", "image"), *rows])
    with open_store(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.add(tmp_path, products=tmp_path / "products.csv", mapping=["category=section>kind"])
        assert store.product("P1").product.attributes["Color"] == "Blue"
        assert store.overview().fields == ("colour", "fit")
        assert list(store.facets()) == ["colour", "fit"]
        assert list(store.search(product_id="P1", facets=True).facets) == ["category", "colour", "fit"]
    almost = {"gender": [("Men", 60), ("Women", 40)], "sex": [("men", 59), ("women", 40)], "for": [("Men", 90)]}
    assert list(without_repeats(almost)) == ["gender", "for"]


def test_sizes_stand_from_small_to_large():
    assert by_size("size", ["XL", "38", "One size", "S", "36.5", "36", "3XL"]) == [
        *("S", "XL", "3XL", "36", "36.5", "38", "One size"),
    ]
    assert by_size("year", ["2012", "2009"]) == ["2009", "2012"]
    assert by_size("material", ["wool", "linen", "7"]) == ["wool", "linen", "7"]


def test_a_field_has_a_name_for_people():
    names = ["size_in_stock", "articleType", "EAN", "Obermaterial", "on-sale", "_", "neck line"]
    assert list(map(field_label, names)) == [
        *("Size in stock", "Article type", "EAN", "Obermaterial", "On sale", "_", "Neck line")
    ]


def test_an_overview_says_what_there_is_and_what_can_be_chosen(tmp_path):
    with open_store(boutique(tmp_path), read_only=True) as store:
        overview = store.overview()
        assert overview.products == len(products())
        assert overview.vectors == store.info().searched
        assert overview.prices == {"EUR": (10.0, 39.0), "JPY": (3000.0, 3900.0)}
        assert overview.first[:6] == ("gender", "brand", "colour", "size", "size_in_stock", "on_sale")
        assert overview.more == ("collection",)
        assert set(overview.values["on_sale"]) == {"yes"}
        assert dict(store.facets("brand", where="gender=Men")["brand"]) == {"Wren": 10, "Kestrel": 10}


# --- words ------------------------------------------------------------------------------------------------------------


def sarees(folder: Path, titles: Sequence[str]) -> Path:
    """A store of products with these titles, P0, P1, ..."""
    for number in range(len(titles)):
        draw("Dress", "Red", 8 * number).save(folder / f"{number}.png")
    with (folder / "products.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = [(f"P{number}", title, "Women", f"{number}.png") for number, title in enumerate(titles)]
        csv.writer(stream).writerows([("id", "title", "gender", "image"), *rows])
    with open_store(folder / "shop", create=True, encoder="colour:") as store:
        store.add(folder, products=folder / "products.csv")
    return folder / "shop"


def test_words_are_whole_words(tmp_path):
    titles = ["Red saree", "Multi Coloured saree", "Saree, deep RED", "Redwood kurta", "Red kurta"]
    with open_store(sarees(tmp_path, titles), read_only=True) as store:
        found = store.browse("red saree")
        assert {each.product.id for each in found.products} == {"P0", "P2"}
        assert found.total == 2
        assert store.browse("RED", where="gender=Men").total == 0
        assert store.browse("red velvet").products == ()


def test_without_words_all_products_come_in_pages_with_their_photos(tmp_path):
    with open_store(sarees(tmp_path, ["a", "b", "c", "d", "e"]), read_only=True) as store:
        first, last = store.browse(limit=3), store.browse(" ", limit=3, offset=3)
        assert [each.product.id for each in first.products + last.products] == ["P0", "P1", "P2", "P3", "P4"]
        assert first.total == last.total == 5
        assert [photo.product_id for each in first.products for photo in each.photos] == ["P0", "P1", "P2"]


def test_a_link_of_a_stranger_never_leads_to_a_file(tmp_path):
    path = tmp_path / "a.png"
    draw("Tote", "Red").save(path)
    for link in (str(path), path.as_uri(), f"//{path}"):
        with pytest.raises(SourceError):
            fetch_image(link, timeout=1)


# --- tiles ------------------------------------------------------------------------------------------------------------


def test_an_image_goes_on_in_its_own_ground():
    image = Image.new("RGB", (100, 100), (200, 10, 30))
    before = image.tobytes()
    pixels = np.asarray(decode(tile(image)))
    assert pixels.shape == (600, 450, 3)
    assert np.abs(pixels.astype(int) - (200, 10, 30)).max() <= 3
    assert image.tobytes() == before
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8))
    assert ground_colour(noise) == NEUTRAL
    assert ground_colour(Image.new("RGB", (1, 1), (1, 2, 3))) == (1, 2, 3)


def test_photos_are_read_once_by_content_and_a_missing_one_is_asked_for_again_after_a_minute(tmp_path, monkeypatch):
    asked: list[str] = []
    clock = [100.0]
    stream = io.BytesIO()
    draw("Tote", "Red").save(stream, "PNG")

    def read(service: ThumbnailService, photo: Photo) -> bytes:
        asked.append(photo.uri)
        if "gone" in photo.uri:
            raise SourceError("gone")
        return stream.getvalue()

    monkeypatch.setattr(ThumbnailService, "_read", read)
    monkeypatch.setattr(thumbnails.time, "monotonic", lambda: clock[0])
    with open_store(tmp_path, create=True, encoder="colour:") as store:
        photos = [Photo(1, "a", "one", "same"), Photo(2, "b", "gone", "other")]
        small, missing = store.thumbnails(photos)
        assert decode(small or b"").size == TILE_SIZE
        assert missing is None
        assert store.thumbnails([Photo(3, "c", "elsewhere", "same"), photos[1]]) == [small, None]
        assert sorted(asked) == ["gone", "one"]
        clock[0] += 61
        assert store.thumbnails(photos[1:]) == [None]
        assert asked.count("gone") == 2
