"""The page's filters: which fields are offered, what their counts say, prices in several currencies, and what the
history keeps."""

from __future__ import annotations

import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser.runner import act, cards, followable, plain, settled, show, url
from browser.shop import draw
from inputs.page import boutique, heavy, heic
from lapel.apps.ui import filters
from lapel.apps.ui.filters import MORE
from lapel.apps.ui.gallery import product_card
from lapel.apps.ui.selection import parameter
from lapel.core.types import Product
from lapel.engine.context import open_context
from lapel.service import ProductDetails, image_formats, image_suffixes

__all__ = ["show"]  # a fixture


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return boutique(tmp_path_factory.mktemp("boutique"))


def counts(page, key: str) -> dict[str, int]:
    """What the buttons of a field say: values and how many products are left."""
    (pills,) = [pills for pills in page.pills if pills.key == key]
    parts = [plain(option).removesuffix("]").split(" :gray[") for option in pills.options]
    return {value: int(count) for value, count in parts}


# --- which fields -----------------------------------------------------------------------------------------------------


def test_the_useful_fields_come_first_and_what_nobody_chooses_by_is_left_out(show, store):
    page = show(store)
    assert [pills.label for pills in page.pills] == [
        *("Gender", "Brand", "Colour", "Size", "Size in stock", "On sale", "Material", "Prices in"),
    ]
    assert list(counts(page, "f-size")) == ["XS", "S", "M", "L", "XL", "36", "38", "40"]
    assert page.button(key="more-filters").label == "More filters · 1"
    settled(page.button(key="more-filters").click().run())
    assert counts(page, "f-collection") == {"Archive": 4}
    settled(page.pills(key="f-collection").set_value(["Archive"]).run())
    settled(page.button(key="more-filters").click().run())
    assert page.session_state[MORE] is False
    assert counts(page, "f-collection") == {"Archive": 4}  # in use, so it stays
    assert url(page) == {"collection": ["Archive"]}
    assert plain(page.button(key="drop-collection-Archive").label) == "Collection: Archive"
    settled(page.button(key="drop-collection-Archive").click().run())
    assert not [pills for pills in page.pills if pills.key == "f-collection"]


def test_a_field_with_many_values_is_a_list_to_type_into(show, store, monkeypatch):
    monkeypatch.setattr(filters, "MAX_BUTTONS", 3)  # there are four brands
    page = show(store)
    assert page.multiselect(key="f-brand").options == [
        f"{name}  ·  10" for name in ("Alder", "Kestrel", "Marl & Co", "Wren")
    ]
    settled(page.multiselect(key="f-brand").set_value(["Wren", "Alder"]).run())
    assert url(page)["brand"] == ["Wren", "Alder"]
    settled(page.pills(key="f-gender").set_value(["Men"]).run())
    assert page.multiselect(key="f-brand").value == ["Wren", "Alder"]
    assert page.multiselect(key="f-brand").options == ["Alder  ·  0", "Kestrel  ·  10", "Wren  ·  10"]


# --- counts -----------------------------------------------------------------------------------------------------------


def test_counts_obey_the_other_fields_and_keep_their_own_alternatives(show, store):
    page = show(store, gender="Men", colour=["Red", "Navy"])
    # Ten men's products a colour twin: four cuts in five colours.
    assert counts(page, "f-colour") == {"Black": 4, "Green": 4, "Navy": 4, "Red": 4, "Yellow": 4}
    assert counts(page, "f-gender") == {"Men": 8, "Women": 8}
    assert counts(page, "f-brand") == {"Kestrel": 4, "Wren": 4}
    assert page.selectbox(key="level-0").options == ["Accessories  ·  2", "Apparel  ·  6"]
    assert "In stock only · 7" in page.toggle(key="f-in_stock").label  # B003 is navy, for men and gone


def test_what_no_product_has_cannot_be_chosen(show, store):
    page = show(store, brand="Marl & Co")
    assert counts(page, "f-gender") == {"Women": 10}
    assert counts(page, "f-size") == {"S": 10, "M": 10, "L": 10}
    page = show(store, brand="Kestrel", size="M")
    assert counts(page, "f-size") == {"M": 0, "36": 10, "38": 10, "40": 10}  # what is chosen can be taken away
    assert page.pills(key="f-size").value == ["M"]
    assert followable(page) == []
    assert page.toggle(key="f-in_stock").disabled


