"""Reranking by the look: the colours of a query's image against the stored palettes, and what its neighbours are.

The vectors of people's photos say what kind of thing it is and say little of its colour. So a few hundred candidates
get, beside their cosine, three terms:

- *colour by name*: what the store calls such colours. From the palettes and the colour field of all its products
  follows how likely each cell of CIELAB is under each of the store's own names (a naive Bayes classifier whose classes
  weigh the same), so that skin and jeans in pictures of shirts, which stand beside every colour, cancel out. Each
  further product of one name gets a little less, so that a photo that may be grey or white finds both.
- *colour by palette*: how much the product's palette overlaps with the query's histogram, as a normalised inner product
  of densities. Alone, where the store names no colours.
- *evidence of neighbours*: kinds and genders that are rare among the nearest by cosine are unlikely, whatever their
  colour; this keeps colour from buying another kind.

Where the nearest stands out, it is the very product, in whatever light: then the order stays the cosine's.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import Catalog
from lapel.core.colours import ColourReading
from lapel.core.vectors import Keys
from lapel.engine.colours import CELL, GRID, cells_of, smoothed
from lapel.engine.features import PALETTE
from lapel.engine.palette import MAX_COLOURS

CANDIDATES = 400  # photos that are reranked at least
ON_WHITE_SCALE = 0.0  # of all three for pictures on white, whose vectors know their colours already
SURE_CONFIDENCE = 0.5  # from which on a photo's colours count in full; down to
UNSURE_SCALE = 0.5  # at none
EVIDENCE_SCALE = 0.1  # of cosine: how fast neighbours lose weight as evidence below the nearest
EVIDENCE_FLOOR = 0.02  # probability that everything keeps
# What stands out is the product itself: from which cosine to which, and how much of it above the tenth nearest.
ITSELF = ((0.65, 0.75), (0.06, 0.10))  # a candidate: it keeps its place before the others
ITSELF_THERE = ((0.75, 0.85), (0.08, 0.14))  # the nearest: then the vector knows the colours, and the look counts less
ITSELF_RANK = 10
NAME_DECAY = 0.85  # of the term by name for each better candidate of the same name, up to
MAX_DECAYS = 4  # times: where several names are about as likely, the first answers show each of them
MIN_PRODUCTS = 20  # with a name of a colour, before the store is taken to know what it looks like
COMMON_SHARE = 0.8  # of the mean of all names that is taken off each: skin, jeans and shadows stand beside every colour
NO_NAME = 1e-4  # density in each cell of colours without a name: what no name explains speaks for none
SMOOTHING = 20.0  # palettes that each name is given of the mean beside its own
NAME_SIGMA = (0.7, 0.7, 0.7)  # cells, of the names' densities
PALETTE_SIGMA = 12.0  # CIELAB, of the palettes' densities, after which lightness counts
PALETTE_LIGHTNESS = 0.6  # as much as this


@dataclass(frozen=True)
class LookWeights:
    """What each term counts, in units of cosine.

    Attributes:
        name: For products of the likeliest name of a colour over those of the unlikeliest.
        palette: For equal palettes over those that share nothing.
        category: For each factor e of probability by the neighbours' categories,
        gender: and by their genders.
    """

    name: float = 0.5
    palette: float = 0.2
    category: float = 0.12
    gender: float = 0.1


CALIBRATED = LookWeights()


@dataclass(frozen=True)
class Column:
    """A field of products, or of every photo's product.

    Attributes:
        values: The different ones; the first is empty, for products without.
        of: (n,) int32 the number of each one's.
    """

    values: tuple[str, ...]
    of: NDArray[np.int32]

    @classmethod
    def read(cls, texts: Sequence[str]) -> Column:
        """The column of n texts."""
        numbers = {"": 0}
        of = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), np.int32, len(texts))
        return cls(tuple(numbers), of)


@dataclass(frozen=True)
class LookTable:
    """What reranking knows of every photo of a store at one generation, in memory: 24 + 20 bytes a photo.

    Attributes:
        generation: Of the catalogue.
        keys: (n,) int64 photo keys, rising.
        rows: (n,) int64 the number of each photo's product.
        palettes: (n, 6, 4) uint8 as :func:`lapel.engine.palette.palettes` codes them; zeros where there are fewer
            colours or none is known.
        columns: ``colour``, ``category`` and ``gender``.
        names: (colours, cells) float32, how likely each name is in each cell; empty where the store has too few.
        known: (colours,) bool, which names the store knows the look of.
    """

    generation: int
    keys: Keys
    rows: NDArray[np.int64]
    palettes: NDArray[np.uint8]
    columns: dict[str, Column]
    names: NDArray[np.float32]
    known: NDArray[np.bool_]


class LookReranker:
    """Orders candidates by their look. Safe to share between threads.

    Args:
        catalog: The store's.
        weights: What each term counts.

    Attributes:
        catalog: The store's.
    """

    def __init__(self, catalog: Catalog, weights: LookWeights) -> None:
        self.catalog = catalog
        self._weights = weights
        self._lock = threading.Lock()
        self._table: LookTable | None = None

    def table(self, generation: int) -> LookTable:
        """What is known at a generation of the catalogue, read again when it has another one (0.3 s for 40,000)."""
        with self._lock:
            if self._table is None or self._table.generation != generation:
                self._table = read_table(self.catalog, generation, self._table)
            return self._table

    def reading(self, generation: int, key: int) -> ColourReading | None:
        """The colours of a stored photo as those of a query: its palette, and of it mostly what its product's name of a
        colour explains, as shops' pictures show people too; None where no palette is known."""
        table = self.table(generation)
        at, there = places_of(table, np.array([key], np.int64))
        if not there.any() or not table.palettes[at[0]].any():
            return None
        lab, shares = decoded_palettes(table.palettes[at[0]])
        found = np.bincount(cells_of(lab), shares, minlength=int(np.prod(GRID)))
        name = int(table.columns["colour"].of[at[0]])
        if table.known[name]:
            own = found * table.names[int(table.known[:name].sum())]
            found = own if own.any() else found
        return ColourReading((), 1.0, (found / found.sum()).astype(np.float32), on_white=True)

    def adjustments(
        self,
        generation: int,
        keys: Keys,
        scores: NDArray[np.float32],
        reading: ColourReading,
        *,
        scale: float,
        itself: bool = True,
    ) -> NDArray[np.float32]:
        """What to add to the cosines of candidates.

        Args:
            generation: The catalogue's.
            keys: (n,) photo keys, the nearest first.
            scores: (n,) their cosines.
            reading: The colours of the query's image.
            scale: How much colours count, above 0; 1 is what was calibrated.
            itself: Whether what stands out is the very product, which then keeps its place.

        Returns:
            (n,) float32, about -0.6..0.7; zeros where the very product was found.
        """
        table, weights = self.table(generation), self._weights
        scale *= UNSURE_SCALE + (1 - UNSURE_SCALE) * min(1.0, reading.confidence / SURE_CONFIDENCE)
        if itself:
            scale *= 1 - float(_standing_out(scores[:1], scores, ITSELF_THERE)[0])
        if not len(table.keys) or not scale:
            return np.zeros_like(scores)
        at = np.minimum(np.searchsorted(table.keys, keys), len(table.keys) - 1)
        known = table.keys[at] == keys
        added = scale * weights.palette * _by_palette(table, at, reading)
        for field, weight in (("category", weights.category), ("gender", weights.gender)):
            added += scale * weight * _evidence(table.columns[field].of[at], len(table.columns[field].values), scores)
        by_name = scale * weights.name * _by_name(table, at, reading.histogram)
        places = _places(table.columns["colour"].of[at], scores + added + by_name)
        added += by_name * NAME_DECAY ** np.minimum(places, MAX_DECAYS)
        added = np.asarray(np.where(known, added, added.min()), np.float32)
        if not itself:
            return added
        return np.asarray(added + _standing_out(scores, scores, ITSELF) * (added.max() - added), np.float32)


