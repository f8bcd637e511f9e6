"""The page itself, run by Streamlit from top to bottom at every click: ``streamlit run page.py -- STORE``.

It only puts the pieces together: open the shop, draw the filters, then the start page or the answer, and keep the URL
true.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import streamlit as st

from lapel.apps.ui import script, state
from lapel.apps.ui.filters import sidebar
from lapel.apps.ui.results import results
from lapel.apps.ui.shop import look_at, open_engine
from lapel.apps.ui.start import start
from lapel.apps.ui.wanted import escape
from lapel.core.errors import LapelError, StoreNotFoundError
from lapel.core.settings import settings

ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='7' fill='#7a2636'/>"
    "<path d='M7 6l9 20 9-20-5 1-4 9-4-9z' fill='#fbfaf8'/></svg>"
)
STYLE = Path(__file__).with_name("style.css")


def main(store: Path) -> None:
    """Draw the page of one shop."""
    st.set_page_config(page_title="Lapel", page_icon=ICON, layout="wide", initial_sidebar_state="auto")
    st.html(STYLE)
    st.html(
        f"<div class='lapel-head'>{MARK}<span class='lapel-name'>Lapel</span><span class='lapel-promise'>Look-alikes"
        f" for fashion</span></div>"
    )
    try:
        _shop(store)
    except LapelError as error:
        state.distrust()
        _sorry(error, store)


def _shop(store: Path) -> None:
    engine = open_engine(store)
    shop = look_at(engine)
    if not shop.vectors:
        state.distrust()
        _empty(store, shop.products)
        return
    unknown = state.from_url(shop)
    now = sidebar(engine, shop)
    state.to_url(now)
    if unknown:
        st.warning(f"The link asks for {escape(', '.join(unknown))}, which this shop does not have. It was left out.")
    if state.trail():
        found = results(engine, shop, now)
    else:
        found = start(engine, shop, now, private_links=settings().allow_private_links)
    visit = st.session_state.get("visit", 0)
    top = visit != st.session_state.get("seen", 0)
    st.session_state["seen"] = visit
    script.run(status=found, visit=visit, top=top)


def _empty(store: Path, products: int) -> None:
    found = (
        f"holds {products:,} {'product' if products == 1 else 'products'} without a usable picture"
        if products
        else "is empty"
    )
    st.html(
        f"<div class='lapel-empty'><h1>This shop {found}</h1><p>Add pictures, a product table or a ZIP, then look"
        f" again:</p></div>"
    )
    _type(f"lapel add PICTURES --store {shlex.quote(str(store))}")


def _sorry(error: LapelError, store: Path) -> None:
    if isinstance(error, StoreNotFoundError):
        st.html(
            "<div class='lapel-empty'><h1>There is no shop here yet</h1><p>Fill one with your pictures, or try the"
            " sample wardrobe:</p></div>"
        )
        _type(f"lapel add PICTURES --store {shlex.quote(str(store))}\nlapel demo")
        return
    st.html("<div class='lapel-empty'><h1>This shop cannot be shown</h1></div>")
    with st.container(key="sorry"):
        st.error(escape(str(error)), icon=":material/error:")
        st.button("Look again", type="primary", key="again")


def _type(commands: str) -> None:
    """A command to type, and a way to look again afterwards."""
    with st.container(key="type"):
        st.code(commands, language="bash")
        st.button("Look again", type="primary", key="again")


MARK = "<span class='lapel-mark' aria-hidden='true'></span>"

if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "shop"))
