"""Trends: shares over time, what rises and fades, what comes next; and what is said where there is too little."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import lapel
from inputs.insight import around, made_store
from lapel.apps.cli import app
from lapel.core.errors import InputError, QueryError, TableError
from lapel.core.shares import NAIVE, check_counts, forecast, moves, wilson
from lapel.core.types import Product
from lapel.insight.looks import find_looks
from lapel.insight.periods import period_of, read_period
from lapel.insight.plots import Line, line_chart
from lapel.insight.search_log import read_search_log

MIDDLES = np.eye(4)


def products_of(counts: dict[str, tuple[int, ...]], **fixed: str) -> tuple[list[Product], list[int]]:
    """Products with a year and a colour: of each year so many of the first look, the second and so on."""
    products, looks = [], []
    for year, row in counts.items():
        for look, count in enumerate(row):
            for _ in range(count):
                colour = ("Red", "Blue", "Black", "White")[look]
                products.append(
                    Product(
                        f"p{len(products)}",
                        category=("Apparel", ("Shirts", "Jeans", "Shoes", "Bags")[look]),
                        colour=colour,
                        gender="Women" if len(products) % 2 else "Men",
                        attributes={"year": year, **fixed} if year else dict(fixed),
                    )
                )
                looks.append(look)
    return products, looks


def shop_of(tmp_path: Path, counts: dict[str, tuple[int, ...]]) -> lapel.Store:
    products, looks = products_of(counts)
    return made_store(tmp_path / "shop", products, around(MIDDLES, looks))


# --- the arithmetic ---------------------------------------------------------------------------------------------------


def test_a_rise_is_found_in_its_own_period_and_nothing_before() -> None:
    steady = np.tile([100, 100, 100, 100], (8, 1))
    steady[7] = [250, 50, 50, 50]
    found = moves(steady)
    assert found.direction[:7].any() is np.False_
    assert found.words[7] == ["rising", "fading", "fading", "fading"]


@pytest.mark.parametrize("lots", [False, True])
def test_where_nothing_changes_at_most_one_period_in_ten_raises_an_alarm(lots: bool) -> None:
    rng = np.random.default_rng(5)
    shares = rng.dirichlet(np.full(20, 3.0))
    raised = periods = 0
    for _ in range(12):
        drawn = [rng.dirichlet(300 * shares) if lots else shares for _ in range(20)]
        found = moves(np.array([rng.multinomial(1000, each) for each in drawn]), rate=0.05).direction[6:]
        raised, periods = raised + int(found.any(axis=1).sum()), periods + len(found)
    assert raised / periods <= 0.1  # stated: 0.05; of 168 periods


def test_a_season_that_comes_every_year_is_no_trend_but_a_rise_beside_it_is() -> None:
    rng = np.random.default_rng(1)
    swing = 1 + 0.8 * np.sin(2 * np.pi * np.arange(40) / 12)
    shares = np.column_stack([0.1 * swing, *[np.full(40, 0.1)] * 9])
    counts = np.array([rng.multinomial(5000, row / row.sum()) for row in shares])
    assert moves(counts).direction[14:, 0].any(), "without the year, a season looks like a trend"
    seen = moves(counts, cycle=12)
    assert seen.seasonal
    assert not seen.direction[26:, 0].any()
    counts[38:, 1] *= 3
    assert moves(counts, cycle=12).direction[38, 1] == 1


def test_intervals_are_those_of_scipy() -> None:
    from scipy.stats import binomtest

    low, high = wilson(np.array([[7, 0, 93]]), np.array([100]))
    for place, count in enumerate((7, 0, 93)):
        ends = binomtest(count, 100).proportion_ci(0.95, method="wilson")
        assert low[0, place] == pytest.approx(ends.low, abs=1e-6)
        assert high[0, place] == pytest.approx(ends.high, abs=1e-6)


def test_a_forecast_is_as_good_as_it_says_and_the_naive_one_where_nothing_is_known() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(6))
    counts = np.array([rng.multinomial(60, shares) for _ in range(30)])
    made = forecast(counts)
    assert made.error is not None
    assert made.naive_error is not None
    assert made.error < made.naive_error, "the mean of many small periods is better than the last one"
    assert made.tests == 28
    assert (made.low <= made.shares).all()
    assert (made.shares <= made.high).all()
    short = forecast(counts[:2])
    assert short.method == NAIVE or short.tests == 0
    assert short.error is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=2, max_size=9))
def test_any_counts_give_shares_that_are_shares(rows: list[list[int]]) -> None:
    counts = np.array(rows) + np.array([1, 0, 0])
    found, made = moves(counts), forecast(counts)
    assert ((found.p_values >= 0) & (found.p_values <= 1)).all()
    assert (made.shares >= 0).all()
    assert made.shares.sum() <= 1 + 1e-9


def test_counts_that_are_none_are_refused() -> None:
    for wrong in (np.array([1, 2]), np.array([[0.5]]), np.array([[-1, 2]])):
        with pytest.raises(InputError):
            check_counts(wrong)
    with pytest.raises(InputError, match="total"):
        check_counts(np.array([[0, 0], [1, 1]]))


# --- periods and looks ------------------------------------------------------------------------------------------------


def test_periods_are_read_from_years_seasons_and_dates() -> None:
    assert read_period(("2012",), "month") == read_period(("2012.0",), "day")
    spring, winter = read_period(("2012", "Spring"), "month"), read_period(("2012", "Winter"), "month")
    following = read_period(("2013", "Spring"), "month")
    assert spring is not None
    assert winter is not None
    assert following is not None
    assert (winter.number - spring.number, following.number - winter.number) == (3, 1)
    assert read_period(("2012-05-31T10:00:00",), "quarter") == period_of(
        datetime(2012, 4, 1, tzinfo=UTC).timestamp(), "quarter"
    )
    assert read_period(("soon",), "month") is None
    assert read_period(("2012", "monsoon"), "month") is None
    with pytest.raises(QueryError, match="fortnight"):
        period_of(0.0, "fortnight")


def test_looks_are_groups_of_what_is_alike_and_the_same_each_time() -> None:
    of = [0] * 40 + [1] * 30 + [2] * 20
    vectors = around(MIDDLES, of).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    looks = find_looks(vectors, 3)
    again = find_looks(vectors, 3)
    assert (looks.of == again.of).all()
    for own in (slice(0, 40), slice(40, 70), slice(70, 90)):
        assert len(set(looks.of[own].tolist())) == 1
    assert len(set(looks.of.tolist())) == 3
    assert [of[place] for place in looks.medoids] == [of[place] for place in looks.nearest(0, vectors, 1).tolist()] + [
        of[looks.medoids[1]],
        of[looks.medoids[2]],
    ]
    same = find_looks(np.tile(vectors[:1], (60, 1)), None)
    assert len(same.medoids) == 1, "pictures that are all the same are one look"
    with pytest.raises(QueryError, match="1 to 90"):
        find_looks(vectors, 91)


def test_a_chart_says_its_numbers_and_escapes_names() -> None:
    drawn = line_chart(Line("<b>", (0.1, 0.2), (0.05, 0.1), (0.2, 0.3), (0.25, 0.2, 0.3)), ("2011", "2012"))
    assert "<b>" not in drawn
    assert "&lt;b&gt;: 10 % in 2011, 20 % in 2012, 25 % expected" in drawn
    assert drawn.count("<tr>") == 4
    assert 'role="img"' in drawn


# --- of a store -------------------------------------------------------------------------------------------------------

STEADY = {str(year): (40, 40, 40, 40) for year in range(2010, 2017)}


def test_what_rises_in_a_catalogue_is_found_by_look_colour_and_kind(tmp_path: Path) -> None:
    with shop_of(tmp_path, {**STEADY, "2017": (160, 20, 20, 20)}) as store:
        found = store.trends(looks=4)
        assert found.source == "year"
        assert found.periods == tuple(str(year) for year in range(2010, 2018))
        rising = {(each.dimension, each.value) for each in found.moving("rising")}
        assert {("colour", "Red"), ("kind", "Shirts")} <= rising
        assert sum(dimension == "look" for dimension, _ in rising) == 1
        red = next(each for each in found.series if (each.dimension, each.value) == ("colour", "Red"))
        assert red.counts == (40,) * 7 + (160,)
        assert red.shares[0] == pytest.approx(0.25)
        assert red.low[0] < 0.25 < red.high[0]
        shown = store._context.catalog.entries(list(red.examples))
        assert {product.colour for product, _ in shown.values()} == {"Red"}
        steady = store.trends(looks=4, where=["year=2010|2011|2012|2013|2014|2015|2016"])
        assert not steady.moving("rising")
        assert not steady.moving("fading")


def test_a_table_a_frame_and_a_page_are_written(tmp_path: Path) -> None:
    with shop_of(tmp_path, {**STEADY, "2017": (160, 20, 20, 20)}):
        pass
    run = CliRunner().invoke(
        app, ["trends", "--store", str(tmp_path / "shop"), "--json", "--out", str(tmp_path / "out")]
    )
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert told["periods"][-1] == "2017"
    assert told["false_discovery_rate"] == 0.2
    rows = list(csv.DictReader((tmp_path / "out" / "trends.csv").read_text().splitlines()))
    assert len(rows) == len(told["series"])
    page = (tmp_path / "out" / "trends.html").read_text()
    assert page.count("<svg") == min(200, len(rows))
    assert "prefers-color-scheme:dark" in page
    assert "http" not in page.replace("http://www.w3.org", "").split("<body>")[1]


def test_events_and_searches_are_counted_where_they_are_asked_for(tmp_path: Path) -> None:
    products, looks = products_of({"": (40, 40, 40, 40)})
    with made_store(tmp_path / "shop", products, around(MIDDLES, looks)) as store:
        with pytest.raises(QueryError, match="two periods"):
            store.trends()
        start = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
        often = [(week, (30 if week < 9 or look else 200)) for week in range(10) for look in range(4)]
        events = []
        for number, (week, count) in enumerate(often):
            look = number % 4
            events += [
                lapel.Event(f"{number}-{n}", f"a{n}", f"p{look * 40 + n % 40}", "view", start + week * 604_800 + n)
                for n in range(count)
            ]
        store.record(events)
        found = store.trends(period="week", looks=4)
        assert found.source == "events"
        assert len(found.periods) == 10
        assert ("colour", "Red") in {(each.dimension, each.value) for each in found.moving("rising")}


def test_a_search_log_is_read_and_what_is_wrong_with_it_said(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("Query,Date,Count\nred saree,2026-01-02,3\n,2026-01-02,1\nblue jeans,soon,1\n")
    read = read_search_log(log)
    assert [(each.text, each.count) for each in read.searches] == [("red saree", 3)]
    assert read.unreadable == 2
    log.write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="column 'text'"):
        read_search_log(log)
    with pytest.raises(TableError, match="cannot be read"):
        read_search_log(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("counts", "over", "said"),
    [
        ({"2012": (1, 0, 0, 0)}, "", "two periods"),
        ({"2012": (40, 40, 0, 0)}, "year", "2012 with 80"),
        ({"2012": (40, 40, 0, 0)}, "season", "No product has a year or a date in 'season'"),
        ({"": (40, 40, 0, 0)}, "", "no column such as 'year'"),
        ({"2012": (40, 40, 0, 0), "2013": (40, 0, 0, 0)}, "a,b,c", "one column, or a year and a season"),
    ],
)
def test_too_little_is_one_sentence(tmp_path: Path, counts: dict[str, tuple[int, ...]], over: str, said: str) -> None:
    with shop_of(tmp_path, counts) as store, pytest.raises(QueryError, match=said):
        store.trends(over=over)


def test_what_was_left_out_is_counted(tmp_path: Path) -> None:
    with shop_of(
        tmp_path, {"2011": (40, 40, 0, 0), "2012": (40, 40, 0, 0), "2013": (3, 0, 0, 0), "": (5, 0, 0, 0)}
    ) as store:
        found = store.trends(over="year")
        assert dict(found.left_out) == {"products without a time in year": 5, "of periods with fewer than 30 (2013)": 3}
        assert "5 products without a time" in found.summary()


def test_all_the_same_picture_is_one_look_and_colours_are_followed_all_the_same(tmp_path: Path) -> None:
    products, looks = products_of({"2011": (40, 40, 0, 0), "2012": (40, 40, 0, 0)})
    with made_store(tmp_path / "shop", products, np.tile(MIDDLES[:1], (len(looks), 1))) as store:
        found = store.trends()
        assert {each.dimension for each in found.series} == {"colour", "kind", "gender"}


def test_the_command_ends_with_one_sentence(tmp_path: Path) -> None:
    with shop_of(tmp_path, {"2012": (1, 0, 0, 0)}):
        pass
    run = CliRunner().invoke(app, ["trends", "--store", str(tmp_path / "shop")])
    assert run.exit_code != 0
    assert isinstance(run.exception, QueryError)
