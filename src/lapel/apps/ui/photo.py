"""A visitor's photo: what is searched for in it, the product or the whole picture, and the switch between the two."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from PIL import Image

from lapel.apps.ui import state
from lapel.apps.ui.shop import thumb
from lapel.apps.ui.state import Step
from lapel.core.types import Query
from lapel.engine.retrieval import SearchEngine

PRODUCT, WHOLE = "Product", "Whole picture"


def look_at_photo(engine: SearchEngine, picture: Image.Image, label: str, *, whole: bool = False) -> Step:
    """A photo as a step of the trail: both vectors, so that switching asks no network again.

    Args:
        engine: What makes the vectors.
        picture: The photo, RGB.
        label: What the trail calls it.
        whole: Search for the whole picture although a product was found.

    Raises:
        LapelError: the picture or the model cannot be used.
    """
    asked, product = engine.embed(Query(image=picture, segment=False)), engine.cut_out(picture)
    step = Step(label=label, vector=asked.vector, fingerprint=asked.fingerprint, thumb=thumb(picture), whole=whole)
    if product is None:
        return step
    found = engine.embed(Query(image=picture))
    if found.fingerprint != asked.fingerprint:  # the shop changed its model in between
        return look_at_photo(engine, picture, label, whole=whole)
    return replace(step, product=found.vector, product_thumb=thumb(product))


def switch(step: Step) -> None:
    """Choose what is searched for, where the photo leaves a choice."""
    if step.product is None:
        return
    st.segmented_control(
        "Search for",
        [PRODUCT, WHOLE],
        default=WHOLE if step.whole else PRODUCT,
        key=f"part-{st.session_state.get('visit', 0)}",
        required=True,
        label_visibility="collapsed",
        help="The product is found in your photo and laid on white. Search for the whole picture when it was found"
        " badly.",
        on_change=state.turn,
    )
