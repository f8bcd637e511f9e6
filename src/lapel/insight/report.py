"""What an evaluation found, as frozen values: every number with its interval, who was left out and why, and the worst
queries.

:meth:`EvalReport.to_json` holds everything needed to run it again and nothing that changes from run to run, such as a
date; :meth:`EvalReport.rows` and :func:`heading` are for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lapel.core.errors import QueryError
from lapel.core.metrics import Estimate
from lapel.core.text import counted

FORMAT = "lapel-evaluation-1"
SAME_PRODUCT = "id"  # the rule that asks for the same product from another photo
FEW_QUERIES = (
    20  # below it a category's interval is wider than 40 points, so the table for people leaves it to the JSON
)

Row = tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """When an answer counts as relevant.

    Attributes:
        fields: Fields that must all be known and equal, such as ``("articleType", "baseColour")``; ``category`` is the
            whole path. Only ``("id",)`` asks for the query's own product, seen from another photo.
    """

    fields: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.fields or not all(self.fields) or len(set(self.fields)) != len(self.fields):
            raise QueryError(f"A relevance rule names one or more fields, such as articleType,gender; found '{self}'.")
        if SAME_PRODUCT in self.fields and len(self.fields) > 1:
            raise QueryError(f"The rule 'id' (same product, another photo) stands alone; found '{self}'.")

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read comma-joined field names, such as ``articleType,baseColour,gender``."""
        return cls(tuple(name.strip() for name in text.split(",")))

    @property
    def same_product(self) -> bool:
        """Whether the query's own product is what is looked for."""
        return self.fields == (SAME_PRODUCT,)

    def __str__(self) -> str:
        return ",".join(self.fields)


@dataclass(frozen=True)
class CategoryResult:
    """One rule's measures over the queries of one category.

    Attributes:
        name: The category.
        used: Its queries that count.
        left_out: Its queries that lack a value or a relevant product.
        measures: As in :class:`RuleResult`.
    """

    name: str
    used: int
    left_out: int
    measures: Mapping[str, Estimate]


@dataclass(frozen=True)
class RuleResult:
    """What one rule says. ``used + without_value + without_relevant`` is the number of queries.

    Attributes:
        rule: The rule.
        used: Queries that count.
        without_value: Queries whose product lacks a value for a field of the rule.
        without_relevant: Queries for which the gallery holds no relevant product.
        measures: Such as ``recall@1``, ``precision@10``, ``map@100`` and ``mrr@100``; empty when no query counts.
        categories: The same for each category, largest first.
    """

    rule: Rule
    used: int
    without_value: int
    without_relevant: int
    measures: Mapping[str, Estimate]
    categories: tuple[CategoryResult, ...]


@dataclass(frozen=True)
class WorstHit:
    """One answer to a badly answered query.

    Attributes:
        key: The photo that matched.
        product_id: Its product.
        score: Cosine.
        relevant: Whether it should have been found.
        label: Its product's values of the rule's fields.
    """

    key: int
    product_id: str
    score: float
    relevant: bool
    label: str


@dataclass(frozen=True)
class WorstQuery:
    """A query that was answered badly under the last rule.

    Attributes:
        key: The query's photo.
        product_id: Its product.
        category: Its category.
        label: Its product's values of the rule's fields.
        average_precision: 0 to 1.
        relevant: How many relevant products the gallery holds.
        hits: What was found instead, best first.
    """

    key: int
    product_id: str
    category: str
    label: str
    average_precision: float
    relevant: int
    hits: tuple[WorstHit, ...]


