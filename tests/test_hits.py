"""Hits that are made when they are looked at are those that would have been made at once."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from lapel.core.types import EmbeddedQuery, Hit, Matches, Photo, Product, Query, SearchResult, Verdict
from lapel.engine.calibration import Told
from lapel.engine.grouping import Grouper, PhotoNumbers, first_piece, one_each
from lapel.engine.hits import FoundHits
from lapel.engine.ordering import Candidates

ENTRY = Product("p"), Photo(7, "p", "file:///p.jpg", "00")
NOTHING = EmbeddedQuery(np.zeros(4, np.float32), "", (), np.zeros((0, 4), np.float32))


def found(*keys: int) -> FoundHits:
    scores = np.linspace(0.9, 0.5, len(keys), dtype=np.float32)
    return FoundHits(np.array(keys), scores, np.zeros_like(scores), {7: ENTRY, 8: ENTRY})


def test_a_result_makes_its_hits_once() -> None:
    made = []

    def make() -> tuple[Hit, ...]:
        made.append(1)
        return found(7, 8)()

    result = SearchResult(make, 2, Verdict.FOUND, NOTHING)  # type: ignore[arg-type]
    assert made == []
    assert (len(result), result[0].rank, result.hits is result.hits) == (2, 1, True)
    assert made == [1]
    again = SearchResult(found(7, 8), 2, Verdict.FOUND, NOTHING)  # type: ignore[arg-type]
    assert again == result
    for same in (pickle.loads(pickle.dumps(again)), copy.copy(again), replace(again, total=3)):
        assert same == result
        assert type(same.hits) is tuple
    unseen = SearchResult(found(7, 8), 2, Verdict.FOUND, NOTHING)  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(unseen)) == result  # what makes them is not pickled


def test_what_is_said_of_hits_comes_from_their_part_of_the_batch() -> None:
    told = Told(
        np.array([3, 0, 2]),
        (Verdict.SAME_PRODUCT, Verdict.SAME_KIND),
        np.array([[0.1, 0.2], [0.7, 0.8], [0.3, 0.9]]),
    )
    hits = found(8, 7)
    hits.judge(told, 1, 3)
    one, two = hits()
    assert (one.verdict, one.probability) == (Verdict.SAME_PRODUCT, 0.8)
    assert (two.verdict, two.probability) == (Verdict.SAME_KIND, 0.9)
    assert two.probabilities == {Verdict.SAME_PRODUCT: 0.3, Verdict.SAME_KIND: 0.9}
    before = FoundHits.of([replace(hit, probability=None, verdict=None, probabilities={}) for hit in hits()])
    before.judge(told, 1, 3)
    assert before() == hits()


@pytest.mark.parametrize("seed", range(20))
def test_batches_are_grouped_as_each_query_alone(seed: int) -> None:
    """Products with several photos, the same bytes under several products, products left out, photos that are gone."""
    rng, numbers, grouper = np.random.default_rng(seed), PhotoNumbers(), Grouper(None)  # type: ignore[arg-type]
    plain = 0
    for change in range(4):
        entries = {}
        for key in range(1, 41):
            product, content = int(rng.integers(60)), int(rng.integers(80))
            photo = Photo(key, f"p{product}", f"file:///{key}.jpg", f"{content:064d}")
            entries[key] = (Product(f"p{product}"), photo)
        for part in range(3):  # of one state of the catalogue
            there = {key: entry for key, entry in entries.items() if not part or key % 13 != part}
            count = int(rng.integers(1, 6))
            excluded = [frozenset({f"p{rng.integers(60)}"} if rng.random() < 0.5 else ()) for _ in range(30)]
            keys = np.stack([rng.permutation(40)[: count + 2] + 1 for _ in excluded])
            scores = -np.sort(-rng.random(keys.shape).astype(np.float32), axis=1)
            added = rng.random(keys.shape).astype(np.float32)
            asked = {key: there[key] for key in np.unique(keys).tolist() if key in there}
            hits = one_each(Matches(keys, scores), added, np.full(len(keys), count), excluded, asked, change, numbers)
            for row, each in enumerate(hits):
                first = first_piece(count, excluded[row])
                candidates = Candidates(keys[row, :first], scores[row, :first], added[row, :first])
                if each is not None:
                    plain += 1
                    wanted = grouper.group(candidates, count, Query(text="any"), excluded[row], there)
                    assert each() == wanted()
                    assert len(each) == count
                elif all(key in there for key in candidates.keys.tolist()):  # it was not plain indeed
                    photos = [there[key][1] for key in candidates.keys.tolist()]
                    others = [photo.product_id for photo in photos if photo.product_id not in excluded[row]][:count]
                    hashes = {photo.sha256 for photo in photos}
                    assert len(set(others)) < count or len(hashes) < len(photos)
    assert plain > 50
