"""Answers as the OpenAPI text describes them. Made of it by ``generate.py``: change nothing here."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class AskedColourAnswer(TypedDict):
    """A colour that was asked for: ``#rrggbb``, and names that the shop has for it."""

    asked: str
    rgb: str
    names: list[str]


class BucketAnswer(TypedDict):
    """Photos whose keys are neighbours."""

    bucket: int
    photos: int
    vectors: PieceAnswer
    products: PieceAnswer
    thumbnails: list[dict[str, Any]]


class ChangedAnswer(TypedDict):
    """A product as it is now, and what became of it."""

    id: str
    status: str
    problems: list[str]
    product: ProductAnswer
    photos: list[PhotoAnswer]
    added_at: str
    changed_at: str


class ColourAnswer(TypedDict):
    """A colour of a product: its name, ``#rrggbb``, and the share of the product that it takes."""

    name: str
    rgb: str
    share: float


class ColoursAnswer(TypedDict):
    """The colours of a picture's product, and how sure they are, 0..1 and in words."""

    confidence: float
    certainty: str
    named: list[ColourAnswer]


class CopiesAnswer(TypedDict):
    """Copies, the surest first, and how many pictures the sent one was compared with."""

    copies: list[CopyAnswer]
    pictures: int


class CopyAnswer(TypedDict):
    """A product whose picture the sent one is a copy of; ``score`` is how sure that is, 0..1."""

    kind: str
    product_id: str
    score: float
    mirrored: bool


class DetailsAnswer(TypedDict):
    """A product with its photos; times are ISO 8601, UTC."""

    product: ProductAnswer
    photos: list[PhotoAnswer]
    added_at: str
    changed_at: str


class DeviceAnswer(TypedDict):
    """What makes the vector of a picture."""

    model: NetworkAnswer
    segmenter: NetworkAnswer


class EmbedAnswer(TypedDict):
    """A query as a unit vector, the fingerprint of the model that made it, and how its parts were read."""

    vector: list[float]
    model: str
    understood: list[UnderstoodAnswer]


class ErasureAnswer(TypedDict):
    """How many events, and lists that somebody was shown, were erased."""

    events: int
    lists: int


class EventAnswer(TypedDict):
    """What somebody did with a product; ``time`` is in seconds since 1970."""

    id: str
    product: str
    kind: str
    time: float
    list_id: str


class EventProblemAnswer(TypedDict):
    """What is wrong with an event, and which it is."""

    where: str
    problem: str


class EventsAnswer(TypedDict):
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


class ExplainAnswer(TypedDict):
    """Why a product is in an answer."""

    score: float
    shared: list[str]
    different: list[str]
    query_map: list[list[float]]
    hit_map: list[list[float]]
    query_picture: str | None
    hit_picture: str | None
    notes: list[str]


class FacetsAnswer(TypedDict):
    """By field its values, with how many products have them."""

    facets: dict[str, dict[str, int]]


class FieldProblemAnswer(TypedDict):
    """What is wrong with a field of a request."""

    field: str
    problem: str


class HealthAnswer(TypedDict):
    """The process lives."""

    status: str


class HitAnswer(TypedDict):
    """A product that was found."""

    rank: int
    score: float
    product: ProductAnswer
    photo: PhotoAnswer
    adjustment: NotRequired[float]
    contributions: NotRequired[list[float]]
    probability: NotRequired[float | None]
    verdict: NotRequired[str | None]
    probabilities: NotRequired[dict[str, float]]
    others: NotRequired[list[str]]
    reason: NotRequired[ReasonAnswer | None]
    rules: NotRequired[list[str]]


class IndexAnswer(TypedDict):
    """The kind of index, the catalogue's generation that it is complete for, and what is wrong with it."""

    spec: str
    generation: int | None
    vectors: int | None
    problem: str


class JobAnswer(TypedDict):
    """Work that goes on after its answer."""

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


class JobsAnswer(TypedDict):
    """The last jobs, the newest first."""

    jobs: list[JobAnswer]


class KindAnswer(TypedDict):
    """What a picture may show, and how likely that is."""

    kind: str
    probability: float


class KnownModelAnswer(TypedDict):
    """A model that has vectors of so many photos here."""

    name: str
    fingerprint: str
    dim: int
    photos: int


class LinksAnswer(TypedDict):
    """Where a browser gets a photo from its host; empty where that is not known."""

    full: str
    thumbnail: str


class ListAnswer(TypedDict):
    """A list that somebody was shown, with what was asked; ``time`` is in seconds since 1970."""

    id: str
    time: float
    products: list[str]
    kind: str


class ModelAnswer(TypedDict):
    """A model: its name, the fingerprint that its vectors carry, and how many numbers these have."""

    name: str
    fingerprint: str
    dim: int


class ModelsAnswer(TypedDict):
    """The oldest first; the fingerprint of the one in use, and how far a change is, in words."""

    models: list[KnownModelAnswer]
    current: str
    work: str


class NetworkAnswer(TypedDict):
    """A network in ONNX: pixels (n, height, width, 3) uint8 -> ``vectors`` (n, dim), or ``mask`` (n, height, width)."""

    name: str
    sha256: str
    bytes: int
    fingerprint: str
    dim: int
    preprocessing: dict[str, Any]


