"""What ordering photos by their look costs: the very product in other light, children's things, and time.

    python benchmarks/look_costs.py [--store runs/looks] [--encoder default] [--queries 500]

Products of the ``val`` part, and all of its children's products beside them, as people would photograph them: on a
cluttered scene and like a phone photo (``distortions.py``). Each is searched as the product does it, with reranking by
the look and without: whether the very product comes first, and, that product left out, whether the first of the others
shares its label, and how many of the five best are children's. ``clean`` is the shop's own picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lapel.core.types import EmbeddedQuery, Hit, Product, Query
from lapel.engine.colours import read_colours
from lapel.engine.context import StoreContext, open_context
from lapel.engine.retrieval import SearchEngine
from lapel.insight.distortions import DISTORTIONS, Distortion, enlarge
from photo_looks import BATCH, CHILDREN, DEPTH, STORE, fill
from shops import Shop, machine, open_shop

SCENES: dict[str, Distortion | None] = {
    "clean": None,
    "cluttered scene": DISTORTIONS["cluttered scene"],
    "phone photo": DISTORTIONS["phone photo"],
}
SEED = 5


def embed(store: StoreContext, shop: Shop, rows: Sequence[int], distort: Distortion | None) -> list[EmbeddedQuery]:
    """Each product's picture as it is searched with."""
    engine = SearchEngine(store)

    def query(row: int) -> Query:
        image = shop.image(row)
        return Query(image=image if distort is None else distort(enlarge(image), np.random.default_rng((SEED, row))))

    batches = (rows[at : at + BATCH] for at in range(0, len(rows), BATCH))
    return [result.understood for batch in batches for result in engine.search_many([query(row) for row in batch])]


def costs(
    store: StoreContext, products: Sequence[Product], embedded: Sequence[EmbeddedQuery], lot: int, colour: float
) -> dict[str, float]:
    """The measures: of the first ``lot`` products, and of the children's among all of them."""
    engine = SearchEngine(store)
    own = engine.search_many([each.to_query(k=1, colour_weight=colour) for each in embedded])
    others = engine.search_many(
        [
            each.to_query(k=DEPTH, colour_weight=colour, exclude={product.id})
            for each, product in zip(embedded, products, strict=True)
        ]
    )

    def same(field: str) -> float:
        return float(np.mean([_value(hits[0].product, field) == _value(p, field) for p, hits in pairs[:lot]]))

    pairs = list(zip(products, others, strict=True))
    first = [hits[0].product.id == product.id for product, hits in zip(products, own, strict=True)]
    children = [hits for product, hits in pairs if product.gender in CHILDREN]
    adults = [hits for product, hits in pairs if product.gender not in CHILDREN]
    return {
        "the very product first": float(np.mean(first[:lot])),
        "first of the others: articleType": same("articleType"),
        "first of the others: baseColour": same("baseColour"),
        "children's among five, of children's": _children(children),
        "children's among five, of adults'": _children(adults),
    }


def _value(product: Product, field: str) -> str:
    return product.colour if field == "baseColour" else product.attributes.get(field, "")


def _children(answers: Sequence[Sequence[Hit]]) -> float:
    return float(np.mean([[hit.product.gender in CHILDREN for hit in hits] for hits in answers])) if answers else 0.0


def spent(store: StoreContext, images: Sequence[Image.Image], embedded: Sequence[EmbeddedQuery]) -> dict[str, float]:
    """Median milliseconds: of reading an image's colours with the product found in it, and of one search by its
    vector."""
    engine = SearchEngine(store)
    read, plain, by_look = [], [], []
    for image, each in zip(images, embedded, strict=True):
        begun = time.perf_counter()
        read_colours(image, each.parts[0].segmented)
        read.append(1000 * (time.perf_counter() - begun))
        plain.append(engine.search(each.to_query(k=10, colour_weight=0)).took_ms)
        by_look.append(engine.search(each.to_query(k=10, colour_weight=1)).took_ms)
    columns = {"reading colours": read, "search, colour 0": plain, "search, colour 1": by_look}
    return {name: float(np.median(rows)) for name, rows in columns.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, default=STORE, help="the store of the catalogue; filled when not there")
    parser.add_argument("--encoder", default="default", help="the model; the store's folder gets its name")
    parser.add_argument("--queries", type=int, default=500, help="how many products; children's come on top")
    wanted = parser.parse_args(arguments)
    catalogue = open_shop(None, None, wanted.store.parent)
    folder = wanted.store if wanted.store != STORE else STORE / Path(wanted.encoder).name
    fill(folder, wanted.encoder)
    rows, lot = chosen(catalogue, wanted.queries)
    products = [catalogue.products[row] for row in rows]
    with open_context(folder, read_only=True) as store:
        print(f"{len(rows)} products among {store.catalog.count():,}; {machine()}")
        for scene, distort in SCENES.items():
            embedded = embed(store, catalogue, rows, distort)
            columns = [costs(store, products, embedded, lot, colour) for colour in (0.0, 1.0)]
            print(f"\n{scene:44}{'colour 0':>10}{'colour 1':>10}")
            for name in columns[0]:
                print(f"{name:44}" + "".join(f"{column[name]:10.3f}" for column in columns))
        some = [enlarge(catalogue.image(row)) for row in rows[:200]]
        times = spent(store, some, embedded[:200])
        print("\n" + "; ".join(f"{name} {took:.2f} ms" for name, took in times.items()))


def chosen(catalogue: Shop, queries: int) -> tuple[list[int], int]:
    """Rows of ``val`` products by lot, of every product where there are no parts, and how many; behind them those of
    its other children's products."""
    split = np.array(catalogue.values("split"))
    rows = np.flatnonzero(split == "val") if "val" in split else np.arange(len(split))
    lot = np.random.default_rng(SEED).choice(rows, min(queries, len(rows)), replace=False).tolist()
    children = {row for row in rows.tolist() if catalogue.products[row].gender in CHILDREN}
    return [*lot, *sorted(children - {*lot})], len(lot)


if __name__ == "__main__":
    main()
