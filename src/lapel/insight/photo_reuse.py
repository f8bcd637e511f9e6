"""Whether a photo is used already: the very photo, mirrored, or one cut out of the other.

A photo goes in, the photos of the store that show the same pixels come out. :func:`find_same_photos` is the one place
that decides it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from scipy.signal import fftconvolve

from lapel.core.errors import LapelError
from lapel.core.images import decode
from lapel.core.vectors import Vectors
from lapel.engine.context import StoreContext
from lapel.engine.features import PALETTE, PERCEPTUAL_HASH
from lapel.engine.palette import decode_palette
from lapel.insight.findings import Gallery
from lapel.sources import read_uri

CANDIDATES = 12  # nearest photos by vector whose pixels are compared
BITS = 6  # of 64 in which the hashes of the same photo differ at most
SIDE = 112  # pixels of the longer side of what is compared
SCALES = np.arange(0.5, 1.001, 0.05)  # sides of the cut-out as shares of the whole photo's
WORTH_A_LOOK = 0.6  # correlation from which on finer scales are tried
RECOLOURED = 20.0  # CIELAB distance of mean colours, beyond which it is another colour and not another light
SAME = 0.9  # correlation of pixels from which on it is the same photo


@dataclass(frozen=True)
class PhotoUse:
    """A photo of the store that is the same.

    Attributes:
        key: Its key.
        product_id: Its product.
        how: ``same``, ``mirrored``, ``cropped`` or ``mirrored, cropped``.
        score: How alike the pixels are, 0..1.
    """

    key: int
    product_id: str
    how: str
    score: float


def find_same_photos(
    context: StoreContext, gallery: Gallery, image: Image.Image, vectors: Vectors
) -> tuple[PhotoUse, ...]:
    """The photos of a gallery that are the same as an image, also mirrored or cut.

    Args:
        context: The store, which has the pictures.
        gallery: Its photos.
        image: Upright RGB.
        vectors: (m, dim) float32 unit rows: of the image, and of it mirrored.
    """
    found = _by_hash(context, gallery, image)
    cosines = (vectors @ gallery.vectors.T).max(axis=0)
    likely = np.argsort(-cosines, kind="stable")[:CANDIDATES]
    for place in likely.tolist():
        key = int(gallery.keys[place])
        if key in found:
            continue
        other = _small_photo(context, gallery, place)
        if other is None:
            continue
        how, score = compare(image, other)
        if score >= SAME and _same_colours(image, other):
            found[key] = PhotoUse(key, gallery.product(place).id, how, round(score, 3))
    return tuple(sorted(found.values(), key=lambda use: -use.score))


def _by_hash(context: StoreContext, gallery: Gallery, image: Image.Image) -> dict[int, PhotoUse]:
    stored = context.catalog.features.get(*PERCEPTUAL_HASH.key, gallery.keys.tolist())
    if not stored:
        return {}
    keys = np.array(list(stored), np.int64)
    hashes = np.frombuffer(b"".join(stored.values()), ">u8").astype(np.uint64)
    found: dict[int, PhotoUse] = {}
    for how, picture in (("same", image), ("mirrored", ImageOps.mirror(image))):
        own = np.frombuffer(PERCEPTUAL_HASH.of(picture), ">u8").astype(np.uint64)  # type: ignore[arg-type]
        apart = np.bitwise_count(hashes ^ own)
        for at in np.flatnonzero(apart <= BITS).tolist():
            key = int(keys[at])
            place = int(np.searchsorted(gallery.keys, key))
            other = _small_photo(context, gallery, place)
            # Shirts on white are close in their lowest frequencies: the pixels have the last word.
            alike = other is not None and _same_colours(picture, other)
            score = float(apart[at] == 0) if other is None else _alike(picture, other) if alike else 0.0
            if key not in found and score >= SAME:
                found[key] = PhotoUse(key, gallery.product(place).id, how, round(score, 3))
    return found


def _small_photo(context: StoreContext, gallery: Gallery, place: int) -> Image.Image | None:
    photo = gallery.photo(place)
    try:
        own = context.thumbnails.get([photo.sha256], SIDE * 2).get(photo.sha256)
        return decode(own or read_uri(photo.uri))
    except (LapelError, OSError):
        return None


def compare(one: Image.Image, other: Image.Image) -> tuple[str, float]:
    """How two images are the same, and how alike their pixels are where they overlap, 0..1."""
    best = ("", 0.0)
    for mirrored, picture in ((False, one), (True, ImageOps.mirror(one))):
        for whole, part in ((other, picture), (picture, other)):
            for score, scale in _matches(whole, part):
                cut = ["cropped"] if scale < 0.99 else []
                how = ", ".join((["mirrored"] if mirrored else []) + cut) or "same"
                if score > best[1] + 1e-6:
                    best = (how, score)
    return best


def _same_colours(one: Image.Image, other: Image.Image) -> bool:
    """Whether the products' main colours are the same but for light: the same photo in another colour is another
    product."""
    means = []
    for image in (one, other):
        palette = decode_palette(PALETTE.of(image))  # type: ignore[arg-type]
        means.append(palette.share @ palette.lab)
    return float(np.linalg.norm(means[0] - means[1])) <= RECOLOURED


def _alike(one: Image.Image, other: Image.Image) -> float:
    """Correlation of two whole images, scaled to one size."""
    size = _fitted(one)
    return _correlation(
        _detail(one.resize(size, Image.Resampling.BICUBIC)), _detail(other.resize(size, Image.Resampling.BICUBIC))
    )


def _matches(whole: Image.Image, part: Image.Image) -> Iterator[tuple[float, float]]:
    """How well one image is found in another, at each scale: correlation and scale."""
    field = _detail(whole.resize(_fitted(whole), Image.Resampling.BICUBIC))
    height, width = field.shape
    sums = _padded_sums(field), _padded_sums(field**2)

    def at(scale: float) -> float:
        fit = min(width * scale / part.width, height * scale / part.height)
        size = (max(8, round(part.width * fit)), max(8, round(part.height * fit)))
        if size[0] > width or size[1] > height:
            return 0.0
        template = _detail(part.resize(size, Image.Resampling.BICUBIC))
        template = template - template.mean()
        norm = float(np.sqrt((template**2).sum()))
        if norm < 1e-6:
            return 0.0
        products = fftconvolve(field, template[::-1, ::-1], mode="valid")
        means, squares = (_windows(each, size) for each in sums)
        spread = np.sqrt(np.maximum(squares - means**2 / template.size, 1e-9))
        found = products / (spread * norm)
        found[spread < 0.2 * norm] = 0  # an even patch of the field correlates with anything
        return float(np.clip(found.max(), 0, 1))

    scores = {scale: at(scale) for scale in SCALES.tolist()}
    for step in (0.025, 0.0125):
        best = max(scores, key=lambda scale: scores[scale])
        if scores[best] >= WORTH_A_LOOK:
            scores |= {scale: at(scale) for scale in (best - step, best + step) if scale <= 1}
    best = max(scores, key=lambda scale: scores[scale])
    yield scores[best], best


def _fitted(image: Image.Image) -> tuple[int, int]:
    scale = SIDE / max(image.size)
    return max(8, round(image.width * scale)), max(8, round(image.height * scale))


def _detail(image: Image.Image) -> NDArray[np.float64]:
    """(height, width): greys without what is even over a few pixels, so that what counts is the drawing, not that both
    are dark on white."""
    grey = image.convert("L")
    even = np.asarray(grey.filter(ImageFilter.GaussianBlur(5)), np.float64)
    return np.asarray(grey, np.float64) - even


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    a, b = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float(np.clip((a * b).sum() / norm, 0, 1)) if norm > 1e-6 else 0.0


def _padded_sums(field: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.pad(field.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _windows(sums: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Sums over every window of (width, height)."""
    w, h = size
    return np.asarray(sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w], np.float64)