class PackAnswer(TypedDict):
    """The catalogue in pieces, as it is now."""

    format: int
    model: str
    dim: int
    photos: int
    bytes: int
    pieces: list[BucketAnswer]


class PageAnswer(TypedDict):
    """A page of products, and how many there are on all pages."""

    products: list[DetailsAnswer]
    total: int


class PersonAnswer(TypedDict):
    """All that is known of a person."""

    person: str
    events: list[EventAnswer]
    lists: list[ListAnswer]


class PhotoAnswer(TypedDict):
    """A photo of a product. ``/v1/thumbnails/{sha256}`` is a small JPEG of it; ``uri`` is empty for a server's file."""

    key: int
    sha256: str
    uri: str
    links: LinksAnswer


class PieceAnswer(TypedDict):
    """A piece: ``/v1/pack/{sha256}``."""

    sha256: str
    bytes: int


class PriceAnswer(TypedDict):
    """What a product cost and whether it could be bought, from a time on: ISO 8601, UTC; empty for since ever."""

    at: str
    price_minor: int | None
    currency: str
    in_stock: bool | None


class PriceEstimateAnswer(TypedDict):
    """What a photo's product should sell for: the middle, and between what ``coverage`` of such prices lie."""

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


class PricesAnswer(TypedDict):
    """What a product cost, the oldest first."""

    prices: list[PriceAnswer]


class ProblemAnswer(TypedDict):
    """What is wrong, by RFC 9457; some have more facts by the names of the error's fields."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    instance: NotRequired[str]
    errors: NotRequired[list[FieldProblemAnswer]]


class ProductAnswer(TypedDict):
    """A product; a key that shows only some fields gets only those."""

    id: str
    title: NotRequired[str]
    url: NotRequired[str]
    category: NotRequired[list[str]]
    gender: NotRequired[str]
    brand: NotRequired[str]
    colour: NotRequired[str]
    season: NotRequired[str]
    price: NotRequired[float | None]
    price_minor: NotRequired[int | None]
    currency: NotRequired[str]
    in_stock: NotRequired[bool | None]
    attributes: NotRequired[dict[str, str | list[str]]]


class PutAnswer(TypedDict):
    """What became of a product: added, updated, unchanged or rejected."""

    id: str
    status: str
    problems: list[str]


class QueryAnswer(TypedDict):
    """The query as it was asked: what was looked for, and the fields of the request."""

    picture: str | None
    text: str | None
    product: str | None
    where: str
    offset: int
    k: int


class ReadyAnswer(TypedDict):
    """A picture was encoded and searched with."""

    status: str
    products: int
    hits: int
    model: str
    took_ms: float


class ReasonAnswer(TypedDict):
    """Why a product is there: in words for people, the product it refers to, and figures."""

    kind: str
    words: str
    product_id: str
    data: dict[str, float | str]


class RegionAnswer(TypedDict):
    """A product in a picture."""

    box: tuple[float, float, float, float]
    kind: str
    score: float


class RegionsAnswer(TypedDict):
    """Up to five products in a picture, the largest first; its sides in pixels."""

    regions: list[RegionAnswer]
    width: int
    height: int


class RowAnswer(TypedDict):
    """Products with what is known besides."""

    hits: list[HitAnswer]
    verdict: str
    total: int
    took_ms: dict[str, float]
    model: str
    facets: dict[str, dict[str, int]]
    understood: list[UnderstoodAnswer]
    nearest: float | None
    fashion: NotRequired[float | None]
    kinds: NotRequired[list[KindAnswer]]
    rules: NotRequired[list[str]]
    index_problem: NotRequired[str]
    list_id: NotRequired[str]


class SearchAnswer(TypedDict):
    """What was found: the same as ``lapel search --json``."""

    hits: list[HitAnswer]
    verdict: str
    total: int
    took_ms: dict[str, float]
    model: str
    facets: dict[str, dict[str, int]]
    understood: list[UnderstoodAnswer]
    nearest: float | None
    fashion: NotRequired[float | None]
    kinds: NotRequired[list[KindAnswer]]
    rules: NotRequired[list[str]]
    index_problem: NotRequired[str]
    list_id: NotRequired[str]
    query: QueryAnswer
    index: str


class UnderstoodAnswer(TypedDict):
    """How a part of the query was read; ``kind`` is image, text, product, vector or colour."""

    kind: str
    weight: float
    note: NotRequired[str]
    colours: NotRequired[ColoursAnswer | None]
    words: NotRequired[WordsAnswer | None]
    asked: NotRequired[list[AskedColourAnswer]]
    people: NotRequired[list[str]]
    on_white: NotRequired[bool]
    strength: NotRequired[list[float] | None]


class VersionAnswer(TypedDict):
    """What is served; ``revision`` changes with the catalogue."""

    lapel: str
    python: str
    model: ModelAnswer
    index: str
    revision: int


class WordsAnswer(TypedDict):
    """How words were read: typing errors and synonyms that were put right, and what was not understood."""

    read: str
    corrected: dict[str, str]
    synonyms: dict[str, str]
    not_understood: list[str]
