"""What answers look like, for the OpenAPI text and the clients made of it.

Fields that a key may not see are missing in its answers, so only what every key sees is required. Answers may have
more fields than are described, as those of an older server have fewer; a test sees that none of this one is missing
here.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """What the models of answers have in common."""

    model_config = ConfigDict(extra="allow")


# --- products ---------------------------------------------------------------------------------------------------------


class ProductAnswer(Answer):
    """A product; a key that shows only some fields gets only those.

    ``price`` is in major units of ``currency``, ``price_minor`` in the least, such as cents. An attribute with several
    values, such as sizes, is a list.
    """

    id: str
    title: str = ""
    url: str = ""
    category: list[str] = []
    gender: str = ""
    brand: str = ""
    colour: str = ""
    season: str = ""
    price: float | None = None
    price_minor: int | None = None
    currency: str = ""
    in_stock: bool | None = None
    attributes: dict[str, str | list[str]] = {}


class LinksAnswer(Answer):
    """Where a browser gets a photo from its host; empty where that is not known."""

    full: str
    thumbnail: str


class PhotoAnswer(Answer):
    """A photo of a product. ``/v1/thumbnails/{sha256}`` is a small JPEG of it; ``uri`` is empty for a server's file."""

    key: int
    sha256: str
    uri: str
    links: LinksAnswer


class DetailsAnswer(Answer):
    """A product with its photos; times are ISO 8601, UTC."""

    product: ProductAnswer
    photos: list[PhotoAnswer]
    added_at: str
    changed_at: str


class PutAnswer(Answer):
    """What became of a product: added, updated, unchanged or rejected."""

    id: str
    status: str
    problems: list[str]


class ChangedAnswer(DetailsAnswer, PutAnswer):
    """A product as it is now, and what became of it."""


class PageAnswer(Answer):
    """A page of products, and how many there are on all pages."""

    products: list[DetailsAnswer]
    total: int


class FacetsAnswer(Answer):
    """By field its values, with how many products have them."""

    facets: dict[str, dict[str, int]]


# --- what was found ---------------------------------------------------------------------------------------------------


class ReasonAnswer(Answer):
    """Why a product is there: in words for people, the product it refers to, and figures."""

    kind: str
    words: str
    product_id: str
    data: dict[str, float | str]


class HitAnswer(Answer):
    """A product that was found.

    Hits are in the order of ``score`` + ``adjustment``. ``probability`` is that of a right answer by ``verdict``,
    ``probabilities`` that of each verdict. ``rules`` are those of the shop that moved it.
    """

    rank: int
    score: float
    product: ProductAnswer
    photo: PhotoAnswer
    adjustment: float = 0.0
    contributions: list[float] = []
    probability: float | None = None
    verdict: str | None = None
    probabilities: dict[str, float] = {}
    others: list[str] = []
    reason: ReasonAnswer | None = None
    rules: list[str] = []


class KindAnswer(Answer):
    """What a picture may show, and how likely that is."""

    kind: str
    probability: float


class ColourAnswer(Answer):
    """A colour of a product: its name, ``#rrggbb``, and the share of the product that it takes."""

    name: str
    rgb: str
    share: float


class ColoursAnswer(Answer):
    """The colours of a picture's product, and how sure they are, 0..1 and in words."""

    confidence: float
    certainty: str
    named: list[ColourAnswer]


class WordsAnswer(Answer):
    """How words were read: typing errors and synonyms that were put right, and what was not understood."""

    read: str
    corrected: dict[str, str]
    synonyms: dict[str, str]
    not_understood: list[str]


class AskedColourAnswer(Answer):
    """A colour that was asked for: ``#rrggbb``, and names that the shop has for it."""

    asked: str
    rgb: str
    names: list[str]


class UnderstoodAnswer(Answer):
    """How a part of the query was read; ``kind`` is image, text, product, vector or colour."""

    kind: str
    weight: float
    note: str = ""
    colours: ColoursAnswer | None = None
    words: WordsAnswer | None = None
    asked: list[AskedColourAnswer] = []
    people: list[str] = []
    on_white: bool = True
    strength: list[float] | None = None


