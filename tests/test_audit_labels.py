"""Labels that disagree with what looks alike, labels that are missing, and the tables that mend them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import lapel
from inputs.looks import KINDS, look_products, write_looks
from lapel.apps.cli import app
from lapel.core.errors import InputError, QueryError
from lapel.core.types import Product
from lapel.insight.audit_labels import LabelAudit, Suggestion, doubted, least_sure
from lapel.insight.label_evidence import Labels, by_neighbours, by_shape, by_title, pooled, words_of
from lapel.insight.label_tables import Corrector, write_products
from lapel.sources.table import read_table

WRONG_KIND, WRONG_COLOUR, NO_LABELS = 17, 58, 40  # rows


def spoiled() -> tuple[list[Product], np.ndarray]:
    """The looks with one wrong kind, one wrong colour, and one product that lacks both."""
    products, vectors = look_products(240)
    kind, colour, bare = (products[row] for row in (WRONG_KIND, WRONG_COLOUR, NO_LABELS))
    products[WRONG_KIND] = replace(
        kind, category=("Accessories", "Bags"), attributes={**kind.attributes, "articleType": "Bags"}
    )
    products[WRONG_COLOUR] = replace(colour, colour="Red")
    products[NO_LABELS] = replace(bare, category=(), colour="", attributes={})
    return products, vectors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    write_looks(folder, *spoiled(), pictures=True).close()
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> LabelAudit:
    with lapel.open_store(folder / "shop", read_only=True) as store:
        return store.audit_labels()


def test_just_the_wrong_labels_are_found_with_the_right_ones(found: LabelAudit) -> None:
    told = {(each.product, each.field, each.has, each.suggested) for each in found.suggestions}
    right = look_products(240)[0]
    assert told == {
        ("p17", "category", "Accessories > Bags", " > ".join(right[WRONG_KIND].category)),
        ("p58", "colour", "Red", right[WRONG_COLOUR].colour),
    }
    assert all(0.5 < each.probability <= 1 for each in found.suggestions)
    assert found.checked == {"category": 239, "colour": 239}
    assert found.summary().startswith("Doubtful: 1 of 239 labels of category, 1 of 239 labels of colour.")


def test_what_too_little_tells_is_said(found: LabelAudit) -> None:
    assert "say little" not in found.summary()
    noise = replace(found, expected={**found.expected, "category": (0.04, 0.5)})
    assert "say little of category: were 2 of 100 wrong, 4% of these would be." in noise.summary()


def test_pictures_alone_find_them_too_and_another_field_can_be_asked(folder: Path, found: LabelAudit) -> None:
    with lapel.open_store(folder / "shop", read_only=True) as store:
        alone = store.audit_labels(titles=False)
        assert [each.product for each in alone.suggestions] == [each.product for each in found.suggestions]
        assert store.audit_labels(fields=["kind"]).of("category") == found.of("category")
        assert not store.audit_labels(fields=["gender"]).suggestions
        assert store.audit_labels().to_json() == found.to_json()


def test_missing_labels_are_filled_in_where_known_ones_are_right_often_enough(folder: Path) -> None:
    with lapel.open_store(folder / "shop", read_only=True) as store:
        filled = store.fill_labels()
        assert {(each.product, each.field, each.has, each.suggested) for each in filled.suggestions} == {
            ("p40", "category", "", "Apparel > Shirts"),
            ("p40", "colour", "", look_products(240)[0][NO_LABELS].colour),
        }
        assert filled.missing == {"category": 1, "colour": 1, "gender": 0, "season": 0}
        assert filled.measured["category"][0] >= 0.95
        assert "gender misses none; season misses none" in filled.summary()
        strict = store.fill_labels(fields=["season"], precision=0.9999)
        assert strict.measured["season"] == (0.0, 0.0)
        assert "season misses none" in strict.summary()


def test_products_with_the_suggested_labels_load_again(folder: Path, found: LabelAudit, tmp_path: Path) -> None:
    with lapel.open_store(folder / "shop") as store:
        before = {name: store._context.catalog.product(name) for name in ("p17", "p58", "p3")}
        paths = store.save_suggestions(found, tmp_path, "labels")
        report = store.add(folder, products=paths[2])
        assert (report.counts.products_updated, report.counts.products_rejected, report.counts.photos_updated) == (
            2,
            0,
            0,
        )
        after = {name: store._context.catalog.product(name) for name in before}
        right = look_products(240)[0]
        assert after["p17"] == right[WRONG_KIND]  # the attribute that repeats the kind is mended with it
        assert after["p58"] == right[WRONG_COLOUR]
        assert after["p3"] == before["p3"]
        assert store.audit_labels().suggestions == ()
        store.add(folder, products=_written(tmp_path / "back.csv", before, folder))  # as the other tests know it


def _written(path: Path, products: dict[str, Product], folder: Path) -> Path:
    write_products(path, [(each, [(folder / f"{name}.png").as_uri()]) for name, each in products.items()])
    return path


def test_a_written_product_is_read_back_as_it_was(tmp_path: Path) -> None:
    product = Product(
        "a,1",
        title='Shirt "one", large',
        category=("Apparel", "Shirts"),
        gender="Women",
        brand="Ümlaut & Co",
        colour="Navy Blue",
        season="Fall",
        price_minor=123405,
        currency="EUR",
        in_stock=False,
        url="https://shop.example/a?x=1",
        attributes={"sizes": "S|M", "articleType": "Shirts"},
    )
    yen = Product("b", price_minor=1200, currency="JPY", attributes={})
    write_products(tmp_path / "t.csv", [(product, ["zip:///a b.zip!/x, y.jpg", "file:///z.jpg"]), (yen, ["c.jpg"])])
    rows = list(read_table(tmp_path / "t.csv"))
    assert [row.product for row in rows] == [product, yen]
    assert [row.problem for row in rows] == ["", ""]
    assert rows[0].pictures == ("zip:///a b.zip!/x, y.jpg", "file:///z.jpg")


def test_only_attributes_that_repeat_a_field_are_mended_with_it() -> None:
    products = look_products(40)[0]
    mended = Corrector(products).corrected(products[0], "category", "Accessories > Watches")
    assert mended.category == ("Accessories", "Watches")
    assert mended.attributes == {"articleType": "Watches", "material": "cotton, or wool"}
    assert Corrector(products).corrected(products[0], "colour", "Blue").colour == "Blue"
    assert Corrector(products).corrected(products[0], "material", "wool").attributes["material"] == "wool"


def test_evidence_never_sees_a_products_own_label() -> None:
    products, vectors = look_products(80)
    texts = [product.category[-1] for product in products]
    titles = [product.title for product in products]
    labels = Labels.of("kind", texts)
    others = [text if row != 5 else "Bags" for row, text in enumerate(texts)]
    assert texts[5] != "Bags"
    changed = Labels.of("kind", others)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    nearest = np.argsort(-cosines, axis=1)[:, :20]
    near = np.take_along_axis(cosines, nearest, axis=1)
    for one, other in (
        (by_neighbours(labels, nearest, near), by_neighbours(changed, nearest, near)),
        (by_shape(labels, vectors, 0), by_shape(changed, vectors, 0)),
        (by_title(labels, words_of(titles)), by_title(changed, words_of(titles))),
    ):
        # How common each value is changes by one product of eighty, and no more than that.
        assert np.abs(one[5] - other[5]).max() < 0.05
        assert one[5].argmax() == labels.given[5]
        assert np.allclose(one.sum(axis=1), 1, atol=1e-5)


def test_neighbours_vote_as_counted_by_hand() -> None:
    labels = Labels.of("kind", ["a", "a", "b", ""])
    nearest = np.array([[1, 2], [0, 2], [3, 1], [2, 1]])
    cosines = np.full((4, 2), 0.5, np.float32)
    votes = by_neighbours(labels, nearest, cosines)
    common = np.array([3 / 5, 2 / 5])  # two and one of three, and one more each
    assert votes[0] == pytest.approx((np.array([1, 1]) + common / 2) / 2.5)
    assert votes[2] == pytest.approx((np.array([1, 0]) + common / 2) / 1.5)  # the one without a label has no vote


def test_pooling_trusts_what_is_right() -> None:
    labels = Labels.of("kind", ["a", "b"] * 50)
    good = np.where(np.eye(2)[labels.given] > 0, 0.9, 0.1).astype(np.float32)
    noise = np.random.default_rng(0).dirichlet((1, 1), 100).astype(np.float32)
    assert (pooled(labels, [noise, good], 0).argmax(axis=1) == labels.given).mean() == 1


def test_precision_is_promised_with_room_for_luck() -> None:
    sure = np.linspace(1, 0, 1000)
    right = np.arange(1000) < 500
    threshold, (precision, share) = least_sure(sure, right, 0.9)
    assert 0.9 < precision < 0.94
    assert share == pytest.approx((sure >= threshold).mean())
    assert least_sure(sure[:5], np.ones(5, bool), 0.9)[0] == np.inf  # five right ones prove little
    assert least_sure(np.empty(0), np.empty(0, bool), 0.9) == (np.inf, (0.0, 0.0))


def test_labels_of_few_products_are_neither_doubted_nor_suggested() -> None:
    labels = Labels.of("kind", ["a"] * 50 + ["b"] * 50 + ["c"] * 4)
    likely = np.full((104, 3), 0.01, np.float32)
    likely[:50, 0] = likely[50:, 1] = 0.98
    likely[3] = (0.01, 0.01, 0.98)
    assert {row for row, _, _ in doubted(labels, likely, 0).rows} <= {3}
    assert all(value != 2 for _, value, _ in doubted(labels, likely, 0).rows)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"fields": ["pattern"]}, "There is no field 'pattern'. Labels of this catalogue are: .*articleType.*colour"),
        ({"fields": ["price"]}, "'price' is no label"),
        ({"fields": ["brand"]}, "'brand' has 0 products with it"),
        ({"where": ["category=Shirts"], "fields": ["category"]}, "1 value with 5 or more"),
    ],
)
def test_what_cannot_be_judged_is_said(folder: Path, ask: dict[str, list[str]], message: str) -> None:
    with lapel.open_store(folder / "shop", read_only=True) as store, pytest.raises(QueryError, match=message):
        store.audit_labels(**ask)  # type: ignore[arg-type]


def test_a_precision_is_a_share(folder: Path) -> None:
    with lapel.open_store(folder / "shop", read_only=True) as store, pytest.raises(QueryError, match="between 0 and 1"):
        store.fill_labels(precision=95)


def test_stores_without_anything_to_judge_by_say_so(tmp_path: Path) -> None:
    products, vectors = look_products(30)
    for name, some, shown, message in (
        ("one", products[:1], vectors[:1], "at least 20 photos"),
        ("same", products, vectors[:1].repeat(30, axis=0), "All 30 products have the same picture"),
        ("bare", [Product(each.id) for each in products], vectors, "two values that 5 or more have"),
    ):
        (tmp_path / name).mkdir()
        with write_looks(tmp_path / name, some, shown) as store, pytest.raises(QueryError, match=message):
            store.audit_labels()


def test_a_suggestion_checks_itself() -> None:
    with pytest.raises(InputError):
        Suggestion(0, "a", "", "colour", "Red", "", 0.5, 1)
    with pytest.raises(InputError):
        Suggestion(0, "a", "", "colour", "Red", "Blue", 1.5, 1)


def test_the_commands_print_and_write(folder: Path, tmp_path: Path) -> None:
    asked = ["--store", str(folder / "shop"), "--json", "--out", str(tmp_path)]
    told = json.loads(CliRunner().invoke(app, ["audit", "labels", *asked], catch_exceptions=False).stdout)
    assert {each["id"] for each in told["suggestions"]} == {"p17", "p58"}
    assert set(told["expected"]["category"]) == {"precision", "recall"}
    with (tmp_path / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "field", "has", "suggested", "probability", "title"]
    assert "category: Bags → Shoes" in (tmp_path / "labels.html").read_text("utf-8")
    told = json.loads(CliRunner().invoke(app, ["audit", "fill", *asked], catch_exceptions=False).stdout)
    assert {each["id"] for each in told["suggestions"]} == {"p40"}
    assert (tmp_path / "fill-products.csv").exists()
    assert KINDS[0] in (tmp_path / "fill-products.csv").read_text("utf-8")
