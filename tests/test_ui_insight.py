"""The pages Map and Insight without a browser, on the drawn shop of 40 products."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from browser.shop import draw, fill_shop

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")

import streamlit as st
from streamlit.testing.v1 import AppTest

from browser.runner import followable, page_text, plain, settled, show
from lapel.apps.ui import work
from lapel.apps.ui.map_cache import cached_map
from lapel.apps.ui.routes import routes
from lapel.service import open_store

__all__ = ["show"]  # a fixture


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill_shop(tmp_path_factory.mktemp("insight"))


def waited(page: AppTest, name: str) -> AppTest:
    """The page once a question is answered."""
    deadline = time.monotonic() + 120
    while (found := work.find(name)) is None or not found.ended:
        assert time.monotonic() < deadline, "no answer"
        time.sleep(0.1)
    assert not found.error, found.error
    return settled(page.run())


def test_the_map_is_drawn_once_and_has_an_address(show, store, monkeypatch):
    shown: list[dict] = []

    def frame(*, key: str, data: dict) -> None:
        shown.append(data)
        st.html(f"<i data-shown='{key}'></i>")

    monkeypatch.setattr(st.components.v2, "component", lambda *_, **__: frame)
    assert cached_map(store) is None
    page = waited(show(store, "map"), f"map {store}")
    drawn = cached_map(store)
    assert drawn is not None
    assert shown[-1]["source"] == f"map-page?v={drawn.digest}"
    assert "A map of 40 products" in page_text(page)
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    with TestClient(Starlette(routes=routes(store, write=False))) as client:
        kept = client.get(f"/map-page?v={drawn.digest}")
        assert kept.content == drawn.page
        assert "immutable" in kept.headers["cache-control"]
        assert client.get("/map-page").headers["cache-control"] == "no-store"
        for given, wanted in (
            ("product/W0000", "../product?id=W0000"),
            ("insight/?question=price", "../insight?question=price"),
        ):
            told = client.get(f"/{given}", headers={"accept": "text/html"}, follow_redirects=False)
            assert told.headers["location"] == wanted
        assert client.get("/insight/_stcore/health").status_code == 404


@pytest.mark.parametrize("question", ["duplicates", "labels", "assortment", "clusters"])
def test_a_question_is_asked_answered_and_stands_in_the_address(show, store, question, monkeypatch):
    given: list[object] = []  # to download: a function's file would be forgotten before a slow browser came for it
    shown = st.download_button
    monkeypatch.setattr(
        st, "download_button", lambda name, data, *rest, **more: given.append(data) or shown(name, data, *rest, **more)
    )
    page = show(store, "insight", question=question)
    assert page.query_params["question"] in (question, [question])
    settled(page.button(key=f"run-{question}").click().run())
    page = waited(page, f"{question} {store}")
    found = work.find(f"{question} {store}").result.found
    told = found.summary().split(".")[0][:30]
    assert len(given) >= bool(found.rows())
    assert all(isinstance(each, str) for each in given)
    if found.rows():
        assert page.dataframe
        assert told in page_text(page)
    else:
        assert told in plain(page.success[0].value)
        assert not page.dataframe
    page.query_params["question"] = "price"  # the browser's Back, or a link
    assert "Estimate" in [each.label for each in settled(page.run()).button]


def test_a_no_to_duplicates_is_remembered(show, store, tmp_path):
    """Two products with the very same picture: a group of equal bytes, and a person who says that it is none."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("a", "b"):
        draw("Dress", "Red").save(pictures / f"{name}.png")
    with open_store(tmp_path / "shop", create=True, encoder="colour:") as shop:
        shop.add(pictures)
    page = show(tmp_path / "shop", "product", id="a")
    assert "The same picture is listed again" in page_text(page)
    assert followable(page, "duplicates-0") == ["b"]
    page = show(tmp_path / "shop", "insight", question="duplicates")
    settled(page.button(key="run-duplicates").click().run())
    page = waited(page, f"duplicates {tmp_path / 'shop'}")
    settled(page.button(key="no-duplicates").click().run())
    with open_store(tmp_path / "shop") as shop:
        assert [(each.one, each.other) for each in shop.dismissed_duplicates()] == [("a", "b")]
        assert not shop.duplicates().groups
    assert followable(show(tmp_path / "shop", "product", id="a"), "duplicates-0") == []


def test_what_cannot_be_answered_says_why(show, store):
    """The drawn shop was added at one moment: nothing rises and nothing fades."""
    page = show(store, "insight", question="trends")
    settled(page.button(key="run-trends").click().run())
    deadline = time.monotonic() + 60
    while not work.find(f"trends {store}").ended and time.monotonic() < deadline:
        time.sleep(0.1)
    page = settled(page.run())
    assert "two periods" in page.error[0].value
    assert "--" not in page.error[0].value
    assert "year" in page.caption[0].value


def test_an_empty_watch_says_how_to_begin(show, store):
    page = show(store, "insight", question="watch")
    assert "Nothing is watched for yet" in page_text(page) + page.info[0].value
    assert "lapel watch" in page.code[0].value


def test_a_match_in_the_queue_is_decided_on(show, store, tmp_path):
    bank, uploads = tmp_path / "bank", tmp_path / "uploads"
    for folder in (bank, uploads):
        folder.mkdir()
        draw("Dress", "Red").save(folder / "dress.png")
    with open_store(store) as shop:
        shop.watching.add("own designs", bank)
        assert len(shop.watch(uploads).matches) == 1
    page = show(store, "insight", question="watch")
    assert "What was found" in page_text(page)
    assert "The watched picture" in page_text(page)
    (found,) = [each for each in page.button if str(each.key).startswith("yes-")]
    settled(found.click().run())
    assert "queue is empty" in page.success[0].value
    settled(page.button(key="back-watch").click().run())  # it is open again
    (found,) = [each for each in page.button if str(each.key).startswith("yes-")]
    settled(found.click().run())
    with open_store(store) as shop:
        assert shop.watching.queue(state="confirmed")[0].bank == "own designs"


def test_a_price_needs_a_photo(show, store):
    page = show(store, "insight", question="price")
    settled(next(each for each in page.button if each.label == "Estimate").click().run())
    assert "Choose a photo" in page.info[0].value
