"""The filters: the sidebar's widgets with their counts, and the row of those in use above the results.

Only fields that the shop has are offered, and only values that some product has, the other filters applied: that is
what a count says.
"""

from __future__ import annotations

import streamlit as st

from lapel.apps.ui import script, state
from lapel.apps.ui.facets import FIELDS, by_size, label
from lapel.apps.ui.shop import Shop, facet_counts, passing
from lapel.apps.ui.state import BETWEEN, LEVELS
from lapel.apps.ui.swatches import swatch
from lapel.apps.ui.wanted import Wanted, escape, plain, price_bounds
from lapel.engine.retrieval import SearchEngine

FIRST = 12  # values of a field to show before "all"; more is a wall of buttons
LISTED = 60  # values that still are buttons; more are a list to type into
MORE = "more-fields"  # whether the fields of "More filters" are shown


def sidebar(engine: SearchEngine, shop: Shop) -> Wanted:
    """Draw the filters. Returns what they hold."""
    now = state.wanted(shop)
    with st.sidebar, st.container(key="filters"):
        top = st.container(
            key="filters-head", horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
        )
        top.html("<h2 class='lapel-side'>Filters</h2>")
        top.button(
            "Clear all",
            type="tertiary",
            disabled=not now.filter(),
            on_click=state.drop,
            args=("", "", shop),
            key="clear-side",
        )
        if "category" in shop.values:
            _category(engine, shop, now)
        for name in shop.first:
            _choice(engine, shop, now, name)
        _price(engine, shop, now)
        _stock(engine, shop, now)
        _more(engine, shop, now)
        if not shop.values and not shop.prices:
            st.caption(
                "The products of this shop have nothing to filter by: no category, colour, brand, size or price."
            )
        now = state.wanted(shop)
        script.done(passing(engine, now.filter()))
    return now


def chips(shop: Shop, now: Wanted) -> None:
    """The filters in use, each a button that takes it away."""
    used = [("category", now.category, now.category.rpartition(BETWEEN)[2])] if now.category else []
    used += [(name, value, _said(name, value)) for name, values in now.choices.items() for value in values]
    if now.price:
        used.append(("price", "", f"{plain(now.price[0])} – {plain(now.price[1])} {now.currency}"))
    if now.currency and len(shop.prices) > 1:
        used.append(("currency", now.currency, f"Prices in {now.currency}"))
    if now.in_stock:
        used.append(("in_stock", "", "In stock"))
    if not used:
        return
    with st.container(key="chips", horizontal=True, gap="small"):
        for name, value, text in used:
            st.button(
                escape(text), icon=":material/close:", icon_position="right", key=f"drop-{name}-{value}",
                on_click=state.drop, args=(name, value, shop),
            )  # fmt: skip
        if len(used) > 1:
            st.button("Clear all", type="tertiary", key="drop-all", on_click=state.drop, args=("", "", shop))


def _grey(count: int) -> str:
    return f" :gray[{count:,}]"


def _category(engine: SearchEngine, shop: Shop, now: Wanted) -> None:
    """One box for each level of the path, each below the choice of the one before."""
    counts = facet_counts(engine, "category", now.filter(without="category"))
    above = ""
    for level in range(LEVELS):
        prefix = above + BETWEEN if above else ""
        below = sorted(
            path
            for path in shop.values["category"]
            if path.startswith(prefix)
            and path.count(BETWEEN) == level
            and (counts.get(path) or f"{now.category}{BETWEEN}".startswith(f"{path}{BETWEEN}"))
        )
        if not below:
            break
        key = f"level-{level}"
        chosen = st.selectbox(
            "Category" if not level else f"Kind of {above.rpartition(BETWEEN)[2].lower()}",
            below,
            index=None,
            key=key,
            placeholder="All categories" if not level else "All kinds",
            format_func=lambda path: f"{path.rpartition(BETWEEN)[2]}  ·  {counts.get(path, 0):,}",
            label_visibility="visible" if not level else "collapsed",
            on_change=_forget_below,
            args=(level,),
        )
        if not chosen:
            break
        above = chosen


def _forget_below(level: int) -> None:
    """Another choice at one level of the path ends the choices below it."""
    for deeper in range(level + 1, LEVELS):
        st.session_state[f"level-{deeper}"] = None
    state.from_the_top()


