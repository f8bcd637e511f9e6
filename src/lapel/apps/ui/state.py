"""What one visitor's session holds: the history of queries and the filters, beside the URL, which says what is shown.

The history is only in the session: a query by a photo cannot stand in a URL, and of the photo only its vectors and a
small copy are kept. Products and filters stand in the URL, so a link or a reload shows the same page.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lapel.apps.ui.selection import PRODUCT, FilterSelection, price_bounds, read_params
from lapel.core.types import ColourReading
from lapel.service import Overview

PAGE_SIZE = 20  # hits at first, and with each "show more": four rows of five
LEVELS = 4  # of a category path that can be chosen one below the other
SEPARATOR = " > "  # between the levels of a category path


@dataclass(frozen=True)
class HistoryEntry:
    """One query of a visitor: a product of the catalogue, or a photo of their own.

    Attributes:
        product_id: The product; empty for a photo.
        label: What the history calls a photo.
        whole: (dim,) float32, the unit vector of the whole photo; None for a product.
        product: (dim,) float32, the mean direction of the whole photo and the product found in it; None without one.
        fingerprint: The model that made the vectors; empty for a product.
        tile: The photo as a small JPEG; empty for a product.
        product_tile: The product found in it, on white, as a small JPEG.
        use_whole: Search for the whole photo although a product was found.
        read: The colours of the product, or of the whole where none was found; None where none could be read.
    """

    product_id: str = ""
    label: str = ""
    whole: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    product: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    fingerprint: str = field(default="", compare=False, repr=False)
    tile: bytes = field(default=b"", repr=False)
    product_tile: bytes = field(default=b"", compare=False, repr=False)
    use_whole: bool = False
    read: ColourReading | None = field(default=None, compare=False, repr=False)

    @property
    def shows_product(self) -> bool:
        """Whether what was found in the photo is searched for, not all of it."""
        return self.product is not None and not self.use_whole

    @property
    def vector(self) -> NDArray[np.float32] | None:
        """(dim,) what is searched for in a photo."""
        return self.product if self.shows_product else self.whole

    @property
    def colours(self) -> ColourReading | None:
        """The colours of what is searched for."""
        return None if self.product is not None and self.use_whole else self.read


# --- the history ------------------------------------------------------------------------------------------------------


def history() -> tuple[HistoryEntry, ...]:
    """The queries so far; empty on the start page. The last one is being shown."""
    entries: tuple[HistoryEntry, ...] = st.session_state.get("history", ())
    return entries


def navigate(entries: tuple[HistoryEntry, ...]) -> None:
    """Show the last of ``entries``, from the top of the page."""
    st.session_state["history"] = entries
    st.session_state["visit"] = st.session_state.get("visit", 0) + 1
    reset_paging()


def open_product(product_id: str) -> None:
    """Ask with a product: one query more, or back to where it was asked with already."""
    entries = history()
    known = next((i for i, entry in enumerate(entries) if entry.product_id == product_id), None)
    navigate((*entries, HistoryEntry(product_id)) if known is None else entries[: known + 1])


def replace_last(entry: HistoryEntry) -> None:
    """Put an entry in the place of the last one, with the page where it is."""
    st.session_state["history"] = (*history()[:-1], entry)


def switch_photo_part() -> None:
    """From the product in the last photo to the whole of it, or back."""
    replace_last(replace(history()[-1], use_whole=not history()[-1].use_whole))
    reset_paging()


def back_to(length: int) -> None:
    """Back to the first ``length`` queries; 0 is the start page."""
    navigate(history()[:length])


def num_shown() -> int:
    """How many hits or products to show."""
    return int(st.session_state.get("shown", PAGE_SIZE))


def show_more() -> None:
    """One page more."""
    st.session_state["shown"] = num_shown() + PAGE_SIZE


def reset_paging() -> None:
    """Another answer begins with its first page."""
    st.session_state["shown"] = PAGE_SIZE


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


# --- the URL ----------------------------------------------------------------------------------------------------------


def from_url(overview: Overview) -> list[str]:
    """Take over what the URL asks for, when it was not this page that wrote it: a link, a reload, the browser's Back.

    Also when the shop's own values have changed since: the URL is where the filters are kept.

    Returns:
        What the URL asks for and this shop does not have.
    """
    params = {name: st.query_params.get_all(name) for name in st.query_params}
    visited = st.session_state.get("url") != params
    # Products came or went: a widget must not hold what it can no longer offer.
    offer = (overview.values, overview.first, overview.more, overview.prices)
    unknown: list[str] = []
    if visited or st.session_state.get("offer") != offer:
        st.session_state["offer"] = offer
        chosen, unknown = read_params(params, overview)
        select(chosen, overview)
    if visited:
        st.session_state["url"] = params
        _visit(params.get(PRODUCT, [""])[-1])
    return unknown


def _visit(product_id: str) -> None:
    """Make the history end where the URL says."""
    entries = history()
    if product_id:
        known = next((i for i, entry in enumerate(entries) if entry.product_id == product_id), None)
        navigate((HistoryEntry(product_id),) if known is None else entries[: known + 1])
    elif entries and entries[-1].product_id:
        navigate(entries[:1] if not entries[0].product_id else ())


def to_url(chosen: FilterSelection) -> None:
    """Write what is being shown into the URL, as far as it can be shared."""
    params = chosen.params()
    entries = history()
    if entries and entries[-1].product_id:
        params[PRODUCT] = [entries[-1].product_id]
    if params != {name: st.query_params.get_all(name) for name in st.query_params}:
        st.query_params.from_dict(params)
    st.session_state["url"] = params


def invalidate() -> None:
    """Read the URL anew next time: a page that shows no filters makes Streamlit forget them."""
    st.session_state.pop("url", None)
