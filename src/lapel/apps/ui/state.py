"""What one visitor's session holds: what is asked, the filters, and the way there, beside the address, which says what
is shown.

All of a search stands in the address, so the history is a list of addresses, and going back is reading one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from lapel.apps.ui.asked import SIDES, Asked
from lapel.apps.ui.selection import FilterSelection, price_bounds, read_params
from lapel.service import Overview

PAGE_SIZE = 40  # hits at first, and with each "show more"
LEVELS = 4  # of a category path that can be chosen one below the other
SEPARATOR = " > "  # between the levels of a category path
MOST_KEPT = 50  # searches of the history

Params = Mapping[str, list[str]]


# --- what is asked ----------------------------------------------------------------------------------------------------


def asked() -> Asked:
    """The query's parts; empty on the start page."""
    kept: Asked = st.session_state.get("asked", Asked())
    return kept


def ask(wanted: Asked) -> None:
    """Ask something else, from the top of the page; only before the widgets are drawn, or in a callback."""
    _put(wanted)
    st.session_state["visit"] = st.session_state.get("visit", 0) + 1
    reset_paging()


def _put(wanted: Asked) -> None:
    st.session_state["asked"] = wanted
    st.session_state["a-tint"] = wanted.colour or "#808080"
    st.session_state["a-models"] = wanted.models
    for name, value in zip(SIDES, wanted.look, strict=True):
        st.session_state[f"a-{name}"] = value


def take_widgets() -> None:
    """What the sliders and the switch hold is asked from now on."""
    held = st.session_state
    look = tuple(float(held.get(f"a-{name}", 1.0)) for name in SIDES)
    if not sum(look):
        look = (1.0, 1.0, 1.0)
    ask(replace(asked(), look=look, models=bool(held.get("a-models"))))  # type: ignore[arg-type]  # three numbers


def num_shown() -> int:
    """How many hits or products to show."""
    return int(st.session_state.get("shown", PAGE_SIZE))


def show_more() -> None:
    """One page more."""
    st.session_state["shown"] = num_shown() + PAGE_SIZE


def reset_paging() -> None:
    """Another answer begins with its first page."""
    st.session_state["shown"] = PAGE_SIZE


# --- the way here -----------------------------------------------------------------------------------------------------


def history() -> tuple[Params, ...]:
    """The addresses of the searches so far, the oldest first; the last one is being shown."""
    kept: tuple[Params, ...] = st.session_state.get("history", ())
    return kept


def undo(overview: Overview) -> None:
    """Back to the search before this one."""
    go_to(len(history()) - 2, overview)


def go_to(place: int, overview: Overview) -> None:
    """Show a search of the history again; what came after it is forgotten. Below 0 it is the start page."""
    kept = history()[: place + 1] if place >= 0 else ()
    st.session_state["history"] = kept
    _apply(kept[-1] if kept else {}, overview)
    st.session_state["visit"] = st.session_state.get("visit", 0) + 1
    reset_paging()


def _apply(params: Params, overview: Overview) -> list[str]:
    """Take over an address. Returns what it names and the shop does not have."""
    wanted, unread = Asked.read(params)
    chosen, unknown = read_params(params, overview)
    _put(wanted)
    select(chosen, overview)
    return unread + unknown


# --- the filters ------------------------------------------------------------------------------------------------------


def selection(overview: Overview) -> FilterSelection:
    """The filters as they are now: what the widgets of the sidebar hold."""
    held = st.session_state
    levels = [held.get(f"level-{level}") for level in range(LEVELS)]
    several = len(overview.prices) > 1
    currency = _currency(overview)
    ends, price = overview.prices.get(currency), held.get("f-price")
    moved = bool(price and ends and ends[0] < ends[1] and tuple(price) != price_bounds(ends))
    return FilterSelection(
        category=next((path for path in reversed(levels) if path), ""),
        choices={name: tuple(held.get(f"f-{name}") or ()) for name in overview.fields},
        in_stock=bool(held.get("f-in_stock")),
        currency=currency if moved or several else "",
        price=tuple(price) if moved and price else None,
    )


def select(chosen: FilterSelection, overview: Overview) -> None:
    """Put filters into the widgets; only before these are drawn, or in a callback."""
    held = st.session_state
    parts = chosen.category.split(SEPARATOR) if chosen.category else []
    for level in range(LEVELS):
        held[f"level-{level}"] = SEPARATOR.join(parts[: level + 1]) if level < len(parts) else None
    for name in overview.fields:
        held[f"f-{name}"] = list(chosen.choices.get(name, ()))
    held["f-in_stock"] = chosen.in_stock
    held["f-currency"] = chosen.currency or None
    _set_price(chosen.price, overview)
    reset_paging()


def _currency(overview: Overview) -> str:
    """The chosen currency, or the only one."""
    if len(overview.prices) > 1:
        return str(st.session_state.get("f-currency") or "")
    return next(iter(overview.prices), "")


def _set_price(price: tuple[float, float] | None, overview: Overview) -> None:
    """Put the price slider to a range, or to all prices of the chosen currency."""
    ends = overview.prices.get(_currency(overview))
    st.session_state["f-price"] = price or (price_bounds(ends) if ends else None)


def reset_price(overview: Overview) -> None:
    """Another currency has other prices: the slider stands on all of them."""
    _set_price(None, overview)
    reset_paging()


def drop_filter(name: str, value: str, overview: Overview) -> None:
    """Take one filter away, or with an empty ``name`` all of them."""
    now = selection(overview)
    if not name:
        now = FilterSelection()
    elif name in overview.fields:
        kept = tuple(other for other in now.choices.get(name, ()) if other != value)
        now = replace(now, choices={**now.choices, name: kept})
    elif name == "currency":
        now = replace(now, currency="", price=None)
    else:
        now = replace(now, **{name: getattr(FilterSelection(), name)})
    select(now, overview)


# --- the address ------------------------------------------------------------------------------------------------------


def from_url(overview: Overview) -> list[str]:
    """Take over what the address asks for, when it was not this page that wrote it: a link, a reload, the browser's
    Back.

    Also when the shop's own values have changed since: the address is where the filters are kept.

    Returns:
        What the address asks for and this shop does not have.
    """
    params = {name: st.query_params.get_all(name) for name in st.query_params}
    visited = st.session_state.get("url") != params
    # Products came or went: a widget must not hold what it can no longer offer.
    offer = (overview.values, overview.first, overview.more, overview.prices)
    unknown: list[str] = []
    if visited or st.session_state.get("offer") != offer:
        st.session_state["offer"] = offer
        unknown = _apply(params, overview)
    if visited:
        st.session_state["url"] = params
        st.session_state["visit"] = st.session_state.get("visit", 0) + 1
        places = [place for place, each in enumerate(history()) if each == params]
        if places:  # the browser's Back
            st.session_state["history"] = history()[: places[-1] + 1]
    return unknown


def to_url(chosen: FilterSelection) -> None:
    """Write what is being shown into the address, and a search that is new into the history."""
    params = {**chosen.params(), **asked().params()}
    if params != {name: st.query_params.get_all(name) for name in st.query_params}:
        st.query_params.from_dict(params)
    st.session_state["url"] = params
    if asked() and (not history() or history()[-1] != params):
        st.session_state["history"] = (*history(), params)[-MOST_KEPT:]


def invalidate() -> None:
    """Read the address anew next time: a page that shows no filters makes Streamlit forget them."""
    st.session_state.pop("url", None)
