"""Search: what was asked as chips, ways to change it, and the nearest products as a gallery without an end."""

from __future__ import annotations

import html

import streamlit as st

from lapel.apps.ui import shell, state
from lapel.apps.ui.asked import Asked
from lapel.apps.ui.asking import ask_box, drop_zone, forgotten
from lapel.apps.ui.filters import sidebar
from lapel.apps.ui.gallery import Event, gallery, hit_card, product_card
from lapel.apps.ui.lang import amount, t
from lapel.apps.ui.picture_cache import KeptPhoto, ready_to_ask
from lapel.apps.ui.query_bar import chips, query_bar
from lapel.apps.ui.selection import FilterSelection, escape
from lapel.apps.ui.why import show_why
from lapel.core.errors import QueryError
from lapel.core.types import Query, SearchResult, Verdict
from lapel.service import Overview, Store

MAX_HITS = 10_000  # that a query may ask for
ACTIONS = ("more", "less", "why")


def show(store: Store, overview: Overview) -> str:
    """Show the start page, or the answer."""
    unknown = state.from_url(overview)
    selection = sidebar(store, overview)
    state.to_url(selection)
    if unknown:
        st.warning(t("search.unknown", what=escape(", ".join(unknown))), icon=":material/link_off:")
    asked = state.asked()
    status = _answer(store, overview, selection, asked) if asked else _start(store, overview, selection)
    if problem := store.index.status().problem:
        st.caption(f":material/info: {t('search.index_problem')} {escape(problem)}")
    return status


def _start(store: Store, overview: Overview, selection: FilterSelection) -> str:
    """The start page: the ways in, and the catalogue below."""
    st.html(
        f"<div class='lapel-hero'><h1>{html.escape(t('search.hero'))}</h1>"
        f"<p>{html.escape(t('search.promise', n=overview.products))}</p></div>"
    )
    ask_box(store, refine=False)
    drop_zone(store)
    if state.history():
        query_bar(store, overview)
    st.subheader(t("search.catalogue"), anchor=False)
    chips(store, overview, selection, None)
    limit = state.num_shown()
    found = store.browse(where=selection.filter(), limit=limit)
    if not found.products:
        st.subheader(t("search.none_passes"), anchor=False)
        st.write(t("search.none_passes_what", filters=escape(selection.in_words()), n=overview.products))
        _clear_filters(overview)
        return t("search.none_passes")
    words = t("search.products", n=found.total)
    st.html(f"<p class='lapel-count'>{html.escape(words)}</p>")
    cards = [product_card(each) for each in found.products]
    _act(gallery(cards, key="gallery", label=words, actions=("more",), more=found.total > limit))
    return words


def _answer(store: Store, overview: Overview, selection: FilterSelection, asked: Asked) -> str:
    """What was asked, and the nearest products."""
    ask_box(store, refine=True)
    photo = ready_to_ask(store, asked.photo, asked.box) if asked.photo else None
    if asked.photo and photo is None:
        forgotten(asked)
        asked = asked.without("photo")
        if not asked:
            return t("ask.refused")
    chips(store, overview, selection, photo)
    bar = st.container()
    status = _found(store, overview, selection, asked, photo)
    with bar:  # last, as it may look for products in the picture, which takes longer than the answer
        query_bar(store, overview, photo)
    return status


def _found(store: Store, overview: Overview, selection: FilterSelection, asked: Asked, photo: KeptPhoto | None) -> str:
    """The nearest products, or why there are none."""
    k = min(state.num_shown(), MAX_HITS)
    try:
        query = asked.query(photo, k, selection.filter())
        with st.spinner(t("search.looking")):
            found = store.search(query=query)
    except QueryError as error:
        st.error(escape(str(error)), icon=":material/link_off:")
        return t("error.title")
    _how_read(found)
    if not found:
        return _nothing(overview, selection, asked, found.verdict)
    if found.verdict is Verdict.NOTHING_CLOSE and not asked.anyway:
        if not asked.only_likes or selection.filter():
            return _nothing_close(found, selection, asked, overview, photo)
        st.caption(t("search.only_likes"))  # whoever wants more of a product wants the nearest, however far
    return _hits(store, found, query, photo, k)


