"""The catalogue: what goes in comes out, filters agree with a slow oracle, and every bad file says what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lapel.catalog import Catalog, Entry, content_hash, schema, writer_lock
from lapel.catalog.connection import Pool
from lapel.core.errors import (
    QueryError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreNotFoundError,
    StoreReadOnlyError,
    StoreTooNewError,
)
from lapel.core.types import FIELDS, MINOR_UNITS, Condition, Filter, Product
from lapel.testing.catalog import MODEL, entry, photo


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "shop" / "catalog.sqlite", create=True) as opened:
        yield opened


SHIRT = Product(
    id="s1",
    title="Blue shirt",
    category=("Apparel", "Topwear", "Shirts"),
    gender="Men",
    brand="Acme",
    colour="Blue",
    season="Fall",
    price_minor=4990,
    currency="EUR",
    in_stock=True,
    attributes={"year": "2012", "split": "val", "Größe": "M"},
)


def test_content_hash_sees_every_field() -> None:
    changes: dict[str, object] = {
        "title": "x",
        "category": ("Apparel",),
        "gender": "x",
        "brand": "x",
        "colour": "x",
        "season": "x",
        "price_minor": 1,
        "currency": "USD",
        "in_stock": False,
        "attributes": {"year": "2013"},
        "url": "https://shop.example/1",
    }
    import dataclasses

    hashes = {content_hash(dataclasses.replace(SHIRT, **{name: value})) for name, value in changes.items()}  # type: ignore[arg-type]
    assert len(hashes | {content_hash(SHIRT)}) == len(changes) + 1
    reordered = dataclasses.replace(SHIRT, attributes=dict(reversed(SHIRT.attributes.items())))
    assert content_hash(reordered) == content_hash(SHIRT)


# --- filters ----------------------------------------------------------------------------------------------------------


def keys_of(catalog: Catalog, ids: Sequence[str]) -> list[int]:
    return sorted(each.key for product_id in ids for each in catalog.photos(product_id))


@pytest.fixture
def shop(catalog: Catalog) -> Catalog:
    entries = [
        Entry(SHIRT, (photo("s1/a"), photo("s1/b"))),
        entry(
            "t1",
            category=("Apparel", "Topwear", "Tshirts"),
            gender="Women",
            price_minor=199_999,
            currency="INR",
            attributes={"year": "2014"},
        ),
        entry(
            "w1",
            category=("Accessories", "Watches"),
            gender="Unisex",
            price_minor=200_000,
            currency="JPY",
            in_stock=False,
        ),
        entry("n1", title="No facets at all"),
    ]
    catalog.write(entries, fingerprint=MODEL)
    return catalog


@pytest.mark.parametrize(
    ("texts", "ids"),
    [
        ([], ["s1", "t1", "w1", "n1"]),
        (["gender=Women"], ["t1"]),
        (["gender=women|MEN"], ["s1", "t1"]),
        (["gender!=Women"], ["s1", "w1", "n1"]),
        (["category=Apparel"], ["s1", "t1"]),
        (["category=Topwear"], ["s1", "t1"]),
        (["category=Apparel > Topwear > Shirts"], ["s1"]),
        (["category=apparel>topwear"], ["s1", "t1"]),
        (["category=Shirts|Watches"], ["s1", "w1"]),
        (["category=Topwear > Apparel"], []),
        (["category!=Apparel"], ["w1", "n1"]),
        (["price<2000", "currency=INR"], ["t1"]),
        (["currency=inr", "price<=1999.99"], ["t1"]),
        (["price<1999.99", "currency=INR"], []),
        (["price<100 EUR"], ["s1"]),
        (["price<100eur"], ["s1"]),
        (["price<=1999.99 INR", "gender=Women"], ["t1"]),
        (["price=49.90 EUR"], ["s1"]),
        (["price=49.90 INR"], []),
        (["price=49.9 EUR|200000 JPY"], ["s1", "w1"]),
        (["price=49.9|10", "currency=EUR"], ["s1"]),
        (["price!=49.9 EUR"], ["t1", "w1", "n1"]),
        (["price!=49.9", "currency=EUR"], []),
        (["price>=200000JPY"], ["w1"]),
        (["price>0", "currency!=EUR", "currency!=JPY"], ["t1"]),
        (["currency=EUR|JPY"], ["s1", "w1"]),
        (["currency!=EUR"], ["t1", "w1", "n1"]),
        (["in_stock=yes"], ["s1"]),
        (["in_stock=no"], ["w1"]),
        (["in_stock=true"], ["s1"]),
        (["id=s1|w1"], ["s1", "w1"]),
        (["id!=s1"], ["t1", "w1", "n1"]),
        (["title=Blue shirt"], ["s1"]),
        (["title=blue"], []),
        (["title= BLUE Shirt "], ["s1"]),
        (["year>=2012"], ["s1", "t1"]),
        (["year>2012", "gender=Women"], ["t1"]),
        (["YEAR=2012"], ["s1"]),
        (["größe=m"], ["s1"]),
        (["gro\u0308ße=M"], ["s1"]),
        (["brand=Nobody"], []),
    ],
)
def test_filters(shop: Catalog, texts: list[str], ids: list[str]) -> None:
    where = Filter.parse(texts)
    assert shop.matching_keys(where).tolist() == keys_of(shop, ids)
    assert sorted(product.id for product in shop.products(where)) == sorted(ids)
    assert shop.count(where) == len(ids)


def test_wrong_filters_say_what_there_is(shop: Catalog) -> None:
    with pytest.raises(QueryError, match=r"no field 'size'.*category.*price.*Größe.*split.*year"):
        shop.matching_keys(Filter.parse(["size=M"]))
    with pytest.raises(QueryError, match="compares numbers"):
        shop.matching_keys(Filter.parse(["gender<5"]))
    with pytest.raises(QueryError, match=r"price=49\.90"):
        shop.matching_keys(Filter.parse(["price=cheap"]))
    with pytest.raises(QueryError, match="in_stock=yes"):
        shop.matching_keys(Filter.parse(["in_stock=maybe"]))
    with pytest.raises(QueryError, match=r"prices in EUR, INR, JPY.*'price<100 EUR'.*currency=EUR"):
        shop.matching_keys(Filter.parse(["price<100"]))
    with pytest.raises(QueryError, match=r"prices in EUR, JPY\. Say which"):
        shop.matching_keys(Filter.parse(["price=100", "currency=EUR|JPY"]))
    for text in ("price<100 CAD", "currency=CAD", "price!=1 CAD"):
        with pytest.raises(QueryError, match=f"{text} asks for a currency that no product has.*in EUR, INR, JPY"):
            shop.matching_keys(Filter.parse([text]))
    with pytest.raises(QueryError, match="one number"):
        Filter.parse(["price<cheap EUR"])
    with pytest.raises(QueryError, match="one number"):
        Filter.parse(["year<100 EUR"])


def test_a_price_without_a_currency_is_enough_where_there_is_one(catalog: Catalog) -> None:
    catalog.write([Entry(SHIRT, (photo("a"),)), entry("n1")], fingerprint=MODEL)
    assert [product.id for product in catalog.products(Filter.parse(["price<100"]))] == ["s1"]
    assert [product.id for product in catalog.products(Filter.parse(["price!=49.90"]))] == ["n1"]
    catalog.write([entry("usd", price_minor=1500, currency="USD")], fingerprint=MODEL)
    with pytest.raises(QueryError, match="EUR, USD"):
        catalog.count(Filter.parse(["price<100"]))
    # What is hidden asks for nothing.
    catalog.visibility.apply_sync("", ["s1", "n1"], now="2026-01-01")
    assert catalog.count(Filter.parse(["price<100"])) == 1
    assert list(catalog.price_ranges()) == ["EUR"]


def test_no_prices_at_all(catalog: Catalog) -> None:
    catalog.write([entry("p", currency="EUR")], fingerprint=MODEL)
    assert catalog.count(Filter.parse(["price<100"])) == 0
    assert catalog.count(Filter.parse(["price!=100"])) == 1
    assert catalog.price_ranges() == {}
    with pytest.raises(QueryError, match="No product has a price"):
        catalog.count(Filter.parse(["currency=EUR"]))


@pytest.mark.parametrize("asked", ["Grün", "gru\u0308n", " GRÜN ", "GRU\u0308N"])
@pytest.mark.parametrize("stored", ["Grün", "Gru\u0308n", " grün\u00a0"])
def test_filters_compare_folded(catalog: Catalog, stored: str, asked: str) -> None:
    product = Product(
        "gru\u0308n", title=stored, category=("Kleid", stored), colour=stored, attributes={"Stoff": f"a|{stored}"}
    )
    catalog.write([Entry(product, (photo("a"),)), entry("other", colour="Rot")], fingerprint=MODEL)
    for name in ("title", "colour", "category", "stoff", "id"):
        where = Filter((Condition(name, "=", (asked if name != "id" else "grün",)),))
        assert [each.id for each in catalog.products(where)] == [product.id], name
    assert catalog.count(Filter((Condition("colour", "!=", (asked,)),))) == 1
    assert catalog.count(Filter((Condition("category", "=", (f"KLEID >{asked}",)),))) == 1


def test_a_filter_is_never_sql(shop: Catalog) -> None:
    for text in ("gender=x' OR '1'='1", "title=x'); DROP TABLE product; --", 'id="s1" OR 1'):
        assert shop.matching_keys(Filter.parse([text])).size == 0
    with pytest.raises(QueryError, match="no field"):
        shop.matching_keys(Filter((Condition("gender' OR '1", "=", ("1",)),)))
    assert shop.counts().products == 4


def test_what_no_file_can_hold_is_told(shop: Catalog) -> None:
    for ask in (
        lambda: shop.product("\ud800"),
        lambda: shop.photos("\ud800"),
    ):
        with pytest.raises(QueryError, match=r"'\\ud800', half of a character"):
            ask()
    with pytest.raises(QueryError, match="more than 64 bits"):
        shop.products(offset=1 << 64)


def test_facets_prices_and_names(shop: Catalog) -> None:
    assert shop.facet_values("gender") == [("Men", 1), ("Unisex", 1), ("Women", 1)]
    assert shop.facet_values("category", limit=2) == [("Apparel", 2), ("Apparel > Topwear", 2)]
    assert shop.facet_values("gender", where=Filter.parse(["category=Apparel"])) == [("Men", 1), ("Women", 1)]
    assert shop.facet_values("title")[0][1] == 1
    assert shop.price_ranges() == {"EUR": (49.9, 49.9), "INR": (1999.99, 1999.99), "JPY": (200000.0, 200000.0)}
    assert shop.facet_values("currency") == [("EUR", 1), ("INR", 1), ("JPY", 1)]
    assert shop.field_names()[-3:] == ["Größe", "split", "year"]
    with pytest.raises(QueryError, match="range"):
        shop.facet_values("price")
    with pytest.raises(QueryError, match=r"no product 'zz'.*s1"):
        shop.product("zz")


def test_long_texts_are_kept_whole_and_found_whole(catalog: Catalog) -> None:
    long = "A very long description. " * 40
    catalog.write(
        [entry("p", attributes={"text": long}), entry("q", attributes={"text": long + "!"})], fingerprint=MODEL
    )
    assert catalog.product("p").attributes["text"] == long
    assert catalog.matching_keys(Filter((Condition("text", "=", (long,)),))).tolist() == keys_of(catalog, ["p"])
    assert all(len(value) <= 120 for value, _ in catalog.facet_values("text"))


def test_photo_facets_are_columns_by_key(shop: Catalog) -> None:
    facets = shop.photo_facets(["gender", "category", "year", "id"])
    assert facets.product_ids == ["s1", "s1", "t1", "w1", "n1"]
    assert facets.values["gender"] == ["Men", "Men", "Women", "Unisex", ""]
    assert facets.values["category"][2] == "Apparel > Topwear > Tshirts"
    assert facets.values["year"] == ["2012", "2012", "2014", "", ""]
    assert facets.values["id"] == facets.product_ids
    assert facets.rows[0] == facets.rows[1] != facets.rows[2]
    assert (np.diff(facets.keys) > 0).all()
    some = shop.photo_facets(["split"], Filter.parse(["split=val"]))
    assert some.values["split"] == ["val", "val"]
    assert shop.photo_facets(["split"], Filter.parse(["split=none"])).keys.shape == (0,)


WORDS = st.sampled_from(["Red", "red", "Blue", "10", "9.5", "-3", "x y", "Ä", "2012", "a>b", "100000000000000000000"])
FIELD_NAMES = ["gender", "colour", "brand", "year", "size"]
PATHS = st.lists(st.sampled_from(["A", "B", "Shirts"]), max_size=3).map(tuple)


@st.composite
def products(draw: st.DrawFn, number: int) -> Product:
    texts = {name: draw(st.one_of(st.just(""), WORDS)) for name in ("gender", "colour", "brand")}
    attributes = draw(st.dictionaries(st.sampled_from(["year", "size"]), WORDS, max_size=2))
    price = draw(st.one_of(st.none(), st.integers(0, 100_000)))
    currency = draw(st.sampled_from(["EUR", "JPY", "KWD"])) if price is not None else ""
    in_stock = draw(st.sampled_from([None, True, False]))
    return Product(
        f"p{number}",
        category=draw(PATHS),
        price_minor=price,
        currency=currency,
        in_stock=in_stock,
        attributes=attributes,
        **texts,
    )  # type: ignore[arg-type]


CONDITIONS = st.one_of(
    st.builds(
        Condition,
        st.sampled_from(FIELD_NAMES),
        st.sampled_from(["=", "!="]),
        st.lists(WORDS, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(
        Condition,
        st.just("category"),
        st.sampled_from(["=", "!="]),
        st.tuples(st.sampled_from(["A", "a > b", "Shirts", "B>A", "A > B > A"])),
    ),
    st.builds(
        Condition,
        st.just("price"),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.tuples(st.sampled_from(["10 EUR", "0.01EUR", "12.345 KWD", "500 jpy"])),
    ),
    st.builds(
        Condition,
        st.just("currency"),
        st.sampled_from(["=", "!="]),
        st.lists(st.sampled_from(["EUR", "jpy", "KWD"]), min_size=1, max_size=2).map(tuple),
    ),
    st.builds(
        Condition,
        st.just("year"),
        st.sampled_from(["<", "<=", ">", ">="]),
        st.tuples(st.sampled_from(["9.5", "10", "-3"])),
    ),
    st.builds(Condition, st.just("in_stock"), st.just("="), st.tuples(st.sampled_from(["yes", "no"]))),
)


def fulfils(product: Product, condition: Condition) -> bool:
    """The slow and obvious oracle."""
    compare = {"<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__}
    if condition.field == "price":
        price = (
            None if product.price_minor is None else product.price_minor / 10 ** MINOR_UNITS.get(product.currency, 2)
        )
        (text,) = condition.values
        number, currency = float(text[:-3]), text[-3:].upper()
        if condition.operator in compare:
            return price is not None and product.currency == currency and compare[condition.operator](price, number)
        return ((price, product.currency) == (number, currency)) == (condition.operator == "=")
    if condition.field == "category":
        names = set()
        for end in range(1, len(product.category) + 1):
            names |= {" > ".join(product.category[:end]).casefold(), product.category[end - 1].casefold()}
        wanted = {" > ".join(part.strip() for part in value.casefold().split(">")) for value in condition.values}
        return bool(names & wanted) == (condition.operator == "=")
    values = product.facets().get(condition.field, ())
    if condition.operator in compare:
        numbers = []
        for value in values:
            try:
                numbers.append(float(value))
            except ValueError:
                continue
        return any(compare[condition.operator](number, condition.number) for number in numbers)
    return any(value.casefold() in [each.casefold() for each in condition.values] for value in values) == (
        condition.operator == "="
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.data())
def test_filters_agree_with_the_oracle(data: st.DataObject) -> None:
    made = [data.draw(products(number)) for number in range(data.draw(st.integers(0, 8)))]
    with tempfile.TemporaryDirectory() as folder, Catalog.open(Path(folder) / "c.sqlite", create=True) as catalog:
        # Anchors, so that every field and currency exists and year is a number somewhere; all are part of the shop.
        made += [Product("z1", attributes={"year": "1", "size": "S"}), Product("z2", gender="Men")]
        made += [Product(f"z{each}", price_minor=77, currency=each) for each in ("EUR", "JPY", "KWD")]
        catalog.write(
            [Entry(product, (photo(f"{product.id}/1"), photo(f"{product.id}/2"))) for product in made],
            fingerprint=MODEL,
        )
        for _ in range(6):
            where = Filter(tuple(data.draw(st.lists(CONDITIONS, max_size=3))))
            expected = [
                product.id for product in made if all(fulfils(product, condition) for condition in where.conditions)
            ]
            assert catalog.matching_keys(where).tolist() == keys_of(catalog, expected), str(where)
            assert [product.id for product in catalog.products(where)] == expected


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_products_survive_any_text(data: st.DataObject) -> None:
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    names = text.filter(lambda name: name not in FIELDS)
    product = Product(
        "p",
        title=data.draw(text),
        category=tuple(data.draw(st.lists(text, max_size=3))),
        attributes=data.draw(st.dictionaries(names, text)),
    )
    with tempfile.TemporaryDirectory() as folder, Catalog.open(Path(folder) / "c.sqlite", create=True) as catalog:
        catalog.write([Entry(product, (photo("a"),))], fingerprint=MODEL)
        assert catalog.product("p") == product
        for name, value in product.attributes.items():
            name, value = name.replace("\0", ""), value.replace("\0", "")
            for part in filter(None, value.split("|")) if name else ():
                assert catalog.count(Filter((Condition(name, "=", (part,)),))) == 1


# --- files ------------------------------------------------------------------------------------------------------------


def test_missing_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="lapel add"):
        Catalog.open(tmp_path / "none.sqlite")
    with pytest.raises(StoreNotFoundError):
        Catalog.open(tmp_path / "none.sqlite", create=True, read_only=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreDamagedError, match="folder"):
        Catalog.open(tmp_path, create=True)


def test_a_file_left_empty_by_a_crash_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").touch()
    with pytest.raises(StoreNotFoundError, match="interrupted"):
        Catalog.open(tmp_path / "c.sqlite")
    Catalog.open(tmp_path / "c.sqlite", create=True).close()
    Catalog.open(tmp_path / "c.sqlite").close()


@pytest.mark.parametrize("create", [True, False])
def test_other_files_are_refused_and_left_alone(tmp_path: Path, create: bool) -> None:
    text = tmp_path / "text.sqlite"
    text.write_text("this is not a database, but a text that is long enough to be looked at " * 20)
    other = tmp_path / "other.sqlite"
    database = sqlite3.connect(other)
    database.execute("CREATE TABLE somebody (x)")
    database.commit()
    database.close()
    for path, words in ((text, "not a readable catalogue"), (other, "another program")):
        before = path.read_bytes()
        with pytest.raises(StoreDamagedError, match=words):
            Catalog.open(path, create=create)
        assert path.read_bytes() == before


def test_a_broken_catalogue_says_so(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with Catalog.open(path, create=True) as catalog:
        catalog.write([entry(f"p{number}") for number in range(300)], fingerprint=MODEL)
    data = bytearray(path.read_bytes())
    data[8192:] = bytes(len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="Put back a copy"), Catalog.open(path) as catalog:
        list(catalog.vectors(MODEL))


def test_a_newer_catalogue_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    Catalog.open(path, create=True).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    database.close()
    with pytest.raises(
        StoreTooNewError,
        match=rf"version {len(schema.MIGRATIONS) + 1}.*up to version {len(schema.MIGRATIONS)}.*pip install",
    ):
        Catalog.open(path)


def test_migrations_run_once_whole_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.sqlite"
    here = schema.MIGRATIONS
    with Catalog.open(path, create=True) as catalog:
        catalog.write([Entry(SHIRT, (photo("a"),))], fingerprint=MODEL)
    second = "ALTER TABLE product ADD COLUMN note TEXT;"
    broken = "ALTER TABLE product ADD COLUMN more TEXT; INSERT INTO no_such_table VALUES (1);"
    monkeypatch.setattr(schema, "MIGRATIONS", (*here, second, broken))
    with pytest.raises(StoreError, match="no_such_table"):
        Catalog.open(path)

    def columns_and_version() -> tuple[set[str], int]:
        database = sqlite3.connect(path)
        names = {row[1] for row in database.execute("PRAGMA table_info(product)")}
        version = database.execute("PRAGMA user_version").fetchone()[0]
        database.close()
        return names, version

    names, version = columns_and_version()
    assert version == len(here)
    assert not {"note", "more"} & names
    monkeypatch.setattr(schema, "MIGRATIONS", (*here, second))
    with pytest.raises(StoreReadOnlyError, match=f"version {len(here)} and must be brought to {len(here) + 1}"):
        Catalog.open(path, read_only=True)
    for _ in range(2):
        with Catalog.open(path) as catalog:
            assert catalog.product("s1") == SHIRT
    names, version = columns_and_version()
    assert version == len(here) + 1
    assert "note" in names


def test_a_locked_catalogue_is_read_but_not_written(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.write([entry("p")], fingerprint=MODEL)
    monkeypatch.setattr("lapel.catalog.connection.BUSY_SECONDS", 0.05)
    other = sqlite3.connect(catalog.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with Catalog.open(catalog.path) as second:
            assert second.product("p").id == "p"
            with pytest.raises(StoreBusyError, match="another process"):
                second.write([entry("q")], fingerprint=MODEL)
            with pytest.raises(StoreBusyError):
                second.remove(["p"])
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert catalog.counts().products == 1


def test_read_only_refuses_writing(catalog: Catalog) -> None:
    catalog.write([entry("p")], fingerprint=MODEL)
    with Catalog.open(catalog.path, read_only=True) as reader:
        assert reader.read_only
        assert reader.product("p").id == "p"
        for write in (
            lambda: reader.write([entry("q")], fingerprint=MODEL),
            lambda: reader.remove(["p"]),
            lambda: reader.set_setting("a", "b"),
        ):
            with pytest.raises(StoreReadOnlyError, match="may not be written to"):
                write()
        # What SQLite itself answers, should the file turn read-only under way, reads the same.
        with pytest.raises(StoreReadOnlyError, match="may not be written to"), reader._pool.borrow() as database:
            database.execute("DELETE FROM product")


READ_AS_NOBODY = """
import sys
from lapel.catalog import Catalog, writer_lock
from lapel.core.errors import StoreReadOnlyError
from pathlib import Path
import os
if os.geteuid() == 0:
    os.setuid(65534)
