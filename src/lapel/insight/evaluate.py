"""How well the engine finds what it should: photos of the catalogue ask, the others answer, and rules say who was
right.

A store and a question go in, an :class:`~lapel.insight.report.EvalReport` comes out. It judges the engine as people use
it: through the store's own index, with answers grouped by product, and with the query's own product left out by its id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import PhotoFacets
from lapel.core.errors import QueryError
from lapel.core.metrics import (
    Estimate,
    average_precision,
    mean_of,
    precision_at,
    proportion,
    recall_at,
    reciprocal_rank,
)
from lapel.core.types import Filter
from lapel.core.vectors import Keys, Vectors
from lapel.engine.context import StoreContext
from lapel.indexes import VectorIndex
from lapel.insight.report import CategoryResult, EvalReport, Rule, RuleResult, WorstHit, WorstQuery

__all__ = ["EvalReport", "Plan", "QuerySet", "Rule", "evaluate", "score"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Progress = Callable[[int, int], None]  # queries answered so far, and in all

BLOCK = 512  # queries answered at once
MAX_DEPTH = 10_000  # as deep as a query may ask, see lapel.core.types.Query
SHOWN_HITS = 8  # answers kept of each of the worst queries: what fits beside it on the picture sheet


@dataclass(frozen=True)
class Plan:
    """What is asked of an evaluation.

    Attributes:
        relevant: Rules, each query_set by itself.
        k: Ranks for recall and precision.
        depth: How many products each query is answered with, for MAP and MRR.
        per: Field of the breakdown; of a category path the last level.
        worst: How many of the worst queries to keep.
    """

    relevant: tuple[Rule, ...]
    k: tuple[int, ...] = (1, 5, 10)
    depth: int = 100
    per: str = "category"
    worst: int = 16

    def __post_init__(self) -> None:
        if not self.relevant:
            raise QueryError("An evaluation needs a relevance rule, such as --relevant articleType.")
        if not 1 <= self.depth <= MAX_DEPTH:
            raise QueryError(f"The depth of an evaluation is 1 to {MAX_DEPTH:,} products; found {self.depth}.")
        if not self.k or min(self.k) < 1 or max(self.k) > self.depth:
            raise QueryError(
                f"k is 1 to {self.depth}, the depth of the evaluation; found {', '.join(map(str, self.k)) or 'none'}."
            )
        if self.worst < 0:
            raise QueryError(f"The number of worst queries cannot be negative; found {self.worst}.")

    @classmethod
    def of(cls, relevant: Sequence[Rule | str], k: Sequence[int], **more: Any) -> Plan:
        """A plan from what people write: rules as texts, k in any order."""
        rules = [rule if isinstance(rule, Rule) else Rule.parse(rule) for rule in relevant]
        return cls(tuple(dict.fromkeys(rules)), tuple(sorted(set(k))), **more)

    @property
    def fields(self) -> list[str]:
        """Every field that must be known of the photos."""
        return sorted({self.per, *(name for rule in self.relevant for name in rule.fields)})


@dataclass(frozen=True)
class QuerySet:
    """Who asks, who answers, and what is known of them.

    Attributes:
        photos: All photos of the catalogue with the plan's fields, by rising key.
        queries: (q,) keys of the photos that ask.
        vectors: (q, dim) their vectors.
        gallery: (g,) keys of the photos that may be found, sorted, all in the index.
    """

    photos: PhotoFacets
    queries: Keys
    vectors: Vectors
    gallery: Keys


def evaluate(
    store: StoreContext,
    *,
    queries: Filter,
    gallery: Filter,
    relevant: Sequence[Rule | str],
    k: Sequence[int] = (1, 5, 10),
    depth: int = 100,
    per: str = "category",
    worst: int = 16,
    report: Progress | None = None,
) -> EvalReport:
    """Let the photos of one part of a store ask for products of another part.

    Args:
        store: The store; only read.
        queries: Which photos ask.
        gallery: Which photos may be found. May overlap the queries: nobody finds themselves.
        relevant: Rules such as ``articleType`` or ``articleType,baseColour,gender`` (all equal), or ``id`` (the same
            product from another photo).
        k: Ranks for recall and precision.
        depth: How many products to look at for MAP and MRR.
        per: Field of the breakdown.
        worst: How many of the worst queries to keep.
        report: Called with the number of queries answered so far and in all.

    Raises:
        QueryError: an unknown field or rule, k outside 1..depth, or a filter that no photo with a vector passes.
    """
    plan = Plan.of(relevant, k, depth=depth, per=per, worst=worst)
    # One view: vectors and index of one model, whatever happens meanwhile.
    catalog, view = store.catalog, store.current()
    index, model = view.index, view.model
    photos = catalog.photo_facets(plan.fields)
    present = np.intersect1d(index.keys, photos.keys, assume_unique=True)
    wanted = {"queries": catalog.matching_keys(queries), "gallery": catalog.matching_keys(gallery)}
    sides = {name: np.intersect1d(keys, present, assume_unique=True) for name, keys in wanted.items()}
    for name, where in (("queries", queries), ("gallery", gallery)):
        _check_side(name, where, len(wanted[name]), len(sides[name]))
    asking = QuerySet(
        photos, sides["queries"], catalog.vector_of(sides["queries"], fingerprint=model.fingerprint), sides["gallery"]
    )
    rules, worst_queries = score(asking, index, plan, report=report)
    return EvalReport(
        query_filter=str(queries),
        gallery_filter=str(gallery),
        k=plan.k,
        depth=plan.depth,
        per=plan.per,
        model=model.name,
        fingerprint=model.fingerprint,
        index=store.current().version.spec,
        queries=len(sides["queries"]),
        gallery_photos=len(sides["gallery"]),
        gallery_products=len(np.unique(photos.rows[np.searchsorted(photos.keys, sides["gallery"])])),
        without_vector=len(np.setdiff1d(np.union1d(*wanted.values()), present, assume_unique=True)),
        rules=rules,
        worst=worst_queries,
    )


def _check_side(name: str, where: Filter, passing: int, usable: int) -> None:
    if not usable:
        found = f"{passing:,} photos pass it, but none has a vector" if passing else "no photo passes it"
        raise QueryError(
            f"The {name} of an evaluation need photos. The filter was '{where}': {found}. 'lapel info' says what there"
            " is."
        )


def score(
    asked: QuerySet, index: VectorIndex, plan: Plan, *, report: Progress | None = None
) -> tuple[tuple[RuleResult, ...], tuple[WorstQuery, ...]]:
    """The evaluation itself, over arrays and an index: one result a rule, and the worst queries of the last rule that
    has any."""
    query_rows = np.searchsorted(asked.photos.keys, asked.queries)
    per = np.array([short(plan.per, value) or "unknown" for value in asked.photos.values[plan.per]])
    categories = per[query_rows]
    rounds = sorted({rule.same_product for rule in plan.relevant})
    answers = {
        same: answer(asked, index, plan.depth, same_product=same, report=_part_of(report, number, len(rounds)))
        for number, same in enumerate(rounds)
    }
    results: list[RuleResult] = []
    worst: tuple[WorstQuery, ...] = ()
    for rule in plan.relevant:
        found = answers[rule.same_product]
        verdict = verdict_of(asked, rule, found)
        columns = _measure(verdict, plan)
        results.append(
            RuleResult(
                rule=rule,
                used=len(verdict.used),
                without_value=int((verdict.total < 0).sum()),
                without_relevant=int((verdict.total == 0).sum()),
                measures=_estimates(columns),
                categories=_by_category(columns, categories, verdict.used),
            )
        )
        if len(verdict.used):
            ap = columns[f"map@{plan.depth}"]
            chosen = pick_worst(ap, categories[verdict.used], found.scores[verdict.used, 0], plan.worst)
            worst = tuple(
                _worst_query(
                    asked,
                    rule,
                    found,
                    verdict,
                    int(verdict.used[place]),
                    str(categories[verdict.used[place]]),
                    float(ap[place]),
                )
                for place in chosen
            )
    return tuple(results), worst


def short(field: str, value: str) -> str:
    """A value as people say it: of a category path the last level."""
    return value.rpartition(" > ")[2] if field == "category" else value


def _part_of(report: Progress | None, number: int, rounds: int) -> Progress | None:
    """Progress of one of several rounds over the same queries, told as one long round."""
    if report is None:
        return None
    return lambda done, total: report((number * total + done) // rounds, total)


# --- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answers:
    """The products found for each query, each by its best photo, best first.

    Attributes:
        rows: (q, depth) positions among the photos, padded with -1.
        scores: (q, depth) cosines, padded with -inf.
    """

    rows: Ints
    scores: NDArray[np.float32]


def answer(asked: QuerySet, index: VectorIndex, depth: int, *, same_product: bool, report: Progress | None) -> Answers:
    """Search for every query, without its own product, or without its own photo only when its product is what is looked
    for."""
    keys, products = asked.photos.keys, asked.photos.rows
    own = products[np.searchsorted(keys, asked.queries)]
    count = len(asked.gallery)
    photos_each = count / len(np.unique(products[np.searchsorted(keys, asked.gallery)]))
    rows = np.full((len(asked.queries), depth), -1, np.int64)
    scores = np.full((len(asked.queries), depth), -np.inf, np.float32)
    for start in range(0, len(asked.queries), BLOCK):
        pending = np.arange(start, min(start + BLOCK, len(asked.queries)))
        # Some spare for the own product; those with many photos on top come round again with twice as many.
        fetch = int((depth + 2) * (1 if photos_each == 1 else 1.5 * photos_each))
        while len(pending):
            fetch = min(fetch, count)
            matches = index.search(asked.vectors[pending], fetch, asked.gallery)
            at = np.searchsorted(keys, matches.keys)
            found = np.where(matches.keys >= 0, at, 0)
            product = np.where(matches.keys >= 0, products[found], -1)
            leave = matches.keys == asked.queries[pending, None] if same_product else product == own[pending, None]
            places, filled = _first_of_each(np.where(leave, -1, product), depth)
            real = np.arange(places.shape[1]) < filled[:, None]
            width = places.shape[1]
            rows[pending, :width] = np.where(real, np.take_along_axis(found, places, axis=1), -1)
            scores[pending, :width] = np.where(real, np.take_along_axis(matches.scores, places, axis=1), -np.inf)
            pending = pending[filled < depth] if fetch < count else pending[:0]
            fetch *= 2
        if report is not None:
            report(min(start + BLOCK, len(asked.queries)), len(asked.queries))
    return Answers(rows, scores)


def _first_of_each(products: Ints, depth: int) -> tuple[Ints, Ints]:
    """Where each row names a product for the first time; -1 names none.

    Args:
        products: (q, m) product numbers, best first.
        depth: How many to keep.

    Returns:
        (q, min(m, depth)) places, of which the first so many of each row count, and that number, (q,).
    """
    order = np.argsort(products, axis=1, kind="stable")
    grouped = np.take_along_axis(products, order, axis=1)
    first = grouped >= 0
    first[:, 1:] &= grouped[:, 1:] != grouped[:, :-1]
    keep = np.zeros_like(first)
    np.put_along_axis(keep, order, first, axis=1)
    places = np.argsort(~keep, axis=1, kind="stable")[:, :depth].astype(np.int64)
    return places, np.minimum(keep.sum(axis=1), depth)


# --- who was right ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What a rule says of the answers.

    Attributes:
        relevant: (q, depth) whether each answer is relevant.
        total: (q,) relevant products in the gallery; -1 where the query's own values are unknown.
    """

    relevant: Flags
    total: Ints

    @property
    def used(self) -> Ints:
        """Positions of the queries that count."""
        return np.flatnonzero(self.total > 0)


