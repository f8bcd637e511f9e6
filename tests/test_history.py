"""When products and photos came and changed, how long changes are kept, and that the search for words follows."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapel.catalog import Catalog, Entry, history
from lapel.core.errors import InputError
from lapel.core.types import Links, Product
from lapel.testing.catalog import MODEL, Clock, entry, known, photo


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "catalog.sqlite", create=True, clock=Clock()) as opened:
        yield opened


def ask(catalog: Catalog, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(catalog.path)) as database:
        return database.execute(query).fetchall()


def minutes(catalog: Catalog) -> list[tuple[str, str, str]]:
    """By product and photo when it came and changed, in minutes of the clock."""
    asked = "SELECT id, added_at, changed_at FROM product UNION ALL SELECT uri, added_at, changed_at FROM photo"
    return [(str(name), str(added)[14:16], str(changed)[14:16]) for name, added, changed in ask(catalog, asked)]


def test_when_things_came_and_changed(catalog: Catalog) -> None:
    catalog.write([entry("p", ("a", "b")), entry("q")], fingerprint=MODEL)  # 22:50
    everything = [("p", "50", "50"), ("q", "50", "50"), *((uri, "50", "50") for uri in ("p/a", "p/b", "q/a"))]
    assert minutes(catalog) == everything
    assert ask(catalog, "SELECT DISTINCT added_at FROM photo") == [("2026-11-28T22:50:00Z",)]
    catalog.write(
        [Entry(Product("p"), (known("p/a"), replace(known("p/b"), version_token="new")))], fingerprint=MODEL
    )  # 22:51
    assert minutes(catalog) == everything  # a new version token for the same bytes is no change
    catalog.write([Entry(Product("q", title="Q"), (known("q/a"),))], fingerprint=MODEL)  # 22:52: its title
    catalog.write([Entry(Product("p"), (photo("p/a", version=2), known("p/b")))], fingerprint=MODEL)  # 22:53: bytes
    assert minutes(catalog) == [
        ("p", "50", "53"), ("q", "50", "52"), ("p/b", "50", "50"), ("q/a", "50", "50"), ("p/a", "50", "53")
    ]  # fmt: skip
    linked = known("p/b", links=Links("https://cdn.example/b.jpg"))
    catalog.write([Entry(Product("p"), (known("p/a", version=2), linked))], fingerprint=MODEL)  # 22:54: a link
    catalog.write([Entry(Product("q", title="Q"), (known("q/a"), photo("q/b")))], fingerprint=MODEL)  # 22:55: one more
    assert minutes(catalog) == [
        ("p", "50", "54"), ("q", "50", "55"), ("p/b", "50", "54"), ("q/a", "50", "50"), ("p/a", "50", "53"),
        ("q/b", "55", "55"),
    ]  # fmt: skip
    catalog.visibility.apply_sync("", ["p"], now="2026-12-01T00:00:00Z")
    catalog.write([Entry(Product("q", title="Q"), (known("q/a"), known("q/b")))], fingerprint=MODEL)  # back as it was
    assert minutes(catalog)[1] == ("q", "50", "55")


def test_what_did_not_change_is_not_told(catalog: Catalog) -> None:
    catalog.write([entry("p", title="A")], fingerprint=MODEL)
    position = catalog.feed.latest
    same = Entry(Product("p", title="A"), (known("p/a"),))
    catalog.write([same], fingerprint=MODEL)
    assert catalog.feed.read(position).changes == ()
    linked = Entry(same.product, (known("p/a", links=Links("https://cdn.example/a.jpg")),))
    catalog.write([linked], fingerprint=MODEL)
    (change,) = catalog.feed.read(position).changes
    assert (change.kind, dict(change.detail)) == ("product_changed", {"fields": ["photos"]})


def test_a_reader_ahead_of_the_catalogue_is_told(catalog: Catalog) -> None:
    """As when a backup was put back."""
    catalog.write([entry("p")], fingerprint=MODEL)
    page = catalog.feed.read(99)
    assert (page.gap, page.changes, page.next) == (True, (), catalog.feed.latest)


# --- how long changes are kept ----------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 changes are kept, 20 for a cursor, and each transaction sees to it."""
    monkeypatch.setattr(history, "KEPT_ROWS", 10)
    monkeypatch.setattr(history, "MAX_ROWS", 20)
    monkeypatch.setattr(history, "TRIM_INTERVAL", 1)


def numbers(catalog: Catalog) -> tuple[int, int]:
    first, last = ask(catalog, "SELECT min(sequence), max(sequence) FROM change_log")[0]
    return first, last  # type: ignore[return-value]


@pytest.mark.usefixtures("short")
def test_a_reader_that_is_too_far_behind_is_told(catalog: Catalog) -> None:
    for number in range(10):  # two changes each
        catalog.write([entry(f"p{number}")], fingerprint=MODEL)
    assert numbers(catalog) == (11, 20)
    assert catalog.changes_since(4) is None
    assert catalog.changes_since(5) is not None
    for after, gap in ((0, True), (9, True), (10, False), (20, False)):
        page = catalog.feed.read(after)
        assert (page.gap, page.next, page.complete) == (gap, 20, True), after
        assert [change.sequence for change in page.changes] == list(range(max(after, 10) + 1, 21))
    assert catalog.feed.read("new").gap


