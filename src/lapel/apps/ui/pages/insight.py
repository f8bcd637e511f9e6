"""Insight: what the catalogue says of itself, one question at a time, each to be decided on and taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import streamlit as st

from lapel.apps.ui import shell, state, work
from lapel.apps.ui.findings import findings_page
from lapel.apps.ui.lang import amount, share, t
from lapel.apps.ui.selection import escape
from lapel.core.errors import LapelError
from lapel.service import Findings, Overview, Store

if TYPE_CHECKING:
    from lapel.service import PriceEstimate, WatchFinding

Ask = Callable[[Store, work.Tell], Findings]
#: By the name of a text ``insight.NAME`` what is asked; all take the time they need and change nothing.
QUESTIONS: dict[str, Ask] = {
    "duplicates": lambda store, tell: store.duplicates(progress=tell),
    "labels": lambda store, tell: store.audit_labels(progress=tell),
    "fill": lambda store, tell: store.fill_labels(progress=tell),
    "photos": lambda store, tell: store.audit_photos(progress=tell),
    "assortment": lambda store, tell: store.audit_assortment(progress=tell),
    "trends": lambda store, tell: store.trends(progress=tell),
    "clusters": lambda store, tell: store.clusters(progress=tell),
}
OTHERS = ("watch", "price")
QUEUE = 200  # findings of the watch queue that are shown


def show(store: Store, _: Overview) -> str:
    """Show the question that was chosen."""
    state.invalidate()
    st.header(t("insight.title"), anchor=False)
    names = (*QUESTIONS, *OTHERS)
    asked = st.query_params.get("question", "")
    chosen = st.pills(
        t("insight.which"),
        names,
        default=asked if asked in names else names[0],
        format_func=lambda name: t(f"insight.{name}"),
        key="question",
        label_visibility="collapsed",
        required=True,
    )
    name = chosen or names[0]
    st.query_params["question"] = name
    st.write(t(f"insight.{name}_help"))
    if name == "watch":
        _watch(store)
    elif name == "price":
        _price(store)
    else:
        refused = partial(_no_duplicates, store) if name == "duplicates" and not store.read_only else None
        findings_page(store, lambda tell: QUESTIONS[name](store, tell), key=name, refused=refused)
    return t(f"insight.{name}")


def _no_duplicates(store: Store, products: Sequence[str]) -> None:
    """Remember for good that no two of these products are duplicates."""
    for one, other in combinations(sorted(set(products)), 2):
        store.dismiss_duplicate(one, other)


# --- the watch queue --------------------------------------------------------------------------------------------------


def _watch(store: Store) -> None:
    banks = store.watching.banks()
    if not banks:
        st.info(t("insight.no_banks"), icon=":material/policy:")
        st.code(f"lapel watch add BANK PICTURES --store {store.folder}", language="bash")
        return
    st.caption(" · ".join(f"{escape(bank.name)} ({amount(bank.pictures)})" for bank in banks))
    queue = store.watching.queue(limit=QUEUE)
    if not queue:
        st.success(t("insight.queue_empty"), icon=":material/check_circle:")
        return
    _finding(store, queue[0], len(queue))


def _finding(store: Store, found: WatchFinding, left: int) -> None:
    st.subheader(escape(found.place), anchor=False)
    st.write(t("insight.match", bank=escape(found.bank), name=escape(found.entry_name), chance=share(found.chance)))
    st.caption(t("insight.queued", n=left, at=found.at))
    note = st.text_input(t("insight.note"), key=f"note-{found.id}")
    with st.container(horizontal=True):
        for decision, shortcut in (("confirmed", "j"), ("rejected", "k")):
            st.button(
                t(f"insight.{decision}"),
                shortcut=shortcut,
                key=f"{decision}-{found.id}",
                disabled=store.read_only,
                on_click=_decided,
                args=(store, found.id, decision, note),
            )


def _decided(store: Store, finding: int, decision: str, note: str) -> None:
    try:
        store.watching.decide(finding, decision, note=note)
    except LapelError as error:
        st.toast(escape(str(error)), icon=":material/error:")


# --- the price of one photo -------------------------------------------------------------------------------------------


def _price(store: Store) -> None:
    with st.form("price-form", border=False):
        photo = st.file_uploader(t("insight.photo"), type=["jpg", "jpeg", "png", "webp", "heic"], key="price-photo")
        with st.container(horizontal=True):
            brand = st.text_input(t("insight.brand"), key="price-brand")
            condition = st.text_input(t("insight.condition"), key="price-condition")
        sent = st.form_submit_button(t("insight.estimate"), type="primary")
    if not sent:
        return
    if photo is None:
        st.info(t("insight.needs_photo"), icon=":material/add_a_photo:")
        return
    try:
        with st.spinner(t("insight.estimating")):
            found = store.estimate_price(photo.getvalue(), brand=brand.strip(), condition=condition.strip())
    except LapelError as error:
        st.error(escape(str(error)), icon=":material/error:")
        return
    _estimate(store, found)


def _estimate(store: Store, found: PriceEstimate) -> None:
    currency = escape(found.currency)
    with st.container(horizontal=True, gap="medium"):
        st.metric(t("insight.price"), f"{amount(found.price, 2)} {currency}", width="content")
        st.metric(t("insight.range"), f"{amount(found.low, 2)} – {amount(found.high, 2)} {currency}", width="content")
    st.write(f"**{escape(found.title)}**")
    st.caption(escape(found.summary()))
    for section in found.sections():
        pictures = [each for each in section.pictures if isinstance(each.photo, int)][:6]
        if not pictures:
            continue
        st.subheader(escape(section.title), anchor=False)
        with st.container(horizontal=True):
            for picture in pictures:
                with st.container(width=170):
                    if tile := store.thumbnail(picture.photo):  # type: ignore[arg-type]  # keys, see above
                        st.image(tile, alt=picture.title or section.title, width=160)
                    st.caption(escape(" · ".join((picture.title, *picture.lines))))


if __name__ == "__main__":
    shell.run(show, manage=True)
