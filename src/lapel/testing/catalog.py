# ruff: noqa: D102
"""What every catalogue must do for the engine, as tests that any kind of one inherits: :class:`CatalogContract`.

A package that keeps products elsewhere subclasses it in its own tests and says how one is opened; pytest finds the
inherited tests by the subclass's name::

    from lapel.testing import CatalogContract

    class TestMine(CatalogContract):
        def open(self, path, **options):
            return MyCatalog(path, **options)
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from lapel.catalog import Catalog, ChangePage, Counts, Entry, ModelEntry, PhotoEntry, PricePoint
from lapel.core.errors import InputError, QueryError, StoreError
from lapel.core.types import Filter, Product

MODEL = "model-one"  # a fingerprint
DIM = 8
START = datetime(2026, 11, 28, 22, 50, tzinfo=UTC)


def unit(number: int) -> np.ndarray:
    """A (DIM,) float32 vector of length 1: equal numbers give equal ones."""
    vector = np.random.default_rng(number).normal(size=DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def photo(uri: str, version: int = 1, **fields: Any) -> PhotoEntry:
    """A photo that must be written; another version has other bytes."""
    vector = unit(crc32(f"{uri} {version}".encode()))
    return PhotoEntry(uri, f"token-{version}", f"sha-{uri}-{version}", vector, **fields)


def known(uri: str, version: int = 1, **fields: Any) -> PhotoEntry:
    """The same photo, when the catalogue holds it."""
    return PhotoEntry(uri, f"token-{version}", f"sha-{uri}-{version}", **fields)


def entry(product_id: str, uris: Sequence[str] = ("a",), **fields: Any) -> Entry:
    """A product with photos ``product_id/uri``."""
    return Entry(Product(product_id, **fields), tuple(photo(f"{product_id}/{uri}") for uri in uris))


def kinds(page: ChangePage) -> list[tuple[str, str]]:
    """The kind and the product of each change."""
    return [(change.kind, change.product_id) for change in page.changes]


class Clock:
    """A clock that goes on by a minute whenever it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> datetime:
        self.asked += 1
        return START + timedelta(minutes=self.asked - 1)


