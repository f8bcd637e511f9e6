"""``lapel mcp``: a store as tools for assistants."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, StoreOption, say
from lapel.core.errors import MissingDependencyError


def mcp(
    store: StoreOption = DEFAULT_STORE,
    key: Annotated[
        str, typer.Option("--key", envvar="LAPEL_KEY", help="Ask with this key, such as a scoped one (stdio).")
    ] = "",
    pictures: Annotated[
        list[Path] | None,
        typer.Option("--pictures", help="A folder whose pictures may be searched with by path (stdio). Repeat."),
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="Serve streamable HTTP at /mcp instead of stdio.")] = False,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; others need keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8090,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A name this server goes by. Repeat."),
    ] = None,
) -> None:
    """Give assistants tools to search a store with: search, similar, together, substitutes, explain, facets and
    product, with pictures.

    An assistant on this machine starts it and speaks over stdin and stdout. With --http it serves others, who send a
    key as they do to the API; scoped keys limit what they see.
    """
    try:
        from lapel.apps.api.assistants import serve_assistants
        from lapel.apps.api.serving import ApiOptions
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"Assistants need {error.name}. Run: pip install 'lapel[mcp]'") from error
    options = None
    if http:
        options = ApiOptions(host=host, port=port, hosts=tuple(allow_host or ()))
        say(f"Serving {store} at http://{host}:{port}/mcp", err=True)
    serve_assistants(store, options, key=key, pictures=pictures or ())
