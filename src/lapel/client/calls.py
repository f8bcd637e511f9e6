"""What each call of a client sends and how its answer is read: the same for both clients, who only send it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from lapel.client import schema
from lapel.client.answers import (
    BrowseResult,
    EmbeddedQuery,
    Explanation,
    NewCheck,
    PriceEstimate,
    PricePoint,
    ProductDetails,
    PutResult,
    Region,
    RemoveReport,
    SearchResult,
)
from lapel.core import errors
from lapel.core.errors import InputError, LapelError, QueryError
from lapel.core.events import Erasure, Event, EventReport, PersonExport, checked_person
from lapel.core.filters import Filter

Answer = TypeVar("Answer")
RETRIED = (429, 503)
RETRIES = 2  # of a request that was refused for being too much
MAX_WAIT = 10.0  # seconds before it is sent again
POLL_SECONDS = 0.2
EVENTS, EVENT_BYTES = 20_000, 4 * 2**20  # of one request
CODES = {each.code: each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, LapelError)}


class ApiError(LapelError):
    """A server refused a request, or does not answer."""

    code = "api_error"


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request and how to read its answer."""

    method: str
    path: str
    read: Callable[[httpx.Response], Answer]
    more: Mapping[str, Any] = field(default_factory=dict)


def check(answer: httpx.Response) -> httpx.Response:
    """An answer, unless it tells a problem: that is raised as the error that the local engine raises.

    Raises:
        LapelError: what the server said.
    """
    if answer.is_success or answer.status_code == 304:
        return answer
    try:
        told = answer.json()
        code, detail = str(told["code"]), str(told["detail"])
    except (ValueError, KeyError, TypeError):
        code, detail = "", f"The server answers {answer.status_code}. Is this the address of a Lapel API?"
    if code in ("unknown_product", "invalid_fields", "too_deep", "unknown_job"):
        raise QueryError(detail)
    kind = CODES.get(code, InputError if answer.status_code == 422 else ApiError)
    raise kind(detail, status=answer.status_code, api_code=code)