@dataclass(frozen=True)
class EvalReport:
    """One evaluation.

    Attributes:
        query_filter: Which photos asked, as text; empty for all.
        gallery_filter: Which photos could be found.
        k: The ranks at which recall and precision are measured, rising.
        depth: How many products were looked at for MAP and MRR.
        per: The field of the breakdown.
        model: Name of the model that made the vectors.
        fingerprint: Its fingerprint.
        index: Spec of the index that was searched.
        queries: Photos that asked.
        gallery_photos: Photos that could be found.
        gallery_products: Their products.
        without_vector: Photos of either filter that have no vector of this model and so took no part.
        rules: One result a rule, in the order asked.
        worst: The worst queries of the last rule that has any.
    """

    query_filter: str
    gallery_filter: str
    k: tuple[int, ...]
    depth: int
    per: str
    model: str
    fingerprint: str
    index: str
    queries: int
    gallery_photos: int
    gallery_products: int
    without_vector: int
    rules: tuple[RuleResult, ...]
    worst: tuple[WorstQuery, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; the same store and question give the same bytes."""
        return {
            "format": FORMAT,
            "queries": {"filter": self.query_filter, "photos": self.queries},
            "gallery": {
                "filter": self.gallery_filter,
                "photos": self.gallery_photos,
                "products": self.gallery_products,
            },
            "without_vector": self.without_vector,
            "k": list(self.k),
            "depth": self.depth,
            "per": self.per,
            "model": {"name": self.model, "fingerprint": self.fingerprint},
            "index": self.index,
            "rules": [_rule_json(result) for result in self.rules],
            "worst": [_worst_json(query) for query in self.worst],
        }

    def rows(self) -> list[Row]:
        """The results for people: a header, then one row a measure and one column a rule. Measures are percentages."""
        rows: list[Row] = [("", *(str(result.rule) for result in self.rules))]
        rows.append(("queries", *(f"{result.used:,}" for result in self.rules)))
        rows.append(("left out: none relevant", *(f"{result.without_relevant:,}" for result in self.rules)))
        if any(result.without_value for result in self.rules):
            rows.append(("left out: value unknown", *(f"{result.without_value:,}" for result in self.rules)))
        for name in measure_names(self.k, self.depth):
            rows.append((title_of(name), *(_percent(result.measures.get(name)) for result in self.rules)))
        return rows

    def category_rows(self, *, limit: int = 15, least: int = FEW_QUERIES) -> list[Row]:
        """The last rule by category, lowest MAP first: a header, then ``limit`` categories that have ``least``
        queries."""
        if not self.rules:
            return []
        last = self.rules[-1]
        names = list(dict.fromkeys([f"recall@{self.k[0]}", f"recall@{self.k[-1]}", f"map@{self.depth}"]))
        rows: list[Row] = [(self.per, "queries", "left out", *map(title_of, names))]
        shown = [found for found in last.categories if found.used >= least]
        for found in sorted(shown, key=lambda found: (found.measures[f"map@{self.depth}"].value, found.name))[:limit]:
            rows.append(
                (
                    found.name,
                    f"{found.used:,}",
                    f"{found.left_out:,}",
                    *(_percent(found.measures[name]) for name in names),
                )
            )
        return rows


def measure_names(k: Sequence[int], depth: int) -> list[str]:
    """The measures of a report, in the order they are shown."""
    return [*(f"recall@{rank}" for rank in k), *(f"precision@{rank}" for rank in k), f"map@{depth}", f"mrr@{depth}"]


def title_of(name: str) -> str:
    """``recall@1`` as people write it: ``Recall@1``; ``map@100``: ``MAP@100``."""
    measure, _, rank = name.partition("@")
    return f"{measure.upper() if measure in ('map', 'mrr') else measure.capitalize()}@{rank}"


def heading(report: EvalReport) -> str:
    """Who asked whom, as lines for people; the tables are :meth:`EvalReport.rows` and
    :meth:`EvalReport.category_rows`."""
    asked, found = report.query_filter or "all photos", report.gallery_filter or "all photos"
    gallery = f"{counted(report.gallery_products, 'product')} in {counted(report.gallery_photos, 'photo')}"
    lines = [
        f"{counted(report.queries, 'query', 'queries')} ({asked}) against {gallery} ({found})",
        (
            f"model {report.model} ({report.fingerprint}), index {report.index}; % with 95 % intervals, the query's own"
            f" product left out"
        ),
    ]
    if report.without_vector:
        have = "photo has" if report.without_vector == 1 else "photos have"
        lines.append(
            f"{report.without_vector:,} {have} no vector of this model and took no part. Run 'lapel add' again."
        )
    return "\n".join(lines)


def category_heading(report: EvalReport) -> str:
    """What :meth:`EvalReport.category_rows` shows, for people."""
    return f"Lowest by {report.per} under {report.rules[-1].rule}, of those with {FEW_QUERIES} queries or more:"


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _measures_json(measures: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.to_json() for name, estimate in measures.items()}


def _rule_json(result: RuleResult) -> dict[str, Any]:
    return {
        "relevant": str(result.rule),
        "used": result.used,
        "without_value": result.without_value,
        "without_relevant": result.without_relevant,
        "measures": _measures_json(result.measures),
        "categories": [
            {
                "name": found.name,
                "used": found.used,
                "left_out": found.left_out,
                "measures": _measures_json(found.measures),
            }
            for found in result.categories
        ],
    }


def _worst_json(query: WorstQuery) -> dict[str, Any]:
    return {
        "key": query.key,
        "product_id": query.product_id,
        "category": query.category,
        "label": query.label,
        "average_precision": round(query.average_precision, 6),
        "relevant": query.relevant,
        "hits": [
            {
                "key": hit.key,
                "product_id": hit.product_id,
                "score": round(hit.score, 6),
                "relevant": hit.relevant,
                "label": hit.label,
            }
            for hit in query.hits
        ],
    }
