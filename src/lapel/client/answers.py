"""What a server answers, as values with the names that the local engine's have."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from lapel.client import schema
from lapel.core.products import price_text


@dataclass(frozen=True)
class Product:
    """A product, see :class:`lapel.Product`; what a key does not show is empty."""

    id: str
    title: str = ""
    category: tuple[str, ...] = ()
    gender: str = ""
    brand: str = ""
    colour: str = ""
    season: str = ""
    price_minor: int | None = None
    currency: str = ""
    in_stock: bool | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    url: str = ""

    @property
    def price(self) -> str:
        """The price for people, such as ``49.90 EUR``; empty when unknown."""
        return price_text(self.price_minor, self.currency)

    @classmethod
    def read(cls, told: schema.ProductAnswer) -> Product:
        """From an answer's JSON."""
        attributes = told.get("attributes", {}).items()
        return cls(
            told["id"],
            told.get("title", ""),
            tuple(told.get("category", ())),
            told.get("gender", ""),
            told.get("brand", ""),
            told.get("colour", ""),
            told.get("season", ""),
            told.get("price_minor"),
            told.get("currency", ""),
            told.get("in_stock"),
            {name: "|".join(text) if isinstance(text, list) else text for name, text in attributes},
            told.get("url", ""),
        )


@dataclass(frozen=True)
class Links:
    """Where a browser gets a photo."""

    full: str = ""
    thumbnail: str = ""


@dataclass(frozen=True)
class Photo:
    """A photo, see :class:`lapel.Photo`; ``uri`` is empty where it is a file of the server's."""

    key: int
    product_id: str
    uri: str
    sha256: str
    links: Links = Links()

    @classmethod
    def read(cls, told: schema.PhotoAnswer, product_id: str) -> Photo:
        """From an answer's JSON."""
        links = Links(told["links"]["full"], told["links"]["thumbnail"])
        return cls(told["key"], product_id, told["uri"], told["sha256"], links)


@dataclass(frozen=True)
class ProductDetails:
    """A product with its photos."""

    product: Product
    photos: tuple[Photo, ...]
    added_at: str = ""
    changed_at: str = ""

    @classmethod
    def read(cls, told: schema.DetailsAnswer) -> ProductDetails:
        """From an answer's JSON."""
        product = Product.read(told["product"])
        photos = tuple(Photo.read(each, product.id) for each in told["photos"])
        return cls(product, photos, told["added_at"], told["changed_at"])


@dataclass(frozen=True)
class BrowseResult:
    """A page of products, and how many there are on all pages."""

    products: tuple[ProductDetails, ...]
    total: int

    @classmethod
    def read(cls, told: schema.PageAnswer) -> BrowseResult:
        """From an answer's JSON."""
        return cls(tuple(map(ProductDetails.read, told["products"])), told["total"])


@dataclass(frozen=True)
class RemoveReport:
    """Which products were taken out, and which were not there."""

    removed: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class PutResult:
    """What became of a product: ``added``, ``updated``, ``unchanged`` or ``rejected``, and why."""

    id: str
    state: str
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, told: schema.PutAnswer | schema.ChangedAnswer) -> PutResult:
        """From an answer's JSON."""
        return cls(told["id"], told["status"], tuple(told["problems"]))


@dataclass(frozen=True)
class Reason:
    """Why a product is recommended, see :class:`lapel.Reason`."""

    kind: str
    words: str
    product_id: str = ""
    data: Mapping[str, float | str] = field(default_factory=dict)

    @classmethod
    def read(cls, told: schema.ReasonAnswer) -> Reason:
        """From an answer's JSON."""
        return cls(told["kind"], told["words"], told["product_id"], told["data"])


@dataclass(frozen=True)
class Region:
    """A product in a picture, see :class:`lapel.Region`: its box in pixels, what it is, and how likely it is one."""

    box: tuple[int, int, int, int]
    kind: str
    score: float

    @classmethod
    def read(cls, told: schema.RegionAnswer, width: int, height: int) -> Region:
        """From an answer's JSON, which has shares of the picture's sides."""
        left, top, right, bottom = told["box"]
        box = (round(left * width), round(top * height), round(right * width), round(bottom * height))
        return cls(box, told["kind"], told["score"])


@dataclass(frozen=True)
class PricePoint:
    """What a product cost from a time on, in the currency's smallest unit, and whether it could be bought."""

    at: str
    price_minor: int | None
    currency: str
    in_stock: bool | None

    @classmethod
    def read(cls, told: schema.PricesAnswer) -> tuple[PricePoint, ...]:
        """All of an answer's JSON, the oldest first."""
        return tuple(
            cls(each["at"], each["price_minor"], each["currency"], each["in_stock"]) for each in told["prices"]
        )


@dataclass(frozen=True)
class Match:
    """A product whose picture a new one is a copy of: ``exact`` or ``near``, and how sure that is, 0..1."""

    kind: str
    product: str
    score: float
    mirrored: bool


