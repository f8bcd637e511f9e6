"""The visitor's language: what the browser asks for, unless another one was chosen."""

from __future__ import annotations

import threading

import streamlit as st

from lapel.apps.ui import texts
from lapel.service import field_label

CHOSEN = "language"  # in the session
LONGEST = 30  # letters of a title that is named in a sentence or on a chip


_run = threading.local()  # a run of the page has a thread of its own


def settle_language() -> None:
    """Ask for the visitor's language once for this run: asking the session for each of a page's thousand texts takes a
    sixth of the run."""
    _run.language = _language()


def language() -> str:
    """The language of this visitor."""
    return getattr(_run, "language", "") or _language()


def _language() -> str:
    return st.session_state.get(CHOSEN) or texts.language_for(st.context.locale)


def t(name: str, /, **values: object) -> str:
    """A text of the page in the visitor's language, see :func:`lapel.apps.ui.texts.text`."""
    return texts.text(name, language=language(), **values)


def known_text(name: str) -> str:
    """A text in the visitor's language; empty where there is none of this name."""
    return texts.texts_of(language()).get(name, "")


def amount(value: float, digits: int = 0) -> str:
    """A number as the visitor's language writes it."""
    return texts.number(value, language(), digits)


def share(value: float, digits: int = 0) -> str:
    """A share of one as percent, ``93 %``, which no line parts."""
    return f"{amount(100 * value, digits)}\N{NO-BREAK SPACE}%"


def short(title: str) -> str:
    """A title where it is named beside other things."""
    return title if len(title) <= LONGEST else title[: LONGEST - 1].rstrip() + "…"


def field_name(name: str) -> str:
    """A field of products in the visitor's language; a shop's own fields stay as the shop calls them."""
    return known_text(f"field.{name}") or field_label(name)


def choose_language() -> None:
    """The box to choose the language with."""
    now = language()
    st.selectbox(
        t("shell.language"),
        list(texts.LANGUAGES),
        index=list(texts.LANGUAGES).index(now),
        format_func=texts.LANGUAGES.__getitem__,
        key="language-box",
        on_change=lambda: st.session_state.update({CHOSEN: st.session_state["language-box"]}),
        width=160,
    )
