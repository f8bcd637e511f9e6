"""A page part for any question of the whole catalogue: what was found as pictures and as a table, one decision after
the other by keyboard, and all of it to take away.

Decisions stay in the session and in the table that is downloaded, unless a question remembers them. Nothing is deleted
or changed by itself.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from lapel.apps.ui import work
from lapel.apps.ui.lang import amount, t
from lapel.apps.ui.selection import escape
from lapel.core.errors import LapelError
from lapel.service import Findings, Store

SHOWN = 500  # rows of the table; all are downloaded
PICTURES = 6  # of one section
DECISIONS = ("yes", "no", "later")

Refused = Callable[[Sequence[str]], None]


def findings_page(
    store: Store,
    ask: Callable[[work.Tell], Findings],
    *,
    key: str,
    refused: Refused | None = None,
) -> Findings | None:
    """Ask when the button is pressed, show what was found, and let every section be decided on.

    Args:
        store: Whose catalogue is asked; its thumbnails are shown.
        ask: Finds it; takes a function to tell how far it is.
        key: A name for the question, such as ``duplicates``.
        refused: What a no is beside a decision of this session: takes the titles of the section's pictures.

    Returns:
        What was found; None before.
    """
    name = f"{key} {store.folder}"
    if st.button(t("findings.run"), type="primary", key=f"run-{key}"):
        work.start(name, ask)
    if not work.show_progress(name) or (done := work.find(name)) is None:
        return None
    found: Findings = done.result
    if not found.rows():
        st.success(f"{t('findings.none')} {escape(found.summary())}", icon=":material/check_circle:")
        return found
    st.write(escape(found.summary()))
    _decide(store, found, key, refused)
    _table(found, key)
    return found


def _decide(store: Store, found: Findings, key: str, refused: Refused | None) -> None:
    """One section at a time; J, K and L decide and go on."""
    sections = list(found.sections())
    if not sections:
        return
    decided: dict[str, str] = st.session_state.setdefault(f"decided-{key}", {})
    place = min(int(st.session_state.get(f"place-{key}", 0)), len(sections) - 1)
    section = sections[place]
    st.subheader(escape(section.title), anchor=False)
    st.caption(t("findings.place", at=amount(place + 1), of=amount(len(sections)), done=amount(len(decided))))
    if section.text:
        st.write(escape(section.text))
    with st.container(horizontal=True):
        for picture in section.pictures[:PICTURES]:
            with st.container(width=170):
                tile = store.thumbnail(picture.photo) if isinstance(picture.photo, int) else picture.photo
                if tile:
                    st.image(tile, alt=picture.title or section.title, width=160)
                st.caption(escape(" · ".join((picture.title, *picture.lines))))
    told = partial(refused, [each.title for each in section.pictures]) if refused else None
    with st.container(horizontal=True):
        for decision, shortcut in zip(DECISIONS, ("j", "k", "l"), strict=True):
            st.button(
                t(f"findings.{decision}"),
                shortcut=shortcut,
                key=f"{decision}-{key}",
                on_click=_next,
                args=(key, section.title, decision, place + 1),
                kwargs={"told": told if decision == "no" else None},
            )
        st.button(t("query.undo"), key=f"back-{key}", disabled=not place, on_click=_next, args=(key, "", "", place - 1))


def _next(key: str, title: str, decision: str, place: int, told: Callable[[], None] | None = None) -> None:
    if told is not None:
        try:
            told()
        except LapelError as error:
            st.toast(escape(str(error)), icon=":material/error:")
            return
    if title:
        st.session_state[f"decided-{key}"][f"{place}. {title}"] = decision
    st.session_state[f"place-{key}"] = place


def _table(found: Findings, key: str) -> None:
    rows, columns = found.rows(), found.columns()
    st.dataframe(
        {name: [row[name] for row in rows[:SHOWN]] for name in columns},
        hide_index=True,
        alt=found.summary(),
        key=f"t-{key}",
    )
    with st.container(horizontal=True):
        st.download_button(t("catalogue.download"), _csv(columns, rows), f"{key}.csv", "text/csv", key=f"load-{key}")
        decided = st.session_state.get(f"decided-{key}", {})
        if decided:
            told = [{"what": what, "decision": decision} for what, decision in decided.items()]
            st.download_button(
                t("findings.decisions"),
                _csv(("what", "decision"), told),
                f"{key}-decisions.csv",
                "text/csv",
                key=f"load-decided-{key}",
            )


def _csv(columns: Sequence[str], rows: Sequence[dict[str, object]]) -> str:
    stream = io.StringIO()
    table = csv.DictWriter(stream, columns)
    table.writeheader()
    table.writerows(rows)
    return stream.getvalue()