@dataclass(frozen=True)
class NewCheck:
    """What a picture is a copy of, the surest first, of how many photos it was compared with."""

    matches: tuple[Match, ...]
    photos: int

    @classmethod
    def read(cls, told: schema.CopiesAnswer) -> NewCheck:
        """From an answer's JSON."""
        found = [Match(each["kind"], each["product_id"], each["score"], each["mirrored"]) for each in told["copies"]]
        return cls(tuple(found), told["pictures"])


@dataclass(frozen=True)
class Colour:
    """A colour of a picture's product: its name, ``#rrggbb``, and its share, 0..1."""

    name: str
    rgb: str
    share: float


@dataclass(frozen=True)
class Colours:
    """The colours of a picture's product, the largest first, and how sure they are, 0..1 and in words."""

    colours: tuple[Colour, ...]
    confidence: float
    certainty: str


@dataclass(frozen=True)
class Words:
    """How words were read: what is looked for, what was put right, and which were not understood."""

    read: str
    corrected: tuple[tuple[str, str], ...]
    synonyms: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class UnderstoodPart:
    """How a part of a query was read, see :class:`lapel.core.queries.UnderstoodPart`."""

    kind: str
    weight: float
    note: str = ""
    colours: Colours | None = None
    words: Words | None = None
    people: tuple[str, ...] = ()

    @classmethod
    def read(cls, told: schema.UnderstoodAnswer) -> UnderstoodPart:
        """From an answer's JSON."""
        colours, words = told.get("colours"), told.get("words")
        return cls(
            told["kind"],
            told["weight"],
            told.get("note", ""),
            colours
            and Colours(
                tuple(Colour(each["name"], each["rgb"], each["share"]) for each in colours["named"]),
                colours["confidence"],
                colours["certainty"],
            ),
            words
            and Words(
                words["read"],
                tuple(words["corrected"].items()),
                tuple(words["synonyms"].items()),
                tuple(words["not_understood"]),
            ),
            tuple(told.get("people", ())),
        )


@dataclass(frozen=True)
class Understood:
    """How the query of an answer was read: the model, and each part in the query's order."""

    fingerprint: str
    parts: tuple[UnderstoodPart, ...]

    @property
    def colours(self) -> Colours | None:
        """The colours of a query that is one picture; None of any other."""
        return self.parts[0].colours if len(self.parts) == 1 and self.parts[0].weight > 0 else None


@dataclass(frozen=True)
class EmbeddedQuery:
    """A query as one direction, see :class:`lapel.core.types.EmbeddedQuery`.

    Attributes:
        vector: dim numbers, of length 1; zeros where nothing of the query was understood.
        fingerprint: The model that made it.
        parts: How each part was read.
    """

    vector: tuple[float, ...] = field(repr=False)
    fingerprint: str
    parts: tuple[UnderstoodPart, ...]

    @property
    def understood(self) -> bool:
        """Whether there is anything to look for."""
        return any(self.vector)

    @classmethod
    def read(cls, told: schema.EmbedAnswer) -> EmbeddedQuery:
        """From an answer's JSON."""
        return cls(tuple(told["vector"]), told["model"], tuple(map(UnderstoodPart.read, told["understood"])))


Map = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Explanation:
    """Why a product is in an answer, see :class:`lapel.Explanation`.

    Attributes:
        query_map: h rows of w numbers over the query's picture, what each place adds to the score; empty without one.
        hit_map: The same over the hit's picture.
        shared: What both are, in words.
        different: In what they differ.
        score: The hit's; each map sums to it.
        query_picture: What ``query_map`` lies over, the bytes of a JPEG; None where the query has no picture.
        hit_picture: What ``hit_map`` lies over.
        notes: What else is to be said.
    """

    query_map: Map = field(repr=False)
    hit_map: Map = field(repr=False)
    shared: list[str]
    different: list[str]
    score: float
    query_picture: bytes | None = field(default=None, repr=False)
    hit_picture: bytes | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, told: schema.ExplainAnswer) -> Explanation:
        """From an answer's JSON."""
        return cls(
            tuple(map(tuple, told["query_map"])),
            tuple(map(tuple, told["hit_map"])),
            told["shared"],
            told["different"],
            told["score"],
            _bytes_of(told["query_picture"]),
            _bytes_of(told["hit_picture"]),
            tuple(told["notes"]),
        )


def _bytes_of(address: str | None) -> bytes | None:
    return None if address is None else base64.b64decode(address.partition(",")[2])


