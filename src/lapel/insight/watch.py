"""Checks pictures against banks: restricted looks, a brand's own designs, logos as pictures.

Pictures go in with where they are; matches come out with how likely each is a copy of a bank's picture. The check is
that of :mod:`lapel.insight.duplicate_search`. What is nearer to a picture of a *negative* bank, such as a size chart
that every shop has, matches nothing.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from lapel.catalog.watching import Bank, BankPicture, Finding, WatchTable
from lapel.core.errors import LapelError, QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.images import decode
from lapel.core.text import counted
from lapel.engine.context import StoreContext
from lapel.engine.picture_hash import BYTES, PARTS, SIDE, hash_of, read_hashes
from lapel.insight.duplicate_search import CandidateSearch, CopiesFound, mean_of_nearest
from lapel.insight.findings import Findings, Picture, Section
from lapel.insight.picture_views import PictureViews, joined, views_of
from lapel.insight.watch_signs import Sign

KINDS = ("restricted", "own", "logos", "negative")
LEAST = 0.93  # probability from which on a picture is a match, of a bank that says no other
FLOOD = 0.2  # share of checked pictures beyond which a bank is quarantined
FLOOD_AFTER = 100  # pictures: fewer say nothing of a share
BATCH = 32
EDGE = 480  # pixels of pictures that are kept for people
NEIGHBOURS = 10  # of the store, for the normalisation of scores

Upload = tuple[str, Callable[[], bytes]]  # where it is, and what reads it


@dataclass(frozen=True)
class WatchMatch:
    """One upload and the picture of a bank that it is most likely a copy of.

    Attributes:
        place: Where the upload is.
        bank: Which bank.
        entry: Where the bank's picture came from.
        chance: How likely it is a copy, 0..1.
        mirrored: Whether it is the mirrored picture.
        finding: The number of the finding in the queue; 0 where nothing was kept.
        new: Whether that is new: the same picture at the same place is reported once.
        quarantined: Whether the bank is, so that no alert was raised.
        pictures: The bank's picture and the upload, WebP.
    """

    place: str
    bank: str
    entry: str
    chance: float
    mirrored: bool = False
    finding: int = 0
    new: bool = True
    quarantined: bool = False
    pictures: tuple[bytes, bytes] = field(default=(b"", b""), repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """As a line of JSON has it."""
        return {
            "finding": self.finding,
            "bank": self.bank,
            "entry": self.entry,
            "place": self.place,
            "probability": round(self.chance, 4),
            "mirrored": self.mirrored,
            "new": self.new,
            "quarantined": self.quarantined,
        }


@dataclass(frozen=True)
class WatchReport(Findings):
    """What a check of uploads found.

    Attributes:
        matches: The surest first.
        checked: Pictures that were compared.
        banks: Banks that were compared with, and how many pictures they hold together.
        suppressed: Uploads that were nearer to a negative bank.
        unreadable: Where pictures are that could not be read, with the reason.
        quarantined: Banks that flooded in this check or before: their matches raise no alerts.
        notes: What else is to be known, a sentence each.
    """

    matches: tuple[WatchMatch, ...]
    checked: int
    banks: tuple[int, int]
    suppressed: int = 0
    unreadable: tuple[tuple[str, str], ...] = ()
    quarantined: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def columns(self) -> tuple[str, ...]:
        """See :class:`lapel.insight.findings.Findings`."""
        return ("finding", "bank", "entry", "place", "probability", "mirrored", "new", "quarantined")

    def rows(self) -> list[dict[str, Any]]:
        """A row each match."""
        return [match.to_json() for match in self.matches]

    def to_json(self) -> dict[str, Any]:
        """See :class:`lapel.insight.findings.Findings`."""
        return {
            "matches": self.rows(),
            "checked": self.checked,
            "banks": self.banks[0],
            "bank_pictures": self.banks[1],
            "suppressed": self.suppressed,
            "quarantined": list(self.quarantined),
            "unreadable": [{"place": place, "reason": reason} for place, reason in self.unreadable],
            "notes": list(self.notes),
        }

    def sections(self) -> Iterator[Section]:
        """Each match: the bank's picture beside what was found."""
        for match in self.matches:
            own, upload = match.pictures
            likely = f"{match.chance:.0%} likely {'a copy' if own else match.entry}"
            told = (match.place, likely, *(("mirrored",) if match.mirrored else ()))
            banks = (Picture(own, "in the bank", (match.entry,)),) if own else ()
            yield Section(
                f"{match.bank}: {match.chance:.0%}" + (" (quarantined)" if match.quarantined else ""),
                f"Finding {match.finding}. Decide with: lapel watch decide {match.finding} confirm",
                (*banks, Picture(upload, "found", told, "bad" if match.chance >= 0.95 else "warn")),
            )

    def summary(self) -> str:
        """How many matches, and what was left out."""
        told = (
            f"Checked {counted(self.checked, 'picture')} against {counted(self.banks[1], 'picture')} of"
            f" {counted(self.banks[0], 'bank')}: {counted(len(self.matches), 'match', 'matches')},"
            f" {sum(match.new for match in self.matches):,} of them new."
        )
        if self.suppressed:
            told += f" {counted(self.suppressed, 'picture')} nearer to a negative bank."
        if self.quarantined:
            told += f" Quarantined, so without alerts: {', '.join(self.quarantined)}."
        if self.unreadable:
            told += f" This answer is partial: {counted(len(self.unreadable), 'picture')} could not be read."
        return " ".join((told, *self.notes))


