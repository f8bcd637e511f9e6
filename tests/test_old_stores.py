"""Catalogues of every earlier version open, and nothing that their products said is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from inputs.stores import DIM, FINGERPRINT, OldProduct, old_store, store_of_version_6
from lapel.catalog import Catalog, PricePoint, content_hash
from lapel.core.errors import QueryError
from lapel.core.types import Condition, Filter, Product, Query
from lapel.engine.context import open_context
from lapel.engine.retrieval import SearchEngine

VERSIONS = (1, 2, 3, 4, 5)
SHOP = "https://shop.example"
LONG = "A long description. " * 12
PRODUCTS = (
    OldProduct(
        "google",
        "A dress",
        ("Apparel", "Dresses"),
        colour="Gru\u0308n",  # as macOS writes it
        price_minor=4990,
        currency="EUR",
        attributes={"link": f"{SHOP}/größe?id=1", "size": "S|M", "text": LONG},
    ),
    OldProduct("named-url", price_minor=1000, currency="JPY", attributes={"url": "http://shop.example/2"}),
    OldProduct("both", attributes={"link": f"{SHOP}/3", "url": f"{SHOP}/other"}),
    OldProduct("script", attributes={"link": "javascript:alert(1)", "url": f"{SHOP}/4"}),
    OldProduct("nothing-safe", attributes={"link": f"{SHOP}/a b", "url": 'https://"onclick'}),
    OldProduct("coin", price_minor=1500, currency="USD", attributes={"currency": "bitcoin", "table_currency": "old"}),
    OldProduct("two-names", attributes={"url": "see the shop", "table_url": "see the shop"}),
    OldProduct("table-url", attributes={"table_url": "see the shop"}),
    OldProduct("plain", gender="Women", in_stock=True, attributes={"year": "2012", "split": "val"}),
)


@pytest.fixture(params=VERSIONS)
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(old_store(tmp_path / "catalog.sqlite", request.param, PRODUCTS)) as opened:
        yield opened


def ids(catalog: Catalog, *texts: str) -> list[str]:
    return [product.id for product in catalog.products(Filter.parse(texts))]


def test_every_product_is_there_with_its_photo_and_vector(catalog: Catalog) -> None:
    assert ids(catalog) == [product.id for product in PRODUCTS]
    ((keys, vectors),) = catalog.vectors(FINGERPRINT)
    assert keys.tolist() == list(range(1, 10))
    assert vectors.shape == (9, DIM)
    assert catalog.photos("plain")[0].uri == "file:///pictures/9.jpg"
    plain = catalog.product("plain")
    assert plain == Product("plain", gender="Women", in_stock=True, attributes={"year": "2012", "split": "val"})
    assert catalog.check() == []


def test_a_safe_address_moves_and_nothing_else_is_lost(catalog: Catalog) -> None:
    found = {product.id: (product.url, dict(product.attributes)) for product in catalog.products()}
    assert found == {
        "google": (f"{SHOP}/größe?id=1", {"size": "S|M", "text": LONG}),
        "named-url": ("http://shop.example/2", {}),
        "both": (f"{SHOP}/3", {"table_url": f"{SHOP}/other"}),
        "script": (f"{SHOP}/4", {"link": "javascript:alert(1)"}),
        "nothing-safe": ("", {"link": f"{SHOP}/a b", "table_url": 'https://"onclick'}),
        "coin": ("", {"table_currency": "old", "table_table_currency": "bitcoin"}),
        "two-names": ("", {"table_url": "see the shop", "table_table_url": "see the shop"}),
        "table-url": ("", {"table_url": "see the shop"}),
        "plain": ("", {"year": "2012", "split": "val"}),
    }


def test_facets_say_what_the_products_say(catalog: Catalog) -> None:
    assert catalog.facet_values("currency") == [("EUR", 1), ("JPY", 1), ("USD", 1)]
    assert catalog.facet_values("link") == [("https://shop.example/a b", 1), ("javascript:alert(1)", 1)]
    assert catalog.facet_values("table_url") == [
        ("see the shop", 2), ('https://"onclick', 1), ("https://shop.example/other", 1)
    ]  # fmt: skip
    assert catalog.facet_values("url")[0] == ("http://shop.example/2", 1)
    assert catalog.facet_values("size") == [("M", 1), ("S", 1)]
    expected = {
        (p.id, name, value) for p in catalog.products() for name, values in p.facets().items() for value in values
    }
    with sqlite3.connect(catalog.path) as database:
        asked = (
            "SELECT product.id, name, value FROM facet JOIN term ON term.id = term JOIN product ON row = product_row"
        )
        kept = set(database.execute(asked))
        unused = database.execute("SELECT count(*) FROM term WHERE id NOT IN (SELECT term FROM facet)").fetchone()
    database.close()
    assert {fact for fact in kept if fact[1] != "text"} == {fact for fact in expected if fact[1] not in ("id", "text")}
    assert unused == (0,)


def test_filters_of_today_work(catalog: Catalog) -> None:
    assert ids(catalog, "price<100", "currency=usd") == ["coin"]
    assert ids(catalog, "price>=1000 JPY") == ["named-url"]
    assert catalog.price_ranges() == {"EUR": (49.9, 49.9), "JPY": (1000.0, 1000.0), "USD": (15.0, 15.0)}
    assert ids(catalog, "colour=GRÜN") == ["google"]
    assert ids(catalog, "year>2011") == ["plain"]
    assert catalog.count(Filter((Condition("text", "=", (LONG,)),))) == 1
    with pytest.raises(QueryError, match="EUR, JPY, USD"):
        ids(catalog, "price<100")


def test_the_content_hash_is_that_of_today_so_that_adding_again_changes_nothing(catalog: Catalog) -> None:
    products = {product.id: product for product in catalog.products()}
    stored = catalog.stored(list(products), fingerprint=FINGERPRINT)
    assert {name: each.content_hash for name, each in stored.items()} == {
        name: content_hash(product) for name, product in products.items()
    }


def test_many_addresses_move_in_one_pass(tmp_path: Path) -> None:
    """The work grows with the shop, not with its square: counted in SQLite's own steps."""
    from lapel.catalog import schema

    def steps(count: int) -> int:
        made = [OldProduct(f"p{n}", attributes={"link": f"{SHOP}/{n}", "year": "2012"}) for n in range(count)]
        path = old_store(tmp_path / f"{count}.sqlite", 5, made)
        database = sqlite3.connect(path, isolation_level=None)
        ticks: list[int] = []
        database.set_progress_handler(lambda: ticks.append(1), 1000)
        schema.migrate(database, path, create=False, read_only=False)
        database.close()
        return len(ticks)

    assert steps(600) < 6 * steps(150)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_store_is_searched_as_ever(tmp_path: Path, version: int) -> None:
    old_store(tmp_path / "catalog.sqlite", version, PRODUCTS)
    with open_context(tmp_path) as shop:
        # Vectors of the first and the ninth product are one; the filter takes the price within its currency.
        hits = SearchEngine(shop).search(Query(product_id="plain", k=3, where=Filter.parse(["price<100 EUR"])))
        assert [(hit.product.id, hit.product.url, round(hit.score, 6)) for hit in hits] == [
            ("google", f"{SHOP}/größe?id=1", 1.0)
        ]


