"""The answer: what was asked, the way there and back, and the look-alikes as a gallery."""

from __future__ import annotations

import html

import streamlit as st

from lapel.apps.ui import state
from lapel.apps.ui.cards import SCORE_HELP, hit_grid, product_link, show_tile
from lapel.apps.ui.filters import chips
from lapel.apps.ui.photo import embed_photo, photo_colours, photo_part_switch
from lapel.apps.ui.selection import FilterSelection, escape, plain_price
from lapel.apps.ui.state import HistoryEntry
from lapel.core.errors import ModelMismatchError, QueryError
from lapel.core.types import Filter, Query, SearchResult, Verdict
from lapel.service import Overview, ProductDetails, Store, field_label

CRUMB_LENGTH = 26  # letters of a title in the history
MAX_CRUMBS = 5  # queries of the history that are shown; the first and the last ones
MAX_HITS = 10_000  # that a query may ask for


def results(store: Store, overview: Overview, selection: FilterSelection) -> str:
    """Show the answer to the last query of the history. Returns what it holds, in words."""
    entry = state.history()[-1]
    details = None
    if entry.product_id:
        try:
            details = store.product(entry.product_id)
        except QueryError as error:
            return _unknown_product(error)
    _crumbs(store)
    _query(store, entry, details)
    k = min(state.num_shown(), MAX_HITS)
    with st.spinner("Looking for look-alikes …"):
        found = _search(store, entry, k, selection)
    chips(overview, selection)
    if not found:
        return _nothing(overview, selection, found.verdict)
    if found.verdict is Verdict.NOTHING_CLOSE:
        st.info("There is nothing like it here. These are the nearest all the same.", icon=":material/search_off:")
    products = "product" if found.total == 1 else "products"
    among = f"{found.total:,} that pass the filters" if selection.filter() else f"{found.total:,} {products}"
    by_colour = any(hit.adjustment for hit in found)
    legend = "in the order of score and colour" if by_colour else "1.00 is the same look"
    st.html(
        f"<p class='lapel-count'><span><strong>{len(found):,} nearest</strong> of {among}{_best(found.verdict)}</span>"
        f"<span class='lapel-legend' title='{html.escape(SCORE_HELP)}'>score = cosine similarity, {legend}</span></p>"
    )
    hit_grid(store, found.hits, action="More like this", on_click=state.open_product)
    if len(found) == k < found.total:
        st.button("Show more", key="more", on_click=state.show_more)
    return f"{len(found):,} nearest of {among}"


def _best(verdict: Verdict) -> str:
    """What the first answer is, in words; empty where that was not judged."""
    judged = (Verdict.SAME_PRODUCT, Verdict.SAME_STYLE, Verdict.SAME_KIND)
    return f" · the first is {verdict.value}" if verdict in judged else ""


def _search(store: Store, entry: HistoryEntry, k: int, selection: FilterSelection) -> SearchResult:
    """The look-alikes of a query; when the shop has another model since, the photo's small copy is encoded again."""
    where = selection.filter()
    if entry.product_id:
        return store.search(product_id=entry.product_id, k=k, where=where)
    try:
        return store.search(query=_photo_query(entry, k, where))
    except ModelMismatchError:
        entry = embed_photo(store, entry.tile, entry.label, use_whole=entry.use_whole)
        state.replace_last(entry)
        return store.search(query=_photo_query(entry, k, where))


def _photo_query(entry: HistoryEntry, k: int, where: Filter) -> Query:
    return Query(vector=entry.vector, fingerprint=entry.fingerprint, colours=entry.colours, k=k, where=where)


