"""Stands in until the segmenter is here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lapel.core.images import each_image
from lapel.core.vectors import Vectors, normalise
from lapel.encoders import Encoder
from lapel.encoders.foreground import open_foreground


@dataclass(frozen=True)
class ImageEmbeddings:
    """temp."""

    whole: Vectors
    product: Vectors
    vectors: Vectors
    products: list[Image.Image | None]


def embed_images(encoder: Encoder, images: Iterable[object], *, segment: bool = True) -> ImageEmbeddings:
    """Temp."""
    given = list(each_image(images))
    products: list[Image.Image | None] = [None] * len(given)
    if segment:
        products = open_foreground().cut_out(given, shape=encoder.preprocessing)
    found = [row for row, product in enumerate(products) if product is not None]
    encoded = encoder.encode([*given, *(products[row] for row in found)])
    whole = encoded[: len(given)]
    product = np.zeros_like(whole)
    product[found] = encoded[len(given) :]
    vectors = whole.copy()
    if found:
        vectors[found] = normalise(whole[found] + product[found])
    return ImageEmbeddings(whole, product, vectors, products)