def test_a_choice_stays_when_other_filters_change_what_is_offered(show, store):
    page = show(store, brand="Kestrel", product="B000")
    assert list(counts(page, "f-gender")) == ["Men"]
    settled(page.pills(key="f-gender").set_value(["Men"]).run())
    settled(page.button(key="drop-brand-Kestrel").click().run())
    assert list(counts(page, "f-gender")) == ["Men", "Women"]
    assert page.pills(key="f-gender").value == ["Men"]
    settled(page.run())
    assert url(page) == {"gender": ["Men"], "product": ["B000"]}
    page = show(store, currency="JPY", product="B000")
    assert page.selectbox(key="level-0").options == ["Accessories  ·  10"]
    settled(page.selectbox(key="level-0").set_value("Accessories").run())
    settled(page.button(key="drop-currency-JPY").click().run())
    assert page.selectbox(key="level-0").options == ["Accessories  ·  10", "Apparel  ·  30"]
    assert page.selectbox(key="level-0").value == "Accessories"
    settled(page.run())
    assert url(page) == {"category": ["Accessories"], "product": ["B000"]}


def test_a_size_of_several_is_found(show, store):
    page = show(store, size=["38"], product="B000")
    assert sorted(followable(page)) == [f"B{number:03}" for number in range(3, 40, 4)]
    assert url(page) == {"size": ["38"], "product": ["B000"]}


# --- prices -----------------------------------------------------------------------------------------------------------


def test_with_several_currencies_one_is_chosen_first_and_the_slider_has_its_prices(show, store):
    page = show(store, product="B000")
    assert "f-price" not in [slider.key for slider in page.slider]
    assert counts(page, "f-currency") == {"EUR": 30, "JPY": 10}
    settled(page.pills(key="f-currency").set_value("JPY").run())
    assert (page.slider(key="f-price").label, page.slider(key="f-price").value) == ("Price in JPY", (3000.0, 3900.0))
    assert sorted(followable(page)) == [f"B{number:03}" for number in range(30, 40)]
    settled(page.slider(key="f-price").set_value((3500.0, 3700.0)).run())
    assert sorted(followable(page)) == ["B035", "B036", "B037"]
    assert url(page) == {"currency": ["JPY"], "price": ["3500-3700"], "product": ["B000"]}
    settled(page.pills(key="f-currency").set_value("EUR").run())
    assert (page.slider(key="f-price").label, page.slider(key="f-price").value) == ("Price in EUR", (10.0, 39.0))
    assert url(page) == {"currency": ["EUR"], "product": ["B000"]}
    settled(page.button(key="drop-currency-EUR").click().run())
    assert "f-price" not in [slider.key for slider in page.slider]
    assert url(page) == {"product": ["B000"]}


def test_a_link_says_in_which_currency_its_price_is(show, store):
    page = show(store, currency="JPY", price="3000-3100")
    assert page.slider(key="f-price").value == (3000.0, 3100.0)
    assert "3000 – 3100 JPY" in [plain(button.label) for button in page.button]
    page = show(store, currency="USD", price="10-20")
    assert "currency=USD, price=10-20" in plain(page.warning[0].value)


def test_prices_are_compared_in_their_currency_although_another_one_is_hidden(show, tmp_path):
    """All that costs yen is hidden: one currency is left to choose from, and two are in the catalogue."""
    store = boutique(tmp_path)
    with open_context(store) as shop:
        keys = {photo.key for number in range(30, 40) for photo in shop.catalog.photos(f"B{number:03}")}
        shop.catalog.hosting.set_issues(dict.fromkeys(keys, ("dead", "gone")), [], now="2026")
        shop.catalog.hosting.update_reachability(before="2026", now="2026")
    page = show(store, product="B000", price="10-12")
    assert sorted(followable(page)) == ["B001", "B002"]


# --- what a link asks for ---------------------------------------------------------------------------------------------


def test_a_link_with_every_field_shows_it_and_says_what_is_unknown(show, store):
    page = show(store, material="wool", size=["M", "XXS"], sku="MC-00001", utm_source="mail", collection="Archive")
    assert page.pills(key="f-material").value == ["wool"]
    assert page.pills(key="f-collection").value == ["Archive"]
    assert "size=XXS, sku=MC-00001, which" in plain(page.warning[0].value)
    assert url(page) == {"material": ["wool"], "size": ["M"], "collection": ["Archive"]}


def test_an_attribute_named_like_a_parameter_of_the_page_has_another_one():
    assert [parameter(name) for name in ("product", "Embed", "size")] == ["field:product", "field:Embed", "size"]


# --- the history ------------------------------------------------------------------------------------------------------


def test_a_higher_category_ends_the_deeper_ones(show, store):
    page = show(store, category="Apparel > Topwear > T-shirts")
    settled(page.selectbox(key="level-1").set_value("Apparel > Bottomwear").run())
    assert url(page)["category"] == ["Apparel > Bottomwear"]
    assert page.selectbox(key="level-2").value is None
    settled(page.selectbox(key="level-2").set_value("Apparel > Bottomwear > Trousers").run())
    settled(page.selectbox(key="level-0").set_value(None).run())
    assert "category" not in url(page)
    assert [box.key for box in page.sidebar.selectbox] == ["level-0"]
    settled(page.selectbox(key="level-0").set_value("Apparel").run())
    assert url(page)["category"] == ["Apparel"]
    assert page.selectbox(key="level-1").value is None