path = Path(sys.argv[1])
try:
    catalog = Catalog.open(path)
except StoreReadOnlyError as error:
    print("refused:", error); sys.exit()
print(catalog.read_only, catalog.product("p").id, catalog.counts().photos, len(list(catalog.vectors("model-one"))))
try:
    catalog.remove(["p"]); print("wrote!")
except StoreReadOnlyError as error:
    print(error)
try:
    with writer_lock(path.parent): print("locked!")
except StoreReadOnlyError as error:
    print(error)
try:
    Catalog.open(path.parent / "new.sqlite", create=True); print("made!")
except StoreReadOnlyError as error:
    print(error)
"""


def as_nobody(code: str, *arguments: str) -> str:
    """Run Python as a user without rights: root passes through permission bits, so as root a test would prove
    nothing."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_read_only_folder_is_read_and_not_written(open_folder: Path) -> None:
    path = open_folder / "catalog.sqlite"
    with Catalog.open(path, create=True) as catalog:
        catalog.write([entry("p")], fingerprint=MODEL)
    path.chmod(0o444)
    open_folder.chmod(0o555)
    before = path.read_bytes()
    lines = as_nobody(READ_AS_NOBODY, str(path)).splitlines()
    assert lines[0] == "True p 1 1"
    assert "may not be written to" in lines[1]
    assert "may not be written to" in lines[2]
    assert "cannot be made" in lines[3]
    assert len(lines) == 4
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_unfinished_writes_in_a_read_only_folder_are_not_passed_over(open_folder: Path) -> None:
    """A copy made while the shop was open has writes in its -wal file; reading only the main file would be silently
    old."""
    path = open_folder / "catalog.sqlite"
    with Catalog.open(path, create=True) as catalog:
        catalog.write([entry("p")], fingerprint=MODEL)
        copy = open_folder / "copy"
        copy.mkdir()
        for name in ("catalog.sqlite", "catalog.sqlite-wal"):
            shutil.copy(open_folder / name, copy / name)
            (copy / name).chmod(0o444)
    copy.chmod(0o555)
    said = as_nobody(READ_AS_NOBODY, str(copy / "catalog.sqlite"))
    copy.chmod(0o755)
    assert "refused" in said
    assert "catalog.sqlite-wal" in said


