"""Catalogue: add products from anywhere with live progress, say by hand which column is what, mend what was rejected,
see where photos are out of reach, and change the model or the index."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, NoReturn

import streamlit as st

from lapel.apps.ui import shell, state
from lapel.apps.ui.findings import download
from lapel.apps.ui.jobs import SHOWN, show_jobs
from lapel.apps.ui.lang import amount, field_name, t
from lapel.apps.ui.selection import escape, sentence, without_options
from lapel.apps.ui.shops import run_jobs
from lapel.core.errors import LapelError
from lapel.service import Overview, Store, TablePreview, preview_table

TABLES = ("csv", "tsv", "json", "jsonl", "xlsx", "xml", "ods")
KNOWN_MODELS = ("default", "small")
INDEXES = ("faiss:auto", "faiss:Flat")
ISSUES_SHOWN = 1000


def show(store: Store, _: Overview) -> str:
    """Show the five parts."""
    state.invalidate()
    st.header(t("catalogue.title"), anchor=False)
    if store.read_only:
        st.warning(t("status.read_only"), icon=":material/lock:")
        return t("catalogue.title")
    run_jobs(store)
    with st.container():  # always there: tabs that move in the page forget which one is open
        if st.session_state.pop("begun", False):
            st.info(t("catalogue.begun"), icon=":material/hourglass_top:")
    if "jobs-first" not in st.session_state:  # a reload while something is under way shows how far it is
        st.session_state["jobs-first"] = any(not job.ended for job in store.jobs.list(SHOWN))
    parts = {"add": _add, "jobs": show_jobs, "hosting": _hosting, "model": _model, "index": _index}
    first = t(f"catalogue.{'jobs' if st.session_state['jobs-first'] else 'add'}")
    tabs = st.tabs([t(f"catalogue.{name}") for name in parts], default=first, key="parts")
    for tab, part in zip(tabs, parts.values(), strict=True):
        with tab:
            try:
                part(store)
            except LapelError as error:
                st.error(sentence(str(error)), icon=":material/error:")
    return t("catalogue.title")


def _begun() -> NoReturn:
    """A job was begun: draw the page anew, so that its progress is shown from now on."""
    st.session_state["begun"] = True
    st.rerun()


# --- adding -----------------------------------------------------------------------------------------------------------


def _add(store: Store) -> None:
    way = st.segmented_control(
        t("catalogue.from"),
        ["place", "upload", "feed"],
        default="place",
        required=True,
        key="way",
        format_func=lambda name: t(f"catalogue.from_{name}"),
    )
    source, table = "", None
    if way == "place":
        source = st.text_input(
            t("catalogue.place"), key="place", placeholder="photos/   ·   s3://bucket/   ·   gdrive://…"
        )
        st.caption(t("catalogue.place_help"))
    elif way == "upload":
        pictures = st.file_uploader(t("catalogue.zip"), type="zip", key="zip")
        if pictures is not None:
            source = _kept(store, pictures)
    else:
        st.caption(t("catalogue.feed_help"))
    file = st.file_uploader(
        t("catalogue.table" if way == "feed" else "catalogue.table_too"), type=list(TABLES), key=f"table-{way}"
    )
    mapping: tuple[str, ...] = ()
    usable = bool(source.strip()) or (way == "feed" and file is not None)
    if file is not None:
        table = file.getvalue()
        mapping, readable = _mapping(table)
        usable = usable and readable
    whole = st.toggle(t("catalogue.whole"), key="whole-feed", help=t("catalogue.whole_help"))
    if st.button(t("catalogue.start"), type="primary", disabled=not usable, key="start-add"):
        if way == "feed" and table is not None:
            store.jobs.add_feed(table, whole=whole, mapping=mapping)
        else:
            store.jobs.add_source(source.strip(), table=table, mapping=mapping, whole=whole)
        _begun()


def _kept(store: Store, file: Any) -> str:
    """Where an uploaded ZIP is kept, written down once and not in each run of the page."""
    kept: dict[str, str] = st.session_state.setdefault("kept-zips", {})
    if not Path(kept.get(file.file_id, "")).is_file():
        kept[file.file_id] = str(store.jobs.keep_upload(file.getvalue(), ".zip"))
    return kept[file.file_id]


def _mapping(table: bytes) -> tuple[tuple[str, ...], bool]:
    """Which column is what, to be changed by hand, and the first rows as they would be read. Returns the changes, and
    whether the table can be read so."""
    first = preview_table(table)
    if st.session_state.get("map-columns") != first.columns:  # another table: what was said of the last one is over
        for name in first.fields:
            st.session_state.pop(f"map-{name}", None)
        st.session_state["map-columns"] = first.columns
    st.subheader(t("catalogue.columns"), anchor=False)
    changes = []
    with st.container(horizontal=True, gap="small"):
        for name in first.fields:
            now = first.mapping.get(name, "")
            offered = list(dict.fromkeys(["", *([now] if now else []), *first.columns]))
            chosen = st.selectbox(
                field_name(name),
                offered,
                index=offered.index(now),
                key=f"map-{name}",
                width=190,
                format_func=lambda text: text or "–",
                accept_new_options=True,
            )
            if (chosen or "") != now:
                changes.append(f"{name}={chosen or ''}")
    found = preview_table(table, changes) if changes else first
    _preview(found)
    return tuple(changes), not found.error


def _preview(found: TablePreview) -> None:
    if found.error:
        st.error(f"{sentence(found.error)} {t('catalogue.choose_columns')}", icon=":material/error:")
        st.caption(t("catalogue.as_written"))
        st.dataframe(found.rows, hide_index=True, alt=t("catalogue.as_written"))
        return
    for note in found.notes:
        st.caption(sentence(note))
    st.caption(t("catalogue.preview"))
    columns = [name for name in ("line", *found.fields, "problem") if any(row.get(name) for row in found.rows)]
    st.dataframe(
        {_column(name): [_cell(row.get(name, ""), name) for row in found.rows] for name in columns},
        hide_index=True,
        alt=t("catalogue.preview"),
    )


def _cell(text: str, name: str) -> str:
    return without_options(text) if name == "problem" else text


def _column(name: str) -> str:
    return t(f"catalogue.{name}") if name in ("line", "problem") else field_name(name)


# --- hosting ----------------------------------------------------------------------------------------------------------


def _hosting(store: Store) -> None:
    st.write(t("catalogue.hosting_help", n=store.media.photos))
    if st.button(t("catalogue.check"), type="primary", key="check-media"):
        store.jobs.check_media()
        _begun()
    path = Path(store.media.issues_file)
    if not path.exists():
        st.caption(t("catalogue.never_checked"))
        return
    text = path.read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows:
        st.success(t("catalogue.all_fine"), icon=":material/check_circle:")
        return
    st.warning(t("catalogue.issues", n=len(rows)), icon=":material/link_off:")
    st.dataframe(rows[:ISSUES_SHOWN], hide_index=True, alt=t("catalogue.hosting"))
    download(t("catalogue.download"), text, "hosting")


# --- models and index -------------------------------------------------------------------------------------------------


def _model(store: Store) -> None:
    known = store.models.list()
    rows: list[dict[str, Any]] = [
        {
            t("catalogue.name"): each.model.name,
            t("catalogue.vectors"): each.photos,
            t("catalogue.use"): t(f"catalogue.{'active' if each.active else 'previous' if each.previous else 'kept'}"),
            t("catalogue.fingerprint"): each.model.fingerprint,
        }
        for each in known
    ]
    st.dataframe(rows, hide_index=True, alt=t("catalogue.model"))
    if work := store.models.work:
        st.info(escape(work), icon=":material/hourglass_top:")
    active = [each.model.encoder for each in known if each.active]
    offered = [
        name for name in dict.fromkeys([*(each.model.encoder for each in known), *KNOWN_MODELS]) if name not in active
    ]
    key = "-".join(("other-model", *active))  # once it is changed, another one is offered
    wanted = st.selectbox(t("catalogue.other_model"), offered, accept_new_options=True, key=key)
    st.caption(t("catalogue.model_help"))
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(t("catalogue.switch"), key="switch", disabled=not wanted) and wanted:
            store.jobs.use_model(wanted)
            _begun()
        if any(each.previous for each in known) and st.button(t("catalogue.rollback"), key="rollback"):
            store.jobs.rollback_model()
            _begun()
        shell.link("prove", t("catalogue.compare"), ":material/compare_arrows:")


def _index(store: Store) -> None:
    info = store.info()
    st.markdown(f"`{info.index.spec}`  {escape(info.index_choice)}")
    if info.index.problem:
        st.warning(escape(info.index.problem), icon=":material/build:")
    wanted = st.selectbox(t("catalogue.other_index"), INDEXES, accept_new_options=True, key="other-index")
    with st.container(horizontal=True):
        if st.button(t("catalogue.switch"), key="switch-index", disabled=not wanted) and wanted:
            with st.spinner(t("catalogue.building")):
                count = store.index.use(wanted)
            st.success(t("catalogue.built", n=amount(count)), icon=":material/check_circle:")
        if st.button(t("catalogue.rebuild"), key="rebuild"):
            store.jobs.rebuild_index()
            _begun()


if __name__ == "__main__":
    shell.run(show, empty=True, manage=True)