def test_back_keeps_the_history(show, store):
    page = show(store, product="B000")
    act(page, "more", "B001")
    act(page, "more", "B010")
    page.query_params["product"] = "B001"  # what the browser's Back does
    settled(page.run())
    assert [params["product"] for params in page.session_state["history"]] == [["B000"], ["B001"]]
    page.query_params["product"] = "B020"  # a link to what is not in the history
    settled(page.run())
    assert url(page) == {"product": ["B020"]}
    assert page.session_state["history"][-1]["product"] == ["B020"]


# --- the way to the product -------------------------------------------------------------------------------------------


def test_a_card_leads_to_the_shops_page(show, store):
    page = show(store, product="B002")
    by_id = {card["id"]: card for card in cards(page)}
    assert by_id["B001"]["origin"] == "https://shop.example/p/1?from=lapel&list=1"
    assert by_id["B000"]["origin"] == ""  # it has no address


def test_an_address_that_is_not_one_of_the_web_is_no_link():
    product = Product("a")
    for bad in ("javascript:alert(1)", "data:text/html,x", "//a.example", "https://a.example/\nx"):
        object.__setattr__(product, "url", bad)
        assert product_card(ProductDetails(product, ()))["origin"] == ""


# --- photos in --------------------------------------------------------------------------------------------------------


def test_every_ending_that_folders_know_is_taken(show, store):
    page = show(store)
    stream = io.BytesIO()
    draw("Dress", "Green", 24).save(stream, "PNG")
    assert not page.file_uploader(key="upload").proto.type  # no list of its own: the content decides
    for ending in ("jfif", "mpo", "ppm", "whatever"):
        settled(page.file_uploader(key="upload").set_value((f"a.{ending}", stream.getvalue(), "image/x")).run())
        assert followable(page)[0] == "B027"
        settled(page.button(key="clear").click().run())
    assert {"JPEG", "PNG", "PPM", "TIFF"} <= set(image_formats().split(", "))
    assert len(image_formats().split(", ")) <= len(image_suffixes())


def test_a_phones_heic_is_read(show, store, tmp_path):
    pytest.importorskip("pillow_heif", reason="writes HEIC")
    page = show(store)
    photo = heic(tmp_path / "IMG_0001.HEIC", draw("Dress", "Green", 24))
    settled(page.file_uploader(key="upload").set_value((photo.name, photo.read_bytes(), "image/heic")).run())
    assert followable(page)[0] == "B027"


def test_what_cannot_be_used_is_said_in_a_sentence(show, store):
    page = show(store)
    settled(page.file_uploader(key="upload").set_value(("big [1].jpg", heavy(25), "image/jpeg")).run())
    assert plain(page.error[0].value).startswith("The file big [1].jpg has 26.2 MB; a picture may have 20 MB.")
    settled(page.file_uploader(key="upload").set_value(("notes.txt", b"hello", "text/plain")).run())
    assert "Not a picture" in plain(page.error[0].value)
    settled(
        page.file_uploader(key="upload").set_value(("bad.heic", b"\0\0\0\x18ftypheic" + bytes(40), "image/heic")).run()
    )
    assert page.error
    assert not page.exception


# --- private addresses ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def private() -> Iterator[str]:
    """A picture on a server of this machine, which is a private address."""
    stream = io.BytesIO()
    draw("Dress", "Green", 24).save(stream, "PNG")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            page = self.path.endswith(".html")
            self.send_header("Content-Type", "text/html" if page else "image/png")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>A shop</title>" if page else stream.getvalue())

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/dress.png"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("setting", [None, "", "0", "1"])
def test_a_pasted_link_to_a_private_address_needs_the_setting(show, store, private, monkeypatch, setting):
    monkeypatch.delenv("LAPEL_ALLOW_PRIVATE_LINKS", raising=False)
    if setting is not None:
        monkeypatch.setenv("LAPEL_ALLOW_PRIVATE_LINKS", setting)
    page = show(store)
    settled(page.chat_input(key="box").set_value(private).run())
    if setting == "1":
        assert "photo" in url(page)
        assert followable(page)[0] == "B027"
    else:
        assert "photo" not in url(page)
        assert "LAPEL_ALLOW_PRIVATE_LINKS=1" in plain(page.error[0].value)


def test_a_link_to_a_page_is_no_picture_and_the_sentence_says_so(show, store, private, monkeypatch):
    monkeypatch.setenv("LAPEL_ALLOW_PRIVATE_LINKS", "1")
    page = show(store)
    settled(page.chat_input(key="box").set_value(private.replace("dress.png", "dress.html")).run())
    assert "photo" not in url(page)
    assert "page" in plain(page.error[0].value)
    assert followable(page)