@pytest.mark.usefixtures("short")
def test_changes_wait_for_the_slowest_cursor_up_to_a_bound(catalog: Catalog) -> None:
    catalog.write([entry("p")], fingerprint=MODEL)
    catalog.feed.acknowledge("slow", 2)
    catalog.feed.acknowledge("quick", 2)
    for number in range(9):
        catalog.write([entry(f"p{number}")], fingerprint=MODEL)
        catalog.feed.acknowledge("quick", catalog.feed.latest)
    assert numbers(catalog) == (3, 20)
    assert not catalog.feed.read("slow").gap
    for number in range(10, 15):
        catalog.write([entry(f"p{number}")], fingerprint=MODEL)
    assert numbers(catalog) == (11, 30)  # no more than 20
    assert catalog.feed.read("slow").gap
    catalog.feed.forget("slow")
    catalog.write([entry("more")], fingerprint=MODEL)
    assert numbers(catalog) == (21, 32)  # all that "quick", which is at 20, has not passed
    catalog.feed.forget("quick")
    catalog.write([entry("most")], fingerprint=MODEL)
    assert numbers(catalog) == (25, 34)


def test_a_page_holds_at_least_one(catalog: Catalog) -> None:
    with pytest.raises(InputError, match="limit=0"):
        catalog.feed.read(0, limit=0)


# --- words ------------------------------------------------------------------------------------------------------------

WORDS = ("red", "Red", "blue", "blues", "T-shirt", "Été", "saree", "NEAR", "x1")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=[]), max_size=30) | st.lists(st.sampled_from(
    ['"', "*", "NEAR(", "red", "AND", "NOT", "OR", "-", ":", "id:", "^", "(", ")", "{", "}", "+", "👗", "\0", "\ud800",
     "'", ";"]
), max_size=8).map(" ".join))  # fmt: skip
def test_any_text_may_be_searched_for(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder, Catalog.open(Path(folder) / "c.sqlite", create=True) as catalog:
        catalog.write([entry("1", title="nothing of that")], fingerprint=MODEL)
        products, total = catalog.search_words(text)
        assert total == len(products) <= 1
        if text.strip(" \0") and not any(letter.isalnum() for letter in text):
            assert total == 0


def test_signs_find_nothing_but_an_id_of_signs(catalog: Catalog) -> None:
    catalog.write([entry("p", title="A - red * dress"), entry("***")], fingerprint=MODEL)
    for text in ("-", "* *", '"', "👗", "()"):
        assert catalog.search_words(text) == ([], 0)
    assert [product.id for product in catalog.search_words(" *** ")[0]] == ["***"]
    assert [product.id for product in catalog.search_words("red *** 👗")[0]] == ["p"]


def test_a_word_of_an_indian_script_is_whole(catalog: Catalog) -> None:
    catalog.write([entry("1", title="साड़ी लाल"), entry("2", title="सा")], fingerprint=MODEL)
    assert [product.id for product in catalog.search_words("साड़ी")[0]] == ["1"]
    assert [product.id for product in catalog.search_words("सा")[0]] == ["2"]


def test_pages_of_words_follow_each_other(catalog: Catalog) -> None:
    catalog.write([entry(f"p{number}", title="Red " * (number + 1)) for number in range(10)], fingerprint=MODEL)
    whole, total = catalog.search_words("red")
    assert total == len(whole) == 10
    assert [catalog.search_words("red", limit=4, offset=at)[0] for at in (0, 4, 8)] == [
        whole[:4],
        whole[4:8],
        whole[8:],
    ]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_words_follow_every_change_of_a_product(data: st.DataObject) -> None:
    """What is kept of the words is, term by term and place by place, what the products of now hold."""
    texts = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)
    with tempfile.TemporaryDirectory() as folder, Catalog.open(Path(folder) / "c.sqlite", create=True) as catalog:
        for _ in range(data.draw(st.integers(1, 8))):
            ids = data.draw(st.lists(st.sampled_from("abcde"), unique=True, min_size=1))
            if data.draw(st.booleans()):
                made = {name: (data.draw(texts), data.draw(texts), data.draw(texts)) for name in ids}
                catalog.write(
                    [
                        entry(name, title=title, category=(brand, "All"), brand=brand, attributes={"note": note})
                        for name, (title, brand, note) in made.items()
                    ],
                    fingerprint=MODEL,
                )
            else:
                catalog.remove(ids)
        with closing(sqlite3.connect(catalog.path)) as database:
            made_by = database.execute("SELECT sql FROM sqlite_master WHERE name = 'product_text'").fetchone()[0]
            columns = "id, title, brand, colour, category, gender, season, attributes"
            database.execute(
                made_by.replace("product_text", "fresh").replace(
                    "content = 'product_words', content_rowid = 'row',", ""
                )
            )
            database.execute(f"INSERT INTO fresh (rowid, {columns}) SELECT row, {columns} FROM product_words")
            for table in ("fresh", "product_text"):
                database.execute(f"CREATE VIRTUAL TABLE {table}_terms USING fts5vocab ({table}, instance)")
            fresh, kept = (
                database.execute(f"SELECT * FROM {table}_terms ORDER BY 1, 2, 3, 4").fetchall()
                for table in ("fresh", "product_text")
            )
            assert kept == fresh
