"""The evaluation: a shop small enough to judge by eye, random shops judged by slow obvious loops, and what people get
to see."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lapel.catalog import Catalog, Entry, PhotoEntry, PhotoFacets
from lapel.core.errors import ImageError, QueryError
from lapel.core.types import Filter, Product
from lapel.core.vectors import normalise
from lapel.engine.context import CATALOGUE, StoreContext
from lapel.indexes import open_index
from lapel.insight.evaluate import Plan, QuerySet, _first_of_each, evaluate, score
from lapel.insight.report import EvalReport, Rule, RuleResult, heading
from lapel.insight.sheet import IRRELEVANT_COLOUR, RELEVANT_COLOUR, TILE, draw_sheet

# --- by eye ----------------------------------------------------------------------------------------------------------


def angle(degrees: float) -> np.ndarray:
    """A unit vector in the plane: the nearer two angles, the more alike."""
    turn = np.deg2rad(degrees)
    return np.array([np.cos(turn), np.sin(turn), 0, 0], np.float32)


# photo key, product, what it is, its colour, where it looks
SHOP = [
    (1, "a", "Shirt", "Red", 0),
    (2, "a", "Shirt", "Red", 90),
    (3, "b", "Shirt", "Blue", 2),
    (4, "c", "Dress", "Red", 1),
    (5, "d", "Dress", "", 91),
    (6, "e", "Dress", "Red", 170),
    (7, "f", "Hat", "Red", 95),
]


def query_set(queries: list[int], gallery: list[int], shop: list[tuple[int, str, str, str, float]] = SHOP) -> QuerySet:
    keys = np.array([key for key, *_ in shop])
    numbers = {product: number for number, product in enumerate(dict.fromkeys(row[1] for row in shop))}
    values = {"type": [row[2] for row in shop], "colour": [row[3] for row in shop], "id": [row[1] for row in shop]}
    photos = PhotoFacets(keys, np.array([numbers[row[1]] for row in shop]), values["id"], values)
    vectors = np.stack([angle(row[4]) for row in shop])
    return QuerySet(photos, np.array(queries), vectors[np.searchsorted(keys, queries)], np.array(gallery))


def ask(
    case: QuerySet, *rules: str, k: tuple[int, ...] = (1, 2), depth: int = 5, index: str = "exact:", **more: object
) -> list[RuleResult]:
    held = open_index(index, dim=4)
    held.add(np.array([row[0] for row in SHOP]), np.stack([angle(row[4]) for row in SHOP]))
    return list(score(case, held, Plan.of(rules, k, depth=depth, per="type", **more))[0])


def values(result: RuleResult) -> dict[str, float]:
    return {name: estimate.value for name, estimate in result.measures.items()}


EVERYTHING = [1, 2, 3, 4, 5, 6, 7]


def test_one_query_by_eye() -> None:
    # Photo 1 (a, red shirt, 0 degrees) asks. Its own product is left out, so it finds c (1), b (2), d (91), f (95), e
    # (170).
    shirt, red = ask(query_set([1], EVERYTHING), "type", "colour")
    assert values(shirt) == pytest.approx(
        {"recall@1": 0, "recall@2": 1, "precision@1": 0, "precision@2": 0.5, "map@5": 1 / 2, "mrr@5": 1 / 2}
    )
    # Red: c at rank 1, f at 4, e at 5; d's colour is unknown, so it is not relevant. (1 + 2/4 + 3/5) / 3
    assert values(red) == pytest.approx(
        {"recall@1": 1, "recall@2": 1, "precision@1": 1, "precision@2": 0.5, "map@5": 0.7, "mrr@5": 1}
    )


def test_who_is_left_out_and_why() -> None:
    # Of the hats there is only f; d has no colour; there is no other blue.
    by_type, by_colour, by_both = ask(query_set(EVERYTHING, EVERYTHING), "type", "colour", "type,colour")
    assert (by_type.used, by_type.without_relevant, by_type.without_value) == (6, 1, 0)
    assert (by_colour.used, by_colour.without_relevant, by_colour.without_value) == (5, 1, 1)
    # Alike in both: only c and e, the red dresses.
    assert (by_both.used, by_both.without_relevant, by_both.without_value) == (2, 4, 1)


def test_the_own_product_is_left_out_by_id_also_in_the_gallery() -> None:
    # Only photos of a in the gallery: photo 1 finds nothing, and nothing is relevant to it.
    (result,) = ask(query_set([1], [1, 2]), "type")
    assert (result.used, result.without_relevant) == (0, 1)
    assert (result.measures, result.categories[0].measures) == ({}, {})
    # ... and b asks: a counts once although it has two photos.
    (result,) = ask(query_set([3], [1, 2, 3]), "type")
    assert values(result) == {
        "recall@1": 1,
        "recall@2": 1,
        "precision@1": 1,
        "precision@2": 0.5,
        "map@5": 1,
        "mrr@5": 1,
    }


def test_same_product_from_another_photo() -> None:
    # Photo 1 looks for photo 2 (90 degrees), after c (1) and b (2); photo 2 would find photo 1 sixth, below the depth.
    (result,) = ask(query_set(EVERYTHING, EVERYTHING), "id", k=(1, 3))
    assert (result.used, result.without_relevant) == (2, 5)
    assert values(result)["recall@1"] == 0
    assert values(result)["recall@3"] == 0.5
    assert values(result)["mrr@5"] == pytest.approx((1 / 3 + 0) / 2)
    assert values(result)["map@5"] == values(result)["mrr@5"]
    # The other photo is not in the gallery: left out.
    (result,) = ask(query_set([1], [1, 3, 4]), "id")
    assert (result.used, result.without_relevant) == (0, 1)


def test_breakdown_by_category_adds_up() -> None:
    (result,) = ask(query_set(EVERYTHING, EVERYTHING), "colour")
    found = {one.name: (one.used, one.left_out) for one in result.categories}
    assert found == {"Shirt": (2, 1), "Dress": (2, 1), "Hat": (1, 0)}
    assert [one.name for one in result.categories] == ["Dress", "Shirt", "Hat"]
    overall = sum(one.used * one.measures["map@5"].value for one in result.categories) / result.used
    assert overall == pytest.approx(values(result)["map@5"])


def test_worst_queries_take_each_category_in_turn() -> None:
    held = open_index("exact:", dim=4)
    case = query_set(EVERYTHING, EVERYTHING)
    held.add(case.queries, case.vectors)
    _, worst = score(case, held, Plan.of(["type"], (1,), depth=5, per="type", worst=4))
    assert [query.category for query in worst] == ["Shirt", "Dress", "Dress", "Shirt"]
    assert [query.average_precision for query in worst] == pytest.approx([1 / 4, 11 / 30, 11 / 30, 1 / 2])
    assert worst[0].key == 2  # its shirt comes fourth
    assert [(hit.product_id, hit.relevant, hit.label) for hit in worst[0].hits] == [
        ("d", False, "Dress"),
        ("f", False, "Hat"),
        ("e", False, "Dress"),
        ("b", True, "Shirt"),
        ("c", False, "Dress"),
    ]
    assert worst[0].hits[0].score == pytest.approx(np.cos(np.deg2rad(1)), abs=1e-6)


def test_first_of_each() -> None:
    products = np.array([[7, 7, -1, 3, 7, 5], [-1, -1, -1, -1, -1, -1], [1, 2, 3, 4, 5, 6]])
    places, filled = _first_of_each(products, 3)
    assert filled.tolist() == [3, 0, 3]
    assert places[0].tolist() == [0, 3, 5]
    assert places[2].tolist() == [0, 1, 2]


# --- against slow obvious loops --------------------------------------------------------------------------------------


def random_case(seed: int, *, most_photos: int) -> tuple[QuerySet, np.ndarray]:
    rng = np.random.default_rng(seed)
    shop, key = [], 0
    for product in range(60):
        kind, colour = rng.choice(["A", "B", "C", ""]), rng.choice(["x", "y", ""], p=[0.5, 0.4, 0.1])
        for _ in range(int(rng.integers(1, most_photos + 1))):
            key += int(rng.integers(1, 4))
            shop.append((key, f"p{product}", str(kind), str(colour)))
    keys = np.array([row[0] for row in shop])
    vectors = normalise(rng.normal(size=(len(keys), 4)))
    photos = PhotoFacets(
        keys,
        np.array([int(row[1][1:]) for row in shop]),
        [row[1] for row in shop],
        {"kind": [row[2] for row in shop], "colour": [row[3] for row in shop], "id": [row[1] for row in shop]},
    )
    queries, gallery = (np.sort(rng.choice(keys, len(keys) * 2 // 3, replace=False)) for _ in range(2))
    return QuerySet(photos, queries, vectors[np.searchsorted(keys, queries)], gallery), vectors


def slow_judge(case: QuerySet, vectors: np.ndarray, fields: list[str], k: int, depth: int) -> dict[str, object]:
    """One rule query_set the way one would by hand, a query at a time."""
    photos = case.photos
    at = {int(key): row for row, key in enumerate(photos.keys)}
    same = fields == ["id"]
    out: dict[str, list[float]] = {"recall": [], "precision": [], "ap": [], "rr": []}
    unknown = nothing = 0
    for key in case.queries.tolist():
        me = at[key]
        mine = [photos.values[name][me] for name in fields]
        if "" in mine:
            unknown += 1
            continue
        if same:
            others = [other for other in case.gallery.tolist() if other != key]
        else:
            others = [
                other for other in case.gallery.tolist() if photos.product_ids[at[other]] != photos.product_ids[me]
            ]
        ranked = sorted(others, key=lambda other: (-float(vectors[me] @ vectors[at[other]]), other))
        products = list(dict.fromkeys(photos.product_ids[at[other]] for other in ranked))
        wanted = {
            photos.product_ids[at[other]]
            for other in others
            if [photos.values[name][at[other]] for name in fields] == mine
        }
        if not wanted:
            nothing += 1
            continue
        hits = [product in wanted for product in products[:depth]]
        out["recall"].append(float(any(hits[:k])))
        out["precision"].append(sum(hits[:k]) / k)
        out["ap"].append(
            sum(sum(hits[: r + 1]) / (r + 1) for r in range(len(hits)) if hits[r]) / min(len(wanted), depth)
        )
        out["rr"].append(next((1 / (r + 1) for r in range(len(hits)) if hits[r]), 0.0))
    means = {name: float(np.mean(each)) if each else None for name, each in out.items()}
    return {"used": len(out["ap"]), "unknown": unknown, "nothing": nothing, **means}


@pytest.mark.parametrize("index", ["exact:", "faiss:Flat"])
@pytest.mark.parametrize(("seed", "most_photos", "depth"), [(0, 1, 7), (1, 4, 7), (2, 4, 100), (3, 9, 20), (4, 1, 100)])
def test_against_loops(seed: int, most_photos: int, depth: int, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.insight.evaluate.BLOCK", 16)
    case, vectors = random_case(seed, most_photos=most_photos)
    held = open_index(index, dim=4)
    held.add(case.photos.keys, vectors)
    rules = ["kind", "kind,colour", "id", "colour"]
    results, _ = score(case, held, Plan.of(rules, (3,), depth=depth, per="kind"))
    for rule, result in zip(rules, results, strict=True):
        expected = slow_judge(case, vectors, rule.split(","), 3, depth)
        assert (result.used, result.without_value, result.without_relevant) == (
            expected["used"],
            expected["unknown"],
            expected["nothing"],
        )
        assert result.used + result.without_value + result.without_relevant == len(case.queries)
        found = {name: estimate.value for name, estimate in result.measures.items()}
        if result.used:
            assert found["recall@3"] == pytest.approx(expected["recall"])
            assert found["precision@3"] == pytest.approx(expected["precision"])
            assert found[f"map@{depth}"] == pytest.approx(expected["ap"])
            assert found[f"mrr@{depth}"] == pytest.approx(expected["rr"])


# --- a store ---------------------------------------------------------------------------------------------------------

TEXTS = [
    # id, category, colour, split, angle
    ("a", ("Apparel", "Topwear", "Shirts"), "Red", "val", 0),
    ("b", ("Apparel", "Topwear", "Shirts"), "Blue", "train", 1),
    ("c", ("Apparel", "Bottomwear", "Shorts"), "Red", "train", 2),
    ("d", ("Apparel", "Topwear", "Shirts"), "Red", "train", 3),
    ("e", ("Shoes",), "Red", "val", 4),
]


@pytest.fixture
def store(tmp_path: Path) -> StoreContext:
    catalog = Catalog.open(tmp_path / CATALOGUE, create=True)
    for name, value in (("encoder", "colour:"), ("model", "colour"), ("fingerprint", "f" * 16), ("dim", "4")):
        catalog.set_setting(name, value)
    entries = [
        Entry(
            Product(id=name, category=category, colour=colour, attributes={"split": split}),
            (PhotoEntry(f"{name}.jpg", "", name * 64, angle(degrees)),),
        )
        for name, category, colour, split, degrees in TEXTS
    ]
    catalog.write(entries, fingerprint="f" * 16)
    store = StoreContext(tmp_path, catalog)
    yield store
    store.close()


def run(store: StoreContext, **more: object) -> EvalReport:
    settings: dict[str, object] = {
        "queries": Filter.parse(["split=val"]),
        "gallery": Filter.parse(["split=train"]),
        "relevant": ["category", "colour", "category,colour"],
        "k": [2, 1],
        **more,
    }
    return evaluate(store, **settings)


def test_evaluate_a_store(store: StoreContext) -> None:
    told: list[tuple[int, int]] = []
    report = run(store, report=lambda done, total: told.append((done, total)))
    assert told == [(2, 2)]
    assert (report.queries, report.gallery_photos, report.gallery_products, report.without_vector) == (2, 3, 3, 0)
    assert (report.k, report.query_filter, report.gallery_filter) == ((1, 2), "split=val", "split=train")
    category, colour, both = report.rules
    # a finds b, c, d; e finds d, c, b, and there are no shoes for it to find.
    assert (category.used, category.without_relevant) == (1, 1)
    assert category.measures["map@100"].value == pytest.approx((1 + 2 / 3) / 2)
    assert (colour.used, colour.measures["recall@1"].value, colour.measures["recall@2"].value) == (2, 0.5, 1)
    assert both.measures["mrr@100"].value == pytest.approx(1 / 3)
    assert [(one.name, one.used, one.left_out) for one in both.categories] == [("Shirts", 1, 0), ("Shoes", 0, 1)]
    assert [(query.product_id, query.category, query.label) for query in report.worst] == [
        ("a", "Shirts", "Shirts, Red")
    ]


def test_report_as_json_repeats_and_holds_the_question(store: StoreContext) -> None:
    text = json.dumps(run(store).to_json(), allow_nan=False)
    assert text == json.dumps(run(store).to_json())
    told = json.loads(text)
    assert told["model"] == {"name": "colour", "fingerprint": "f" * 16}
    assert (told["index"], told["depth"], told["k"], told["per"]) == ("faiss:auto", 100, [1, 2], "category")
    assert told["queries"] == {"filter": "split=val", "photos": 2}
    assert [rule["relevant"] for rule in told["rules"]] == ["category", "colour", "category,colour"]
    assert set(told["rules"][0]["measures"]) == {
        "recall@1",
        "recall@2",
        "precision@1",
        "precision@2",
        "map@100",
        "mrr@100",
    }
    # One hit of one: Wilson's lower end is 1 / (1 + z^2) = 0.2065.
    assert told["rules"][0]["measures"]["recall@1"] == {"value": 1.0, "low": 0.206549, "high": 1.0}


def test_report_for_people(store: StoreContext) -> None:
    report = run(store)
    rows = report.rows()
    assert rows[0] == ("", "category", "colour", "category,colour")
    assert rows[1] == ("queries", "1", "2", "1")
    assert rows[2] == ("left out: none relevant", "1", "0", "1")
    assert rows[3][0] == "Recall@1"
    assert rows[3][1] == "100.0 [20.7, 100.0]"
    assert heading(report).startswith(
        "2 queries (split=val) against 3 products in 3 photos (split=train)\nmodel colour (ffffffffffffffff)"
    )
    assert rows[-1][0] == "MRR@100"
    assert len(report.category_rows()) == 1  # nobody has 20 queries
    assert report.category_rows(least=1) == [
        ("category", "queries", "left out", "Recall@1", "Recall@2", "MAP@100"),
        ("Shirts", "1", "0", "0.0 [0.0, 79.3]", "0.0 [0.0, 79.3]", "33.3 [33.3, 33.3]"),
    ]


def test_photos_without_a_vector_are_counted(store: StoreContext) -> None:
    store.catalog.write(
        [Entry(Product(id="z", attributes={"split": "train"}), (PhotoEntry("z.jpg", "", "z" * 64, angle(9)),))],
        fingerprint="other",
    )
    report = run(store)
    assert (report.gallery_photos, report.without_vector) == (3, 1)
    assert "1 photo has no vector" in heading(report)


def test_questions_that_cannot_be_asked(store: StoreContext) -> None:
    for more, message in (
        ({"relevant": []}, "needs a relevance rule"),
        ({"relevant": ["shape"]}, "no field 'shape'"),
        ({"relevant": ["id,colour"]}, "stands alone"),
        ({"relevant": ["colour,,gender"]}, "one or more fields"),
        ({"relevant": ["colour,colour"]}, "one or more fields"),
        ({"k": []}, "k is 1 to 100"),
        ({"k": [0]}, "k is 1 to 100"),
        ({"k": [101]}, "k is 1 to 100"),
        ({"depth": 0}, "depth of an evaluation"),
        ({"worst": -1}, "cannot be negative"),
        ({"per": "nothing"}, "no field 'nothing'"),
        (
            {"queries": Filter.parse(["split=test"])},
            "queries of an evaluation need photos.*'split=test': no photo passes it",
        ),
        ({"gallery": Filter.parse(["colour=Green"])}, "gallery of an evaluation need"),
    ):
        with pytest.raises(QueryError, match=message):
            run(store, **more)


def test_rules_are_values() -> None:
    assert Rule.parse(" articleType , gender ") == Rule(("articleType", "gender"))
    assert Plan.of(["a", "b", "a"], [5, 1, 5]).relevant == (Rule(("a",)), Rule(("b",)))
    assert Plan.of(["a"], [5, 1, 5]).k == (1, 5)


# --- the picture sheet -----------------------------------------------------------------------------------------------


def test_sheet_shows_each_worst_query_with_its_answers(store: StoreContext) -> None:
    report = run(store, relevant=["colour"], worst=2)
    asked: list[int] = []

    def read(key: int) -> Image.Image:
        asked.append(key)
        return Image.new("RGB", (60, 80), (0, 0, 250))

    sheet = draw_sheet(report, read)
    assert (sheet.mode, sheet.width) == ("RGB", 1234)
    assert len(asked) == 2 * (1 + 3)
    colours = {colour for _, colour in sheet.getcolors(1 << 20)}
    assert {RELEVANT_COLOUR, IRRELEVANT_COLOUR, (255, 255, 255), (0, 0, 250)} <= colours
    taller = draw_sheet(replace(report, worst=(*report.worst, report.worst[0])), read)
    assert taller.height - sheet.height == 252 > TILE[1]


def test_sheet_survives_pictures_it_cannot_read(store: StoreContext) -> None:
    def read(key: int) -> Image.Image:
        raise ImageError("gone") if key % 2 else FileNotFoundError("gone")

    assert draw_sheet(run(store), read).width == 1234


def test_sheet_of_nothing(store: StoreContext) -> None:
    report = replace(run(store), worst=(), rules=())
    assert draw_sheet(report, lambda key: Image.new("RGB", (1, 1))).width == 1234
    assert report.rows()[0] == ("",)
    assert report.category_rows() == []