def _hits(store: Store, found: SearchResult, query: Query, photo: KeptPhoto | None, k: int) -> str:
    only = found.total == 1
    words = t("search.products", n=1) if only else t("search.nearest", n=len(found), total=amount(found.total))
    took = t("search.took", ms=amount(found.took_ms))
    st.html(f"<p class='lapel-count'><strong>{html.escape(words)}</strong> <span>{html.escape(took)}</span></p>")
    event = gallery(
        [hit_card(hit) for hit in found],
        key="gallery",
        label=words,
        actions=ACTIONS,
        more=len(found) == k < min(found.total, MAX_HITS),
    )
    if event and event[0] == "why":
        hit = next((each for each in found if each.product.id == event[1]), None)
        if hit is not None:
            show_why(store, query, photo, hit)
    else:
        _act(event)
    return words


def _act(event: Event | None) -> None:
    """Do what a visitor asked of a card."""
    if event is None:
        return
    name, product_id = event
    asked = state.asked()
    if name == "open":
        shell.go("product", id=product_id)
    elif name == "page":
        state.show_more()
        st.rerun()
    elif name == "more":
        only = not asked or asked.only_likes
        st.session_state["next"] = Asked(likes=(product_id,), look=asked.look) if only else asked.more_like(product_id)
        st.rerun()
    elif name == "less":
        st.session_state["next"] = asked.less_like(product_id)
        st.rerun()


def _how_read(found: SearchResult) -> None:
    """How words were read, where that is not as they were typed."""
    for part in found.understood.parts:
        words = part.words
        if words is None:
            continue
        told = []
        if read := dict(words.corrected + words.synonyms):
            told.append(t("search.corrected", pairs=", ".join(f"{a} → {b}" for a, b in read.items())))
        if words.unknown:
            told.append(t("search.not_known", words=", ".join(words.unknown)))
        if told:
            st.caption(escape(" · ".join(told)))


def _nothing(overview: Overview, selection: FilterSelection, asked: Asked, verdict: Verdict) -> str:
    """There is no hit. Returns why, in words."""
    with st.container(key="nothing"):
        if verdict is Verdict.NOTHING_PASSES:
            title = t("search.none_passes")
            st.header(title, anchor=False)
            st.write(t("search.none_passes_what", filters=escape(selection.in_words()), n=overview.products))
            _clear_filters(overview)
        elif verdict is Verdict.NOT_UNDERSTOOD:
            title = t("search.not_understood")
            st.header(title, anchor=False)
            st.write(t("search.not_understood_what"))
            st.button(t("search.new"), type="primary", key="new", on_click=lambda: state.ask(Asked()))
        else:
            title = t("search.no_other")
            st.header(title, anchor=False)
            st.write(t("search.no_other_what"))
            if asked:
                st.button(t("search.new"), type="primary", key="new", on_click=lambda: state.ask(Asked()))
    return title


def _clear_filters(overview: Overview) -> None:
    st.button(
        t("search.clear_filters"),
        type="primary",
        key="clear-filters",
        on_click=state.drop_filter,
        args=("", "", overview),
    )


def _nothing_close(
    found: SearchResult, selection: FilterSelection, asked: Asked, overview: Overview, photo: KeptPhoto | None
) -> str:
    """Nothing is like what was asked for: why that may be, and the ways on."""
    from dataclasses import replace

    title = t("search.nothing_close_filtered" if selection.filter() else "search.nothing_close")
    with st.container(key="nothing"):
        st.header(title, anchor=False)
        if found.fashion is not None and found.fashion < 0.5:  # more likely than not it shows no clothes
            st.write(t("search.no_fashion"))
        elif found.kinds:
            st.write(t("search.kinds", kinds=escape(", ".join(kind for kind, _ in found.kinds[:3]))))
        st.write(t("search.ways" if photo is not None else "search.ways_no_photo"))
        with st.container(horizontal=True):
            if selection.filter():
                _clear_filters(overview)
            if photo is not None and photo.product is not None and not asked.whole and asked.box is None:
                st.button(
                    t("search.use_whole"), key="use-whole", on_click=lambda: state.ask(replace(asked, whole=True))
                )
            st.button(
                t("search.anyway", n=len(found)), key="anyway", on_click=lambda: state.ask(replace(asked, anyway=True))
            )
            st.button(t("search.new"), key="new", on_click=lambda: state.ask(Asked()))
    return title


if __name__ == "__main__":
    if "next" in st.session_state:
        state.ask(st.session_state.pop("next"))
    shell.run(show)
