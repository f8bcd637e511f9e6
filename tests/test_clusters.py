"""Groups of products that look alike: what is together, what it is called, and the same answer every time."""

from __future__ import annotations

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score as mutual_information
from typer.testing import CliRunner

import lapel
from inputs.looks import KINDS, look_products, write_looks
from lapel.apps.cli import app
from lapel.core.errors import InputError, MissingDependencyError, QueryError
from lapel.core.types import Product
from lapel.core.vectors import Vectors
from lapel.insight import clusters, grouping_vectors
from lapel.insight.clusters import Clusters, middles
from lapel.insight.group_names import Term, Vocabulary, names_of
from lapel.insight.grouping_vectors import SIZE_PENALTY, joined, learned_middles, nearest_middles, nested_groups


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("looks")
    write_looks(folder, *look_products(120)).close()
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Clusters:
    with lapel.open_store(folder / "shop", read_only=True) as store:
        return store.clusters(levels=(4, 12))


def test_each_kind_is_a_group_and_each_colour_of_it_one_within(found: Clusters) -> None:
    coarse, fine = found.of_products(0), found.of_products(1)
    for one, other in itertools.combinations(found.products.products, 2):
        assert (coarse[one.id] == coarse[other.id]) == (one.category == other.category)
        assert (fine[one.id] == fine[other.id]) == (one.category == other.category and one.colour == other.colour)
    for group in found.level(1):
        members = {coarse[name] for name, number in fine.items() if number == group.number}
        assert members == {group.parent}


def test_groups_are_named_by_what_is_typical(found: Clusters) -> None:
    assert {group.name.split(",")[0] for group in found.level(0)} == set(KINDS)
    names = [group.name for group in found.level(1)]
    assert len(set(names)) == 12
    for kind, colour in itertools.product(KINDS, ("Red", "Blue", "Green")):
        assert sum(kind in name and colour in name for name in names) == 1, names
    term = next(term for term in found.level(0)[0].typical if term.field == "kind")
    assert (term.share, term.lift) == (1.0, 4.0)


def test_an_answer_such_as_yes_names_no_group() -> None:
    sold = [Product(f"s{i}", attributes={"on_sale": "yes", "fit": "slim"}) for i in range(4)]
    words = Vocabulary([*sold, *(Product(f"p{i}", attributes={"fit": "wide"}) for i in range(4))])
    typical, _ = words.typical(np.array([0] * 4 + [1] * 4))
    assert [[(term.field, term.value) for term in terms] for terms in typical] == [[("fit", "slim")], [("fit", "wide")]]


def test_what_a_field_says_is_not_said_again_by_its_column() -> None:
    grey = [Product(f"g{i}", title="Grey shirt", colour="grey", attributes={"Farbe": "Grey"}) for i in range(4)]
    words = Vocabulary([*grey, *(Product(f"r{i}", title="Red shirt", colour="red") for i in range(4))])
    typical, _ = words.typical(np.array([0] * 4 + [1] * 4))
    assert [[term.value.casefold() for term in terms] for terms in typical] == [["grey"], ["red"]]


def test_the_medoid_is_nearest_to_all_others_and_the_spread_is_their_distance(found: Clusters) -> None:
    vectors, groups = found.products.vectors, found.groups[1]
    for group in found.level(1):
        rows = np.flatnonzero(groups == group.number)
        cosines = vectors[rows] @ vectors[rows].T
        assert found.products.products[rows[cosines.mean(axis=1).argmax()]].id == group.medoid
        middle = vectors[rows].mean(axis=0)
        middle /= np.linalg.norm(middle)
        assert group.spread == pytest.approx(1 - (vectors[rows] @ middle).mean(), abs=1e-6)


