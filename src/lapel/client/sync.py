"""The client of a server. Made of ``awaiting.py`` by ``generate.py``: change that one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import httpx

from lapel.client import calls, schema
from lapel.client.answers import (
    BrowseResult,
    EmbeddedQuery,
    Explanation,
    Findings,
    Hit,
    NewCheck,
    Photo,
    PriceEstimate,
    PricePoint,
    ProductDetails,
    PutResult,
    Region,
    RemoveReport,
    SearchResult,
)
from lapel.client.calls import POLL_SECONDS, RETRIED, RETRIES, ApiError, Call, headers, unreachable, wait_of
from lapel.client.many import AT_ONCE, in_order
from lapel.core.errors import LapelError, QueryError
from lapel.core.events import Erasure, Event, EventReport, PersonExport

Answer = TypeVar("Answer")
Progress = Callable[[int, int | None], None]


class Client:
    """A store on a server. Its calls and answers are those of :class:`lapel.Store`, and so are its errors.

    >>> with lapel.client.Client("http://127.0.0.1:8080") as store:  # doctest: +SKIP
    ...     found = store.search(text="red dress")

    Args:
        address: Of the server.
        key: What it asks for; empty where it asks for none.
        timeout: Seconds that an answer may take.
        retries: How often a request is sent again that was refused for being too much.
    """

    def __init__(self, address: str, *, key: str = "", timeout: float = 60.0, retries: int = RETRIES) -> None:
        self._http = httpx.Client(base_url=address, headers=headers(key), timeout=timeout)
        self._retries = retries

    def search(
        self,
        *,
        image: Any = None,
        text: str | None = None,
        product_id: str | None = None,
        vector: Any = None,
        k: int = 10,
        where: Any = (),
        exclude: Iterable[str] = (),
        least: float | None = None,
        group: str = "",
        facets: Iterable[str] = (),
        offset: int = 0,
        query: Any = None,
        **more: Any,
    ) -> SearchResult:
        """See :meth:`lapel.Store.search`. ``more`` are other fields, such as ``image_url`` or ``parts``."""
        if query is not None:
            return self._do(calls.search(calls.asked_fields(query)))
        given = {"image": image, "text": text, "product_id": product_id, "vector": vector, "k": k}
        given |= {
            "where": where,
            "exclude": exclude,
            "least": least,
            "group": group,
            "facets": facets,
            "offset": offset,
        }
        return self._do(calls.search({**given, **more}))

    def search_many(
        self,
        queries: Iterable[Any],
        *,
        k: int = 10,
        where: Any = (),
        segment: bool = True,
        least: float | str | None = None,
        group: str = "",
        colour_weight: float | None = None,
        look: Any = None,
        progress: Callable[[int, int | None], None] | None = None,
        errors: str = "raise",
        at_once: int = AT_ONCE,
    ) -> Iterator[SearchResult | LapelError]:
        """See :meth:`lapel.Store.search_many`. ``at_once`` are on their way together, so that the server can encode
        them in one batch."""
        calls.check_many(queries, errors, at_once)
        given = {"k": k, "where": where, "segment": segment, "least": least, "group": group}
        given |= {"colour_weight": colour_weight, "look": look}

        def ask(query: Any) -> SearchResult | LapelError:
            try:
                return self._do(calls.search(calls.fields_of(query, **given)))
            except LapelError as error:
                if errors == "raise":
                    raise
                return error

        return in_order(ask, queries, at_once, progress)

    def embed(self, query: Any) -> EmbeddedQuery:
        """See :meth:`lapel.Store.embed`. ``query`` is a :class:`lapel.Query`, a mapping of a search's fields, or an
        image."""
        return self._do(calls.embed(calls.fields_of(query)))

    def explain(self, query: Any, hit: Hit) -> Explanation:
        """See :meth:`lapel.Store.explain`. ``query`` is as :meth:`embed` takes it."""
        return self._do(calls.explain(calls.fields_of(query), hit.product.id))

    def check_new_picture(self, picture: Any) -> NewCheck:
        """See :meth:`lapel.Store.check_new_picture`."""
        return self._do(calls.copies(picture))

    def estimate_price(
        self, image: Any, *, condition: str = "", brand: str = "", kind: str = "", currency: str = "", k: int = 12
    ) -> PriceEstimate:
        """See :meth:`lapel.Store.estimate_price`."""
        known = {"condition": condition, "brand": brand, "kind": kind, "currency": currency, "k": k}
        return self._do(calls.price(image, known))

    def duplicates(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.duplicates`. This and the questions below are jobs of the server; it is waited for
        their end, whatever ``timeout`` is."""
        return self._ask("duplicates", where, options, progress)

    def clusters(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.clusters`."""
        return self._ask("clusters", where, options, progress)

    def audit_labels(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.audit_labels`."""
        return self._ask("audit_labels", where, options, progress)

    def fill_labels(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.fill_labels`."""
        return self._ask("fill_labels", where, options, progress)

    def audit_photos(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.audit_photos`."""
        return self._ask("audit_photos", where, options, progress)

    def audit_assortment(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.audit_assortment`."""
        return self._ask("audit_assortment", where, options, progress)

    def trends(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.trends`."""
        return self._ask("trends", where, options, progress)

    def regions(self, image: Any) -> list[Region]:
        """See :meth:`lapel.Store.regions`."""
        return self._do(calls.regions(image))

    def recommend(
        self,
        *,
        person: str | None = None,
        product_id: str | None = None,
        basket: Iterable[str] = (),
        kind: str | None = None,
        k: int = 10,
        where: Any = (),
        exclude: Iterable[str] = (),
        seed: int | None = None,
        keep_margin: bool = False,
    ) -> SearchResult:
        """See :meth:`lapel.Store.recommend`."""
        given = {"person": person, "product_id": product_id, "basket": basket, "kind": kind, "k": k}
        given |= {"where": where, "exclude": exclude, "seed": seed, "keep_margin": keep_margin}
        return self._do(calls.recommend(given))

    def record(
        self,
        events: Iterable[Event | Mapping[str, Any]],
        *,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> EventReport:
        """See :meth:`lapel.Store.record`. Many go in several requests; all of it may be sent again."""
        report = EventReport()
        for batch in calls.event_batches(events):
            report += batch.report
            if batch.lines:
                report += self._do(calls.record(batch))
            if progress is not None and report.read:
                progress(report.read, None)
        return report

    def export(self, person: str) -> PersonExport:
        """See :meth:`lapel.Store.export`."""
        return self._do(calls.export(person))

    def erase(self, person: str) -> Erasure:
        """See :meth:`lapel.Store.erase`."""
        return self._do(calls.erase(person))

    def product(self, product_id: str) -> ProductDetails:
        """See :meth:`lapel.Store.product`."""
        return self._do(calls.product(product_id))

    def variants(self, product_id: str, *, k: int = 10, where: Any = ()) -> SearchResult:
        """See :meth:`lapel.Store.variants`."""
        return self._do(calls.variants(product_id, k, where))

    def price_history(self, product_id: str) -> tuple[PricePoint, ...]:
        """See :meth:`lapel.Store.price_history`."""
        return self._do(calls.prices(product_id))

    def browse(self, words: str = "", *, where: Any = (), limit: int = 20, offset: int = 0) -> BrowseResult:
        """See :meth:`lapel.Store.browse`."""
        return self._do(calls.browse(words, where, limit, offset))

    def count(self, where: Any = ()) -> int:
        """See :meth:`lapel.Store.count`."""
        found = self.browse(where=where, limit=1)
        return found.total

    def facets(
        self, names: Any = None, *, where: Any = (), limit: int = 100
    ) -> Mapping[str, tuple[tuple[str, int], ...]]:
        """See :meth:`lapel.Store.facets`."""
        return self._do(calls.facets(names, where, limit))

    def remove(self, product_ids: Sequence[str]) -> RemoveReport:
        """See :meth:`lapel.Store.remove`."""
        found = {}
        for each in dict.fromkeys(product_ids):
            try:
                found[each] = self._do(calls.remove(each))
            except QueryError:
                found[each] = False
        return calls.removed(product_ids, found)

    def put(self, product_id: str, *, images: Sequence[Any] = (), **fields: Any) -> PutResult:
        """Add a product with its pictures, or replace it. ``fields`` are its own, such as ``title`` and ``price``."""
        return self._do(calls.put(product_id, images, fields))

    def patch(self, product_id: str, *, images: Sequence[Any] = (), **fields: Any) -> PutResult:
        """Change some fields of a product; None empties one."""
        return self._do(calls.patch(product_id, images, fields))

    def put_many(self, rows: Sequence[Mapping[str, Any]]) -> list[PutResult]:
        """Add or replace many; each row has an ``id`` and ``pictures``."""
        return self._do(calls.bulk(rows))

    def add(self, table: Any, *, wait: bool = True, **options: Any) -> schema.JobAnswer:
        """Add a table of products whose pictures are links: its path, or its bytes. Returns the job, at its end.

        Args:
            table: A CSV, TSV, JSON, Excel or XML file.
            wait: Whether to wait for the end.
            options: Such as ``whole``, ``feed``, ``mapping``, ``webhook``.
        """
        job = self._do(calls.feed(table, options))
        return self._ended(job, None) if wait else job

    def thumbnail(self, photo: Photo) -> bytes | None:
        """See :meth:`lapel.Store.thumbnail`."""
        try:
            return self._do(calls.thumbnail(photo.sha256))
        except ApiError:
            return None

    def _ask(self, question: str, where: Any, options: Mapping[str, Any], progress: Progress | None) -> Findings:
        job = self._ended(self._do(calls.ask(question, where, options)), progress)
        told = self._do(calls.findings(job, "json"))
        table = self._do(calls.findings(job, "csv"))
        return Findings(json.loads(told), table, job)

    def _ended(self, job: schema.JobAnswer, progress: Progress | None) -> schema.JobAnswer:
        """A job at its end."""
        while job["state"] in ("queued", "running"):
            time.sleep(POLL_SECONDS)
            job = self._do(calls.job(job["id"]))
            if progress is not None:
                progress(job["done"], job["total"])
        return job

    def _do(self, call: Call[Answer]) -> Answer:
        for tried in range(self._retries + 1):
            try:
                answer = self._http.request(call.method, call.path, **call.more)
            except httpx.HTTPError as error:
                raise unreachable(self._http.base_url, error) from error
            if answer.status_code not in RETRIED or tried == self._retries:
                break
            time.sleep(wait_of(answer))
        return call.read(calls.check(answer))

    def close(self) -> None:
        """Close the connections. Closing twice is fine."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
