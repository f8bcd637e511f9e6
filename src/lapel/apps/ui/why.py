"""Why a product is in an answer: what each place of both pictures adds to the score, and what they share, in words."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import replace

import streamlit as st
from PIL import Image

from lapel.apps.ui.lang import t
from lapel.apps.ui.picture_cache import KeptPhoto
from lapel.apps.ui.selection import escape
from lapel.core.errors import LapelError
from lapel.core.types import Hit, Part, Query
from lapel.service import Store

SIDE = 420  # pixels of a picture


def show_why(store: Store, query: Query, photo: KeptPhoto | None, hit: Hit) -> None:
    """Open the explanation of a hit over the page.

    Args:
        store: Who answered.
        query: What was asked.
        photo: The picture it was asked with; None without one.
        hit: Of the answer.
    """
    title = t("why.title")

    @st.dialog(title, width="large")
    def dialog() -> None:
        _explanation(store, _with_picture(query, photo), hit)

    dialog()


def _with_picture(query: Query, photo: KeptPhoto | None) -> Query:
    """The same query with the picture in the place of its vector: only a picture has places."""
    if photo is None:
        return query
    box = next((box for box, (vector, _) in photo.crops.items() if vector is query.parts[0].vector), None)
    part = Part(image=photo.image(), box=box)
    return replace(query, parts=(part, *query.parts[1:]))


def _explanation(store: Store, query: Query, hit: Hit) -> None:
    st.subheader(escape(hit.product.title or hit.product.id), anchor=False)
    try:
        with st.spinner(t("why.looking")):
            found = store.explain(query, hit)
            asked, answered = store.heatmaps(found)
    except LapelError as error:
        st.info(escape(str(error)), icon=":material/info:")
        return
    pairs = (("query", found.query_picture, asked), ("hit", found.hit_picture, answered))
    figures = "".join(
        f"<figure>{_picture(plain)}{_picture(map_)}<figcaption>{html.escape(t(f'why.{name}'))}</figcaption></figure>"
        for name, plain, map_ in pairs
        if plain is not None and map_ is not None
    )
    st.html(f"<div class='lapel-why' role='img' aria-label='{html.escape(t('why.alt'), quote=True)}'>{figures}</div>")
    for name, lines in (("shared", found.shared), ("different", found.different)):
        if lines:
            st.markdown(f"**{t(f'why.{name}')}**\n" + "\n".join(f"- {escape(line)}" for line in lines))
    st.caption(t("why.help", score=f"{hit.score:z.2f}"))
    for note in found.notes:
        st.caption(escape(note))


def _picture(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=88)
    return f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}'>"
