"""Why a hit is in an answer: what each place of both pictures adds to the score, and what they share in words.

A vector is the mean of the network's spatial map, scaled to length 1, so the cosine of two pictures is a sum over the
places of either: no gradients, no second network, nothing estimated. What the query's places add is their inner product
with the hit's vector; what the hit's places add, that of its places with the query's vector. A query's product that was
cut out has a map of its own, which is laid back where it was found. In words the two are compared by what the catalogue
says of the hit and by the model's probes (:mod:`lapel.encoders.probes`); what is not sure is not told.

Source: Zhou et al. 2016, "Learning Deep Features for Discriminative Localization" (arXiv:1512.04150); Stylianou et al.
2019, "Visualizing Deep Similarity Networks" (arXiv:1901.00536).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lapel.core.answers import Explanation, Map
from lapel.core.errors import ModelError, QueryError, SourceError
from lapel.core.images import decode
from lapel.core.queries import Frame, PlaceMap
from lapel.core.text import fold
from lapel.core.types import EmbeddedQuery, Hit
from lapel.encoders import Encoder
from lapel.encoders.probes import Probe, Probes
from lapel.encoders.segmenter import input_frame
from lapel.engine.context import StoreContext
from lapel.engine.judging import Judge

CELLS = 40  # of a map along the picture's longer side
THUMBNAIL_WIDTH = 360  # of the small image that stands for a photo that is gone


def spread(values: Map, frame: Frame, size: tuple[int, int]) -> Map:
    """A map of one frame -> one over the whole picture, with the same sum.

    Each place's value is shared out over the cells that it covers; what lies beyond the picture, as the padding does,
    goes to the cells at its edge.

    Args:
        values: (h, w) float32.
        frame: Where it lies in the picture, see :attr:`lapel.core.queries.PlaceMap.frame`.
        size: Rows and columns of the new map.

    Returns:
        ``size`` float32.
    """
    left, top, right, bottom = frame
    rows = _shares(values.shape[0], (top, bottom), size[0])
    columns = _shares(values.shape[1], (left, right), size[1])
    return np.asarray(rows @ values.astype(np.float64) @ columns.T, np.float32)


def _shares(count: int, reach: tuple[float, float], cells: int) -> NDArray[np.float64]:
    """(cells, count): which share of each of ``count`` places between two ends falls into each cell of 0..1."""
    edges = np.linspace(*reach, count + 1)
    bounds = np.linspace(0, 1, cells + 1)
    bounds[0], bounds[-1] = -np.inf, np.inf
    low, high = np.maximum(bounds[:-1, None], edges[:-1]), np.minimum(bounds[1:, None], edges[1:])
    return np.asarray(np.maximum(high - low, 0) / np.diff(edges), np.float64)


def cells_of(picture: Image.Image) -> tuple[int, int]:
    """Rows and columns of a map over a picture."""
    longer = max(picture.size)
    return max(1, round(CELLS * picture.height / longer)), max(1, round(CELLS * picture.width / longer))


def place_scores(maps: Sequence[PlaceMap], vector: NDArray[np.float32], size: tuple[int, int]) -> Map:
    """What each place of a picture adds to the inner product of its vector with another: (h, w), which sums to it."""
    total = np.zeros(size, np.float32)
    for each in maps:
        total += spread(np.tensordot(vector, each.values, 1), each.frame, size)
    return total


class Explainer:
    """Explains hits of one store. Safe to share between threads.

    Args:
        store: The store.
        judge: Whose probes say in words what is shared.
    """

    def __init__(self, store: StoreContext, judge: Judge) -> None:
        self._store, self._judge = store, judge

    def explain(self, embedded: EmbeddedQuery, picture: Image.Image | None, hit: Hit) -> Explanation:
        """Why a hit is in the answer to a query.

        Args:
            embedded: The query as it was read.
            picture: The picture that its maps lie over; None where it has none.
            hit: One of its answer's hits.

        Raises:
            ModelError: the store's model has no maps.
            QueryError: the hit's photo is gone, or has no vector of this model.
            SourceError: its picture cannot be read, and there is no thumbnail.
        """
        snapshot = self._store.current()
        encoder = snapshot.encoder
        if not encoder.has_spatial:
            raise ModelError(
                f"The model '{encoder.name}' gives no map of places, so its answers cannot be explained. Use 'default',"
                " 'small' or a folder that 'lapel train' wrote."
            )
        vectors = self._store.catalog.vector_of([hit.photo.key], fingerprint=embedded.fingerprint)
        if embedded.fingerprint != encoder.fingerprint or not len(vectors):
            raise QueryError(
                f"The product '{hit.product.id}' has no vector of the query's model any more. Search again, and explain"
                " a hit of that answer."
            )
        shown, note = self._picture(hit)
        of_hit = _settled(hit_map(encoder, shown, embedded.vector), hit.score)
        query_map = np.zeros((0, 0), np.float32)
        if picture is not None:
            query_map = _settled(_query_map(embedded, picture, vectors[0]), hit.score)
        shared, different = compare(self._judge.of(encoder)[1], embedded, vectors[0], hit)
        return Explanation(query_map, of_hit, shared, different, hit.score, picture, shown, (note,) if note else ())

    def _picture(self, hit: Hit) -> tuple[Image.Image, str]:
        """The hit's picture, and what is to be said of it."""
        try:
            return self._store.image(hit.photo.key), ""
        except (SourceError, OSError) as error:
            sha256 = hit.photo.sha256
            small = self._store.thumbnails.get([sha256], THUMBNAIL_WIDTH).get(sha256)
            if small is None:
                raise SourceError(
                    f"The picture {hit.photo.uri} cannot be read ({error}), and the store has no thumbnail of it. Make"
                    " those with: lapel media thumbnails"
                ) from error
            return decode(small), "the hit's picture is gone: its thumbnail was looked at"


