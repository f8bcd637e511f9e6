"""What a person likes, from what they did: several interests, each with the product that stands for it.

The idea is PinnerSage's (Pal et al. 2020, arXiv 2007.03634): Ward clusters of the vectors of what somebody looked at,
cut where merging would cost too much, each cluster with its medoid and how much it counts. Recent and strong events
count more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.catalog.events import BUY, CART, DISLIKE, DISMISS, LIKE, VIEW, History
from lapel.engine.recommend.table import Places, ProductTable

STRENGTH = {VIEW: 1.0, LIKE: 3.0, CART: 4.0, BUY: 5.0}
HALF_LIFE = 14 * 86_400.0  # seconds, counted back from the newest event: who comes back after a year is still known
MOST = 200  # products that are clustered, those that count most
MERGE_DISTANCE = 1.0  # by Ward, up to which clusters of unit vectors are one interest
MAX_INTERESTS = 8
RARE_GENDER = 0.05  # share of a person's products below which a gender is none of theirs


@dataclass(frozen=True)
class Interest:
    """One thing that somebody is interested in.

    Attributes:
        vector: (dim,) float32 of length 1, between its medoid and its mean.
        medoid: Place of the product nearest to all of it.
        weight: How much it counts; those of a person sum to 1.
        kind: Of the strongest event with the medoid.
    """

    vector: NDArray[np.float32]
    medoid: int
    weight: float
    kind: int


@dataclass(frozen=True)
class Profile:
    """What is known of a person.

    Attributes:
        interests: What they are interested in, the strongest first; none where nothing is known.
        liked: (m,) places of what they like,
        weights: (m,) and how much.
        disliked: Places of what they disliked or dismissed.
        seen: Places of all they did something with.
        refused: Places of what must not be shown again: bought, dismissed, disliked.
        genders: (genders,) the share of each of the table's genders in what they like; empty where nothing is known.
        price_band: By currency the 10th and the 90th percentile of the prices of what they like.
    """

    interests: tuple[Interest, ...]
    liked: Places
    weights: NDArray[np.float64]
    disliked: Places
    seen: Places
    refused: Places
    genders: NDArray[np.float64]
    price_band: dict[int, tuple[float, float]]


def read_profile(table: ProductTable, history: History) -> Profile:
    """What a person's history says, among the products of a table."""
    places = table.find_each(history.products)
    known = places >= 0
    places = places[known]
    kinds, at = history.kinds[known], history.at[known]
    disliked = np.unique(places[np.isin(kinds, (DISLIKE, DISMISS))])
    refused = np.union1d(table.find(history.refused), disliked)
    liked, weights, strongest = _liked(places, kinds, at)
    keep = ~np.isin(liked, disliked)
    liked, weights, strongest = liked[keep], weights[keep], strongest[keep]
    most = np.sort(np.argsort(-weights, kind="stable")[:MOST])
    liked, weights, strongest = liked[most], weights[most], strongest[most]
    return Profile(
        find_interests(table, liked, weights, strongest),
        liked,
        weights,
        disliked,
        np.unique(places),
        refused.astype(np.int64),
        _genders(table, liked, weights),
        _bands(table, liked),
    )


def _liked(
    places: Places, kinds: NDArray[np.int64], at: NDArray[np.float64]
) -> tuple[Places, NDArray[np.float64], NDArray[np.int64]]:
    """What somebody likes, each product once, with how much and by which event most."""
    strength = np.array([STRENGTH.get(kind, 0.0) for kind in range(max(STRENGTH) + 1)])[np.minimum(kinds, BUY)]
    strength[kinds == DISMISS] = 0.0
    inside = strength > 0
    if not inside.any():
        return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    places, kinds, at, strength = places[inside], kinds[inside], at[inside], strength[inside]
    strength = strength * np.exp2((at - at.max()) / HALF_LIFE)
    each, index = np.unique(places, return_inverse=True)
    weights = np.bincount(index, strength)
    order = np.argsort(strength, kind="stable")
    strongest = np.zeros(len(each), np.int64)
    strongest[index[order]] = kinds[order]  # the last one written is the strongest
    return each, np.maximum(weights, 1e-9), strongest


def find_interests(
    table: ProductTable, liked: Places, weights: NDArray[np.float64], strongest: NDArray[np.int64]
) -> tuple[Interest, ...]:
    """The interests behind liked products (m,) with their weights (m,)."""
    if not len(liked):
        return ()
    vectors = table.vectors[liked]
    groups = _ward(vectors)
    much = np.bincount(groups, weights)
    found = []
    for group in np.flatnonzero((much > 0) & (much >= np.sort(much)[-MAX_INTERESTS:][0])):
        inside = np.flatnonzero(groups == group)
        own, part = vectors[inside], weights[inside]
        mean = part @ own
        medoid = int(inside[int((own @ mean).argmax())])
        mean /= max(float(np.linalg.norm(mean)), 1e-9)
        vector = mean + vectors[medoid]
        vector /= max(float(np.linalg.norm(vector)), 1e-9)
        found.append(Interest(vector.astype(np.float32), int(liked[medoid]), float(part.sum()), int(strongest[medoid])))
    found.sort(key=lambda each: (-each.weight, each.medoid))
    found = found[:MAX_INTERESTS]
    total = sum(each.weight for each in found)
    return tuple(Interest(each.vector, each.medoid, each.weight / total, each.kind) for each in found)


def _ward(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """(m,) the cluster of each of m unit vectors."""
    if len(vectors) == 1:
        return np.zeros(1, np.int64)
    from scipy.cluster.hierarchy import ward  # takes 0.1 s to load
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import squareform

    # Distances by one matrix product: a fifth of the time that SciPy takes for them.
    squared = 2 - 2 * squareform(vectors @ vectors.T, checks=False).astype(float)
    merges = ward(np.sqrt(np.maximum(squared, 0)))
    # What is merged up to that distance belongs together; SciPy's fcluster says the same, and checks the tree first,
    # which takes longer than making it.
    count, near = len(vectors), np.flatnonzero(merges[:, 2] <= MERGE_DISTANCE)
    parts, made = merges[near, :2].astype(np.int64).ravel(), np.repeat(count + near, 2)
    nodes = 2 * count - 1
    graph = csr_matrix((np.ones(len(parts), np.int8), (parts, made)), (nodes, nodes))
    return np.asarray(connected_components(graph, directed=False)[1][:count], np.int64)


def _genders(table: ProductTable, liked: Places, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(liked):
        return np.empty(0)
    counts = np.bincount(table.genders.of[liked], weights, minlength=len(table.genders.values))
    return np.asarray(counts / counts.sum())


def _bands(table: ProductTable, liked: Places) -> dict[int, tuple[float, float]]:
    prices, currencies = table.prices[liked], table.currencies.of[liked]
    there = ~np.isnan(prices)
    return {
        int(currency): tuple(np.quantile(prices[there & (currencies == currency)], (0.1, 0.9)).tolist())
        for currency in np.unique(currencies[there])
    }
