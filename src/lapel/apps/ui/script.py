"""What only a script in the visitor's browser can do: go to the top, close the filters on a phone, tell screen readers
how many results there are.

Streamlit draws its elements anew, so a live region and a listener in them would be lost; these are put beside its page,
once.
"""

from __future__ import annotations

import html
import json

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
  document.addEventListener("click", event => {
    if (event.target.closest(".lapel-done button"))
      document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
  });
}
""".replace("SUFFIXES", ",".join(image_suffixes()))


def run(*, status: str, visit: int, top: bool) -> None:
    """Run the page's script.

    Args:
        status: What a screen reader says when it has changed, such as ``20 of 40 products``.
        visit: How many queries were shown; the script runs again when it changes.
        top: Go to the top of the page: after a query, the new answer is what to look at.
    """
    lines = [SETUP]
    if top:
        lines.append("document.querySelector('[data-testid=stMain]')?.scrollTo({top: 0});")
    # "<" is written as its escape, so that no text can end the script.
    text = json.dumps(status).replace("<", "\\u003c")
    lines.append(f"document.getElementById('lapel-status').textContent = {text};")
    with st.container(key="script"):
        st.html(f"<script>/* {visit} */ {{ {' '.join(lines)} }}</script>", unsafe_allow_javascript=True)


def done_button(count: int) -> None:
    """The button that closes the filters where they cover the page: it says what is behind them."""
    with st.container(key="filters-done"):
        st.html(
            f"<div class='lapel-done'><button type='button'>{html.escape(t('filters.show', n=count))}</button></div>"
        )
