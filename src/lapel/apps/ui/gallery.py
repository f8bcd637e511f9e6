"""The gallery: products as even tiles, in one element of Streamlit's however many there are.

Products go in, what a visitor did with one of them comes out. Thumbnails are fetched by the browser, each by its
address and only when it is near the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from lapel.apps.ui.lang import share, t
from lapel.apps.ui.reasons import reason_words
from lapel.core.types import Hit, Photo, Product, Verdict, is_web_address
from lapel.service import ProductDetails

PARTS = Path(__file__).with_name("parts")
NO_PHOTO = Photo(0, "", "", "")
JUDGED = {
    Verdict.SAME_PRODUCT: "verdict.product",
    Verdict.SAME_STYLE: "verdict.style",
    Verdict.SAME_KIND: "verdict.kind",
}

Event = tuple[str, str]  # what was done, and the product's id

component = st.components.v2.component(
    "lapel_gallery",
    css=(PARTS / "gallery.css").read_text("utf-8"),
    js=(PARTS / "gallery.js").read_text("utf-8"),
)


def gallery(
    cards: Sequence[Mapping[str, Any]],
    *,
    key: str,
    label: str,
    actions: Sequence[str] = (),
    more: bool = False,
    row: bool = False,
) -> Event | None:
    """Show cards. Returns what was done with one of them since the last run: ``open``, ``page`` where more of them are
    wanted, or one of the actions.

    Args:
        cards: From :func:`hit_card` or :func:`product_card`.
        key: The element's name.
        label: What the list is, for screen readers.
        actions: Names of buttons below each card; their words are the texts ``action.NAME``.
        more: Whether there are more than these.
        row: One row that scrolls sideways in itself.
    """
    data = {
        "cards": list(cards),
        "actions": [
            {"name": name, "label": t(f"action.{name}"), "short": t(f"action.{name}_short")} for name in actions
        ],
        "texts": {name: t(f"gallery.{name}") for name in ("copy", "copied", "origin", "more")} | {"label": label},
        "more": more,
        "endless": more,
        "row": row,
    }
    told = component(key=key, data=data, on_event_change=_nothing)
    event = told.get("event")
    return (str(event["action"]), str(event["id"])) if event else None


def _nothing() -> None:
    """A component tells only what has a callback."""


def hit_card(hit: Hit, title: Callable[[str], str] = str) -> dict[str, Any]:
    """A hit of an answer: the photo that matched, the verdict in words with its probability, and why it is there, which
    may name a product by its title."""
    card = _card(hit.product, hit.photo)
    card["score"] = t("gallery.score", score=f"{hit.score:z.2f}")
    if hit.verdict in JUDGED:
        likely = hit.probabilities.get(hit.verdict, hit.probability)
        card["verdict"] = t(JUDGED[hit.verdict]) + (f" · {share(likely)}" if likely is not None else "")
    if hit.others:
        card["also"] = t("gallery.also", n=len(hit.others))
    if hit.reason is not None:
        card["reason"] = reason_words(hit.reason, title)
    return card


def product_card(details: ProductDetails) -> dict[str, Any]:
    """A product without a score, with its first photo."""
    return _card(details.product, (*details.photos, NO_PHOTO)[0])


def _card(product: Product, photo: Photo) -> dict[str, Any]:
    from urllib.parse import quote

    return {
        "id": product.id,
        "title": product.title or product.id,
        "facts": " · ".join(filter(None, (product.brand, product.colour))) or product.id,
        "price": product.price,
        "picture": thumbnail_address(photo),
        "linked": photo.links.small,
        "href": f"product?id={quote(product.id, safe='')}",
        "origin": product.url if is_web_address(product.url) else "",
        "out": t("gallery.out") if product.in_stock is False else "",
    }


def thumbnail_address(photo: Photo) -> str:
    """Where a browser gets the small picture of a photo; empty for none. The hash lets it be kept for good."""
    return f"thumbnail/{photo.key}?v={photo.sha256[:12]}" if photo.sha256 else ""


def photo_address(photo: Photo) -> str:
    """Where a browser gets the photo as large as a page shows it."""
    return f"picture/{photo.key}?v={photo.sha256[:12]}" if photo.sha256 else ""
