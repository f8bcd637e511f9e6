"""Rules of the shop: added, listed, looked at before they go live, removed. ``store.rules``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapel.core.errors import InputError
from lapel.core.types import Query, SearchResult
from lapel.engine.context import StoreContext
from lapel.engine.recommend.asking import RowQuery
from lapel.engine.retrieval import SearchEngine
from lapel.engine.rules import AMOUNT, GivenRules, Rule, RuleBook
from lapel.service.asking import Where, filter_of
from lapel.service.recommend import RowService


@dataclass(frozen=True)
class RulePreview:
    """What a rule would do.

    Attributes:
        products: Products that it is about.
        before: An answer as it is now; None where none was asked for.
        after: The same with the rule.
    """

    products: int
    before: SearchResult | None
    after: SearchResult | None


class RuleService:
    """The rules of one store. Safe to share between threads."""

    def __init__(self, context: StoreContext, book: RuleBook, engine: SearchEngine, rows: RowService) -> None:
        self._context = context
        self._book = book
        self._engine = engine
        self._rows = rows

    def add(self, rule: Rule) -> bool:
        """Let a rule hold from now on, in every process, in place of one of the same name. Returns whether there was
        one.

        Raises:
            QueryError: its filter names a field that no product has.
        """
        self._context.catalog.count(rule.where)
        return self._book.put(rule)

    def list(self) -> tuple[Rule, ...]:
        """Every rule, in the order they were made."""
        return self._book.rules()

    def remove(self, name: str) -> None:
        """Let a rule hold no more.

        Raises:
            InputError: there is none of this name.
        """
        if not self._book.remove(name):
            known = ", ".join(f"'{rule.name}'" for rule in self._book.rules())
            raise InputError(f"There is no rule '{name}'. There are: {known or 'none'}.")

    def preview(self, rule: Rule, *, query: Query | None = None, row: RowQuery | None = None) -> RulePreview:
        """What a rule would do, changing nothing.

        Args:
            rule: The rule, kept or not.
            query: A search whose answer is compared.
            row: Or a row.

        Raises:
            QueryError: its filter names a field that no product has.
        """
        products = self._context.catalog.count(rule.where)
        kept = [each for each in self._book.rules() if each.name != rule.name]
        trial = GivenRules(self._context.catalog, (*kept, rule))
        if query is not None:
            after = SearchEngine(self._context, rules=trial).search(query)
            return RulePreview(products, self._engine.search(query), after)
        if row is not None:
            return RulePreview(products, self._rows.look_at(row), self._rows.look_at(row, trial))
        return RulePreview(products, None, None)


def made_rule(
    name: str,
    action: str,
    where: Where,
    *,
    places: Sequence[str] = (),
    since: str = "",
    until: str = "",
    amount: float = AMOUNT,
) -> Rule:
    """A rule as programs write it; see :class:`lapel.engine.rules.Rule`.

    Raises:
        InputError: something of it cannot be.
    """
    return Rule(name, action, filter_of(where), tuple(places), since, until, amount)
