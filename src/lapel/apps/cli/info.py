"""``lapel info``: what a store holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from lapel import __version__
from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, console, print_json, say
from lapel.catalog import Catalog
from lapel.catalog.schema import MIGRATIONS


def info(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Say what a store holds: products, photos, its model, its fields and their commonest values."""
    from lapel.engine.store import CATALOGUE, open_to_look
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
            "gone": counts.gone,
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
            "fields": _fields(catalog),
        }
    model, small = facts["model"], facts["thumbnails"]
    searched = counts.vectors.get(model["fingerprint"] or "", 0)
    facts["index_choice"] = explain(facts["index"], count=searched, dim=model["dim"] or 128)
    if as_json:
        print_json(facts)
        return
    say(f"[bold]{escape(facts['store'])}[/]  {size / 1e6:,.1f} MB")
    say(f"{counts.products:,} products, {counts.photos:,} photos, {searched:,} vectors")
    if counts.gone or counts.hidden:
        say(f"{counts.gone:,} more products are gone from their feed; {counts.hidden:,} photos are hidden from results")
    say(f"model {model['name'] or 'not chosen yet'} ({model['fingerprint'] or '-'}), index {facts['index']}")
    say(
        f"{small['photos']:,} photos with small pictures, {small['bytes'] / 1e6:,.1f} of at most {small['most'] / 1e6:,.0f} MB"
    )
    if facts["index_choice"]:
        say(facts["index_choice"])
    if others := sum(counts.vectors.values()) - searched:
        say(f"{others:,} more vectors of other models; 'lapel model list' shows them")
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("field", no_wrap=True)
    table.add_column("commonest values (products)")
    for name, values in facts["fields"].items():
        table.add_row(
            escape(name), escape(", ".join(f"{value} ({count:,})" for value, count in list(values.items())[:5]))
        )
    console.print(table)


def _fields(catalog: Catalog) -> dict[str, dict[str, int]]:
    """The ten commonest values of each field that repeats values at all."""
    fields = {}
    for name in catalog.field_names():
        if name not in ("id", "title", "price"):
            fields[name] = dict(catalog.facet_values(name, limit=10))
    return {name: values for name, values in fields.items() if values and max(values.values()) > 1}
