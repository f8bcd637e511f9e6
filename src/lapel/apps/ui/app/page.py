"""The page itself, run by Streamlit from top to bottom at every click: ``streamlit run page.py -- STORE``.

It only chooses which of :data:`lapel.apps.ui.page_table.PAGES` is shown. It has a folder of its own because Streamlit
takes a folder ``pages/`` beside it for another kind of app.
"""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

from lapel.apps.ui.access import may_manage
from lapel.apps.ui.lang import settle_language, t
from lapel.apps.ui.page_table import HIDDEN, PAGES
from lapel.apps.ui.shell import footer, page_of

ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='7' fill='#7a2636'/>"
    "<path d='M7 6l9 20 9-20-5 1-4 9-4-9z' fill='#fbfaf8'/></svg>"
)
STYLE = Path(__file__).parents[1] / "style.css"


def main() -> None:
    """Show one of the pages."""
    settle_language()
    st.set_page_config(page_title="Lapel", page_icon=ICON, layout="wide", initial_sidebar_state="auto")
    st.html(STYLE)
    st.html(f"<style>:root {{ --lapel-menu: {json.dumps(t('shell.menu'), ensure_ascii=False)} }}</style>")
    manage = may_manage()
    pages = [page_of(row, visible=row.name not in HIDDEN and (manage or not row.manage)) for row in PAGES]
    st.logo(ICON, size="large")
    chosen = st.navigation(pages, position="top")
    st.session_state["path"] = chosen.url_path
    chosen.run()
    footer()


if __name__ == "__main__":
    main()