@dataclass(frozen=True)
class _Read:
    """An upload that was read and encoded."""

    image: Image.Image
    place: str
    sha256: str
    hash: bytes
    views: PictureViews
    webp: bytes


def read_uploads(
    context: StoreContext, uploads: Iterable[Upload], unreadable: list[tuple[str, str]]
) -> Iterator[list[_Read]]:
    """Read and encode pictures, some at a time; what cannot be read is noted and passed over."""
    waiting: list[tuple[str, str, Image.Image]] = []
    for place, read in uploads:
        try:
            data = read()
            waiting.append((place, hashlib.sha256(data).hexdigest(), decode(data)))
        except (LapelError, OSError) as error:
            unreadable.append((place, str(error)))
        if len(waiting) == BATCH:
            yield _encoded(context, waiting)
            waiting = []
    if waiting:
        yield _encoded(context, waiting)


def _encoded(context: StoreContext, waiting: Sequence[tuple[str, str, Image.Image]]) -> list[_Read]:
    views = views_of(context.encoder, [image for _, _, image in waiting])
    return [
        _Read(image, place, sha256, hash_of(image), views.of_pictures(at, at + 1), webp_of(image))
        for at, (place, sha256, image) in enumerate(waiting)
    ]


def webp_of(image: Image.Image) -> bytes:
    """A picture for people, its longer side 480 pixels at most."""
    stream = io.BytesIO()
    ImageOps.contain(image, (EDGE, EDGE)).save(stream, "WEBP", quality=85) if max(image.size) > EDGE else image.save(
        stream, "WEBP", quality=90
    )
    return stream.getvalue()


def bank_pictures(context: StoreContext, bank: str, read: Sequence[_Read]) -> list[BankPicture]:
    """Uploads as pictures of a bank."""
    return [
        BankPicture(
            bank,
            each.sha256,
            each.place,
            context.model.fingerprint or context.encoder.fingerprint,
            np.asarray(each.views.vectors[0], "<f4").tobytes(),
            each.hash,
            each.views.squares[0].tobytes(),
            float(each.views.ratios[0]),
            each.webp,
        )
        for each in read
    ]


