"""The web page without a browser: its states, its filters, its history and its URL, run by Streamlit's own test
runner."""

from __future__ import annotations

import io
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from browser.shop import draw, fill_shop
from lapel.insight.distortions import cluttered

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")

from browser.runner import act, cards, followable, page_text, plain, settled, show, url
from lapel.apps.ui import state
from lapel.apps.ui.picture_cache import PICTURES
from lapel.apps.ui.selection import FilterSelection, escape, price_bounds, read_params
from lapel.apps.ui.swatches import swatch
from lapel.core.types import Filter, Part, Query, Verdict
from lapel.encoders import open_encoder
from lapel.encoders.segmenter import open_segmenter
from lapel.engine.context import open_context
from lapel.engine.models import use
from lapel.service import IndexService, IndexStatus, Overview, Store, open_store

__all__ = ["show"]  # a fixture


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill_shop(tmp_path_factory.mktemp("ui"))


# --- states -----------------------------------------------------------------------------------------------------------


def test_without_a_store_the_page_says_what_to_type_and_finds_the_store_once_it_is_there(show, tmp_path):
    page = show(tmp_path / "shop")
    assert "There is no shop here yet" in page_text(page)
    assert f"lapel add PICTURES --store {tmp_path / 'shop'}" in page.code[0].value
    assert not page.sidebar.button
    fill_shop(tmp_path)
    settled(page.button(key="again").click().run())
    assert "the nearest of 40 products" in page_text(page)


def test_an_empty_store_says_so_and_what_to_type(show, tmp_path):
    with open_context(tmp_path, create=True, encoder="colour:") as shop:
        shop.claim()
    page = show(tmp_path)
    assert "This shop is empty" in page_text(page)
    assert f"lapel add PICTURES --store {tmp_path}" in page.code[0].value


def test_a_store_of_another_model_shows_the_reason(show, tmp_path):
    with open_context(tmp_path, create=True, encoder="colour:") as shop:
        shop.claim()
        shop.catalog.set_setting("fingerprint", "0" * 16)
    page = show(tmp_path)
    assert "was filled with the model 'colour'" in plain(page.error[0].value)
    assert page.button(key="again")


def test_a_damaged_store_shows_the_reason(show, tmp_path):
    (tmp_path / "catalog.sqlite").write_bytes(b"not a catalogue" * 100)
    page = show(tmp_path)
    assert "catalog.sqlite" in plain(page.error[0].value)


def test_the_start_page_shows_products_and_what_the_shop_can_be_filtered_by(show, store):
    page = show(store)
    assert len(followable(page)) == 40
    assert page.sidebar.selectbox(key="level-0").options == ["Accessories  ·  10", "Apparel  ·  30"]
    assert {pills.key for pills in page.pills} == {"f-gender", "f-colour", "f-season"}
    assert page.slider(key="f-price").value == (10.0, 50.0)
    assert "In stock only · 39" in page.toggle(key="f-in_stock").label


# --- filters ----------------------------------------------------------------------------------------------------------


