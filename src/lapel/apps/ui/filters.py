"""The filters: the sidebar's widgets with their counts, and the row of those in use above the results.

Only fields that the shop has are offered, and only values that some product has, the other filters applied: that is
what a count says.
"""

from __future__ import annotations

import streamlit as st

from lapel.apps.ui import script, state
from lapel.apps.ui.cache import count, facet_counts
from lapel.apps.ui.lang import amount, field_name, t
from lapel.apps.ui.selection import FilterSelection, escape, plain_price, price_bounds
from lapel.apps.ui.state import LEVELS, SEPARATOR
from lapel.apps.ui.swatches import swatch
from lapel.service import Overview, Store, by_size

CLEAR = ("gender", "brand", "colour", "season")  # fields whose values need no name beside them
FIRST_VALUES = 12  # of a field to show before "all"; more is a wall of buttons
MAX_BUTTONS = 60  # values that still are buttons; more are a list to type into
MORE = "more-fields"  # whether the fields of "More filters" are shown


def sidebar(store: Store, overview: Overview) -> FilterSelection:
    """Show the filters. Returns what they hold."""
    now = state.selection(overview)
    with st.sidebar, st.container(key="filters"):
        top = st.container(
            key="filters-head", horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
        )
        top.subheader(t("filters.title"), anchor=False)
        top.button(
            t("filters.clear"),
            type="tertiary",
            disabled=not now.filter(),
            on_click=state.drop_filter,
            args=("", "", overview),
            key="clear-side",
        )
        if "category" in overview.values:
            _category(store, overview, now)
        for name in overview.first:
            _choice(store, overview, now, name)
        _price(store, overview, now)
        _stock(store, overview, now)
        _more(store, overview, now)
        if not overview.values and not overview.prices:
            st.caption(t("filters.nothing"))
        now = state.selection(overview)
        script.done_button(count(store, now.filter()))
    return now


def used(overview: Overview, selection: FilterSelection) -> list[tuple[str, str, str]]:
    """Field, value and words of every filter in use."""
    category, currency = selection.category, selection.currency
    found = [("category", category, category.rpartition(SEPARATOR)[2])] if category else []
    found += [(name, value, _chip(name, value)) for name, values in selection.choices.items() for value in values]
    if selection.price:
        low, high = map(plain_price, selection.price)
        found.append(("price", "", f"{low} – {high} {currency}"))
    if currency and len(overview.prices) > 1:
        found.append(("currency", currency, t("filters.prices_in", currency=currency)))
    if selection.in_stock:
        found.append(("in_stock", "", t("filters.in_stock")))
    return found


def _chip(name: str, value: str) -> str:
    """A value that stands alone: what is red needs no more words, a bare yes or 36 does."""
    return value if name in CLEAR else f"{field_name(name)}: {_readable(value)}"


def _readable(value: str) -> str:
    """A value for people."""
    return value.capitalize() if value in ("yes", "no", "true", "false") else value


def _with_count(text: str, products: int) -> str:
    return f"{escape(text)} :gray[{amount(products)}]"


def _category(store: Store, overview: Overview, selection: FilterSelection) -> None:
    """One box for each level of the path, each below the choice of the one before."""
    counts = facet_counts(store, "category", selection.filter(without="category"))
    above = ""
    for level in range(LEVELS):
        prefix = above + SEPARATOR if above else ""
        below = sorted(
            path
            for path in overview.values["category"]
            if path.startswith(prefix)
            and path.count(SEPARATOR) == level
            and (counts.get(path) or f"{selection.category}{SEPARATOR}".startswith(f"{path}{SEPARATOR}"))
        )
        if not below:
            break
        chosen = st.selectbox(
            t("filters.category") if not level else t("filters.kind_of", what=above.rpartition(SEPARATOR)[2]),
            below,
            index=None,
            key=f"level-{level}",
            placeholder=t("filters.all_categories") if not level else t("filters.all_kinds"),
            format_func=lambda path: f"{path.rpartition(SEPARATOR)[2]}  ·  {amount(counts.get(path, 0))}",
            label_visibility="visible" if not level else "collapsed",
            on_change=_clear_deeper_levels,
            args=(level,),
        )
        if not chosen:
            break
        above = chosen


