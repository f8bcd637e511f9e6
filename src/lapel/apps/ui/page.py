"""The page itself, run by Streamlit from top to bottom at every click: ``streamlit run page.py -- STORE``.

It only puts the pieces together: open the shop, show the filters, then the start page or the answer, and keep the URL
up to date.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import streamlit as st

from lapel.apps.ui import script, state
from lapel.apps.ui.cache import open_shop, overview_of
from lapel.apps.ui.filters import sidebar
from lapel.apps.ui.results import results
from lapel.apps.ui.selection import escape
from lapel.apps.ui.start import start
from lapel.core.errors import LapelError, StoreNotFoundError
from lapel.service import Store, counted, settings

ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='7' fill='#7a2636'/>"
    "<path d='M7 6l9 20 9-20-5 1-4 9-4-9z' fill='#fbfaf8'/></svg>"
)
MARK = "<span class='lapel-mark' aria-hidden='true'></span>"
STYLE = Path(__file__).with_name("style.css")


def main(folder: Path) -> None:
    """Show the page of one shop."""
    st.set_page_config(page_title="Lapel", page_icon=ICON, layout="wide", initial_sidebar_state="auto")
    st.html(STYLE)
    st.html(
        f"<div class='lapel-head'>{MARK}<span class='lapel-name'>Lapel</span><span class='lapel-promise'>Look-alikes"
        f" for fashion</span></div>"
    )
    try:
        _shop(folder)
    except LapelError as error:
        state.invalidate()
        render_error(error, folder)


def _shop(folder: Path) -> None:
    store = open_shop(folder)
    overview = overview_of(store)
    if not overview.vectors:
        state.invalidate()
        _empty(folder, overview.products)
        return
    unknown = state.from_url(overview)
    selection = sidebar(store, overview)
    state.to_url(selection)
    if unknown:
        st.warning(f"The link asks for {escape(', '.join(unknown))}, which this shop does not have. It was left out.")
    if state.history():
        status = results(store, overview, selection)
    else:
        status = start(store, overview, selection, private_links=settings().allow_private_links)
    _index_note(store)
    visit = st.session_state.get("visit", 0)
    top = visit != st.session_state.get("seen", 0)
    st.session_state["seen"] = visit
    script.run(status=status, visit=visit, top=top)


def _index_note(store: Store) -> None:
    """Why the last work on the index failed, if it did: the answers are right, but may take longer."""
    problem = store.index.status().problem
    if problem:
        st.caption(f":material/info: The index needs attention; searches may be slower. {escape(problem)}")


def _empty(folder: Path, products: int) -> None:
    found = f"holds {counted(products, 'product')} without a usable picture" if products else "is empty"
    st.html(
        f"<div class='lapel-empty'><h1>This shop {found}</h1><p>Add pictures, a product table or a ZIP, then look"
        f" again:</p></div>"
    )
    _commands(_add_command(folder))


def render_error(error: LapelError, folder: Path) -> None:
    """Show why the shop cannot be shown, and what to do."""
    if isinstance(error, StoreNotFoundError):
        st.html(
            "<div class='lapel-empty'><h1>There is no shop here yet</h1><p>Fill one with your pictures, or try the"
            " sample wardrobe:</p></div>"
        )
        _commands(f"{_add_command(folder)}\nlapel demo")
        return
    st.html("<div class='lapel-empty'><h1>This shop cannot be shown</h1></div>")
    with st.container(key="error"):
        st.error(escape(str(error)), icon=":material/error:")
        st.button("Look again", type="primary", key="again")


def _add_command(folder: Path) -> str:
    return f"lapel add PICTURES --store {shlex.quote(str(folder))}"


def _commands(commands: str) -> None:
    """Commands to type, and a way to look again afterwards."""
    with st.container(key="commands"):
        st.code(commands, language="bash")
        st.button("Look again", type="primary", key="again")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "shop"))