def headers(key: str) -> dict[str, str]:
    """What each request says."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def wait_of(answer: httpx.Response) -> float:
    """Seconds until a request may be sent again."""
    said = answer.headers.get("retry-after", "")
    return min(float(said), MAX_WAIT) if said.isdecimal() else 1.0


def unreachable(address: httpx.URL, error: Exception) -> ApiError:
    """What to say of a server that does not answer."""
    return ApiError(f"{address} does not answer: {error}. Is 'lapel api' running there?")


def search(given: Mapping[str, Any]) -> Call[SearchResult]:
    """``store.search``."""
    return Call("POST", "/v1/search", lambda answer: SearchResult.read(answer.json()), _question(given))


def embed(given: Mapping[str, Any]) -> Call[EmbeddedQuery]:
    """``store.embed``."""
    return Call("POST", "/v1/embed", lambda answer: EmbeddedQuery.read(answer.json()), _question(given))


def explain(given: Mapping[str, Any], hit_id: str) -> Call[Explanation]:
    """``store.explain``."""
    return Call(
        "POST", "/v1/explain", lambda answer: Explanation.read(answer.json()), _question({**given, "hit_id": hit_id})
    )


def fields_of(query: Any, **others: Any) -> dict[str, Any]:
    """Fields of a request from a query.

    Args:
        query: A ``lapel.Query``, a mapping of a search's fields, or an image.
        others: Fields of an image's search.
    """
    if isinstance(query, Mapping):
        return {str(name): value for name, value in query.items()}
    return _changed_fields(query) if is_query(query) else {"image": query, **others}


def asked_fields(query: Any) -> dict[str, Any]:
    """Fields of a request from the ``query`` of a search.

    Raises:
        QueryError: it is no query.
    """
    if isinstance(query, Mapping) or is_query(query):
        return fields_of(query)
    raise QueryError(f"query is a lapel.Query; found {type(query).__name__}. An image is given with image=.")


def is_query(value: Any) -> bool:
    """Whether it is a ``lapel.Query``, which is not imported here."""
    return hasattr(value, "all_parts")


def check_many(queries: Any, errors: str, at_once: Any) -> None:
    """See that queries are several, and what shall become of errors is known.

    Raises:
        QueryError: they are not.
    """
    if isinstance(queries, (str, bytes, Path)):
        raise QueryError(
            f"search_many takes several images or queries, such as a list of paths; found {queries!r:.60}."
        )
    if errors not in ("raise", "return"):
        raise QueryError(f"errors is 'raise' or 'return'; found '{errors}'.")
    if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1:
        raise QueryError(f"at_once is how many requests are on their way together, 1 or more; found {at_once!r:.60}.")


def variants(product_id: str, k: int, where: Any) -> Call[SearchResult]:
    """``store.variants``."""
    more = {"params": {"k": k, "where": _texts(where)}}
    return Call("GET", f"{_path(product_id)}/variants", lambda answer: SearchResult.read(answer.json()), more)


def prices(product_id: str) -> Call[tuple[PricePoint, ...]]:
    """``store.price_history``."""
    return Call("GET", f"{_path(product_id)}/prices", lambda answer: PricePoint.read(answer.json()))


def product(product_id: str) -> Call[ProductDetails]:
    """``store.product``."""
    return Call("GET", _path(product_id), lambda answer: ProductDetails.read(answer.json()))


def browse(words: str, where: Any, limit: int, offset: int) -> Call[BrowseResult]:
    """``store.browse``."""

    params = {"words": words, "where": _texts(where), "limit": limit, "offset": offset}
    return Call("GET", "/v1/products", lambda answer: BrowseResult.read(answer.json()), {"params": params})


def facets(names: Any, where: Any, limit: int) -> Call[dict[str, tuple[tuple[str, int], ...]]]:
    """``store.facets``."""
    params: dict[str, Any] = {"where": _texts(where), "limit": limit}
    params |= {} if names is None else {"name": _texts(names)}
    return Call(
        "GET",
        "/v1/facets",
        lambda answer: {name: tuple(values.items()) for name, values in answer.json()["facets"].items()},
        {"params": params},
    )


def remove(product_id: str) -> Call[bool]:
    """One product of ``store.remove``: whether it was there."""
    return Call("DELETE", _path(product_id), lambda _: True)


def removed(asked: Sequence[str], found: Mapping[str, bool]) -> RemoveReport:
    """What ``store.remove`` says of several."""
    there = tuple(each for each in dict.fromkeys(asked) if found[each])
    return RemoveReport(there, tuple(each for each in dict.fromkeys(asked) if not found[each]))


def put(product_id: str, images: Sequence[Any], fields: Mapping[str, Any]) -> Call[PutResult]:
    """Add or replace a product."""
    return _change("PUT", product_id, images, fields)


def patch(product_id: str, images: Sequence[Any], fields: Mapping[str, Any]) -> Call[PutResult]:
    """Change some fields of a product."""
    return _change("PATCH", product_id, images, fields)


def bulk(rows: Sequence[Mapping[str, Any]]) -> Call[list[PutResult]]:
    """Add or replace many products."""
    content = "\n".join(json.dumps(dict(row)) for row in rows).encode()
    return Call(
        "POST",
        "/v1/products:bulk",
        lambda answer: [PutResult.read(json.loads(line)) for line in answer.text.split("\n") if line],
        {"content": content, "headers": {"Content-Type": "application/x-ndjson"}},
    )


def feed(table: Any, options: Mapping[str, Any]) -> Call[schema.JobAnswer]:
    """Add a whole table, as a job."""
    sent = {"files": {"table": ("table", image_bytes(table))}, "data": {"options": json.dumps(dict(options))}}
    return Call("POST", "/v1/feeds", _as_told, sent)


def job(job_id: str) -> Call[schema.JobAnswer]:
    """How far a job is."""
    return Call("GET", f"/v1/jobs/{quote(job_id, safe='')}", _as_told)


def thumbnail(sha256: str) -> Call[bytes]:
    """``store.thumbnail``."""
    return Call("GET", f"/v1/thumbnails/{sha256}", lambda answer: answer.content)


def regions(image: Any) -> Call[list[Region]]:
    """``store.regions``."""

    def read(answer: httpx.Response) -> list[Region]:
        told: schema.RegionsAnswer = answer.json()
        return [Region.read(each, told["width"], told["height"]) for each in told["regions"]]

    return Call("POST", "/v1/regions", read, {"files": {"image": ("image", image_bytes(image))}})


def copies(image: Any) -> Call[NewCheck]:
    """``store.check_new_picture``."""
    sent = {"files": {"image": ("image", image_bytes(image))}}
    return Call("POST", "/v1/duplicates", lambda answer: NewCheck.read(answer.json()), sent)


def price(image: Any, known: Mapping[str, Any]) -> Call[PriceEstimate]:
    """``store.estimate_price``."""
    sent = {"files": {"image": ("image", image_bytes(image))}, "params": dict(known)}
    return Call("POST", "/v1/price", lambda answer: PriceEstimate.read(answer.json()), sent)


def ask(question: str, where: Any, options: Mapping[str, Any]) -> Call[schema.JobAnswer]:
    """A question of the whole catalogue, as a job."""
    asked = {"where": _texts(where)} | {name: _json_of(value) for name, value in options.items()}
    return Call("POST", f"/v1/insight/{question}", _as_told, {"json": asked})


def findings(job: schema.JobAnswer, form: str) -> Call[str]:
    """What such a job found, as ``json`` or ``csv``.

    Raises:
        LapelError: it did not end well.
    """
    if job["state"] != "done":
        told = job["error"] or {"code": "", "message": f"The job {job['id']} was {job['state']}."}
        raise CODES.get(str(told["code"]), ApiError)(str(told["message"]))
    return Call("GET", f"/v1/jobs/{quote(job['id'], safe='')}/findings.{form}", lambda answer: answer.text)


def recommend(given: Mapping[str, Any]) -> Call[SearchResult]:
    """``store.recommend``."""
    asked = {name: value for name, value in given.items() if value is not None}
    asked |= {name: _texts(asked[name]) for name in ("basket", "where", "exclude")}
    if asked.get("person"):
        _quoted_person(asked["person"])
    return Call("POST", "/v1/recommend", lambda answer: SearchResult.read(answer.json()), {"json": asked})


@dataclass
class EventBatch:
    """Events of one request, and what becomes of those that are none: they are not sent."""

    report: EventReport = field(default_factory=EventReport)
    lines: list[bytes] = field(default_factory=list)
    size: int = 0

    def take(self, at: int, value: Any) -> None:
        """Take in the event at a place, counted from 1."""
        try:
            event = Event.of(value)
        except InputError as error:
            self.report += EventReport(read=1, rejected=1, problems=((f"event {at}", str(error)),))
            return
        told = {name: getattr(event, name) for name in ("id", "person", "product", "kind", "list_id")}
        self.lines.append(json.dumps({**told, "time": event.at}).encode())
        self.size += len(self.lines[-1])


def event_batches(events: Iterable[Event | Mapping[str, Any]]) -> Iterator[EventBatch]:
    """The events of ``store.record`` in requests of a size that a server takes.

    Raises:
        InputError: it is one event, or a text.
    """
    if isinstance(events, (Event, Mapping, str, bytes)):
        raise InputError(f"record takes several events, such as a list; found {type(events).__name__}.")
    batch = EventBatch()
    for at, each in enumerate(events, 1):
        batch.take(at, each)
        if len(batch.lines) >= EVENTS or batch.size >= EVENT_BYTES:
            yield batch
            batch = EventBatch()
    yield batch


def record(batch: EventBatch) -> Call[EventReport]:
    """``store.record`` of one batch; sent again it counts once."""

    def read(answer: httpx.Response) -> EventReport:
        told: schema.EventsAnswer = answer.json()
        problems = tuple((each["where"], each["problem"]) for each in told["problems"])
        lists = {"problems": problems, "unknown_products": tuple(told["unknown_products"])}
        return EventReport(**{**{each.name: told[each.name] for each in fields(EventReport)}, **lists})  # type: ignore[literal-required]

    sent = {"content": b"\n".join(batch.lines), "headers": {"Content-Type": "application/x-ndjson"}}
    return Call("POST", "/v1/events", read, sent)


def export(person: str) -> Call[PersonExport]:
    """``store.export``."""

    def read(answer: httpx.Response) -> PersonExport:
        told: schema.PersonAnswer = answer.json()
        events = tuple(Event.of({**each, "person": person}) for each in told["events"])
        return PersonExport(person, events, tuple(told["lists"]))

    return Call("GET", _person_path(person), read)


def erase(person: str) -> Call[Erasure]:
    """``store.erase``."""

    def read(answer: httpx.Response) -> Erasure:
        told: schema.ErasureAnswer = answer.json()
        return Erasure(told["events"], told["lists"])

    return Call("DELETE", _person_path(person), read)


def image_bytes(image: Any) -> bytes:
    """The bytes of an image: of a path, of bytes, or of what can save itself, such as a PIL image.

    Raises:
        InputError: it is none of them, or cannot be read.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, (str, Path)):
        try:
            return Path(image).read_bytes()
        except (OSError, ValueError) as error:
            raise errors.ImageError(f"The picture '{image}' cannot be read: {error}. Check the path.") from error
    if hasattr(image, "save"):
        file = io.BytesIO()
        image.save(file, "PNG")
        return file.getvalue()
    raise InputError(
        f"A picture is a path, the bytes of a file, or a PIL image; found {type(image).__name__}. Of an array make one"
        " with PIL.Image.fromarray."
    )