def hit_map(encoder: Encoder, picture: Image.Image, vector: NDArray[np.float32]) -> Map:
    """What each place of a picture adds to its inner product with a vector: (h, w). The encoder has maps."""
    spatial = encoder.embed_pixels(encoder.preprocessing.batch([picture])).spatial
    assert spatial is not None  # the encoder has maps
    values = spatial[0] / max(float(np.linalg.norm(spatial[0].sum(axis=(1, 2)))), 1e-12)
    return place_scores([PlaceMap(values, input_frame(picture, encoder.preprocessing))], vector, cells_of(picture))


def _query_map(embedded: EmbeddedQuery, picture: Image.Image, vector: NDArray[np.float32]) -> Map:
    """The map of the first part with a picture, with what that part counts in the query."""
    at, part = next((at, part) for at, part in enumerate(embedded.parts) if part.maps)
    own = sum(each.values.sum(axis=(1, 2)) for each in part.maps)
    scale = float(embedded.directions[at] @ own)  # a part adds its unit vector times this
    return place_scores(part.maps, vector, cells_of(picture)) * np.float32(scale)


def _settled(values: Map, score: float) -> Map:
    """A map whose sum is the score: what it lacks is spread evenly.

    That is what parts of the query without a picture add, and the rounding of stored vectors, or of a thumbnail.
    """
    lacking = score - float(values.sum(dtype=np.float64))
    return np.asarray(values + np.float32(lacking / values.size), np.float32)


# --- in words ---------------------------------------------------------------------------------------------------------


def compare(
    probes: Probes, embedded: EmbeddedQuery, vector: NDArray[np.float32], hit: Hit
) -> tuple[list[str], list[str]]:
    """What a query and a hit share and in what they differ, in words; only of attributes that are sure enough on both
    sides.

    Args:
        probes: The model's.
        embedded: The query.
        vector: (dim,) float32, the hit's.
        hit: The hit; what the catalogue says of it counts more than a probe.
    """
    on_white = asked_on_white(embedded)
    shared: list[tuple[float, str]] = []
    different: list[tuple[float, str]] = []
    for probe in probes.values():
        asked = probe.read(embedded.vector, on_white=on_white)
        found = _of_hit(probe, vector, hit)
        if asked is None or not found:
            continue
        value, sure = asked
        if fold(value) == fold(found):
            shared.append((-sure, f"{probe.name}: {found}"))
        elif _known(probe, found):
            different.append((-sure, f"{probe.name}: {found}, the query {value}"))
    return [text for _, text in sorted(shared)], [text for _, text in sorted(different)]


def asked_on_white(embedded: EmbeddedQuery) -> bool:
    """Whether a query looks like a shop's own picture: products and vectors do, photos of people do not."""
    return all(part.on_white for part in embedded.parts)


def _of_hit(probe: Probe, vector: NDArray[np.float32], hit: Hit) -> str:
    """What the catalogue says, else the probe; empty where neither does."""
    product = hit.product
    own = {"kind": product.category[-1] if product.category else "", "colour": product.colour}
    own |= {"gender": product.gender, "season": product.season}
    said = own.get(probe.name) or product.attributes.get(probe.name, "")
    if said:
        return said
    read = probe.read(vector, on_white=True)
    return "" if read is None else read[0]


def _known(probe: Probe, value: str) -> bool:
    """Whether a probe could have said a value: where a shop has words of its own, being unlike says nothing."""
    return fold(value) in {fold(each) for each in probe.values}


__all__ = ["Explainer", "asked_on_white", "cells_of", "compare", "hit_map", "place_scores", "spread"]
