"""Filters by sets of rows against the same filters as SQL, over changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lapel.catalog import Catalog, Entry, ModelEntry, PhotoEntry, matching
from lapel.catalog.filters import where_clause
from lapel.core.errors import QueryError
from lapel.core.filters import Filter
from lapel.core.types import Product

MODEL = ModelEntry("abc", "drawn", "drawn:", 4)
WHERES = (
    [],
    ["gender=Men"],
    ["gender!=Men"],
    ["gender!=Men", "colour!=Red"],
    ["gender=Men,Women", "colour=Red"],
    ["category=Shirts"],
    ["category!=Topwear"],
    ["price<50"],
    ["price!=20"],
    ["size>=38"],
    ["id=p3,p5"],
    ["title!=one", "gender=Women"],
    ["in_stock=yes", "price>=20"],
    ["gender=Nobody"],
)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog.open(tmp_path / "catalog.sqlite", create=True)
    catalog.claim(MODEL)
    return catalog


def product(number: int, rng: np.random.Generator) -> Entry:
    one = Product(
        f"p{number}",
        title=str(rng.choice(["one", "two"])),
        category=("Apparel", "Topwear", str(rng.choice(["Shirts", "Tops"]))),
        gender=str(rng.choice(["Men", "Women", ""])),
        colour=str(rng.choice(["Red", "Blue"])),
        in_stock=bool(rng.integers(2)),
        attributes={"size": str(rng.choice(["36", "38", "40|42"]))} if rng.integers(2) else {},
    )
    if rng.integers(2):
        one = dataclasses.replace(one, price_minor=int(rng.integers(1, 5)) * 1000, currency="EUR")
    vector = np.eye(4, dtype=np.float32)[0]
    uris = [f"file:///{number}-{at}.jpg" for at in range(rng.integers(1, 3))]
    return Entry(one, tuple(PhotoEntry(uri, "1", uri, vector) for uri in uris))


@pytest.mark.parametrize("few", [1, 8, 1000])
def test_sets_of_rows_are_what_sql_says(catalog: Catalog, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "FEW", few)
    rng = np.random.default_rng(few)
    for turn in range(4):
        catalog.write([product(int(at), rng) for at in rng.permutation(30)[:20]], fingerprint=MODEL.fingerprint)
        if turn:
            catalog.remove([f"p{at}" for at in rng.permutation(30)[:3]])
            catalog.visibility.apply_sync("", [f"p{at}" for at in rng.permutation(30)[:25]], now="2026-11-29T00:00:00Z")
        for texts in WHERES:
            where = Filter.parse(texts)
            with catalog._pool.snapshot() as database:
                clause, parameters = where_clause(database, where)
                rows = [row for (row,) in database.execute(f"SELECT row FROM product WHERE {clause}", parameters)]
                asked = f"SELECT key FROM photo WHERE unreachable_at = '' AND product_row IN ({','.join(map(str, rows))})"
                keys = [key for (key,) in database.execute(asked)]
            assert catalog.matching_rows(where).tolist() == sorted(rows), texts
            assert catalog.matching_keys(where).tolist() == sorted(keys), texts
            assert catalog.count(where) == len(rows), texts
    with pytest.raises(QueryError, match="no field 'sise'"):
        catalog.matching(Filter.parse(["sise=38"]))
