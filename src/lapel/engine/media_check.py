"""A check of a store's media: which photos are dead, forbidden, unreachable, moved or changed, and what can be mended.

Changed photos are embedded anew. Those out of reach are hidden from results when they have been so for a while, and
shown again when they return; nothing is deleted. No lock is held while photos are visited, so adding goes on beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from lapel.catalog import Entry, PhotoEntry, writer_lock
from lapel.catalog.hosting import MediaIssue
from lapel.core.errors import InputError
from lapel.core.types import Photo
from lapel.engine.backfill import photo_pages
from lapel.engine.context import StoreContext
from lapel.engine.features import FEATURES
from lapel.engine.pipeline import PhotoTask, Pipeline, catalog_values, thumbnails_of
from lapel.sources.link_checker import LinkCheck, LinkChecker, LinkStatus

PAGE = 256  # photos of the catalogue visited together
VISITORS = 8  # photos visited at once
BATCH = 32  # photos that are read and encoded together
MAX_UNREACHABLE_SHARE = 0.5  # of all photos; when there are more it is rather this machine's network or disk
UNREACHABLE_STATES = ("dead", "forbidden", "unreachable")


@dataclass(frozen=True)
class MediaCheckReport:
    """What a check found and did.

    Attributes:
        photos: Photos that were visited.
        states: How many are fine, dead, forbidden, unreachable, moved, changed, and unasked as their place does not
            answer.
        encoded: Changed photos that were embedded anew.
        hidden: Photos hidden from results now.
        back: Photos shown again.
        held_back: Whether nothing was hidden because too many are out of reach.
        issues: Every photo that has one now.
    """

    photos: int
    states: Counter[str]
    encoded: int
    hidden: int
    back: int
    held_back: bool
    issues: tuple[MediaIssue, ...] = field(repr=False)


def check_media(
    store: StoreContext,
    checker: LinkChecker,
    *,
    grace: timedelta = timedelta(days=7),
    force: bool = False,
    now: datetime | None = None,
    report: Callable[[int, int], None] | None = None,
) -> MediaCheckReport:
    """Visit every photo of the products that are shown.

    Args:
        store: The store.
        checker: What visits them.
        grace: How long a photo may be out of reach before it is hidden.
        force: Hide also when more than half of all photos are out of reach.
        now: The time, by default the clock's.
        report: Called with how many photos were visited, and how many there are.

    Raises:
        StoreBusyError: another process adds to the store while changed photos were to be embedded; what was found is
            written down.
        StoreReadOnlyError: nothing can be written there.
    """
    now = now or datetime.now(UTC)
    hosting, total = store.catalog.hosting, store.catalog.counts().photos
    states: Counter[str] = Counter()
    changed: list[_ChangedPhoto] = []
    with ThreadPoolExecutor(VISITORS, thread_name_prefix="lapel-visit") as pool:
        for page in photo_pages(store, size=PAGE, shown=True):
            tokens = hosting.version_tokens(photo.key for photo in page)
            page = [photo for photo in page if photo.key in tokens]  # others were taken out just now
            visits = [(photo.uri, *tokens[photo.key]) for photo in page]
            distinct = list(dict.fromkeys(visits))  # products may share a photo
            found = dict(zip(distinct, pool.map(lambda visit: checker.check(*visit), distinct), strict=True))
            health = [(photo, found[visit]) for photo, visit in zip(page, visits, strict=True)]
            states.update(each.status for _, each in health)
            changed += [
                _ChangedPhoto(
                    uri=photo.uri, expected=photo.sha256, photo=photo, version_token=tokens[photo.key][0], health=each
                )
                for photo, each in health
                if each.status == "changed"
            ]
            bad = {
                photo.key: (each.status, each.reason)
                for photo, each in health
                if each.status in (*UNREACHABLE_STATES, "moved")
            }
            hosting.set_issues(bad, [photo.key for photo, each in health if each.status == "fine"], now=_text(now))
            if report is not None:
                report(states.total(), total)
    encoded = _renew(store, checker, changed, states, now=_text(now))
    unreachable = sum(states[kind] for kind in (*UNREACHABLE_STATES, "unasked"))
    held_back = unreachable > MAX_UNREACHABLE_SHARE * states.total() and not force
    # Held back, only what returned is shown again: nothing is out of reach since before the beginning of time.
    hidden, back = hosting.update_reachability(before="" if held_back else _text(now - grace), now=_text(now))
    return MediaCheckReport(states.total(), states, encoded, hidden, back, held_back, tuple(hosting.issues()))


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(" ", "seconds")


@dataclass(kw_only=True)
class _ChangedPhoto(PhotoTask):
    """A photo that may have changed, on its way: read, then encoded when its bytes are others, or found unusable."""

    photo: Photo
    version_token: str  # what is stored
    health: LinkCheck
    state: LinkStatus = "dead"  # what it is when there is a problem; an image that cannot be decoded is dead

    @property
    def must_write(self) -> bool:
        """Whether what the catalogue holds is no longer so."""
        return not self.problem and (self.vector is not None or self.version_token != self.health.version_token)

    @property
    def verdict(self) -> tuple[str, str]:
        """Its state now, and why."""
        if self.problem:
            return self.state, f"it changed and cannot be used: {self.problem}"
        return ("fine", "") if self.vector is None else ("changed", "it was another picture and was embedded anew")


def _renew(
    store: StoreContext, checker: LinkChecker, changed: Sequence[_ChangedPhoto], states: Counter[str], *, now: str
) -> int:
    """Read what may be another image, encode what is one, and write it down. Returns how many are."""
    hosting, encoded = store.catalog.hosting, 0
    batches = [changed[at : at + BATCH] for at in range(0, len(changed), BATCH)]
    with ThreadPoolExecutor(VISITORS, thread_name_prefix="lapel-visit") as pool:
        for batch in batches:
            list(pool.map(lambda task: _load(store, checker, task), batch))
            Pipeline(store.encoder).encode(batch)
            store.thumbnails.put(thumbnails_of(task for task in batch if not task.problem))
            removed: set[str] = set()
            if writing := [task for task in batch if task.must_write]:
                with writer_lock(store.folder):
                    removed = _write(store, writing)
            states["changed"] -= len(batch)
            # Nothing is known of what was removed: when it comes back, it is visited as if for the first time.
            kept = [task for task in batch if task.photo.product_id not in removed]
            # A photo with other bytes has another key now.
            keys = {
                task.photo.key: photo.key
                for task in kept
                for photo in store.catalog.photos(task.photo.product_id)
                if photo.uri == task.uri
            }
            verdicts = {task.photo.key: task.verdict for task in kept}
            states.update(state for state, _ in verdicts.values())
            encoded += sum(state == "changed" for state, _ in verdicts.values())
            bad = {keys[key]: verdict for key, verdict in verdicts.items() if verdict[0] != "fine" and key in keys}
            hosting.set_issues(bad, [key for key, (state, _) in verdicts.items() if state == "fine"], now=now)
            hosting.set_etags(
                {keys[task.photo.key]: task.health.etag for task in kept if task.photo.key in keys and not task.problem}
            )
    return encoded


def _load(store: StoreContext, checker: LinkChecker, task: _ChangedPhoto) -> None:
    """Read a photo; when its bytes are others, decode and preprocess it."""

    def read(uri: str) -> bytes:
        try:
            return checker.read(uri)
        except InputError as error:
            task.state = checker.status_of(error)
            raise

    Pipeline(store.encoder, tuple(FEATURES.values()), read).load([task])


def _write(store: StoreContext, tasks: Sequence[_ChangedPhoto]) -> set[str]:
    """Put photos with other bytes or another version token in the place of what is stored; the other photos of their
    products stay.

    Returns the products that were removed meanwhile: they are left as they are.
    """
    by_product: dict[str, dict[str, _ChangedPhoto]] = {}
    for task in tasks:
        by_product.setdefault(task.photo.product_id, {})[task.uri] = task
    fingerprint = store.model.fingerprint
    entries = []
    for product_id, known in store.catalog.stored(list(by_product), fingerprint=fingerprint).items():
        if not known.content_hash:
            continue  # removed meanwhile: writing it would bring it back
        photos = [
            PhotoEntry(uri, each.version_token, each.sha256, None, each.links) for uri, each in known.photos.items()
        ]
        for position, photo in enumerate(photos):
            found = by_product[product_id].get(photo.uri)
            if found is not None:
                photos[position] = replace(
                    photo,
                    version_token=found.health.version_token,
                    sha256=found.sha256,
                    vector=found.vector,
                    features=catalog_values(found),
                )
        entries.append(Entry(store.catalog.product(product_id), tuple(photos)))
    store.catalog.write(entries, fingerprint=fingerprint)
    return set(by_product) - {entry.product.id for entry in entries}
