"""What was asked, as chips that can be dropped one by one; ways to change it; and the way here, to go back on."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from lapel.apps.ui import filters, state
from lapel.apps.ui.asked import SIDES, Asked
from lapel.apps.ui.crop import crop
from lapel.apps.ui.lang import short, t
from lapel.apps.ui.picture_cache import KeptPhoto, regions_of
from lapel.apps.ui.selection import PRODUCT, FilterSelection, escape
from lapel.core.errors import LapelError, QueryError
from lapel.service import Overview, Store

REFINE = "refine-popover"
SHOWN = 12  # searches of the history that are offered


def chips(store: Store, overview: Overview, selection: FilterSelection, photo: KeptPhoto | None) -> None:
    """Every part of the query and every filter, each a button that takes it away."""
    asked = state.asked()
    parts = _parts(store, asked)
    used = filters.used(overview, selection)
    if not parts and not used:
        return
    with st.container(key="chips", horizontal=True, gap="small", vertical_alignment="center"):
        if photo is not None:
            st.html(
                f"<img class='lapel-thumb' alt='{html.escape(photo.label, quote=True)}' src='found/{asked.photo}'>",
                width="content",
            )
        for name, value, text in parts:
            st.button(
                escape(text),
                icon=":material/close:",
                icon_position="right",
                key=f"part-{name}-{value}",
                help=t("chips.drop"),
                on_click=lambda name=name, value=value: state.ask(asked.without(name, value)),
            )
        for name, value, text in used:
            st.button(
                escape(text), icon=":material/close:", icon_position="right", key=f"drop-{name}-{value}",
                on_click=state.drop_filter, args=(name, value, overview),
            )  # fmt: skip
        if len(used) > 1:
            st.button(
                t("filters.clear"), type="tertiary", key="drop-all", on_click=state.drop_filter, args=("", "", overview)
            )


def _parts(store: Store, asked: Asked) -> list[tuple[str, str, str]]:
    """Field, value and words of each part of the query."""
    parts = [("photo", "", t("ask.your_photo"))] if asked.photo else []
    parts += [("text", "", f"“{asked.text}”")] if asked.text else []
    parts += [("likes", each, t("chips.like", title=_title(store, each))) for each in asked.likes]
    parts += [("unlikes", each, t("chips.unlike", title=_title(store, each))) for each in asked.unlikes]
    parts += [("colour", "", t("chips.colour", colour=asked.colour))] if asked.colour else []
    if asked.look != (1.0, 1.0, 1.0):
        told = ", ".join(
            f"{t(f'look.{name}')} {value:g}" for name, value in zip(SIDES, asked.look, strict=True) if value != 1.0
        )
        parts.append(("look", "", told))
    parts += [("models", "", t("look.models"))] if asked.models else []
    return parts


def _title(store: Store, product_id: str) -> str:
    try:
        title = store.product(product_id).product.title or product_id
    except QueryError:
        title = product_id
    return short(title)


def _refine(store: Store, asked: Asked, photo: KeptPhoto | None) -> None:
    """Which part of the picture counts, and how much shape, colour and pattern count."""
    with st.popover(t("look.title"), icon=":material/tune:", key=REFINE, on_change="rerun") as popover:
        if not popover.open:  # looking for products in a picture takes longer than the answer: once it is asked for
            return
        left, right = st.columns(2) if photo is not None else (None, st.container())
        if photo is not None and left is not None:
            with left:
                _crop(store, asked, photo)
        with right:
            for name in SIDES:
                st.session_state.setdefault(f"a-{name}", asked.look[SIDES.index(name)])
                st.slider(t(f"look.{name}"), 0.0, 4.0, step=0.5, key=f"a-{name}", on_change=state.take_widgets)
            st.session_state.setdefault("a-models", asked.models)
            st.toggle(t("look.models"), key="a-models", on_change=state.take_widgets, help=t("look.models_help"))


def _crop(store: Store, asked: Asked, photo: KeptPhoto) -> None:
    try:
        regions = regions_of(store, asked.photo, photo)
    except LapelError:
        regions = ()  # a model without maps finds none; dragging needs none
    chosen = crop(asked.photo, photo, asked.box, regions)
    if chosen is not None and chosen[0] != asked.box:
        st.session_state["next"] = replace(asked, box=chosen[0], anyway=False)
        st.rerun()
    if photo.product is not None and asked.box is None:
        st.toggle(
            t("look.whole"),
            value=asked.whole,
            key=f"whole-{asked.photo}-{asked.whole}",
            help=t("look.whole_help"),
            on_change=lambda: state.ask(replace(asked, whole=not asked.whole)),
        )
    if asked.box is None and (read := photo.direction(whole=asked.whole)[1]) is not None:
        dots = "".join(
            f"<li><span class='lapel-dot' style='background: {colour.rgb}'></span>{html.escape(colour.name)}</li>"
            for colour in read.colours
        )
        st.html(f"<ul class='lapel-colours' aria-label='{html.escape(t('look.colours'), quote=True)}'>{dots}</ul>")


def _colour(asked: Asked) -> None:
    """The colour it should have. In a popover it would be lost: a click beside both closes the popover, and Streamlit
    tells what was picked only when the colours close."""
    st.session_state.setdefault("a-tint", asked.colour or "#808080")
    st.color_picker(t("look.pick"), key="a-tint", on_change=_take_colour)


def _take_colour() -> None:
    state.ask(replace(state.asked(), colour=str(st.session_state["a-tint"]).lower(), anyway=False))


def query_bar(store: Store, overview: Overview, photo: KeptPhoto | None = None) -> None:
    """Ways to change the query, undo, the searches before this one, the address of this one, and a new one."""
    kept = state.history()
    with st.container(key="query-bar", horizontal=True, vertical_alignment="center", gap="small"):
        if state.asked():
            _refine(store, state.asked(), photo)
            _colour(state.asked())
            st.button(t("query.undo"), icon=":material/undo:", key="back", on_click=state.undo, args=(overview,))
        if len(kept) > 1 or (kept and not state.asked()):
            with st.popover(t("query.history"), icon=":material/history:", key="history-popover"):
                for place in range(len(kept) - 1, max(-1, len(kept) - 1 - SHOWN), -1):
                    st.button(
                        escape(_in_words(kept[place])),
                        key=f"crumb-{place}",
                        type="tertiary",
                        on_click=state.go_to,
                        args=(place, overview),
                    )
        if state.asked():
            with st.popover(t("query.link"), icon=":material/link:", key="link-popover"):
                st.code(_address(), language=None, wrap_lines=True)
                if state.asked().photo:
                    st.caption(t("query.link_photo"))
            st.button(t("search.new"), icon=":material/restart_alt:", key="clear", on_click=lambda: state.ask(Asked()))


def _address() -> str:
    from urllib.parse import urlencode

    base = (st.context.url or "").partition("?")[0]
    params = st.session_state.get("url", {})
    return f"{base}?{urlencode(params, doseq=True)}"


def _in_words(params: Mapping[str, list[str]]) -> str:
    """A search of the history on one line."""
    asked, _ = Asked.read(params)
    own = set(asked.params())
    parts = [t("ask.your_photo")] if asked.photo else []
    parts += [f"“{asked.text}”"] if asked.text else []
    parts += [t("chips.like", title=each) for each in asked.likes]
    parts += [t("chips.unlike", title=each) for each in asked.unlikes]
    parts += [asked.colour] if asked.colour else []
    parts += [value for name, values in params.items() if name not in own and name != PRODUCT for value in values]
    return " · ".join(parts)
