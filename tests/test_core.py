"""The nouns: values that check themselves, doors that say what they offer, vectors that are what they claim."""

from __future__ import annotations

import dataclasses
import importlib.metadata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapel.core import errors
from lapel.core.errors import InputError, LapelError, MissingDependencyError, QueryError, TableError
from lapel.core.registry import Backend, Registry
from lapel.core.types import Condition, Filter, Matches, Product
from lapel.core.vectors import check_keys, check_vectors, normalise


def test_every_error_is_a_lapel_error_and_drawn_in_the_tree() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, LapelError) for kind in kinds)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=4, max_size=4), max_size=8))
def test_normalised_rows_have_length_one_or_are_zero(rows: list[list[float]]) -> None:
    array = np.array(rows, np.float32).reshape(-1, 4)
    before = array.copy()
    length = np.linalg.norm(normalise(array), axis=1)
    big = np.linalg.norm(array, axis=1) > 1e-15  # below it, float32 squares vanish
    assert np.allclose(length[big], 1, atol=1e-5)
    assert np.array_equal(array, before)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((2, 3)), r"shape \(n, 4\).*found \(2, 3\)"),
        (np.ones(4), r"found \(4,\)"),
        (np.ones((2, 4)), "row 0 has length 2"),
        ([[1, 0, 0, 0], [np.nan, 0, 0, 1]], "row 1 has length nan"),
        ([[np.inf, 0, 0, 0]], "length inf"),
        (np.zeros((1, 4)), "length 0"),
    ],
)
def test_vectors_that_are_no_unit_rows_are_refused(rows: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_vectors(rows, 4)


@pytest.mark.parametrize(
    ("keys", "rows", "message"),
    [
        ([1.5], None, "whole numbers"),
        ([[1]], None, "one row"),
        ([1, 2], 3, "2 keys for 3"),
        ([3, -1], None, "found -1"),
    ],
)
def test_keys_that_are_none_are_refused(keys: list[object], rows: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_keys(np.array(keys), rows)


def test_no_keys_are_fine() -> None:
    assert check_keys([]).dtype == np.int64


def test_a_product_checks_itself_and_cannot_be_changed() -> None:
    product = Product("1", price_minor=4990, currency="EUR")
    assert product.price == "49.90 EUR"
    assert Product("1", price_minor=1234567, currency="JPY").price == "1,234,567 JPY"
    assert Product("1").price == ""
    with pytest.raises(dataclasses.FrozenInstanceError):
        product.title = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id": ""}, "needs an id"),
        ({"id": " 1"}, "blanks"),
        ({"id": "1", "price_minor": -1, "currency": "EUR"}, "negative"),
        ({"id": "1", "price_minor": 1}, "three-letter currency"),
        ({"id": "1", "attributes": {"title": "x"}}, "named like fields"),
    ],
)
def test_impossible_products_are_told(values: dict[str, object], message: str) -> None:
    with pytest.raises(TableError, match=message):
        Product(**values)  # type: ignore[arg-type]


def test_a_category_counts_at_each_level() -> None:
    product = Product(
        "7", category=("Apparel", "Topwear", "Shirts"), in_stock=True, attributes={"year": "2012", "usage": ""}
    )
    assert product.facets() == {
        "id": ("7",),
        "category": ("Apparel", "Apparel > Topwear", "Apparel > Topwear > Shirts"),
        "in_stock": ("yes",),
        "year": ("2012",),
    }


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("gender=Women", Condition("gender", "=", ("Women",))),
        (" price < 2000 ", Condition("price", "<", ("2000",))),
        ("price>=9.5", Condition("price", ">=", ("9.5",))),
        ("colour=Black|Navy Blue", Condition("colour", "=", ("Black", "Navy Blue"))),
        ("brand!=A=B", Condition("brand", "!=", ("A=B",))),
    ],
)
def test_filters_are_read(text: str, condition: Condition) -> None:
    assert Filter.parse([text]).conditions == (condition,)
    assert Filter.parse([str(condition)]).conditions == (condition,)


@pytest.mark.parametrize(
    "text", ["", "gender", "=Women", "gender=", "price<cheap", "price<1|2", "price<nan", "a=1||2", "~"]
)
def test_filters_that_say_nothing_are_told(text: str) -> None:
    with pytest.raises(QueryError, match=r"gender=Women|price<2000"):
        Filter.parse([text])


def test_matches_are_one_shape() -> None:
    with pytest.raises(QueryError, match="one shape"):
        Matches(np.zeros((1, 2), np.int64), np.zeros((1, 3), np.float32))


DOOR = Registry(
    "thing",
    {"json": Backend("json:loads"), "gone": Backend("no_such_module:x", "extra"), "bare": Backend("no_such_module:x")},
    "lapel.t",
)


def test_a_door_opens_what_is_in_its_table() -> None:
    assert DOOR.find("json")("[1]") == [1]


def test_a_missing_library_says_what_to_install() -> None:
    with pytest.raises(MissingDependencyError, match=r"needs no_such_module.*pip install 'lapel\[extra\]'"):
        DOOR.find("gone")
    with pytest.raises(MissingDependencyError, match="pip install no_such_module"):
        DOOR.find("bare")


def test_an_unknown_scheme_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"No thing is called .x:.\. There are bare:, gone:, json:"):
        DOOR.find("x")


def test_others_add_backends_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = importlib.metadata.EntryPoint("dumps", "json:dumps", "lapel.t")

    def entries(*, group: str, name: str | None = None) -> importlib.metadata.EntryPoints:
        return importlib.metadata.EntryPoints([entry] if group == "lapel.t" and name in (None, "dumps") else [])

    monkeypatch.setattr(importlib.metadata, "entry_points", entries)
    assert DOOR.find("dumps")([1]) == "[1]"
    assert "dumps" in DOOR.schemes()
