"""The page in Streamlit's own test runner, without a browser: opening it, and reading what it shows."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")

import streamlit as st
from streamlit.testing.v1 import AppTest

from lapel.apps import ui
from lapel.apps.ui import crop, gallery, shops
from lapel.apps.ui.query_bar import REFINE


def _gallery(*, key: str, data: dict, on_event_change: object) -> dict:
    """Stands in for the gallery's script in the browser: keeps the cards, and tells of what a test did."""
    st.session_state[f"seen-{key}"] = data
    st.html(f"<i data-shown='{key}'></i>")
    return {"event": st.session_state.pop(f"do-{key}", None)}


def _crop(*, key: str, data: dict, on_box_change: object) -> dict:
    st.session_state["seen-crop"] = data
    return {"box": st.session_state.pop("do-crop", None)}


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch):
    """Opens a page of a store, with a query string when one is given."""
    monkeypatch.setattr(gallery, "component", _gallery)
    monkeypatch.setattr(crop, "component", _crop)

    def open_page(store: Path, page_name: str = "search", **params: str | list[str]) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["page.py", str(store)])
        page = AppTest.from_file(str(ui.PAGE), default_timeout=60)
        if page_name != "search":
            page.switch_page(f"../pages/{page_name}.py")  # by the file's name: no run of the start page is needed
        page.session_state[REFINE] = True  # as the test runner cannot click a popover
        for name, value in params.items():
            page.query_params[name] = value
        return settled(page.run())

    yield open_page
    shops.close_all()


def settled(page: AppTest) -> AppTest:
    assert not page.exception, page.exception
    return page


def page_text(page: AppTest) -> str:
    """All that the page shows as words."""
    own = [element.proto.body for element in page.get("html")]
    written = [each.value for kind in ("header", "subheader", "markdown", "caption") for each in page.get(kind)]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", " ".join(own))) + " " + plain(" ".join(written))


def cards(page: AppTest, key: str = "gallery") -> list[dict]:
    """The cards of a gallery; none where it is not on the page."""
    shown = any(f"data-shown='{key}'" in element.proto.body for element in page.get("html"))
    return page.session_state[f"seen-{key}"]["cards"] if shown else []


def followable(page: AppTest, key: str = "gallery") -> list[str]:
    """Ids of the products shown, in their order."""
    return [card["id"] for card in cards(page, key)]


def act(page: AppTest, action: str, product_id: str = "", key: str = "gallery") -> AppTest:
    """Do something with a card, as a visitor does."""
    page.session_state[f"do-{key}"] = {"action": action, "id": product_id}
    return settled(page.run())


def plain(markdown: str) -> str:
    """What escaped Markdown shows."""
    return re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", markdown)


def url(page: AppTest) -> dict[str, list[str]]:
    """What stands in the URL."""
    return {name: [value] if isinstance(value, str) else list(value) for name, value in dict(page.query_params).items()}
