"""What a row is asked for, and how rows are made in one store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from lapel.core.errors import InputError, QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.types import Filter
from lapel.engine.recommend.choosing import DIVERSITY, MAX_PER_BRAND

KINDS = ("for-you", "similar", "together", "look", "upsell", "substitutes")
MAX_K = 1_000
SETTING = "recommend"  # of the catalogue, JSON
AUTO = "auto"  # the setting ``collaborative``: as the shop's own events say


@dataclass(frozen=True)
class RowQuery:
    """One row that is asked for; see :meth:`lapel.Store.recommend` for the fields.

    Raises:
        QueryError: something of it cannot be understood.
    """

    kind: str
    person: str = ""
    product_id: str = ""
    basket: tuple[str, ...] = ()
    k: int = 10
    where: Filter = NO_FILTER
    exclude: frozenset[str] = frozenset()
    seed: int | None = None
    keep_margin: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise QueryError(f"A row is one of {', '.join(KINDS)}; found '{self.kind!s:.40}'.")
        if isinstance(self.k, bool) or not isinstance(self.k, int) or not 1 <= self.k <= MAX_K:
            raise QueryError(f"k is how many products to recommend, 1 to {MAX_K:,}; found {self.k!r:.40}.")
        if self.kind != "for-you" and not self.seeds:
            raise QueryError(f"A row '{self.kind}' needs a product to stand beside, or a basket. Name one.")

    @property
    def seeds(self) -> tuple[str, ...]:
        """The products it starts from."""
        return tuple(dict.fromkeys(filter(None, (self.product_id, *self.basket))))


@dataclass(frozen=True)
class RowSettings:
    """How a store's rows are made: what replay compares.

    Attributes:
        per_brand: Products of a brand in a row at most.
        diversity: 0..1, how much products of a row should differ.
        popularity: What the most popular product gets over one that nobody looked at in rows for a person, in units of
            cosine.
        dislikes: What is taken off a product that looks just like a disliked one.
        novelty: Share of a for-you row for looks the person has not met.
        collaborative: What the product gets that others like best who like the same, in units of cosine. ``auto``, the
            usual, takes what finds most of what people of this shop did last; 0 leaves it out.
        explore: Share of lists that are drawn at random from the ``pool`` best, so that replay can tell what others
            would have done. 0 is none.
        pool: How many products those are drawn from.
        log: Whether lists are kept for replay.
    """

    per_brand: int = MAX_PER_BRAND
    diversity: float = DIVERSITY
    popularity: float = 0.3
    dislikes: float = 0.3
    novelty: float = 0.05
    collaborative: float | str = AUTO
    explore: float = 0.0
    pool: int = 50
    log: bool = True

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if each.name == "log":
                fine = isinstance(value, bool)
            elif each.name in ("per_brand", "pool"):
                fine = number and value == int(value) and 1 <= value <= MAX_K
            else:
                fine = (number and 0 <= value <= 1) or (each.name == "collaborative" and value == AUTO)
            if not fine:
                raise InputError(f"The setting '{each.name}' of recommendations cannot be {value!r:.40}.")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> RowSettings:
        """Settings from a mapping; what it does not name is as usual.

        Raises:
            InputError: a name or value that cannot be.
        """
        known = {each.name for each in fields(cls)}
        unknown = [name for name in values if name not in known]
        if unknown:
            raise InputError(f"Recommendations have the settings {', '.join(sorted(known))}; found '{unknown[0]}'.")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def read(cls, text: str | None) -> RowSettings:
        """Settings as the catalogue keeps them."""
        return cls.of(json.loads(text)) if text else cls()
