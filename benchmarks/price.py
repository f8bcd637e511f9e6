"""Price ranges: whether 80 of 100 prices lie in them, and how far the middle is off beside the median of the kind.

    python benchmarks/price.py market --store SHOP      the real catalogue, prices drawn (synthetic)
    python benchmarks/price.py wardrobe --store DEMO    the sample wardrobe's own drawn prices (synthetic)
    python benchmarks/price.py photos --store SHOP      the very photo again, cut or mirrored; and other photos

Market: a second-hand price of each product of the catalogue is drawn as kind x brand x condition x age x quality x
chance. The model is told kind (or guesses it), brand and condition; age and quality it is not told. Quality is a
direction of the vectors, so that the picture shows it; age and chance are seen nowhere. Of market and wardrobe a fifth
of the products, drawn at random, is asked about, the others were sold. ``--strange`` asks about the catalogue's split
val by its split train instead: products of which no other shares the title or the picture, beside products that the
network has learned from; ranges hold for products like those that were sold, so they hold less there.
"""

from __future__ import annotations

import argparse
import io
import time

import numpy as np
from PIL import Image, ImageOps

import lapel
from lapel.insight.findings import read_gallery
from lapel.insight.price import LEAST_COPY
from lapel.insight.price_model import fit_prices
from lapel.samples.kinds import KINDS
from lapel.samples.plan import BRANDS, plan_wardrobe
from lapel.sources import read_uri

CONDITIONS = {"new": 1.0, "good": 0.75, "worn": 0.5}
CHANCE = 0.12  # standard deviation of the logarithm of what nobody can know


def loaded(store: str):
    with lapel.open_store(store, read_only=True) as shop:
        gallery = read_gallery(shop._context)
    products = [gallery.product(at) for at in range(len(gallery))]
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(product.id, len(numbers)) for product in products], np.int64)
    return gallery, products, groups


def drawn_market(gallery, products, rng):
    """Prices and what is known of each product: kind, brand (the title's first word) and condition."""
    kinds = [product.category[-1] if product.category else "" for product in products]
    brands = [product.title.split(" ", 1)[0] for product in products]
    conditions = rng.choice(list(CONDITIONS), len(products)).tolist()
    of_kind = {kind: rng.normal(3.5, 0.6) for kind in sorted(set(kinds))}
    of_brand = {brand: rng.normal(0, 0.35) for brand in sorted(set(brands))}
    quality = gallery.vectors @ rng.normal(size=gallery.vectors.shape[1])
    quality = 0.25 * (quality - quality.mean()) / quality.std()
    age = -0.08 * rng.integers(0, 6, len(products))
    logs = np.array([of_kind[kind] for kind in kinds]) + np.array([of_brand[brand] for brand in brands])
    logs += np.log([CONDITIONS[each] for each in conditions]) + quality + age + rng.normal(0, CHANCE, len(products))
    return np.exp(logs), {"kind": kinds, "brand": brands, "condition": conditions}


def judge(gallery, groups, prices, labels, train, asked) -> None:
    kinds = np.array(labels["kind"])
    medians = {kind: np.median(prices[train][kinds[train] == kind]) for kind in np.unique(kinds[train])}
    usual = np.median(prices[train])
    baseline = np.median(np.abs([medians.get(kinds[at], usual) / prices[at] - 1 for at in asked]))
    print(f"{len(train):,} sold, {len(asked):,} asked about; the median of the (true) kind is {baseline:.1%} off")
    sets = [("photo alone", ["kind"]), ("photo and brand", ["kind", "brand"]), ("all that is known", list(labels))]
    for told in (False, True):
        for name, columns in sets:
            begun = time.process_time()
            some = {column: [labels[column][at] for at in train] for column in columns}
            model = fit_prices(gallery.vectors[train], prices[train], some, groups[train], kind_told=told)
            took = time.process_time() - begun
            known = {c: [labels[c][at] for at in asked] for c in columns if told or c != "kind"}
            found = model.estimate(gallery.vectors[asked], known)
            middle, low, high = (np.array([getattr(each, name) for each in found]) for name in ("price", "low", "high"))
            inside = np.mean((low <= prices[asked]) & (prices[asked] <= high))
            error = np.median(np.abs(middle / prices[asked] - 1))
            print(
                f"  {name:18} kind {'told   ' if told else 'guessed'} median error {error:.1%},"
                f" {1 - error / baseline:5.0%} less; {inside:.1%} in the range, whose ends differ"
                f" {np.median(high / low):.1f} times; fitted in {took:.1f} s"
            )


