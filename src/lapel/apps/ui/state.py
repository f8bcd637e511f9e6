"""What a visitor is looking at: the trail of queries and the filters, kept in the session and, as far as they can be
shared, in the URL.

The trail begins with a photo or a product and grows with every "more like this". A photo stays in the session: only its
vector
and a small picture are kept. Products and filters stand in the URL, so a link or a reload shows the same page.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lapel.apps.ui.shop import Shop
from lapel.apps.ui.wanted import PRODUCT, Wanted, price_bounds, read_params

PAGE_SIZE = 20  # hits at first, and with each "show more": four rows of five
LEVELS = 4  # of a category path that can be chosen one below the other
BETWEEN = " > "  # the levels of a category path


@dataclass(frozen=True)
class Step:
    """One query of the trail: a product, or a photo.

    Attributes:
        product_id: The product; empty for a photo.
        label: What the trail calls a photo.
        vector: (dim,) float32, the photo's unit vector; None for a product.
        fingerprint: The model that made the vectors; empty for a product.
        thumb: The photo as a small JPEG; empty for a product.
        product: (dim,) float32, the unit vector of what was found in the photo; None when nothing was.
        product_thumb: What was found, on white, as a small JPEG.
        whole: Search for the whole photo all the same.
    """

    product_id: str = ""
    label: str = ""
    vector: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    fingerprint: str = field(default="", compare=False, repr=False)
    thumb: bytes = field(default=b"", repr=False)
    product: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    product_thumb: bytes = field(default=b"", compare=False, repr=False)
    whole: bool = False

    @property
    def asked(self) -> NDArray[np.float32] | None:
        """(dim,) the vector of what is searched for in a photo."""
        return self.vector if self.whole or self.product is None else self.product


# --- the trail --------------------------------------------------------------------------------------------------------


def trail() -> tuple[Step, ...]:
    """The queries so far; empty on the start page. The last one is being shown."""
    steps: tuple[Step, ...] = st.session_state.get("trail", ())
    return steps


def go(steps: tuple[Step, ...]) -> None:
    """Show the last of ``steps``, from the top of the page."""
    st.session_state["trail"] = steps
    st.session_state["shown"] = PAGE_SIZE
    st.session_state["visit"] = st.session_state.get("visit", 0) + 1


def follow(product_id: str) -> None:
    """One step further, or back to where this product already was."""
    steps = trail()
    known = next((i for i, step in enumerate(steps) if step.product_id == product_id), None)
    go((*steps, Step(product_id)) if known is None else steps[: known + 1])


def renew(step: Step) -> None:
    """Put a step in the place of the last one: the same photo, looked at by another model."""
    st.session_state["trail"] = (*trail()[:-1], step)


def turn() -> None:
    """From the product of the last photo to the whole of it, or back."""
    renew(replace(trail()[-1], whole=not trail()[-1].whole))
    st.session_state["shown"] = PAGE_SIZE


def back_to(length: int) -> None:
    """Back to the first ``length`` steps; 0 is the start page."""
    go(trail()[:length])


def shown() -> int:
    """How many hits or products to show."""
    return int(st.session_state.get("shown", PAGE_SIZE))


def show_more() -> None:
    """One page more."""
    st.session_state["shown"] = shown() + PAGE_SIZE


# --- the filters ------------------------------------------------------------------------------------------------------


def wanted(shop: Shop) -> Wanted:
    """The filters as they are now: what the widgets of the sidebar hold."""
    held = st.session_state
    levels = [held.get(f"level-{level}") for level in range(LEVELS)]
    several = len(shop.prices) > 1
    currency = (held.get("f-currency") or "") if several else next(iter(shop.prices), "")
    ends, price = shop.prices.get(currency), held.get("f-price")
    moved = bool(price and ends and ends[0] < ends[1] and tuple(price) != price_bounds(ends))
    return Wanted(
        category=next((path for path in reversed(levels) if path), ""),
        choices={name: tuple(held.get(f"f-{name}") or ()) for name in shop.fields},
        in_stock=bool(held.get("f-in_stock")),
        currency=currency if moved or several else "",
        price=tuple(price) if moved and price else None,
    )


def want(choice: Wanted, shop: Shop) -> None:
    """Put filters into the widgets; only before these are drawn, or in a callback."""
    held = st.session_state
    parts = choice.category.split(BETWEEN) if choice.category else []
    for level in range(LEVELS):
        held[f"level-{level}"] = BETWEEN.join(parts[: level + 1]) if level < len(parts) else None
    for name in shop.fields:
        held[f"f-{name}"] = list(choice.choices.get(name, ()))
    held["f-in_stock"] = choice.in_stock
    held["f-currency"] = choice.currency or None
    _set_price(choice.price, shop)
    held["shown"] = PAGE_SIZE


def _set_price(price: tuple[float, float] | None, shop: Shop) -> None:
    """Put the price slider to a range, or to all prices of the chosen currency."""
    held = st.session_state
    currency = (held.get("f-currency") or "") if len(shop.prices) > 1 else next(iter(shop.prices), "")
    ends = shop.prices.get(currency)
    held["f-price"] = price or (price_bounds(ends) if ends else None)


def other_currency(shop: Shop) -> None:
    """Another currency has other prices: the slider stands on all of them."""
    _set_price(None, shop)
    from_the_top()


def from_the_top() -> None:
    """Another answer begins with its first page."""
    st.session_state["shown"] = PAGE_SIZE


def drop(name: str, value: str, shop: Shop) -> None:
    """Take one filter away, or with an empty ``name`` all of them."""
    now = wanted(shop)
    if not name:
        now = Wanted()
    elif name in shop.fields:
        kept = tuple(other for other in now.choices.get(name, ()) if other != value)
        now = replace(now, choices={**now.choices, name: kept})
    elif name == "currency":
        now = replace(now, currency="", price=None)
    else:
        now = replace(now, **{name: getattr(Wanted(), name)})
    want(now, shop)


# --- the URL ----------------------------------------------------------------------------------------------------------


def from_url(shop: Shop) -> list[str]:
    """Take over what the URL asks for, when it was not this page that wrote it: a link, a reload, the browser's Back.

    Also when the shop's own values have changed since: the URL is where the filters are kept.

    Returns:
        What the URL asks for and this shop does not have.
    """
    params = {name: st.query_params.get_all(name) for name in st.query_params}
    visited = st.session_state.get("url") != params
    # Products came or went: a widget must not hold what it can no longer offer.
    offer = (shop.values, shop.first, shop.more, shop.prices)
    if visited or st.session_state.get("offer") != offer:
        st.session_state["offer"] = offer
        choice, unknown = read_params(params, shop)
        want(choice, shop)
    else:
        unknown = []
    if visited:
        st.session_state["url"] = params
        _visit(params.get(PRODUCT, [""])[-1])
    return unknown


def _visit(product_id: str) -> None:
    """Make the trail end where the URL says."""
    steps = trail()
    if product_id:
        known = next((i for i, step in enumerate(steps) if step.product_id == product_id), None)
        go((Step(product_id),) if known is None else steps[: known + 1])
    elif steps and steps[-1].product_id:
        go(steps[:1] if not steps[0].product_id else ())


def to_url(choice: Wanted) -> None:
    """Write what is being shown into the URL, as far as it can be shared."""
    params = choice.params()
    steps = trail()
    if steps and steps[-1].product_id:
        params[PRODUCT] = [steps[-1].product_id]
    if params != {name: st.query_params.get_all(name) for name in st.query_params}:
        st.query_params.from_dict(params)
    st.session_state["url"] = params


def distrust() -> None:
    """Read the URL anew next time: a page that shows no filters makes Streamlit forget them."""
    st.session_state.pop("url", None)