@dataclass(frozen=True)
class Hit:
    """A product that was found, see :class:`lapel.Hit`. ``more`` holds fields that this client does not know."""

    rank: int
    score: float
    product: Product
    photo: Photo
    contributions: tuple[float, ...] = ()
    adjustment: float = 0.0
    reason: Reason | None = None
    more: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name != "more" and name in self.more:
            return self.more[name]
        raise AttributeError(f"A hit has no '{name}'.")

    @classmethod
    def read(cls, told: schema.HitAnswer) -> Hit:
        """From an answer's JSON."""
        product, reason = Product.read(told["product"]), told.get("reason")
        return cls(
            told["rank"],
            told["score"],
            product,
            Photo.read(told["photo"], product.id),
            tuple(told.get("contributions", ())),
            told.get("adjustment", 0.0),
            Reason.read(reason) if reason else None,
            {name: each for name, each in told.items() if name not in cls.__dataclass_fields__},
        )


@dataclass(frozen=True, eq=False)
class SearchResult(Sequence[Hit]):
    """The answer to a query, see :class:`lapel.SearchResult`: a sequence of hits, and what is known besides.

    Attributes:
        hits: The nearest products, best first.
        total: Products that pass the filter.
        verdict: What the answer is worth.
        facets: By field its values with how many products have them.
        timings: Milliseconds by stage, as the server counts them.
        nearest: The best score there was.
        answer: All that the server said.
        list_id: Of a recommendation that was logged, its name, for the events that come from it. Else empty.
        kinds: The kinds that the query may be of, with how likely each is, the likeliest first.
        fashion: How likely the query shows anything that a shop of clothes sells, 0..1; None where it cannot be told.
        rules: Names of the shop's rules that had a say in it.
    """

    hits: tuple[Hit, ...]
    total: int
    verdict: str
    facets: Mapping[str, tuple[tuple[str, int], ...]]
    timings: Mapping[str, float]
    nearest: float | None
    answer: schema.SearchAnswer | schema.RowAnswer = field(repr=False)
    list_id: str = ""
    kinds: tuple[tuple[str, float], ...] = ()
    fashion: float | None = None
    rules: tuple[str, ...] = ()

    @property
    def understood(self) -> Understood:
        """How the query was read."""
        return Understood(self.answer["model"], tuple(map(UnderstoodPart.read, self.answer["understood"])))

    @classmethod
    def read(cls, told: schema.SearchAnswer | schema.RowAnswer) -> SearchResult:
        """From an answer's JSON."""
        facets = {name: tuple(values.items()) for name, values in told["facets"].items()}
        timings = {name: spent for name, spent in told["took_ms"].items() if name != "total"}
        hits = tuple(map(Hit.read, told["hits"]))
        return cls(
            hits,
            told["total"],
            told["verdict"],
            facets,
            timings,
            told["nearest"],
            told,
            told.get("list_id", ""),
            tuple((each["kind"], each["probability"]) for each in told.get("kinds", ())),
            told.get("fashion"),
            tuple(told.get("rules", ())),
        )

    @property
    def took_ms(self) -> float:
        """Milliseconds in all."""
        return sum(self.timings.values())

    @overload
    def __getitem__(self, at: int) -> Hit: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Hit, ...]: ...

    def __getitem__(self, at: int | slice) -> Hit | tuple[Hit, ...]:
        """One hit, or several."""
        return self.hits[at]

    def __len__(self) -> int:
        """How many hits there are."""
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        """The hits, best first."""
        return iter(self.hits)


@dataclass(frozen=True)
class PriceEstimate:
    """What a photo's product should sell for, see :meth:`lapel.Store.estimate_price`.

    Attributes:
        currency: Of all amounts.
        price: The middle, in major units.
        low: Lower end of the range that holds 80 of 100 prices.
        high: Upper end.
        notes: What was left out or is not known.
        told: All of it, as JSON has it.
    """

    currency: str
    price: float
    low: float
    high: float
    notes: tuple[str, ...]
    told: schema.PriceEstimateAnswer = field(repr=False)

    @classmethod
    def read(cls, told: schema.PriceEstimateAnswer) -> PriceEstimate:
        """From an answer's JSON."""
        return cls(told["currency"], told["price"], told["low"], told["high"], tuple(told["notes"]), told)

    def to_json(self) -> dict[str, Any]:
        """As the local engine's."""
        return dict(self.told)


@dataclass(frozen=True)
class Findings:
    """What a question of the whole catalogue found, such as :meth:`lapel.Store.duplicates`.

    Attributes:
        told: All of it, as JSON has it.
        table: Its rows, as CSV.
        job: The job's id; a page of pictures is at ``/v1/jobs/{id}/findings.html``.
    """

    told: Mapping[str, Any] = field(repr=False)
    table: str = field(repr=False)
    job: schema.JobAnswer

    def summary(self) -> str:
        """One or two sentences: what was looked at, what was found, what was left out."""
        return str(self.job["result"]["summary"])

    def rows(self) -> list[dict[str, str]]:
        """The table's rows; all values are texts."""
        return list(csv.DictReader(io.StringIO(self.table)))

    def to_json(self) -> dict[str, Any]:
        """As the local engine's."""
        return dict(self.told)

    def to_csv(self, path: str | Path) -> None:
        """Write the table (UTF-8, comma, a header line)."""
        Path(path).write_text(self.table, "utf-8")
