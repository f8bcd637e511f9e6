"""The page in Streamlit's own test runner, without a browser: opening it, and reading what it shows."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")

from streamlit.testing.v1 import AppTest

from lapel.apps import ui


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch):
    """Opens the page of a store, with a query string when one is given."""

    def open_page(store: Path, **params: str | list[str]) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["page.py", str(store)])
        page = AppTest.from_file(str(ui.PAGE), default_timeout=60)
        for name, value in params.items():
            page.query_params[name] = value
        return settled(page.run())

    return open_page


def settled(page: AppTest) -> AppTest:
    assert not page.exception, page.exception
    return page


def page_text(page: AppTest) -> str:
    """All of the page's own HTML as one text."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", " ".join(element.proto.body for element in page.get("html"))))


def followable(page: AppTest) -> list[str]:
    """Ids of the products shown, in their order."""
    return [button.key.removeprefix("follow-") for button in page.button if button.key.startswith("follow-")]


def plain(markdown: str) -> str:
    """What escaped Markdown shows."""
    return re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", markdown)


def url(page: AppTest) -> dict[str, list[str]]:
    """What stands in the URL."""
    return {name: [value] if isinstance(value, str) else list(value) for name, value in dict(page.query_params).items()}