def _choice(engine: SearchEngine, shop: Shop, now: Wanted, name: str) -> None:
    """The values of one field that some product has, the most frequent first, or sizes from small to large."""
    counts = facet_counts(engine, name, now.filter(without=name))
    chosen = now.choices.get(name, ())
    every = [value for value in shop.values[name] if counts.get(value) or value in chosen]
    if not every:
        return
    key, said = f"f-{name}", label(name)
    if len(shop.values[name]) > LISTED:
        if st.session_state.get(f"offer-{key}") != every:  # Streamlit forgets a choice when what is offered changes
            st.session_state[key] = list(chosen)
            st.session_state[f"offer-{key}"] = every
        st.multiselect(
            said, every, key=key, on_change=state.from_the_top, placeholder="Choose, or type a name",
            format_func=lambda value: f"{_value(value)}  ·  {counts.get(value, 0):,}",
        )  # fmt: skip
        return
    open_key = f"all-{name}"
    first = every if st.session_state.get(open_key) or len(every) <= FIRST + 2 else every[:FIRST]
    values = by_size(name, [*first, *(value for value in chosen if value not in first)])
    with st.container(key=f"choice-{name}", gap="xsmall"):
        if name == "colour":
            _dots(values)
        st.pills(
            said, values, selection_mode="multi", key=key, on_change=state.from_the_top,
            format_func=lambda value: escape(_value(value)) + _grey(counts.get(value, 0)),
        )  # fmt: skip
        if len(first) < len(every):
            st.button(f"All {len(every)}", type="tertiary", key=f"more-{name}", on_click=_open, args=(open_key, True))


def _value(value: str) -> str:
    """A value for people."""
    return value.capitalize() if value in ("yes", "no", "true", "false") else value


def _said(name: str, value: str) -> str:
    """A value that stands alone: what is red needs no more words, a bare yes or 36 does."""
    return value if name in FIELDS else f"{label(name)}: {_value(value)}"


def _price(engine: SearchEngine, shop: Shop, now: Wanted) -> None:
    """A slider over the prices of one currency, chosen first where there are several."""
    currency = next(iter(shop.prices), "")
    if len(shop.prices) > 1:
        counts = facet_counts(engine, "currency", now.filter(without="currency"))
        offered = [each for each in shop.prices if counts.get(each) or each == now.currency]
        if offered:
            st.pills(
                "Prices in", offered, key="f-currency", on_change=state.other_currency, args=(shop,),
                format_func=lambda each: escape(each) + _grey(counts.get(each, 0)),
            )  # fmt: skip
        currency = now.currency
    if currency and shop.prices[currency][0] < shop.prices[currency][1]:
        low, high = price_bounds(shop.prices[currency])
        st.slider(
            f"Price in {currency}", low, high, key="f-price", step=1.0, format="%.0f", on_change=state.from_the_top
        )


def _stock(engine: SearchEngine, shop: Shop, now: Wanted) -> None:
    if "in_stock" in shop.values:
        count = facet_counts(engine, "in_stock", now.filter(without="in_stock")).get("yes", 0)
        st.toggle(
            f"In stock only · {count:,}",
            key="f-in_stock",
            on_change=state.from_the_top,
            disabled=not count and not now.in_stock,
        )


def _more(engine: SearchEngine, shop: Shop, now: Wanted) -> None:
    """The other fields, once they are asked for; those in use stay to be seen."""
    shown = bool(st.session_state.get(MORE))
    for name in shop.more:
        if shown or now.choices.get(name):
            _choice(engine, shop, now, name)
    if shop.more:
        words = "Fewer filters" if shown else f"More filters · {len(shop.more)}"
        icon = ":material/expand_less:" if shown else ":material/expand_more:"
        st.button(words, type="tertiary", icon=icon, key="more-filters", on_click=_open, args=(MORE, not shown))


def _open(key: str, shown: bool) -> None:
    st.session_state[key] = shown


def _dots(values: list[str]) -> None:
    """A dot of its colour before each colour's name."""
    rules = [
        f".st-key-f-colour button:nth-of-type({place})::before {{ background: {swatch(value)}; display: inline-block;"
        f" }}"
        for place, value in enumerate(values, 1)
        if swatch(value)
    ]
    st.html(f"<style>{' '.join(rules) or '/* none */'}</style>")
