"""What a store holds, as one value: ``store.info()``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lapel import __version__
from lapel.catalog.filters import COLUMNS
from lapel.catalog.schema import MIGRATIONS
from lapel.engine.backfill import missing
from lapel.engine.context import CATALOGUE, StoreContext
from lapel.engine.index_sync import IndexStatus
from lapel.indexes import explain

COMMON_VALUES = 10  # of each field


@dataclass(frozen=True)
class StoreInfo:
    """Facts about a store.

    Attributes:
        folder: Where it is.
        bytes: What its files take.
        schema: Version of its catalogue.
        revision: How many transactions changed it.
        products: Products that are shown.
        photos: Photos.
        delisted: Products beside those, which their feed no longer names.
        unreachable: Products beside those, all of whose photos are out of reach.
        hidden: Photos that no search finds.
        vectors: By the fingerprint of their model.
        model: Name, what opens it, fingerprint and width of the model that is searched; None where it has none yet.
        lacking: Photos that lack a feature, by its name; features that all photos have are left out.
        thumbnails: Photos with thumbnails, their bytes, and how many bytes they may take.
        index: Kind and health of its index.
        index_choice: What the index keeps its vectors in, and why.
        prices: By currency the lowest and the highest price.
        fields: By field its commonest values with how many products have them; only fields that repeat values.
    """

    folder: str
    bytes: int
    schema: int
    revision: int
    products: int
    photos: int
    delisted: int
    unreachable: int
    hidden: int
    vectors: Mapping[str, int]
    model: Mapping[str, Any]
    lacking: Mapping[str, int]
    thumbnails: Mapping[str, int]
    index: IndexStatus
    index_choice: str
    prices: Mapping[str, tuple[float, float]]
    fields: Mapping[str, Mapping[str, int]] = field(repr=False)

    @property
    def searched(self) -> int:
        """Photos that have a vector of the store's own model."""
        return self.vectors.get(self.model["fingerprint"] or "", 0)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "lapel": __version__,
            "store": self.folder,
            "bytes": self.bytes,
            "catalogue": CATALOGUE,
            "schema": self.schema,
            "generation": self.revision,
            "products": self.products,
            "photos": self.photos,
            "delisted": self.delisted,
            "unreachable": self.unreachable,
            "hidden": self.hidden,
            "vectors": dict(self.vectors),
            "model": dict(self.model),
            "lacking": dict(self.lacking),
            "thumbnails": dict(self.thumbnails),
            "index": self.index.spec,
            "index_choice": self.index_choice,
            "index_problem": self.index.problem,
            "prices": {currency: list(ends) for currency, ends in self.prices.items()},
            "fields": {name: dict(values) for name, values in self.fields.items()},
        }


def info(context: StoreContext) -> StoreInfo:
    """Look at a store."""
    catalog = context.catalog
    counts, settings, size = catalog.counts(), catalog.settings(), context.thumbnails.size()
    dim = int(settings.get("dim", 0))
    spec = context.index_spec
    searched = counts.vectors.get(settings.get("fingerprint", ""), 0)
    return StoreInfo(
        folder=str(context.folder.resolve()),
        bytes=sum(path.stat().st_size for path in context.folder.iterdir() if path.is_file()),
        schema=len(MIGRATIONS),
        revision=catalog.generation,
        products=counts.products,
        photos=counts.photos,
        delisted=counts.delisted,
        unreachable=counts.unreachable,
        hidden=counts.hidden,
        vectors=dict(counts.vectors),
        model={
            "name": settings.get("model"),
            "opened_with": settings.get("encoder"),
            "fingerprint": settings.get("fingerprint"),
            "dim": dim or None,
        },
        lacking={name: count for name, count in missing(context).items() if count},
        thumbnails={"photos": size.photos, "bytes": size.bytes, "most": context.thumbnails.max_bytes},
        index=context.index_sync.status(),
        index_choice=explain(spec, count=searched, dim=dim or 128),
        prices=catalog.price_ranges(),
        fields=_fields(context),
    )


def _fields(context: StoreContext) -> dict[str, dict[str, int]]:
    """The commonest values of each field that repeats values at all."""
    names = [name for name in context.catalog.field_names() if name not in (*COLUMNS, "price")]
    found = {name: dict(context.catalog.facet_values(name, limit=COMMON_VALUES)) for name in names}
    return {name: values for name, values in found.items() if values and max(values.values()) > 1}
