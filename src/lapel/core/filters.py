"""Conditions on products, as data and never as SQL text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from lapel.core.errors import QueryError
from lapel.core.text import fold


@dataclass(frozen=True)
class Condition:
    """One thing a product must fulfil: a field, an operator and the values that will do.

    Attributes:
        field: A product's field or attribute.
        operator: ``=``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.
        values: Alternatives for ``=`` (any of them) and ``!=`` (none of them); one number for the others.
    """

    field: str
    operator: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.operator not in ("=", "!=", "<", "<=", ">", ">="):
            raise QueryError(f"A filter compares with = != < <= > >=; found '{self.operator}'.")
        if not self.field or not self.values or "" in self.values:
            raise QueryError("A filter needs a field and a value, such as gender=Women or price<2000.")
        if self.operator not in ("=", "!="):
            _ = self.number

    @property
    def amounts(self) -> tuple[tuple[str, str], ...]:
        """Each value of a price as number and currency: ``100 EUR`` and ``100EUR`` are 100 and EUR, and 100 has no
        currency."""
        found = (re.fullmatch(r"(.*[0-9.])\s*([A-Za-z]{3})", value) for value in self.values)
        return tuple(
            (match[1], match[2].upper()) if match else (value, "")
            for value, match in zip(self.values, found, strict=True)
        )

    @property
    def number(self) -> float:
        """The one number of a range; a price's may have a currency after it."""
        try:
            value = Decimal(self.amounts[0][0] if fold(self.field) == "price" else self.values[0])
            if len(self.values) != 1 or not value.is_finite():
                raise InvalidOperation
        except InvalidOperation as error:
            raise QueryError(
                f"The filter {self} compares with one number; found '{'|'.join(self.values)}'. Write for example"
                f" price<2000."
            ) from error
        return float(value)

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{'|'.join(self.values)}"


@dataclass(frozen=True)
class Filter:
    """Conditions that must all hold. Data, never SQL text."""

    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Filter:
        """Read texts such as ``gender=Women``, ``price<2000`` or ``colour=Black|Navy`` (either).

        Raises:
            QueryError: a text without field, operator or value, or a range that is not a number.
        """
        if texts is None:
            raise QueryError("A filter is texts such as gender=Women or price<2000; found None.")
        return cls(tuple(cls._parse_one(text) for text in ([texts] if isinstance(texts, str) else texts)))

    @staticmethod
    def _parse_one(text: str) -> Condition:
        match = re.fullmatch(r"\s*([^<>=!]+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", text)
        if not match:
            raise QueryError(
                f"The filter '{text}' is not understood. Write field=value, such as gender=Women or price<2000."
            )
        return Condition(match[1], match[2], tuple(value.strip() for value in match[3].split("|")))

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))


NO_FILTER = Filter()  # every product passes it
