"""Small images of photos for a gallery: the store's own thumbnails as JPEG tiles of one size, the last used ones kept
in memory."""

from __future__ import annotations

import io
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
from PIL import Image, ImageOps

from lapel.core.errors import LapelError, SourceError
from lapel.core.images import decode
from lapel.core.types import Photo
from lapel.engine.context import StoreContext
from lapel.sources import read_uri

TILE_SIZE = (450, 600)  # pixels: a card is up to 225 points wide, on a screen of two pixels a point
TILE_QUALITY = 85  # about 30 kB each
MAX_TILES = 2_000  # so 60 MB
LOCAL_SCHEMES = ("file:", "zip:")  # image files on this machine
EVEN_EDGE = 14  # mean difference, in 0..255, up to which an edge is one colour: paper with a shadow on it has 2 to 8
NEUTRAL = (241, 238, 233)  # around images whose edge is not even
RETRY_SECONDS = 60.0  # how long an image that could not be read is not asked for again
READERS = 8  # images read at once: links wait for their server, not for this machine


class ThumbnailService:
    """Tiles by the hash of their content. Safe to share between threads."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._missing: dict[str, float] = {}
        self._lock = Lock()

    def tiles(self, photos: Sequence[Photo]) -> list[bytes | None]:
        """A JPEG for each photo; None for those that cannot be read now."""
        if len(photos) <= 1:
            return [self._one(photo) for photo in photos]
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(self._one, photos))

    def _one(self, photo: Photo) -> bytes | None:
        with self._lock:
            if photo.sha256 in self._kept:
                self._kept.move_to_end(photo.sha256)
                return self._kept[photo.sha256]
            if time.monotonic() < self._missing.get(photo.uri, 0.0):
                return None
        try:
            made = tile(decode(self._read(photo)))
        except (LapelError, OSError):
            with self._lock:
                self._missing[photo.uri] = time.monotonic() + RETRY_SECONDS
            return None
        with self._lock:
            self._missing.pop(photo.uri, None)
            self._kept[photo.sha256] = made
            while len(self._kept) > MAX_TILES:
                self._kept.popitem(last=False)
        return made

    def _read(self, photo: Photo) -> bytes:
        """The store's own thumbnail of a photo; where there is none, the photo itself, if it is on this machine.

        Raises:
            SourceError: there is neither. Nobody waits for an image to come from elsewhere: browsers get those by
                links.
        """
        own = self._context.thumbnails.get([photo.sha256], TILE_SIZE[0]).get(photo.sha256)
        if own is None and not photo.uri.startswith(LOCAL_SCHEMES):
            raise SourceError(f"The store has no thumbnail of {photo.uri}. Make it with: lapel media thumbnails")
        return own or read_uri(photo.uri)


def tile(image: Image.Image) -> bytes:
    """An RGB image of any size as a JPEG of 450 x 600 pixels, on a ground that goes on where the image ends."""
    small = ImageOps.contain(image, TILE_SIZE, Image.Resampling.LANCZOS)
    whole = Image.new("RGB", TILE_SIZE, ground_colour(small))
    whole.paste(small, ((whole.width - small.width) // 2, (whole.height - small.height) // 2))
    stream = io.BytesIO()
    whole.save(stream, "JPEG", quality=TILE_QUALITY)
    return stream.getvalue()


def ground_colour(image: Image.Image) -> tuple[int, int, int]:
    """The colour around an image: that of its edge where this is even, as on shop photos, else a neutral one."""
    pixels = np.asarray(image, np.int16)  # (height, width, 3); signed, as differences are taken
    sides = (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])
    edge = np.concatenate([side.reshape(-1, 3) for side in sides])
    middle = np.median(edge, axis=0)
    if float(np.abs(edge - middle).mean()) > EVEN_EDGE:
        return NEUTRAL
    red, green, blue = (int(value) for value in middle)
    return red, green, blue
