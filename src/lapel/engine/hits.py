"""The hits of an answer as columns: batches of queries are grouped and judged without an object for each hit, which is
made when somebody looks at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

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
        self._told: Told | None = None

    @classmethod
    def of(cls, hits: Sequence[Hit]) -> FoundHits:
        """Of hits that were made."""
        keys, scores = np.array([hit.photo.key for hit in hits], np.int64), np.array([hit.score for hit in hits])
        found = cls(keys, scores.astype(np.float32), scores, {})
        found._hits = hits
        return found

    def __len__(self) -> int:
        return len(self.keys)

    def judge(self, told: Told) -> None:
        """Take in what is said of each."""
        self._told = told

    def __call__(self) -> tuple[Hit, ...]:
        """The hits, with what is said of them."""
        said = self._said()
        if self._hits is not None:
            return tuple(
                [
                    hit if verdict is None else hit.judged(likely, verdict, every)
                    for hit, (likely, verdict, every) in zip(self._hits, said, strict=True)
                ]
            )
        entries, others = self._entries, self._others
        rows = zip(self.keys.tolist(), self.scores.tolist(), self._added.tolist(), said, strict=True)
        return tuple(
            [
                Hit(place + 1, score, *entries[key], (), more, others.get(place, ()), *each)
                for place, (key, score, more, each) in enumerate(rows)
            ]
        )

    def _said(self) -> Sequence[tuple[float | None, Verdict | None, Mapping[Verdict, float] | None]]:
        """Of each hit its probability, verdict and probabilities."""
        if self._told is None:
            return [(None, None, None)] * len(self)
        verdicts, kind = self._told.verdicts, self._told.verdicts.index(Verdict.SAME_KIND)
        return [
            (likely[kind], JUDGEMENTS[closest], dict(zip(verdicts, likely, strict=True)))
            for closest, likely in zip(self._told.closest.tolist(), self._told.likely.tolist(), strict=True)
        ]
