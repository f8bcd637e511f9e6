"""The nouns: what a product, a photo, a question and an answer are. Frozen values that check themselves."""

from __future__ import annotations

from lapel.core.answers import Explanation, Reason, Region
from lapel.core.colours import AskedColour, ColourReading, NamedColour
from lapel.core.events import KINDS as EVENT_KINDS
from lapel.core.events import Event
from lapel.core.filters import Condition, Filter
from lapel.core.images import ImageLike
from lapel.core.products import (
    FIELDS,
    MINOR_UNITS,
    NO_LINKS,
    TEXT_FIELDS,
    Links,
    Photo,
    Product,
    is_web_address,
)
from lapel.core.queries import (
    EmbeddedQuery,
    Hit,
    LookMix,
    Matches,
    Part,
    Query,
    SearchResult,
    UnderstoodPart,
    Verdict,
)
from lapel.core.words import WordReading

__all__ = [
    "EVENT_KINDS",
    "FIELDS",
    "MINOR_UNITS",
    "NO_LINKS",
    "TEXT_FIELDS",
    "AskedColour",
    "ColourReading",
    "Condition",
    "EmbeddedQuery",
    "Event",
    "Explanation",
    "Filter",
    "Hit",
    "ImageLike",
    "Links",
    "LookMix",
    "Matches",
    "NamedColour",
    "Part",
    "Photo",
    "Product",
    "Query",
    "Reason",
    "Region",
    "SearchResult",
    "UnderstoodPart",
    "Verdict",
    "WordReading",
    "is_web_address",
]
