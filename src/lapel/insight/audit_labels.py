"""Labels that disagree with what products of the same look and title have, and labels that are missing.

A store goes in. :func:`audit_labels` gives :class:`LabelAudit`: doubtful labels, each with a suggestion and its
probability. :func:`fill_labels` gives :class:`LabelFill`: values for products without one, only where they are right
often enough. Nothing is changed: both write tables to look through, mend and load again.

How a label is doubted follows confident learning (Northcutt et al. 2021): each product is judged without its own label,
and how far its label must fall behind is set for each shop from its own products, with labels that are wrong on
purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from lapel.core.errors import InputError, QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.text import counted
from lapel.core.types import Filter
from lapel.engine.context import StoreContext
from lapel.insight.findings import Case, Findings, Picture, Section
from lapel.insight.kept_neighbours import nearest_kept
from lapel.insight.label_evidence import NEIGHBOURS, Labels, Shop, Table, likely_values, read_palettes
from lapel.insight.label_tables import Corrector, check_fields, label_of, write_products
from lapel.insight.product_rows import ProductRows, Progress, read_products

AUDITED = ("category", "colour")
FILLED = ("category", "colour", "gender", "season")
LEAST = 20  # products with the label
RARE = 5  # products of a value below which it is neither doubted nor suggested: too few to know how it looks
MOST_VALUES = 2_000  # of a label: more are ids or texts
RATE = 0.02  # of labels that are wrong: what thresholds and probabilities are set for
BETA = 1.5  # of the F-measure by which the threshold is chosen: a missed error is worse than a look at a right label
WEAK = 0.5  # expected precision, below which what is listed is told to be right rather than wrong
COMMON_ERRORS = 0.5  # of wrong labels that are as common as the values are; the others are any value
PRECISION = 0.95  # of what is filled in
SURE = 1.645  # standard errors: one-sided 95 % (Wilson), so that few known labels do not pass by luck
PER_SECTION = 12
STAGES = 10  # of the work, for progress: reading, neighbours, then each field


@dataclass(frozen=True)
class Suggestion:
    """A value for one label of one product.

    Attributes:
        row: Of the product.
        product: Its id.
        title: What it is called.
        field: Which label.
        has: Its value now; empty where it has none.
        suggested: The likeliest value.
        probability: That the suggested value is right, 0..1.
        photo: Key of the product's photo.
    """

    row: int
    product: str
    title: str
    field: str
    has: str
    suggested: str
    probability: float
    photo: int

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1 or not self.suggested:
            raise InputError(
                f"A suggestion is a value with a probability; found {self.probability} for {self.product}."
            )

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "id": self.product,
            "field": self.field,
            "has": self.has,
            "suggested": self.suggested,
            "probability": round(self.probability, 3),
            "title": self.title,
        }


@dataclass(frozen=True)
class _Suggestions(Findings):
    """What audit and fill have in common.

    Attributes:
        suggestions: The surest first.
        products: What was looked at.
        checked: By field, how many labels were judged.
        unjudged: By field, how many were not, as too few products have their value.
    """

    suggestions: tuple[Suggestion, ...]
    products: ProductRows
    checked: Mapping[str, int]
    unjudged: Mapping[str, int]

    def columns(self) -> tuple[str, ...]:
        """See :class:`Findings`."""
        return ("id", "field", "has", "suggested", "probability", "title")

    def rows(self) -> list[dict[str, Any]]:
        """A row a suggestion."""
        return [each.to_json() for each in self.suggestions]

    def of(self, field: str) -> tuple[Suggestion, ...]:
        """The suggestions for a field."""
        return tuple(each for each in self.suggestions if each.field == field)

    def write_products(self, context: StoreContext, path: str | Path) -> int:
        """Write every product that something is suggested for, whole and with the suggested values, as a CSV for
        ``lapel add SOURCE --products``. Returns how many there are.

        Raises:
            InputError: it cannot be written there.
        """
        wanted: dict[int, list[Suggestion]] = {}
        for each in self.suggestions:
            wanted.setdefault(each.row, []).append(each)
        corrector = Corrector(self.products.products)
        rows = []
        for row, some in sorted(wanted.items()):
            product = self.products.products[row]
            for each in some:
                product = corrector.corrected(product, each.field, each.suggested)
            rows.append((product, [photo.uri for photo in context.catalog.photos(product.id)]))
        write_products(path, rows)
        return len(rows)

    def sections(self) -> Iterator[Section]:
        """A section for each change, such as *Tops to Tshirts*: the most frequent first."""
        groups: dict[tuple[str, str, str], list[Suggestion]] = {}
        for each in self.suggestions:
            groups.setdefault((each.field, each.has, each.suggested), []).append(each)
        for (field, has, suggested), some in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
            old, new = (text.rpartition(" > ")[2] for text in (has, suggested))
            title = f"{field}: {old or 'nothing'} → {new}"
            yield Section(title, counted(len(some), "product") + ".", tuple(map(self._picture, some)))

    def cases(self) -> Iterator[Case]:
        """A case each suggestion."""
        for each in self.suggestions:
            title = f"{each.field}: {each.has or 'nothing'} → {each.suggested}"
            yield Case(Section(title, each.title, (self._picture(each),)), (each.to_json(),))

    def _picture(self, each: Suggestion) -> Picture:
        lines = (f"{each.probability:.0%} {each.suggested.rpartition(' > ')[2]}", each.title)
        return Picture(each.photo, each.product, lines, link=self.products.products[each.row].url)


@dataclass(frozen=True)
class LabelAudit(_Suggestions):
    """Labels that are probably wrong.

    Attributes:
        expected: By field, what the threshold was set for on this store: precision and recall, were 2 of 100 labels
            wrong. Labels that are wrong already count as right there, so the precision is rather better.
    """

    expected: Mapping[str, tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        """See :class:`Findings`."""
        return {
            "products": len(self.products),
            "checked": dict(self.checked),
            "unjudged": dict(self.unjudged),
            "expected": {
                field: {"precision": round(precision, 3), "recall": round(recall, 3)}
                for field, (precision, recall) in self.expected.items()
            },
            "suggestions": self.rows(),
        }

    def summary(self) -> str:
        """What was found."""
        found = ", ".join(
            f"{len(self.of(field)):,} of {total:,} labels of {field}" for field, total in self.checked.items()
        )
        rare = sum(self.unjudged.values())
        left = f" {counted(rare, 'label')} not judged: fewer than {RARE} products have their value." if rare else ""
        noise = "".join(
            f" Pictures and titles say little of {field}: were 2 of 100 wrong, {true:.0%} of these would be."
            for field, (true, _) in self.expected.items()
            if true < WEAK and self.of(field)
        )
        return f"Doubtful: {found}.{noise}{left}{self.products.note} Nothing was changed."


@dataclass(frozen=True)
class LabelFill(_Suggestions):
    """Values for labels that are missing.

    Attributes:
        precision: What was asked for.
        missing: By field, how many products lack it.
        measured: By field, the precision on labels that are known, at the threshold that was used, and the share of
            them that it lets pass; (0, 0) where no threshold reaches what was asked for.
    """

    precision: float
    missing: Mapping[str, int]
    measured: Mapping[str, tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        """See :class:`Findings`."""
        return {
            "products": len(self.products),
            "asked_precision": self.precision,
            "missing": dict(self.missing),
            "measured": {
                field: {"precision": round(precision, 4), "share": round(share, 4)}
                for field, (precision, share) in self.measured.items()
            },
            "suggestions": self.rows(),
        }

    def summary(self) -> str:
        """What was found."""
        parts = []
        for field, missing in self.missing.items():
            precision, share = self.measured[field]
            how = f"{precision:.1%} right on {share:.0%} of the known" if share else "never sure enough"
            parts.append(
                f"{field} {len(self.of(field)):,} of {missing:,} missing ({how})" if missing else f"{field} misses none"
            )
        return f"Filled in: {'; '.join(parts)}.{self.products.note} Nothing was changed."


def audit_labels(
    context: StoreContext,
    *,
    fields: Sequence[str] = (),
    where: Filter = NO_FILTER,
    titles: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> LabelAudit:
    """Find labels that are probably wrong.

    Args:
        context: The store; where it can be written to, it keeps the neighbours of each product for the next run.
        fields: Which labels; category and colour where none are named and the catalogue has them.
        where: Which products.
        titles: Whether words of titles count as evidence beside pictures.
        seed: The same store and seed give the same answer.
        progress: Called with the steps done, and how many there are.

    Raises:
        QueryError: an unknown field, too few products with a label, all of one value, or all with the same picture.
    """
    products, shop, names = _opened(context, fields, AUDITED, where, progress)
    found: list[Suggestion] = []
    checked: dict[str, int] = {}
    unjudged: dict[str, int] = {}
    expected: dict[str, tuple[float, float]] = {}
    for place, labels in enumerate(_labels(products, names, asked=bool(fields))):
        likely = likely_values(labels, shop, seed=seed, titles=titles)
        doubts = doubted(labels, likely, seed)
        found += [_suggestion(products, labels, int(row), int(value), p) for row, value, p in doubts.rows]
        judged = labels.counts[labels.given] >= RARE
        judged &= labels.given >= 0
        checked[labels.field] = int(judged.sum())
        unjudged[labels.field] = int((labels.given >= 0).sum()) - checked[labels.field]
        expected[labels.field] = doubts.expected
        _tell(progress, place, len(names))
    found.sort(key=lambda each: (-each.probability, each.row, each.field))
    return LabelAudit(tuple(found), products, checked, unjudged, expected)


def fill_labels(
    context: StoreContext,
    *,
    fields: Sequence[str] = (),
    precision: float = PRECISION,
    where: Filter = NO_FILTER,
    titles: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> LabelFill:
    """Suggest values for labels that are missing.

    Args:
        context: The store; where it can be written to, it keeps the neighbours of each product for the next run.
        fields: Which labels; category, colour, gender and season where none are named and the catalogue has them.
        precision: How many of 1 that are suggested must be right, as measured on products whose label is known.
        where: Which products.
        titles: Whether words of titles count as evidence beside pictures.
        seed: The same store and seed give the same answer.
        progress: Called with the steps done, and how many there are.

    Raises:
        QueryError: as :func:`audit_labels`; or a precision that is not between 0 and 1.
    """
    if not 0 < precision < 1:
        raise QueryError(f"A precision is between 0 and 1, such as 0.95; found {precision}.")
    products, shop, names = _opened(context, fields, FILLED, where, progress)
    found: list[Suggestion] = []
    checked: dict[str, int] = {}
    unjudged: dict[str, int] = {}
    missing: dict[str, int] = {}
    measured: dict[str, tuple[float, float]] = {}
    for place, labels in enumerate(_labels(products, names, asked=bool(fields))):
        likely = likely_values(labels, shop, seed=seed, titles=titles)
        known = labels.given >= 0
        best, sure = likely.argmax(axis=1), likely.max(axis=1)
        right = best[known] == labels.given[known]
        threshold, measured[labels.field] = least_sure(sure[known], right, precision)
        rows = np.flatnonzero(~known & (sure >= threshold))
        rows = rows[labels.counts[best[rows]] >= RARE]
        probability = _rising(sure[known], right, np.ones(int(known.sum())), sure[rows])
        for row, p in zip(rows.tolist(), probability.tolist(), strict=True):
            found.append(_suggestion(products, labels, row, int(best[row]), p))
        missing[labels.field] = int((~known).sum())
        checked[labels.field], unjudged[labels.field] = int(known.sum()), 0
        _tell(progress, place, len(names))
    found.sort(key=lambda each: (-each.probability, each.row, each.field))
    return LabelFill(tuple(found), products, checked, unjudged, precision, missing, measured)


@dataclass(frozen=True)
class Doubts:
    """Labels of one field that are probably wrong.

    Attributes:
        rows: Of each: the product's row, the suggested value's number, its probability.
        expected: Precision and recall that the threshold was set for.
    """

    rows: list[tuple[int, int, float]]
    expected: tuple[float, float]


def doubted(labels: Labels, likely: Table, seed: int) -> Doubts:
    """Which labels are probably wrong.

    A label's doubt is how much likelier it is as an error than as the truth: how often errors say it, over how likely
    it is for the product. Every product is also given a wrong label, drawn as errors are; its doubt is known without
    looking at other products again, as no product is judged by its own label. That tells, for any threshold, how many
    errors and how many labels that are there pass it.
    """
    count, width = likely.shape
    rows = np.flatnonzero((labels.given >= 0) & (labels.counts[labels.given] >= RARE))
    errors = COMMON_ERRORS * labels.common + (1 - COMMON_ERRORS) / width
    usable = np.where(labels.counts >= RARE, likely, 0)
    best = usable.argmax(axis=1)

    def doubt(given: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.float64]:
        found = np.log(errors[given]) - np.log(likely[at, given].astype(np.float64))
        return np.where(best[at] == given, -np.inf, found)

    drawn: NDArray[np.int64] = np.asarray(
        np.random.default_rng(seed).choice(width, count, p=errors / errors.sum()), np.int64
    )
    wrong = rows[drawn[rows] != labels.given[rows]]
    there, planted = doubt(labels.given[rows], rows), doubt(drawn[wrong], wrong)
    threshold, expected = _threshold(there, planted)
    passed = np.flatnonzero(there >= threshold)
    levels = np.concatenate([there, planted])
    truth = np.repeat([False, True], [len(there), len(planted)])
    weights = np.repeat([(1 - RATE) / len(there), RATE / max(1, len(planted))], [len(there), len(planted)])
    finite = np.isfinite(levels)
    wrongness = _rising(levels[finite], truth[finite], weights[finite], there[passed])
    flagged = rows[passed]
    rest = 1 - likely[flagged, labels.given[flagged]]
    share = likely[flagged, best[flagged]] / np.maximum(rest, 1e-9)
    sure = (wrongness * share).clip(0, 1).tolist()
    return Doubts(list(zip(flagged.tolist(), best[flagged].tolist(), sure, strict=True)), expected)


def _threshold(there: NDArray[np.float64], planted: NDArray[np.float64]) -> tuple[float, tuple[float, float]]:
    """The doubt from which on a label is told, with the precision and recall that it was chosen for."""
    levels = np.sort(planted[np.isfinite(planted)])[::-1]
    if not len(levels):
        return np.inf, (0.0, 0.0)
    recall = np.arange(1, len(levels) + 1) / len(planted)
    alarms = np.searchsorted(np.sort(-there), -levels, side="right") / len(there)
    precision = RATE * recall / (RATE * recall + (1 - RATE) * alarms)
    measure = (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
    at = int(measure.argmax())
    return float(levels[at]), (float(precision[at]), float(recall[at]))


def least_sure(
    sure: NDArray[np.floating[Any]], right: NDArray[np.bool_], precision: float
) -> tuple[float, tuple[float, float]]:
    """The probability from which on enough of the likeliest values are right.

    Args:
        sure: (n,) how likely the likeliest value of each product is.
        right: (n,) whether it is the known one.
        precision: What the lower end of a 95 % interval of the share that is right must reach.

    Returns:
        The threshold, infinite where there is none; and the precision and share of products at it.
    """
    order = np.argsort(-sure, kind="stable")
    counts = np.arange(1, len(order) + 1)
    shares = np.cumsum(right[order]) / counts
    squared = SURE**2
    spread = SURE * np.sqrt(shares * (1 - shares) / counts + squared / (4 * counts**2))
    low = (shares + squared / (2 * counts) - spread) / (1 + squared / counts)
    good = np.flatnonzero(low >= precision)
    if not len(good):
        return np.inf, (0.0, 0.0)
    last = int(good[-1])
    return float(sure[order[last]]), (float(shares[last]), float((last + 1) / len(order)))


def _rising(
    levels: NDArray[Any], truth: NDArray[np.bool_], weights: NDArray[np.float64], asked: NDArray[Any]
) -> NDArray[np.float64]:
    """How likely something is true at some levels, learned from others: isotonic regression."""
    if not len(asked):
        return np.empty(0)
    order = np.argsort(levels, kind="stable")
    found = isotonic_regression(truth[order].astype(np.float64), weights=weights[order]).x
    return np.asarray(np.interp(asked, levels[order], found))


def _opened(
    context: StoreContext, fields: Sequence[str], usual: Sequence[str], where: Filter, progress: Progress | None
) -> tuple[ProductRows, Shop, tuple[str, ...]]:
    names = check_fields(context, fields or usual)
    products = read_products(context, where, least=LEAST)
    if len(np.unique(products.vectors[:1000], axis=0)) < 2 and len(np.unique(products.vectors, axis=0)) < 2:
        raise QueryError(
            f"All {len(products):,} products have the same picture: nothing tells right labels from wrong."
        )

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(1 + 3 * done // total, STAGES)

    tell(0, 1)
    nearest, cosines = nearest_kept(context, products.vectors, NEIGHBOURS, keep=where == NO_FILTER, progress=tell)
    titles = [product.title for product in products.products]
    palettes = read_palettes(context, products.keys.tolist())
    return products, Shop(products.vectors, nearest, cosines, titles, palettes), names


def _labels(products: ProductRows, names: Sequence[str], *, asked: bool) -> list[Labels]:
    """The labels that can be judged.

    Raises:
        QueryError: one that was asked for cannot, or none can.
    """
    found, problems = [], []
    for name in names:
        labels = Labels.of(name, [label_of(product, name) for product in products.products])
        known = int((labels.given >= 0).sum())
        usable = int((labels.counts >= RARE).sum())
        if known < LEAST or usable < 2 or len(labels.values) > MOST_VALUES:
            few = f"{counted(known, 'product')} with it, and {counted(usable, 'value')} with {RARE} or more"
            many = f"{len(labels.values):,} different values, as texts and ids have"
            problems.append(f"'{name}' has {many if len(labels.values) > MOST_VALUES else few}")
        else:
            found.append(labels)
    if problems and (asked or not found):
        raise QueryError(
            f"Judging a label needs at least {LEAST} products that have it and two values that {RARE} or more have;"
            f" {'; '.join(problems)}. Ask for another field, or add products."
        )
    return found


def _suggestion(products: ProductRows, labels: Labels, row: int, value: int, probability: float) -> Suggestion:
    product = products.products[row]
    given = int(labels.given[row])
    has = labels.values[given] if given >= 0 else ""
    return Suggestion(
        row,
        product.id,
        product.title,
        labels.field,
        has,
        labels.values[value],
        probability,
        products.photos[row].key,
    )


def _tell(progress: Progress | None, place: int, fields: int) -> None:
    if progress is not None:
        progress(4 + (STAGES - 4) * (place + 1) // fields, STAGES)
