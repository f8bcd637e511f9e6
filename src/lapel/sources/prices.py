"""Prices, currencies and stock as shops write them: ``49.90``, ``1.299,00``, ``€ 49,90``, ``49.90 EUR``, ``in stock``, ``0``."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from lapel.core.types import MINOR_UNITS

SYMBOLS = {
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "¥": "JPY",
    "US$": "USD",
    "$": "USD",
    "zł": "PLN",
    "₩": "KRW",
    "₺": "TRY",
}
LARGEST = 10**15  # minor units; far above any price, far below what SQLite's integers hold
IN_STOCK = frozenset(
    (
        "yes",
        "y",
        "true",
        "t",
        "in stock",
        "instock",
        "in_stock",
        "available",
        "limited availability",
        "preorder",
        "backorder",
    )
)
OUT_OF_STOCK = frozenset(
    ("no", "n", "false", "f", "out of stock", "outofstock", "out_of_stock", "sold out", "unavailable", "discontinued")
)

_NUMBER = re.compile(r"[0-9][0-9.,' \u00a0\u202f\u2019]*")
_GAPS = re.compile(r"[' \u00a0\u202f\u2019]")


class ExactNumber(str):
    """A price that came as a number, not as a text: its point is a decimal point."""


def parse_price(text: str, currency: str) -> tuple[int, str]:
    """Read a price.

    A currency in the text counts more than ``currency``. Of ``.`` and ``,`` the last one parts the cents when both are there. One
    of them alone, followed by exactly three digits, parts thousands (``1.299`` is 1299), unless the currency has three decimals or
    the number begins with ``0``. More decimals than the currency has are rounded, half up.

    Returns:
        The price in the currency's smallest unit, and the currency, which is empty when neither place names one.

    Raises:
        ValueError: it is not a price; the message says why.
    """
    found, rest = _split(text)
    if rest:
        known = [code for symbol, code in SYMBOLS.items() if rest == symbol]
        named = known[0] if known else rest.upper()
        if not re.fullmatch("[A-Z]{3}", named):
            raise ValueError(f"price '{text}' is not a number. Write it like 49.90")
        currency = named
    digits = MINOR_UNITS.get(currency, 2)
    amount = Decimal(found) if isinstance(text, ExactNumber) else _decimal(found, digits)
    minor = int((amount * 10**digits).to_integral_value(ROUND_HALF_UP))
    if minor > LARGEST:
        raise ValueError(f"price '{text}' is too large to be one")
    return minor, currency


def parse_stock(text: str) -> bool | None:
    """Whether it can be bought: words, or a number of pieces. Empty is unknown.

    Raises:
        ValueError: it is neither.
    """
    folded = text.strip().casefold()
    if not folded:
        return None
    if folded in IN_STOCK:
        return True
    if folded in OUT_OF_STOCK:
        return False
    try:
        return float(folded) > 0
    except ValueError:
        raise ValueError(f"in_stock '{text}' is neither yes nor no nor a number of pieces") from None


def has_currency(text: str) -> bool:
    """Whether a price names its currency itself."""
    try:
        return bool(_split(text)[1])
    except ValueError:
        return False


def _split(text: str) -> tuple[str, str]:
    """The number in a price, and what stands before or after it."""
    if isinstance(text, ExactNumber):
        if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]+)?", text):
            raise ValueError(f"price '{text}' is not a number above zero. Write it like 49.90")
        return str(text), ""
    plain = text.strip().removesuffix(".-").removesuffix(",-")
    match = _NUMBER.search(plain)
    if not match or len(match[0]) > 40:
        raise ValueError(f"price '{text}' is not a number. Write it like 49.90")
    before, after = plain[: match.start()].strip(), plain[match.end() :].strip()
    if before in ("-", "−") or after == "-" or before.endswith(("-", "−")):
        raise ValueError(f"price '{text}' is below zero. Write it like 49.90")
    if before and after:
        raise ValueError(f"price '{text}' is not a number. Write it like 49.90")
    return _GAPS.sub("", match[0]), before or after


def _decimal(number: str, digits: int) -> Decimal:
    number = number.rstrip(".,")
    point = max(number.rfind("."), number.rfind(","))
    if point < 0:
        return Decimal(number)
    mark = number[point]
    whole, fraction = number[:point], number[point + 1 :]
    alone = not set(whole) & ({".", ","} - {mark})
    if alone and (mark in whole or (len(fraction) == 3 and digits != 3 and whole.lstrip("0"))):
        whole, fraction = number, ""  # the mark parts thousands
    groups = re.split(r"[.,]", whole)
    regular = len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])
    if (len(groups) > 1 and not regular) or len(set(whole) & {".", ","}) > 1 or (fraction and mark in whole):
        raise ValueError(f"price '{number}' has its separators in odd places. Write it like 1299.00")
    return Decimal(f"{''.join(groups) or '0'}.{fraction or '0'}")
