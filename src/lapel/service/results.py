"""Answers as plain JSON values, alike for every app."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lapel.catalog.entries import price_of
from lapel.core.types import ColourReading, Hit, SearchResult


def result_json(result: SearchResult) -> dict[str, Any]:
    """An answer: verdict, how the query was read, facets, milliseconds and hits."""
    return {
        "verdict": result.verdict.value,
        "total": result.total,
        "understood": [
            {"kind": part.kind, "weight": part.weight, "note": part.note, "colours": _colours_json(part.colours)}
            for part in result.understood.parts
        ],
        "facets": {name: dict(values) for name, values in result.facets.items()},
        "kinds": [{"kind": kind, "probability": likely} for kind, likely in result.kinds],
        "fashion": None if result.fashion is None else round(result.fashion, 4),
        "took_ms": round(result.took_ms, 1),
        "hits": [hit_json(hit) for hit in result],
    }


def _colours_json(reading: ColourReading | None) -> dict[str, Any] | None:
    """The colours of an image's product; null where none were read."""
    if reading is None:
        return None
    return {
        "confidence": reading.confidence,
        "certainty": reading.certainty,
        "named": [asdict(c) for c in reading.colours],
    }


def hit_json(hit: Hit) -> dict[str, Any]:
    """One hit; ``contributions`` is empty where the query has one part. Hits are in the order of ``score`` +
    ``adjustment``."""
    product = hit.product
    return {
        "rank": hit.rank,
        "score": round(hit.score, 6) + 0.0,  # never -0.0
        "adjustment": round(hit.adjustment, 6) + 0.0,
        "probability": None if hit.probability is None else round(hit.probability, 4),
        "verdict": None if hit.verdict is None else hit.verdict.value,
        "contributions": [round(each, 6) + 0.0 for each in hit.contributions],
        "product": {
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
        },
        "photo": {
            "key": hit.photo.key,
            "uri": hit.photo.uri,
            "sha256": hit.photo.sha256,
            "links": asdict(hit.photo.links),
        },
    }
