"""A grid of product cards: photo, score, title, brand and colour, price, and a button that searches from there.

A product with an address is a link to it, title and photo; the button below stays a button.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

import streamlit as st

from lapel.apps.ui.selection import escape
from lapel.core.types import Hit, Photo, Product, is_web_address
from lapel.service import ProductDetails, Store

SCORE_HELP = "Cosine similarity of the two pictures' looks: 1.00 is the same look, 0 has nothing in common."
PLACEHOLDER = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 300 400'><rect width='300' height='400' fill='#efece6'/>"
    "<g fill='none' stroke='#a49b8e' stroke-width='5' stroke-linejoin='round' stroke-linecap='round'>"
    "<path d='M150 168c0-12 16-12 16-26a16 16 0 0 0-32 0'/><path d='M150 168l88 56a10 10 0 0 1-6 18H68a10 10 0 0"
    " 1-6-18z'/></g></svg>"
)
NO_PHOTO = Photo(0, "", "", "")


def product_grid(
    store: Store, products: Sequence[ProductDetails], *, action: str, on_click: Callable[[str], None]
) -> None:
    """Cards of products without scores, each with its first photo.

    Args:
        store: What has their thumbnails.
        products: What to show.
        action: The button's words.
        on_click: Called with the product's id when its button is pressed.
    """
    _cards(store, [(each.product, (*each.photos, NO_PHOTO)[0], None) for each in products], action, on_click)


def hit_grid(store: Store, hits: Sequence[Hit], *, action: str, on_click: Callable[[str], None]) -> None:
    """Cards of an answer, best first, each with the photo that matched."""
    _cards(store, [(hit.product, hit.photo, hit.score) for hit in hits], action, on_click)


def show_tile(tile: bytes | None, alt: str) -> None:
    """One small JPEG, or a coat hanger where there is none."""
    st.image(tile or PLACEHOLDER, alt=alt if tile else f"{alt} (the picture cannot be read)", width="stretch")


def product_link(product: Product, inside: str, *, again: bool = False) -> str:
    """A link to the product's own page around a piece of HTML; only that piece when there is no address, or not one of
    the web.

    Args:
        product: What to link to.
        inside: The piece of HTML.
        again: A second link to the same page, for mouse and touch only: the keyboard and screen readers have the first.
    """
    if not is_web_address(product.url):
        return inside
    hidden = "tabindex='-1' aria-hidden='true' " if again else ""
    note = "" if again else "<span class='lapel-hidden'> (opens the shop's page in a new tab)</span>"
    address = html.escape(product.url, quote=True)
    return f"<a class='lapel-to' {hidden}href='{address}' target='_blank' rel='noopener noreferrer'>{inside}{note}</a>"


def _cards(
    store: Store,
    entries: Sequence[tuple[Product, Photo, float | None]],
    action: str,
    on_click: Callable[[str], None],
) -> None:
    priced = any(product.price for product, _, _ in entries)
    tiles = store.thumbnails([photo for _, photo, _ in entries])
    with st.container(key="grid"):
        for place, ((product, photo, score), tile) in enumerate(zip(entries, tiles, strict=True)):
            with st.container(key=f"card-{place}", gap=None):
                show_tile(tile, product.title or product.id)
                st.html(linked_photo(photo) + _caption(product, score, priced=priced))
                # Twenty buttons of one name tell a screen reader nothing; the bold words are for it alone.
                name = f"{action} **{escape(product.title or product.id)}**"
                st.button(name, key=f"follow-{product.id}", on_click=on_click, args=(product.id,))


def linked_photo(photo: Photo) -> str:
    """The photo as its link gives it, laid over the store's own thumbnail; where the link fails, that stays to be
    seen."""
    link = photo.links.small
    return f"<span class='lapel-linked' style='background-image: url(\"{html.escape(link)}\")'></span>" if link else ""


def _caption(product: Product, score: float | None, *, priced: bool) -> str:
    """What stands below the photo, and the badges on it."""
    parts = []
    if score is not None:
        parts.append(
            f"<span class='lapel-score' title='{html.escape(SCORE_HELP)}'><span class='lapel-hidden'>Similarity"
            f" </span>{score:z.2f}</span>"
        )
    if product.in_stock is False:
        parts.append("<span class='lapel-out'>Out of stock</span>")
    parts.append(f"<div class='lapel-title'>{product_link(product, html.escape(product.title or product.id))}</div>")
    facts = " · ".join(html.escape(text) for text in (product.brand, product.colour) if text)
    parts.append(f"<div class='lapel-facts'>{facts or html.escape(product.id)}</div>")
    if priced:  # a blank line for those without a price keeps a row's buttons in line
        parts.append(f"<div class='lapel-price'>{html.escape(product.price) or '&nbsp;'}</div>")
    return f"<div class='lapel-words'>{''.join(parts)}</div>"
