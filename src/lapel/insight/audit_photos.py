"""Photos to take again: too small, blurred, dark, cluttered, cut off, with writing, of several products, or of another
product than the others of theirs.

A store goes in, :class:`PhotoAudit` comes out, ordered by what mending would bring. The figures of each photo
(:mod:`lapel.engine.quality`) are measured once and kept in the catalogue, and by the hash of its bytes in the store's
folder, so that a second audit costs only what came since: a replaced photo is measured, one that moved is not.
Precision and recall of every check: ``benchmarks/audit_photos.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.text import counted
from lapel.core.types import Filter, Photo
from lapel.core.vectors import Keys, Vectors
from lapel.engine.backfill import BackfillReport, backfill
from lapel.engine.context import StoreContext
from lapel.engine.features import QUALITY
from lapel.engine.quality import Measures, decode_quality
from lapel.insight.findings import Case, Findings, Picture, Section, entries_of
from lapel.insight.kept_file import read_kept, write_kept

FILE = "photo-figures.npz"  # by the hash of a photo's bytes, in the store's folder; may be deleted
LEAST_SIDE = 400  # pixels of the shorter side that marketplaces ask for
EDGE_WIDTH = 3.5  # pixels of 320: sharp edges take 2 to 3.3
DARK = 130  # of 255: the light parts of a photo are lighter
CLUTTER = 0.15  # share of the background that is edges
CUT = 0.12  # share of a side along which the product is cut: a shoe that is cut at its toe takes no more
USUAL = 0.15  # share of a kind's photos that are cut at a side, from which on that is how the kind is shown
FEWEST_OF_KIND = 20  # photos, below which it is not known how a kind is shown
LETTERS = 4  # in a row: buttons and studs come in threes
STROKES = 8  # in a row, over a product: prints and stripes make some
UNLIKE = 20.0  # of two parts: a pair has one colour and one size
COMMON = 0.5  # share of all photos with the same problem: then it is the shop's way, and told once
ODD = 0.5  # cosines below what is usual between photos of one product, from which on one is of another


@dataclass(frozen=True)
class Check:
    """Something that is looked for.

    Attributes:
        name: Such as ``blurred``.
        advice: What to do.
        weight: How much it hurts, 0..1: what cannot be seen or is another product most.
    """

    name: str
    advice: str
    weight: float


CHECKS: tuple[Check, ...] = (
    Check("unreadable", "Give another file: this one cannot be read.", 1.0),
    Check("another product", "See whose photo this is: it is unlike the product's other photos.", 1.0),
    Check("several products", "Show one product alone, or say that it is a set.", 0.8),
    Check("blurred", "Take it again, in focus.", 0.8),
    Check("cut off", "Leave room around the product.", 0.6),
    Check("dark", "Take it again in more light, or brighten it.", 0.6),
    Check("text", "Use the photo without writing or watermark: marketplaces refuse it.", 0.5),
    Check("cluttered", "Use a plain background.", 0.4),
    Check("too small", "Give the larger original.", 0.3),
)
_BY_NAME = {check.name: check for check in CHECKS}


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a photo.

    Attributes:
        check: Its name.
        detail: What was found.
    """

    check: str
    detail: str


def problems_of(
    found: Measures, *, least_side: int = LEAST_SIDE, usual_cuts: frozenset[str] = frozenset()
) -> list[Problem]:
    """What is wrong with a photo of these figures; ``usual_cuts`` are sides at which photos of its kind mostly are."""
    problems = []
    if min(found.width, found.height) < least_side:
        problems.append(Problem("too small", f"{found.width:.0f} x {found.height:.0f} pixels"))
    if found.edge_width > EDGE_WIDTH:
        problems.append(Problem("blurred", f"edges {found.edge_width:.1f} pixels wide"))
    if found.light < DARK:
        problems.append(Problem("dark", f"the light parts have {found.light / 255:.0%} of full brightness"))
    if found.clutter > CLUTTER:
        problems.append(Problem("cluttered", f"{found.clutter:.0%} of the background are edges"))
    cut = {side: share for side, share in _cuts(found).items() if side not in usual_cuts}
    if cut:
        problems.append(Problem("cut off", ", ".join(f"{share:.0%} of the {side}" for side, share in cut.items())))
    if found.letters >= LETTERS or found.strokes >= STROKES:
        problems.append(Problem("text", f"{max(found.letters, found.strokes):.0f} parts in a row like letters"))
    if found.parts >= 3 or (found.parts == 2 and found.unlike > UNLIKE):
        problems.append(Problem("several products", f"{found.parts:.0f} parts"))
    return problems


