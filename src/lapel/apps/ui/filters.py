"""The filters: the sidebar's widgets with their counts, and the row of those in use above the results.

Only fields that the shop has are offered. A count says how many products would be left, the other filters applied.
"""

from __future__ import annotations

import streamlit as st

from lapel.apps.ui import state
from lapel.apps.ui.shop import Shop, facet_counts
from lapel.apps.ui.state import BETWEEN, CHOICES, LEVELS, Wanted, escape
from lapel.engine.search import SearchEngine

FIRST = 12  # values of a field to show before "all"; more is a wall of buttons

# What shops' colour names look like, for the dots; a name that is not here has no dot.
SWATCHES = {
    "amber": "#e0a030", "apricot": "#f6b98a", "aqua": "#4cc5c9", "beige": "#dcc9a8", "black": "#17171a", "blue": "#2f5fb3",
    "bronze": "#8c6239", "brown": "#6b4428", "burgundy": "#6d1a2c", "camel": "#b98a55", "charcoal": "#3c4044",
    "coffee brown": "#4b3021", "copper": "#b06a3b", "coral": "#f07a63", "cream": "#f5ecd7", "denim": "#45648c",
    "blush": "#e9c1bc", "champagne": "#ead9bd", "cognac": "#94522d", "dark": "#2b2b2e", "ecru": "#e9dfc8", "emerald": "#16805a", "fluorescent green": "#7cf03a", "forest green": "#23492f", "fuchsia": "#d0267e", "gold": "#c9a13b",
    "green": "#2f8047", "grey": "#8b8f94", "gray": "#8b8f94", "grey melange": "#a9adb1", "gunmetal": "#4b4f54", "indigo": "#33336b", "ivory": "#f7f2e3",
    "khaki": "#8f8455", "lavender": "#b3a2d8", "light blue": "#9cc3e6", "light grey": "#cfd1d3", "mid blue": "#5b86b8", "lilac": "#c0a5d6", "lime": "#b5d334",
    "lime green": "#8fce3a", "magenta": "#c22f86", "maroon": "#651f2b", "mauve": "#a98097", "metallic": "#a3a7ad",
    "mint": "#a5dcc3", "mushroom brown": "#a1907d", "mustard": "#d0a02c", "natural": "#e6dac3", "navy": "#1f2a4d", "navy blue": "#1f2a4d",
    "nude": "#e3c0a5", "off white": "#f4f1e8", "olive": "#6c6b35", "orange": "#e57c23", "peach": "#f8bf9c",
    "petrol": "#1d5563", "pink": "#ec93ae", "plum": "#5f2a4c", "purple": "#6d3f96", "red": "#c22f34", "rose": "#d9798c", "rose gold": "#c98f7f",
    "royal blue": "#2447b0", "rust": "#a8502a", "sage": "#9caf8b", "salmon": "#f29380", "sand": "#d8c29c",
    "sea green": "#3c8f77", "silver": "#c3c7cc", "skin": "#e5bd9e", "sky": "#8cc4e8", "sky blue": "#8cc4e8",
    "steel": "#8595a1", "tan": "#c29a6b", "taupe": "#8c7f72", "teal": "#1c7478", "terracotta": "#bd5f41", "tortoise": "#6a4423",
    "turquoise": "#37b5b0", "turquoise blue": "#2aa9c0", "violet": "#7a4fb0", "white": "#ffffff", "wine": "#5e1b2d",
    "yellow": "#f0c93a",
    "multi": "conic-gradient(#c22f34, #f0c93a, #2f8047, #2f5fb3, #6d3f96, #c22f34)",
}  # fmt: skip


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
        for name in CHOICES:
            if name in shop.values:
                _choice(engine, shop, now, name)
        if shop.price:
            low, high = state.price_bounds(shop.price)
            unit = f" in {shop.currency}" if shop.currency else ""
            st.slider(f"Price{unit}", low, high, key="f-price", step=1.0, format="%.0f", on_change=_from_the_top)
        if "in_stock" in shop.values:
            count = facet_counts(engine, "in_stock", now.filter(without="in_stock")).get("yes", 0)
            st.toggle(f"In stock only · {count:,}", key="f-in_stock", on_change=_from_the_top)
        if not shop.values and not shop.price:
            st.caption("The products of this shop have no category, colour, season or price to filter by.")
    return state.wanted(shop)


