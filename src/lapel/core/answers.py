"""What is told beside the hits of an answer: why a hit is there, and what products are in a photo."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lapel.core.errors import QueryError

Map = NDArray[np.float32]  # (h, w), what each place of a picture adds to a score
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two beyond what is inside
SUM_TOLERANCE = 1e-4  # by which the parts of a score may differ from it


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a product is in an answer.

    The score is a cosine, and both vectors are means over places, so it splits exactly into what each place adds:
    the maps are no gradients and no estimates.

    Attributes:
        query_map: (h, w) float32 over the query's picture, what each place of it adds to the score; it sums to the
            score. Parts of the query without a picture, such as words, are spread evenly. (0, 0) where the query has no
            picture.
        hit_map: The same over the hit's picture.
        shared: What both are, in words, such as ``kind: Shirts``; the surest first.
        different: In what they differ, such as ``colour: Red, the query Navy Blue``.
        score: The hit's.
        query_picture: What ``query_map`` lies over, RGB; None where the query has no picture.
        hit_picture: What ``hit_map`` lies over, RGB.
        notes: What else is to be said, such as that the hit's picture was read from its thumbnail.
    """

    query_map: Map = field(repr=False)
    hit_map: Map = field(repr=False)
    shared: list[str]
    different: list[str]
    score: float
    query_picture: Image.Image | None = field(default=None, repr=False)
    hit_picture: Image.Image | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, values in (("query_map", self.query_map), ("hit_map", self.hit_map)):
            if values.ndim != 2 or (values.size and abs(float(values.sum()) - self.score) > SUM_TOLERANCE):
                raise QueryError(
                    f"The {name} of an explanation is (h, w) and sums to the score {self.score:.4f}; found"
                    f" {values.shape} with the sum {float(values.sum()):.4f}."
                )


@dataclass(frozen=True)
class Region:
    """A product that was found in a picture with several.

    Attributes:
        box: Left, top, right and bottom in pixels of the picture; what ``box=`` of a search takes.
        kind: What it is, in the model's words, such as ``Handbags``; empty where that is not sure enough.
        score: How likely it is a product at all, 0..1.
    """

    box: Box
    kind: str
    score: float

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not (left < right and top < bottom and math.isfinite(self.score) and 0 <= self.score <= 1):
            raise QueryError(f"A region is a box (left, top, right, bottom) and a score 0..1; found {self}.")


@dataclass(frozen=True)
class Reason:
    """Why a product is recommended, as data and as words.

    Attributes:
        kind: ``liked``, ``popular``, ``new``, ``looks-like``, ``bought-with``, ``goes-with``, ``completes``,
            ``upsell``, ``substitute`` or ``pinned``.
        words: For whoever is shown it, such as ``because you liked 'Red saree'``.
        product_id: The product it refers to; empty without one.
        data: What the words are made of, such as ``{"baskets": 12}``.
    """

    kind: str
    words: str
    product_id: str = ""
    data: Mapping[str, float | str] = field(default_factory=dict)
