"""Answers as plain JSON values, alike for every app: the command line's ``--json`` and the HTTP API give the same.

A field that a hit, an answer or a part of a query gets one day stands in the JSON by its name, without a change here;
what is no JSON value, such as a vector or an image, is left out.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lapel.catalog.entries import price_of
from lapel.core.types import (
    ColourReading,
    EmbeddedQuery,
    Explanation,
    Hit,
    Photo,
    Product,
    Query,
    SearchResult,
    UnderstoodPart,
    WordReading,
)

if TYPE_CHECKING:
    from lapel.service.browsing import ProductDetails
    from lapel.service.store import Store

DIGITS = 6  # of numbers behind the point
QUALITY = 85  # of JPEG
AS_THEY_ARE = frozenset({str, int, bool, type(None)})  # most values, so these are looked for first
LEFT_OUT = object()  # what is no JSON value
ASKED_OTHERWISE = ("image", "vector", "product_id", "text", "parts", "where", "fingerprint", "colours")


def answer_json(
    store: Store, query: Query, result: SearchResult, *, picture: str | None = None, offset: int = 0
) -> dict[str, Any]:
    """A whole answer: what was asked, what was done, and what was found.

    Args:
        store: Who answered.
        query: What was asked.
        result: The answer.
        picture: What people call the query's image: a path, a link.
        offset: Hits that are passed over.
    """
    told = result_json(result)
    told["hits"] = [hit for hit in told["hits"] if hit["rank"] > offset]  # a cut-off leaves gaps between ranks
    return {"query": asked_json(query, picture=picture, offset=offset), **told, "index": store.index.kind}


def asked_json(query: Query, *, picture: str | None = None, offset: int = 0) -> dict[str, Any]:
    """A query as it was asked."""
    parts = query.all_parts
    told: dict[str, Any] = {
        "picture": picture,
        "text": next((part.text for part in parts if part.text is not None), None),
        "product": next((part.product_id for part in parts if part.product_id is not None), None),
        "where": str(query.where),
        "offset": offset,
    }
    for each in fields(query):
        if each.init and each.name not in ASKED_OTHERWISE and (value := plain(getattr(query, each.name))) != LEFT_OUT:
            told[each.name] = value
    return {**told, "k": query.k - offset}


def result_json(result: SearchResult) -> dict[str, Any]:
    """An answer: verdict, how the query was read, facets, milliseconds by stage and hits."""
    told = _fields_json(result, but=("hits", "understood", "facets", "timings", "kinds"))
    return {
        **told,
        "kinds": [{"kind": kind, "probability": plain(likely)} for kind, likely in result.kinds],
        "understood": understood_json(result.understood.parts),
        "model": result.understood.fingerprint,
        "facets": {name: dict(values) for name, values in result.facets.items()},
        "took_ms": {**{name: round(ms, 3) for name, ms in result.timings.items()}, "total": round(result.took_ms, 3)},
        "hits": [hit_json(hit) for hit in result],
    }


def hit_json(hit: Hit) -> dict[str, Any]:
    """One hit; ``contributions`` is empty where the query has one part. Hits are in the order of ``score`` +
    ``adjustment``."""
    told = _fields_json(hit, but=("product", "photo"))
    return {**told, "product": product_json(hit.product), "photo": photo_json(hit.photo)}


def details_json(details: ProductDetails) -> dict[str, Any]:
    """A product with its photos."""
    return {
        "product": product_json(details.product),
        "photos": [photo_json(photo) for photo in details.photos],
        "added_at": details.added_at,
        "changed_at": details.changed_at,
    }


def product_json(product: Product) -> dict[str, Any]:
    """A product; an attribute with several values, such as sizes, is a list."""
    return {
        "id": product.id,
        "title": product.title,
        "url": product.url,
        "category": list(product.category),
        "gender": product.gender,
        "brand": product.brand,
        "colour": product.colour,
        "season": product.season,
        "price": price_of(product),
        "price_minor": product.price_minor,
        "currency": product.currency,
        "in_stock": product.in_stock,
        # Several values, such as sizes, stand between bars.
        "attributes": {name: text.split("|") if "|" in text else text for name, text in product.attributes.items()},
    }


def photo_json(photo: Photo) -> dict[str, Any]:
    """A photo."""
    return {"key": photo.key, "uri": photo.uri, "sha256": photo.sha256, "links": _fields_json(photo.links)}


def understood_json(parts: Sequence[UnderstoodPart]) -> list[dict[str, Any]]:
    """How each part of a query was read."""
    return [_part_json(part) for part in parts]


def embedded_json(found: EmbeddedQuery) -> dict[str, Any]:
    """A query's vector, the model that made it, and how its parts were read."""
    vector = [round(float(each), DIGITS + 2) for each in found.vector]
    return {"vector": vector, "model": found.fingerprint, "understood": understood_json(found.parts)}


def explanation_json(found: Explanation) -> dict[str, Any]:
    """An explanation: its maps row by row, and what they lie over as JPEG in ``data:`` addresses."""
    return {
        "score": float(found.score),
        "shared": list(found.shared),
        "different": list(found.different),
        "query_map": _map_json(found.query_map),
        "hit_map": _map_json(found.hit_map),
        "query_picture": _data_address(found.query_picture),
        "hit_picture": _data_address(found.hit_picture),
        "notes": list(found.notes),
    }


def plain(value: object) -> Any:
    """A value as JSON has it; :data:`LEFT_OUT` for what JSON has no form of, such as an array.

    >>> plain((0.12345678, {"a", "b"}, None))
    [0.123457, ['a', 'b'], None]
    """
    if value.__class__ in AS_THEY_ARE:
        return value
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0  # never -0.0
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (int, str)):
        return value
    if isinstance(value, ColourReading):
        return _colours_json(value)
    if isinstance(value, WordReading):
        return _words_json(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _fields_json(value)
    if isinstance(value, Mapping):
        return {str(name): told for name, each in value.items() if (told := plain(each)) is not LEFT_OUT}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (tuple, list)):
        return [told for each in value if (told := plain(each)) is not LEFT_OUT]
    return LEFT_OUT


def _fields_json(value: Any, but: tuple[str, ...] = ()) -> dict[str, Any]:
    told = {name: plain(getattr(value, name)) for name in _names(value.__class__) if name not in but}
    return {name: each for name, each in told.items() if each is not LEFT_OUT}


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """Of a dataclass's fields."""
    return tuple(each.name for each in fields(kind))


def _map_json(values: NDArray[np.float32]) -> list[list[float]]:
    return [[round(float(each), DIGITS + 2) for each in row] for row in values]


def _data_address(image: Image.Image | None) -> str | None:
    if image is None:
        return None
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _part_json(part: UnderstoodPart) -> dict[str, Any]:
    return _fields_json(part, but=("whole", "product", "segmented", "maps", "photos"))


def _colours_json(reading: ColourReading) -> dict[str, Any]:
    """The colours of an image's product."""
    return {
        "confidence": reading.confidence,
        "certainty": reading.certainty,
        "named": [asdict(colour) for colour in reading.colours],
    }


def _words_json(reading: WordReading) -> dict[str, Any]:
    """How words were read."""
    return {
        "read": reading.read,
        "corrected": dict(reading.corrected),
        "synonyms": dict(reading.synonyms),
        "not_understood": list(reading.unknown),
    }