def test_joining_by_means_is_joining_by_all_pairs() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(30, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = [[row] for row in range(30)]
    while len(groups) > 6:  # the slow way: every pair of every pair of groups

        def likeness(pair: tuple[int, int]) -> float:
            one, other = (groups[place] for place in pair)
            size = len(one) * len(other) / (len(one) + len(other))
            return float((vectors[one] @ vectors[other].T).mean() - SIZE_PENALTY * np.log2(size))

        one, other = max(itertools.combinations(range(len(groups)), 2), key=likeness)
        groups[one] += groups.pop(other)
    quick = joined(vectors, np.ones(30), [6])[0]
    assert {frozenset(group) for group in groups} == {
        frozenset(np.flatnonzero(quick == number).tolist()) for number in np.unique(quick)
    }


def test_many_rows_go_through_small_groups_and_the_same_seed_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    products, vectors = look_products(600)
    monkeypatch.setattr(grouping_vectors, "SMALL_GROUPS", 40)
    small = nearest_middles(vectors, learned_middles(vectors, 40, 0))
    assert sorted(set(small.tolist())) == list(range(40))
    once, again = (nested_groups(vectors, (4, 12), seed=5) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(once, again, strict=True))
    kinds = [product.category[-1] for product in products]
    assert len(set(zip(kinds, once[0].tolist(), strict=True))) == 4
    monkeypatch.setattr(grouping_vectors, "FIT_ROWS", 100)  # learned from some, found for all
    assert len(nearest_middles(vectors, learned_middles(vectors, 40, 0))) == 600


def test_a_few_new_products_go_to_the_groups_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (grouping_vectors, clusters):
        monkeypatch.setattr(module, "SMALL_GROUPS", 40)
    learned: list[int] = []

    def learn(vectors: Vectors, count: int, seed: int) -> Vectors:
        learned.append(len(vectors))
        return learned_middles(vectors, count, seed)

    monkeypatch.setattr(clusters, "learned_middles", learn)
    products, vectors = look_products(300)
    with write_looks(tmp_path, products[:200], vectors[:200]) as store:
        before = store.clusters(levels=(4, 12)).of_products()
        assert store.clusters(levels=(4, 12)).of_products() == before
        store.remove(["p3", "p4"])
    with write_looks(tmp_path, products[200:210], vectors[200:210]) as store:
        mended = store.clusters(levels=(4, 12))
        assert learned == [200]
        now = mended.of_products()
        assert len({(before[name], now[name]) for name in before if name in now}) == 12  # numbers follow the sizes
        looks = {
            name: (each.category, each.colour)
            for name, each in zip(mended.of_products(), mended.products.products, strict=True)
        }
        assert len(set(zip(looks.values(), mended.of_products().values(), strict=True))) == 12
        anew = store.clusters(levels=(4, 12), fresh=True)
        assert learned == [200, 208]
        agreed = mutual_information(mended.groups[1], anew.groups[1])
        assert agreed == pytest.approx(1)
        (tmp_path / "shop" / clusters.FILE).write_bytes(b"broken")
        store.clusters(levels=(4, 12))
        assert learned == [200, 208, 208]
    with write_looks(tmp_path, products[210:], vectors[210:]) as store:  # more than a tenth is new
        store.clusters(levels=(4, 12))
        store.clusters(levels=(4, 12), seed=1)
        assert learned[3:] == [298, 298]
        assert len(store.clusters(levels=(4, 40), seed=1).level(1)) == 40


def test_levels_by_themselves_follow_the_number_of_products(folder: Path) -> None:
    with lapel.open_store(folder / "shop", read_only=True) as store:
        steps: list[tuple[int, int]] = []
        found = store.clusters(progress=lambda done, total: steps.append((done, total)))
        assert [len(found.level(level)) for level in range(len(found.groups))] == [11]
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]
        some = store.clusters(where=["category=Shirts"], levels=(3,))
        assert len(some.products) == 30
        assert {group.size for group in some.clusters} == {10}