def _cuts(found: Measures) -> dict[str, float]:
    sides = {"left": found.cut_left, "right": found.cut_right, "top": found.cut_top, "bottom": found.cut_bottom}
    return {side: share for side, share in sides.items() if share > CUT}


def usual_cuts(figures: Sequence[Measures], kinds: Sequence[str]) -> dict[str, frozenset[str]]:
    """By kind the sides at which its photos are often cut: people who wear trousers are, at the top."""
    photos, cut = (
        Counter(kinds),
        Counter((kind, side) for one, kind in zip(figures, kinds, strict=True) for side in _cuts(one)),
    )
    found: dict[str, set[str]] = {}
    for (kind, side), count in cut.items():
        if photos[kind] >= FEWEST_OF_KIND and count >= USUAL * photos[kind]:
            found.setdefault(kind, set()).add(side)
    return {kind: frozenset(sides) for kind, sides in found.items()}


def odd_photos(vectors: Vectors, groups: NDArray[np.int64]) -> list[tuple[int, float]]:
    """Photos that are unlike the others of their product.

    A photo's best cosine with another photo of its product is far below what is usual between photos of one product,
    and some photo of another product is closer. Where a product has two photos, nothing says which of them is wrong:
    both are told.

    Args:
        vectors: (n, dim) float32 unit rows.
        groups: (n,) the product of each.

    Returns:
        Places and best cosines, the most unlike first.
    """
    order = np.argsort(groups, kind="stable")
    best = np.full(len(groups), np.nan, np.float32)
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    for own in np.split(order, starts[1:]):
        if len(own) > 1:
            cosines = vectors[own] @ vectors[own].T
            np.fill_diagonal(cosines, -2)
            best[own] = cosines.max(axis=1)
    known = np.flatnonzero(np.isfinite(best))
    if len(known) < 4:
        return []
    usual = float(np.median(best[known]))
    low = known[best[known] < usual - ODD]
    if not len(low):
        return []
    others = vectors[low] @ vectors.T
    others[groups[low][:, None] == groups[None]] = -2
    odd = low[others.max(axis=1) > best[low]]
    return sorted(((int(at), float(best[at])) for at in odd), key=lambda each: each[1])


@dataclass(frozen=True)
class AuditedPhoto:
    """A photo with problems.

    Attributes:
        key: Its key.
        product_id: Its product.
        title: Of the product.
        uri: Where its bytes are.
        problems: The worst first.
        gain: What mending would bring, without a unit: how much its problems hurt, times how much is done with the
            product, over the product's photos that are fine.
    """

    key: int
    product_id: str
    title: str
    uri: str
    problems: tuple[Problem, ...]
    gain: float


