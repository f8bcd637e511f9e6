"""Slow answers of the shop's store, kept until the store changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from lapel.core.types import Filter
from lapel.service import Overview, Store, store_exists

if TYPE_CHECKING:
    from lapel.service import Duplicates

FACET_VALUES = 500  # of one field: more than a person will scroll through


def _state(store: Store) -> tuple[str, int, int]:
    """What an answer of a store depends on: its folder, the store in it, and what was changed there."""
    return str(store.folder), store_exists(store.folder), store.revision


KEYS: dict[str | type[Any], Callable[[Any], Any]] = {Store: _state, Filter: str}  # of arguments


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def overview_of(store: Store) -> Overview:
    """What can be filtered by now, and how much there is."""
    return store.overview()


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=KEYS)
def facet_counts(store: Store, name: str, where: Filter) -> Mapping[str, int]:
    """How many products that pass ``where`` have each value of a field."""
    return dict(store.facets(name, where=where, limit=FACET_VALUES)[name])


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=KEYS)
def count(store: Store, where: Filter) -> int:
    """How many products pass ``where``."""
    return store.count(where)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=KEYS)
def duplicates_of(store: Store, product_id: str, dismissed: int) -> Duplicates:
    """What a product is a duplicate of, while so many pairs are said to be none."""
    del dismissed  # another number is another answer
    return store.duplicates_of(product_id)