# --- history, which version 7 began ----------------------------------------------------------------------------------


def test_history_begins_with_what_is_there(catalog: Catalog) -> None:
    assert [each.at for product in PRODUCTS for each in catalog.price_history(product.id)] == [""] * len(PRODUCTS)
    assert catalog.price_history("google") == (PricePoint("", 4990, "EUR", None),)
    with sqlite3.connect(catalog.path) as database:
        for table in ("product", "photo"):
            assert database.execute(f"SELECT DISTINCT added_at, changed_at FROM {table}").fetchall() == [("", "")]
    database.close()
    page = catalog.feed.read(0)
    assert page.gap  # its products came before the feed: a reader must look at them all once
    assert (page.changes, page.next, page.complete) == ((), catalog.feed.latest, True)
    catalog.remove(["plain"])
    page = catalog.feed.read(page.next)
    assert [(each.sequence, each.kind) for each in page.changes] == [(2, "product_removed"), (3, "photo_removed")]
    assert not page.gap


def test_words_of_old_products_are_found(catalog: Catalog) -> None:
    assert [product.id for product in catalog.search_words("dress")[0]] == ["google"]
    assert [product.id for product in catalog.search_words("grün dresses")[0]] == ["google"]
    catalog.remove(["google"])
    assert catalog.search_words("dress") == ([], 0)