def chips(shop: Shop, now: Wanted) -> None:
    """The filters in use, each a button that takes it away."""
    used = [("category", now.category, now.category.rpartition(BETWEEN)[2])] if now.category else []
    used += [(name, value, value) for name, values in now.choices.items() for value in values]
    if now.price:
        used.append(("price", "", f"{state.plain(now.price[0])} – {state.plain(now.price[1])} {shop.currency}".strip()))
    if now.in_stock:
        used.append(("in_stock", "", "In stock"))
    if not used:
        return
    with st.container(key="chips", horizontal=True, gap="small"):
        for name, value, label in used:
            st.button(
                escape(label), icon=":material/close:", icon_position="right", key=f"drop-{name}-{value}",
                on_click=state.drop, args=(name, value, shop),
            )  # fmt: skip
        if len(used) > 1:
            st.button("Clear all", type="tertiary", key="drop-all", on_click=state.drop, args=("", "", shop))


def _grey(count: int) -> str:
    return f" :gray[{count:,}]"


def _from_the_top() -> None:
    st.session_state["shown"] = state.PAGE_SIZE


def _category(engine: SearchEngine, shop: Shop, now: Wanted) -> None:
    """One box for each level of the path, each below the choice of the one before."""
    counts = facet_counts(engine, "category", now.filter(without="category"))
    above = ""
    for level in range(LEVELS):
        prefix = above + BETWEEN if above else ""
        below = sorted(
            path for path in shop.values["category"] if path.startswith(prefix) and path.count(BETWEEN) == level
        )
        if not below:
            break
        chosen = st.selectbox(
            "Category" if not level else f"Kind of {above.rpartition(BETWEEN)[2].lower()}",
            below,
            index=None,
            key=f"f-category-{level}",
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
        st.session_state[f"f-category-{deeper}"] = None
    _from_the_top()


def _choice(engine: SearchEngine, shop: Shop, now: Wanted, name: str) -> None:
    """The values of one field as buttons, the most frequent first."""
    counts = facet_counts(engine, name, now.filter(without=name))
    every = shop.values[name]
    open_key = f"all-{name}"
    first = every if st.session_state.get(open_key) or len(every) <= FIRST + 2 else every[:FIRST]
    values = [*first, *(value for value in now.choices.get(name, ()) if value not in first)]
    if name == "colour":
        _dots(values)
    with st.container(key=f"choice-{name}", gap="xsmall"):
        st.pills(
            name.capitalize(), values, selection_mode="multi", key=f"f-{name}", on_change=_from_the_top,
            format_func=lambda value: escape(value) + _grey(counts.get(value, 0)),
        )  # fmt: skip
        if len(first) < len(every):
            st.button(
                f"All {len(every)} {name}s", type="tertiary", key=f"more-{name}", on_click=_open, args=(open_key,)
            )


def _open(key: str) -> None:
    st.session_state[key] = True


def swatch(name: str) -> str:
    """How a colour's name looks, as CSS; ``Bottle Green`` is shown as green. Empty when nobody knows."""
    known = SWATCHES.get(name.casefold()) or SWATCHES.get(name.casefold().rpartition(" ")[2])
    return known or ""


def _dots(values: list[str]) -> None:
    """A dot of its colour before each colour's name."""
    rules = [
        f".st-key-f-colour button:nth-of-type({place})::before {{ background: {swatch(value)}; display: inline-block; }}"
        for place, value in enumerate(values, 1)
        if swatch(value)
    ]
    st.html(f"<style>{' '.join(rules) or '/* none */'}</style>")
