"""The shop's store, opened once for all visitors, and its slow answers, kept until the store changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from lapel.core.types import Filter
from lapel.service import Overview, Store, open_store, store_exists

FACET_VALUES = 500  # of one field: more than a person will scroll through


def _state(store: Store) -> tuple[str, int, int]:
    """What an answer of a store depends on: its folder, the store in it, and what was changed there."""
    return str(store.folder), store_exists(store.folder), store.revision


KEYS: dict[str | type[Any], Callable[[Any], Any]] = {Store: _state, Filter: str}  # of arguments


def open_shop(folder: Path) -> Store:
    """The store of a shop folder: opened once, and again when the folder was made anew.

    Raises:
        LapelError: there is no store, or it cannot be used.
    """
    return _open_shop(str(folder), store_exists(folder))


@st.cache_resource(max_entries=4, show_spinner=False)
def _open_shop(folder: str, identity: int) -> Store:
    del identity  # only part of the cache's key
    store = open_store(folder, read_only=None)
    store.check_model()  # a store of another model is refused here, not at the first search
    return store


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
