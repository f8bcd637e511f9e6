"""Long questions that change nothing, answered in a thread of the server: a reload of the page finds them again.

What changes the store is a job of the store (``store.jobs``), which even survives the server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import streamlit as st

from lapel.apps.ui.lang import amount, t
from lapel.apps.ui.selection import sentence
from lapel.core.errors import LapelError

Tell = Callable[[int, int | None], None]
Seen = TypeVar("Seen")
SECONDS = 1.0  # between two looks at how far it is


@dataclass
class Work:
    """One question under way, or answered.

    Attributes:
        done: How far it is.
        total: How far it goes, when that is known.
        result: Its answer.
        error: Why there is none.
        ended: Whether nothing more happens.
    """

    done: int = 0
    total: int | None = None
    result: Any = None
    error: str = ""
    ended: bool = False
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def tell(self, done: int, total: int | None) -> None:
        """Called by the work.

        Raises:
            _StoppedError: somebody asked to stop it.
        """
        self.done, self.total = done, total
        if self._stop.is_set():
            raise _StoppedError

    def stop(self) -> None:
        """End it at its next step."""
        self._stop.set()


class _StoppedError(Exception):
    """Somebody asked to stop."""


_works: dict[str, Work] = {}


def start(name: str, ask: Callable[[Tell], Any]) -> Work:
    """Answer a question in a thread; the last answer of this name is forgotten.

    Args:
        name: What it is called, with the store it is asked of.
        ask: Takes a function to tell how far it is, and returns the answer.
    """
    work = _works[name] = Work()

    def run() -> None:
        try:
            work.result = ask(work.tell)
        except _StoppedError:
            _works.pop(name, None)
        except LapelError as error:
            work.error = str(error)
        except Exception as error:  # a thread has nobody to tell but the page
            work.error = f"{type(error).__name__}: {error}"
        work.ended = True

    threading.Thread(target=run, name=f"lapel-page-{name}", daemon=True).start()
    return work


def find(name: str) -> Work | None:
    """The work of a name; None where none was begun."""
    return _works.get(name)


def show_progress(name: str) -> bool:
    """Show how far a work is, live, or why it failed. Returns whether there is an answer."""
    work = find(name)
    if work is None:
        return False
    if work.ended:
        if work.error:
            st.error(sentence(work.error), icon=":material/error:")
        return not work.error

    def show(now: Work | None) -> None:
        if now is not None:
            bar(now.done, now.total)
            st.button(t("work.stop"), key=f"stop-{name}", on_click=now.stop)

    show_live(False, lambda: find(name), lambda now: now is None or now.ended, show)
    return False


def show_live(
    over: bool, look: Callable[[], Seen], ended: Callable[[Seen], bool], show: Callable[[Seen], None]
) -> None:
    """Show what is under way, and look at it again by itself until it is over; then the whole page is drawn anew.

    The run of the whole page only shows: to draw the page anew from there would lose a press on a button further down,
    which that run has not come to yet.

    Args:
        over: Whether this run of the page saw that nothing more happens: then it is not looked at by itself.
        look: Looks at it.
        ended: Whether nothing more happens.
        show: Draws it.
    """
    runs = count()

    @st.fragment(run_every=None if over else SECONDS)
    def live() -> None:
        now = look()
        if next(runs) and not over and ended(now):
            st.rerun()
        show(now)

    live()


def bar(done: int, total: int | None) -> None:
    """How far something is."""
    words = t("work.of", done=amount(done), total=amount(total)) if total else t("work.done", done=amount(done))
    st.progress(min(1.0, done / total) if total else 0.0, text=words)