def verdict_of(asked: QuerySet, rule: Rule, answers: Answers) -> Verdict:
    """Judge the answers by one rule."""
    photos = asked.photos
    query_rows = np.searchsorted(photos.keys, asked.queries)
    gallery_rows = np.searchsorted(photos.keys, asked.gallery)
    if rule.same_product:
        code = np.unique(photos.rows, return_inverse=True)[1].astype(np.int64)
        shown = np.bincount(code[gallery_rows], minlength=len(photos.keys))
        others = shown[code[query_rows]] - np.isin(asked.queries, asked.gallery)
        total = np.minimum(others, 1)  # answers are products, and there is one to find
    else:
        code = _codes([photos.values[name] for name in rule.fields])
        # One row a product: its photos share its values, and a product counts once however many photos it has.
        products, first = np.unique(photos.rows[gallery_rows], return_index=True)
        known = code[gallery_rows[first]]
        alike = np.bincount(known[known >= 0], minlength=len(photos.keys))
        own_is_there = np.isin(photos.rows[query_rows], products)
        total = np.where(code[query_rows] >= 0, alike[code[query_rows]] - own_is_there, -1)
    relevant = (code[answers.rows] == code[query_rows][:, None]) & (answers.rows >= 0) & (total >= 0)[:, None]
    return Verdict(relevant, total.astype(np.int64))