class CatalogContract:
    """Subclass it, give ``open``, and every test below runs against your catalogue."""

    def open(self, path: Path, *, clock: Callable[[], datetime] | None = None) -> Catalog:
        """The catalogue at ``path``, made when there is none; ``clock`` gives the time of what is written."""
        raise NotImplementedError

    @pytest.fixture
    def catalog(self, tmp_path: Path) -> Iterator[Catalog]:
        """An empty one."""
        with self.open(tmp_path / "shop" / "catalog.sqlite", clock=Clock()) as catalog:
            yield catalog

    # --- writing and reading ---

    def test_what_goes_in_comes_out(self, catalog: Catalog) -> None:
        shirt = Product(
            "s1", "Blue shirt", ("Apparel", "Shirts"), "Men", "Acme", "Blue", "Fall", 4990, "EUR", True, {"Größe": "M"}
        )
        catalog.write([Entry(shirt, (photo("file:///a.jpg"), photo("file:///b.jpg")))], fingerprint=MODEL)
        assert catalog.product("s1") == shirt
        photos = catalog.photos("s1")
        assert [each.uri for each in photos] == ["file:///a.jpg", "file:///b.jpg"]
        assert catalog.entries([photos[1].key, 999]) == {photos[1].key: (shirt, photos[1])}
        (keys, vectors), *rest = list(catalog.vectors(MODEL))
        assert not rest
        assert keys.tolist() == [each.key for each in photos] == catalog.vector_keys(MODEL).tolist()
        assert (vectors[0] == photo("file:///a.jpg").vector).all()
        assert vectors.dtype == np.float32
        assert catalog.vector_of(keys[::-1], fingerprint=MODEL)[0].tolist() == vectors[1].tolist()
        assert catalog.counts() == Counts(1, 2, {MODEL: 2})
        with pytest.raises(QueryError, match=r"no product 'zz'.*s1"):
            catalog.product("zz")
        assert catalog.photos("zz") == ()

    def test_vectors_of_another_model_or_of_nobody_are_not_given(self, catalog: Catalog) -> None:
        catalog.write([entry("p")], fingerprint=MODEL)
        assert list(catalog.vectors("another")) == []
        assert catalog.vector_of([77], fingerprint=MODEL).shape == (0, 0)

    def test_vectors_come_with_the_keys_that_have_them(self, catalog: Catalog) -> None:
        catalog.write([entry("p"), entry("q")], fingerprint=MODEL)
        (keys, vectors), *_ = list(catalog.vectors(MODEL))
        asked = [77, int(keys[1]), 78, int(keys[0]), int(keys[1])]
        there, found = catalog.vectors_there(asked, fingerprint=MODEL)
        assert there.tolist() == [False, True, False, True, True]
        assert found.tolist() == vectors[[1, 0, 1]].tolist()
        there, found = catalog.vectors_there([], fingerprint=MODEL)
        assert (there.shape, found.shape) == ((0,), (0, 0))
        of_products, found = catalog.vectors_of_products(["q", "nobody", "p"], fingerprint=MODEL)
        assert of_products == {name: [photo.key for photo in catalog.photos(name)] for name in ("q", "p")}
        assert found.tolist() == catalog.vector_of([*of_products["q"], *of_products["p"]], fingerprint=MODEL).tolist()

    def test_vectors_come_in_pieces_as_of_one_moment(self, catalog: Catalog) -> None:
        catalog.write([entry(f"p{n}") for n in range(10)], fingerprint=MODEL)
        pieces = catalog.vectors(MODEL, batch=4)
        first = next(pieces)
        catalog.remove(["p9"])
        catalog.write([entry("new")], fingerprint=MODEL)
        assert [len(first[0]), *(len(keys) for keys, _ in pieces)] == [4, 4, 2]

    def test_writing_again_updates_and_keeps_keys(self, catalog: Catalog) -> None:
        catalog.write([entry("p", ("a", "b"), colour="Red")], fingerprint=MODEL)
        before = {each.uri: each.key for each in catalog.photos("p")}
        change = catalog.write([Entry(Product("p", colour="Green"), (known("p/b"), known("p/a")))], fingerprint=MODEL)
        assert change.added.size == change.removed.size == 0
        assert catalog.product("p").colour == "Green"
        assert [each.uri for each in catalog.photos("p")] == ["p/b", "p/a"]
        assert {each.uri: each.key for each in catalog.photos("p")} == before
        assert catalog.counts().vectors == {MODEL: 2}
        assert catalog.facet_values("colour") == [("Green", 1)]

    def test_changed_bytes_get_a_new_key_and_unlisted_photos_go(self, catalog: Catalog) -> None:
        catalog.write([entry("p", ("a", "b", "c"))], fingerprint=MODEL)
        a, b, c = (each.key for each in catalog.photos("p"))
        change = catalog.write([Entry(Product("p"), (photo("p/a"), photo("p/b", 2)))], fingerprint=MODEL)
        kept, new = (each.key for each in catalog.photos("p"))
        assert kept == a
        assert new > c
        assert (change.removed.tolist(), catalog.vector_keys(MODEL).tolist()) == ([b, c], [a, new])

    def test_keys_are_never_used_again(self, catalog: Catalog) -> None:
        catalog.write([entry("p"), entry("q")], fingerprint=MODEL)
        last = catalog.photos("q")[0].key
        catalog.remove(["q", "p"])
        catalog.write([entry("q")], fingerprint=MODEL)
        assert catalog.photos("q")[0].key > last

    def test_removing(self, catalog: Catalog) -> None:
        catalog.write([entry("p", ("a", "b"), colour="Red"), entry("q", colour="Blue")], fingerprint=MODEL)
        keys = [each.key for each in catalog.photos("p")]
        count, removed = catalog.remove(["p", "unknown"])
        assert (count, removed.tolist()) == (1, keys)
        assert catalog.photos("p") == ()
        assert catalog.price_history("p") == ()
        assert catalog.facet_values("colour") == [("Blue", 1)]
        assert catalog.search_words("p") == ([], 0)
        assert catalog.counts().vectors == {MODEL: 1}
        assert catalog.remove(["p"])[0] == 0
        assert catalog.check() == []

    def test_a_batch_is_written_whole_or_not_at_all(self, catalog: Catalog) -> None:
        catalog.write([entry("p", colour="Red")], fingerprint=MODEL)
        generation, latest = catalog.generation, catalog.feed.latest
        twice = Entry(Product("twice"), (photo("x"), photo("x")))
        for wrong, why in (
            (Entry(Product("bad"), (known("x"),)), "needs a vector"),
            (entry("q"), "q stands twice"),
            (twice, "the photo .* twice"),
        ):
            with pytest.raises(InputError, match=why):
                catalog.write([entry("q"), entry("p", colour="Blue"), wrong], fingerprint=MODEL)
        assert catalog.counts().products == 1
        assert catalog.product("p").colour == "Red"
        assert (catalog.generation, catalog.feed.latest) == (generation, latest)

    def test_filters(self, catalog: Catalog) -> None:
        catalog.write(
            [
                entry("s", ("a", "b"), category=("Apparel", "Shirts"), price_minor=4990, currency="EUR"),
                entry("t", gender="Women", attributes={"size": "9"}),
            ],
            fingerprint=MODEL,
        )
        keys = {product_id: [each.key for each in catalog.photos(product_id)] for product_id in ("s", "t")}
        for text, ids in (
            ("category=apparel", ["s"]), ("price<50 EUR", ["s"]), ("gender!=Women", ["s"]), ("size>=9", ["t"]),
            ("id=s|t", ["s", "t"]), ("brand=Nobody", []),
        ):  # fmt: skip
            where = Filter.parse([text])
            assert catalog.matching_keys(where).tolist() == [key for each in ids for key in keys[each]], text
            assert [product.id for product in catalog.products(where)] == ids
            assert catalog.count(where) == len(ids)
        with pytest.raises(QueryError, match=r"no field 'length'.*size"):
            catalog.count(Filter.parse(["length=1"]))

    # --- generations and models ---

    def test_the_generation_counts_changes(self, catalog: Catalog) -> None:
        assert catalog.generation == 0
        catalog.write([entry("p")], fingerprint=MODEL)
        catalog.set_setting("encoder", "default")
        catalog.features.put("palette", "1", {1: b"x"})
        assert catalog.generation == 1
        catalog.remove(["p"])
        assert catalog.generation == 2
        assert catalog.setting("encoder") == "default"
        assert catalog.setting("nothing") is None
        with pytest.raises(StoreError, match="by hand"):
            catalog.set_setting("generation", "9")

    def test_models_stand_side_by_side(self, catalog: Catalog) -> None:
        one, other = ModelEntry(MODEL, "one", "one:", DIM), ModelEntry("model-other", "other", "other:", 3)
        assert catalog.models() == []
        catalog.claim(one, identity="x")
        catalog.claim(other)  # a store that has a model keeps it
        catalog.write([entry("p", ("a", "b")), entry("q")], fingerprint=MODEL)
        a, b, q = keys = catalog.vector_keys(MODEL).tolist()
        before, generation = catalog.vector_of(keys, fingerprint=MODEL), catalog.generation
        assert [each.key for each in catalog.photos_without(other.fingerprint)] == keys
        assert [each.key for each in catalog.photos_without(other.fingerprint, after=a, limit=1)] == [b]
        flat = np.eye(3, dtype=np.float32)
        catalog.put_vectors(other, np.array([a, b, 999]), flat)  # 999 is no photo any more
        assert catalog.vector_of(keys, fingerprint=other.fingerprint).tolist() == flat[:2].tolist()
        assert catalog.vector_of(keys, fingerprint=MODEL).tolist() == before.tolist()
        assert catalog.models() == [(one, 3), (other, 2)]
        assert catalog.generation == generation  # nobody searches the other's vectors
        assert (catalog.activate(other, missing=np.array([a])), catalog.setting("fingerprint")) == (False, MODEL)
        position = catalog.feed.latest
        assert catalog.activate(other, missing=np.array([q]))
        now = catalog.settings()
        assert [now[name] for name in ("fingerprint", "model", "encoder", "dim", "previous", "identity")] == [
            "model-other", "other", "other:", "3", MODEL, "x"
        ]  # fmt: skip
        assert catalog.generation == generation + 1
        with catalog.searched() as (settings, pieces):
            assert settings == now
            assert [keys.tolist() for keys, _ in pieces] == [[a, b]]
        catalog.put_vectors(other, np.array([q]), flat[2:])
        assert catalog.generation == generation + 2  # these are searched
        changes = catalog.feed.read(position).changes
        assert [(each.kind, each.product_id, each.photo_key, dict(each.detail)) for each in changes] == [
            ("model_changed", "", None, {"fingerprint": "model-other", "previous": MODEL}),
            ("photo_changed", "q", q, {"model": "model-other"}),
        ]
        assert catalog.forget([MODEL, other.fingerprint, "unknown"]) == 3  # never the one in use
        assert catalog.models() == [(other, 3)]
        assert "previous" not in catalog.settings()
        catalog.remove(["p"])
        assert catalog.models() == [(other, 1)]
        assert catalog.check() == []

    def test_an_index_catches_up_with_what_changed_and_nothing_else(self, catalog: Catalog) -> None:
        """Whatever happened since, the delta makes the vectors of then those of now."""
        catalog.claim(ModelEntry(MODEL, "one", "one:", DIM))
        steps: list[Callable[[], object]] = [
            lambda: catalog.write([entry("p", ("a", "b")), entry("q"), entry("r")], fingerprint=MODEL),
            lambda: catalog.write([Entry(Product("p"), (photo("p/a", 2), known("p/b")))], fingerprint=MODEL),
            lambda: catalog.visibility.apply_sync("", ["p", "q"], now="2026"),
            lambda: catalog.write([entry("r")], fingerprint=MODEL),
            lambda: catalog.hosting.set_issues({catalog.photos("q")[0].key: ("dead", "404")}, [], now="2026"),
            lambda: catalog.hosting.update_reachability(before="2026", now="2026"),
            lambda: catalog.visibility.apply_sync("", ["q", "r"], now="2026"),
            lambda: catalog.remove(["p"]),
            lambda: catalog.write([entry("q", title="Again")], fingerprint=MODEL),
            lambda: catalog.hosting.set_issues({}, [catalog.photos("q")[0].key], now="2027"),
            lambda: catalog.hosting.update_reachability(before="2027", now="2027"),
            lambda: catalog.hosting.move([("r/", "moved/")]),
        ]
        held = {catalog.generation: self._searched(catalog)}
        for step in steps:
            step()
            now = held[catalog.generation] = self._searched(catalog)
            for generation, then in held.items():
                delta = catalog.changes_since(generation)
                assert delta is not None
                caught_up = {key: vector for key, vector in then.items() if key not in delta.removed}
                caught_up |= dict(zip(delta.keys.tolist(), delta.vectors.tolist(), strict=True))
                assert caught_up == now
                if generation == catalog.generation:
                    assert not delta.keys.size
                    assert not delta.removed.size
        assert sorted(now) == [catalog.photos("q")[0].key, catalog.photos("r")[0].key]

    @staticmethod
    def _searched(catalog: Catalog) -> dict[int, list[float]]:
        with catalog.searched() as (_, pieces):
            return {
                key: vector.tolist()
                for keys, vectors in pieces
                for key, vector in zip(keys.tolist(), vectors, strict=True)
            }

    # --- history ---

    def test_the_feed_tells_what_happened_in_order(self, catalog: Catalog) -> None:
        catalog.write([entry("p", ("a", "b"), price_minor=500, currency="EUR"), entry("q")], fingerprint=MODEL)
        page = catalog.feed.read(0)
        photos = [("photo_added", each) for each in "ppq"]
        assert kinds(page) == [("product_added", "p"), ("product_added", "q"), *photos]
        assert (page.complete, page.gap, page.next) == (True, False, catalog.feed.latest)
        assert {(each.generation, each.at) for each in page.changes} == {(1, "2026-11-28T22:50:00Z")}
        a, b = (each.key for each in catalog.photos("p"))
        assert [each.photo_key for each in page.changes[2:4]] == [a, b]
        dear = Product("p", price_minor=700, currency="EUR", in_stock=False)
        catalog.write([Entry(dear, (photo("p/a", version=2),))], fingerprint=MODEL)
        (new,) = (each.key for each in catalog.photos("p"))
        found = [(each.kind, each.photo_key, json.dumps(each.detail)) for each in catalog.feed.read(page.next).changes]
        assert found == [
            ("product_changed", None, '{"fields": ["price_minor", "in_stock", "photos"]}'),
            (
                "price_changed",
                None,
                '{"old": {"price_minor": 500, "currency": "EUR"}, "new": {"price_minor": 700, "currency": "EUR"}}',
            ),
            ("stock_changed", None, '{"old": null, "new": false}'),
            ("photo_removed", a, json.dumps({"replaced_by": new})),
            ("photo_changed", new, json.dumps({"replaces": a})),
            ("photo_removed", b, "{}"),
        ]
        position = catalog.feed.latest
        catalog.visibility.apply_sync("", ["q"], now="2026-12-01T00:00:00Z")
        catalog.write([Entry(dear, (known("p/a", version=2),))], fingerprint=MODEL)
        catalog.remove(["q"])
        page = catalog.feed.read(position)
        ends = [("product_removed", "q"), ("photo_removed", "q")]
        assert kinds(page) == [("product_delisted", "p"), ("product_relisted", "p"), *ends]
        assert page.changes[0].at == "2026-12-01T00:00:00Z"

    def test_a_reader_goes_on_where_it_stopped(self, catalog: Catalog) -> None:
        catalog.write([entry(f"p{number}") for number in range(5)], fingerprint=MODEL)
        first = catalog.feed.read("hooks", limit=4)
        assert (len(first.changes), first.complete, first.gap) == (4, False, False)
        assert catalog.feed.read("hooks", limit=4) == first  # not acknowledged yet
        catalog.feed.acknowledge("hooks", first.next)
        with self.open(catalog.path) as again:
            rest = again.feed.read("hooks")
            assert (len(rest.changes), rest.complete) == (6, True)
            assert [each.sequence for each in first.changes + rest.changes] == list(range(1, 11))
            again.feed.acknowledge("hooks", rest.next)
        assert catalog.feed.read("hooks").changes == ()
        assert [(each.name, each.sequence) for each in catalog.feed.cursors()] == [("hooks", 10)]
        assert catalog.feed.read(3).changes[0].sequence == 4
        for name, sequence in (("hooks", 11), ("hooks", -1), ("", 1)):
            with pytest.raises(InputError, match="sequence from 0 to 10"):
                catalog.feed.acknowledge(name, sequence)
        assert catalog.feed.forget("hooks")
        assert not catalog.feed.forget("hooks")
        assert catalog.feed.cursors() == ()

    def test_prices_of_the_past_are_kept(self, catalog: Catalog) -> None:
        states: tuple[dict[str, Any], ...] = (
            {"price_minor": 500, "currency": "EUR"},
            {"price_minor": 500, "currency": "EUR", "title": "Only another title"},
            {"price_minor": 450, "currency": "EUR", "in_stock": True},
            {"price_minor": 450, "currency": "USD", "in_stock": False},
        )
        for fields in states:
            catalog.write([entry("p", **fields)], fingerprint=MODEL)
        assert catalog.price_history("p") == (
            PricePoint("2026-11-28T22:50:00Z", 500, "EUR", None),
            PricePoint("2026-11-28T22:52:00Z", 450, "EUR", True),
            PricePoint("2026-11-28T22:53:00Z", 450, "USD", False),
        )
        assert catalog.price_history("nobody") == ()

    # --- features ---

    def test_features_by_photo_name_and_version(self, catalog: Catalog) -> None:
        palette = {("palette", "1"): b"red"}
        with_features = Entry(Product("p"), (photo("p/a", features=palette), photo("p/b")))
        catalog.write([with_features, entry("q")], fingerprint=MODEL)
        a, b, q = catalog.vector_keys(MODEL).tolist()
        features = catalog.features
        assert features.get("palette", "1", [a, b, q]) == {a: b"red"}
        assert [each.key for each in features.photos_without("palette", "1")] == [b, q]
        assert [each.key for each in features.photos_without("palette", "1", after=b)] == [q]
        assert [each.key for each in features.photos_without("palette", "2", limit=2)] == [a, b]
        features.put("palette", "2", {a: b"crimson", q: b"blue", 999: b"nobody's"})
        features.put("palette", "2", {q: b"navy"})
        assert features.get("palette", "2", [a, q, 999]) == {a: b"crimson", q: b"navy"}
        assert features.counts() == {("palette", "1"): 1, ("palette", "2"): 2}
        assert features.drop_other_versions("palette", "2") == 1
        assert features.counts() == {("palette", "2"): 2}
        catalog.write([Entry(Product("p"), (photo("p/a", version=2), known("p/b")))], fingerprint=MODEL)
        assert features.get("palette", "2", catalog.vector_keys(MODEL)) == {q: b"navy"}  # other bytes, other features
        assert catalog.check() == []

    # --- words ---

    def test_words_find_whole_words(self, catalog: Catalog) -> None:
        catalog.write(
            [
                entry("1", title="Multi Coloured kurta", attributes={"note": "with a red hem"}),
                entry("2", title="Red saree", colour="Red", price_minor=100, currency="EUR"),
                entry("red", title="Saree", brand="Grün"),
            ],
            fingerprint=MODEL,
        )

        def found(words: str, *texts: str) -> list[str]:
            products, total = catalog.search_words(words, Filter.parse(texts))
            assert total == len(products)
            return [product.id for product in products]

        assert found("red saree") == ["red", "2"]
        assert found("RED") == ["red", "2", "1"]  # the exact id, then the title, then a note
        assert found("re") == []
        assert found("gru\u0308n") == found("grun") == ["red"]
        assert found("red", "price<5 EUR") == ["2"]
        assert found("") == found("  ") == ["1", "2", "red"]
        catalog.write([entry("2", title="Blue saree")], fingerprint=MODEL)
        catalog.visibility.apply_sync("", ["1", "2"], now="2026")
        assert found("saree") == found("blue") == ["2"]
        assert found("red") == ["1"]

    # --- crashes ---

    def test_a_writer_that_is_killed_loses_its_last_batch_at_most(self, tmp_path: Path) -> None:
        path = tmp_path / "catalog.sqlite"
        here, there = multiprocessing.get_context("spawn").Pipe()
        writer = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(self.open, path, there))
        writer.start()
        batches = [here.recv() for _ in range(5)]  # each is sent once it is written
        assert writer.pid is not None
        os.kill(writer.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        writer.join()
        while here.poll():
            batches.append(here.recv())
        with self.open(path) as catalog:
            assert catalog.check() == []
            counts = catalog.counts()
            assert counts.products == counts.photos == counts.vectors[MODEL] == 10 * catalog.generation
            assert catalog.generation - len(batches) in (0, 1)
            assert catalog.search_words("shirt")[1] == counts.products
            assert catalog.feed.latest == 2 * counts.products
            catalog.write([entry("more")], fingerprint=MODEL)


def _write_for_ever(open_: Callable[[Path], Catalog], path: Path, written: Connection) -> None:
    with open_(path) as catalog:
        batch = 0
        while True:
            catalog.write([entry(f"{batch}-{number}", title="Shirt") for number in range(10)], fingerprint=MODEL)
            written.send(batch)
            batch += 1
