"""Pictures that visitors asked with: kept in the server's memory by a token while they are searched with, and never
written down.

A picture is forgotten :data:`MINUTES` after it was last asked with, earlier when :data:`MOST` newer ones came, and when
the server ends. Whoever has the token, which stands in the address, can ask with the picture until then.
"""

from __future__ import annotations

import io
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lapel.core.types import ColourReading, Query, Region
from lapel.service import Store, decode, tile

MINUTES = 30
MOST = 64  # pictures: about 20 MB
SIDE = 1280  # pixels of the longer side that are kept: crops and heatmaps need no more
QUALITY = 92
MOST_CROPS = 8  # of one picture whose vectors are kept

Box = tuple[float, float, float, float]
Direction = tuple[NDArray[np.float32], ColourReading | None]


@dataclass(frozen=True)
class KeptPhoto:
    """A picture that was asked with: encoded once, so that asking again, and switching between the product and the
    whole, asks no network.

    Attributes:
        label: What chips and the history call it.
        jpeg: The picture, at most :data:`SIDE` pixels high and wide.
        size: Its width and height as it is kept.
        whole: (dim,) float32, the unit vector of all of it.
        product: (dim,) float32, the mean direction of the whole and the product found in it; None where none was.
        fingerprint: The model that made the vectors.
        tile: The picture as a small JPEG.
        product_tile: The product found in it, on white; empty where none was.
        colours: Of the product, or of the whole where none was found; None where none could be read.
        regions: Products in it, once they were looked for.
        crops: By box the direction and the colours of that part.
    """

    label: str
    jpeg: bytes = field(repr=False)
    size: tuple[int, int]
    whole: NDArray[np.float32] = field(repr=False)
    product: NDArray[np.float32] | None = field(repr=False)
    fingerprint: str
    tile: bytes = field(repr=False)
    product_tile: bytes = field(repr=False)
    colours: ColourReading | None = field(repr=False)
    regions: tuple[Region, ...] | None = None
    crops: OrderedDict[Box, Direction] = field(default_factory=OrderedDict, repr=False)

    def direction(self, *, whole: bool = False, box: Box | None = None) -> Direction:
        """What is searched with: of the product, of the whole, or of a part that was cropped before."""
        if box is not None and box in self.crops:
            return self.crops[box]
        if self.product is None:
            return self.whole, self.colours
        return (self.whole, None) if whole else (self.product, self.colours)

    def image(self) -> Image.Image:
        """The picture as it is kept, RGB."""
        return decode(self.jpeg)


class PictureCache:
    """Where pictures are kept by token. Safe to share between threads.

    Args:
        clock: Seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, KeptPhoto]] = OrderedDict()

    def put(self, photo: KeptPhoto, token: str = "") -> str:
        """Keep a picture, under a new token or in the place of another."""
        token = token or secrets.token_urlsafe(9)
        with self._lock:
            self._kept[token] = (self._clock(), photo)
            self._kept.move_to_end(token)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return token

    def get(self, token: str) -> KeptPhoto | None:
        """The picture of a token, kept for another while; None where there is none any more."""
        now = self._clock()
        with self._lock:
            for old in [each for each, (used, _) in self._kept.items() if now - used > 60 * MINUTES]:
                del self._kept[old]
            if token not in self._kept:
                return None
            photo = self._kept[token][1]
            self._kept[token] = (now, photo)
            self._kept.move_to_end(token)
            return photo

    def __len__(self) -> int:
        return len(self._kept)


PICTURES = PictureCache()  # one a server: a picture outlives the visitor's connection, so that a reload finds it


def look_at(store: Store, data: bytes, label: str) -> KeptPhoto:
    """Encode a picture.

    Args:
        store: Whose model makes the vectors.
        data: The bytes of its file.
        label: What it is called.

    Raises:
        LapelError: the image or the model cannot be used.
    """
    image = decode(data)
    embedded = store.embed(Query(image=image))
    (part,) = embedded.parts
    small = image.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=QUALITY)
    return KeptPhoto(
        label=label,
        jpeg=stream.getvalue(),
        size=small.size,
        whole=part.whole,
        product=None if part.segmented is None else embedded.vector,
        fingerprint=embedded.fingerprint,
        tile=tile(image),
        product_tile=b"" if part.segmented is None else tile(part.segmented),
        colours=part.colours,
    )


def ready_to_ask(store: Store, token: str, box: Box | None) -> KeptPhoto | None:
    """The picture of a token with vectors of the store's own model, and those of the box; None where it is forgotten.

    Raises:
        LapelError: the model cannot be used.
    """
    photo = PICTURES.get(token)
    if photo is None:
        return None
    if photo.fingerprint != store.models.current.fingerprint:  # another model since
        photo = look_at(store, photo.jpeg, photo.label)
        PICTURES.put(photo, token)
    if box is not None and box not in photo.crops:
        embedded = store.embed(Query(image=photo.image(), box=box))
        photo.crops[box] = (embedded.vector, embedded.colours)
        while len(photo.crops) > MOST_CROPS:
            photo.crops.popitem(last=False)
    return photo


def regions_of(store: Store, token: str, photo: KeptPhoto) -> tuple[Region, ...]:
    """The products in a picture, looked for once.

    Raises:
        LapelError: the model cannot be used.
    """
    if photo.regions is None:
        photo = replace(photo, regions=tuple(store.regions(photo.image())))
        PICTURES.put(photo, token)
    return photo.regions or ()
