"""What is derived from a photo's image, as values with a name and a version: one function and one row of a table each.

An upright RGB image goes in (see :func:`lapel.core.images.decode`), bytes come out. :mod:`lapel.engine.pipeline` derives
them while photos are added, :mod:`lapel.engine.backfill` for photos that were there before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image

from lapel.catalog import ModelEntry
from lapel.core.images import thumbnails
from lapel.encoders import Encoder
from lapel.engine.palette import palette
from lapel.engine.perceptual_hash import perceptual_hash

Key = tuple[str, str]  # a feature's name and version
Value = bytes | Mapping[int, bytes]  # what is kept in the catalogue; of a thumbnail, WebP bytes by width in pixels


@dataclass(frozen=True)
class Feature:
    """Something derived from a photo's image alone.

    Attributes:
        name: What it is, such as ``palette``.
        version: Changes when ``derive`` gives other values for the same image; the old ones are then derived again.
        derive: Upright RGB image -> value. A function of a module, so that workers elsewhere find it too.
    """

    name: str
    version: str
    derive: Callable[[Image.Image], Value]

    @property
    def key(self) -> Key:
        """Name and version: what its values are kept under."""
        return self.name, self.version


@dataclass(frozen=True)
class Embedding:
    """The feature that a model gives: a unit vector, kept in the catalogue's vector table.

    Attributes:
        encoder: The model, opened.
        model: The model as the catalogue knows it; its fingerprint is the feature's version.
    """

    encoder: Encoder
    model: ModelEntry

    @property
    def key(self) -> Key:
        """Name and version."""
        return "embedding", self.model.fingerprint


THUMBNAIL = Feature("thumbnail", "1", thumbnails)  # kept in thumbnails.sqlite, by the hash of the photo's bytes
PALETTE = Feature("palette", "1", palette)  # see lapel.engine.palette.decode_palette
PERCEPTUAL_HASH = Feature("perceptual_hash", "1", perceptual_hash)  # see lapel.engine.perceptual_hash.hamming

CATALOG_FEATURES = (PALETTE, PERCEPTUAL_HASH)  # kept in the catalogue, by the photo's key
FEATURES: Mapping[str, Feature] = {feature.name: feature for feature in (THUMBNAIL, *CATALOG_FEATURES)}
