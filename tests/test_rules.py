"""What a shop wants of its answers: it holds for searches and rows alike, is seen before it goes live, and says so."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import lapel
from inputs.fashion import fashion_store
from lapel.apps.cli import app
from lapel.catalog import Catalog, schema
from lapel.core.errors import InputError, QueryError
from lapel.core.types import Query, SearchResult
from lapel.service import made_rule


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[lapel.Store]:
    with fashion_store(tmp_path / "shop", 120) as store:
        yield store


def ids(result: SearchResult) -> list[str]:
    return [hit.product.id for hit in result]


def answers(shop: lapel.Store) -> dict[str, SearchResult]:
    """A search and rows of every sort."""
    return {
        "search": shop.search(product_id="p1", k=10),
        "similar": shop.recommend(product_id="p1", k=10),
        "for-you": shop.recommend(k=10),
        "together": shop.recommend(product_id="p1", kind="together", k=10),
    }


def test_without_rules_nothing_is_said(shop: lapel.Store) -> None:
    assert all(result.rules == () for result in answers(shop).values())
    assert shop.rules.list() == ()


def test_what_is_hidden_is_in_no_answer_and_not_counted(shop: lapel.Store) -> None:
    before = answers(shop)
    alder = shop.count("brand=Alder")
    assert any(hit.product.brand == "Alder" for result in before.values() for hit in result)
    shop.rules.add(made_rule("no Alder", "hide", "brand=Alder"))
    for name, result in answers(shop).items():
        assert all(hit.product.brand != "Alder" for hit in result), name
        assert result.rules == ("no Alder",)
        assert len(result) == len(before[name])
    assert before["search"].total - shop.search(product_id="p1").total == alder
    with_filter = shop.search(product_id="p1", k=100, where=["gender=Women"])
    assert all(hit.product.brand != "Alder" for hit in with_filter)
    shop.rules.remove("no Alder")
    assert {name: ids(result) for name, result in answers(shop).items()} == {n: ids(r) for n, r in before.items()}


def test_what_is_boosted_rises_and_what_is_buried_sinks(shop: lapel.Store) -> None:
    for action in ("boost", "bury"):
        shop.rules.add(made_rule(action, action, "brand=Quay", amount=2.0))
        for name, result in answers(shop).items():
            brands = [hit.product.brand for hit in result]
            if action == "boost":
                assert brands[0] == "Quay", name
            else:
                assert "Quay" not in brands, name
            moved = [hit.rules for hit in result if hit.product.brand == "Quay"]
            assert all(each == (action,) for each in moved)
        shop.rules.remove(action)


def test_a_search_is_ordered_as_an_obvious_one_would(shop: lapel.Store) -> None:
    plain = shop.search(product_id="p3", k=100)
    shop.rules.add(made_rule("up", "boost", "colour=Red", amount=0.2))
    shop.rules.add(made_rule("down", "bury", "gender=Men", amount=0.1))
    moved = shop.search(product_id="p3", k=10)

    def worth(hit: lapel.Hit) -> float:
        return hit.score + 0.2 * (hit.product.colour == "Red") - 0.1 * (hit.product.gender == "Men")

    assert ids(moved) == [hit.product.id for hit in sorted(plain, key=lambda hit: -worth(hit))][:10]
    for hit in moved:
        assert hit.rules == ("up",) * (hit.product.colour == "Red") + ("down",) * (hit.product.gender == "Men")
    many = shop.search_batch([Query(product_id="p3", k=10)] * 2)
    assert [ids(each) for each in many if isinstance(each, SearchResult)] == [ids(moved)] * 2
    assert "up" in shop.search(product_id="p3", k=4, diversity=0.3).rules


def test_deeper_pages_go_on_where_others_ended(shop: lapel.Store) -> None:
    shop.rules.add(made_rule("up", "boost", "colour=Red", amount=0.2))
    shop.rules.add(made_rule("pinned", "pin", ["id=p40|p9"]))
    shop.rules.add(made_rule("stock", "stock-first", ()))
    every = ids(shop.search(product_id="p3", k=119))
    assert len(set(every)) == len(every) > 100
    for k in (5, 10, 20, 30, 50, 100):
        assert ids(shop.search(product_id="p3", k=k)) == every[:k], k


def test_a_pin_comes_first_and_keeps_what_rows_promise(shop: lapel.Store) -> None:
    shop.rules.add(made_rule("ours", "pin", ["id=p40|p9"]))  # p9 is sold out
    result = shop.recommend(k=5)
    assert ids(result)[0] == "p40"
    assert "p9" not in ids(result)
    assert result[0].reason is not None
    assert result[0].reason.kind == "pinned"
    shop.record([lapel.Event("1", "anna", "p40", "dismiss", 1.0)])
    assert "p40" not in ids(shop.recommend(person="anna", k=10))
    shop.rules.remove("ours")
    near = ids(shop.search(product_id="p1", k=20))[7]
    shop.rules.add(made_rule("near", "pin", [f"id={near}"]))
    found = shop.search(product_id="p1", k=5)
    assert (ids(found)[0], found[0].rules) == (near, ("near",))


def test_what_can_be_bought_comes_first(shop: lapel.Store) -> None:
    shop.rules.add(made_rule("stock", "stock-first", ()))
    found = [hit.product.in_stock is not False for hit in shop.search(product_id="p1", k=30)]
    assert found == sorted(found, reverse=True)


def test_a_rule_holds_where_and_when_it_says(shop: lapel.Store) -> None:
    shop.rules.add(made_rule("rows only", "hide", "brand=Rook", places=["similar"]))
    assert all(hit.product.brand != "Rook" for hit in shop.recommend(product_id="p1", k=30))
    assert any(hit.product.brand == "Rook" for hit in shop.search(product_id="p1", k=30))
    rule = made_rule("later", "hide", "brand=Quay", since="2026-12-01", until="2026-12-24T12:00:00+01:00")
    assert not rule.holds("search", 1_796_083_199.0)
    assert rule.holds("search", 1_796_083_200.0)
    assert not rule.holds("search", 1_798_110_000.0)


def test_a_preview_shows_what_would_be_and_changes_nothing(shop: lapel.Store) -> None:
    before = ids(shop.search(product_id="p1"))
    found = shop.rules.preview(made_rule("x", "bury", "brand=Quay", amount=2), query=Query(product_id="p1"))
    assert found.before is not None
    assert found.after is not None
    assert ids(found.before) == before != ids(found.after)
    assert found.products == shop.count("brand=Quay")
    assert shop.rules.list() == ()
    assert ids(shop.search(product_id="p1")) == before


def test_another_process_sees_a_rule(shop: lapel.Store) -> None:
    with lapel.open_store(shop.folder) as other:
        assert other.search(product_id="p1").rules == ()
        shop.rules.add(made_rule("no Alder", "hide", "brand=Alder"))
        other.rules._book._asked_at = -1e9  # a tenth of a second later
        assert other.search(product_id="p1").rules == ("no Alder",)
        assert [rule.name for rule in other.rules.list()] == ["no Alder"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("x", "push", "brand=Quay"), "pin, hide"),
        (("", "hide", "brand=Quay"), "name"),
        (("x", "hide", ()), "which products"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(wrong: tuple[str, str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        made_rule(*wrong)
    with pytest.raises(InputError, match="ISO 8601"):
        made_rule("x", "hide", "brand=Quay", since="soon")
    with pytest.raises(InputError, match="before it begins"):
        made_rule("x", "hide", "brand=Quay", since="2026-12-02", until="2026-12-01")
    with pytest.raises(InputError, match="holds at"):
        made_rule("x", "hide", "brand=Quay", places=["home"])


def test_a_rule_by_an_unknown_field_is_refused_and_one_whose_field_went_finds_nothing(shop: lapel.Store) -> None:
    with pytest.raises(QueryError, match="nofield"):
        shop.rules.add(made_rule("x", "hide", "nofield=1"))
    shop._context.catalog.rules.put(made_rule("x", "hide", "nofield=1").stored())
    assert len(shop.search(product_id="p1")) == 10


def test_the_command_line_makes_shows_and_drops_rules(shop: lapel.Store) -> None:
    def run(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, [*words, "--store", str(shop.folder)])
        assert result.exit_code == code, result.output
        return result.stdout

    told = json.loads(run("rules", "preview", "hide", "--where", "brand=Quay", "--product", "p1", "--json"))
    assert told["products"] == shop.count("brand=Quay")
    assert "Quay" not in [hit["product"]["brand"] for hit in told["after"]["hits"]]
    assert "holds for" in run("rules", "add", "no Quay", "hide", "--where", "brand=Quay")
    assert json.loads(run("rules", "list", "--json"))["rules"][0]["where"] == ["brand=Quay"]
    told = json.loads(run("recommend", "--product", "p1", "--json"))
    assert told["rules"] == ["no Quay"]
    assert told["hits"][0]["reason"]["words"]
    assert "looks like" in run("recommend", "--product", "p1")
    assert "holds no more" in run("rules", "remove", "no Quay")
    assert "no rule" in run("rules", "list")
    assert json.loads(run("recommend", "settings", "explore=0.05", "--json"))["explore"] == 0.05


def test_a_feed_of_substitutes_is_written_whole_and_as_changes(shop: lapel.Store, tmp_path: Path) -> None:
    def run(*words: str) -> dict[str, int]:
        result = CliRunner().invoke(app, ["recommend", "substitutes", *words, "--store", str(shop.folder), "--json"])
        assert result.exit_code == 0, result.output
        told: dict[str, int] = json.loads(result.stdout)
        return told

    whole, changes = tmp_path / "all.csv", tmp_path / "changes.csv"
    sold_out = shop.count("in_stock=no")
    assert run("--out", str(whole))["products"] == sold_out
    rows = dict(line.split(",") for line in whole.read_text().splitlines()[1:])
    for name, found in rows.items():
        kind = shop.product(name).product.category
        for each in filter(None, found.split("|")):
            other = shop.product(each).product
            assert (other.category, other.in_stock is not False) == (kind, True)
    by_row = shop.recommend(product_id="p18", kind="substitutes", k=5)
    assert rows["p18"].split("|") == ids(by_row) or set(rows["p18"].split("|")) & set(ids(by_row))
    assert run("--out", str(changes), "--since", str(whole))["written"] == 0
    shop._context.catalog.remove([rows["p18"].split("|")[0]])
    assert 0 < run("--out", str(changes), "--since", str(whole))["written"] < sold_out


def test_a_catalogue_of_version_8_gets_its_table_of_rules(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    database = sqlite3.connect(path, isolation_level=None)
    schema.migrate(database, path, create=True, read_only=False, scripts=schema.MIGRATIONS[:8])
    assert database.execute("PRAGMA user_version").fetchone()[0] == 8
    database.close()
    with Catalog.open(path) as catalog:
        assert catalog.rules.all() == []
        catalog.rules.put(made_rule("x", "hide", "brand=Quay").stored())
        assert catalog.rules.version() == 1
        assert catalog.check() == []
