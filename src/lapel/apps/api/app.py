"""The app: routes and layers put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from lapel import __version__
from lapel.apps.api import (
    admin,
    bulk,
    duplicates,
    events,
    explain,
    insight,
    jobs,
    pack,
    pages,
    products,
    recommend,
    regions,
    search,
    status,
)
from lapel.apps.api.fields import ProductRequest
from lapel.apps.api.middleware import Entrance, Overload
from lapel.apps.api.problems import install
from lapel.apps.api.questions import ExplainRequest, PartRequest, SearchRequest
from lapel.apps.api.schemas import ProblemAnswer, PutAnswer
from lapel.apps.api.serving import ApiOptions, Serving
from lapel.service import Store

GZIP_BYTES = 1024  # smaller answers are not packed
CORS_SECONDS = 86_400


def create_app(store: Store, options: ApiOptions | None = None) -> FastAPI:
    """An ASGI app that serves an open store; whoever opened it closes it.

    >>> app = create_app(lapel.open_store("shop"))  # doctest: +SKIP
    """
    serving = Serving(store, options or ApiOptions())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        runner = None if store.read_only else await serving.quick(store.run_jobs)
        yield
        serving.close()
        if runner is not None:
            runner.close()

    # Pages of documentation would need scripts of others; the text itself is at /openapi.json.
    app = FastAPI(title="Lapel", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.serving = serving
    for module in (
        bulk,
        search,
        events,
        recommend,
        products,
        jobs,
        admin,
        status,
        regions,
        explain,
        insight,
        duplicates,
        pack,
        pages,
    ):  # the order counts: /products/{id}/similar before /products/{id}
        app.include_router(module.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    install(app)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_BYTES, compresslevel=5)
    app.add_middleware(Overload, serving=serving)
    if serving.options.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(serving.options.origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key"],
            expose_headers=["ETag", "Retry-After", "X-Request-Id"],
            max_age=CORS_SECONDS,
        )
    app.add_middleware(Entrance, serving=serving)
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI text, with the bodies that routes read themselves."""
    if app.openapi_schema:
        return app.openapi_schema
    made = get_openapi(
        title=app.title,
        version=app.version,
        routes=app.routes,
        description="Give it a picture, it finds the products that look like it.",
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for model in (
        SearchRequest,
        ExplainRequest,
        PartRequest,
        ProductRequest,
        ProblemAnswer,
        PutAnswer,
        jobs.FeedRequest,
        jobs.Webhook,
        insight.InsightRequest,
        admin.UseRequest,
    ):
        own = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(own.pop("$defs", {}))
        schemas[model.__name__] = own
    made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"key": []}, {}]
    app.openapi_schema = made
    return made
