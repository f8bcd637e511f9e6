"""Two models on one store: how much their answers differ, where most, and, by labels, which of them is right more
often.

A store and two models go in, a :class:`Comparison` comes out. Photos of the store ask, and both models rank the same
products. The vectors that are missing are encoded and kept beside the others, so a later change to that model finds
them made; what the store is searched with stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import ModelEntry, PhotoFacets
from lapel.core.errors import InputError, QueryError
from lapel.core.metrics import Estimate, mean_of, proportion, recall_at
from lapel.core.overlap import overlap, rank_biased_overlap
from lapel.core.types import Filter
from lapel.core.vectors import Keys, Vectors
from lapel.engine.backfill import backfill
from lapel.engine.context import StoreContext
from lapel.engine.models import open_model
from lapel.indexes import open_index
from lapel.insight.evaluate import Answers, QuerySet, answer, pick_worst, short, verdict_of
from lapel.insight.report import Rule

FORMAT = "lapel-comparison-1"
RECALL_RANKS = (1, 5)
MAX_K = 100
EVERYTHING = Filter()

Progress = Callable[[str, int, int], None]  # what is being done, done, in all


@dataclass(frozen=True)
class Answer:
    """One product in a model's answer.

    Attributes:
        key: Its best photo.
        product_id: The product.
        score: Cosine under that model; those of two models do not compare.
        title: What the product is called.
        other_rank: Its rank in the other model's answer, from 1; 0 when it is not among the first k there.
        relevant: Whether the last rule over fields says that it is right; None without such a rule.
    """

    key: int
    product_id: str
    score: float
    title: str
    other_rank: int
    relevant: bool | None


@dataclass(frozen=True)
class Changed:
    """A query that the two models answer differently.

    Attributes:
        key: The photo that asked.
        product_id: Its product.
        title: What the product is called.
        category: The last level of its category.
        overlap: Share of the first k that both found.
        rbo: Rank-biased overlap.
        a: The first model's answer, best first.
        b: The second one's.
    """

    key: int
    product_id: str
    title: str
    category: str
    overlap: float
    rbo: float
    a: tuple[Answer, ...]
    b: tuple[Answer, ...]


@dataclass(frozen=True)
class Recall:
    """Recall at one rank under one rule, for both models over the same queries.

    Attributes:
        rank: The rank.
        a: The first model's.
        b: The second one's.
        difference: b - a, query by query: its interval is far narrower than those of the two suggest.
    """

    rank: int
    a: Estimate
    b: Estimate
    difference: Estimate

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or, when the interval holds 0, ``no clear difference``, of b against a."""
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "no clear difference"


@dataclass(frozen=True)
class RuleComparison:
    """What one rule says of both models. ``used + left_out`` is the number of queries.

    Attributes:
        rule: The rule.
        used: Queries that count.
        left_out: Queries that lack a value, or for which there is nothing relevant to find.
        recall: One for each rank; empty when no query counts.
    """

    rule: Rule
    used: int
    left_out: int
    recall: tuple[Recall, ...]