@dataclass(frozen=True)
class PhotoAudit(Findings):
    """What is wrong with photos.

    Attributes:
        photos: How many were looked at.
        found: Those with problems, what mending them would bring the most first.
        counts: By check how many photos have it.
        common: Checks that more than half of all photos fail: the shop's way, told once and not in ``found``.
        left_out: Photos that could not be measured now, as they cannot be written down.
    """

    photos: int
    found: tuple[AuditedPhoto, ...]
    counts: Mapping[str, int]
    common: tuple[str, ...] = ()
    left_out: int = 0

    def columns(self) -> tuple[str, ...]:
        """See :class:`Findings`."""
        return ("product", "title", "problems", "details", "gain", "photo", "advice")

    def rows(self) -> list[dict[str, Any]]:
        """A row each photo with problems."""
        return [
            {
                "product": each.product_id,
                "title": each.title,
                "problems": ", ".join(problem.check for problem in each.problems),
                "details": "; ".join(f"{problem.check}: {problem.detail}" for problem in each.problems),
                "gain": round(each.gain, 3),
                "photo": each.uri,
                "advice": _BY_NAME[each.problems[0].check].advice,
            }
            for each in self.found
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "photos": self.photos,
            "counts": dict(self.counts),
            "common": list(self.common),
            "left_out": self.left_out,
            "found": [
                {
                    "key": each.key,
                    "product": each.product_id,
                    "title": each.title,
                    "photo": each.uri,
                    "gain": round(each.gain, 4),
                    "problems": [dict(vars(problem)) for problem in each.problems],
                }
                for each in self.found
            ],
        }

    def sections(self) -> Iterator[Section]:
        """The photos of each check, those that matter most first; then what most photos have."""
        for check in CHECKS:
            own = [each for each in self.found if any(problem.check == check.name for problem in each.problems)]
            if not own:
                continue
            pictures = tuple(
                Picture(
                    each.key,
                    each.product_id,
                    tuple(f"{problem.check}: {problem.detail}" for problem in each.problems),
                    "bad" if check.weight >= 0.8 else "warn",
                )
                for each in own
            )
            yield Section(f"{check.name}: {counted(len(own), 'photo')}", check.advice, pictures)
        for name in self.common:
            text = f"{self.counts[name]:,} of {self.photos:,} photos. {_BY_NAME[name].advice}"
            yield Section(f"{name}: most photos", text)

    def cases(self) -> Iterator[Case]:
        """A case each photo, what mending it would bring the most first."""
        for each, row in zip(self.found, self.rows(), strict=True):
            picture = Picture(each.key, each.product_id, (each.title,))
            yield Case(Section(row["problems"], f"{row['advice']} ({row['details']})", (picture,)), (row,))

    def summary(self) -> str:
        """How many photos have what."""
        said = f"{counted(self.photos, 'photo')} looked at; {len(self.found):,} should be mended"
        rest = [f"{self.counts[check.name]:,} {check.name}" for check in CHECKS if self.counts.get(check.name)]
        own = [part for part in rest if part.split(" ", 1)[1] not in self.common]
        said += f": {', '.join(own)}." if own else "."
        for name in self.common:
            said += f" {self.counts[name]:,} are {name}, more than half: that is how this shop's photos are."
        if self.left_out:
            said += f" {counted(self.left_out, 'photo')} could not be measured: open the store where it can be written."
        return said


@dataclass(frozen=True)
class PhotoRequest:
    """What is asked.

    Attributes:
        where: Which products.
        least_side: Pixels of the shorter side, below which a photo is too small.
        checks: Names of checks; all by default.
    """

    where: Filter = NO_FILTER
    least_side: int = LEAST_SIDE
    checks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name in self.checks if name not in _BY_NAME]
        if unknown:
            raise QueryError(f"A check is one of {', '.join(_BY_NAME)}; found '{unknown[0]}'.")
        if self.least_side < 1:
            raise QueryError(f"A side has at least one pixel; found {self.least_side}.")