def _query(store: Store, entry: HistoryEntry, details: ProductDetails | None) -> None:
    """The photo that was asked with, and what it is of."""
    product = details.product if details else None
    with st.container(key="asked", horizontal=True, vertical_alignment="center", gap="medium"):
        with st.container(key="asked-picture"):
            if details:
                show_tile(store.thumbnails(details.photos[:1])[0], details.product.title or details.product.id)
                if details.product.url:
                    st.html(product_link(details.product, "<span class='lapel-hidden'>&nbsp;</span>", again=True))
            elif entry.shows_product:
                show_tile(entry.product_tile, f"{entry.label}, what was found in it")
            else:
                show_tile(entry.tile, entry.label)
        with st.container(key="asked-words", gap="small"):
            title = html.escape(product.title or product.id if product else entry.label)
            facts = ["What in the catalogue looks like it"]
            if product:
                title = product_link(product, title)
                facts = [product.brand, product.colour, product.price, product.id]
            st.html(
                f"<div class='lapel-asked'><p>Look-alikes of</p><h1>{title}</h1>"
                f"<p>{' · '.join(html.escape(fact) for fact in facts if fact)}</p></div>"
            )
            if not product:
                photo_part_switch(entry)
                photo_colours(entry)
            with st.container(key="asked-actions", horizontal=True, gap="small"):
                depth = len(state.history())
                if depth > 1:
                    st.button(
                        "Back", icon=":material/arrow_back:", key="back", on_click=state.back_to, args=(depth - 1,)
                    )
                st.button("New search", icon=":material/search:", key="clear", on_click=state.back_to, args=(0,))


def _crumbs(store: Store) -> None:
    """The way from the first query to this one; every step leads back."""
    entries = state.history()
    if len(entries) < 2:
        return
    places = list(range(len(entries)))
    if len(places) > MAX_CRUMBS:
        places = [0, *places[-(MAX_CRUMBS - 1) :]]
    with st.container(key="crumbs", horizontal=True, gap="xxsmall", vertical_alignment="center"):
        for place in places[:-1]:
            label = escape(_crumb(store, entries[place]))
            st.button(label, type="tertiary", key=f"crumb-{place}", on_click=state.back_to, args=(place + 1,))
            sign = "… ›" if place == 0 and len(entries) > MAX_CRUMBS else "›"
            st.html(f"<span class='lapel-between' aria-hidden='true'>{sign}</span>", width="content")
        here = html.escape(_crumb(store, entries[-1]))
        st.html(f"<span class='lapel-here' aria-current='page'>{here}</span>", width="content")


def _crumb(store: Store, entry: HistoryEntry) -> str:
    text = entry.label
    if entry.product_id:
        try:
            text = store.product(entry.product_id).product.title or entry.product_id
        except QueryError:
            text = entry.product_id
    return text if len(text) <= CRUMB_LENGTH else text[: CRUMB_LENGTH - 1].rstrip() + "…"


def _nothing(overview: Overview, selection: FilterSelection, verdict: Verdict) -> str:
    """There is no hit. Returns why, in words."""
    if verdict is not Verdict.NOTHING_PASSES:
        st.html(
            "<div class='lapel-empty'><h2>There is no look-alike</h2><p>This shop has no other product yet.</p></div>"
        )
        return "There is no look-alike"
    st.html(
        "<div class='lapel-empty'><h2>No look-alike passes these filters</h2>"
        f"<p>{html.escape(_in_words(selection))} leaves none of {overview.products:,} products. Take one away above,"
        f" or clear them all.</p></div>"
    )
    st.button("Clear filters", type="primary", key="clear-filters", on_click=state.drop_filter, args=("", "", overview))
    return "No look-alike passes these filters"


def _in_words(selection: FilterSelection) -> str:
    parts = [f"category {selection.category}"] if selection.category else []
    for name, values in selection.choices.items():
        label = field_label(name)
        parts += [f"{label[:1].lower()}{label[1:]} {' or '.join(values)}"] if values else []
    if selection.price:
        low, high = map(plain_price, selection.price)
        parts.append(f"price {low} to {high} {selection.currency}")
    elif selection.currency:
        parts.append(f"prices in {selection.currency}")
    if selection.in_stock:
        parts.append("in stock")
    text = ", ".join(parts)
    return text[:1].upper() + text[1:]


def _unknown_product(error: QueryError) -> str:
    """The link leads to a product that is not there. Returns that, in words."""
    title = "This product is not in the catalogue"
    st.error(escape(str(error)), icon=":material/link_off:", title=title)
    st.button("New search", type="primary", key="clear", on_click=state.back_to, args=(0,))
    return title