def test_namesakes_get_what_tells_them_apart_and_a_number_at_last() -> None:
    shirts, blue, checked = (
        Term(*each, 0.9, 4.0) for each in (("kind", "Shirts"), ("colour", "Blue"), ("word", "checked"))
    )
    men, linen = Term("gender", "Men", 0.9, 2.0), Term("word", "linen", 0.8, 9.0)
    assert names_of([[shirts, blue, men], [shirts, blue, men, linen], []], [["Shirts"]] * 2 + [["Shoes", "Bags"]]) == [
        "Shirts, Men, Blue",
        "Shirts, Men, Blue, linen",
        "Shoes / Bags",
    ]
    assert names_of([[shirts], [shirts]], [["Shirts"]] * 2) == ["Shirts", "Shirts (2)"]
    assert names_of([[shirts, Term("word", "shirt", 1.0, 4.0), checked]], [["Shirts"]]) == ["Shirts, checked"]
    assert names_of([[]], [[]]) == ["mixed"]


def test_equal_vectors_have_a_middle() -> None:
    cosines, spread = middles(np.ones((3, 1), np.float32), np.array([0, 0, 0]))
    assert cosines.tolist() == [1, 1, 1]
    assert spread.tolist() == [0]


@pytest.mark.parametrize(
    ("count", "levels", "same", "message"),
    [
        (1, (), False, "at least 4 photos"),
        (2, (), False, "at least 4 photos"),
        (8, (), True, "All 8 products have the same picture"),
        (8, (9,), False, "9 groups are more than the 8 different pictures"),
        (8, (1,), False, "from 2 on and rising"),
        (8, (5, 3), False, "from 2 on and rising"),
    ],
)
def test_what_cannot_be_grouped_is_said(
    tmp_path: Path, count: int, levels: tuple[int, ...], same: bool, message: str
) -> None:
    products, vectors = look_products(count)
    shown = vectors[:1].repeat(count, axis=0) if same else vectors
    with write_looks(tmp_path, products, shown) as store, pytest.raises(QueryError, match=message):
        store.clusters(levels=levels)


def test_products_without_any_text_are_grouped_all_the_same(tmp_path: Path) -> None:
    products, vectors = look_products(24)
    bare = [lapel.Product(product.id) for product in products]
    with write_looks(tmp_path, bare, vectors) as store:
        found = store.clusters(levels=(4,))
    assert [group.size for group in found.clusters] == [6] * 4
    assert [group.name for group in found.clusters] == ["mixed", "mixed (2)", "mixed (3)", "mixed (4)"]


def test_a_group_checks_itself(found: Clusters) -> None:
    with pytest.raises(InputError):
        replace(found.clusters[0], size=0)
    with pytest.raises(InputError, match="in one group"):
        replace(found, clusters=found.clusters[1:])


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingDependencyError, match=r"lapel\[insight\]"):
        grouping_vectors.require("no_such_library")


def test_the_command_prints_and_writes(folder: Path, tmp_path: Path) -> None:
    asked = ["clusters", "--store", str(folder / "shop"), "--levels", "4,12"]
    told = CliRunner().invoke(app, [*asked, "--json", "--out", str(tmp_path / "out")], catch_exceptions=False)
    report = json.loads(told.stdout)
    assert report["levels"] == [4, 12]
    assert report["products"] == len(report["members"]) == 120
    with (tmp_path / "out" / "cluster-members.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    assert rows[0]["group_0"].startswith("Shirts")
    assert "Watches" in (tmp_path / "out" / "clusters.html").read_text("utf-8")
    assert (tmp_path / "out" / "clusters.csv").read_text("utf-8").startswith("level,number,parent,name")
    table = CliRunner().invoke(app, asked, catch_exceptions=False).stdout
    assert "120 products in 4 / 12 groups" in table
    wrong = CliRunner().invoke(app, ["clusters", "--store", str(folder / "shop"), "--levels", "four"])
    assert isinstance(wrong.exception, QueryError)
