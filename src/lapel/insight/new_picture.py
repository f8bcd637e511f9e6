"""``lapel duplicates --new``: is one picture that is not in the store yet a copy of one that is?"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.catalog.pairs import PairTable
from lapel.core.errors import ImageError
from lapel.core.filters import NO_FILTER
from lapel.core.images import ImageLike, to_image
from lapel.core.text import counted, reason_of
from lapel.core.types import Filter
from lapel.core.vectors import Keys
from lapel.engine.context import StoreContext
from lapel.insight.duplicate_search import CandidateSearch, PairSearch, PhotoColumns, read_columns
from lapel.insight.duplicates import LEAST_CHANCE
from lapel.insight.picture_views import PictureViews, views_of
from lapel.insight.pictures import stacked


@dataclass(frozen=True)
class Match:
    """A product whose picture the new one is a copy of.

    Attributes:
        kind: ``exact`` or ``near``.
        product: Its id.
        photo: Where its photo is.
        score: How sure it is, 0..1.
        title: The product's.
        key: The photo's key.
        mirrored: Whether one is the mirrored other.
    """

    kind: str
    product: str
    photo: str
    score: float
    title: str = ""
    key: int = 0
    mirrored: bool = False

    @property
    def how(self) -> str:
        """What the new picture is, for people: ``the same file``, ``a copy`` or ``a mirrored copy``."""
        return "the same file" if self.kind == "exact" else f"a {'mirrored ' if self.mirrored else ''}copy"


@dataclass(frozen=True)
class NewCheck:
    """What one picture was found to be a copy of.

    Attributes:
        matches: The surest first.
        photos: How many pictures it was compared with.
        encoding_ms: Milliseconds of reading and encoding it.
        checking_ms: Milliseconds of all else.
    """

    matches: tuple[Match, ...]
    photos: int
    encoding_ms: float
    checking_ms: float

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "matches": [
                {"kind": m.kind, "product": m.product, "photo": m.photo, "score": round(m.score, 4)}
                for m in self.matches
            ],
            "photos": self.photos,
            "timings": {"encoding_ms": round(self.encoding_ms, 2), "checking_ms": round(self.checking_ms, 2)},
        }

    def summary(self) -> str:
        """In a sentence."""
        what = f"{counted(len(self.matches), 'product')} with this picture" if self.matches else "No copy of it"
        return f"{what} among {counted(self.photos, 'picture')} ({self.checking_ms:.0f} ms after encoding)."


class NewPictures:
    """Checks pictures against all of one store; keeps what it needs for that in memory until the store changes. Safe to
    share between threads.

    Args:
        context: The store.
        table: What is known of pairs.
    """

    def __init__(self, context: StoreContext, table: PairTable) -> None:
        self._context, self._table = context, table
        self._lock = Lock()
        self._ready: tuple[int, Keys, PhotoColumns, CandidateSearch, PairSearch] | None = None

    def prepare(self) -> tuple[Keys, PhotoColumns, CandidateSearch, PairSearch]:
        """Read which photos are shown, and all pictures' vectors and hashes; done once while the store stays as it
        is."""
        with self._lock:
            catalog = self._context.catalog
            now = catalog.generation
            if self._ready is None or self._ready[0] != now:
                shown = catalog.matching_keys(NO_FILTER)
                columns = read_columns(
                    self._context, np.intersect1d(shown, catalog.vector_keys(self._context.model.fingerprint))
                )
                pairs = PairSearch(self._context, self._table)
                search = CandidateSearch(columns.vectors, pairs.looks(columns, np.arange(len(columns.keys))))
                self._ready = (now, shown, columns, search, pairs)
            return self._ready[1:]

    def check(self, picture: ImageLike, where: Filter = NO_FILTER, *, least: float = LEAST_CHANCE) -> NewCheck:
        """Compare a picture with all.

        Args:
            picture: A path, the bytes of a file, a PIL image or an array.
            where: Which products.
            least: How sure a copy is at least.

        Raises:
            ImageError: it cannot be read.
        """
        shown, columns, search, pairs = self.prepare()
        start = time.perf_counter()
        data = read_bytes(picture) if isinstance(picture, str | Path) else picture
        image = to_image(data)
        views = views_of(self._context.encoder, [image])
        encoded = time.perf_counter()
        exact = hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else ""
        found = self._matches(columns, search, pairs, views, least)
        names = {columns.hashes[place].decode(): (score, flip) for place, score, flip in found}
        if exact and self._context.catalog.photo_of(exact) is not None:
            names[exact] = (1.0, False)
        keys = self._context.catalog.photos_by_hash(names)
        passing = shown if where == NO_FILTER else self._context.catalog.matching_keys(where)
        wanted = np.array([key for each in keys.values() for key in each], np.int64)
        entries = self._context.catalog.entries(wanted[np.isin(wanted, passing)].tolist())  # bytes of hidden ones, too
        matches = [
            Match(
                "exact" if photo.sha256 == exact else "near",
                product.id,
                photo.uri,
                names[photo.sha256][0],
                product.title,
                photo.key,
                names[photo.sha256][1],
            )
            for product, photo in entries.values()
        ]
        matches.sort(key=lambda match: (-match.score, match.product))
        done = time.perf_counter()
        return NewCheck(tuple(matches), len(columns.keys), (encoded - start) * 1e3, (done - encoded) * 1e3)

    def _matches(
        self, columns: PhotoColumns, search: CandidateSearch, pairs: PairSearch, views: PictureViews, least: float
    ) -> list[tuple[int, float, bool]]:
        """Places of what one picture may be a copy of, how likely, and whether mirrored."""

        def read(places: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.uint8], NDArray[np.float64]]:
            names = [columns.hashes[place].decode() for place in places]
            found = pairs.pictures.read(dict(zip(names, columns.keys[places].tolist(), strict=True)))
            return np.array([name in found for name in names], bool), *stacked(found, [n for n in names if n in found])

        asking, found, likely, mirrored = search.copies(views, read)
        likely = search.beside_rivals(asking, found, likely, read(found)[1:])
        return [
            (int(place), float(score), bool(flip))
            for place, score, flip in zip(found, likely, mirrored, strict=True)
            if score >= least
        ]


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        ImageError: there is none that can be read.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise ImageError(f"The picture {path} cannot be read: {reason}. Check the path.") from error
