"""``store.duplicates()``: the same picture twice, copies of pictures, and products that are listed twice.

A store goes in; groups of products come out, each with its kind, the product worth keeping and why, and how sure each
member is. Nothing is deleted or changed: who agrees removes products with ``lapel remove``, who does not says so with
``lapel duplicates dismiss``, and that pair is never shown again.

- *exact*: photos of the same bytes.
- *near*: one picture was made of the other: cut, lit, compressed, mirrored, written over, framed, on a screen.
- *same product*: another photo of what looks like the same product, of the same colour and under the same title.
  Another colour of it is no duplicate.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lapel.catalog.pairs import Pair, PairTable
from lapel.core.errors import LapelError, QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.text import counted, fold
from lapel.core.types import Filter, Photo, Product
from lapel.core.vectors import Keys
from lapel.engine.context import StoreContext
from lapel.insight.duplicate_search import PairSearch, Progress, read_columns
from lapel.insight.findings import Case, Findings, Picture, Section, entries_of
from lapel.sources import read_uri

KINDS = ("exact", "near", "same product")
ORDER = {"near": 0, "same product": 1, "exact": 2}  # as they are looked at: equal bytes need no eye
LEAST_CHANCE = 0.9  # from which on a pair is said to be copies: the aim is 99 right of 100
SAME_COSINE = 0.93  # of two photos of one product whose titles and colours agree; chosen by eye, not measured
SAME_COLOUR = 2.5  # see lapel.insight.copy_check.MEASURES: beyond it colours differ by more than light
LOCAL = ("file:", "zip:")
LARGEST = 50  # members of one group that are compared for their pictures' size


@dataclass(frozen=True)
class Member:
    """A product of a group.

    Attributes:
        product: Its id.
        photo: Where the photo is that is a duplicate.
        score: How sure it is, 0..1; 1 for equal bytes, and for the product worth keeping.
        key: The photo's key.
        title: The product's.
        colour: The product's.
        mirrored: Whether the photo is the mirrored picture.
    """

    product: str
    photo: str
    score: float
    key: int
    title: str = ""
    colour: str = ""
    mirrored: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:
            raise QueryError(f"A score is 0..1; found {self.score}.")


@dataclass(frozen=True)
class Group:
    """Products with the same picture or of the same product.

    Attributes:
        kind: ``exact``, ``near`` or ``same product``.
        best: Id of the product worth keeping.
        why: Why that one.
        members: Two or more, the best first, then the surest.
    """

    kind: str
    best: str
    why: str
    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS or len(self.members) < 2 or self.members[0].product != self.best:
            raise QueryError("A group of duplicates has a kind, two members or more, and its best one first.")

    @property
    def score(self) -> float:
        """That of its least sure member."""
        return min(member.score for member in self.members)


@dataclass(frozen=True)
class Duplicates(Findings):
    """What :func:`find_duplicates` found.

    Attributes:
        groups: The surest first: exact, near, same product.
        photos: How many photos were looked at.
        dismissed: Pairs that were left out, as somebody said that they are no duplicates.
        unreadable: Photos whose picture cannot be read, by their uri, with the reason: of those only equal bytes count.
        without_vector: Photos that are not encoded yet: left out, unless their bytes are equal.
        other_colour: Pairs that look like copies and were left out, as the shop names their colours differently.
    """

    groups: tuple[Group, ...]
    photos: int = 0
    dismissed: int = 0
    unreadable: tuple[tuple[str, str], ...] = ()
    without_vector: int = 0
    other_colour: int = 0

    def columns(self) -> tuple[str, ...]:
        """See :class:`lapel.insight.findings.Findings`."""
        return ("group", "kind", "product", "best", "score", "title", "colour", "photo", "why")

    def rows(self) -> list[dict[str, Any]]:
        """A row each member."""
        return [
            {
                "group": number,
                "kind": group.kind,
                "product": member.product,
                "best": member.product == group.best,
                "score": round(member.score, 3),
                "title": member.title,
                "colour": member.colour,
                "photo": member.photo,
                "why": group.why if member.product == group.best else "mirrored" if member.mirrored else "",
            }
            for number, group in enumerate(self.groups, 1)
            for member in group.members
        ]

    def to_json(self) -> dict[str, Any]:
        """See :class:`lapel.insight.findings.Findings`."""
        return {
            "groups": [
                {
                    "kind": group.kind,
                    "best": group.best,
                    "why": group.why,
                    "members": [
                        {"product": each.product, "photo": each.photo, "score": round(each.score, 4)}
                        for each in group.members
                    ],
                }
                for group in self.groups
            ],
            "photos": self.photos,
            "dismissed": self.dismissed,
            "without_vector": self.without_vector,
            "other_colour": self.other_colour,
            "unreadable": [{"photo": uri, "reason": reason} for uri, reason in self.unreadable],
        }

    def sections(self) -> Iterator[Section]:
        """Near groups first, as equal bytes need no eye, then the same product, then exact ones."""
        for group in sorted(self.groups, key=lambda group: ORDER[group.kind]):
            pictures = tuple(
                Picture(
                    member.key,
                    member.product,
                    tuple(filter(None, (member.title, member.colour, *_told(member, group)))),
                    "good" if member.product == group.best else "warn",
                )
                for member in group.members
            )
            yield Section(f"{group.kind}: {counted(len(group.members), 'product')}", group.why + ".", pictures)

    def cases(self) -> Iterator[Case]:
        """A case each group, with its rows of the table."""
        rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in self.rows():
            rows.setdefault((row["kind"], row["group"]), []).append(row)
        near = sorted(rows, key=lambda at: ORDER[at[0]])
        for at, section in zip(near, self.sections(), strict=True):
            yield Case(section, tuple(rows[at]))

    def summary(self) -> str:
        """How many groups of each kind, and what was left out."""
        counts = [(kind, sum(group.kind == kind for group in self.groups)) for kind in KINDS]
        found = ", ".join(f"{count:,} {kind}" for kind, count in counts)
        told = f"Looked at {counted(self.photos, 'photo')}: {counted(len(self.groups), 'group')} ({found})."
        if self.dismissed:
            told += f" {counted(self.dismissed, 'pair')} left out that somebody said are no duplicates."
        if self.other_colour:
            told += f" {counted(self.other_colour, 'pair')} left out whose colours the shop names differently."
        if self.unreadable or self.without_vector:
            missing = len(self.unreadable) + self.without_vector
            told += (
                f" This answer is partial: {counted(missing, 'photo')} could not be compared but by their bytes."
                " Run 'lapel media check', or 'lapel add' again."
            )
        return told


def _told(member: Member, group: Group) -> tuple[str, ...]:
    if member.product == group.best:
        return ("worth keeping",)
    return (f"{member.score:.0%} sure", *(("mirrored",) if member.mirrored else ()))


@dataclass(frozen=True)
class _Link:
    """Two photos that belong together."""

    one: int
    other: int
    kind: int
    score: float
    mirrored: bool = False


def find_duplicates(
    context: StoreContext,
    table: PairTable,
    where: Filter = NO_FILTER,
    *,
    least: float = LEAST_CHANCE,
    progress: Progress | None = None,
) -> Duplicates:
    """Find groups of duplicates. What was compared is kept, so that a second run compares what is new alone.

    Args:
        context: The store.
        table: What is known of pairs.
        where: Which products; both of a pair must pass.
        least: How sure a near duplicate is at least.
        progress: Called with the photos looked at, and how many there are to look at.

    Raises:
        QueryError: no product passes, or ``least`` is not a probability.
    """
    if not 0 < least <= 1:
        raise QueryError(f"How sure a duplicate is at least lies above 0 and up to 1; found {least}.")
    catalog = context.catalog
    wanted = np.sort(catalog.matching_keys(where))
    if not len(wanted):
        raise QueryError("No photo passes the filter, so there is nothing to compare. Loosen --where or add products.")
    every = np.intersect1d(catalog.matching_keys(NO_FILTER), catalog.vector_keys(context.model.fingerprint))
    columns = read_columns(context, every)
    search = PairSearch(context, table)
    of_wanted = {sha256.encode() for _, sha256 in catalog.photo_hashes(wanted)}
    asking = np.fromiter((each in of_wanted for each in columns.hashes.tolist()), bool, len(columns.hashes))
    pairs = search.run(columns, asking, progress)
    kept = [pair for pair in pairs if pair.chance >= least or may_be_same(pair)]
    groups, dismissed, other_colour = groups_of(context, table, kept, catalog.repeated_photos(), wanted, least)
    unreadable = search.pictures.unreadable
    unread = entries_of(catalog, [found[0] for found in catalog.photos_by_hash(unreadable).values()])
    return Duplicates(
        groups,
        len(wanted),
        dismissed,
        tuple((photo.uri, unreadable.get(photo.sha256, "")) for _, (_, photo) in unread),
        len(wanted) - len(np.intersect1d(wanted, every)),
        other_colour,
    )


def groups_of(
    context: StoreContext, table: PairTable, pairs: Sequence[Pair], repeated: Sequence[str], wanted: Keys, least: float
) -> tuple[tuple[Group, ...], int, int]:
    """Groups of what hangs together, how many pairs were dismissed, and how many are of other colours: of ``pairs``
    that are near or may be the same product, of bytes that are ``repeated``, and of ``wanted`` (n,) photos alone."""
    keys = context.catalog.photos_by_hash({*repeated, *(name for pair in pairs for name in (pair.one, pair.other))})
    passing = set(wanted.tolist())
    keys = {name: [key for key in found if key in passing] for name, found in keys.items()}
    entries = dict(entries_of(context.catalog, sorted({key for found in keys.values() for key in found})))
    links, dismissed, other_colour = _links(keys, repeated, pairs, entries, table, least)
    return tuple(_groups(context, links, entries)), dismissed, other_colour


def may_be_same(pair: Pair) -> bool:
    """Whether two photos may show one product, by their looks."""
    return pair.cosine >= SAME_COSINE and pair.colour <= SAME_COLOUR


def _links(
    keys: Mapping[str, Sequence[int]],
    repeated: Iterable[str],
    pairs: Iterable[Pair],
    entries: Mapping[int, tuple[Product, Photo]],
    table: PairTable,
    least: float,
) -> tuple[list[_Link], int, int]:
    """Which photos belong together, how many pairs were dismissed, and how many are of other colours by the shop's own
    words, which know more of a colour than pixels in another light do."""
    refused = {(each.one, each.other) for each in table.dismissed()}
    left_out: set[tuple[str, str]] = set()
    dyed: set[tuple[str, str]] = set()
    links: list[_Link] = []

    def link(one: int, other: int, kind: int, score: float, mirrored: bool = False) -> None:
        first, second = sorted((entries[one][0].id, entries[other][0].id))
        if first == second:
            return  # two photos of one product
        if (first, second) in refused:
            left_out.add((first, second))
        else:
            links.append(_Link(one, other, kind, score, mirrored))

    for name in repeated:
        found = [key for key in keys.get(name, ()) if key in entries]
        for place, one in enumerate(found[:LARGEST]):
            for other in found[place + 1 :] if place == 0 else found[place + 1 : LARGEST]:
                link(one, other, 0, 1.0)
    for pair in pairs:
        near = pair.chance >= least
        for one in keys.get(pair.one, ()):
            for other in keys.get(pair.other, ()):
                if one not in entries or other not in entries:
                    continue
                a, b = entries[one][0], entries[other][0]
                if near and not _agree(a.colour, b.colour):
                    dyed.add((min(a.id, b.id), max(a.id, b.id)))
                elif near:
                    link(one, other, 1, pair.chance, pair.mirrored)
                elif _same_listing(a, b):
                    link(one, other, 2, min(1.0, pair.cosine))
    return links, len(left_out), len(dyed)


def _agree(one: str, other: str) -> bool:
    """Whether two values may be the same: unless both are known and differ."""
    return not one or not other or fold(one) == fold(other)


def _same_listing(one: Product, other: Product) -> bool:
    """Whether two rows say the same of what they sell: title, colour, brand, gender and kind."""
    return (
        bool(one.title)
        and fold(one.title) == fold(other.title)
        and _agree(one.colour, other.colour)
        and _agree(one.brand, other.brand)
        and _agree(one.gender, other.gender)
        and (not one.category or not other.category or one.category == other.category)
    )


def _groups(context: StoreContext, links: Sequence[_Link], entries: Mapping[int, tuple[Product, Photo]]) -> list[Group]:
    """Groups of each kind. The products of an exact group stand in a near one as their best, those of a near one in one
    of the same product likewise, so that no group repeats another."""
    judge = _Judge(context)
    stands_for: dict[int, int] = {}
    groups = []
    for kind in range(len(KINDS)):
        strongest: dict[tuple[int, int], _Link] = {}
        for link in links:
            pair = (_end(stands_for, link.one), _end(stands_for, link.other))
            if link.kind != kind or entries[pair[0]][0].id == entries[pair[1]][0].id:
                continue
            ordered = (min(pair), max(pair))
            if ordered not in strongest or link.score > strongest[ordered].score:
                strongest[ordered] = link
        for keys in _components(strongest):
            group = _group(kind, keys, strongest, entries, judge)
            groups.append(group)
            for key in keys:
                if key != group.members[0].key:
                    stands_for[key] = group.members[0].key
    return sorted(groups, key=lambda group: (KINDS.index(group.kind), -group.score, group.best))


def _end(stands_for: Mapping[int, int], key: int) -> int:
    return _end(stands_for, stands_for[key]) if key in stands_for else key


def _components(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """What hangs together by pairs, each sorted."""
    parent: dict[int, int] = {}

    def root(key: int) -> int:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for one, other in pairs:
        parent[root(one)] = root(other)
    found: dict[int, list[int]] = defaultdict(list)
    for key in sorted(parent):
        found[root(key)].append(key)
    return list(found.values())


def _group(
    kind: int,
    keys: Sequence[int],
    strongest: Mapping[tuple[int, int], _Link],
    entries: Mapping[int, tuple[Product, Photo]],
    judge: _Judge,
) -> Group:
    inside = set(keys)
    score: dict[int, float] = defaultdict(float)
    mirrored: dict[int, bool] = defaultdict(bool)
    for pair, link in strongest.items():
        for key in pair if inside.issuperset(pair) else ():
            if link.score > score[key]:
                score[key], mirrored[key] = link.score, link.mirrored
    photos: dict[str, int] = {}
    for key in sorted(keys, key=lambda key: -score[key]):
        photos.setdefault(entries[key][0].id, key)
    best, why = judge.best([entries[key] for key in photos.values()])
    members = [
        Member(
            name,
            entries[key][1].uri,
            1.0 if name == best else score[key],
            key,
            entries[key][0].title,
            entries[key][0].colour,
            mirrored[key] and name != best,
        )
        for name, key in photos.items()
    ]
    members.sort(key=lambda member: (member.product != best, -member.score, member.product))
    return Group(KINDS[kind], best, why, tuple(members))


class _Judge:
    """Says which product of a group is worth keeping: the one with the largest picture, then the most complete row,
    then the oldest."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context

    def best(self, entries: Sequence[tuple[Product, Photo]]) -> tuple[str, str]:
        """Its id, and why."""
        equal = len({photo.sha256 for _, photo in entries}) == 1
        pixels = [0 if equal else self._pixels(photo) for _, photo in entries[:LARGEST]]
        ranked = [
            (size, len(product.facets()), -photo.key, product.id)
            for size, (product, photo) in zip(pixels, entries, strict=False)
        ]
        ranked.sort(reverse=True)
        first, second = ranked[0], ranked[1]
        if first[0] > second[0]:
            why = f"its picture is the largest ({first[0]:,} pixels against {second[0]:,})"
        elif first[1] > second[1]:
            why = f"its row is the most complete ({first[1]} fields against {second[1]})"
        else:
            why = "it is the oldest, with pictures of the same size and rows as complete"
        return first[3], f"{first[3]} is worth keeping: {why}"

    def _pixels(self, photo: Photo) -> int:
        if not photo.uri.startswith(LOCAL):
            return 0  # nobody downloads a picture to learn its size
        try:
            with Image.open(
                io.BytesIO(read_uri(photo.uri))
            ) as image:  # the size stands at the front: nothing is decoded
                return image.width * image.height
        except (LapelError, OSError, ValueError):
            return 0