def test_filters_narrow_the_answer_the_counts_and_the_url(show, store):
    page = show(store, product="W0000")
    settled(page.pills(key="f-colour").set_value(["Red"]).run())
    assert sorted(followable(page)) == sorted(f"W{number:04}" for number in range(40) if number // 2 % 5 == 2)
    settled(page.sidebar.selectbox(key="level-0").set_value("Apparel").run())
    settled(page.sidebar.selectbox(key="level-1").set_value("Apparel > Topwear").run())
    settled(page.pills(key="f-gender").set_value(["Men"]).run())
    assert followable(page) == ["W0005"]
    assert "1 product" in page_text(page)
    assert url(page)["category"] == ["Apparel > Topwear"]
    assert url(page)["colour"] == ["Red"]
    assert url(page)["product"] == ["W0000"]
    settled(page.button(key="drop-colour-Red").click().run())
    assert sorted(followable(page)) == ["W0001", "W0003", "W0005", "W0007", "W0009"]
    settled(page.button(key="clear-side").click().run())
    assert len(followable(page)) == 39
    assert set(url(page)) == {"product"}


def test_another_category_ends_the_choice_below_it(show, store):
    page = show(store, category="Apparel > Topwear > T-shirts")
    assert page.sidebar.selectbox(key="level-2").value == "Apparel > Topwear > T-shirts"
    settled(page.sidebar.selectbox(key="level-0").set_value("Accessories").run())
    assert url(page)["category"] == ["Accessories"]
    assert page.sidebar.selectbox(key="level-1").value is None


def test_nothing_passes_and_one_button_brings_everything_back(show, store):
    page = show(store, product="W0000", colour="Red", price="10-11")
    assert "No product passes these filters" in page_text(page)
    assert "Colour Red, 10 – 11 EUR leaves none of 40 products" in page_text(page)
    settled(page.button(key="clear-filters").click().run())
    assert len(followable(page)) == 39


def test_stock_and_price(show, store):
    page = show(store, in_stock="yes", price="10-15", product="W0000")
    assert sorted(followable(page)) == ["W0001", "W0002", "W0004"]
    assert url(page)["price"] == ["10-15"]


def test_a_link_with_filters_the_shop_does_not_have_says_which(show, store):
    page = show(store, colour=["Red", "Mauve"], price="cheap")
    assert "colour=Mauve, price=cheap" in plain(page.warning[0].value)
    assert page.pills(key="f-colour").value == ["Red"]


def test_filters_go_with_the_products_they_stood_for(show, store, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    page = show(copy, colour=["Red", "Navy"], price="45-50", product="W0000")
    assert "45 – 50 EUR" in [plain(button.label) for button in page.button]
    with open_context(copy) as shop:
        red = [product.id for product in shop.catalog.products(Filter.parse(["colour=Red"]))]
        dear = [product.id for product in shop.catalog.products(Filter.parse(["price>=40"]))]
        shop.catalog.remove([*red, *dear])
    settled(page.run())
    assert page.pills(key="f-colour").value == ["Navy"]
    assert page.slider(key="f-price").value == (10.0, 40.0)
    assert page.warning


# --- the history ------------------------------------------------------------------------------------------------------


def test_nothing_in_a_link_becomes_an_image_or_a_link(show, store):
    page = show(store, product="![x](https://elsewhere.example/x.png)", colour="[y](https://elsewhere.example)")
    for text in (page.error[0].value, page.warning[0].value):
        assert not re.search(r"(?<!\\)\[", text)
        assert "elsewhere" in text


def test_more_like_this_goes_on_and_back(show, store):
    page = show(store, product="W0000")
    first = followable(page)
    with open_store(store, read_only=True) as shop:
        truth = [hit.product.id for hit in shop.search(product_id="W0000", k=40)]
    assert first == truth
    assert first[0] == "W0001"
    act(page, "more", "W0001")
    assert url(page)["product"] == ["W0001"]
    act(page, "more", "W0020")
    assert len(page.session_state["history"]) == 3
    settled(page.button(key="back").click().run())
    assert url(page)["product"] == ["W0001"]
    settled(page.button(key="crumb-0").click().run())
    assert followable(page) == first
    settled(page.button(key="clear").click().run())
    assert "Find what looks like it" in page_text(page)
    assert "product" not in url(page)
    settled(page.button(key="crumb-0").click().run())  # the start page offers the way back too
    assert url(page)["product"] == ["W0000"]


def test_whoever_wants_more_like_a_product_sees_the_nearest_however_far(show, store, monkeypatch):
    search = Store.search
    monkeypatch.setattr(Store, "search", lambda *a, **k: replace(search(*a, **k), verdict=Verdict.NOTHING_CLOSE))
    page = show(store, product="W0026")
    assert followable(page)
    assert "These are the nearest" in page_text(page)
    assert "Nothing here is close to it" in [each.value for each in show(store, q="dress").header]


def test_words_and_products_are_parts_that_can_be_dropped_one_by_one(show, store):
    page = show(store)
    settled(page.chat_input(key="box").set_value("green  dress").run())
    assert url(page) == {"q": ["green dress"]}
    assert followable(page)[:2] == ["W0026", "W0027"]
    act(page, "less", "W0026")
    assert url(page) == {"q": ["green dress"], "unlike": ["W0026"]}
    assert "W0026" not in followable(page)
    act(page, "more", "W0004")
    assert url(page) == {"q": ["green dress"], "product": ["W0004"], "unlike": ["W0026"]}
    with open_store(store, read_only=True) as shop:
        parts = (Part(text="green dress"), Part(product_id="W0004"), Part(product_id="W0026", weight=-0.5))
        assert followable(page) == [hit.product.id for hit in shop.search(parts=parts, k=40)]
    settled(page.button(key="part-text-").click().run())
    assert url(page) == {"product": ["W0004"], "unlike": ["W0026"]}
    settled(page.button(key="part-likes-W0004").click().run())  # being unlike something alone is no query
    assert url(page) == {}


def test_a_colour_and_what_counts_are_asked_and_stand_in_the_address(show, store):
    page = show(store, product="W0000")
    settled(page.color_picker(key="a-tint").set_value("#c22f34").run())
    assert url(page) == {"product": ["W0000"], "tint": ["c22f34"]}
    with open_store(store, read_only=True) as shop:
        expected = [hit.product.id for hit in shop.search(product_id="W0000", colour="#c22f34", k=40)]
    assert followable(page) == expected
    settled(page.button(key="part-colour-").click().run())
    settled(page.slider(key="a-pattern").set_value(0.0).run())
    settled(page.toggle(key="a-models").set_value(True).run())
    assert url(page) == {"product": ["W0000"], "look": ["1-1-0"], "models": ["once"]}
    assert page.error  # this model knows no sides of a look
    again = show(store, product="W0000", look="1-1-0", models="once")
    assert again.slider(key="a-pattern").value == 0.0
    settled(again.button(key="part-look-").click().run())
    assert followable(again)
    assert url(again) == {"product": ["W0000"], "models": ["once"]}


def test_an_address_that_was_edited_by_hand_says_what_it_could_not_read(show, store):
    page = show(store, product="W0000", look="9-9", tint="reddish", box="1-0-0-1", colour="Red")
    assert "box=1-0-0-1, look=9-9, tint=reddish" in plain(page.warning[0].value)
    assert followable(page)
    assert url(page) == {"product": ["W0000"], "colour": ["Red"]}


def test_the_only_product_of_a_shop_has_no_look_alike(show, tmp_path):
    (tmp_path / "photos").mkdir()
    draw("Tote", "Red").save(tmp_path / "photos" / "tote.png")
    with open_store(tmp_path / "shop", create=True, encoder="colour:") as shop:
        shop.add(tmp_path / "photos")
        (only,) = shop.browse().products
    page = show(tmp_path / "shop", product=only.product.id)
    assert "There is no look-alike" in page_text(page)
    assert "passes these filters" not in page_text(page)
    assert "clear-filters" not in [button.key for button in page.button]


def test_a_problem_of_the_index_is_a_small_note_and_the_answer_is_there(show, store, monkeypatch):
    page = show(store, product="W0000")
    assert not [caption for caption in page.caption if "index" in caption.value]
    monkeypatch.setattr(IndexService, "status", lambda self: IndexStatus("flat", problem="OSError: disk <b>full</b>"))
    settled(page.run())
    (note,) = [plain(caption.value) for caption in page.caption if "index" in caption.value]
    assert note.endswith("OSError: disk <b>full</b>")
    assert len(followable(page)) == 39


def test_show_more(show, store, monkeypatch):
    monkeypatch.setattr(state, "PAGE_SIZE", 20)
    page = show(store, product="W0000")
    assert len(followable(page)) == 20
    assert page.session_state["seen-gallery"]["more"]
    act(page, "page")
    assert len(followable(page)) == 39
    assert not page.session_state["seen-gallery"]["more"]


def test_a_card_leads_to_its_product_and_says_what_it_is(show, store):
    page = show(store, product="W0000")
    card = cards(page)[0]
    assert (card["title"], card["price"], card["facts"]) == ("Black t-shirt for men", "11.50 EUR", "Marl & Co · Black")
    assert card["href"] == "product?id=W0001"
    assert re.fullmatch(r"thumbnail/\d+\?v=[0-9a-f]{12}", card["picture"])
    assert next(each for each in cards(page) if each["id"] == "W0003")["out"] == "Out of stock"
    act(page, "open", "W0001")
    assert url(page) == {"id": ["W0001"]}
    assert "Black t-shirt for men" in page_text(page)


def test_why_explains_or_says_that_the_model_cannot(show, store):
    page = act(show(store, product="W0000"), "why", "W0001")
    assert "gives no map of places" in plain(page.info[0].value) or "score is" in page_text(page)


def test_a_link_to_a_product_that_is_gone(show, store):
    page = show(store, product="W9999")
    assert "no product 'W9999'" in plain(page.error[0].value)
    settled(page.button(key="clear").click().run())
    assert len(followable(page)) == 40


# --- photos in --------------------------------------------------------------------------------------------------------


def upload(page, image, name="photo.png"):
    """Drop a picture."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return settled(page.file_uploader(key="upload").set_value((name, stream.getvalue(), "image/png")).run())


def kept(page):
    """What the cache keeps of the picture that is asked with."""
    return PICTURES.get(page.session_state["asked"].photo)


def test_a_bad_upload_is_explained_and_a_good_one_then_works(show, store):
    page = show(store)
    settled(page.file_uploader(key="upload").set_value(("shirt.jpg", b"no picture at all", "image/jpeg")).run())
    assert "Not a picture" in plain(page.error[0].value)
    assert len(followable(page)) == 40
    upload(page, draw("Dress", "Green", 24))
    assert followable(page)[0] == "W0027"
    assert plain(page.button(key="part-photo-").label) == "Your photo"


def test_of_several_pictures_the_first_is_searched_with_and_the_page_says_so(show, store):
    files = []
    for colour in ("Green", "Red", "Navy"):
        stream = io.BytesIO()
        draw("Dress", colour, 24).save(stream, "PNG")
        files.append((f"{colour}.png", stream.getvalue(), "image/png"))
    page = show(store)
    settled(page.file_uploader(key="upload").set_value(files).run())
    assert "the first of 3 was used" in page.toast[0].value
    assert followable(page)[0] == "W0027"


def test_a_reload_finds_the_picture_and_a_forgotten_one_is_told(show, store):
    page = upload(show(store), draw("Dress", "Green", 24))
    token = url(page)["photo"][0]
    assert followable(show(store, photo=token))[0] == "W0027"
    page = show(store, photo="forgotten", q="dress")
    assert "was forgotten" in page.warning[0].value
    assert followable(page)
    settled(page.button(key="drop-photo").click().run())
    assert url(page) == {"q": ["dress"]}


def test_a_photo_is_looked_at_again_when_the_shop_has_another_model_since(show, store, tmp_path):
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    page = upload(show(copy), draw("Dress", "Green", 24))
    with open_context(copy) as shop:
        switch = use(shop, "small")
    settled(page.run())
    assert followable(page)[0] == "W0027"
    assert kept(page).fingerprint == switch.model.fingerprint


def test_an_uploaded_photo_is_encoded_once_and_asks_with_the_same_vectors_as_ever(show, store, monkeypatch):
    encoder, segmenter = open_encoder("colour:"), open_segmenter()
    photo = cluttered(draw("Dress", "Green", 24), np.random.default_rng(5))
    (whole,) = encoder.encode([photo])
    (product,) = encoder.encode(segmenter.segment([photo], shape=encoder.preprocessing))
    batches = []
    encode_pixels = type(encoder).encode_pixels

    def counted_pixels(encoder, pixels):
        batches.append(len(pixels))
        return encode_pixels(encoder, pixels)

    page = show(store)
    monkeypatch.setattr(type(encoder), "encode_pixels", counted_pixels)
    upload(page, photo)
    answers = [followable(page)]
    for _ in range(2):
        (switch,) = [toggle for toggle in page.toggle if toggle.key.startswith("whole-")]
        settled(switch.set_value(not switch.value).run())
        answers.append(followable(page))
    assert batches == [2]  # the whole and the product, in one batch
    photo = kept(page)
    np.testing.assert_allclose(photo.whole, whole, atol=1e-6)
    np.testing.assert_allclose(photo.product, (whole + product) / np.linalg.norm(whole + product), atol=1e-6)
    with open_store(store, read_only=True) as shop:
        queries = Query(vector=photo.product, colours=photo.colours, k=40), Query(vector=photo.whole, k=40)
        expected = [[hit.product.id for hit in shop.search(query=query)] for query in queries]
    assert answers == [expected[0], expected[1], expected[0]]
    assert expected[0] != expected[1]


def test_a_cropped_picture_asks_with_its_part(show, store):
    both = draw("Dress", "Green")
    both.paste(draw("Tote", "Red").crop((0, 180, 300, 400)), (0, 180))
    page = upload(show(store), both)
    page.session_state["do-crop"] = {"box": [0.0, 0.45, 1.0, 1.0]}
    settled(page.run())
    assert url(page)["box"] == ["0.000-0.450-1.000-1.000"]
    with open_store(store, read_only=True) as shop:
        expected = shop.search(image=kept(page).image(), box=(0.0, 0.45, 1.0, 1.0), k=40)
    assert followable(page) == [hit.product.id for hit in expected]
    page.session_state["do-crop"] = {"box": None}
    assert "box" not in url(settled(page.run()))


def test_a_photo_on_white_leaves_no_choice(show, store):
    page = upload(show(store), draw("Dress", "Green", 24))
    assert followable(page)[0] == "W0027"
    assert not [toggle for toggle in page.toggle if toggle.key.startswith("whole-")]


def test_a_bad_link_is_explained(show, store):
    page = show(store)
    settled(page.chat_input(key="box").set_value("http://127.0.0.1:9/x.jpg").run())
    assert "127.0.0.1" in plain(page.error[0].value)
    assert len(followable(page)) == 40


def test_words_that_nobody_knows_are_told(show, store):
    page = show(store, q="qwertzuiop")
    assert "None of these words is known here" in page_text(page)
    settled(page.button(key="new").click().run())
    assert len(followable(page)) == 40


def test_words_of_another_language_are_told_as_they_were_read(show, store):
    assert "kleid → dress" in page_text(show(store, q="Kleid"))


def test_products_without_a_photo_in_reach_cannot_be_browsed(show, store, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    page = show(copy)
    with open_context(copy) as shop:
        reds = {product.id for product in shop.catalog.products(Filter.parse(["colour=Red"]))}
        away = {f"W{number:04}" for number in range(4)} | reds
        keys = {photo.key for name in away for photo in shop.catalog.photos(name)}
        shop.catalog.hosting.set_issues(dict.fromkeys(keys, ("dead", "gone")), [], now="2026")
        assert shop.catalog.hosting.update_reachability(before="2026", now="2026") == (len(keys), 0)
    settled(page.run())
    assert not away & set(followable(page))
    assert f"{40 - len(away)} products" in page_text(page)
    assert "Red" not in page.pills(key="f-colour").options
    with open_context(copy) as shop:  # all of them
        keys = {photo.key for photo in shop.catalog.hosting.photos()}
        shop.catalog.hosting.set_issues(dict.fromkeys(keys, ("dead", "gone")), [], now="2026")
        shop.catalog.hosting.update_reachability(before="2026", now="2026")
    settled(page.run())
    assert "No product passes" in page_text(page) or "holds 0 products" in page_text(page)


# --- pieces -----------------------------------------------------------------------------------------------------------

RACK = Overview(
    products=3, vectors=3, prices={"EUR": (9.5, 40.25)}, first=("gender", "colour", "season"), more=("product",),
    values={"category": ("A", "A > B"), "colour": ("Red", "a|b"), "in_stock": ("yes", "no"), "product": ("x", "y")},
)  # fmt: skip


def test_what_the_url_says_and_what_is_selected_are_the_same():
    chosen = {"gender": (), "colour": ("Red", "a|b"), "season": (), "product": ("y",)}
    selection = FilterSelection("A > B", chosen, True, "EUR", (10.0, 20.5))
    assert read_params(selection.params(), RACK) == (selection, [])
    assert selection.params()["field:product"] == ["y"]  # 'product' is what is asked for
    priced = "in_stock=yes and currency=EUR and price>=10 and price<=20.5"
    assert str(selection.filter()) == f"category=A > B and colour=Red|a|b and product=y and {priced}"
    assert str(selection.filter(without="colour")) == f"category=A > B and product=y and {priced}"
    assert FilterSelection().filter() == Filter()
    assert FilterSelection().params() == {}


def test_a_price_in_the_url_is_cut_to_the_shops_own():
    assert read_params({"price": ["0-15"]}, RACK)[0].price == (9.0, 15.0)
    for text in ("50-60", "20-10", "-5-10", "1e3-2e3", "", "９-１0"):
        assert read_params({"price": [text]}, RACK)[1] == [f"price={text}"]


def test_price_bounds_are_whole_and_around():
    assert price_bounds((9.5, 40.25)) == (9.0, 41.0)
    assert price_bounds((9.0, 40.0)) == (9.0, 40.0)


def test_colours_have_dots():
    assert swatch("Navy Blue") == swatch("navy blue") == "#1f2a4d"
    assert swatch("Bottle Green") == swatch("Green")
    assert swatch("Whatever") == ""


def test_titles_are_shown_letter_by_letter():
    assert escape("a \u202eb\u2066") == "a b"
    assert escape("**A** [b](c) :red[d] $e$\n\nf") == r"\*\*A\*\* \[b\]\(c\) \:red\[d\] \$e\$ f"
