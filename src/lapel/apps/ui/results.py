"""The answer: what was asked, the way there and back, and the look-alikes as a gallery."""

from __future__ import annotations

import html

import streamlit as st

from lapel.apps.ui import state
from lapel.apps.ui.cards import SCORE, hits_grid, picture, to_shop
from lapel.apps.ui.facets import label
from lapel.apps.ui.filters import chips
from lapel.apps.ui.photo import look_at_photo, switch
from lapel.apps.ui.shop import Shop, passing, thumbs
from lapel.apps.ui.state import Step
from lapel.apps.ui.wanted import Wanted, escape, plain
from lapel.core.errors import ModelMismatchError, QueryError
from lapel.core.images import decode
from lapel.core.types import Hit, Product, Query
from lapel.engine.retrieval import SearchEngine

CRUMB = 26  # letters of a title in the trail
CRUMBS = 5  # steps of the trail that are shown; the first and the last ones


def results(engine: SearchEngine, shop: Shop, now: Wanted) -> str:
    """Draw the answer to the last step of the trail. Returns what it holds, in words."""
    step = state.trail()[-1]
    product = None
    if step.product_id:
        try:
            product = engine.store.catalog.product(step.product_id)
        except QueryError as error:
            _gone(error)
            return "This product is not in the catalogue"
    _crumbs(engine)
    _asked(engine, step, product)
    k = min(state.shown(), 10_000)
    with st.spinner("Looking for look-alikes …"):
        if product:
            hits = engine.search(Query(product_id=step.product_id, k=k, where=now.filter()))
        else:
            hits = _of_photo(engine, step, k, now)
    chips(shop, now)
    if not hits:
        _nothing(shop, now)
        return "No look-alike passes these filters"
    total = passing(engine, now.filter())
    products = "product" if total == 1 else "products"
    among = f"{total:,} that pass the filters" if now.filter() else f"{total:,} {products}"
    st.html(
        f"<p class='lapel-count'><span><strong>{len(hits):,} nearest</strong> of {among}</span>"
        f"<span class='lapel-legend' title='{html.escape(SCORE, quote=True)}'>score = cosine similarity, 1.00 is the"
        f" same look</span></p>"
    )
    hits_grid(engine, hits, action="More like this", follow=state.follow)
    if len(hits) == k and k < total:
        st.button("Show more", key="more", on_click=state.show_more)
    return f"{len(hits):,} nearest of {among}"


def _of_photo(engine: SearchEngine, step: Step, k: int, now: Wanted) -> list[Hit]:
    """The look-alikes of the trail's last photo; when the shop has another model now, its small picture is looked at
    again."""
    try:
        return engine.search(Query(vector=step.asked, fingerprint=step.fingerprint, k=k, where=now.filter()))
    except ModelMismatchError:
        step = look_at_photo(engine, decode(step.thumb), step.label, whole=step.whole)
        state.renew(step)
        return engine.search(Query(vector=step.asked, fingerprint=step.fingerprint, k=k, where=now.filter()))


def _asked(engine: SearchEngine, step: Step, product: Product | None) -> None:
    """The picture that was asked with, and the trail to it."""
    with st.container(key="asked", horizontal=True, vertical_alignment="center", gap="medium"):
        with st.container(key="asked-picture"):
            if product:
                picture(thumbs(engine).of(engine.store.catalog.photos(product.id)[:1])[0], product.title or product.id)
                if product.url:
                    st.html(to_shop(product, "<span class='lapel-hidden'>&nbsp;</span>", again=True))
            elif step.product is not None and not step.whole:
                picture(step.product_thumb, f"{step.label}, what was found in it")
            else:
                picture(step.thumb, step.label)
        with st.container(key="asked-words", gap="small"):
            shown = html.escape
            title = to_shop(product, shown(product.title or product.id)) if product else shown(step.label)
            facts = (
                [product.brand, product.colour, product.price, product.id]
                if product
                else ["What in the catalogue looks like it"]
            )
            st.html(
                f"<div class='lapel-asked'><p>Look-alikes of</p><h1>{title}</h1>"
                f"<p>{' · '.join(shown(fact) for fact in facts if fact)}</p></div>"
            )
            if not product:
                switch(step)
            with st.container(key="asked-actions", horizontal=True, gap="small"):
                depth = len(state.trail())
                if depth > 1:
                    st.button(
                        "Back", icon=":material/arrow_back:", key="back", on_click=state.back_to, args=(depth - 1,)
                    )
                st.button("New search", icon=":material/search:", key="clear", on_click=state.back_to, args=(0,))


def _crumbs(engine: SearchEngine) -> None:
    """The way from the first picture to this one; every step leads back."""
    steps = state.trail()
    if len(steps) < 2:
        return
    places = list(range(len(steps)))
    if len(places) > CRUMBS:
        places = [0, *places[-(CRUMBS - 1) :]]
    with st.container(key="crumbs", horizontal=True, gap="xxsmall", vertical_alignment="center"):
        for place in places[:-1]:
            label = _crumb(engine, steps[place])
            st.button(escape(label), type="tertiary", key=f"crumb-{place}", on_click=state.back_to, args=(place + 1,))
            st.html(
                f"<span class='lapel-between'"
                f" aria-hidden='true'>{'… ›' if place == 0 and len(steps) > CRUMBS else '›'}</span>",
                width="content",
            )
        st.html(
            f"<span class='lapel-here' aria-current='page'>{html.escape(_crumb(engine, steps[-1]))}</span>",
            width="content",
        )


def _crumb(engine: SearchEngine, step: Step) -> str:
    text = step.label
    if step.product_id:
        try:
            text = engine.store.catalog.product(step.product_id).title or step.product_id
        except QueryError:
            text = step.product_id
    return text if len(text) <= CRUMB else text[: CRUMB - 1].rstrip() + "…"


def _nothing(shop: Shop, now: Wanted) -> None:
    """No product passes the filters."""
    st.html(
        "<div class='lapel-empty'><h2>No look-alike passes these filters</h2>"
        f"<p>{html.escape(_in_words(now))} leaves none of {shop.products:,} products. Take one away above, or clear"
        f" them all.</p></div>"
    )
    st.button("Clear filters", type="primary", key="clear-filters", on_click=state.drop, args=("", "", shop))


def _in_words(now: Wanted) -> str:
    parts = [f"category {now.category}"] if now.category else []
    parts += [
        f"{label(name)[:1].lower()}{label(name)[1:]} {' or '.join(values)}"
        for name, values in now.choices.items()
        if values
    ]
    if now.price:
        parts.append(f"price {plain(now.price[0])} to {plain(now.price[1])} {now.currency}")
    elif now.currency:
        parts.append(f"prices in {now.currency}")
    if now.in_stock:
        parts.append("in stock")
    text = ", ".join(parts) or "The search"
    return text[:1].upper() + text[1:]


def _gone(error: QueryError) -> None:
    """The link leads to a product that is not there."""
    st.error(escape(str(error)), icon=":material/link_off:", title="This product is not in the catalogue")
    st.button("New search", type="primary", key="clear", on_click=state.back_to, args=(0,))
