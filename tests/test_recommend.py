"""Rows of recommendations: what every row promises, whoever asks for what, and what each kind is for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lapel
from inputs.fashion import KINDS, fashion_store
from lapel.catalog import Entry, PhotoEntry
from lapel.core.errors import InputError, QueryError
from lapel.core.estimators import difference
from lapel.core.types import SearchResult
from lapel.engine.recommend import blend, blend_keeper, harmonies, recommender
from lapel.engine.recommend.asking import KINDS as ROWS
from lapel.engine.recommend.baskets import ENOUGH_BASKETS
from lapel.engine.recommend.choosing import Guard, Strand, choose
from lapel.engine.recommend.collaborative import ItemItem
from lapel.engine.recommend.parts import part_of, together

NOW = time.time()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lapel.Store]:
    """A store that tests do not change but for events; what is popular stays as it was at first."""
    with pytest.MonkeyPatch.context() as patch, fashion_store(tmp_path_factory.mktemp("fashion") / "shop") as store:
        patch.setattr(recommender, "REFRESH", 1e9)
        shown = [f"p{n}" for n in range(240) if n % 11]
        store._context.catalog.visibility.apply_sync("", shown, now="2026-01-01T00:00:00Z")
        yield store


@pytest.fixture
def own(tmp_path: Path) -> Iterator[lapel.Store]:
    with fashion_store(tmp_path / "shop", 120) as store:
        yield store


def event(name: str, person: str, product: str, kind: str = "like", at: float = NOW, list_id: str = "") -> lapel.Event:
    return lapel.Event(name, person, product, kind, at, list_id)


def ids(result: SearchResult) -> list[str]:
    return [hit.product.id for hit in result]


def of_look(store: lapel.Store, look: int) -> list[str]:
    found = store.browse(where=[f"look={look}"], limit=1000).products
    return [each.product.id for each in found]


# --- what every row promises ------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(ROWS),
    st.integers(0, 239),
    st.integers(1, 60),
    st.lists(
        st.tuples(st.integers(0, 239), st.sampled_from(["view", "like", "dislike", "cart", "buy", "dismiss"])),
        max_size=25,
    ),
    st.sets(st.integers(0, 239), max_size=20),
    st.sampled_from([None, "gender=Women", "category=Apparel"]),
)
def test_no_row_ever_breaks_a_promise(
    shop: lapel.Store, kind: str, seed: int, k: int, did: list[tuple[int, str]], exclude: set[int], where: str | None
) -> None:
    person = f"{kind}{seed}{k}{len(did)}{sorted(exclude)}{where}{did}"
    shop.record([event(f"{person}{n}", person, f"p{place}", what, NOW + n) for n, (place, what) in enumerate(did)])
    asked: dict[str, Any] = {"person": person, "kind": kind, "k": k, "exclude": {f"p{n}" for n in exclude}}
    if kind != "for-you":
        asked["product_id"] = f"p{seed if seed % 11 else 1}"
    result = shop.recommend(**asked, where=[where] if where else ())
    found = ids(result)
    refused = {f"p{place}" for place, what in did if what in ("buy", "dismiss", "dislike")}
    assert not refused & set(found)
    assert not {f"p{n}" for n in exclude} & set(found)
    assert asked.get("product_id") not in found
    assert len(found) == len(set(found)) <= k
    assert len({hit.photo.sha256 for hit in result}) == len(found)
    assert all(hit.product.in_stock is not False for hit in result)
    assert all(int(name[1:]) % 11 for name in found)  # hidden
    assert all(number <= 3 for brand, number in Counter(hit.product.brand for hit in result).items() if brand)
    assert where != "gender=Women" or all(hit.product.gender == "Women" for hit in result)
    assert all(hit.reason is not None and hit.reason.words for hit in result)
    assert [hit.rank for hit in result] == list(range(1, len(found) + 1))
    assert result == shop.recommend(**asked, where=[where] if where else ())


def test_choosing_is_what_an_obvious_one_chooses(shop: lapel.Store) -> None:
    shop.recommend()
    table = shop.rows._recommender._tables.of(shop._context.current())
    rng = np.random.default_rng(5)
    for _ in range(20):
        places = rng.permutation(len(table))[:60]
        relevance = rng.random(60)
        refused = rng.permutation(len(table))[:30]
        found = [place for place, _ in choose(Guard.over(table, refused=[refused]), [Strand(places, relevance)], 12)]
        expected: list[int] = []
        while len(expected) < 12:
            best, worth = None, -np.inf
            for place, value in sorted(zip(places.tolist(), relevance.tolist(), strict=True)):
                brands = Counter(table.brands.of[other] for other in expected)
                if place in expected or place in refused or not table.shown[place] or table.stock[place] == 0:
                    continue
                if any(table.photos[place] == table.photos[other] for other in expected):
                    continue
                if table.brands.of[place] and brands[table.brands.of[place]] >= 3:
                    continue
                near = max([float(table.vectors[place] @ table.vectors[other]) for other in expected], default=0.0)
                if 0.8 * value - 0.2 * max(near, 0.0) > worth + 1e-9:
                    best, worth = place, 0.8 * value - 0.2 * max(near, 0.0)
            if best is None:
                break
            expected.append(best)
        assert found == expected


def test_an_empty_store_recommends_nothing_and_says_so(tmp_path: Path) -> None:
    with lapel.open_store(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.record([event("1", "anna", "later")])
        for result in (store.recommend(), store.recommend(person="anna")):
            assert (ids(result), result.verdict) == ([], lapel.Verdict.EMPTY)
        assert store.rows.write_substitutes(tmp_path / "feed.csv").products == 0


# --- for you ----------------------------------------------------------------------------------------------------------


def test_a_stranger_is_shown_many_looks_and_one_tap_changes_the_next_answer(own: lapel.Store) -> None:
    first = own.recommend(k=12)
    assert len({hit.product.attributes["look"] for hit in first}) >= 4
    tapped = of_look(own, 2)[0]
    own.record([event("tap", "anna", tapped)])
    after = own.recommend(person="anna", k=6)
    assert Counter(hit.product.attributes["look"] for hit in after)["2"] >= 5
    liked = [hit for hit in after if hit.reason and hit.reason.kind == "liked"]
    assert liked[0].reason is not None
    assert liked[0].reason.product_id == tapped
    assert f"'Product {tapped[1:]}'" in liked[0].reason.words
    assert tapped not in ids(after)


def test_several_interests_all_come_and_dislikes_push_away(own: lapel.Store) -> None:
    looks = (0, 3, 5)
    own.record([event(f"{look}{n}", "bert", name) for look in looks for n, name in enumerate(of_look(own, look)[:3])])
    found = Counter(hit.product.attributes["look"] for hit in own.recommend(person="bert", k=12))
    assert all(found[str(look)] >= 2 for look in looks)
    own.record([event(f"d{n}", "bert", name, "dislike", NOW + n) for n, name in enumerate(of_look(own, 3)[:4])])
    after = Counter(hit.product.attributes["look"] for hit in own.recommend(person="bert", k=12))
    assert after["3"] < found["3"]


def test_recent_and_strong_events_count_more(own: lapel.Store) -> None:
    old = [event(f"o{n}", "carl", name, "view", NOW - 300 * 86_400) for n, name in enumerate(of_look(own, 1)[:5])]
    own.record([*old, event("new", "carl", of_look(own, 4)[0], "cart")])
    found = [hit.product.attributes["look"] for hit in own.recommend(person="carl", k=6)]
    assert found.count("4") > found.count("1")


def test_what_is_popular_comes_first_inside_a_look(own: lapel.Store) -> None:
    own.rows.configure({"popularity": 1.0})
    inside = [name for name in of_look(own, 6) if own.product(name).product.in_stock is not False]
    own.record([event(f"b{n}", f"buyer {n}", inside[-1], "buy") for n in range(30)])
    own.record([event("tap", "dora", inside[0])])
    assert ids(own.recommend(person="dora", k=3))[0] == inside[-1]


def test_events_of_a_product_that_comes_later_are_used_then(own: lapel.Store) -> None:
    own.record([event("1", "emil", "later")])
    assert all(hit.reason and hit.reason.kind == "popular" for hit in own.recommend(person="emil", k=3))
    context = own._context
    from lapel.catalog import Entry, PhotoEntry
    from lapel.core.types import Product

    vector = context.catalog.vector_of(context.catalog.first_photos(["p8"]), fingerprint=context.model.fingerprint)[0]
    made = Entry(Product("later", title="Later"), (PhotoEntry("mem://later", "1", "f" * 64, vector),))
    context.catalog.write([made], fingerprint=context.model.fingerprint)
    found = own.recommend(person="emil", k=3)
    assert found[0].reason is not None
    assert found[0].reason.product_id == "later"


def test_what_others_like_counts_where_the_setting_says_so(own: lapel.Store) -> None:
    seed, *rest = of_look(own, 2)
    friend = [name for name in rest if own.product(name).product.in_stock is not False][-1]
    own.record([event(f"f{n}{name}", f"fan {n}", name, "view") for n in range(60) for name in (seed, friend)])
    own.record([event("tap", "fred", seed)])
    own.rows.configure({"popularity": 0.0})
    before = ids(own.recommend(person="fred", k=20)).index(friend)
    own.rows.configure({"popularity": 0.0, "collaborative": 1.0})
    assert ids(own.recommend(person="fred", k=20)).index(friend) == 0 < before


def people_with_partners(store: lapel.Store, rng: np.random.Generator, *, linked: bool) -> None:
    """Eighty people with four products each: what goes together has nothing to do with looks, or is drawn."""
    groups = rng.permutation(120).reshape(30, 4)
    store.record(
        [
            event(f"{person}{n}", f"person {person}", f"p{place}", "like", NOW - 100 + n)
            for person in range(80)
            for n, place in enumerate(rng.permutation(groups[person % 10]) if linked else rng.permutation(120)[:4])
        ]
    )


@pytest.mark.parametrize("linked", [True, False])
def test_others_count_only_where_what_people_did_last_says_so(own: lapel.Store, linked: bool) -> None:
    assert own.rows.tune().people == 0
    people_with_partners(own, np.random.default_rng(3), linked=linked)
    found = own.rows.tune()
    assert found.people == 80
    assert (found.weight > 0) == linked
    weights, shares = zip(*found.found, strict=True)
    assert weights[0] == 0.0
    assert not linked or max(shares) > shares[0] + 0.2
    assert own.rows.settings.collaborative == "auto"
    assert own.rows._recommender._blend.weight(own.rows.settings) == found.weight


def test_people_are_asked_until_it_is_clear(own: lapel.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend, "PEOPLE", 20)
    looks = [blend.NO_CHANGE] * len(blend.WEIGHTS)  # the first twenty say nothing
    monkeypatch.setattr(blend, "difference", lambda new, old: looks.pop() if looks else difference(new, old))
    people_with_partners(own, np.random.default_rng(3), linked=True)
    found = own.rows.tune()
    assert 40 <= found.people <= 80
    assert found.change.low > 0
    assert found.weight > 0


def test_the_weight_of_others_is_found_beside_the_answers_and_known_to_other_processes(
    own: lapel.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blend_keeper, "LEAST_EVENTS", 200)
    people_with_partners(own, np.random.default_rng(3), linked=True)
    keeper = own.rows._recommender._blend
    assert keeper.weight(own.rows.settings) == 0.0
    own.recommend(person="person 1")
    assert keeper._work is not None
    keeper._work.result(60)
    assert keeper.weight(own.rows.settings) > 0
    with lapel.open_store(own.folder, read_only=True) as other:
        assert other.rows._recommender._blend.weight(other.rows.settings) == keeper.weight(own.rows.settings)
        partner = other.recommend(person="person 1", k=5)
        assert partner == own.recommend(person="person 1", k=5)


def test_what_others_like_holds_for_a_table_in_which_products_came_and_went(own: lapel.Store) -> None:
    people_with_partners(own, np.random.default_rng(3), linked=True)
    before = own.rows._recommender._tables.of(own._context.current())
    learned = ItemItem(before, own._context.events.interactions())
    own.remove(["p0", "p50"])
    after = own.rows._recommender._tables.of(own._context.current())
    assert len(after) == len(before) - 2
    liked = [name for name in ("p7", "p50", "p90") if name in after.places]
    told = learned.on(after).scores(after.find(liked), np.ones(2))
    expected = learned.scores(before.find(liked), np.ones(2))
    assert told is not None
    assert expected is not None
    assert learned.on(before) is learned
    of = dict(zip(before.ids, expected.tolist(), strict=True))
    assert told == pytest.approx([of[name] * told.max() / max(of[each] for each in after.ids) for name in after.ids])


def test_few_events_are_enough_to_know_for_whom_it_is(own: lapel.Store) -> None:
    tapped = next(f"p{n}" for n in range(120) if own.product(f"p{n}").product.gender == "Women")
    own.record([event("tap", "gina", tapped)])
    found = [hit.product.gender for hit in own.recommend(person="gina", k=4)]
    assert set(found) == {"Women", "Unisex"}  # what is for everybody is not pushed away
    new = [hit for hit in own.recommend(person="gina", k=60) if hit.reason and hit.reason.kind == "new"]
    assert new
    assert {hit.product.gender for hit in new} <= {"Women", "Unisex"}


# --- beside a product -------------------------------------------------------------------------------------------------


def test_together_is_never_the_same_kind_and_says_what_goes(own: lapel.Store) -> None:
    result = own.recommend(product_id="p1", kind="together", k=20)
    kind = own.product("p1").product.category
    assert len(result) > 5
    assert all(hit.product.category != kind for hit in result)
    assert all(together(part_of(kind), part_of(hit.product.category)) for hit in result)
    assert {hit.reason.kind for hit in result if hit.reason} == {"goes-with"}


def test_a_season_that_nobody_knows_is_not_said_to_agree(own: lapel.Store) -> None:
    vector = np.eye(own._context.encoder.dim, dtype=np.float32)[0]
    product = replace(own.product("p1").product, season="")
    photo = PhotoEntry("mem://new", "1", 64 * "a", vector)
    own._context.catalog.write([Entry(product, (photo,))], fingerprint=own._context.encoder.fingerprint)
    for seed, told in (("p1", False), ("p2", True)):
        result = own.recommend(product_id=seed, kind="together", k=20)
        assert any("season" in hit.reason.words for hit in result if hit.reason) == told


@pytest.mark.parametrize("kind", ["similar", "together", "look", "upsell", "substitutes"])
def test_the_photo_that_a_row_stands_beside_does_not_come_again(own: lapel.Store, kind: str) -> None:
    """One product in two sizes, each a row of the table; the other size may stand in for it."""
    product = replace(own.product("p5").product, id="twin", in_stock=True)
    (photo,) = own.product("p5").photos
    sha256, fingerprint = photo.sha256, own._context.encoder.fingerprint
    vector = own._context.catalog.vector_of([photo.key], fingerprint=fingerprint)[0]
    twin = Entry(product, (PhotoEntry("mem://twin", "1", sha256, vector),))
    own._context.catalog.write([twin], fingerprint=fingerprint)
    found = ids(own.recommend(product_id="p5", kind=kind, k=120))
    assert ("twin" in found) == (kind == "substitutes")


def test_what_is_often_bought_with_it_comes_first(own: lapel.Store) -> None:
    baskets = [(f"b{n}", ["p1", "p2"] if n % 2 else ["p3", "p4"]) for n in range(ENOUGH_BASKETS + 20)]
    own.record(
        [event(f"{who}{name}", who, name, "buy", NOW + at) for who, names in baskets for at, name in enumerate(names)]
    )
    first = own.recommend(product_id="p1", kind="together", k=5)[0]
    assert first.product.id == "p2"
    assert first.reason is not None
    assert (first.reason.kind, first.reason.data["baskets"]) == ("bought-with", (ENOUGH_BASKETS + 20) // 2)


def test_a_look_has_one_of_each_part(own: lapel.Store) -> None:
    for name in ("p0", "p2", "p6"):
        result = own.recommend(product_id=name, kind="look", k=10)
        parts = [part_of(hit.product.category) for hit in result]
        seed = part_of(own.product(name).product.category)
        assert len(parts) == len(set(parts)) >= 2
        assert all(together(seed, part) for part in parts)
        assert not ({"top", "bottom"} & set(parts) and "whole" in parts)


def test_an_upsell_has_a_better_margin_and_fits_the_band(own: lapel.Store) -> None:
    seed = own.product("p15").product
    result = own.recommend(product_id="p15", kind="upsell", k=20)
    for hit in result:
        assert hit.product.category == seed.category
        assert float(hit.product.attributes["margin"]) > float(seed.attributes["margin"])
        if hit.product.currency == seed.currency:
            assert hit.product.price_minor is not None
            assert seed.price_minor is not None
            assert hit.product.price_minor <= 1.6 * seed.price_minor


def test_substitutes_are_of_one_kind_and_fit(own: lapel.Store) -> None:
    for name in ("p9", "p27", "p45"):
        seed = own.product(name).product
        result = own.recommend(product_id=name, kind="substitutes", k=8, keep_margin=True)
        for hit in result:
            assert hit.product.category == seed.category
            assert hit.product.gender in (seed.gender, "Unisex") or seed.gender == "Unisex"
            assert float(hit.product.attributes["margin"]) >= float(seed.attributes["margin"])
            assert set(hit.product.attributes["size"].split("|")) & set(seed.attributes["size"].split("|"))


def test_two_currencies_are_never_compared(own: lapel.Store) -> None:
    for name in ("p0", "p1", "p5", "p6"):
        seed = own.product(name).product
        for hit in own.recommend(product_id=name, k=20):
            assert hit.reason is not None
            if hit.product.currency != seed.currency:
                assert "%" not in hit.reason.words


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kind": "best"}, "for-you"),
        ({"kind": "together"}, "needs a product"),
        ({"product_id": "nobody"}, "nobody"),
        ({"k": 0}, "1 to 1,000"),
        ({"where": ["nofield=1"]}, "nofield"),
    ],
)
def test_what_cannot_be_asked_is_said(own: lapel.Store, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        own.recommend(**wrong)


def test_settings_are_kept_and_checked(own: lapel.Store) -> None:
    own.rows.configure({"per_brand": 1})
    found = Counter(hit.product.brand for hit in own.recommend(product_id="p1", k=20) if hit.product.brand)
    assert set(found.values()) == {1}
    for wrong in ({"explore": 2}, {"pool": 0}, {"log": 1}, {"colour": 1}):
        with pytest.raises(InputError):
            own.rows.configure(wrong)
    assert own.rows.settings.per_brand == 1


# --- the log of what was shown ----------------------------------------------------------------------------------------


def test_lists_are_logged_with_their_chances_and_can_be_switched_off(own: lapel.Store) -> None:
    result = own.recommend(person="anna", k=4)
    own.rows.flush()
    ((served, clicks),) = own._context.events.served()
    assert (served.id, served.products, served.chances, clicks) == (result.list_id, tuple(ids(result)), (1.0,) * 4, {})
    own.record([event("click", "anna", ids(result)[0], "view", list_id=result.list_id)])
    assert own._context.events.served()[0][1] == {ids(result)[0]: {"view"}}
    own.rows.configure({"log": False})
    assert own.recommend(person="anna", k=4).list_id == ""
    own.erase("anna")
    assert own._context.events.served() == []


def test_explored_lists_are_as_likely_as_they_say(own: lapel.Store) -> None:
    own.rows.configure({"explore": 0.5, "pool": 12})
    assert ids(own.recommend(k=4, seed=3)) == ids(own.recommend(k=4, seed=3))
    seen: Counter[tuple[int, str]] = Counter()
    told: dict[tuple[int, str], float] = {}
    tries = 600
    for seed in range(tries):
        own.recommend(k=4, seed=seed)
    own.rows.flush()
    for served, _ in own._context.events.served():
        for at, (name, chance) in enumerate(zip(served.products, served.chances, strict=True)):
            seen[at, name] += 1
            told[at, name] = chance
    for slot, chance in told.items():
        assert abs(seen[slot] / tries - chance) < 4 * (chance * (1 - chance) / tries) ** 0.5 + 0.004
    assert len(told) == 4 * 12


def test_what_agrees_in_baskets_counts_more_and_chance_does_not() -> None:
    rng = np.random.default_rng(1)
    pairs = 4_000
    bought = np.tile([True, False], pairs // 2)
    season = np.where(bought, True, rng.random(pairs) < 0.3).astype(float)
    agreements = np.column_stack([rng.random(pairs), rng.random(pairs), season])
    colours = rng.integers(1, 6, (pairs, 2))
    colours[bought, 1] = colours[bought, 0] % 5 + 1  # what is bought together is of neighbouring colours
    found = harmonies.learn(agreements, colours.astype(np.int32), bought, np.ones(pairs), 6)
    harmony, price, agrees, named = found.weights
    assert agrees > 5 * max(harmony, price)
    assert found.colours[1, 2] > 0 > found.colours[1, 3]
    assert named * (found.colours[1, 2] - found.colours[1, 3]) > 5 * max(harmony, price)
    assert sum(found.weights) == pytest.approx(sum(harmonies.PRIOR))
    few = harmonies.learn(agreements[:8], colours[:8].astype(np.int32), bought[:8], np.ones(8), 6)
    assert np.abs(few.weights - harmonies.PRIOR).max() < 0.02


def test_parts_and_kinds_of_the_made_up_shop_are_read() -> None:
    assert [part_of(path) for path in KINDS] == ["top", "top", "bottom", "shoes", "bag", "belt", "whole"]
