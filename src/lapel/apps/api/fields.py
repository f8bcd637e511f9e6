"""Products as people send them: the same JSON that answers have, so what was read can be sent back."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from lapel.apps.api.problems import ProblemError, from_validation
from lapel.core.errors import ProductError
from lapel.core.types import MINOR_UNITS, Product
from lapel.service import ProductPut

MAX_PICTURES = 50
MAX_TEXT = 10_000  # characters
MAX_MINOR = 10**15
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Value = Text | bool | int | float


class ProductRequest(BaseModel):
    """A product. A price is given in major units with its currency, or as ``price_minor``.

    Pictures are http or https links, ``data:`` addresses, or names of files that are sent along; without the field,
    those that are stored stay.
    """

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)

    id: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    title: Text | None = None
    category: list[Text] | Text | None = None
    gender: Text | None = None
    brand: Text | None = None
    colour: Text | None = None
    season: Text | None = None
    price: Annotated[float, Field(ge=0, le=1e12)] | Annotated[str, Field(max_length=40)] | None = None
    price_minor: Annotated[int, Field(ge=0, le=MAX_MINOR)] | None = None
    currency: Annotated[str, Field(max_length=3)] | None = None
    in_stock: bool | None = None
    url: Annotated[str, Field(max_length=4096)] | None = None
    attributes: dict[Annotated[str, Field(min_length=1, max_length=200)], Value | list[Text] | None] | None = None
    pictures: Annotated[list[Annotated[str, Field(max_length=2**25)]], Field(max_length=MAX_PICTURES)] | None = None


def read_product(text: bytes | str) -> ProductRequest:
    """A product's JSON.

    Raises:
        ProblemError: it cannot be used.
    """
    try:
        return ProductRequest.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise from_validation(error.errors(include_url=False, include_input=False, include_context=False)) from None


def to_put(sent: ProductRequest, product_id: str, files: Mapping[str, bytes]) -> ProductPut:
    """The product that somebody sent, whole: what is not said is empty.

    Raises:
        LapelError: it cannot be used.
    """
    changed = changed_product(Product(id=checked_id(sent, product_id)), sent)
    pictures, held = pictures_of(sent, files)
    return ProductPut(changed, pictures, held)


def checked_id(sent: ProductRequest, product_id: str) -> str:
    """The id of the address, which a body may say again.

    Raises:
        ProductError: it says another, or it can be none.
    """
    if sent.id is not None and product_id and sent.id != product_id:
        raise ProductError(f"The body names the product '{sent.id}', the address '{product_id}'. Give one of them.")
    found = product_id or sent.id or ""
    if not found or any(letter < " " or "\ud800" <= letter <= "\udfff" for letter in found):
        raise ProductError(f"A product needs an id without control characters; found {found[:80]!r}.")
    return found


def pictures_of(sent: ProductRequest, files: Mapping[str, bytes]) -> tuple[tuple[str, ...] | None, dict[str, bytes]]:
    """A product's pictures by name, and the bytes of those that were sent along.

    Raises:
        ProductError: a ``data:`` address that cannot be read.
    """
    held = dict(files)
    if sent.pictures is None:
        return (tuple(files), held) if files else (None, {})
    names = []
    for picture in sent.pictures:
        if picture[:5].lower() == "data:":
            data = _inline(picture)
            picture = f"data-{hashlib.sha256(data).hexdigest()}"
            held[picture] = data
        names.append(picture)
    return tuple(dict.fromkeys(names)), held


def changed_product(now: Product, sent: ProductRequest) -> Product:
    """A product with the fields that somebody sent (RFC 7396): null empties one; attributes are changed one by one.

    Raises:
        ProductError: the result is no product.
    """
    given = sent.model_dump(exclude_unset=True)
    change: dict[str, Any] = {}
    for name in ("title", "gender", "brand", "colour", "season", "url"):
        if name in given:
            change[name] = _clean(given[name] or "")
    if "category" in given:
        levels = given["category"] or []
        levels = levels.split(">") if isinstance(levels, str) else levels
        change["category"] = tuple(filter(None, (_clean(level).strip() for level in levels)))
    if "in_stock" in given:
        change["in_stock"] = given["in_stock"]
    if "attributes" in given:
        attributes = dict(now.attributes)
        for name, value in (given["attributes"] or {}).items():
            attributes[_clean(name)] = "" if value is None else _attribute(value)
        change["attributes"] = {} if given["attributes"] is None else {n: t for n, t in attributes.items() if t}
    change |= _price(now, given)
    return replace(now, **change)


def _price(now: Product, given: dict[str, Any]) -> dict[str, Any]:
    if not {"price", "price_minor", "currency"} & set(given):
        return {}
    currency = given.get("currency", now.currency) or ""
    if given.get("price_minor") is not None:
        minor = given["price_minor"]
    elif given.get("price") is not None:
        minor = _minor(given["price"], currency)
    elif {"price", "price_minor"} & set(given) or now.price_minor is None:
        minor = None
    else:  # the same amount, whatever a currency's smallest unit is
        minor = _minor(str(Decimal(now.price_minor).scaleb(-MINOR_UNITS.get(now.currency, 2))), currency)
    return {"price_minor": minor, "currency": currency if minor is not None else ""}


def _minor(price: float | str, currency: str) -> int:
    try:
        amount = Decimal(str(price)).scaleb(MINOR_UNITS.get(currency, 2))
        if not amount.is_finite() or amount != amount.to_integral_value() or not 0 <= amount <= MAX_MINOR:
            raise ArithmeticError
    except ArithmeticError as error:
        raise ProductError(
            f"The price '{price}' is no amount of {currency or 'a currency'}. Write a number such as 49.90, or"
            " price_minor."
        ) from error
    return int(amount)


def _attribute(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(filter(None, (_clean(each).strip() for each in value)))
    return ("yes" if value else "no") if isinstance(value, bool) else _clean(str(value))


def _clean(text: str) -> str:
    if "\0" in text:
        raise ProductError("A text holds a NUL character. Leave it out.")
    return text


def _inline(address: str) -> bytes:
    head, comma, data = address.partition(",")
    try:
        if not comma or not head.lower().endswith(";base64"):
            raise ValueError("it is not base64")
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProductError(
            f"The picture '{address[:40]}...' cannot be read: {error}. Write data:image/jpeg;base64,..."
        ) from error


def row_problem(problem: ProblemError, product_id: str = "") -> ProductError:
    """What is wrong with one row of a bulk."""
    return ProductError(problem.detail, id=product_id)
