"""``lapel recommend``: what to show next, to whom and beside what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    WhereOption,
    print_json,
    print_table,
    progress_bar,
    say,
)
from lapel.core.types import Filter
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.core.types import SearchResult

recommend = typer.Typer(
    help="What to show next: rows with reasons; substitutes; what another way would have done.",
    invoke_without_command=True,
)
#: The estimators in plain words; ``--json`` has their names.
WAYS = {
    "ips": "each click counted by how likely it was to be seen (IPS)",
    "snips": "the same, as shares of what was shown (SNIPS)",
    "dr": "the same beside a guess from other lists (doubly robust)",
}
KindOption = Annotated[
    str | None,
    typer.Option("--kind", help="for-you, similar, together, look, upsell or substitutes."),
]


@recommend.callback()
def row(
    context: typer.Context,
    person: Annotated[str | None, typer.Option("--person", help="For whom, as in the events.")] = None,
    product: Annotated[
        str | None, typer.Option("--product", metavar="ID", help="The product it stands beside.")
    ] = None,
    basket: Annotated[
        list[str] | None, typer.Option("--basket", metavar="ID", help="A product that is chosen already. Repeat.")
    ] = None,
    kind: KindOption = None,
    k: Annotated[int, typer.Option("-k", help="How many products.")] = 10,
    where: WhereOption = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", metavar="ID", help="Leave out. Repeat.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Recommend products: for a person what they like, beside a product what is similar; --kind asks for another row.

    Never what is hidden, sold out, or was bought, disliked or dismissed; never the same photo twice.
    """
    if context.invoked_subcommand is not None:
        return
    from lapel.service import open_store, result_json

    with open_store(store) as shop:
        result = shop.recommend(
            person=person,
            product_id=product,
            basket=basket or (),
            kind=kind,
            k=k,
            where=Filter.parse(where or ()),
            exclude=exclude or (),
        )
    if as_json:
        print_json(result_json(result))
    else:
        _print(result, filtered=bool(where or exclude))


def _print(result: SearchResult, *, filtered: bool) -> None:
    if not result:
        way_on = "Loosen --where and --exclude." if filtered else "Another --kind may have some."
        say(f"There is nothing to recommend: no product that may be shown fits such a row. {way_on}")
        return
    columns = {
        "rank": [str(hit.rank) for hit in result],
        "id": [hit.product.id for hit in result],
        "title": [hit.product.title for hit in result],
        "category": [hit.product.category[-1] if hit.product.category else "" for hit in result],
        "price": [hit.product.price for hit in result],
        "why": [hit.reason.words if hit.reason else "" for hit in result],
        "rules": [", ".join(hit.rules) for hit in result],
    }
    columns = {name: values for name, values in columns.items() if any(values)}
    print_table(list(columns), list(zip(*columns.values(), strict=True)), right=("rank", "price"), shrink="why")


@recommend.command()
def substitutes(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The CSV to write.")],
    k: Annotated[int, typer.Option("-k", help="How many for each product.")] = 5,
    where: WhereOption = None,
    since: Annotated[
        Path | None, typer.Option("--since", metavar="FILE", help="An earlier feed: write only what changed.")
    ] = None,
    keep_margin: Annotated[
        bool, typer.Option("--keep-margin", help="Only with at least the product's margin.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write for every product that is sold out, or those of --where, what can be sold in its place.

    Columns are product and substitutes, with | between them. With --since a product that needs none any more has an
    empty row.
    """
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop, progress_bar("finding substitutes") as update:
        report = shop.rows.write_substitutes(
            out,
            k=k,
            where=None if where is None else Filter.parse(where),
            since=since,
            keep_margin=keep_margin,
            progress=update,
        )
    if as_json:
        print_json({"products": report.products, "without": report.without, "written": report.written, "csv": str(out)})
    else:
        none = f", {report.without:,} without any" if report.without else ""
        wrote = f"Wrote {counted(report.written, 'row')}: {out}"
        say(f"Substitutes for {counted(report.products, 'product')}{none}. {wrote}")


@recommend.command("settings")
def configure(
    values: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="What to change.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show how rows are made, or change it: such as explore=0.05, per_brand=2 or log=false."""
    from lapel.service import open_store, read_row_settings

    with open_store(store, read_only=None if not values else False) as shop:
        made = shop.rows.settings
        if values:
            made = shop.rows.configure({**made.to_json(), **read_row_settings(values)})
    if as_json:
        print_json(made.to_json())
    else:
        print_table(("setting", "value"), [(name, str(value)) for name, value in made.to_json().items()])


@recommend.command()
def tune(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Find out how much what others like should count in rows for people, from what people did last.

    The last products of up to 200 people are held out; the weight that finds most of them is kept, and used while the
    setting collaborative is auto. It is done by itself too, whenever there are half as many events more.
    """
    from lapel.service import open_store

    with open_store(store) as shop:
        found = shop.rows.tune()
    if as_json:
        print_json(found.to_json())
        return
    if not found.people:
        say("Too few people did something with three products or more; what others like does not count yet.")
        return
    rows = [(f"{weight:g}", f"{share:.1%}") for weight, share in found.found]
    title = f"Of what {found.people} people did last, found in the first 50"
    print_table(("weight of others", "found"), rows, right=("weight of others", "found"), title=title)
    gain = f"{found.change.value:+.1%}, between {found.change.low:+.1%} and {found.change.high:+.1%}"
    say(f"The weight is {found.weight:g} from now on ({gain})." if found.weight else f"Others do not count ({gain}).")


@recommend.command()
def replay(
    old: Annotated[str, typer.Argument(metavar="OLD", help="'current', or a JSON file with settings and rules.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Another such: what is to be tried.")],
    days: Annotated[float, typer.Option("--days", help="How far back the log is read.")] = 30.0,
    reward: Annotated[
        list[str] | None, typer.Option("--reward", help="What counts: view, like, cart or buy. Repeat; all by default.")
    ] = None,
    most: Annotated[int, typer.Option("--most", help="Lists at most, the newest.")] = 2000,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Estimate from the lists that were shown what a changed setting, rule or model would have done.

    A policy file is such as {"settings": {"popularity": 0.2}, "rules": [], "model": "small"}; what it does not say is
    as it is, and a model is one that has vectors here. Without explored lists (the setting explore) only what both
    would show can be compared, and that is said.
    """
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop, progress_bar("asking for lists again") as update:
        report = shop.rows.replay(old, new, days=days, rewards=reward or (), most=most, progress=update)
    if as_json:
        print_json(report.to_json())
        return
    explored = f"{report.explored:.0%} of their places might have held another product"
    say(f"{counted(report.lists, 'list')} with {counted(report.clicks, 'click')}; {explored}.")
    if report.lists:
        header = ("clicks in 100 lists", "old", "new", "change", "95 % interval")
        rows = [
            (
                WAYS[name],
                f"{100 * report.old[name].value:.1f}",
                f"{100 * report.new[name].value:.1f}",
                f"{100 * found.value:+.1f}",
                f"{100 * found.low:+.1f} to {100 * found.high:+.1f}",
            )
            for name, found in report.change.items()
        ]
        title = f"Three ways to estimate; as it was shown it had {100 * report.logged.value:.1f}"
        print_table(header, rows, right=header[1:4], title=title)
        if report.support < 0.9:
            say(f"The log could have shown {report.support:.0%} of what the new policy shows: its figures are too low.")
    say(report.words)
