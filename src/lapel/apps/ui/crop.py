"""Choosing a part of a picture: by dragging, by tapping what was found in it, or with the arrow keys."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from lapel.apps.ui.gallery import PARTS
from lapel.apps.ui.lang import t
from lapel.apps.ui.picture_cache import KeptPhoto
from lapel.core.types import Region

Box = tuple[float, float, float, float]

component = st.components.v2.component(
    "lapel_crop",
    html="<div class='crop'></div>",
    css=(PARTS / "crop.css").read_text("utf-8"),
    js=(PARTS / "crop.js").read_text("utf-8"),
)


def crop(token: str, photo: KeptPhoto, box: Box | None, regions: Sequence[Region]) -> tuple[Box | None] | None:
    """Show a picture to choose a part of. Returns what was chosen since the last run, in a tuple of its own: a box in
    shares of the picture's sides, or None for all of it.

    Args:
        token: Of the cache.
        photo: What it keeps.
        box: The part chosen now.
        regions: Products found in the picture.
    """
    width, height = photo.size
    found = [
        {
            "box": [round(side / of, 3) for side, of in zip(region.box, (width, height) * 2, strict=True)],
            "label": region.kind or t("crop.piece", n=number),
        }
        for number, region in enumerate(regions, 1)
    ]
    texts = {name: t(f"crop.{name}") for name in ("label", "picture", "help", "all")}
    data = {"picture": f"asked/{token}", "box": list(box) if box else None, "regions": found, "texts": texts}
    told = component(key=f"crop-{token}", data=data, on_box_change=_nothing).get("box")
    if not told:
        return None
    chosen = told["box"]
    return (None if chosen is None else tuple(float(side) for side in chosen),)  # type: ignore[return-value]  # four


def _nothing() -> None:
    """A component tells only what has a callback."""
