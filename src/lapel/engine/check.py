"""Whether an index holds what the catalogue says, and mending only what it does not.

A store goes in; which keys are missing, which are too many and which have another vector comes out. An index follows
its catalogue by itself; this finds what no rule foresaw, such as a collection that somebody else wrote to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lapel.core.vectors import Keys, Vectors
from lapel.engine.context import StoreContext
from lapel.indexes import VectorIndex

SAMPLE = 1000  # vectors compared by default
BLOCK = 256  # vectors compared at once, each with all of them
# how far from 1 a vector's product with itself may be: an index that keeps 8 bits a number is off by about 0.001
SELF_SCORE_TOLERANCE = 0.005


@dataclass(frozen=True)
class Difference:
    """How an index differs from its catalogue.

    Attributes:
        spec: Which kind of index.
        generation: Of the catalogue.
        wanted: Vectors the index should hold.
        held: Vectors it holds.
        missing: (n,) keys it lacks.
        surplus: (m,) keys it should not have.
        compared: Vectors that were compared, of those it should hold and does.
        other: (l,) keys among them under which it holds another vector.
    """

    spec: str
    generation: int
    wanted: int
    held: int
    missing: Keys
    surplus: Keys
    compared: int
    other: Keys

    @property
    def agrees(self) -> bool:
        """Whether there is none."""
        return not (len(self.missing) or len(self.surplus) or len(self.other))


def check_index(store: StoreContext, *, sample: int = SAMPLE, repair: bool = False, seed: int = 7) -> Difference:
    """Compare the index with the catalogue.

    Args:
        store: The store; nothing of it changes meanwhile.
        sample: Vectors to compare, about; keys are compared all.
        repair: Add what is missing, remove what is too many, replace what is another; then all vectors are compared.
        seed: Decides which vectors are compared.

    Returns:
        What was found, before it was mended.

    Raises:
        IndexUnavailableError: the index is kept elsewhere and does not answer.
        StoreBusyError: the catalogue changes all the time, or another process fills the index.
        OSError: the mended index cannot be written.
    """
    rng = np.random.default_rng(seed)
    none = np.empty(0, np.int64)
    wanted, missing, other, compared = [none], [none], [none], 0
    with store.index_sync.snapshot() as (view, pieces):
        index = view.index
        held = index.keys
        share = 1.0 if repair else sample / max(len(held), 1)
        for keys, vectors in pieces:
            wanted.append(keys)
            there = np.isin(keys, held)
            missing.append(keys[~there])
            chosen = there & (rng.random(len(keys)) < share)
            differ = np.zeros(len(keys), bool)
            differ[chosen] = _differ(index, keys[chosen], vectors[chosen])
            other.append(keys[differ])
            compared += int(chosen.sum())
            if repair and bool((bad := differ | ~there).any()):
                index.add(keys[bad], vectors[bad])
        everything = np.concatenate(wanted)
        surplus = np.setdiff1d(held, everything)
        found = Difference(
            view.version.spec,
            view.version.generation,
            len(everything),
            len(held),
            np.concatenate(missing),
            surplus,
            compared,
            np.concatenate(other),
        )
        if repair and not found.agrees:
            index.remove(surplus)
            store.index_sync.save(view)
    return found


def _differ(index: VectorIndex, keys: Keys, vectors: Vectors) -> np.ndarray:
    """Whether the index holds another vector than this under each key, (n,) bool: then the two's product is not 1."""
    differ = np.zeros(len(keys), bool)
    for at in range(0, len(keys), BLOCK):
        some = keys[at : at + BLOCK]
        matches = index.search(vectors[at : at + BLOCK], len(some), some)
        own = np.where(matches.keys == some[:, None], matches.scores, -np.inf).max(axis=1)
        differ[at : at + BLOCK] = ~(np.abs(own - 1) <= SELF_SCORE_TOLERANCE)
    return differ