class BankSearch:
    """The pictures of all banks, in memory, and the store's own as what scores are normalised by.

    Args:
        pictures: Of all banks.
        store: (n, dim) float32 vectors of the store; may be empty.
    """

    def __init__(self, pictures: Sequence[BankPicture], store: Any) -> None:
        self.pictures = list(pictures)
        self.vectors = np.stack([np.frombuffer(each.vector, "<f4") for each in pictures]).astype(np.float32)
        self._squares = np.stack([np.frombuffer(each.square, np.uint8).reshape(SIDE, SIDE, 3) for each in pictures])
        self._ratios = np.array([each.ratio for each in pictures])
        self._search = CandidateSearch(self.vectors, read_hashes([_hash_of(each) for each in pictures]))
        self._store = store
        self._by_bytes: dict[str, list[int]] = {}
        for place, each in enumerate(self.pictures):
            self._by_bytes.setdefault(each.sha256, []).append(place)

    def chances(self, views: PictureViews) -> CopiesFound:
        """Which of m uploads may be copies of which pictures."""

        def read(places: Any) -> tuple[Any, Any, Any]:
            return np.ones(len(places), np.bool_), self._squares[places], self._ratios[places]

        usual = mean_of_nearest(views.vectors, self._store, self.vectors, NEIGHBOURS)
        return self._search.copies(views, read, usual=usual)

    def of_uploads(self, read: Sequence[_Read]) -> CopiesFound:
        """The same of uploads; equal bytes are certain, whatever there is to see."""
        rows, places, likely, mirrored = self.chances(joined([each.views for each in read]))
        exact = [(row, place) for row, each in enumerate(read) for place in self._by_bytes.get(each.sha256, ())]
        return CopiesFound(
            np.concatenate([rows, np.array([row for row, _ in exact], np.int64)]),
            np.concatenate([places, np.array([place for _, place in exact], np.int64)]),
            np.concatenate([likely, np.ones(len(exact))]),
            np.concatenate([mirrored, np.zeros(len(exact), np.bool_)]),
        )


def _hash_of(picture: BankPicture) -> bytes:
    """What is kept of it as of a photo; what is missing of banks made when less was kept is made of its square."""
    made = hash_of(Image.fromarray(np.frombuffer(picture.square, np.uint8).reshape(SIDE, SIDE, 3)))
    return picture.hash + made[len(picture.hash) :] if len(picture.hash) > PARTS * BYTES else made


def best_matches(
    search: BankSearch, banks: dict[str, Bank], chances: CopiesFound
) -> tuple[list[tuple[int, int, float, bool]], set[int]]:
    """The surest match of each upload and bank that is sure enough, and the uploads that a negative bank kept back.

    Returns:
        Row of the upload, place of the picture, chance and whether mirrored; and rows.
    """
    best: dict[tuple[int, str], tuple[float, int, bool]] = {}
    negative: dict[int, float] = {}
    for row, place, chance, mirrored in zip(*(each.tolist() for each in chances), strict=True):
        bank = banks[search.pictures[place].bank]
        if chance < bank.least:
            continue
        if bank.kind == "negative":
            negative[row] = max(negative.get(row, 0.0), chance)
        elif chance > best.get((row, bank.name), (0.0, 0, False))[0]:
            best[row, bank.name] = (chance, place, mirrored)
    kept, suppressed = [], set()
    for (row, _), (chance, place, mirrored) in sorted(best.items()):
        if negative.get(row, 0.0) >= chance:
            suppressed.add(row)
        else:
            kept.append((row, place, chance, mirrored))
    return kept, suppressed