def audit_photos(
    context: StoreContext,
    request: PhotoRequest | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PhotoAudit:
    """Look at every photo that a filter leaves, see :class:`PhotoAudit`.

    Args:
        context: The store; figures of photos that have none yet are written to it.
        request: What is asked.
        progress: Called with how many photos are measured. Stopped, the same call goes on where it was.

    Raises:
        QueryError: no photo passes.
    """
    asked = request or PhotoRequest()
    keys = context.catalog.matching_keys(asked.where)
    if not len(keys):
        raise QueryError("No photo passes the filter. Ask for more products.")
    unreadable: Mapping[int, str] = {}
    if not context.catalog.read_only:
        done = _measured(context, keys, progress)
        unreadable = {photo.key: reason for photo, reason in done.failed}
    entries = dict(entries_of(context.catalog, keys))
    stored = context.catalog.features.get(*QUALITY.key, keys.tolist())
    figures = {key: decode_quality(data) for key, data in stored.items() if key in entries}
    kinds = {key: (entries[key][0].category or ("",))[-1] for key in figures}
    usual = usual_cuts(list(figures.values()), list(kinds.values()))
    problems: dict[int, list[Problem]] = {
        key: problems_of(one, least_side=asked.least_side, usual_cuts=usual.get(kinds[key], frozenset()))
        for key, one in figures.items()
    }
    problems |= {key: [Problem("unreadable", reason)] for key, reason in unreadable.items()}
    for key, cosine in _odd(context, keys, entries):
        problems.setdefault(key, []).append(Problem("another product", f"cosine {cosine:.2f} with the nearest other"))
    if asked.checks:
        problems = {key: [one for one in own if one.check in asked.checks] for key, own in problems.items()}
    looked_at = {key: own for key, own in problems.items() if key in entries}
    counts = Counter(problem.check for own in looked_at.values() for problem in own)
    common = tuple(name for name, count in counts.items() if count > COMMON * len(looked_at) and len(looked_at) >= 10)
    found = _ordered(context, looked_at, entries, common)
    missing = sum(int(key) not in problems for key in keys.tolist())
    return PhotoAudit(len(looked_at), tuple(found), dict(counts), common, missing)


def _measured(context: StoreContext, keys: Keys, progress: Callable[[int, int], None] | None) -> BackfillReport:
    """Measure photos that have no figures yet. Bytes that were measured before, wherever they were then, have theirs in
    the store's folder."""
    features, hashes_of = context.catalog.features, context.catalog.photo_hashes
    lacking = np.setdiff1d(keys, list(features.get(*QUALITY.key, keys.tolist())))
    kept = read_kept(context.folder / FILE, QUALITY.version, ("hashes", "figures")) if len(lacking) else None
    figures: dict[str, bytes] = {}
    if kept is not None:
        figures = dict(zip(kept["hashes"].astype(str).tolist(), map(bytes, kept["figures"]), strict=True))
        known = {int(lacking[at]): figures[name] for at, name in hashes_of(lacking) if name in figures}
        features.put(*QUALITY.key, known)
    done = backfill(context, QUALITY, keys=keys, progress=progress)
    if done.derived or not (context.folder / FILE).exists():
        stored = features.get(*QUALITY.key, keys.tolist())
        now = {name: stored[int(keys[at])] for at, name in hashes_of(keys) if int(keys[at]) in stored}
        most = 2 * context.catalog.counts().photos  # not for ever those of all that ever was there
        some = dict(list({**now, **figures}.items())[:most])
        rows = np.array([np.frombuffer(data, np.uint8) for data in some.values()])
        write_kept(context, FILE, QUALITY.version, {"hashes": np.array(list(some), "S64"), "figures": rows})
    return done


def _odd(context: StoreContext, keys: NDArray[np.int64], entries: Mapping[int, Any]) -> list[tuple[int, float]]:
    """Keys of photos that are unlike the others of their product, where products have several with a vector."""
    there, vectors = context.catalog.vectors_there(keys, fingerprint=context.model.fingerprint)
    own = [int(key) for key, here in zip(keys.tolist(), there.tolist(), strict=True) if here]
    known = np.array([key in entries for key in own], np.bool_)
    if not known.any():
        return []
    own = [key for key, here in zip(own, known.tolist(), strict=True) if here]
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(entries[key][0].id, len(numbers)) for key in own], np.int64)
    return [(own[place], cosine) for place, cosine in odd_photos(vectors[known], groups)]


def _ordered(
    context: StoreContext,
    problems: Mapping[int, Sequence[Problem]],
    entries: Mapping[int, tuple[Any, Photo]],
    common: Sequence[str],
) -> list[AuditedPhoto]:
    """Photos with problems of their own, what mending would bring the most first."""
    popular = context.events.popularity()
    usual = float(np.median(list(popular.values()))) if popular else 1.0
    own = {key: [one for one in some if one.check not in common] for key, some in problems.items()}
    fine: Counter[str] = Counter(entries[key][0].id for key, some in own.items() if not some)
    found = []
    for key, some in own.items():
        if not some:
            continue
        product, photo = entries[key]
        worst_first = tuple(sorted(some, key=lambda one: -_BY_NAME[one.check].weight))
        hurts = 1 - float(np.prod([1 - 0.9 * _BY_NAME[one.check].weight for one in some]))
        demand = 1 + np.log1p(popular.get(product.id, 0.0) / max(usual, 1e-9))
        gain = hurts * demand / (1 + fine[product.id])
        found.append(AuditedPhoto(key, product.id, product.title, photo.uri, worst_first, float(gain)))
    return sorted(found, key=lambda each: (-each.gain, each.key))
