"""Product: its photos and what is known of it, what it is a duplicate of, and rows of others that look like it, go with
it or stand in for it."""

from __future__ import annotations

import html
from collections.abc import Callable

import streamlit as st

from lapel.apps.ui import shell, state
from lapel.apps.ui.access import may_manage
from lapel.apps.ui.cache import duplicates_of
from lapel.apps.ui.gallery import Event, gallery, hit_card, photo_address, product_card
from lapel.apps.ui.lang import field_name, share, t
from lapel.apps.ui.selection import escape
from lapel.core.errors import LapelError, QueryError
from lapel.core.types import Photo, Product, SearchResult, is_web_address
from lapel.service import Overview, ProductDetails, Store

ROW = 12  # products of a row


def show(store: Store, _: Overview) -> str:
    """Show the product that the address names."""
    state.invalidate()
    product_id = st.query_params.get("id", "")
    if not product_id:
        st.header(t("product.none"), anchor=False)
        st.write(t("product.none_what"))
        shell.link("search", t("search.new"), ":material/search:")
        return t("product.none")
    try:
        details = store.product(product_id)
    except QueryError as error:
        st.error(escape(str(error)), icon=":material/link_off:")
        shell.link("search", t("search.new"), ":material/search:")
        return t("error.title")
    _head(details)
    first = st.container()
    _rows(store, product_id)
    if may_manage():  # whoever buys is not asked to tidy up
        with first:  # looked for last, as it takes longest
            _duplicates(store, product_id)
    return details.product.title or product_id


def _head(details: ProductDetails) -> None:
    product = details.product
    left, right = st.columns([5, 4] if len(details.photos) > 1 else [2, 3], gap="medium")
    with left:
        _photos(details)
    with right:
        st.header(escape(product.title or product.id), anchor=False)
        if product.price:
            st.subheader(product.price, anchor=False)
        if product.in_stock is False:
            st.badge(t("gallery.out"), color="gray")
        with st.container(horizontal=True, gap="small"):
            if st.button(t("product.look_alikes"), type="primary", icon=":material/search:", key="search-like"):
                shell.go("search", product=product.id)
            if is_web_address(product.url):
                st.link_button(t("gallery.origin"), product.url, icon=":material/open_in_new:")
            with st.popover(t("query.link"), icon=":material/link:", key="link-popover"):
                st.code(f"{(st.context.url or '').partition('?')[0]}?id={product.id}", language=None, wrap_lines=True)
        _facts(product)
        with st.expander(t("product.hosting"), icon=":material/cloud:"):
            for photo in details.photos:
                st.code(photo.uri, language=None, wrap_lines=True)
                if photo.links.full:
                    st.caption(escape(photo.links.full))
            if details.added_at:
                st.caption(t("product.times", added=details.added_at[:10], changed=details.changed_at[:10]))


def _photos(details: ProductDetails) -> None:
    title = details.product.title or details.product.id

    def picture(number: int, photo: Photo) -> str:
        alt = html.escape(t("product.photo", title=title, number=number), quote=True)
        source = html.escape(photo_address(photo), quote=True)
        return f"<img src='{source}' alt='{alt}' loading='{'eager' if number == 1 else 'lazy'}'>"

    photos = "".join(picture(number, photo) for number, photo in enumerate(details.photos, 1))
    label = html.escape(t("product.photos"), quote=True)
    st.html(f"<div class='lapel-photos' tabindex='0' role='group' aria-label='{label}'>{photos}</div>")


def _facts(product: Product) -> None:
    """What is known of it, as a list of terms; a column of the shop that a field was read from says nothing new."""
    own = {*product.category, product.colour, product.brand, product.gender, product.season}
    known = {
        "category": " › ".join(product.category),
        "brand": product.brand,
        "colour": product.colour,
        "gender": product.gender,
        "season": product.season,
        **{name: value for name, value in product.attributes.items() if value not in own},
        "id": product.id,
    }
    rows = "".join(
        f"<dt>{html.escape(field_name(name))}</dt><dd>{html.escape(value.replace('|', ', '))}</dd>"
        for name, value in known.items()
        if value
    )
    st.html(f"<dl class='lapel-facts'>{rows}</dl>")


def _duplicates(store: Store, product_id: str) -> None:
    """The products that are a copy of it or listed for the same, and which of all is worth keeping."""
    try:
        found = duplicates_of(store, product_id, len(store.dismissed_duplicates()))
    except LapelError as error:
        st.caption(escape(str(error)))
        return
    for number, group in enumerate(found.groups):
        title = t(f"duplicate.{group.kind.replace(' ', '_')}")
        st.subheader(title, anchor=False)
        st.caption(t("duplicate.best") if group.best == product_id else t("duplicate.other", best=escape(group.best)))
        cards = []
        for member in group.members:
            if member.product != product_id:
                card = product_card(store.product(member.product))
                cards.append(card | {"verdict": share(member.score)} if group.kind == "near" else card)
        _follow(gallery(cards, key=f"duplicates-{number}", label=title, row=True))


def _follow(event: Event | None) -> None:
    """Show the product that was opened."""
    if event and event[0] == "open":
        st.query_params.from_dict({"id": event[1]})
        st.session_state["visit"] = st.session_state.get("visit", 0) + 1
        st.rerun()


def _rows(store: Store, product_id: str) -> None:
    """Each row is one call; what has nothing to show is left out."""

    def row(kind: str) -> Callable[[], SearchResult]:
        return lambda: store.recommend(product_id=product_id, kind=kind, k=ROW)

    asked: dict[str, Callable[[], SearchResult]] = {
        "alike": lambda: store.search(product_id=product_id, k=ROW),
        "variants": lambda: store.variants(product_id, k=ROW),
        "together": row("together"),
        "look": row("look"),
        "substitutes": row("substitutes"),
    }
    for name, ask in asked.items():
        title = t(f"product.{name}")
        try:
            found = ask()
        except LapelError as error:
            st.subheader(title, anchor=False)
            st.caption(escape(str(error)))
            continue
        if not found:
            continue
        st.subheader(title, anchor=False)
        _follow(gallery([hit_card(hit) for hit in found], key=f"row-{name}", label=title, row=True))


if __name__ == "__main__":
    shell.run(show)
