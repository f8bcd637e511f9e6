"""``lapel ui``: the web page."""

from __future__ import annotations

from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, StoreOption

HostOption = Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 lets other machines in.")]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Port to listen on; the next free one when it is taken.")
]


def ui(
    store: StoreOption = DEFAULT_STORE,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8501,
    password: Annotated[
        bool,
        typer.Option("--password", help="Ask for a password, which is typed now; or set LAPEL_UI_PASSWORD."),
    ] = False,
    look_password: Annotated[
        bool,
        typer.Option("--look-password", help="Another one for those who may look and not manage."),
    ] = False,
    user_header: Annotated[
        str, typer.Option("--user-header", help="Header in which a proxy in front says who asks, such as Remote-User.")
    ] = "",
    manager: Annotated[
        list[str] | None, typer.Option("--manager", help="A name in that header that may manage; again for more.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A host the page answers to; again for more. All by default."),
    ] = None,
) -> None:
    """Serve the web page and print its address. Ctrl-C stops it.

    Whoever reaches it from this machine may manage the shop. With --host 0.0.0.0 other machines may look, and manage
    only with a password or by a proxy's header.
    """
    from lapel.apps.ui import serve

    given = {
        "LAPEL_UI_PASSWORD": typer.prompt("Password to manage", hide_input=True) if password else "",
        "LAPEL_UI_LOOK_PASSWORD": typer.prompt("Password to look", hide_input=True) if look_password else "",
        "LAPEL_UI_USER_HEADER": user_header,
        "LAPEL_UI_MANAGERS": ",".join(manager or ()),
        "LAPEL_UI_HOSTS": ",".join(allow_host or ()),
    }
    told = {name: value for name, value in given.items() if value}
    raise typer.Exit(serve(store, host=host, port=port, given=told))
