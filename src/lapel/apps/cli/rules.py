"""``lapel rules``: what a shop wants of its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, note, print_json, print_table, say
from lapel.core.types import Query
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.core.types import SearchResult

rules = typer.Typer(no_args_is_help=True, help="Rules of the shop: pin, hide, boost, bury, what is in stock first.")
Action = Annotated[str, typer.Argument(metavar="ACTION", help="pin, hide, boost, bury or stock-first.")]
Where = Annotated[
    list[str] | None, typer.Option("--where", help="Which products, such as brand=Nike. Repeat for more.")
]
Place = Annotated[
    list[str] | None,
    typer.Option("--place", help="Where it holds: search or a kind of row, such as for-you. Everywhere by default."),
]
Since = Annotated[str, typer.Option("--since", metavar="DATE", help="From when on, such as 2026-12-01.")]
Until = Annotated[str, typer.Option("--until", metavar="DATE", help="Until when; that day no more.")]
Amount = Annotated[float, typer.Option("--amount", help="Of a boost or bury, in units of the score, up to 2.")]


@rules.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it; an older one of this name goes.")],
    action: Action,
    where: Where = None,
    place: Place = None,
    since: Since = "",
    until: Until = "",
    amount: Amount = 0.1,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Let a rule hold from now on, for searches and rows alike. Look at it first with 'lapel rules preview'."""
    from lapel.service import made_rule, open_store

    rule = made_rule(name, action, where or (), places=place or (), since=since, until=until, amount=amount)
    with open_store(store) as shop:
        replaced = shop.rules.add(rule)
        products = shop.count(rule.where)
    say(
        f"The rule '{name}' holds for {counted(products, 'product')}"
        + (", in place of the older one." if replaced else ".")
    )
    if not products:
        note("It changes nothing until a product passes its filter.")


@rules.command("list")
def list_rules(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Every rule, in the order they were made."""
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop:
        known = [rule.to_json() for rule in shop.rules.list()]
    if as_json:
        print_json({"rules": known})
    elif known:
        header = ("name", "action", "where", "places", "since", "until", "amount")
        rows = [
            [", ".join(each[name]) if isinstance(each[name], list) else str(each[name]) for name in header]
            for each in known
        ]
        print_table(header, rows, shrink="where")
    else:
        say("There is no rule. Make one with: lapel rules add NAME boost --where brand=Nike")


@rules.command()
def preview(
    action: Action,
    where: Where = None,
    place: Place = None,
    amount: Amount = 0.1,
    text: Annotated[str | None, typer.Option("--text", help="Compare the answers to these words.")] = None,
    product: Annotated[str | None, typer.Option("--product", metavar="ID", help="Or to a product, or its row.")] = None,
    person: Annotated[str | None, typer.Option("--person", help="Or a person's row.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Which row; with a product alone, a search.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many hits.")] = 10,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show what a rule would do, changing nothing: an answer as it is, and as it would be."""
    from lapel.service import RowQuery, made_rule, open_store, result_json

    rule = made_rule("preview", action, where or (), places=place or (), amount=amount)
    row = None
    if kind or (person and not text):
        row = RowQuery(kind or "for-you", person=person or "", product_id=product or "", k=k)
    query = None if row or not (text or product) else Query(text=text, product_id=product, k=k)
    with open_store(store) as shop:
        found = shop.rules.preview(rule, query=query, row=row)
    if as_json:
        told = {
            name: None if each is None else result_json(each)
            for name, each in (("before", found.before), ("after", found.after))
        }
        print_json({"products": found.products, **told})
        return
    say(f"It is about {counted(found.products, 'product')}.")
    if found.before is not None and found.after is not None:
        _print(found.before, found.after)


def _print(before: SearchResult, after: SearchResult) -> None:
    old = {hit.product.id: hit.rank for hit in before}
    new = {hit.product.id: hit.rank for hit in after}
    rows = [
        (str(hit.rank), str(old.get(hit.product.id, "new")), hit.product.id, hit.product.title, ", ".join(hit.rules))
        for hit in after
    ]
    print_table(("rank", "before", "id", "title", "rules"), rows, right=("rank", "before"), shrink="title")
    gone = [name for name in old if name not in new]
    if gone:
        say(f"No longer among them: {', '.join(gone)}.")


@rules.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which.")], store: StoreOption = DEFAULT_STORE
) -> None:
    """Let a rule hold no more."""
    from lapel.service import open_store

    with open_store(store) as shop:
        shop.rules.remove(name)
    say(f"The rule '{name}' holds no more.")