def _clear_deeper_levels(level: int) -> None:
    """Another choice at one level of the path ends the choices below it."""
    for deeper in range(level + 1, LEVELS):
        st.session_state[f"level-{deeper}"] = None
    state.reset_paging()


def _choice(store: Store, overview: Overview, selection: FilterSelection, name: str) -> None:
    """The values of one field that some product has, the most frequent first, or sizes from small to large."""
    counts = facet_counts(store, name, selection.filter(without=name))
    chosen = selection.choices.get(name, ())
    offered = [value for value in overview.values[name] if counts.get(value) or value in chosen]
    if not offered:
        return
    key, label = f"f-{name}", field_name(name)
    if len(overview.values[name]) > MAX_BUTTONS:
        if st.session_state.get(f"offer-{key}") != offered:  # Streamlit forgets a choice when what is offered changes
            st.session_state[key] = list(chosen)
            st.session_state[f"offer-{key}"] = offered
        st.multiselect(
            label, offered, key=key, on_change=state.reset_paging, placeholder=t("filters.choose"),
            format_func=lambda value: f"{_readable(value)}  ·  {amount(counts.get(value, 0))}",
        )  # fmt: skip
        return
    all_key = f"all-{name}"
    shown = offered
    if len(offered) > FIRST_VALUES + 2 and not st.session_state.get(all_key):
        shown = offered[:FIRST_VALUES]
    values = by_size(name, [*shown, *(value for value in chosen if value not in shown)])
    with st.container(key=f"choice-{name}", gap="xsmall"):
        if name == "colour":
            _dots(values)
        st.pills(
            label, values, selection_mode="multi", key=key, on_change=state.reset_paging,
            format_func=lambda value: _with_count(_readable(value), counts.get(value, 0)),
        )  # fmt: skip
        if len(shown) < len(offered):
            st.button(
                t("filters.all", n=len(offered)),
                type="tertiary",
                key=f"more-{name}",
                on_click=_set,
                args=(all_key, True),
            )


def _price(store: Store, overview: Overview, selection: FilterSelection) -> None:
    """A slider over the prices of one currency, chosen first where there are several."""
    prices = overview.prices
    currency = next(iter(prices), "")
    if len(prices) > 1:
        currency = selection.currency
        counts = facet_counts(store, "currency", selection.filter(without="currency"))
        offered = [each for each in prices if counts.get(each) or each == currency]
        if offered:
            st.pills(
                t("filters.currency"), offered, key="f-currency", on_change=state.reset_price, args=(overview,),
                format_func=lambda each: _with_count(each, counts.get(each, 0)),
            )  # fmt: skip
    if currency and prices[currency][0] < prices[currency][1]:
        low, high = price_bounds(prices[currency])
        st.slider(
            t("filters.price", currency=currency),
            low,
            high,
            key="f-price",
            step=1.0,
            format="%.0f",
            on_change=state.reset_paging,
        )


def _stock(store: Store, overview: Overview, selection: FilterSelection) -> None:
    if "in_stock" in overview.values:
        products = facet_counts(store, "in_stock", selection.filter(without="in_stock")).get("yes", 0)
        st.toggle(
            t("filters.in_stock_only", n=products),
            key="f-in_stock",
            on_change=state.reset_paging,
            disabled=not products and not selection.in_stock,
        )


def _more(store: Store, overview: Overview, selection: FilterSelection) -> None:
    """The other fields, once they are asked for; those in use stay to be seen."""
    shown = bool(st.session_state.get(MORE))
    for name in overview.more:
        if shown or selection.choices.get(name):
            _choice(store, overview, selection, name)
    if overview.more:
        label = t("filters.fewer") if shown else t("filters.more", n=len(overview.more))
        icon = ":material/expand_less:" if shown else ":material/expand_more:"
        st.button(label, type="tertiary", icon=icon, key="more-filters", on_click=_set, args=(MORE, not shown))


def _set(key: str, shown: bool) -> None:
    st.session_state[key] = shown


def _dots(values: list[str]) -> None:
    """A dot of its colour before each colour's name."""
    button = ".st-key-f-colour button:nth-of-type"
    rules = [
        f"{button}({place})::before {{ background: {colour}; display: inline-block; }}"
        for place, colour in enumerate(map(swatch, values), 1)
        if colour
    ]
    st.html(f"<style>{' '.join(rules) or '/* none */'}</style>")