def test_a_full_disk_says_so(catalog: Catalog) -> None:
    catalog.write([entry("p")], fingerprint=MODEL)
    with catalog._pool.borrow() as database:
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"disk .* is full"):
        catalog.write([entry(f"q{number}") for number in range(500)], fingerprint=MODEL)
    assert catalog.counts().products == 1


def test_many_threads_read_while_one_writes(catalog: Catalog) -> None:
    errors: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                counts = catalog.counts()
                assert counts.products == counts.photos == sum(counts.vectors.values())
                catalog.search_words("women", Filter.parse(["gender=Women"]))
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    for batch in range(20):
        catalog.write([entry(f"p{batch}-{number}", gender="Women") for number in range(10)], fingerprint=MODEL)
    stop.set()
    for reader in readers:
        reader.join()
    assert not errors
    assert catalog.counts().products == 200
    assert len(catalog._pool._idle) <= 8


def test_a_closed_catalogue_says_so(tmp_path: Path) -> None:
    catalog = Catalog.open(tmp_path / "c.sqlite", create=True)
    catalog.close()
    catalog.close()
    with pytest.raises(StoreError, match="closed"):
        catalog.counts()


def test_the_writer_lock_keeps_a_second_process_out(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom lapel.catalog import writer_lock\nfrom lapel.core.errors import StoreBusyError\n"
        "try:\n    with writer_lock(pathlib.Path(sys.argv[1])): print('mine')\nexcept StoreBusyError as error:"
        " print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def other() -> str:
        return subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
        ).stdout

    with writer_lock(tmp_path):
        said = other()
    assert f"process {os.getpid()}" in said
    assert "nothing was changed" in said
    assert other() == "mine\n"


def test_the_pool_maps_a_vanished_file(tmp_path: Path) -> None:
    pool = Pool(tmp_path / "gone.sqlite", read_only=False)
    with pytest.raises(StoreNotFoundError, match="gone"), pool.borrow() as database:
        database.execute("SELECT 1 FROM sqlite_master")
    pool.close()