def bounds(products, prices, train, asked) -> None:
    """How far who knows how the sample wardrobe's prices were drawn is off: the kind's range, the brand's factor and
    whether it is for children; and who also knows a design again whose other colour was sold, at the same price."""
    plans = {plan.id: plan for plan in plan_wardrobe(len({product.id for product in products}))}
    ranges, factors = {kind.name: kind.price for kind in KINDS}, dict(BRANDS)
    draws = np.random.default_rng(0).beta(1.6, 2.6, 4001)

    def design(at):
        plan = plans[products[at].id]
        return plan.kind, plan.design

    def drawn(at):
        low, high = ranges[plans[products[at].id].kind]
        young = products[at].gender in ("Girls", "Boys")
        return float(np.median(low + (high - low) * draws)) * factors[products[at].brand] * (0.7 if young else 1.0)

    sold = {design(at): prices[at] for at in train}
    known = np.array([drawn(at) for at in asked])
    again = np.array([sold.get(design(at), 0.0) for at in asked])
    error, best = (np.median(np.abs(told / prices[asked] - 1)) for told in (known, np.where(again > 0, again, known)))
    print(f"  who knows range, brand and age exactly is {error:.1%} off; who knows the design again, too, {best:.1%}")
    print(f"  ({np.mean(again > 0):.0%} of what is asked about was sold in another colour)")


def photos(store: str, count: int) -> None:
    with lapel.open_store(store, read_only=True) as shop:
        gallery = read_gallery(shop._context)
        rng = np.random.default_rng(0)
        found = others = 0
        for place in rng.choice(len(gallery), count, replace=False).tolist():
            data = read_uri(gallery.photo(place).uri)
            image = Image.open(io.BytesIO(data)).convert("RGB")
            share = rng.uniform(0.6, 0.95)
            size = int(share * image.width), int(share * image.height)
            x, y = int(rng.integers(0, image.width - size[0] + 1)), int(rng.integers(0, image.height - size[1] + 1))
            part = image.crop((x, y, x + size[0], y + size[1]))
            part = ImageOps.mirror(part) if rng.random() < 0.5 else part
            stream = io.BytesIO()
            part.resize((part.width * 3, part.height * 3)).save(stream, "JPEG", quality=70)
            own, said = (
                {match.product for match in shop.check_new_picture(each, least=LEAST_COPY).matches}
                for each in (data, stream.getvalue())
            )
            found += gallery.product(place).id in said
            others += len(said - own - {gallery.product(place).id})
        print(f"cut to 60..95 % of the sides, half of them mirrored, compressed: {found} of {count} found")
        print(f"other products called the same, beside those that share the whole photo already: {others}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("market", "wardrobe", "photos"))
    parser.add_argument("--store")
    parser.add_argument("--strange", action="store_true")
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    if given.what == "photos":
        photos(given.store, given.count)
    else:
        gallery, products, groups = loaded(given.store)
        rng = np.random.default_rng(0)
        if given.what == "market":
            prices, labels = drawn_market(gallery, products, rng)
        else:
            prices = np.array([(product.price_minor or 0) / 100 for product in products])
            kinds = [product.category[-1] for product in products]
            labels = {"kind": kinds, "brand": [product.brand for product in products]}
        held = np.isin(groups, rng.permutation(groups.max() + 1)[: (groups.max() + 1) // 5])
        if given.strange:
            held = np.array([product.attributes.get("split", "") == "val" for product in products])
        train, asked = np.flatnonzero(~held), np.flatnonzero(held)
        judge(gallery, groups, prices, labels, train, asked)
        if given.what == "wardrobe":
            bounds(products, prices, train, asked)