class QueryAnswer(Answer):
    """The query as it was asked: what was looked for, and the fields of the request."""

    picture: str | None
    text: str | None
    product: str | None
    where: str
    offset: int
    k: int


class RowAnswer(Answer):
    """Products with what is known besides.

    Attributes:
        total: Products that pass the filter.
        verdict: What the answer is worth.
        nearest: The best score there was, also of what a cut-off left out.
        took_ms: Milliseconds by stage, and in all.
        model: Fingerprint of the model.
        fashion: How likely a picture shows fashion at all.
        kinds: What it may show.
        rules: Of the shop, those that had a say.
        list_id: Of a row that was logged: events that come from it name it.
    """

    hits: list[HitAnswer]
    verdict: str
    total: int
    took_ms: dict[str, float]
    model: str
    facets: dict[str, dict[str, int]]
    understood: list[UnderstoodAnswer]
    nearest: float | None
    fashion: float | None = None
    kinds: list[KindAnswer] = []
    rules: list[str] = []
    index_problem: str = ""
    list_id: str = ""


class SearchAnswer(RowAnswer):
    """What was found: the same as ``lapel search --json``."""

    query: QueryAnswer
    index: str


class RegionAnswer(Answer):
    """A product in a picture.

    ``box`` is left, top, right and bottom in shares of the picture's sides, as a search takes it; ``kind`` is empty
    where that is not sure.
    """

    box: tuple[float, float, float, float]
    kind: str
    score: float


class RegionsAnswer(Answer):
    """Up to five products in a picture, the largest first; its sides in pixels."""

    regions: list[RegionAnswer]
    width: int
    height: int


class EmbedAnswer(Answer):
    """A query as a unit vector, the fingerprint of the model that made it, and how its parts were read."""

    vector: list[float]
    model: str
    understood: list[UnderstoodAnswer]


class ExplainAnswer(Answer):
    """Why a product is in an answer.

    Each map is rows of what the places of a picture add to ``score``, and sums to it; it lies over the whole of its
    picture, a JPEG in a ``data:`` address. A query without a picture has an empty map and no picture.
    """

    score: float
    shared: list[str]
    different: list[str]
    query_map: list[list[float]]
    hit_map: list[list[float]]
    query_picture: str | None
    hit_picture: str | None
    notes: list[str]


class PriceAnswer(Answer):
    """What a product cost and whether it could be bought, from a time on: ISO 8601, UTC; empty for since ever."""

    at: str
    price_minor: int | None
    currency: str
    in_stock: bool | None


class PricesAnswer(Answer):
    """What a product cost, the oldest first."""

    prices: list[PriceAnswer]


class PriceEstimateAnswer(Answer):
    """What a photo's product should sell for: the middle, and between what ``coverage`` of such prices lie.

    ``nearest`` are goods with a price, ``photo_used_by`` products with this very photo, ``draft`` a listing,
    ``measured`` how well such prices fit the shop's own.
    """

    currency: str
    price: float
    low: float
    high: float
    coverage: float
    nearest: list[dict[str, Any]]
    days_listed: dict[str, float] | None
    photo_used_by: list[dict[str, Any]]
    draft: dict[str, Any]
    measured: dict[str, float]
    notes: list[str]


class CopyAnswer(Answer):
    """A product whose picture the sent one is a copy of; ``score`` is how sure that is, 0..1."""

    kind: str
    product_id: str
    score: float
    mirrored: bool


class CopiesAnswer(Answer):
    """Copies, the surest first, and how many pictures the sent one was compared with."""

    copies: list[CopyAnswer]
    pictures: int


# --- people -----------------------------------------------------------------------------------------------------------


class EventProblemAnswer(Answer):
    """What is wrong with an event, and which it is."""

    where: str
    problem: str