def _codes(columns: Sequence[Sequence[str]]) -> Ints:
    """One number a photo, equal where all columns are equal; -1 where one is empty."""
    code = np.zeros(len(columns[0]), np.int64)
    known = np.ones(len(columns[0]), bool)
    for column in columns:
        texts = np.array(column, object)
        known &= texts != ""
        numbers = {text: number for number, text in enumerate(dict.fromkeys(column))}
        code = code * len(numbers) + np.fromiter((numbers[text] for text in column), np.int64, len(column))
        code = np.unique(code, return_inverse=True)[1].astype(
            np.int64
        )  # small again, so that no product of sizes overflows
    return np.where(known, code, -1)


# --- measures --------------------------------------------------------------------------------------------------------


def _measure(verdict: Verdict, plan: Plan) -> dict[str, NDArray[np.float64]]:
    """Every measure for every query that counts, in the order of :func:`lapel.insight.report.measure_names`."""
    relevant, total = verdict.relevant[verdict.used], verdict.total[verdict.used]
    columns = {f"recall@{k}": recall_at(relevant, k) for k in plan.k} | {
        f"precision@{k}": precision_at(relevant, k) for k in plan.k
    }
    columns[f"map@{plan.depth}"] = average_precision(relevant, total, plan.depth)
    columns[f"mrr@{plan.depth}"] = reciprocal_rank(relevant, plan.depth)
    return columns


