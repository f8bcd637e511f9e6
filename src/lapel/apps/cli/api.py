"""``lapel api``: serve a store over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, StoreOption, say
from lapel.core.errors import MissingDependencyError


def api(
    store: StoreOption = DEFAULT_STORE,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; others need keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8080,
    no_keys: Annotated[
        bool, typer.Option("--no-keys", help="Ask for no key though the store has some; on this machine only.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="A name this server goes by, such as api.shop.example. Repeat."
        ),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", help="Pages that may ask, such as https://shop.example; * for all. Repeat."),
    ] = None,
    rate: Annotated[
        int, typer.Option("--rate", min=1, help="Requests a minute of one key, and of one address.")
    ] = 6000,
    pictures: Annotated[
        int, typer.Option("--pictures", min=1, help="Pictures on their way at once; more are told to come back.")
    ] = 48,
) -> None:
    """Serve a store over HTTP, under /v1; /openapi.json says what there is. Ctrl-C stops it.

    A store without keys is served to this machine only. 'lapel key create' makes the first key; from then on each
    request needs one.
    """
    try:
        from lapel.apps.api import ApiOptions, serve
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"The API needs {error.name}. Run: pip install 'lapel[api]'") from error
    options = ApiOptions(
        host=host,
        port=port,
        keys=not no_keys,
        hosts=tuple(allow_host or ()),
        origins=tuple(origin or ()),
        rate=rate,
        pictures=pictures,
    )
    serve(store, options, lambda: say(f"Serving {store} at http://{host}:{port}/v1", err=True))
