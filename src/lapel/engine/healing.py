"""A round through a store's pictures: which are dead, forbidden, unreachable, moved or changed, and healing what can be healed.

Changed pictures are embedded anew. Those out of reach are hidden from results when they have been so for a while, and shown again when they
return; nothing is deleted. A round holds no lock while it looks, so adding goes on beside it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from lapel.catalog import Entry, PhotoEntry, writer_lock
from lapel.catalog.hosting import Trouble
from lapel.core.errors import ImageError, InputError
from lapel.core.images import decode, thumbnails
from lapel.core.types import Photo
from lapel.core.vectors import UNIT_TOLERANCE
from lapel.engine.store import Store
from lapel.sources.health import Health, Rounds

PAGE = 256  # photos looked at together
VISITORS = 8  # photos looked at at once
MOST_LOST = (
    0.5  # of the photos that may be out of reach; when there are more it is rather this machine's network or disk
)
BROKEN = ("dead", "forbidden", "unreachable")


@dataclass(frozen=True)
class Round:
    """What a round found and did.

    Attributes:
        photos: Photos looked at.
        states: How many are fine, dead, forbidden, unreachable, moved and changed.
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
    troubles: tuple[Trouble, ...] = field(repr=False)


def check_hosting(
    store: Store,
    rounds: Rounds,
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
        StoreBusy: another process adds to the store while changed photos were to be embedded; what was found is written down.
        StoreReadOnly: nothing can be written there.
    """
    now = now or datetime.now(UTC)
    hosting, total = store.catalog.hosting, store.catalog.counts().photos
    states: Counter[str] = Counter()
    changed: list[tuple[Photo, Health]] = []
    after = 0
    with ThreadPoolExecutor(VISITORS, thread_name_prefix="lapel-visit") as pool:
        while page := hosting.photos(after=after, limit=PAGE, shown=True):
            after = page[-1].key
            stamps = hosting.stamps(photo.key for photo in page)
            looks = [(photo.uri, stamps.get(photo.key, "")) for photo in page]
            asked = list(dict.fromkeys(looks))  # products may share a picture
            found = dict(zip(asked, pool.map(lambda look: rounds.look(*look), asked), strict=True))
            health = [(photo, found[look]) for photo, look in zip(page, looks, strict=True)]
            states.update(each.state for _, each in health)
            changed += [(photo, each) for photo, each in health if each.state == "changed"]
            bad = {photo.key: (each.state, each.reason) for photo, each in health if each.state in (*BROKEN, "moved")}
            hosting.note(bad, [photo.key for photo, each in health if each.state == "fine"], now=_text(now))
            if report is not None:
                report(states.total(), total)
    encoded = _renew(store, rounds, changed, states, now=_text(now))
    lost = sum(states[kind] for kind in BROKEN)
    held_back = lost > MOST_LOST * states.total() and not force
    # Held back, only what returned is shown again: nothing is out of reach since before the beginning of time.
    hidden, back = hosting.hide(before="" if held_back else _text(now - grace), now=_text(now))
    return Round(states.total(), states, encoded, hidden, back, held_back, tuple(hosting.troubles()))


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(" ", "seconds")


def _renew(
    store: Store, rounds: Rounds, changed: Sequence[tuple[Photo, Health]], states: Counter[str], *, now: str
) -> int:
    """Read what seems to be another picture. One that is the same gets its new mark, another one a vector. Counts the latter."""
    encoded = 0
    for at in range(0, len(changed), PAGE):
        with writer_lock(store.folder):
            for photo, health in changed[at : at + PAGE]:
                state, reason = _renew_one(store, rounds, photo, health)
                encoded += state == "changed"
                states["changed"] -= 1
                states[state] += 1
                # A photo with other bytes has another key now.
                key = next(
                    (each.key for each in store.catalog.photos(photo.product_id) if each.uri == photo.uri), photo.key
                )
                note = {} if state == "fine" else {key: (state, reason)}
                store.catalog.hosting.note(note, [key] if state == "fine" else [], now=now)
    return encoded


def _renew_one(store: Store, rounds: Rounds, photo: Photo, health: Health) -> tuple[str, str]:
    """One photo that may have changed: what it is now, and why."""
    try:
        data = rounds.read(photo.uri)
        sha256 = hashlib.sha256(data).hexdigest()
        vector = None
        if sha256 != photo.sha256:
            picture = decode(data)
            encoder = store.encoder
            (vector,) = encoder.encode_pixels(encoder.preprocessing.apply(picture)[None])
            if abs(float(np.linalg.norm(vector)) - 1) > UNIT_TOLERANCE:
                raise ImageError(f"The model '{encoder.name}' sees nothing in the picture.")
            store.thumbnails.put({sha256: thumbnails(picture)})
    except InputError as error:
        return "dead", f"it changed and cannot be used: {error}"
    stored = store.catalog.stored([photo.product_id], fingerprint=store.model.fingerprint).get(photo.product_id)
    if stored is None or photo.uri not in stored.photos:
        return "fine", ""  # taken out meanwhile
    entries = [
        PhotoEntry(uri, health.stamp, sha256, vector, each.links)
        if uri == photo.uri
        else PhotoEntry(uri, each.stamp, each.sha256, None, each.links)
        for uri, each in stored.photos.items()
    ]
    store.catalog.write(
        [Entry(store.catalog.product(photo.product_id), tuple(entries))], fingerprint=store.model.fingerprint
    )
    return ("fine", "") if vector is None else ("changed", "it was another picture and was embedded anew")
