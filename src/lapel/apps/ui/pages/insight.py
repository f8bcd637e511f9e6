"""Insight: what the catalogue says of itself, one question at a time, each to be decided on and taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import streamlit as st

from lapel.apps.ui import shell, state, work
from lapel.apps.ui.findings import BACK, DECISIONS, download, findings_page, pictures, table_csv
from lapel.apps.ui.lang import amount, share, t
from lapel.apps.ui.selection import escape, sentence
from lapel.core.errors import LapelError
from lapel.service import Findings, Overview, Picture, Store, finding_json

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
QUEUE = 200  # findings of the watch queue that are looked at
EXPORTED = 100_000
STATES = {"yes": "confirmed", "no": "rejected"}


def show(store: Store, _: Overview) -> str:
    """Show the question that was chosen."""
    state.invalidate()
    st.header(t("insight.title"), anchor=False)
    name = _question()
    st.write(t(f"insight.{name}_help"))
    if name == "watch":
        _watch(store)
    elif name == "price":
        _price(store)
    else:
        refused = partial(_no_duplicates, store) if name == "duplicates" and not store.read_only else None
        findings_page(store, lambda tell: QUESTIONS[name](store, tell), key=name, refused=refused)
    return t(f"insight.{name}")


def _question() -> str:
    """The question that is chosen, which the address says: a link, a reload and the browser's Back choose it too."""
    names = (*QUESTIONS, *OTHERS)
    asked = st.query_params.get("question", "")
    if asked != st.session_state.get("question-written") or "question" not in st.session_state:
        if asked and asked not in names:
            st.warning(t("search.unknown", what=escape(f"question={asked}")), icon=":material/link_off:")
        st.session_state["question"] = asked if asked in names else names[0]
    st.pills(
        t("insight.which"),
        names,
        format_func=lambda name: t(f"insight.{name}"),
        key="question",
        label_visibility="collapsed",
        required=True,
    )
    name = str(st.session_state["question"])
    if name != asked:
        st.query_params["question"] = name
    st.session_state["question-written"] = name
    return name


def _no_duplicates(store: Store, products: Sequence[str]) -> None:
    """Remember for good that no two of these products are duplicates."""
    for one, other in combinations(sorted(set(products)), 2):
        store.dismiss_duplicate(one, other)


# --- the watch queue --------------------------------------------------------------------------------------------------


def _watch(store: Store) -> None:
    banks = store.watching.banks()
    if not banks:
        st.info(t("insight.no_banks"), icon=":material/policy:")
        st.code(f"lapel watch add BANK PICTURES --store {store.folder}", language=None, wrap_lines=True)
        return
    st.caption(" · ".join(f"{escape(bank.name)} ({amount(bank.pictures)})" for bank in banks))
    # What is put off goes to the end of the queue, in this session.
    later: list[int] = st.session_state.setdefault("watch-later", [])
    queue = store.watching.queue(limit=QUEUE)
    queue.sort(key=lambda each: later.index(each.id) if each.id in later else -1)
    with st.container(key="case-watch", border=True):
        if queue:
            _finding(store, queue[0], len(queue))
        else:
            st.success(t("insight.queue_empty"), icon=":material/check_circle:")
        decided: list[int] = st.session_state.setdefault("watch-decided", [])
        if decided:
            st.button(t("findings.back"), shortcut=BACK, key="back-watch", on_click=_reopen, args=(store, decided))
    download(t("catalogue.download"), _all_found(store), "watch")


def _all_found(store: Store) -> str:
    """The queue and all that was decided on, as CSV."""
    return table_csv(finding_json(each) for each in store.watching.queue("", limit=EXPORTED))


def _finding(store: Store, found: WatchFinding, left: int) -> None:
    st.caption(t("insight.queued", n=left, at=found.at[:16].replace("T", " ")))
    st.subheader(escape(found.place), anchor=False)
    st.write(t("insight.match", bank=escape(found.bank), name=escape(found.entry_name), chance=share(found.chance)))
    bank, upload = store.watching.pictures(found.id)
    pictures([Picture(upload, t("insight.found_picture")), Picture(bank, t("insight.bank_picture"))])
    note = st.text_input(t("insight.note"), key=f"note-{found.id}")
    st.markdown(f"**{t('insight.ask_watch')}**")
    with st.container(horizontal=True):
        for decision, shortcut in DECISIONS.items():
            st.button(
                t(f"findings.{decision}"),
                shortcut=shortcut,
                key=f"{decision}-{found.id}",
                disabled=store.read_only,
                on_click=_decided,
                args=(store, found.id, decision, note),
            )


def _decided(store: Store, finding: int, decision: str, note: str) -> None:
    if decision == "later":
        st.session_state["watch-later"].append(finding)
        return
    try:
        store.watching.decide(finding, STATES[decision], note=note)
    except LapelError as error:
        st.toast(escape(str(error)), icon=":material/error:")
        return
    st.session_state["watch-decided"].append(finding)


def _reopen(store: Store, decided: list[int]) -> None:
    """Open the finding that was decided on last again."""
    try:
        store.watching.decide(decided[-1], "open")
    except LapelError as error:
        st.toast(escape(str(error)), icon=":material/error:")
    decided.pop()


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
        st.error(sentence(str(error)), icon=":material/error:")
        return
    _estimate(found)


def _estimate(found: PriceEstimate) -> None:
    currency = escape(found.currency)
    with st.container(horizontal=True, gap="medium"):
        st.metric(t("insight.price"), f"{amount(found.price, 2)} {currency}", width="content")
        st.metric(t("insight.range"), f"{amount(found.low, 2)} – {amount(found.high, 2)} {currency}", width="content")
    st.write(f"**{escape(found.title)}**")
    st.caption(escape(found.summary()))
    for section in found.sections():
        sold = [each for each in section.pictures if isinstance(each.photo, int)][:6]
        if not sold:
            continue
        st.subheader(escape(section.title), anchor=False)
        pictures(sold)


if __name__ == "__main__":
    shell.run(show, manage=True)
