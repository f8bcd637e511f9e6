"""Groups of products that look alike, at two or three levels: each named by what is typical of it, with the product in
its middle and how far its products are from that.

A store goes in, :class:`Clusters` come out. Only pictures decide what is together
(:mod:`lapel.insight.grouping_vectors`); labels and titles only name it (:mod:`lapel.insight.group_names`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError, QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.text import counted, reason_of
from lapel.core.types import Filter
from lapel.core.vectors import Vectors
from lapel.engine.context import StoreContext
from lapel.insight.findings import Findings, Picture, Section
from lapel.insight.group_names import TYPICAL, Term, Vocabulary, names_of
from lapel.insight.grouping_vectors import SMALL_GROUPS, learned_middles, nearest_middles, nested_groups
from lapel.insight.kept_file import digests_of, read_kept, write_kept
from lapel.insight.product_rows import ProductRows, Progress, read_products

LEAST = 4  # products: two groups of two
FEWEST = 4  # groups of a level that is made unasked, unless it is the only one
STEP = 4  # times as many groups on each finer level
LEVELS = 3
SHOWN = 12  # pictures of a group on the sheet: the medoid, and others from its middle to its edge
FILE = "groups.npz"  # in the store's folder; may be deleted
NEW_SHARE = 0.1  # of products that may come or go before small groups are learned anew
STAGES = 4  # of the work, for progress


@dataclass(frozen=True)
class Cluster:
    """One group.

    Attributes:
        level: From 0, the coarsest.
        number: On its level, from 0, the largest first.
        parent: Number of the group of the level before that it lies in; -1 on the coarsest.
        name: What is typical of it, in a few words; no two groups of a level have the same.
        size: How many products.
        share: Of all products, 0..1.
        spread: One less the mean cosine of its products with its middle: 0 where all look the same.
        medoid: Id of the product nearest to all others of the group.
        medoid_key: Key of that product's photo.
        typical: Values and title words that are commoner in it than among all, the most typical first.
    """

    level: int
    number: int
    parent: int
    name: str
    size: int
    share: float
    spread: float
    medoid: str
    medoid_key: int
    typical: tuple[Term, ...]

    def __post_init__(self) -> None:
        if self.size < 1 or not self.name:
            raise InputError(f"A group has a name and products; found '{self.name}' with {self.size}.")

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "level": self.level,
            "number": self.number,
            "parent": None if self.parent < 0 else self.parent,
            "name": self.name,
            "products": self.size,
            "share": round(self.share, 4),
            "spread": round(self.spread, 4),
            "medoid": self.medoid,
            "typical": [
                {"field": each.field, "value": each.value, "share": round(each.share, 3), "lift": round(each.lift, 2)}
                for each in self.typical
            ],
        }


@dataclass(frozen=True)
class Clusters(Findings):
    """The groups of a store.

    Attributes:
        clusters: Level by level, the largest first.
        products: The products, in the order of the rows of ``groups``.
        groups: For each level, (n,) the number of each product's group.
        order: For each level, (n,) how near each product is to its group's middle, a cosine.
        seed: What was drawn by.
    """

    clusters: tuple[Cluster, ...]
    products: ProductRows
    groups: tuple[NDArray[np.int64], ...]
    order: tuple[NDArray[np.float32], ...] = field(repr=False)
    seed: int = 0

    def __post_init__(self) -> None:
        found = [sum(each.size for each in self.level(level)) for level in range(len(self.groups))]
        if any(total != len(self.products) for total in found):
            raise InputError(f"Each product is in one group of each level; found {found} of {len(self.products)}.")

    def level(self, level: int) -> tuple[Cluster, ...]:
        """The groups of a level: 0 the coarsest, -1 the finest."""
        wanted = level % max(1, len(self.groups))
        return tuple(each for each in self.clusters if each.level == wanted)

    def of_products(self, level: int = -1) -> dict[str, int]:
        """By product id the number of its group on a level."""
        numbers = self.groups[level].tolist()
        return {product.id: number for product, number in zip(self.products.products, numbers, strict=True)}

    def columns(self) -> tuple[str, ...]:
        """See :class:`Findings`."""
        return ("level", "number", "parent", "name", "products", "share", "spread", "medoid", "typical")

    def rows(self) -> list[dict[str, Any]]:
        """A row a group."""
        return [
            {**each.to_json(), "typical": ", ".join(f"{term.value} {term.share:.0%}" for term in each.typical)}
            for each in self.clusters
        ]

    def to_json(self) -> dict[str, Any]:
        """The groups, and by product the number of its group on each level."""
        numbers = np.stack(self.groups, axis=1).tolist()
        return {
            "products": len(self.products),
            "left_out_photos": self.products.left_out,
            "levels": [len(self.level(level)) for level in range(len(self.groups))],
            "seed": self.seed,
            "clusters": [each.to_json() for each in self.clusters],
            "members": {product.id: row for product, row in zip(self.products.products, numbers, strict=True)},
        }

    def write_members(self, path: str | Path) -> None:
        """Write each product with the names of its groups, the coarsest first, as CSV.

        Raises:
            InputError: it cannot be written there.
        """
        names = [[each.name for each in self.level(level)] for level in range(len(self.groups))]
        try:
            with Path(path).open("w", encoding="utf-8", newline="") as file:
                table = csv.writer(file)
                table.writerow(("id", *(f"group_{level}" for level in range(len(names)))))
                for product, row in zip(self.products.products, np.stack(self.groups, axis=1).tolist(), strict=True):
                    table.writerow((product.id, *(names[level][number] for level, number in enumerate(row))))
        except OSError as error:
            raise InputError(
                f"The members cannot be written to {path}: {reason_of(error)}. Name a folder that can be written to."
            ) from error

    def sections(self) -> Iterator[Section]:
        """A section a group of the middle level: its medoid, then products from its middle to its edge."""
        level = len(self.groups) // 2
        for each in self.level(level):
            rows = np.flatnonzero(self.groups[level] == each.number)
            rows = rows[np.argsort(-self.order[level][rows], kind="stable")]
            some = rows[np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))]
            text = f"{counted(each.size, 'product')}, {each.share:.1%} of all; spread {each.spread:.2f}. "
            text += "Typical: " + ", ".join(f"{term.value} ({term.share:.0%})" for term in each.typical)
            yield Section(f"{each.number + 1}. {each.name}", text, tuple(self._picture(row, each) for row in some))

    def _picture(self, row: int, of: Cluster) -> Picture:
        product = self.products.products[row]
        lines = ("in the middle",) if product.id == of.medoid else ()
        return Picture(self.products.photos[row].key, product.id, (*lines, product.title), link=product.url)

    def summary(self) -> str:
        """What was found."""
        counts = " / ".join(str(len(self.level(level))) for level in range(len(self.groups)))
        largest = self.clusters[0]
        return (
            f"{counted(len(self.products), 'product')} in {counts} groups; the largest is '{largest.name}'"
            f" ({largest.share:.0%}).{self.products.note}"
        )


def find_clusters(
    context: StoreContext,
    *,
    where: Filter = NO_FILTER,
    levels: Sequence[int] = (),
    seed: int = 0,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Clusters:
    """Group the products of a store. Where the store can be written to, it keeps what was learned (``groups.npz``): a
    few new products go to the groups that they are nearest to.

    Args:
        context: The store.
        where: Which products.
        levels: How many groups each level has, the coarsest first. By default up to three levels: the square root of
            the number of products, a quarter and a sixteenth of that, as long as these are four or more.
        seed: The same store, seed and what was kept give the same groups.
        fresh: Learn anew, whatever was kept.
        progress: Called with the steps done, and how many there are.

    Raises:
        QueryError: fewer than four products, all with the same picture, or more groups than different products.
    """
    tell = progress or (lambda _done, _total: None)
    tell(0, STAGES)
    products = read_products(context, where, least=LEAST)
    counts = checked_levels(products, levels)
    tell(1, STAGES)
    groups = kept_groups(context, products, counts, where=where, seed=seed, fresh=fresh)
    tell(2, STAGES)
    found = described(products, groups, seed)
    tell(STAGES, STAGES)
    return found


def checked_levels(products: ProductRows, levels: Sequence[int]) -> list[int]:
    """How many groups each level shall have.

    Raises:
        QueryError: see :func:`find_clusters`.
    """
    different = len(np.unique(products.vectors, axis=0))
    if len(products) < LEAST:
        raise QueryError(f"Groups need at least {LEAST} products; {counted(len(products), 'product')} found. Add more.")
    if different < 2:
        raise QueryError(f"All {len(products):,} products have the same picture, so there are no groups to find.")
    if not levels:
        finest = max(2.0, float(np.sqrt(len(products))))
        wanted = [max(2, round(finest / STEP**step)) for step in reversed(range(LEVELS))]
        counts = sorted({min(each, different, SMALL_GROUPS) for each in wanted})
        return [each for each in counts if each >= FEWEST] or counts[-1:]
    if list(levels) != sorted(set(levels)) or levels[0] < 2:
        raise QueryError(
            f"Levels are numbers of groups, from 2 on and rising, such as 12,50,200; found {list(levels)}."
        )
    most = min(different, SMALL_GROUPS)
    if levels[-1] > most:
        why = f"{most:,} different pictures" if most == different else f"{most:,} groups there can be"
        raise QueryError(f"{levels[-1]:,} groups are more than the {why}. Ask for fewer.")
    return list(levels)


def kept_groups(
    context: StoreContext, products: ProductRows, counts: Sequence[int], *, where: Filter, seed: int, fresh: bool
) -> list[NDArray[np.int64]]:
    """The groups of each level, as :func:`lapel.insight.grouping_vectors.nested_groups` gives them. The middles of the
    small groups are those of before, unless more than a tenth of the products are others since they were learned."""
    vectors = products.vectors
    if len(products) <= SMALL_GROUPS:
        return nested_groups(vectors, counts)
    mark, digests = f"1 {seed} {where}", np.unique(digests_of(vectors))
    kept = None if fresh else read_kept(context.folder / FILE, mark, ("middles", "digests"))
    if kept is not None and kept["middles"].shape[1:] == vectors.shape[1:]:
        others = len(np.setxor1d(kept["digests"], digests))
        small = nearest_middles(vectors, kept["middles"])
        if others <= NEW_SHARE * len(digests) and small.max() + 1 >= counts[-1]:
            return nested_groups(vectors, counts, small=small)
    middles = learned_middles(vectors, SMALL_GROUPS, seed)
    write_kept(context, FILE, mark, {"middles": middles, "digests": digests})
    return nested_groups(vectors, counts, small=nearest_middles(vectors, middles))


def described(products: ProductRows, groups: Sequence[NDArray[np.int64]], seed: int) -> Clusters:
    """Groups with their names, medoids and spreads."""
    vocabulary = Vocabulary(products.products)
    clusters: list[Cluster] = []
    order: list[NDArray[np.float32]] = []
    before: NDArray[np.int64] | None = None
    for level, numbers in enumerate(groups):
        sizes = np.bincount(numbers)
        typical, kinds = vocabulary.typical(numbers)
        names = names_of(typical, kinds)
        cosines, spread = middles(products.vectors, numbers)
        order.append(cosines)
        # The nearest to the middle comes first in its group: that is the medoid, as its mean cosine is the highest.
        ranked = np.lexsort((-cosines, numbers))
        first = ranked[np.searchsorted(numbers[ranked], np.arange(len(sizes)))]
        for number, row in enumerate(first.tolist()):
            clusters.append(
                Cluster(
                    level,
                    number,
                    -1 if before is None else int(before[row]),
                    names[number],
                    int(sizes[number]),
                    float(sizes[number] / len(products)),
                    float(spread[number]),
                    products.products[row].id,
                    products.photos[row].key,
                    tuple(typical[number][:TYPICAL]),
                )
            )
        before = numbers
    return Clusters(tuple(clusters), products, tuple(groups), tuple(order), seed)


def middles(vectors: Vectors, groups: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(n,) the cosine of each row with the middle of its group, and (groups,) one less the mean of these."""
    sizes = np.bincount(groups)
    sums = np.zeros((len(sizes), vectors.shape[1]))
    np.add.at(sums, groups, vectors)
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    cosines = np.einsum("nd,nd->n", vectors, (sums / lengths)[groups]).clip(-1, 1)
    return cosines.astype(np.float32), 1 - np.bincount(groups, cosines) / sizes