@pytest.fixture
def sixth(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(store_of_version_6(tmp_path / "catalog.sqlite")) as opened:
        yield opened


def test_a_store_of_version_6_says_what_it_said(sixth: Catalog) -> None:
    counts = sixth.counts()
    assert (counts.products, counts.delisted, counts.unreachable) == (1, 1, 1)
    assert (counts.photos, counts.hidden, counts.vectors) == (4, 2, {FINGERPRINT: 4})
    assert sixth.product("shirt") == Product(
        "shirt", "Red shirt", ("Apparel", "Shirts"), "Men", "Acme", "Red", "Fall", 4990, "EUR", True,
        {"size": "S|M", "Größe": "38"}, "https://shop.example/shirt",
    )  # fmt: skip
    front, back = sixth.photos("shirt")
    assert (front.links.full, front.links.thumbnail) == ("https://cdn.example/1.jpg", "https://cdn.example/small/1.jpg")
    assert (back.uri, back.sha256) == ("file:///pictures/back.jpg", "sha-2")
    assert sixth.hosting.version_tokens([1, 2]) == {1: ("stamp-1", "etag-1"), 2: ("stamp-2", "")}
    (issue,) = sixth.hosting.issues()
    assert (issue.kind, issue.since[:10], issue.hidden[:10], issue.product_id) == (
        "dead", "2026-10-01", "2026-11-02", "dark"
    )  # fmt: skip
    stored = sixth.stored(["shirt"], fingerprint=FINGERPRINT)["shirt"]
    assert stored.content_hash == content_hash(sixth.product("shirt"))
    assert (stored.photos[front.uri].version_token, stored.photos[front.uri].has_vector) == ("stamp-1", True)
    assert sixth.price_history("sold") == (PricePoint("", 1000, "JPY", False),)
    assert [product.id for product in sixth.search_words("red shirts 38")[0]] == ["shirt"]
    assert sixth.search_words("dress") == ([], 0)  # not shown
    assert sixth.check() == []


def test_of_two_hashes_of_the_look_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with Catalog.open(old_store(path, 5, PRODUCTS)) as catalog:
        catalog.features.put("picture_hash", "1", {1: b"kept"})
        catalog.features.put("perceptual_hash", "1", {1: b"a", 2: b"b"})
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 9")
    database.close()
    with Catalog.open(path) as catalog:
        assert catalog.features.counts() == {("picture_hash", "1"): 1}


def test_an_index_of_version_6_catches_up(sixth: Catalog) -> None:
    """Four transactions: five photos came, the fifth went, "sold" was delisted, "dark" was out of reach."""
    expected = {0: ([1, 2], [3, 4, 5]), 1: ([], [3, 4, 5]), 2: ([], [3, 4]), 3: ([], [4]), 4: ([], [])}
    for generation, (keys, removed) in expected.items():
        delta = sixth.changes_since(generation)
        assert delta is not None
        assert (delta.keys.tolist(), delta.removed.tolist()) == (keys, removed), generation


def test_what_version_6_hid_comes_back(sixth: Catalog) -> None:
    position = sixth.feed.latest
    sixth.visibility.apply_sync("", ["shirt", "sold", "dark"], now="2026-12-01T00:00:00Z")
    sixth.hosting.set_issues({}, [4], now="2026-12-01T00:00:00Z")
    sixth.hosting.update_reachability(before="", now="2026-12-01T00:00:00Z")
    page = sixth.feed.read(position)
    assert [(each.kind, each.product_id) for each in page.changes] == [
        ("product_relisted", "sold"), ("photo_reachable", "dark")
    ]  # fmt: skip
    delta = sixth.changes_since(4)
    assert delta is not None
    assert delta.keys.tolist() == [3, 4]
    assert delta.vectors.argmax(axis=1).tolist() == [3, 4]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_empty_store_has_no_gap(tmp_path: Path, version: int) -> None:
    with Catalog.open(old_store(tmp_path / "catalog.sqlite", version, [])) as empty:
        page = empty.feed.read(0)
        assert (page.changes, page.gap, page.next) == ((), False, 0)
