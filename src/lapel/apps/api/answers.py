"""How answers are told: the JSON of :mod:`lapel.service`, narrowed to what somebody may see; and what all routes may
answer when something is wrong. Their models are in :mod:`lapel.apps.api.schemas`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from fastapi.responses import Response
from pydantic_core import to_json

from lapel.apps.api.problems import MEDIA_TYPE, TITLES
from lapel.core.types import is_web_address
from lapel.service import Access

# What a key that is limited gets of an answer and of a hit.
LIMITED_ANSWER = tuple("query hits verdict total nearest understood facets took_ms model index".split())
LIMITED_HIT = tuple("rank score adjustment contributions probability verdict product photo".split())

# Fields that a reason's words tell of, by its kind. What somebody did, and what the shop's rules did, is for keys that
# are not limited: those stand in public pages, where anybody can ask for anybody.
REASON_FIELDS = {
    "popular": (),
    "looks-like": ("title", "price"),
    "bought-with": ("title",),
    "goes-with": ("title", "category", "colour", "price", "season"),
    "completes": ("title", "category", "colour", "price", "season"),
    "upsell": ("price",),
    "substitute": ("title", "category", "colour", "price"),
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Statuses of a route that say what is wrong, for the OpenAPI text."""
    every = (400, 401, 403, 404, 405, 408, 413, 415, 421, 422, 429, 503, *statuses)
    return {
        status: {
            "description": TITLES[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}}},
        }
        for status in sorted(set(every))
    }


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer that nobody keeps."""
    # Pydantic's writer takes a tenth of the time of Python's own.
    return Response(to_json(value), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")


def shown(value: dict[str, Any], access: Access) -> dict[str, Any]:
    """An answer with products and photos, without what somebody may not see.

    Paths of this machine's files are for its administrators only.
    """
    for holder in (*value.get("hits", ()), *value.get("products", ()), value):
        if "product" in holder and isinstance(holder["product"], dict):
            holder["product"] = _product(holder["product"], access)
        for photo in (holder.get("photo"), *holder.get("photos", ())):
            if photo and not (access.allows("admin") or is_web_address(photo["uri"])):
                photo["uri"] = ""
    if access.limited and "hits" in value:
        value["facets"] = {name: each for name, each in value["facets"].items() if access.shows(name)}
        # By name, so that what answers tell one day is not told by accident: other fields count or name what is not
        # shown, such as the products that words were found in.
        value["hits"] = [_only(hit, LIMITED_HIT) for hit in value["hits"]]
        value["understood"] = [_only(part, ("kind", "weight")) for part in value.get("understood", ())]
        value = _only(value, LIMITED_ANSWER)
    return value


def shown_findings(data: bytes, form: str, access: Access) -> bytes:
    """What a question of the catalogue found, without paths of this machine's files, which are for its administrators
    only. The page of pictures has none.

    Args:
        data: The JSON or the table, whose photos stand under ``photo``.
        form: ``json``, ``csv`` or ``html``.
        access: Who asks.
    """
    if access.allows("admin") or form == "html":
        return data
    if form == "json":
        return to_json(json.loads(data, object_hook=_without_path))
    lines = csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))
    told = io.StringIO(newline="")
    written = csv.DictWriter(told, lines.fieldnames or ())
    written.writeheader()
    written.writerows(map(_without_path, lines))
    return told.getvalue().encode()


def _without_path(told: dict[str, Any]) -> dict[str, Any]:
    photo = told.get("photo")
    return told | {"photo": ""} if isinstance(photo, str) and not is_web_address(photo) else told


def limited_reasons(value: dict[str, Any], access: Access, named: Sequence[str]) -> list[dict[str, Any] | None]:
    """Why each hit is there, in words without figures, as far as a key that is limited may know; None otherwise.

    Args:
        value: The answer, whole.
        access: Whose key it is.
        named: Products that the request named and the key shows; a reason must refer to no other.
    """
    return [_limited_reason(hit.get("reason"), access, named) for hit in value["hits"]]


def _limited_reason(reason: dict[str, Any] | None, access: Access, named: Sequence[str]) -> dict[str, Any] | None:
    if not reason or reason["kind"] not in REASON_FIELDS or reason["product_id"] not in ("", *named):
        return None
    if not all(map(access.shows, REASON_FIELDS[reason["kind"]])):
        return None
    return {**_only(reason, ("kind", "words", "product_id")), "data": {}}


def _only(told: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: each for name, each in told.items() if name in names}


def _product(product: dict[str, Any], access: Access) -> dict[str, Any]:
    if access.fields is None:
        return product
    told = {name: each for name, each in product.items() if name != "attributes" and access.shows(name)}
    if access.shows("price"):
        told |= {name: product[name] for name in ("price_minor", "currency")}
    attributes = {name: each for name, each in product["attributes"].items() if access.shows(name)}
    return {**told, **({"attributes": attributes} if attributes else {})}