def read_table(catalog: Catalog, generation: int, before: LookTable | None = None) -> LookTable:
    """The table of a catalogue as it is now; palettes that ``before`` has are not read again, as a photo's key stands
    for the same bytes for ever."""
    keys, product_rows, texts = catalog.photo_columns()
    palettes = np.zeros((len(keys), MAX_COLOURS, 4), np.uint8)
    fresh = np.ones(len(keys), bool)
    if before is not None and len(before.keys) and len(keys):
        at = np.minimum(np.searchsorted(before.keys, keys), len(before.keys) - 1)
        fresh = (before.keys[at] != keys) | ~before.palettes[at].any(axis=(1, 2))
        palettes[~fresh] = before.palettes[at[~fresh]]
    rows = np.flatnonzero(fresh)
    stored = catalog.features.get(*PALETTE.key, keys[rows].tolist())
    for row, key in zip(rows.tolist(), keys[rows].tolist(), strict=True):
        data = stored.get(key)
        if data is not None:
            palettes[row].reshape(-1)[: len(data)] = np.frombuffer(data, np.uint8)
    columns = {name: Column.read(values) for name, values in texts.items()}
    names, known = _name_table(palettes, columns["colour"])
    return LookTable(generation, keys, product_rows, palettes, columns, names, known)


