"""``lapel info``: what a store holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lapel import __version__
from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, print_json, print_table, say
from lapel.catalog import Catalog
from lapel.catalog.filters import COLUMNS
from lapel.catalog.schema import MIGRATIONS
from lapel.core.text import counted
from lapel.core.types import MINOR_UNITS


def info(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Say what a store holds: products, photos, its model, its fields and their commonest values."""
    from lapel.engine.context import CATALOGUE, open_to_look
    from lapel.indexes import explain

    with open_to_look(store) as shop:
        catalog = shop.catalog
        counts = catalog.counts()
        size = sum(path.stat().st_size for path in store.iterdir() if path.is_file())
        facts: dict[str, Any] = {
            "lapel": __version__,
            "store": str(store.resolve()),
            "bytes": size,
            "catalogue": CATALOGUE,
            "schema": len(MIGRATIONS),
            "generation": catalog.generation,
            "products": counts.products,
            "photos": counts.photos,
            "gone": counts.delisted,
            "lost": counts.unreachable,
            "hidden": counts.hidden,
            "vectors": dict(counts.vectors),
            "model": {
                "name": catalog.setting("model"),
                "opened_with": catalog.setting("encoder"),
                "fingerprint": catalog.setting("fingerprint"),
                "dim": int(catalog.setting("dim") or 0) or None,
            },
            "thumbnails": {**asdict(shop.thumbnails.size()), "most": shop.thumbnails.most},
            "index": shop.index_spec,
            "index_choice": "",
            "prices": {currency: list(ends) for currency, ends in catalog.price_ranges().items()},
            "fields": _fields(catalog),
        }
    model, small = facts["model"], facts["thumbnails"]
    searched = counts.vectors.get(model["fingerprint"] or "", 0)
    facts["index_choice"] = explain(facts["index"], count=searched, dim=model["dim"] or 128)
    if as_json:
        print_json(facts)
        return
    say(f"  {size / 1e6:,.1f} MB", head=facts["store"])
    say(f"{counted(counts.products, 'product')}, {counted(counts.photos, 'photo')}, {counted(searched, 'vector')}")
    if counts.delisted or counts.hidden:
        say(
            f"Not shown: {counted(counts.delisted, 'product')} gone from the feed, {counts.unreachable:,} with no picture in"
            f" reach;"
            f" {counted(counts.hidden, 'photo')} hidden from results"
        )
    say(f"model {model['name'] or 'not chosen yet'} ({model['fingerprint'] or '-'}), index {facts['index']}")
    say(
        f"{counted(small['photos'], 'photo')} with small pictures, {small['bytes'] / 1e6:,.1f} of at most"
        f" {small['most'] / 1e6:,.0f} MB"
    )
    if facts["index_choice"]:
        say(facts["index_choice"])
    if others := sum(counts.vectors.values()) - searched:
        say(f"{others:,} more {'vector' if others == 1 else 'vectors'} of other models; 'lapel model list' shows them")
    rows = [
        (name, ", ".join(f"{value} ({count:,})" for value, count in list(values.items())[:5]))
        for name, values in facts["fields"].items()
    ]
    rows += [
        ("price", f"{_amount(low, currency)} to {_amount(high, currency)} {currency}")
        for currency, (low, high) in facts["prices"].items()
    ]
    if rows:
        print_table(("field", "commonest values (products)"), rows, shrink="commonest values (products)")


def _amount(price: float, currency: str) -> str:
    return f"{price:,.{MINOR_UNITS.get(currency, 2)}f}"


def _fields(catalog: Catalog) -> dict[str, dict[str, int]]:
    """The ten commonest values of each field that repeats values at all."""
    fields = {}
    for name in catalog.field_names():
        if name not in (*COLUMNS, "price"):
            fields[name] = dict(catalog.facet_values(name, limit=10))
    return {name: values for name, values in fields.items() if values and max(values.values()) > 1}