@dataclass(frozen=True)
class Comparison:
    """What comparing two models found.

    Attributes:
        a: The first model.
        b: The second one.
        k: How many products each query was answered with.
        queries: Photos that asked.
        gallery_photos: Photos that could be found.
        gallery_products: Their products.
        left_out: Photos that took no part, as one of the models has no vector of them.
        encoded: Photos that were encoded for this, and stay encoded.
        overlap: Mean share of the first k that both models found.
        same_first: Share of queries whose first answer is the same product.
        rbo: Mean rank-biased overlap, p = 0.9.
        rules: One result a rule.
        changed: The queries that changed most, each category in turn.
        marked_by: The rule that says which of their answers are right; empty without one.
    """

    a: ModelEntry
    b: ModelEntry
    k: int
    queries: int
    gallery_photos: int
    gallery_products: int
    left_out: int
    encoded: int
    overlap: Estimate
    same_first: Estimate
    rbo: Estimate
    rules: tuple[RuleComparison, ...]
    changed: tuple[Changed, ...]
    marked_by: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; the same store, models and question give the same ones."""
        return {
            "format": FORMAT,
            "a": {"name": self.a.name, "fingerprint": self.a.fingerprint},
            "b": {"name": self.b.name, "fingerprint": self.b.fingerprint},
            "k": self.k,
            "queries": self.queries,
            "gallery": {"photos": self.gallery_photos, "products": self.gallery_products},
            "left_out": self.left_out,
            "encoded": self.encoded,
            "overlap": self.overlap.to_json(),
            "same_first": self.same_first.to_json(),
            "rbo": self.rbo.to_json(),
            "rules": [_rule_json(found) for found in self.rules],
            "changed": [_changed_json(found) for found in self.changed],
        }


@dataclass(frozen=True)
class Question:
    """What is asked of a comparison.

    Attributes:
        queries: Which photos may ask.
        gallery: Which photos may be found.
        ask: How many photos ask, drawn by ``seed``; fewer when there are fewer.
        sample: Compare over so many products only, drawn by ``seed``; all by default. For a first look at a large
            store.
        k: How many products each query is answered with.
        relevant: Rules by which answers are right.
        show: How many of the most changed queries to keep.
        seed: Another seed draws other photos.
    """

    queries: Filter = EVERYTHING
    gallery: Filter = EVERYTHING
    ask: int = 200
    sample: int | None = None
    k: int = 10
    relevant: tuple[Rule, ...] = ()
    show: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise QueryError(f"k is how many products a query is answered with, 1 to {MAX_K}; found {self.k}.")
        if self.ask < 1 or (self.sample is not None and self.sample < 2) or self.show < 0:
            raise QueryError(
                "A comparison needs at least one query and a sample of at least two products;"
                f" found {self.ask} queries, a sample of {self.sample} and {self.show} to show."
            )


def compare(
    store: StoreContext, spec_a: str, spec_b: str, *, question: Question | None = None, report: Progress | None = None
) -> Comparison:
    """Let photos of a store ask both models the same.

    Args:
        store: The store; what it is searched with stays as it is.
        spec_a: A model, see :func:`lapel.engine.models.open_model`; mostly the one in use.
        spec_b: Another one.
        question: What to ask.
        report: Called with what is being done, how much of it is done, and how much there is.

    Raises:
        ModelError: no such model.
        InputError: both are the same.
        QueryError: an unknown field, or a filter that no photo with vectors of both passes.
        StoreReadOnlyError, StoreError: vectors are missing and cannot be written.
    """
    asked = question or Question()
    candidates = (open_model(store, spec_a), open_model(store, spec_b))
    a, b = (candidate.model for candidate in candidates)
    if a.fingerprint == b.fingerprint:
        raise InputError(
            f"'{spec_a}' and '{spec_b}' are the same model, '{a.name}' ({a.fingerprint}). Name two different ones."
        )
    fields = {"category", "title", *(name for rule in asked.relevant for name in rule.fields)}
    photos = store.catalog.photo_facets(sorted(fields))
    asking, found = _drawn(store, photos, asked)
    wanted = np.union1d(asking, found)
    encoded = 0
    for candidate in candidates:
        told = None if report is None else _told(report, f"encoding with {candidate.model.name}")
        encoded += backfill(store, candidate, keys=wanted, progress=told).derived
    vectors = [_vectors(store, model, wanted) for model in (a, b)]
    both = np.intersect1d(vectors[0][0], vectors[1][0], assume_unique=True)
    asking, found = (np.intersect1d(keys, both, assume_unique=True) for keys in (asking, found))
    for name, where, keys in (("queries", asked.queries, asking), ("gallery", asked.gallery, found)):
        if not len(keys):
            raise QueryError(
                f"The {name} of a comparison need photos that both models have vectors of. The filter was '{where}':"
                f" there"
                " is none. 'lapel info' says what the store holds."
            )
    sides = [_Side(photos, asking, found, keys, rows) for keys, rows in vectors]
    return _result(asked, (a, b), sides, left_out=len(wanted) - len(both), encoded=encoded)


# --- who asks, who answers --------------------------------------------------------------------------------------------


def _drawn(store: StoreContext, photos: PhotoFacets, asked: Question) -> tuple[Keys, Keys]:
    """Keys of the photos that ask and of those that may be found, both sorted."""
    rng = np.random.default_rng(asked.seed)
    found = np.intersect1d(store.catalog.matching_keys(asked.gallery), photos.keys, assume_unique=True)
    if asked.sample is not None:
        rows = photos.rows[np.searchsorted(photos.keys, found)]
        products = np.unique(rows)
        chosen = rng.permutation(products)[: asked.sample]
        found = found[np.isin(rows, chosen)]
    asking = np.intersect1d(store.catalog.matching_keys(asked.queries), photos.keys, assume_unique=True)
    return np.sort(rng.permutation(asking)[: asked.ask]), found


def _told(report: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: report(what, done, total)


def _vectors(store: StoreContext, model: ModelEntry, wanted: Keys) -> tuple[Keys, Vectors]:
    """The keys among ``wanted`` that have a vector of the model, and these vectors, as of one moment."""
    keys, rows = [np.empty(0, np.int64)], [np.empty((0, model.dim), np.float32)]
    for some, vectors in store.catalog.vectors(model.fingerprint):
        inside = np.isin(some, wanted, assume_unique=True)
        keys.append(some[inside])
        rows.append(vectors[inside])
    return np.concatenate(keys), np.concatenate(rows)


class _Side:
    """One model's part: who asks and who is found are the same for both, only the vectors differ."""

    def __init__(self, photos: PhotoFacets, asking: Keys, found: Keys, keys: Keys, vectors: Vectors) -> None:
        of = dict(
            zip(("asking", "found"), (vectors[np.searchsorted(keys, some)] for some in (asking, found)), strict=True)
        )
        self.query_set = QuerySet(photos, asking, of["asking"], found)
        self._index = open_index("faiss:Flat", dim=vectors.shape[1])
        self._index.add(found, of["found"])

    def answers(self, depth: int, *, same_product: bool = False) -> Answers:
        """The products found for each query, best first, without its own product, or only without its own photo."""
        return answer(self.query_set, self._index, depth, same_product=same_product, report=None)


