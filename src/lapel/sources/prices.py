"""Prices, currencies and stock as shops write them: ``49.90``, ``1.299,00``, ``€ 49,90``, ``49.90 EUR``, ``in stock``,
``0``."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Decimal

from lapel.core.types import MINOR_UNITS

# How shops write currencies beside ISO 4217's codes, without case and full stops. Where several countries use a sign,
# the commonest is taken and said (ASSUMED_SIGNS), or none when none is (AMBIGUOUS_SIGNS).
_WRITTEN = (
    "AUD: a$, au$; BGN: лв; BRL: r$; CAD: c$, ca$; CHF: fr, sfr, swiss franc, swiss francs; CNY: cn¥, 元; CZK: kč;"
    " EUR: €, euro, euros; GBP: £, british pound, pound sterling; HKD: hk$; HUF: ft; IDR: rp; ILS: ₪;"
    " INR: ₹, rs, indian rupee, rupees; JPY: 円, ¥, ￥, yen; KRW: ₩; KZT: ₸; MXN: mx$; MYR: rm; NGN: ₦; NZD: nz$;"
    " PHP: ₱; PLN: zł; RON: lei; RUB: ₽, руб; SGD: s$; THB: ฿; TRY: ₺, tl; TWD: nt$; UAH: ₴, грн;"
    " USD: us$, $, us dollar, us dollars; VND: ₫"
)
SYMBOLS = {sign: each[:3] for each in _WRITTEN.split("; ") for sign in each[5:].split(", ")}
ASSUMED_SIGNS = frozenset(("$", "\u00a5", "\uffe5", "rs"))
AMBIGUOUS_SIGNS = {"kr": "SEK, NOK or DKK", "kr.": "SEK, NOK or DKK"}
# Words before the lowest of several prices, or before any.
_FROM = re.compile(
    r"(?:from|ab|only|nur|à partir de|a partir de|dès|desde|da|od|vanaf|fra|från|starting at|now)\b[.:]?\s*",
    re.IGNORECASE,
)
_RANGE = re.compile(r"^(.*?[0-9].*?)\s*(?:-|\u2013|\u2014|to|bis)\s*(.*[0-9].*)$", re.IGNORECASE)
MAX_MINOR = 10**15  # minor units; far above any price, far below what SQLite's integers hold
# As feeds have it, then as shops of other languages write it.
IN_STOCK = frozenset(
    "yes,y,true,t,in stock,instock,in_stock,available,limited availability,preorder,backorder,"
    "ja,oui,sí,si,sì,sim,tak,да,evet,はい,是,auf lager,vorrätig,verfügbar,lieferbar,en stock,disponible,disponibile,"
    "disponível,em estoque,op voorraad,dostępny,w magazynie,в наличии,есть,stokta,var,在庫あり,有货,有貨".split(",")
)
OUT_OF_STOCK = frozenset(
    "no,n,false,f,out of stock,outofstock,out_of_stock,sold out,unavailable,discontinued,"
    "nein,non,não,nao,nee,nie,нет,hayır,いいえ,否,ausverkauft,nicht vorrätig,nicht verfügbar,nicht lieferbar,épuisé,"
    "rupture de stock,en rupture,agotado,esaurito,non disponibile,esgotado,uitverkocht,niedostępny,wyprzedane,"
    "нет в наличии,tükendi,yok,在庫なし,缺货,缺貨,无货".split(",")
)
_NUMBER = re.compile(r"[0-9][0-9.,' \u00a0\u202f\u2019]*")
_GAPS = re.compile(r"[' \u00a0\u202f\u2019]")


class ExactNumber(str):
    """A price that came as a number, not as a text: its point is a decimal point."""


def parse_price(text: str, currency: str) -> tuple[int, str]:
    """Read a price.

    ``currency`` counts more than a sign in the text, such as ``$``; a sign decides only where it is empty. Of ``.`` and
    ``,`` the last one parts the cents when both are there. One of them alone, followed by exactly three digits, parts
    thousands (``1.299`` is 1299), unless the currency has three decimals or the number begins with ``0``. More decimals
    than the currency has are rounded, half up. Of "from 12" and "12 - 20" the lowest price is read.

    Returns:
        The price in the currency's smallest unit, and the currency, which is empty when neither place names one.

    Raises:
        ValueError: it is not a price, or its code is another than ``currency``; the message says why.
    """
    found, rest = _split(text)
    named = currency_of(rest) if rest else ""
    if rest and not named:
        several = AMBIGUOUS_SIGNS.get(rest.casefold())
        if several is None:
            raise _no_number(text)
        if not currency:
            raise ValueError(f"price '{text}' may be in {several}. Say which: --map currency=SEK")
    if currency and named and named != currency and named == rest.upper():
        raise ValueError(f"price '{text}' is in {named}, but its currency is said to be {currency}")
    currency = currency or named
    digits = MINOR_UNITS.get(currency, 2)
    amount = Decimal(found) if isinstance(text, ExactNumber) else _decimal(found, digits)
    minor = int((amount * 10**digits).to_integral_value(ROUND_HALF_UP))
    if minor > MAX_MINOR:
        raise ValueError(f"price '{text}' is too large to be one")
    return minor, currency


def currency_of(sign: str) -> str:
    """The currency of a sign or a code beside a number; empty when it is none, or could be several."""
    known = SYMBOLS.get(sign.casefold().rstrip("."))
    return known or (sign.upper() if re.fullmatch("[A-Za-z]{3}", sign) else "")


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
        pieces = float(folded.replace(",", "."))
    except ValueError:
        raise ValueError(f"in_stock '{text}' is neither yes nor no nor a number of pieces") from None
    return pieces > 0 if math.isfinite(pieces) else None


def sign_of(text: str) -> str:
    """The sign or code that stands beside a price; empty when there is none."""
    try:
        return _split(text)[1]
    except ValueError:
        return ""


def _no_number(text: str) -> ValueError:
    return ValueError(f"price '{text}' is not a number. Write it like 49.90")


def _split(text: str) -> tuple[str, str]:
    """The number in a price, and what stands before or after it."""
    if isinstance(text, ExactNumber):
        if not re.fullmatch(r"-?0+(\.0+)?|[0-9]{1,20}(\.[0-9]+)?", text):
            raise ValueError(f"price '{text}' is not a number above zero. Write it like 49.90")
        return str(text).lstrip("-"), ""
    plain = _FROM.sub("", text.strip(), count=1).removesuffix(".-").removesuffix(",-")
    if (several := _RANGE.match(plain)) is not None:
        return _split_range(several[1], several[2])
    match = _NUMBER.search(plain)
    if not match or len(match[0]) > 40:
        raise _no_number(text)
    before, after = plain[: match.start()].strip(), plain[match.end() :].strip()
    if before in ("-", "−") or after == "-" or before.endswith(("-", "−")):
        if set(match[0]) & set("123456789"):
            raise ValueError(f"price '{text}' is below zero. Write it like 49.90")
        before, after = before.strip("-− "), after.strip("-− ")
    if before and before != after and before.casefold().rstrip(".") in SYMBOLS and re.fullmatch("[A-Z]{3}", after):
        before = ""  # "$12.00 CAD": the code says which dollars
    if before and after:
        raise _no_number(text)
    return _GAPS.sub("", match[0]), before or after


def _split_range(low: str, high: str) -> tuple[str, str]:
    """The lower of two prices; the currency may stand at either."""
    number, sign = _split(low)
    return number, sign or _split(high)[1]


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
    # Thousands, or India's lakhs: 1,00,000.
    regular = len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])
    regular = regular or (len(groups[0]) <= 2 and [len(group) for group in groups[1:]] == [2] * (len(groups) - 2) + [3])
    if (len(groups) > 1 and not regular) or len(set(whole) & {".", ","}) > 1 or (fraction and mark in whole):
        raise ValueError(f"price '{number}' has its separators in odd places. Write it like 1299.00")
    return Decimal(f"{''.join(groups) or '0'}.{fraction or '0'}")
