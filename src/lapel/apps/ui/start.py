"""The start page: a picture comes in by upload, link, camera or from the catalogue, and becomes the first step of the
trail."""

from __future__ import annotations

import html
from collections.abc import Callable

import streamlit as st
from PIL import Image

from lapel.apps.ui import state
from lapel.apps.ui.cards import grid
from lapel.apps.ui.filters import chips
from lapel.apps.ui.photo import look_at_photo
from lapel.apps.ui.shop import Shop, browse
from lapel.apps.ui.state import Step
from lapel.apps.ui.wanted import Wanted, escape
from lapel.core.errors import LapelError
from lapel.core.images import decode
from lapel.engine.retrieval import SearchEngine
from lapel.sources import EXTENSIONS

WAYS = {
    "Upload": ":material/upload:",
    "Link": ":material/link:",
    "Camera": ":material/photo_camera:",
    "Catalogue": ":material/grid_view:",
}
MAX_MB = 20  # of an uploaded file: a phone's photo has 3 to 12
REFUSED = "This picture cannot be used"
LINK_SECONDS = 10.0  # a person waits for it


def start(engine: SearchEngine, shop: Shop, now: Wanted, *, private_links: bool) -> str:
    """Draw the start page. Returns what it offers, in words."""
    st.html(
        "<div class='lapel-hero'><h1>Find what looks like it.</h1>"
        f"<p>One picture, and the nearest of {_products(shop.products)}, ranked by look.</p></div>"
    )
    way = st.segmented_control(
        "How to start", list(WAYS), key="way", default="Upload", required=True, label_visibility="collapsed",
        format_func=lambda name: f"{WAYS[name]} {name}",
    )  # fmt: skip
    with st.container(key="start"):
        if way == "Link":
            _link(engine, private_links)
        elif way == "Camera":
            _camera(engine)
        elif way == "Upload":
            _upload(engine)
    return _catalogue(engine, shop, now, everything=way == "Catalogue")


def begin(engine: SearchEngine, read: Callable[[], bytes], label: str) -> None:
    """Turn a picture into the first step, or say kindly why not.

    Args:
        engine: What makes the vector.
        read: Brings the picture's bytes; may take seconds.
        label: What the trail calls the picture.
    """
    try:
        with st.spinner("Looking at the picture …"):
            step = look_at_photo(engine, decode(read()), label)
    except LapelError as error:
        st.error(escape(str(error)), icon=":material/broken_image:", title=REFUSED)
        return
    state.go((step,))
    st.rerun()


def _upload(engine: SearchEngine) -> None:
    # No list of endings: Streamlit would refuse the others with a red chip and no reason. What is no picture, decoding
    # says.
    file = st.file_uploader(
        "Upload a picture",
        key="upload",
        label_visibility="collapsed",
        help=f"{formats()}, up to {MAX_MB} MB. It stays in this server's memory and is not kept.",
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
    begin(engine, file.getvalue, "Your photo")


def formats() -> str:
    """The picture formats that are read, by name, such as ``AVIF, BMP, GIF``."""
    endings = Image.registered_extensions()
    return ", ".join(sorted({endings.get(ending, ending[1:].upper()) for ending in EXTENSIONS}))


def _link(engine: SearchEngine, private_links: bool) -> None:
    from lapel.sources.web import fetch_image

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
        engine,
        lambda: fetch_image(str(link), timeout=LINK_SECONDS, allow_private=private_links),
        "Linked picture",
    )


def _camera(engine: SearchEngine) -> None:
    shot = st.camera_input("Take a picture", key="camera", label_visibility="collapsed")
    st.caption(
        "Lay the piece flat or hang it, with a calm background. Browsers lend the camera to https and localhost pages"
        " only."
    )
    if shot is not None:
        begin(engine, shot.getvalue, "Your photo")


def _catalogue(engine: SearchEngine, shop: Shop, now: Wanted, *, everything: bool) -> str:
    """Products to start from: a row as an appetiser, or all of them with a box for words. Returns how many there are,
    in words."""
    words = ""
    if everything:
        words = (
            st.text_input(
                "Search titles",
                key="words",
                placeholder="Words of the title, brand or colour",
                icon=":material/search:",
                label_visibility="collapsed",
            )
            or ""
        )
    else:
        st.html("<h2 class='lapel-section'>Or start from the catalogue</h2>")
    chips(shop, now)
    limit = state.shown() if everything else state.PAGE_SIZE // 2
    products, total = browse(engine, words, now.filter(), limit)
    if not products:
        said = f" and has the words “{html.escape(words.strip())}”" if words.strip() else ""
        st.html(
            f"<div class='lapel-empty'><h2>No product passes these filters{said}</h2><p>Take a filter or a word"
            f" away.</p></div>"
        )
        return "No product passes these filters"
    if everything:
        st.html(f"<p class='lapel-count'>{_products(total)}</p>")
    grid(engine, products, action="Look-alikes", follow=lambda product_id: state.go((Step(product_id),)))
    if everything and total > limit:
        st.button("Show more", key="more", on_click=state.show_more)
    return _products(total)


def _products(count: int) -> str:
    return f"{count:,} {'product' if count == 1 else 'products'}"
