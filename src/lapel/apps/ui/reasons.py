"""Why a product is in a row, in the visitor's language: made of the reason's data, as its own words are English."""

from __future__ import annotations

from collections.abc import Callable

from lapel.apps.ui.lang import amount, known_text, t
from lapel.core.types import Reason

EVENTS = {"looked at": "viewed", "put into the basket": "carted", "bought": "bought"}


def reason_words(reason: Reason, title: Callable[[str], str]) -> str:
    """A reason in words; empty for what says nothing, such as that a product is one of many.

    Args:
        reason: Of a hit.
        title: What a product of this id is called.
    """
    data = reason.data
    if reason.kind == "liked":
        return t(f"reason.{EVENTS.get(str(data.get('event')), 'liked')}", title=title(reason.product_id))
    if reason.kind == "popular" and not data.get("known"):
        return ""
    if reason.kind == "bought-with":
        return t("reason.bought_with", n=int(data.get("baskets", 1)))
    if reason.kind in ("goes-with", "completes"):
        return ", ".join(t(f"reason.same_{name}") for name in str(data.get("agrees", "")).split())
    words = known_text(f"reason.{reason.kind.replace('-', '_')}")
    if reason.kind == "substitute" and data.get("same_colour"):
        words = t("reason.substitute_colour")
    if change := data.get("price_change_percent"):
        percent = amount(abs(float(change)))
        words += ", " + (
            t("reason.dearer", percent=percent) if float(change) > 0 else t("reason.cheaper", percent=percent)
        )
    return words
