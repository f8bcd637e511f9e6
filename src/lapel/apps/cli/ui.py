"""``lapel ui``: the web page."""

from __future__ import annotations

from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, StoreOption

HostOption = Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 lets other machines in.")]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Port to listen on; the next free one when it is taken.")
]


def ui(store: StoreOption = DEFAULT_STORE, host: HostOption = "127.0.0.1", port: PortOption = 8501) -> None:
    """Serve the web page and print its address. Ctrl-C stops it."""
    from lapel.apps.ui import serve

    raise typer.Exit(serve(store, host=host, port=port))
