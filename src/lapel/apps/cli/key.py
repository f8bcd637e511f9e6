"""``lapel key``: who may ask a store over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, print_json, print_table, say

key = typer.Typer(no_args_is_help=True, help="Keys for the HTTP API: make, list and revoke them.")


@key.command()
def create(
    scope: Annotated[
        list[str], typer.Option("--scope", help="What it is for: search, events, write or admin. Repeat for more.")
    ],
    name: Annotated[str, typer.Option("--name", help="What people call it, such as 'the website'.")] = "",
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show it this once: only its hash is kept."""
    from lapel.service import open_store

    with open_store(store) as shop:
        made = shop.keys.create(tuple(scope), name)
    if as_json:
        print_json({"key": made, "scopes": scope, "name": name})
    else:
        say("Keep this key now: it is not shown again.", err=True)
        say(made)


@key.command("list")
def list_keys(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Every key, also those that are revoked."""
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop:
        keys = shop.keys.list()
    if as_json:
        told = [
            {"id": each.id, "name": each.name, "scopes": each.scopes, "created_at": each.created_at}
            | {"revoked_at": each.revoked_at}
            for each in keys
        ]
        print_json({"keys": told})
    elif keys:
        rows = [(each.id, each.name, ", ".join(each.scopes), each.created_at, each.revoked_at) for each in keys]
        print_table(("id", "name", "scopes", "created", "revoked"), rows, shrink="name")
    else:
        say("There is no key: the API answers this machine only. Make one with: lapel key create --scope search")


@key.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, see 'lapel key list'.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Let a key count no more, within a second, in every process that serves the store."""
    from lapel.service import open_store

    with open_store(store) as shop:
        changed = shop.keys.revoke(key_id)
    say(f"The key {key_id} counts no more." if changed else f"The key {key_id} was revoked before.")