# --- what differs -----------------------------------------------------------------------------------------------------


def _result(
    asked: Question, models: tuple[ModelEntry, ModelEntry], sides: Sequence[_Side], *, left_out: int, encoded: int
) -> Comparison:
    query_set = sides[0].query_set
    photos = query_set.photos
    answers = [side.answers(max(asked.k, *RECALL_RANKS)) for side in sides]
    lists = [_products(photos, found)[:, : asked.k] for found in answers]
    agreement, rbo = overlap(*lists), rank_biased_overlap(*lists)
    # The answers leave the query's own product out, so a rule that looks for that product has nothing to mark in them.
    marking = next((rule for rule in reversed(asked.relevant) if not rule.same_product), None)
    rules = tuple(_by_rule(sides, answers, rule) for rule in asked.relevant)
    marks = [
        verdict_of(side.query_set, marking, found).relevant if marking else None
        for side, found in zip(sides, answers, strict=True)
    ]
    rows = np.searchsorted(photos.keys, query_set.queries)
    categories = np.array([short("category", photos.values["category"][row]) or "unknown" for row in rows])
    # The most confident disagreement first among equals: where the second model's best answer scored highest.
    worst = pick_worst(rbo, categories, answers[1].scores[:, 0], asked.show)
    changed = [
        _changed(photos, int(rows[at]), int(at), answers, lists, marks, (float(agreement[at]), float(rbo[at])))
        for at in worst
        if rbo[at] < 1
    ]
    gallery = photos.rows[np.searchsorted(photos.keys, query_set.gallery)]
    return Comparison(
        a=models[0],
        b=models[1],
        k=asked.k,
        queries=len(query_set.queries),
        gallery_photos=len(gallery),
        gallery_products=len(np.unique(gallery)),
        left_out=left_out,
        encoded=encoded,
        overlap=mean_of(agreement),
        same_first=proportion((lists[0][:, 0] == lists[1][:, 0]).astype(np.float64)),
        rbo=mean_of(rbo),
        rules=rules,
        changed=tuple(changed),
        marked_by=str(marking or ""),
    )


