"""The hits of an answer as columns: batches of queries are grouped and judged without an object for each hit, which is
made when somebody looks at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.types import Hit, Photo, Product, Verdict
from lapel.core.vectors import Keys
from lapel.engine.calibration import JUDGEMENTS, Told

Entries = Mapping[int, tuple[Product, Photo]]
Scores = NDArray[np.float32]
NO_OTHERS: Mapping[int, tuple[str, ...]] = MappingProxyType({})


class FoundHits:
    """What becomes the hits of one answer. Calling it makes them.

    Args:
        keys: (n,) photo keys, best first.
        scores: (n,) float32, their cosines.
        added: (n,) float32, what was added to each.
        entries: Products and photos by key, these among them.
        others: By place, see :attr:`lapel.core.types.Hit.others`.

    Attributes:
        keys: The keys.
        scores: The cosines.
    """

    __slots__ = ("_added", "_entries", "_hits", "_others", "_told", "keys", "scores")

    def __init__(
        self,
        keys: Keys,
        scores: Scores,
        added: Scores,
        entries: Entries,
        others: Mapping[int, tuple[str, ...]] = NO_OTHERS,
    ) -> None:
        self.keys, self.scores = keys, scores
        self._added, self._entries, self._others = added, entries, others
        self._hits: Sequence[Hit] | None = None
        self._told: tuple[Told, int, int] | None = None

    @classmethod
    def of(cls, hits: Sequence[Hit]) -> FoundHits:
        """Of hits that were made."""
        keys, scores = np.array([hit.photo.key for hit in hits], np.int64), np.array([hit.score for hit in hits])
        found = cls(keys, scores.astype(np.float32), scores, {})
        found._hits = hits
        return found

    def __len__(self) -> int:
        return len(self.keys)

    def judge(self, told: Told, begin: int, end: int) -> None:
        """Take in what is said of each: a part of what is said of the hits of many answers."""
        self._told = told, begin, end

    def __call__(self) -> tuple[Hit, ...]:
        """The hits, with what is said of them."""
        said: Sequence[tuple[Any, ...]] = [()] * len(self)
        if self._told is not None:
            told, begin, end = self._told
            verdicts, kind = told.verdicts, told.verdicts.index(Verdict.SAME_KIND)
            rows = zip(told.closest[begin:end].tolist(), told.likely[begin:end].tolist(), strict=True)
            said = [
                (likely[kind], JUDGEMENTS[closest], dict(zip(verdicts, likely, strict=True)))
                for closest, likely in rows
            ]
        if self._hits is not None:
            return tuple([hit.judged(*each) if each else hit for hit, each in zip(self._hits, said, strict=True)])
        entries, others = self._entries, self._others
        columns = zip(self.keys.tolist(), self.scores.tolist(), self._added.tolist(), said, strict=True)
        return tuple(
            [
                Hit(place + 1, score, *entries[key], (), more, others.get(place, ()), *each)
                for place, (key, score, more, each) in enumerate(columns)
            ]
        )