def check_uploads(
    context: StoreContext,
    table: WatchTable,
    uploads: Iterable[Upload],
    *,
    names: Sequence[str] = (),
    signs: Sequence[Sign] = (),
    record: bool = True,
    alert: Callable[[Finding], None] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> WatchReport:
    """Check pictures against banks, and put what matches into the queue.

    Args:
        context: The store: its model encodes, its vectors normalise scores.
        table: Its banks.
        uploads: Pictures, each with where it is and what reads it.
        names: Which banks; all by default.
        signs: What is looked for beside them. With one, no bank is needed.
        record: Whether findings are kept; else they are only told.
        alert: Called with each new finding of a bank that is not quarantined.
        progress: Called with the pictures checked.

    Raises:
        QueryError: there is no bank, no such bank, or none holds a picture.
    """
    alone = signs and not names and not table.banks()
    banks, search, notes = ({}, None, []) if alone else _opened(context, table, names)
    unreadable: list[tuple[str, str]] = []
    matches: list[WatchMatch] = []
    counts = dict.fromkeys(banks, 0)
    quarantined = {name for name, bank in banks.items() if bank.quarantined_at}
    checked = suppressed = 0
    for read in read_uploads(context, uploads, unreadable):
        checked += len(read)
        kept, held = ([], set()) if search is None else best_matches(search, banks, search.of_uploads(read))
        suppressed += len(held)
        pictures = [] if search is None else [search.pictures[place] for _, place, _, _ in kept]
        for picture in pictures:
            counts[picture.bank] += 1
        for name, bank in banks.items():  # before the alerts: none of a flood is raised
            flooded = "" if name in quarantined else _floods(bank, checked, counts[name])
            if flooded:
                quarantined.add(name)
                if record:
                    table.quarantine(name, flooded)
                notes.append(f"The bank '{name}' is quarantined: {flooded}. Release it with: lapel watch release.")
        made = [
            _match(table, picture, read[row], chance, mirrored, record, picture.bank in quarantined)
            for (row, _, chance, mirrored), picture in zip(kept, pictures, strict=True)
        ]
        made += [found for each in read for sign in signs if (found := _signed(table, sign, each, record)) is not None]
        for found in made:
            matches.append(found)
            if alert is not None and found.new and record and not found.quarantined:
                alert(table.finding(found.finding))
        if progress is not None:
            progress(checked, None)
    if record:
        for name, matched in counts.items():
            table.count(name, checked, matched)
    for name, matched in counts.items():
        if matched == checked > 1 and name not in quarantined:
            notes.append(f"Every picture that was checked matches the bank '{name}': does it hold what is checked?")
    matches.sort(key=lambda match: (-match.chance, match.place))
    size = (len(banks), 0 if search is None else len(search.pictures))
    return WatchReport(
        tuple(matches), checked, size, suppressed, tuple(unreadable), tuple(sorted(quarantined)), tuple(notes)
    )


def _opened(
    context: StoreContext, table: WatchTable, names: Sequence[str]
) -> tuple[dict[str, Bank], BankSearch, list[str]]:
    every = {bank.name: bank for bank in table.banks()}
    if not every:
        raise QueryError("There is no bank to check against. Make one with: lapel watch add NAME PICTURES")
    unknown = [name for name in names if name not in every]
    if unknown:
        raise QueryError(f"There is no bank '{unknown[0]}'; there are: {', '.join(every)}.")
    banks = {name: bank for name, bank in every.items() if not names or name in names or bank.kind == "negative"}
    fingerprint = context.model.fingerprint or context.encoder.fingerprint
    pictures = [each for each in table.pictures(fingerprint) if each.bank in banks]
    if not pictures:
        raise QueryError(
            "No bank holds a picture that the store's model has encoded. Fill one with: lapel watch add NAME PICTURES"
        )
    notes = []
    if left_out := table.other_models(fingerprint):
        notes.append(f"{counted(left_out, 'picture')} of the banks were encoded by another model: add them again.")
    shown = context.catalog.matching_keys(NO_FILTER)
    store = np.zeros((0, context.model.dim or 128), np.float32)
    if len(shown):
        store = context.catalog.vector_of(shown, fingerprint=fingerprint)
    return banks, BankSearch(pictures, store), notes


def _floods(bank: Bank, checked: int, matched: int) -> str:
    """Why a bank is to be quarantined; empty where it is not."""
    every, found = bank.checked + checked, bank.matched + matched
    if every < FLOOD_AFTER or found <= bank.flood * every:
        return ""
    return (
        f"{found:,} of {every:,} pictures match it, more than {bank.flood:.0%}; a bank that matches so much holds"
        " what everybody shows, or the pictures that are checked"
    )


def _match(
    table: WatchTable, picture: BankPicture, read: _Read, chance: float, mirrored: bool, record: bool, quarantined: bool
) -> WatchMatch:
    own = table.large(picture.bank, picture.sha256)
    found = WatchMatch(
        read.place, picture.bank, picture.name, chance, mirrored, quarantined=quarantined, pictures=(own, read.webp)
    )
    return _recorded(table, found, picture.sha256, read.sha256) if record else found


def _signed(table: WatchTable, sign: Sign, read: _Read, record: bool) -> WatchMatch | None:
    """What a sign finds on an upload."""
    seen = sign.of(read.image)
    if seen is None:
        return None
    found = WatchMatch(read.place, sign.name, seen.what, seen.chance, pictures=(b"", read.webp))
    return _recorded(table, found, "", read.sha256) if record else found


def _recorded(table: WatchTable, match: WatchMatch, entry: str, upload: str) -> WatchMatch:
    """A match in the queue and the log; ``entry`` and ``upload`` are the SHA-256 of both pictures."""
    told = {
        "bank": match.bank,
        "entry": entry,
        "entry_name": match.entry,
        "upload": upload,
        "place": match.place,
        "chance": match.chance,
        "mirrored": match.mirrored,
    }
    own, picture = match.pictures
    found, new = table.put_finding(told, picture, own)
    return replace(match, finding=found.id, new=new)
