"""Why a product is in a row, in words that can be shown to whoever shops."""

from __future__ import annotations

import numpy as np

from lapel.catalog.events import BUY, CART, LIKE, VIEW
from lapel.core.answers import Reason
from lapel.core.types import Product
from lapel.engine.recommend.complement import Agreement
from lapel.engine.recommend.table import ProductTable

DID = {VIEW: "looked at", LIKE: "liked", CART: "put into the basket", BUY: "bought"}


def name_of(product: Product | None, product_id: str) -> str:
    """What a product is called in a sentence."""
    return f"'{product.title}'" if product is not None and product.title else f"'{product_id}'"


def because(name: str, product_id: str, kind: int) -> Reason:
    """For what looks like something somebody did something with."""
    return Reason("liked", f"because you {DID.get(kind, 'liked')} {name}", product_id, {"event": DID.get(kind, "")})


def bought_with(name: str, product_id: str, baskets: int) -> Reason:
    """For what is in the same baskets."""
    return Reason("bought-with", f"often bought with {name}", product_id, {"baskets": baskets})


def goes_with(name: str, product_id: str, agreement: Agreement, at: int, part: str) -> Reason:
    """For what completes an outfit."""
    agrees = {
        "colours": ("its colours agree", agreement.harmony[at] >= 0.75),
        "price": ("a price to match", agreement.price[at] >= 0.75),
        "season": ("the same season", bool(agreement.season[at])),
    }
    told = [words for words, good in agrees.values() if good]
    data = {"harmony": round(float(agreement.harmony[at]), 3), "price": round(float(agreement.price[at]), 3)}
    words = f"goes with {name}" + (f": {', '.join(told)}" if told else "")
    names = " ".join(name for name, (_, good) in agrees.items() if good)
    return Reason("goes-with", words, product_id, {**data, "agrees": names, "part": part})


def compared(
    kind: str, words: str, product_id: str, table: ProductTable, seed: int, place: int, **data: float | str
) -> Reason:
    """For what stands beside or in place of a product: with how much dearer or cheaper it is."""
    own, other = float(table.prices[seed]), float(table.prices[place])
    same = table.currencies.of[seed] == table.currencies.of[place]
    if not same or np.isnan(own) or np.isnan(other) or own <= 0:
        return Reason(kind, words, product_id, data)
    change = round(100 * (other / own - 1))
    if change:
        words += f", {abs(change)} % {'more' if change > 0 else 'less'}"
    return Reason(kind, words, product_id, {**data, "price_change_percent": change})
