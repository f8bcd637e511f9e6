"""A round through a store's pictures: which are dead, forbidden, unreachable, moved or changed, and healing what can be
healed.

Changed pictures are embedded anew. Those out of reach are hidden from results when they have been so for a while, and
shown again when they
return; nothing is deleted. A round holds no lock while it looks, so adding goes on beside it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import Entry, PhotoEntry, writer_lock
from lapel.catalog.hosting import MediaIssue
from lapel.core.errors import InputError
from lapel.core.images import Pixels, decode, thumbnails
from lapel.core.types import Photo
from lapel.core.vectors import UNIT_TOLERANCE
from lapel.engine.context import StoreContext
from lapel.sources.link_checker import LinkCheck, LinkChecker, LinkStatus

PAGE = 256  # photos looked at together
VISITORS = 8  # photos looked at at once
READ = 32  # photos that are read and encoded together
MOST_LOST = (
    0.5  # of the photos that may be out of reach; when there are more it is rather this machine's network or disk
)
BROKEN = ("dead", "forbidden", "unreachable")


@dataclass(frozen=True)
class Round:
    """What a round found and did.

    Attributes:
        photos: Photos looked at.
        states: How many are fine, dead, forbidden, unreachable, moved, changed, and unasked as their place does not
            answer.
        encoded: Changed photos that were embedded anew.
        hidden: Photos hidden from results now.
        back: Photos shown again.
        held_back: Whether nothing was hidden because too many are out of reach.
        troubles: Every photo that is in trouble now.
    """

    photos: int
    states: Counter[str]
    encoded: int
    hidden: int
    back: int
    held_back: bool
    troubles: tuple[MediaIssue, ...] = field(repr=False)


def check_hosting(
    store: StoreContext,
    rounds: LinkChecker,
    *,
    grace: timedelta = timedelta(days=7),
    force: bool = False,
    now: datetime | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Round:
    """Visit every photo of the products that are shown.

    Args:
        store: The store.
        rounds: What visits them.
        grace: How long a photo may be out of reach before it is hidden.
        force: Hide also when more than half of all photos are out of reach.
        now: The time, by default the clock's.
        report: Called with how many photos were looked at, and how many there are.

    Raises:
        StoreBusyError: another process adds to the store while changed photos were to be embedded; what was found is
            written down.
        StoreReadOnlyError: nothing can be written there.
    """
    now = now or datetime.now(UTC)
    hosting, total = store.catalog.hosting, store.catalog.counts().photos
    states: Counter[str] = Counter()
    changed: list[_Visit] = []
    after = 0
    with ThreadPoolExecutor(VISITORS, thread_name_prefix="lapel-visit") as pool:
        while page := hosting.photos(after=after, limit=PAGE, shown=True):
            after = page[-1].key
            marks = hosting.marks(photo.key for photo in page)
            page = [photo for photo in page if photo.key in marks]  # others were taken out just now
            looks = [(photo.uri, *marks[photo.key]) for photo in page]
            asked = list(dict.fromkeys(looks))  # products may share a picture
            found = dict(zip(asked, pool.map(lambda look: rounds.check(*look), asked), strict=True))
            health = [(photo, found[look]) for photo, look in zip(page, looks, strict=True)]
            states.update(each.status for _, each in health)
            changed += [_Visit(photo, marks[photo.key][0], each) for photo, each in health if each.status == "changed"]
            bad = {photo.key: (each.status, each.reason) for photo, each in health if each.status in (*BROKEN, "moved")}
            hosting.note(bad, [photo.key for photo, each in health if each.status == "fine"], now=_text(now))
            if report is not None:
                report(states.total(), total)
    encoded = _renew(store, rounds, changed, states, now=_text(now))
    lost = sum(states[kind] for kind in (*BROKEN, "unasked"))
    held_back = lost > MOST_LOST * states.total() and not force
    # Held back, only what returned is shown again: nothing is out of reach since before the beginning of time.
    hidden, back = hosting.hide(before="" if held_back else _text(now - grace), now=_text(now))
    return Round(states.total(), states, encoded, hidden, back, held_back, tuple(hosting.troubles()))


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(" ", "seconds")


@dataclass
class _Visit:
    """A photo that may have changed, on its way: read, then encoded when its bytes are others, or found unusable."""

    photo: Photo
    stamp: str  # what is stored
    health: LinkCheck
    sha256: str = ""
    pixels: Pixels | None = None  # (height, width, 3) uint8, must be encoded
    small: Mapping[int, bytes] = field(default_factory=dict)
    vector: NDArray[np.float32] | None = None  # (dim,)
    problem: str = ""
    lost: LinkStatus = "dead"  # what it is when there is a problem

    @property
    def written(self) -> bool:
        """Whether the catalogue must hear of it."""
        return not self.problem and (self.vector is not None or self.stamp != self.health.version_token)


def _renew(
    store: StoreContext, rounds: LinkChecker, changed: Sequence[_Visit], states: Counter[str], *, now: str
) -> int:
    """Read what seems to be another picture, encode what is one, and write it down. Returns how many are."""
    encoded = 0
    with ThreadPoolExecutor(VISITORS, thread_name_prefix="lapel-visit") as pool:
        for at in range(0, len(changed), READ):
            visits = list(pool.map(lambda visit: _read(store, rounds, visit), changed[at : at + READ]))
            _encode(store, visits)
            gone: set[str] = set()
            if any(visit.written for visit in visits):
                with writer_lock(store.folder):
                    gone = _write(store, [visit for visit in visits if visit.written])
            states["changed"] -= len(visits)
            # Nothing is known of them: when they come back, they are looked at as if for the first time.
            visits = [visit for visit in visits if visit.photo.product_id not in gone]
            news = {visit.photo.key: _verdict(visit) for visit in visits}
            # A photo with other bytes has another key now.
            keys = {
                visit.photo.key: each.key
                for visit in visits
                for each in store.catalog.photos(visit.photo.product_id)
                if each.uri == visit.photo.uri
            }
            states.update(state for state, _ in news.values())
            encoded += sum(state == "changed" for state, _ in news.values())
            bad = {keys[key]: verdict for key, verdict in news.items() if verdict[0] != "fine" and key in keys}
            store.catalog.hosting.note(bad, [key for key, (state, _) in news.items() if state == "fine"], now=now)
            marks = {
                keys[visit.photo.key]: visit.health.etag
                for visit in visits
                if visit.photo.key in keys and not visit.problem
            }
            store.catalog.hosting.mark(marks)
    return encoded


def _verdict(visit: _Visit) -> tuple[str, str]:
    if visit.problem:
        return visit.lost, f"it changed and cannot be used: {visit.problem}"
    return ("fine", "") if visit.vector is None else ("changed", "it was another picture and was embedded anew")


def _read(store: StoreContext, rounds: LinkChecker, visit: _Visit) -> _Visit:
    """Read a photo; when its bytes are others, decode and scale it."""
    try:
        data = rounds.read(visit.photo.uri)
        visit.sha256 = hashlib.sha256(data).hexdigest()
        if visit.sha256 != visit.photo.sha256:
            picture = decode(data)
            visit.pixels, visit.small = store.encoder.preprocessing.apply(picture), thumbnails(picture)
    except InputError as error:
        visit.problem, visit.lost = str(error), rounds.status_of(error)
    return visit


def _encode(store: StoreContext, visits: Sequence[_Visit]) -> None:
    """Give what was read its vectors and small pictures."""
    read = [visit for visit in visits if visit.pixels is not None]
    if not read:
        return
    made = store.encoder.encode_pixels(np.stack([visit.pixels for visit in read if visit.pixels is not None]))
    for visit, vector in zip(read, made, strict=True):
        visit.pixels = None
        if abs(float(np.linalg.norm(vector)) - 1) <= UNIT_TOLERANCE:
            visit.vector = vector
        else:
            visit.problem = f"the model '{store.encoder.name}' sees nothing in it"
    store.thumbnails.put({visit.sha256: visit.small for visit in read if not visit.problem})


def _write(store: StoreContext, visits: Sequence[_Visit]) -> set[str]:
    """Put photos with other bytes or another stamp in the place of what is stored; the other photos of their products
    stay.

    Returns the products that are gone meanwhile: they are left as they are.
    """
    seen: dict[str, dict[str, _Visit]] = {}
    for visit in visits:
        seen.setdefault(visit.photo.product_id, {})[visit.photo.uri] = visit
    fingerprint = store.model.fingerprint
    entries = []
    for product_id, known in store.catalog.stored(list(seen), fingerprint=fingerprint).items():
        if not known.content_hash:
            continue  # gone meanwhile: writing it would bring it back
        photos = [PhotoEntry(uri, each.stamp, each.sha256, None, each.links) for uri, each in known.photos.items()]
        for place, photo in enumerate(photos):
            visit_of = seen[product_id].get(photo.uri)
            if visit_of is not None:
                photos[place] = replace(
                    photo, stamp=visit_of.health.version_token, sha256=visit_of.sha256, vector=visit_of.vector
                )
        entries.append(Entry(store.catalog.product(product_id), tuple(photos)))
    store.catalog.write(entries, fingerprint=fingerprint)
    return set(seen) - {entry.product.id for entry in entries}
