"""What a group of products is called: the values and title words that are typical of it.

Typical is what most of the group has and the rest has not: the share within times the logarithm of the lift over all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.core.types import Product
from lapel.core.words import tokens

COMMON_VALUE = 0.5  # share of a group that has a value before the group is called by it
COMMON_WORD = 0.35  # the same of a word of titles, which nobody has to write
LIFT = 1.3  # how much commoner than among all it has to be
PARTS = 3  # of a name
TYPICAL = 6  # terms told of a group
MAX_VALUES = 400  # of an attribute that names groups: ids have more
MIN_WORD = 3  # letters
EMPTY_WORDS = frozenset("and for from her his just the with".split())
RARE = 5_000  # a term that fewer than one product in so many has is typical of no group worth naming
ORDER = ("kind", "gender", "colour", "brand")  # of a name's parts
LEVELS = ("kind", "section", "department")  # of a category, the narrowest first
UNSAID = ("season",)  # typical perhaps, but no word for how things look
ANSWERS = frozenset("yes no true false".split())  # values that say nothing without their field
KINDS = 3  # told of a group that no one kind is typical of
KIND_SHARE = 0.1  # of its products that each of those has at least


@dataclass(frozen=True)
class Term:
    """A value or a word that is typical of a group.

    Attributes:
        field: ``kind``, ``section`` or ``department`` (the last levels of the category, the last first), a field, an
            attribute, or ``word`` of titles.
        value: The value or word.
        share: Share of the group's products that have it, 0..1.
        lift: How many times commoner it is there than among all.
    """

    field: str
    value: str
    share: float
    lift: float

    @property
    def weight(self) -> float:
        """How typical it is."""
        return self.share * float(np.log(max(self.lift, 1e-9)))


class Vocabulary:
    """The terms of all products, counted once for any number of groups."""

    def __init__(self, products: Sequence[Product]) -> None:
        terms = [set(_terms(product)) for product in products]
        values: Counter[str] = Counter(field for field, _ in set().union(*terms))
        kept = [{term for term in some if term[0] == "word" or values[term[0]] <= MAX_VALUES} for some in terms]
        counts = Counter(term for some in kept for term in some)
        least = max(2, len(products) // RARE)
        self.terms = sorted(term for term, count in counts.items() if count >= least)
        place = {term: number for number, term in enumerate(self.terms)}
        pairs = [(row, place[term]) for row, some in enumerate(kept) for term in some if term in place]
        table = np.array(sorted(pairs), np.int64).reshape(-1, 2)
        self._rows, self._columns = table[:, 0], table[:, 1]
        self._values = {
            value.casefold(): (field, value) for field, value in self.terms if field in ("gender", "colour")
        }
        self._all = np.bincount(self._columns, minlength=len(self.terms)) / max(1, len(products))

    def typical(self, groups: NDArray[np.int64]) -> tuple[list[list[Term]], list[list[str]]]:
        """The terms of each group, the most typical first; and its commonest kinds."""
        count = int(groups.max()) + 1
        sizes = np.bincount(groups, minlength=count)
        width = max(1, len(self.terms))
        found = np.bincount(groups[self._rows] * width + self._columns, minlength=count * width)
        told = []
        kinds: list[list[str]] = []
        for number, row in enumerate(found.reshape(count, width)[:, : len(self.terms)]):
            share = row / sizes[number]
            lift = share / np.maximum(self._all, 1e-12)
            some = np.flatnonzero((share >= COMMON_WORD) & (lift >= LIFT))
            terms = [Term(*self.terms[at], float(share[at]), float(lift[at])) for at in some]
            terms = [each for each in map(self._as_value, terms) if each.field == "word" or each.share >= COMMON_VALUE]
            told.append(_each_once(sorted(terms, key=lambda term: (-term.weight, term.field, term.value))))
            common = [at for at in np.argsort(-share, kind="stable") if self.terms[at][0] == "kind"][:KINDS]
            kinds.append([self.terms[at][1] for at in common if share[at] >= KIND_SHARE])
        return told, kinds

    def _as_value(self, term: Term) -> Term:
        """A title's word that is a value of a field, such as ``blue``, as that value."""
        field, value = (
            self._values.get(term.value, (term.field, term.value)) if term.field == "word" else (term.field, term.value)
        )
        return Term(field, value, term.share, term.lift)


def _each_once(terms: Sequence[Term]) -> list[Term]:
    """Without those that say again what one before says, as a title's word or the column behind a field does."""
    said: dict[str, Term] = {}
    for term in terms:
        said.setdefault(term.value.casefold(), term)
    return list(said.values())


def _terms(product: Product) -> Iterable[tuple[str, str]]:
    for field, value in zip(LEVELS, reversed(product.category), strict=False):  # it may have more levels, or fewer
        yield field, value
    for field in ("gender", "colour", "brand", "season"):
        value = getattr(product, field)
        if value:
            yield field, value
    known = {
        value.casefold() for value in (*product.category, product.gender, product.colour, product.season)
    } | ANSWERS
    for field, value in product.attributes.items():
        if value and value.casefold() not in known and len(value) <= 40 and not value.replace(".", "").isdigit():
            yield field, value
    for word in tokens(product.title):
        if len(word) >= MIN_WORD and not word.isdigit() and word not in EMPTY_WORDS:
            yield "word", word


def names_of(typical: Sequence[Sequence[Term]], kinds: Sequence[Sequence[str]]) -> list[str]:
    """A name for each group, no two the same: what is typical of it, then what its namesakes lack, then a number.

    Args:
        typical: The terms of each group, the most typical first.
        kinds: The commonest kinds of each group, for those that no one kind is typical of.
    """
    names = [_named(terms, some, PARTS) for terms, some in zip(typical, kinds, strict=True)]
    for extra in (1, 2):
        counts = Counter(names)
        for number, name in enumerate(names):
            if counts[name] > 1:
                names[number] = _named(typical[number], kinds[number], PARTS + extra)
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def _named(terms: Sequence[Term], kinds: Sequence[str], most: int) -> str:
    """The most typical terms that say different things, the kind first."""
    common = {term.field: term.value for term in terms if term.field in LEVELS}
    kind = common.get("kind") or common.get("section") or " / ".join(kinds) or common.get("department", "")
    parts = {"kind": kind}
    said = parts["kind"].casefold()
    for term in terms:
        if len(parts) >= most or term.field in (*LEVELS, *UNSAID, *parts):
            continue
        words = [_stem(word) for word in tokens(term.value)]
        if all(word in said for word in words):
            continue
        parts[term.value if term.field == "word" else term.field] = term.value
        said += f" {term.value.casefold()}"
    order = sorted(parts, key=lambda field: ORDER.index(field) if field in ORDER else len(ORDER))
    return ", ".join(parts[field] for field in order if parts[field]) or "mixed"


def _stem(word: str) -> str:
    """A word without what makes it a plural, so that a name does not say ``Shirts, shirt``."""
    return word.removesuffix("es").removesuffix("s")
