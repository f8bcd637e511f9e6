"""The real thing where it is there: a part of the real catalogue is added, searched and evaluated with the shipped
model."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from lapel import Filter, Query, open_source
from lapel.engine.context import StoreContext, open_context
from lapel.engine.ingest import ingest
from lapel.engine.retrieval import SearchEngine
from lapel.insight.evaluate import evaluate
from lapel.sources.table import read_table

ROWS = 1500


@pytest.fixture(scope="module", params=["colour:", "default"])
def store(request: pytest.FixtureRequest, catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> StoreContext:
    store = open_context(tmp_path_factory.mktemp("real") / "shop", create=True, encoder=request.param)
    source = open_source(catalogue / "images.zip")
    report = ingest(store, islice(read_table(catalogue / "products.csv"), ROWS), source=source)
    assert report.adds_up
    assert report.products_added == report.photos_added == ROWS
    again = ingest(store, islice(read_table(catalogue / "products.csv"), ROWS), source=source)
    assert (again.products_unchanged, again.photos_added) == (ROWS, 0)
    return store


def test_every_product_is_its_own_nearest(store: StoreContext) -> None:
    engine = SearchEngine(store)
    for product in store.catalog.products(limit=20, offset=700):
        picture = store.image(store.catalog.photos(product.id)[0].key)
        assert engine.search(Query(image=picture, k=1))[0].score == pytest.approx(1, abs=5e-3)


def test_filters_use_the_catalogue_s_own_columns(store: StoreContext) -> None:
    product = store.catalog.products(limit=1)[0]
    where = Filter.parse(["gender=Women", "articleType=Watches|Handbags", "year>=2012"])
    hits = SearchEngine(store).search(Query(product_id=product.id, k=5, where=where))
    assert len(hits) == 5
    assert all(
        hit.product.gender == "Women" and hit.product.attributes["articleType"] in ("Watches", "Handbags")
        for hit in hits
    )
    assert all(hit.product.category[-1] == hit.product.attributes["articleType"] for hit in hits)


def test_the_look_that_was_learned_beats_colours(store: StoreContext) -> None:
    """Both are far above chance (18 % of the products are T-shirts); the floors are well below what was measured."""
    report = evaluate(
        store,
        queries=Filter.parse(["split=val"]),
        gallery=Filter.parse(["split=train"]),
        relevant=["articleType", "articleType,baseColour,gender"],
        k=[1, 5],
    )
    kind, fine = (result.measures["recall@1"].value for result in report.rules)
    if store.encoder.name == "colour":
        assert 0.3 < kind < 0.75
    else:
        assert kind > 0.7
        assert fine > 0.2