def _estimates(columns: Mapping[str, NDArray[np.float64]]) -> dict[str, Estimate]:
    """Means with intervals; nothing when there is no query."""
    return {
        name: proportion(values) if name.startswith("recall@") else mean_of(values)
        for name, values in columns.items()
        if len(values)
    }


def _by_category(
    columns: Mapping[str, NDArray[np.float64]], categories: NDArray[np.str_], used: Ints
) -> tuple[CategoryResult, ...]:
    names, code = np.unique(categories, return_inverse=True)
    found = []
    for number, name in enumerate(names.tolist()):
        inside = code[used] == number
        estimates = _estimates({measure: values[inside] for measure, values in columns.items()})
        count = int(inside.sum())
        found.append(CategoryResult(name, count, int((code == number).sum()) - count, estimates))
    return tuple(sorted(found, key=lambda one: (-one.used, one.name)))


# --- the worst -------------------------------------------------------------------------------------------------------


def pick_worst(ap: NDArray[np.float64], categories: NDArray[np.str_], best: NDArray[np.float32], count: int) -> Ints:
    """Positions of the worst queries: the worst of each category first, then the second worst of each, and so on.

    Among equals the more confident mistake comes first: the one whose best answer scored higher, in ``best``.
    """
    order = np.lexsort((-best, ap))
    seen: dict[str, int] = {}
    turn = np.empty(len(ap), np.int64)
    for place in order.tolist():
        turn[place] = seen[categories[place]] = seen.get(categories[place], -1) + 1
    return order[np.argsort(turn[order], kind="stable")][:count].astype(np.int64)


def _worst_query(
    asked: QuerySet, rule: Rule, answers: Answers, verdict: Verdict, query: int, category: str, ap: float
) -> WorstQuery:
    photos = asked.photos

    def label(row: int) -> str:
        return ", ".join(short(name, photos.values[name][row]) for name in rule.fields)

    hits = [
        WorstHit(int(photos.keys[row]), photos.product_ids[row], float(score), bool(relevant), label(row))
        for row, score, relevant in zip(
            answers.rows[query, :SHOWN_HITS].tolist(),
            answers.scores[query, :SHOWN_HITS].tolist(),
            verdict.relevant[query, :SHOWN_HITS].tolist(),
            strict=True,
        )
        if row >= 0
    ]
    row = int(np.searchsorted(photos.keys, asked.queries[query]))
    return WorstQuery(
        int(asked.queries[query]),
        photos.product_ids[row],
        category,
        label(row),
        ap,
        int(verdict.total[query]),
        tuple(hits),
    )
