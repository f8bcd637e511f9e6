"""Map: the whole catalogue as pictures that lie near what they look like, with its groups and facets."""

from __future__ import annotations

import streamlit as st

from lapel.apps.ui import shell, state, work
from lapel.apps.ui.findings import download
from lapel.apps.ui.gallery import PARTS
from lapel.apps.ui.lang import t
from lapel.apps.ui.map_cache import CachedMap, map_name
from lapel.apps.ui.selection import escape
from lapel.service import Overview, Store

component = st.components.v2.component(
    "lapel_map", css=(PARTS / "map.css").read_text("utf-8"), js=(PARTS / "map.js").read_text("utf-8")
)


def show(store: Store, _: Overview) -> str:
    """Draw the map when it is first asked for, then show it until somebody wants it drawn anew."""
    state.invalidate()
    name = map_name(store.folder)
    st.header(t("map.title"), anchor=False)
    st.write(t("map.help"))
    if work.find(name) is None:
        _draw(store, name)
    if not work.show_progress(name) or (done := work.find(name)) is None:
        _again(store, name)
        return t("map.title")
    made: CachedMap = done.result
    if made.revision != store.revision:
        st.info(t("map.stale"), icon=":material/update:")
        _again(store, name)
    component(
        key="map",
        data={
            "source": f"map-page?v={made.digest}",
            "texts": {"title": t("map.title"), "open": t("map.open")},
        },
    )
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(escape(made.summary))
        download(t("map.download"), made.page, "map", kind="html")
    return made.summary


def _again(store: Store, name: str) -> None:
    found = work.find(name)
    if found is not None and found.ended:
        st.button(t("map.again"), key="draw-again", on_click=_draw, args=(store, name))


def _draw(store: Store, name: str) -> None:
    work.start(name, lambda tell: _made(store, tell))


def _made(store: Store, tell: work.Tell) -> CachedMap:
    revision = store.revision
    return CachedMap.of(store.catalogue_map(progress=tell), revision)


if __name__ == "__main__":
    shell.run(show)
