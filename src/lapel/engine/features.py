"""What is derived from a photo's image, as values with a name and a version: one file and one row of a table each.

An upright RGB image goes in (see :func:`lapel.core.images.decode`), bytes come out. :mod:`lapel.engine.pipeline`
derives them while photos are added, :mod:`lapel.engine.backfill` for photos that were there before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from lapel.catalog import ModelEntry
from lapel.core.images import thumbnails
from lapel.encoders import Encoder
from lapel.engine import palette, picture_hash, quality

Key = tuple[str, str]  # a feature's name and version
Value = bytes | Mapping[int, bytes]  # what is kept in the catalogue; of a thumbnail, WebP bytes by width in pixels


@dataclass(frozen=True)
class Feature:
    """Something derived from a photo's image alone.

    Attributes:
        name: What it is, such as ``palette``.
        version: Changes when the same image gives another value; the old values are then derived again.
        sample: Upright RGB image -> what of it is looked at, something small.
        derive: Samples of many images -> their values: small arrays are cheap only together. By default a sample is
            the value. Both are functions of a module, so that workers elsewhere find them too.
    """

    name: str
    version: str
    sample: Callable[[Image.Image], Any]
    derive: Callable[[Sequence[Any]], Sequence[Value]] = tuple

    def of(self, image: Image.Image) -> Value:
        """The value of one image."""
        return self.derive([self.sample(image)])[0]

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
PALETTE = Feature("palette", "1", palette.sample, palette.palettes)
# What copies, and photos that look nearly the same, are found by.
PICTURE_HASH = Feature("picture_hash", "1", picture_hash.sample, picture_hash.picture_hashes)
# Not derived while photos are added, as it takes longer than the vector does: the audit of photos asks for it.
QUALITY = Feature("quality", "1", quality.sample, quality.qualities)

CATALOG_FEATURES = (PALETTE, PICTURE_HASH)  # kept in the catalogue, by the photo's key
FEATURES: Mapping[str, Feature] = {feature.name: feature for feature in (THUMBNAIL, *CATALOG_FEATURES)}
