"""What every page has: opening the shop, and a way on where it cannot be shown."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import streamlit as st

from lapel.apps.ui import script, state
from lapel.apps.ui.access import Access, may_manage
from lapel.apps.ui.cache import overview_of
from lapel.apps.ui.first import under_way, ways_to_begin
from lapel.apps.ui.lang import choose_language, t
from lapel.apps.ui.page_table import PAGES, PageRow, path_of
from lapel.apps.ui.selection import escape
from lapel.apps.ui.shops import open_shop
from lapel.core.errors import LapelError, ModelMismatchError, StoreDamagedError, StoreNotFoundError
from lapel.service import Overview, Store

if TYPE_CHECKING:
    from streamlit.navigation.page import Page as StreamlitPage

HERE = Path(__file__).parent


ROWS = {row.name: row for row in PAGES}


def page_of(row: PageRow, *, visible: bool = True) -> StreamlitPage:
    """A row of the table as Streamlit has it."""
    return st.Page(
        HERE / "pages" / f"{row.name}.py",
        title=t(f"page.{row.name}"),
        icon=row.icon,
        url_path=path_of(row),
        default=row is PAGES[0],
        visibility="visible" if visible else "hidden",
    )


def go(name: str, **params: str | list[str]) -> NoReturn:
    """Show another page, with what its address shall say."""
    st.switch_page(page_of(ROWS[name]), query_params=params)


def link(name: str, label: str, icon: str) -> None:
    """A link to another page."""
    st.page_link(page_of(ROWS[name]), label=label, icon=icon)


def folder() -> Path:
    """The shop folder that this server shows."""
    return Path(sys.argv[1] if len(sys.argv) > 1 else "shop")


def store_now() -> Store:
    """The shop's store, open for writing where anybody may manage.

    Raises:
        LapelError: there is none, or it cannot be used.
    """
    access = Access.of_process()
    return open_shop(folder(), write=access.asks or access.role == "manage")


def run(show: Callable[[Store, Overview], str], *, empty: bool = False, manage: bool = False) -> None:
    """Show a page of the shop, or why it cannot be shown and what to do.

    Args:
        show: Draws it, and returns what it shows in words, for screen readers.
        empty: Whether it has something to show of a shop without a searchable picture.
        manage: Whether it is only for those who may manage.
    """
    try:
        if manage and not may_manage():
            _message(t("shell.not_allowed"), t("shell.not_allowed_why"))
            return
        if under_way(folder()):
            return
        store = store_now()
        overview = overview_of(store)
        if not overview.vectors and not empty:
            state.invalidate()
            _nothing_there(overview.products)
            return
        status = show(store, overview)
    except LapelError as error:
        state.invalidate()
        render_error(error)
        return
    visit = st.session_state.get("visit", 0)
    top = visit != st.session_state.get("seen", 0)
    st.session_state["seen"] = visit
    pages = [path_of(row) for row in PAGES]
    script.run(status=status, top=top, pages=pages, path=st.session_state.get("path", ""))


def footer() -> None:
    """Below every page: the language, and what becomes of pictures."""
    with st.container(key="foot", horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.caption(t("shell.privacy"))
        choose_language()


def _message(title: str, words: str) -> None:
    with st.container(key="message"):
        st.header(title, anchor=False)
        st.write(words)


def _nothing_there(products: int) -> None:
    title = t("empty.no_pictures", n=products) if products else t("empty.title")
    _message(title, t("empty.what"))
    _ways(_add_command())


def render_error(error: LapelError) -> None:
    """Show why the shop cannot be shown, and what to do."""
    if isinstance(error, StoreNotFoundError):
        _no_shop()
        return
    _message(t("error.title"), t(_what_to_do(error)))
    with st.container(key="error"):
        st.error(escape(str(error)), icon=":material/error:")
        st.button(t("shell.again"), type="primary", key="again")


def _no_shop() -> None:
    if not may_manage():
        _message(t("empty.no_shop"), t("empty.not_yet"))
        st.button(t("shell.again"), type="primary", key="again")
        return
    _message(t("empty.no_shop"), t("empty.no_shop_what", folder=escape(str(folder().absolute()))))
    with st.container(key="commands"):
        if ways_to_begin(folder()):
            go("catalogue")
        st.caption(t("empty.by_command"))
        st.code(_add_command(), language=None, wrap_lines=True)
        st.button(t("shell.again"), type="tertiary", key="again")


def _what_to_do(error: LapelError) -> str:
    kinds = ((ModelMismatchError, "error.model"), (StoreDamagedError, "error.damaged"))
    return next((name for kind, name in kinds if isinstance(error, kind)), "error.what")


def _add_command() -> str:
    return f"lapel add PICTURES --store {shlex.quote(str(folder()))}"


def _ways(commands: str) -> None:
    """Commands to type, a page to add with, and a way to look again afterwards."""
    with st.container(key="commands"):
        st.code(commands, language=None, wrap_lines=True)
        with st.container(horizontal=True):
            st.button(t("shell.again"), type="primary", key="again")
            if may_manage():
                link("catalogue", t("empty.add"), ":material/add:")
