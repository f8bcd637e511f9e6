"""A visitor's photo: what is searched for in it, the product or the whole picture, the switch between the two, and its
colours."""

from __future__ import annotations

import html

import streamlit as st

from lapel.apps.ui import state
from lapel.apps.ui.state import HistoryEntry
from lapel.core.types import Query
from lapel.service import Store, decode, tile

PRODUCT, WHOLE = "Product", "Whole picture"


def embed_photo(store: Store, data: bytes, label: str, *, use_whole: bool = False) -> HistoryEntry:
    """A photo as an entry of the history: encoded once, with both vectors, so that switching asks no network again.

    Args:
        store: Whose model makes the vectors.
        data: The bytes of its file.
        label: What the history calls it.
        use_whole: Search for the whole picture although a product was found.

    Raises:
        LapelError: the image or the model cannot be used.
    """
    image = decode(data)
    embedded = store.embed(Query(image=image))
    (part,) = embedded.parts
    return HistoryEntry(
        label=label,
        whole=part.whole,
        product=None if part.segmented is None else embedded.vector,
        fingerprint=embedded.fingerprint,
        tile=tile(image),
        product_tile=b"" if part.segmented is None else tile(part.segmented),
        use_whole=use_whole,
        read=part.colours,
    )


def photo_part_switch(entry: HistoryEntry) -> None:
    """Choose what is searched for, where the photo leaves a choice."""
    if entry.product is None:
        return
    st.segmented_control(
        "Search for",
        [PRODUCT, WHOLE],
        default=WHOLE if entry.use_whole else PRODUCT,
        key=f"part-{st.session_state.get('visit', 0)}",
        required=True,
        label_visibility="collapsed",
        help="The product is found in your photo and laid on white. Search for the whole picture when it was found"
        " badly.",
        on_change=state.switch_photo_part,
    )


def photo_colours(entry: HistoryEntry) -> None:
    """The colours that were read of the photo, as dots with their names, and how sure they are."""
    if (read := entry.colours) is None:
        return
    colours = "".join(
        f"<li title='{colour.share:.0%} of it'><span class='lapel-dot' style='background: {colour.rgb}'></span>"
        f"{html.escape(colour.name)}</li>"
        for colour in read.colours
    )
    of = "colours" if len(read.colours) > 1 else "colour"
    help_text = "Read from the photo: less sure with several colours, with tinted light or where little of it shows."
    st.html(
        f"<div class='lapel-colours'><ul aria-label='Colours'>{colours}</ul>"
        f"<span class='lapel-sure' title='{help_text}'>{read.certainty} of the {of}</span></div>"
    )