def decoded_palettes(palettes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(..., 4) coded colours -> (..., 3) CIELAB and (...) shares, which sum to 1 where there is a palette."""
    coded = palettes.astype(np.float32)
    lab = np.stack([coded[..., 0] / np.float32(2.55), coded[..., 1] - 128, coded[..., 2] - 128], axis=-1)
    shares = coded[..., 3] / np.maximum(coded[..., 3].sum(axis=-1, keepdims=True), 1)
    return lab, shares


def _name_table(palettes: NDArray[np.uint8], colour: Column) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """How likely each of a store's names of colours is in each cell, and which names it knows the look of."""
    cells, names = int(np.prod(GRID)), len(colour.values)
    lab, shares = decoded_palettes(palettes)
    flat = colour.of.astype(np.int64)[:, None] * cells + cells_of(lab)
    counts = np.bincount(flat.ravel(), shares.ravel(), minlength=names * cells).reshape(names, cells)
    products = counts.sum(axis=1)
    known = products >= MIN_PRODUCTS
    known[0] = False  # those without a name
    if known.sum() < 2:
        return np.zeros((0, cells), np.float32), np.zeros(names, bool)
    density = smoothed(counts[known], NAME_SIGMA)
    mean = density.sum(axis=0) / density.sum()
    density = (density + SMOOTHING * mean) / (density.sum(axis=1, keepdims=True) + SMOOTHING)
    own = np.maximum(density - COMMON_SHARE * density.mean(axis=0), 1e-6)
    return (own / (own.sum(axis=0) + NO_NAME)).astype(np.float32), known


def _by_name(table: LookTable, at: NDArray[np.int64], histogram: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) 0..1: how likely the name of each photo's product is, the likeliest 1, or less where no name explains what
    is seen; by its palette where it has none."""
    if not len(table.names):
        return np.zeros(len(at), np.float32)
    likely = table.names @ histogram
    likely *= likely.sum() / likely.max()
    named = np.zeros(len(table.known), np.float32)
    named[table.known] = likely
    colours = table.columns["colour"].of[at]
    found: NDArray[np.float32] = named[colours]
    without = np.flatnonzero(~table.known[colours])
    if len(without):
        lab, shares = decoded_palettes(table.palettes[at[without]])
        field = table.names[:, cells_of(lab).ravel()].T @ likely
        found[without] = (field.reshape(shares.shape) * shares).sum(axis=1)
    return found


def _by_palette(table: LookTable, at: NDArray[np.int64], reading: ColourReading) -> NDArray[np.float32]:
    """(n,) 0..1: the normalised inner product of two densities over CIELAB."""
    lab, shares = decoded_palettes(table.palettes[at])
    spread = PALETTE_SIGMA / CELL
    sigma = (spread / PALETTE_LIGHTNESS, spread, spread)
    blurred = smoothed(reading.histogram, sigma)
    blurred *= np.float32((2 * np.pi) ** 1.5 * np.prod(sigma))  # a kernel that is 1 at distance 0
    own = float(reading.histogram @ blurred)
    with_query = (blurred[cells_of(lab)] * shares).sum(axis=1)
    scaled = lab * np.array([PALETTE_LIGHTNESS, 1, 1], np.float32) / np.float32(PALETTE_SIGMA)
    squares = (scaled**2).sum(axis=-1)
    apart = squares[:, :, None] + squares[:, None] - 2 * scaled @ scaled.transpose(0, 2, 1)
    itself = np.einsum("ni,nij,nj->n", shares, np.exp(-np.maximum(apart, 0) / 2), shares)
    return np.asarray(with_query / np.sqrt(np.maximum(itself * own, 1e-12)), np.float32)


def places_of(table: LookTable, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(n,) where photo keys stand in a table, and which of them do."""
    at = np.minimum(np.searchsorted(table.keys, keys), len(table.keys) - 1)
    return at, table.keys[at] == keys if len(table.keys) else np.zeros(len(keys), bool)


def _standing_out(
    values: NDArray[np.float32], scores: NDArray[np.float32], ranges: tuple[tuple[float, float], tuple[float, float]]
) -> NDArray[np.float32]:
    """(n,) 0..1: how surely cosines are those of the very product, among ``scores``, the highest first."""
    (low, high), (near, far) = ranges
    above = values - scores[min(ITSELF_RANK, len(scores) - 1)]
    found = np.clip((values - low) / (high - low), 0, 1) * np.clip((above - near) / (far - near), 0, 1)
    return np.asarray(found, np.float32)


def _places(groups: NDArray[np.int32], values: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n,) how many of the same group have a higher value."""
    order = np.lexsort((-values, groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    places = np.empty(len(values), np.int64)
    places[order] = np.arange(len(values)) - np.repeat(starts, np.diff(starts, append=len(values)))
    return places


def _evidence(values: NDArray[np.int32], count: int, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) log probability of each candidate's value among the nearest by cosine, the likeliest 0."""
    near = scores[:CANDIDATES]
    weights = np.exp((near - near.max()) / EVIDENCE_SCALE)
    share = np.bincount(values[: len(near)], weights, minlength=count)
    log = np.log(share / share.sum() + EVIDENCE_FLOOR)
    return np.asarray((log - log.max())[values], np.float32)