def _question(given: Mapping[str, Any]) -> dict[str, Any]:
    asked = {name: value for name, value in given.items() if value is not None}
    image = asked.pop("image", None)
    for name in ("facets", "exclude", "where"):
        if name in asked and not isinstance(asked[name], bool):
            asked[name] = _texts(asked[name])
    told = json.dumps({name: _json_of(value) for name, value in asked.items()})
    if image is None:
        return {"content": told.encode(), "headers": {"Content-Type": "application/json"}}
    return {"files": {"image": ("image", image_bytes(image))}, "data": {"query": told}}


def _changed_fields(value: Any) -> dict[str, Any]:
    """Fields of a dataclass that are not as they are by default, as JSON has them."""
    told: dict[str, Any] = {}
    for each in fields(value):
        own = getattr(value, each.name)
        if not each.init or own is each.default or own is None or (not isinstance(own, (bytes, str)) and _empty(own)):
            continue
        told[each.name] = own
    if "colours" in told:
        raise QueryError("The colours of a vector cannot be sent. Ask with the picture, or leave them out.")
    return told


def _empty(value: Any) -> bool:
    return hasattr(value, "__len__") and len(value) == 0


def _json_of(value: Any) -> Any:
    """A value as JSON has it: of parts, looks, arrays and numbers of NumPy too.

    Raises:
        QueryError: it cannot be sent.
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (tuple, list)):
        return [_json_of(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): _json_of(each) for name, each in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        told = _changed_fields(value) if "image" in value.__dataclass_fields__ else vars(value)
        if "image" in told:
            raise QueryError("An image of a part cannot be sent. Give its link as image_url, or one image alone.")
        return _json_of(told)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise QueryError(f"This cannot be part of a query: {type(value).__name__} {value!r:.60}.")


def _change(method: str, product_id: str, images: Sequence[Any], fields: Mapping[str, Any]) -> Call[PutResult]:
    more: dict[str, Any] = {"json": dict(fields)}
    if images:
        files = [("images", (f"image-{at}", image_bytes(each))) for at, each in enumerate(images)]
        more = {"files": files, "data": {"product": json.dumps(dict(fields))}}
    return Call(method, _path(product_id), lambda answer: PutResult.read(answer.json()), more)


def _as_told(answer: httpx.Response) -> Any:
    return answer.json()


def _path(product_id: str) -> str:
    try:
        return f"/v1/products/{_step(quote(str(product_id), safe=''))}"
    except UnicodeEncodeError as error:
        raise InputError(f"A product's id of half a letter cannot be sent; found {product_id!r:.60}.") from error


def _step(name: str) -> str:
    """A part of a path. ``.`` and ``..`` would be steps of it."""
    return name if name.strip(".") else name.replace(".", "%2E")


def _quoted_person(person: str) -> str:
    try:
        return quote(checked_person(person), safe="")
    except UnicodeEncodeError as error:
        raise InputError(f"A person of half a letter cannot be asked for over HTTP; found {person!r:.60}.") from error


def _person_path(person: str) -> str:
    return f"/v1/people/{_step(_quoted_person(person))}"


def _texts(values: Any) -> list[str]:
    """Texts, or one; a filter's conditions as they are written.

    Raises:
        QueryError: a condition cannot be written, as of a value with a bar in it, which stands between values.
    """
    if isinstance(values, str):
        return [values]
    conditions = getattr(values, "conditions", None)
    if conditions is not None and Filter.parse([str(each) for each in conditions]).conditions != conditions:
        raise QueryError(f"The filter {values} holds values that mean something else when they are written.")
    return [str(each) for each in (values if conditions is None else conditions)]