class EventsAnswer(Answer):
    """What became of every event: ``added + duplicates + rejected`` is ``read``; see ``lapel.EventReport``."""

    read: int
    added: int
    duplicates: int
    conflicts: int
    rejected: int
    unknown: int
    future: int
    ancient: int
    capped: int
    problems: list[EventProblemAnswer]
    unknown_products: list[str]


class EventAnswer(Answer):
    """What somebody did with a product; ``time`` is in seconds since 1970."""

    id: str
    product: str
    kind: str
    time: float
    list_id: str


class ListAnswer(Answer):
    """A list that somebody was shown, with what was asked; ``time`` is in seconds since 1970."""

    id: str
    time: float
    products: list[str]
    kind: str


class PersonAnswer(Answer):
    """All that is known of a person."""

    person: str
    events: list[EventAnswer]
    lists: list[ListAnswer]


class ErasureAnswer(Answer):
    """How many events, and lists that somebody was shown, were erased."""

    events: int
    lists: int


# --- the server -------------------------------------------------------------------------------------------------------


class JobAnswer(Answer):
    """Work that goes on after its answer.

    ``state`` is queued, running, done, failed or cancelled; ``done`` of ``total`` rows or photos are ready. ``error``
    has a ``code`` and a ``message`` where it failed. Times are ISO 8601, UTC, and empty before.
    """

    id: str
    kind: str
    owner: str
    state: str
    request: dict[str, Any]
    done: int
    total: int | None
    result: dict[str, Any]
    error: dict[str, Any]
    cancel: bool
    created_at: str
    started_at: str
    finished_at: str
    webhook: str
    webhook_state: str
    webhook_tries: int


class JobsAnswer(Answer):
    """The last jobs, the newest first."""

    jobs: list[JobAnswer]


class ModelAnswer(Answer):
    """A model: its name, the fingerprint that its vectors carry, and how many numbers these have."""

    name: str
    fingerprint: str
    dim: int


class KnownModelAnswer(ModelAnswer):
    """A model that has vectors of so many photos here."""

    photos: int


class ModelsAnswer(Answer):
    """The oldest first; the fingerprint of the one in use, and how far a change is, in words."""

    models: list[KnownModelAnswer]
    current: str
    work: str


class IndexAnswer(Answer):
    """The kind of index, the catalogue's generation that it is complete for, and what is wrong with it."""

    spec: str
    generation: int | None
    vectors: int | None
    problem: str


class HealthAnswer(Answer):
    """The process lives."""

    status: str


class ReadyAnswer(Answer):
    """A picture was encoded and searched with."""

    status: str
    products: int
    hits: int
    model: str
    took_ms: float


class VersionAnswer(Answer):
    """What is served; ``revision`` changes with the catalogue."""

    lapel: str
    python: str
    model: ModelAnswer
    index: str
    revision: int


class FieldProblemAnswer(Answer):
    """What is wrong with a field of a request."""

    field: str
    problem: str


class ProblemAnswer(Answer):
    """What is wrong, by RFC 9457; some have more facts by the names of the error's fields."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    instance: str = ""
    errors: list[FieldProblemAnswer] = []


# --- phones -----------------------------------------------------------------------------------------------------------


class NetworkAnswer(Answer):
    """A network in ONNX: pixels (n, height, width, 3) uint8 -> ``vectors`` (n, dim), or ``mask`` (n, height, width)."""

    name: str
    sha256: str
    bytes: int
    fingerprint: str
    dim: int
    preprocessing: dict[str, Any]


class DeviceAnswer(Answer):
    """What makes the vector of a picture."""

    model: NetworkAnswer
    segmenter: NetworkAnswer


class PieceAnswer(Answer):
    """A piece: ``/v1/pack/{sha256}``."""

    sha256: str
    bytes: int


class BucketAnswer(Answer):
    """Photos whose keys are neighbours."""

    bucket: int
    photos: int
    vectors: PieceAnswer
    products: PieceAnswer
    thumbnails: list[dict[str, Any]]


class PackAnswer(Answer):
    """The catalogue in pieces, as it is now."""

    format: int
    model: str
    dim: int
    photos: int
    bytes: int
    pieces: list[BucketAnswer]