def _products(photos: PhotoFacets, answers: Answers) -> NDArray[np.int64]:
    """The product number of each answer, (q, depth), -1 where there is none."""
    return np.where(answers.rows >= 0, photos.rows[answers.rows], -1)


def _by_rule(sides: Sequence[_Side], answers: Sequence[Answers], rule: Rule) -> RuleComparison:
    """Recall of both models, over the queries for which there is something to find: the same ones for both."""
    if rule.same_product:  # then other photos of the query's own product are what is looked for
        answers = [side.answers(max(RECALL_RANKS), same_product=True) for side in sides]
    verdicts = [verdict_of(side.query_set, rule, found) for side, found in zip(sides, answers, strict=True)]
    used = verdicts[0].used
    recall = []
    for rank in RECALL_RANKS if len(used) else ():
        a, b = (recall_at(verdict.relevant[used], rank) for verdict in verdicts)
        recall.append(Recall(rank, proportion(a), proportion(b), mean_of(b - a)))
    return RuleComparison(rule, len(used), len(sides[0].query_set.queries) - len(used), tuple(recall))


def _changed(
    photos: PhotoFacets,
    row: int,
    query: int,
    answers: Sequence[Answers],
    lists: Sequence[NDArray[np.int64]],
    marks: Sequence[NDArray[np.bool_] | None],
    agreement: tuple[float, float],
) -> Changed:
    """One query with both answers, each saying where the other model has the same product."""

    def side(mine: int, other: int) -> tuple[Answer, ...]:
        elsewhere = {int(product): rank for rank, product in enumerate(lists[other][query], start=1)}
        mark = marks[mine]
        return tuple(
            Answer(
                key=int(photos.keys[at]),
                product_id=photos.product_ids[at],
                score=float(answers[mine].scores[query, place]),
                title=photos.values["title"][at],
                other_rank=elsewhere.get(int(product), 0),
                relevant=None if mark is None else bool(mark[query, place]),
            )
            for place, product in enumerate(lists[mine][query].tolist())
            if (at := int(answers[mine].rows[query, place])) >= 0
        )

    return Changed(
        key=int(photos.keys[row]),
        product_id=photos.product_ids[row],
        title=photos.values["title"][row],
        category=short("category", photos.values["category"][row]) or "unknown",
        overlap=agreement[0],
        rbo=agreement[1],
        a=side(0, 1),
        b=side(1, 0),
    )


def _rule_json(found: RuleComparison) -> dict[str, Any]:
    recall: Mapping[str, Any] = {
        f"recall@{one.rank}": {
            "a": one.a.to_json(),
            "b": one.b.to_json(),
            "difference": one.difference.to_json(),
            "verdict": one.verdict,
        }
        for one in found.recall
    }
    return {"relevant": str(found.rule), "used": found.used, "left_out": found.left_out, "measures": recall}


def _changed_json(found: Changed) -> dict[str, Any]:
    def side(answers: Sequence[Answer]) -> list[dict[str, Any]]:
        return [
            {"product_id": one.product_id, "score": round(one.score, 6), "other_rank": one.other_rank}
            for one in answers
        ]

    return {
        "key": found.key,
        "product_id": found.product_id,
        "category": found.category,
        "overlap": round(found.overlap, 6),
        "rbo": round(found.rbo, 6),
        "a": side(found.a),
        "b": side(found.b),
    }
