"""The start page: a photo comes in by upload, link, camera or from the catalogue, and becomes the first query."""

from __future__ import annotations

import html
from collections.abc import Callable

import streamlit as st

from lapel.apps.ui import state
from lapel.apps.ui.cards import product_grid
from lapel.apps.ui.filters import chips
from lapel.apps.ui.photo import embed_photo
from lapel.apps.ui.selection import FilterSelection, escape
from lapel.apps.ui.state import HistoryEntry
from lapel.core.errors import LapelError
from lapel.service import Overview, Store, counted, fetch_image, image_formats

INPUTS = {
    "Upload": ":material/upload:",
    "Link": ":material/link:",
    "Camera": ":material/photo_camera:",
    "Catalogue": ":material/grid_view:",
}
MAX_MB = 20  # of an uploaded file: a phone's photo has 3 to 12
REFUSED = "This picture cannot be used"
LINK_SECONDS = 10.0  # a person waits for it


def start(store: Store, overview: Overview, selection: FilterSelection, *, private_links: bool) -> str:
    """Show the start page. Returns what it offers, in words."""
    st.html(
        "<div class='lapel-hero'><h1>Find what looks like it.</h1>"
        f"<p>One picture, and the nearest of {_products(overview.products)}, ranked by look.</p></div>"
    )
    chosen = st.segmented_control(
        "How to start", list(INPUTS), key="way", default="Upload", required=True, label_visibility="collapsed",
        format_func=lambda name: f"{INPUTS[name]} {name}",
    )  # fmt: skip
    with st.container(key="start"):
        if chosen == "Link":
            _link(store, private_links)
        elif chosen == "Camera":
            _camera(store)
        elif chosen == "Upload":
            _upload(store)
    return _catalogue(store, overview, selection, everything=chosen == "Catalogue")


def begin(store: Store, read: Callable[[], bytes], label: str) -> None:
    """Turn a photo into the first query, or say why not.

    Args:
        store: Whose model encodes it.
        read: Brings the bytes of its file; may take seconds.
        label: What the history calls it.
    """
    try:
        with st.spinner("Looking at the picture …"):
            entry = embed_photo(store, read(), label)
    except LapelError as error:
        st.error(escape(str(error)), icon=":material/broken_image:", title=REFUSED)
        return
    state.navigate((entry,))
    st.rerun()


def _upload(store: Store) -> None:
    # No list of suffixes: Streamlit would refuse the others with a red chip and no reason. Decoding says what is no
    # image.
    file = st.file_uploader(
        "Upload a picture",
        key="upload",
        label_visibility="collapsed",
        help=f"{image_formats()}, up to {MAX_MB} MB. It stays in this server's memory and is not kept.",
    )
    if file is None:
        return
    if file.size > MAX_MB * 10**6:
        st.error(
            f"The file {escape(file.name)} has {file.size / 10**6:.1f} MB; a picture may have {MAX_MB} MB. "
            "Choose a smaller one: a photo as phones send it by mail or messenger is enough.",
            icon=":material/broken_image:",
            title=REFUSED,
        )
        return
    begin(store, file.getvalue, "Your photo")


def _link(store: Store, private_links: bool) -> None:
    with st.form("link-form", border=False), st.container(key="link-row", horizontal=True, vertical_alignment="bottom"):
        link = st.text_input(
            "Link of a picture",
            type="url",
            key="link",
            placeholder="https://… the address of a picture",
            label_visibility="collapsed",
        )
        sent = st.form_submit_button("Find look-alikes", type="primary")
    st.caption("Right-click a picture on any page and choose “Copy image address”.")
    if not sent:
        return
    if not (link or "").strip():
        st.warning("There is no link yet. Paste the address of a picture, such as https://example.com/shirt.jpg.")
        return
    begin(
        store,
        lambda: fetch_image(str(link), timeout=LINK_SECONDS, allow_private=private_links),
        "Linked picture",
    )


def _camera(store: Store) -> None:
    shot = st.camera_input("Take a picture", key="camera", label_visibility="collapsed")
    st.caption(
        "Lay the piece flat or hang it, with a calm background. Browsers lend the camera to https and localhost pages"
        " only."
    )
    if shot is not None:
        begin(store, shot.getvalue, "Your photo")


def _catalogue(store: Store, overview: Overview, selection: FilterSelection, *, everything: bool) -> str:
    """Products to start from: a row as an appetiser, or all of them with a box for words. Returns how many there are,
    in words."""
    words = ""
    if everything:
        words = st.text_input(
            "Search titles",
            key="words",
            placeholder="Words of the title, brand or colour",
            icon=":material/search:",
            label_visibility="collapsed",
        ).strip()
    else:
        st.html("<h2 class='lapel-section'>Or start from the catalogue</h2>")
    chips(overview, selection)
    limit = state.num_shown() if everything else state.PAGE_SIZE // 2
    found = store.browse(words, where=selection.filter(), limit=limit)
    if not found.products:
        having = f" and has the words “{html.escape(words)}”" if words else ""
        st.html(
            f"<div class='lapel-empty'><h2>No product passes these filters{having}</h2><p>Take a filter or a word"
            f" away.</p></div>"
        )
        return "No product passes these filters"
    if everything:
        st.html(f"<p class='lapel-count'>{_products(found.total)}</p>")
    product_grid(
        store,
        found.products,
        action="Look-alikes",
        on_click=lambda product_id: state.navigate((HistoryEntry(product_id),)),
    )
    if everything and found.total > limit:
        st.button("Show more", key="more", on_click=state.show_more)
    return _products(found.total)


def _products(count: int) -> str:
    return counted(count, "product")
