"""What only a script in the visitor's browser can do: go to the top, close the filters on a phone, tell screen readers
how many results there are, and put the address right.

Streamlit draws its elements anew, so a live region and a listener in them would be lost; these are put beside its page,
once.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from urllib.parse import urlencode

import streamlit as st

from lapel.apps.ui.lang import t
from lapel.service import image_suffixes

# One status line for screen readers, one listener, and what Streamlit's drop zone lacks: a role that may have a name,
# and what a phone's picker should offer. Nothing here comes from a visitor or a shop.
SETUP = """
if (!document.getElementById("lapel-status")) {
  const line = document.createElement("div");
  line.id = "lapel-status";
  line.className = "lapel-hidden";
  line.setAttribute("role", "status");
  document.body.append(line);
  const complete = () => {
    const zone = document.querySelector("[data-testid=stFileUploaderDropzone][role=presentation]");
    zone?.setAttribute("role", "group");
    zone?.querySelector("input")?.setAttribute("accept", "image/*,SUFFIXES");
  };
  complete();
  new MutationObserver(complete).observe(document.body, {childList: true, subtree: true});
  // On its way to another page Streamlit writes that page's query to the address of this one: nothing to go back to.
  const push = history.pushState, without = url => url.href.replace(url.search, "");
  let between = "";
  history.pushState = function (data, title, address) {
    const next = new URL(address ?? location, document.baseURI), moved = without(next) !== without(new URL(location));
    const skip = moved && between && between === next.search && location.search === between;
    between = moved ? "" : next.search;
    return (skip ? history.replaceState : push).call(history, data, title, address);
  };
  addEventListener("popstate", () => { between = ""; });
  document.addEventListener("click", event => {
    if (event.target.closest(".lapel-done button"))
      document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
  });
}
""".replace("SUFFIXES", ",".join(image_suffixes()))

# Whoever goes back while a run is under way sees what they went back to, but the ended run may have put its own address
# into the browser meanwhile; the next search would be added to that one.
ADDRESS = """
const here = location.pathname.split("/").pop();
if (PAGES.includes(here)) {
  const wanted = new URL(location), query = new URLSearchParams(QUERY);
  for (const name of ["embed", "embed_options"])
    for (const value of wanted.searchParams.getAll(name)) query.append(name, value);
  wanted.pathname = wanted.pathname.slice(0, wanted.pathname.length - here.length) + PATH;
  wanted.search = query;
  const plain = url => { const params = new URLSearchParams(url.search); params.sort(); return url.pathname + params; };
  if (plain(wanted) !== plain(location)) history.replaceState(history.state, "", wanted);
}
"""


def run(*, status: str, top: bool, pages: Sequence[str], path: str) -> None:
    """Run the page's script, once in each run of the page.

    Args:
        status: What a screen reader says when it has changed, such as ``20 of 40 products``.
        top: Go to the top of the page: after a query, the new answer is what to look at.
        pages: The last part of the address of each page; empty for the first.
        path: That of this page.
    """
    number = st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    query = urlencode([(name, value) for name in st.query_params for value in st.query_params.get_all(name)])
    lines = [SETUP, f"const PAGES = {_json(list(pages))}, PATH = {_json(path)}, QUERY = {_json(query)};", ADDRESS]
    if top:
        lines.append("document.querySelector('[data-testid=stMain]')?.scrollTo({top: 0});")
    lines.append(f"document.getElementById('lapel-status').textContent = {_json(status)};")
    with st.container(key="script"):
        st.html(f"<script>/* {number} */ {{ {' '.join(lines)} }}</script>", unsafe_allow_javascript=True)


def _json(value: object) -> str:
    """As a script has it; "<" is written as its escape, so that no text can end the script."""
    return json.dumps(value).replace("<", "\\u003c")


def done_button(count: int) -> None:
    """The button that closes the filters where they cover the page: it says what is behind them."""
    with st.container(key="filters-done"):
        st.html(
            f"<div class='lapel-done'><button type='button'>{html.escape(t('filters.show', n=count))}</button></div>"
        )
