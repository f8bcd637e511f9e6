"""What to show next: rows of recommendations, the feed of substitutes, and how rows are made. ``store.recommend``,
``store.rows``."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapel.core.errors import InputError, QueryError, SourceError
from lapel.core.text import reason_of
from lapel.core.types import SearchResult
from lapel.engine.context import StoreContext
from lapel.engine.models import models_of
from lapel.engine.recommend.asking import AUTO, SETTING, RowQuery, RowSettings
from lapel.engine.recommend.recommender import Recommender
from lapel.engine.retrieval import SearchEngine
from lapel.engine.rules import GivenRules, Rule, RuleBook
from lapel.service.asking import Where, filter_of

if TYPE_CHECKING:
    from lapel.engine.recommend.blend import Blend
    from lapel.insight.replay import Policy, ReplayReport

CURRENT = "current"  # the policy that is in force
Progress = Callable[[int, int | None], None]
FEED_COLUMNS = ("product", "substitutes")


@dataclass(frozen=True)
class SubstituteReport:
    """What a feed of substitutes holds.

    Attributes:
        products: Products that need some.
        without: Of those, how many there are none for.
        written: Rows that were written.
    """

    products: int
    without: int
    written: int


class RowService:
    """Rows of one store. Safe to share between threads."""

    def __init__(self, context: StoreContext, engine: SearchEngine, rules: RuleBook) -> None:
        self._context = context
        self._engine = engine
        self._rules = rules
        self._recommender = Recommender(context, engine, rules)

    def recommend(
        self,
        *,
        person: str | None,
        product_id: str | None,
        basket: Iterable[str],
        kind: str | None,
        k: int,
        where: Where,
        exclude: Iterable[str],
        seed: int | None,
        keep_margin: bool,
    ) -> SearchResult:
        """One row, see :meth:`lapel.Store.recommend`."""
        return self._recommender.recommend(
            RowQuery(
                kind or _usual_kind(person, product_id, basket),
                person or "",
                product_id or "",
                _ids(basket, "basket"),
                k,
                filter_of(where),
                frozenset(_ids(exclude, "exclude")),
                seed,
                keep_margin,
            )
        )

    def look_at(self, asked: RowQuery, rules: RuleBook | None = None) -> SearchResult:
        """A row that nobody is shown, so that it is not logged; with other rules than those that are kept."""
        return self._recommender.recommend(asked, shown=False, rules=rules)

    def flush(self) -> None:
        """Write the lists that were shown and wait to be kept, for a second at most."""
        self._recommender.flush()

    def close(self) -> None:
        """Write what waits."""
        self._recommender.close()

    @property
    def settings(self) -> RowSettings:
        """How rows are made."""
        return self._recommender.settings

    def configure(self, values: Mapping[str, Any]) -> RowSettings:
        """Change how rows are made from now on, in every process; what is not named is as usual.

        Raises:
            InputError: a name or a value that cannot be; nothing was changed.
        """
        made = RowSettings.of(values)
        self._context.catalog.set_setting(SETTING, json.dumps(made.to_json()))
        return made

    def tune(self) -> Blend:
        """Find out now how much others should count in rows for people, with ``collaborative`` on ``auto``: the last
        products of some people are held out, and the weight is taken that finds most of them. It is done by itself too,
        whenever there are half as many events more.

        Raises:
            StoreReadOnlyError: the store is open for reading.
        """
        return self._recommender.tune()

    def replay(
        self,
        old: str | Path,
        new: str | Path,
        *,
        days: float = 30.0,
        rewards: Sequence[str] = (),
        most: int | None = None,
        progress: Progress | None = None,
    ) -> ReplayReport:
        """Estimate from the lists that were shown what another way of making rows would have earned.

        Args:
            old: ``current``, or a JSON file with ``settings``, ``rules`` and ``model`` as they would be. The model is
                one that has vectors here, by its name or fingerprint, such as the one before.
            new: Another such.
            days: How far back the log is read.
            rewards: Kinds of events that count: view, like, cart and buy by default.
            most: Lists at most, the newest; 2,000 by default.
            progress: Called with the lists done, and how many there are.

        Raises:
            SourceError, InputError: a file that cannot be read, or a setting or rule that cannot be.
        """
        from lapel.insight import replay

        self.flush()
        policies = self._policy(old), self._policy(new)
        return replay.replay(
            self._context,
            policies,
            since=time.time() - 86_400 * days,
            rewards=rewards or replay.POSITIVE,
            most=most or replay.MOST,
            progress=progress,
        )

    def _policy(self, source: str | Path) -> Policy:
        from lapel.insight.replay import Policy

        if str(source) == CURRENT:
            return Policy(CURRENT, self.settings, self._rules, self._recommender)
        try:
            told = json.loads(Path(source).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SourceError(
                f"A policy is 'current' or a JSON file; '{source}' cannot be read: {reason_of(error)}."
            ) from error
        if not isinstance(told, dict) or set(told) - {"settings", "rules", "model"}:
            raise InputError(
                "A policy has 'settings', 'rules' and 'model', such as {\"settings\": {\"popularity\": 0.2}}:"
                f" {source}"
            )
        settings = RowSettings.of({**self.settings.to_json(), **told.get("settings", {})})
        rules: RuleBook = self._rules
        if "rules" in told:
            rules = GivenRules(self._context.catalog, [Rule.of(each) for each in told["rules"]])
        recommender = self._recommender
        if "model" in told and (model := self._model(told["model"])) != self._context.model.fingerprint:
            recommender = Recommender(self._context, self._engine, self._rules, model)
        return Policy(str(source), settings, rules, recommender)

    def _model(self, name: object) -> str:
        """The fingerprint of a model that has vectors here, by that or by its name."""
        known = [each.model for each in models_of(self._context)]
        found = next((each for each in known if name in (each.fingerprint, each.name)), None)
        if found is None:
            names = ", ".join(f"{each.name} ({each.fingerprint})" for each in known)
            raise InputError(f"No model '{name!s:.60}' has vectors here; {names} have. 'lapel model use' makes them.")
        return found.fingerprint

    def write_substitutes(
        self,
        out: str | Path,
        *,
        k: int = 5,
        where: Where | None = None,
        since: str | Path | None = None,
        keep_margin: bool = False,
        progress: Progress | None = None,
    ) -> SubstituteReport:
        """Write for every product that is sold out what can be sold in its place, as a CSV.

        Args:
            out: The file; an earlier one is replaced when all of it is written.
            k: How many for each.
            where: The products that need some; all that are sold out by default.
            since: An earlier feed: only what changed is written, an empty row for what needs none any more.
            keep_margin: Only such with at least the product's margin.
            progress: Called with the products done, and how many there are.

        Raises:
            SourceError: ``since`` is no such feed; InputError: ``out`` cannot be written.
        """
        before = {} if since is None else _read_feed(Path(since))
        chosen = None if where is None else filter_of(where)
        feed = self._recommender.substitutes(k, chosen, keep_margin=keep_margin, progress=progress)
        counts: Counter[str] = Counter()
        path = Path(out)
        part = path.with_name(path.name + ".part")
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(FEED_COLUMNS)
                for row in feed:
                    counts["products"] += 1
                    counts["without"] += not row.substitutes
                    told = "|".join(row.substitutes)
                    if since is None or before.pop(row.product_id, None) != told:
                        rows.writerow((row.product_id, told))
                        counts["written"] += 1
                for product_id, told in before.items():
                    if told:
                        rows.writerow((product_id, ""))
                        counts["written"] += 1
        except OSError as error:
            raise InputError(f"'{path}' cannot be written: {reason_of(error)}.") from error
        part.replace(path)
        return SubstituteReport(counts["products"], counts["without"], counts["written"])


def read_row_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Settings as people write them, such as ``explore=0.05`` and ``log=false``.

    Raises:
        InputError: one that is not so.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            if not equals:
                raise ValueError
            told = value.strip().casefold()
            found[name.strip()] = told if told == AUTO else json.loads(told)
        except ValueError as error:
            raise InputError(f"A setting is written such as explore=0.05 or log=false; found '{text[:60]}'.") from error
    return found


def _read_feed(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise SourceError(f"'{path}' cannot be read: {reason_of(error)}.") from error
    if not rows or tuple(rows[0]) != FEED_COLUMNS or any(len(row) != len(FEED_COLUMNS) for row in rows):
        raise SourceError(f"'{path}' is no feed of substitutes: its columns are {', '.join(FEED_COLUMNS)}.")
    return dict(map(tuple, rows[1:]))  # type: ignore[arg-type]  # pairs, as was checked


def _usual_kind(person: str | None, product_id: str | None, basket: Iterable[str]) -> str:
    """What a row is when nobody says so."""
    if product_id:
        return "similar"
    return "together" if not person and tuple(basket) else "for-you"


def _ids(values: Iterable[str], name: str) -> tuple[str, ...]:
    found = (values,) if isinstance(values, str) else tuple(values)
    if not all(isinstance(each, str) for each in found):
        raise QueryError(f"{name} is several products' ids; found {values!r:.60}.")
    return found
