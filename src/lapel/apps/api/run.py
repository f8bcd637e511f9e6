"""Listening: one process that serves one store until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from lapel.apps.api.app import create_app
from lapel.apps.api.protocol import Protocol
from lapel.apps.api.serving import ApiOptions
from lapel.core.errors import InputError
from lapel.service import Store, open_store

GRACE_SECONDS = 30  # that requests under way get to end when the server is stopped
KEEP_ALIVE_SECONDS = 30
BACKLOG = 2048


def serve(folder: Path, options: ApiOptions, begins: Callable[[], None] = lambda: None) -> None:
    """Serve a store until SIGTERM or Ctrl-C; requests under way are answered first.

    Args:
        folder: The store's.
        options: How.
        begins: Called once the store is open and may be served.

    Raises:
        InputError: it would be open to other machines without a key.
        StoreError: the store cannot be opened.
    """
    with open_store(folder) as store:
        check_open(store, options)
        store.check_model()
        app = create_app(store, options)
        begins()
        listen(app, options)


def check_open(store: Store, options: ApiOptions) -> None:
    """See that nobody reaches a store who should not.

    Raises:
        InputError: it would be open to other machines without a key.
    """
    if not options.loopback and not (options.keys and store.keys.list()):
        raise InputError(
            f"Whoever reaches {options.host} could ask and change this shop, as no key is asked for. Make one with:"
            f" lapel key create --scope search --store {store.folder}; or listen on 127.0.0.1."
        )


def listen(app: ASGIApp, options: ApiOptions) -> None:
    """Serve an app until SIGTERM or Ctrl-C; requests under way are answered first."""
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        http=Protocol,
    )
