"""``lapel info``: what a store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, print_json, print_table, say
from lapel.core.types import MINOR_UNITS
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.service import StoreInfo


def info(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Say what a store holds: products, photos, its model, its fields and their commonest values."""
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop:
        facts = shop.info()
    if as_json:
        print_json(facts.to_json())
    else:
        _print(facts)


def _print(facts: StoreInfo) -> None:
    model, small, searched = facts.model, facts.thumbnails, facts.searched
    say(f"  {facts.bytes / 1e6:,.1f} MB", head=facts.folder)
    say(f"{counted(facts.products, 'product')}, {counted(facts.photos, 'photo')}, {counted(searched, 'vector')}")
    if facts.delisted or facts.hidden:
        say(
            f"Not shown: {counted(facts.delisted, 'product')} delisted, {facts.unreachable:,} with no picture in reach;"
            f" {counted(facts.hidden, 'photo')} hidden from results"
        )
    say(f"model {model['name'] or 'not chosen yet'} ({model['fingerprint'] or '-'}), index {facts.index.spec}")
    if facts.index.problem:
        say(
            f"The last work on the index failed: {facts.index.problem}. Searches go on without it; 'lapel index"
            " rebuild' tries again.",
            style="yellow",
        )
    say(
        f"{counted(small['photos'], 'photo')} with thumbnails, {small['bytes'] / 1e6:,.1f} of at most"
        f" {small['most'] / 1e6:,.0f} MB"
    )
    lacking = {name: count for name, count in facts.lacking.items() if name != "embedding"}
    if lacking:
        words = ", ".join(f"{count:,} a {name.replace('_', ' ')}" for name, count in lacking.items())
        say(f"Photos that lack {words}: 'lapel media features' derives them")
    if facts.index_choice:
        say(facts.index_choice)
    if others := sum(facts.vectors.values()) - searched:
        say(f"{others:,} more {'vector' if others == 1 else 'vectors'} of other models; 'lapel model list' shows them")
    rows = [
        (name, ", ".join(f"{value} ({count:,})" for value, count in list(values.items())[:5]))
        for name, values in facts.fields.items()
    ]
    rows += [
        ("price", f"{_amount(low, currency)} to {_amount(high, currency)} {currency}")
        for currency, (low, high) in facts.prices.items()
    ]
    if rows:
        print_table(("field", "commonest values (products)"), rows, shrink="commonest values (products)")


def _amount(price: float, currency: str) -> str:
    return f"{price:,.{MINOR_UNITS.get(currency, 2)}f}"
