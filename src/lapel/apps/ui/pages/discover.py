"""Discover: products to wander through without a query. What is tapped says what to show next, with the reason beside
it, and a no is heard.

Where the store can be written to, taps are events of a person made up for this visit, and the row is a recommendation;
else they stay in the session and are parts of a query. Either way the address of the visit can be started afresh.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import streamlit as st

from lapel.apps.ui import shell, state
from lapel.apps.ui.asked import LESS, MOST_PRODUCTS
from lapel.apps.ui.gallery import gallery, hit_card, product_card
from lapel.apps.ui.lang import short, t
from lapel.core.types import Event, Part, Query
from lapel.service import Overview, Store

PAGE = 24  # products shown at once
ACTIONS = ("yes", "no")


@dataclass
class Taste:
    """What was tapped in this visit.

    Attributes:
        person: A name made up for it.
        taps: What was tapped, ``yes`` or ``no``, and the product's id; the newest last.
        pages: How many pages are shown.
    """

    person: str
    taps: list[tuple[str, str]]
    pages: int = 1

    def ids(self, action: str) -> list[str]:
        """The products that had this tap."""
        return [product_id for said, product_id in self.taps if said == action]

    @property
    def yes(self) -> list[str]:
        """Products that were liked."""
        return self.ids("yes")

    @property
    def no(self) -> list[str]:
        """Products that were refused."""
        return self.ids("no")


def taste() -> Taste:
    """This visit's."""
    if "taste" not in st.session_state:
        st.session_state["taste"] = Taste(f"page-{secrets.token_hex(8)}", [])
    kept: Taste = st.session_state["taste"]
    return kept


def show(store: Store, _: Overview) -> str:
    """Show what is next."""
    state.invalidate()
    now = taste()
    st.header(t("discover.title"), anchor=False)
    st.write(
        t("discover.help") if not now.yes and not now.no else t("discover.heard", yes=len(now.yes), no=len(now.no))
    )
    if now.yes or now.no:
        with st.container(horizontal=True):
            st.button(t("discover.undo"), icon=":material/undo:", key="undo-tap", on_click=_undo, args=(store,))
            st.button(t("discover.anew"), icon=":material/restart_alt:", key="anew", on_click=_anew, args=(store,))
            if now.yes and st.button(t("discover.search"), icon=":material/search:", key="to-search"):
                shell.go("search", product=now.yes[-MOST_PRODUCTS:])
    cards = _cards(store, now)
    words = t("discover.shown", n=len(cards))
    event = gallery(cards, key="wander", label=words, actions=ACTIONS, more=len(cards) >= PAGE * now.pages)
    if event:
        _hear(store, now, *event)
    st.caption(t("discover.privacy") if store.read_only else t("discover.privacy_kept"))
    return words


def _cards(store: Store, now: Taste) -> list[dict[str, object]]:
    k = PAGE * now.pages
    titles = cache(partial(_title, store))
    if now.yes or now.no:
        found = _next(store, now, k, titles)
        if found:
            return found
    browsed = store.recommend(person=now.person, k=k, exclude=now.no, seed=7)
    if browsed:
        return [hit_card(hit, titles) for hit in browsed]
    refused = set(now.no)
    return [product_card(each) for each in store.browse(limit=k).products if each.product.id not in refused]


def _title(store: Store, product_id: str) -> str:
    return short(store.product(product_id).product.title or product_id)


def _next(store: Store, now: Taste, k: int, title: Callable[[str], str]) -> list[dict[str, object]]:
    """What follows from the taps: recommendations, or where nothing can be kept, a query of the taps."""
    if not store.read_only:
        found = store.recommend(person=now.person, k=k, exclude=now.no, seed=len(now.yes))
        return [hit_card(hit, title) for hit in found]
    if not now.yes:
        return []
    parts = [Part(product_id=each) for each in now.yes[-MOST_PRODUCTS:]]
    parts += [Part(product_id=each, weight=LESS) for each in now.no[-MOST_PRODUCTS:]]
    query = Query(parts=tuple(parts), k=k, exclude=frozenset(now.no), diversity=0.3, distinct=True)
    cards = [hit_card(hit) for hit in store.search(query=query)]
    for card in cards:
        card["reason"] = t("reason.liked", title=title(now.yes[-1]))
        card.pop("verdict", None)
    return cards


def _hear(store: Store, now: Taste, action: str, product_id: str) -> None:
    if action == "open":
        shell.go("product", id=product_id)
    if action == "page":
        now.pages += 1
    elif action in ACTIONS:
        now.taps.append((action, product_id))
        now.pages = 1
        _record(store, now, now.taps[-1:])
    st.rerun()


def _record(store: Store, now: Taste, taps: list[tuple[str, str]]) -> None:
    """Keep taps in the store, where it can be written to."""
    if not store.read_only:
        kinds = {"yes": "like", "no": "dismiss"}
        store.record([Event(secrets.token_hex(12), now.person, each, kinds[said], time.time()) for said, each in taps])


def _undo(store: Store) -> None:
    """Take the last tap back: the visit is forgotten in the store, and what is left of it kept again."""
    now = taste()
    now.taps.pop()
    if not store.read_only:
        store.erase(now.person)
        _record(store, now, now.taps)


def _anew(store: Store) -> None:
    """Forget the visit, in the store too."""
    now = st.session_state.pop("taste", None)
    if now is not None and not store.read_only:
        store.erase(now.person)


if __name__ == "__main__":
    shell.run(show)
