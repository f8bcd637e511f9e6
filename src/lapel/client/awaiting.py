"""The client of a server, for programs that await. ``sync.py`` is made of this file by ``generate.py``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
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
from lapel.client.many import AT_ONCE, in_order_awaited
from lapel.core.errors import LapelError, QueryError
from lapel.core.events import Erasure, Event, EventReport, PersonExport

Answer = TypeVar("Answer")
Progress = Callable[[int, int | None], None]


class AsyncClient:
    """A store on a server. Its calls and answers are those of :class:`lapel.Store`, and so are its errors.

    >>> async with lapel.client.AsyncClient("http://127.0.0.1:8080") as store:  # doctest: +SKIP
    ...     found = await store.search(text="red dress")

    Args:
        address: Of the server.
        key: What it asks for; empty where it asks for none.
        timeout: Seconds that an answer may take.
        retries: How often a request is sent again that was refused for being too much.
    """

    def __init__(self, address: str, *, key: str = "", timeout: float = 60.0, retries: int = RETRIES) -> None:
        self._http = httpx.AsyncClient(base_url=address, headers=headers(key), timeout=timeout)
        self._retries = retries

    async def search(
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
            return await self._do(calls.search(calls.asked_fields(query)))
        given = {"image": image, "text": text, "product_id": product_id, "vector": vector, "k": k}
        given |= {
            "where": where,
            "exclude": exclude,
            "least": least,
            "group": group,
            "facets": facets,
            "offset": offset,
        }
        return await self._do(calls.search({**given, **more}))

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
    ) -> AsyncIterator[SearchResult | LapelError]:
        """See :meth:`lapel.Store.search_many`. ``at_once`` are on their way together, so that the server can encode
        them in one batch."""
        calls.check_many(queries, errors, at_once)
        given = {"k": k, "where": where, "segment": segment, "least": least, "group": group}
        given |= {"colour_weight": colour_weight, "look": look}

        async def ask(query: Any) -> SearchResult | LapelError:
            try:
                return await self._do(calls.search(calls.fields_of(query, **given)))
            except LapelError as error:
                if errors == "raise":
                    raise
                return error

        return in_order_awaited(ask, queries, at_once, progress)

    async def embed(self, query: Any) -> EmbeddedQuery:
        """See :meth:`lapel.Store.embed`. ``query`` is a :class:`lapel.Query`, a mapping of a search's fields, or an
        image."""
        return await self._do(calls.embed(calls.fields_of(query)))

    async def explain(self, query: Any, hit: Hit) -> Explanation:
        """See :meth:`lapel.Store.explain`. ``query`` is as :meth:`embed` takes it."""
        return await self._do(calls.explain(calls.fields_of(query), hit.product.id))

    async def check_new_picture(self, picture: Any) -> NewCheck:
        """See :meth:`lapel.Store.check_new_picture`."""
        return await self._do(calls.copies(picture))

    async def estimate_price(
        self, image: Any, *, condition: str = "", brand: str = "", kind: str = "", currency: str = "", k: int = 12
    ) -> PriceEstimate:
        """See :meth:`lapel.Store.estimate_price`."""
        known = {"condition": condition, "brand": brand, "kind": kind, "currency": currency, "k": k}
        return await self._do(calls.price(image, known))

    async def duplicates(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.duplicates`. This and the questions below are jobs of the server; it is waited for
        their end, whatever ``timeout`` is."""
        return await self._ask("duplicates", where, options, progress)

    async def clusters(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.clusters`."""
        return await self._ask("clusters", where, options, progress)

    async def audit_labels(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.audit_labels`."""
        return await self._ask("audit_labels", where, options, progress)

    async def fill_labels(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.fill_labels`."""
        return await self._ask("fill_labels", where, options, progress)

    async def audit_photos(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.audit_photos`."""
        return await self._ask("audit_photos", where, options, progress)

    async def audit_assortment(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.audit_assortment`."""
        return await self._ask("audit_assortment", where, options, progress)

    async def trends(self, *, where: Any = (), progress: Progress | None = None, **options: Any) -> Findings:
        """See :meth:`lapel.Store.trends`."""
        return await self._ask("trends", where, options, progress)

    async def regions(self, image: Any) -> list[Region]:
        """See :meth:`lapel.Store.regions`."""
        return await self._do(calls.regions(image))

    async def recommend(
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
        return await self._do(calls.recommend(given))

    async def record(
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
                report += await self._do(calls.record(batch))
            if progress is not None and report.read:
                progress(report.read, None)
        return report

    async def export(self, person: str) -> PersonExport:
        """See :meth:`lapel.Store.export`."""
        return await self._do(calls.export(person))

    async def erase(self, person: str) -> Erasure:
        """See :meth:`lapel.Store.erase`."""
        return await self._do(calls.erase(person))

    async def product(self, product_id: str) -> ProductDetails:
        """See :meth:`lapel.Store.product`."""
        return await self._do(calls.product(product_id))

    async def variants(self, product_id: str, *, k: int = 10, where: Any = ()) -> SearchResult:
        """See :meth:`lapel.Store.variants`."""
        return await self._do(calls.variants(product_id, k, where))

    async def price_history(self, product_id: str) -> tuple[PricePoint, ...]:
        """See :meth:`lapel.Store.price_history`."""
        return await self._do(calls.prices(product_id))

    async def browse(self, words: str = "", *, where: Any = (), limit: int = 20, offset: int = 0) -> BrowseResult:
        """See :meth:`lapel.Store.browse`."""
        return await self._do(calls.browse(words, where, limit, offset))

    async def count(self, where: Any = ()) -> int:
        """See :meth:`lapel.Store.count`."""
        found = await self.browse(where=where, limit=1)
        return found.total

    async def facets(
        self, names: Any = None, *, where: Any = (), limit: int = 100
    ) -> Mapping[str, tuple[tuple[str, int], ...]]:
        """See :meth:`lapel.Store.facets`."""
        return await self._do(calls.facets(names, where, limit))

    async def remove(self, product_ids: Sequence[str]) -> RemoveReport:
        """See :meth:`lapel.Store.remove`."""
        found = {}
        for each in dict.fromkeys(product_ids):
            try:
                found[each] = await self._do(calls.remove(each))
            except QueryError:
                found[each] = False
        return calls.removed(product_ids, found)

    async def put(self, product_id: str, *, images: Sequence[Any] = (), **fields: Any) -> PutResult:
        """Add a product with its pictures, or replace it. ``fields`` are its own, such as ``title`` and ``price``."""
        return await self._do(calls.put(product_id, images, fields))

    async def patch(self, product_id: str, *, images: Sequence[Any] = (), **fields: Any) -> PutResult:
        """Change some fields of a product; None empties one."""
        return await self._do(calls.patch(product_id, images, fields))

    async def put_many(self, rows: Sequence[Mapping[str, Any]]) -> list[PutResult]:
        """Add or replace many; each row has an ``id`` and ``pictures``."""
        return await self._do(calls.bulk(rows))

    async def add(self, table: Any, *, wait: bool = True, **options: Any) -> schema.JobAnswer:
        """Add a table of products whose pictures are links: its path, or its bytes. Returns the job, at its end.

        Args:
            table: A CSV, TSV, JSON, Excel or XML file.
            wait: Whether to wait for the end.
            options: Such as ``whole``, ``feed``, ``mapping``, ``webhook``.
        """
        job = await self._do(calls.feed(table, options))
        return await self._ended(job, None) if wait else job

    async def thumbnail(self, photo: Photo) -> bytes | None:
        """See :meth:`lapel.Store.thumbnail`."""
        try:
            return await self._do(calls.thumbnail(photo.sha256))
        except ApiError:
            return None

    async def _ask(self, question: str, where: Any, options: Mapping[str, Any], progress: Progress | None) -> Findings:
        job = await self._ended(await self._do(calls.ask(question, where, options)), progress)
        told = await self._do(calls.findings(job, "json"))
        table = await self._do(calls.findings(job, "csv"))
        return Findings(json.loads(told), table, job)

    async def _ended(self, job: schema.JobAnswer, progress: Progress | None) -> schema.JobAnswer:
        """A job at its end."""
        while job["state"] in ("queued", "running"):
            await asyncio.sleep(POLL_SECONDS)
            job = await self._do(calls.job(job["id"]))
            if progress is not None:
                progress(job["done"], job["total"])
        return job

    async def _do(self, call: Call[Answer]) -> Answer:
        for tried in range(self._retries + 1):
            try:
                answer = await self._http.request(call.method, call.path, **call.more)
            except httpx.HTTPError as error:
                raise unreachable(self._http.base_url, error) from error
            if answer.status_code not in RETRIED or tried == self._retries:
                break
            await asyncio.sleep(wait_of(answer))
        return call.read(calls.check(answer))

    async def close(self) -> None:
        """Close the connections. Closing twice is fine."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
