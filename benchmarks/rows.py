"""Rows beside a product: substitutes of real products; outfits and baskets drawn by a rule that the code never sees.

    python benchmarks/rows.py substitutes --store SHOP [--products 2000] [--sheet FILE.png]
    python benchmarks/rows.py outfits --store SHOP
    python benchmarks/rows.py baskets --store SHOP [--baskets 3000]
    python benchmarks/rows.py promises --store SHOP [--shown 1000000]
    python benchmarks/rows.py speed --store SHOP [--events 1000]

Outfits and baskets are synthetic, and called so: a stylist takes a top and adds a bottom, shoes and a bag for the same
people, of the same season and of a palette of named colours that is fixed per outfit. Fill in the blank: of four
products of one part, which belongs to the outfit? Chance is 25 %.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace

import numpy as np

import lapel
from lapel.catalog.events import BUY, DISLIKE, DISMISS, LIKE, NO_INTERACTIONS, VIEW, History, Interactions
from lapel.core.events import KINDS as EVENTS
from lapel.engine.recommend.asking import KINDS, RowQuery
from lapel.engine.recommend.baskets import count_baskets
from lapel.engine.recommend.complement import Complements
from lapel.engine.recommend.parts import together
from lapel.engine.recommend.substitutes import substitute_feed
from lapel.engine.recommend.table import SOLD_OUT

# Palettes as stylists pair them; the code knows palettes of photos only, not these names.
PALETTES = (
    ("White", "Blue", "Navy Blue"),
    ("Black", "Grey", "White"),
    ("Brown", "Beige", "White"),
    ("Red", "Black", "White"),
    ("Navy Blue", "Grey", "White"),
    ("Green", "Brown", "Beige"),
    ("Pink", "White", "Grey"),
)
PARTS = ("top", "bottom", "shoes", "bag")
PEOPLE, ROUNDS = 30, 4


def table_of(store):
    recommender = store.rows._recommender
    return recommender, recommender._tables.of(store._context.current())


def substitutes(store, count: int, sheet: str | None) -> None:
    _, table = table_of(store)
    places = np.random.default_rng(0).permutation(len(table))[:count]
    begun, used = time.perf_counter(), time.process_time()
    rows = list(substitute_feed(table, places, 5, per_brand=5, barred=np.empty(0, np.int64)))
    took, used = time.perf_counter() - begun, time.process_time() - used
    same_kind, family, named, gender, without, shown = 0, 0, 0, 0, 0, 0
    for row in rows:
        seed = table.places[row.product_id]
        without += not row.substitutes
        for place in table.find(row.substitutes).tolist():
            shown += 1
            same_kind += table.kinds.of[place] == table.kinds.of[seed]
            family += table.families.of[place] == table.families.of[seed]
            named += table.colours.of[place] == table.colours.of[seed]
            gender += table.genders.of[place] == table.genders.of[seed]
    print(
        f"{count:,} products, {shown:,} substitutes, {without:,} without any; {took:.1f} s, {used:.1f} s of processor"
    )
    for name, value in (("kind", same_kind), ("colour family", family), ("named colour", named), ("gender", gender)):
        print(f"  same {name:14} {value / shown:.1%}")
    if sheet:
        draw(store, table, rows[:: max(1, len(rows) // 24)][:24], sheet)


def draw(store, table, rows, path: str) -> None:
    from io import BytesIO

    from PIL import Image

    made = Image.new("RGB", (6 * 92, len(rows) * 112), "white")
    for line, row in enumerate(rows):
        places = [table.places[row.product_id], *table.find(row.substitutes).tolist()]
        photos = [
            store._context.catalog.entries([int(table.keys[place])])[int(table.keys[place])][1] for place in places
        ]
        for column, data in enumerate(store.thumbnails(photos)):
            if data:
                picture = Image.open(BytesIO(data)).convert("RGB")
                picture.thumbnail((80, 106))
                made.paste(picture, (column * 92 + (0 if column == 0 else 10), line * 112))
    made.save(path)
    print(f"wrote {path}")


class Stylist:
    """Draws outfits by the rule above."""

    def __init__(self, table, seed: int) -> None:
        self.table = table
        self.rng = np.random.default_rng(seed)
        names = {name: at for at, name in enumerate(table.parts.values)}
        self.by_part = {part: np.flatnonzero(table.parts.of == names[part]) for part in PARTS}

    def outfit(self) -> list[int] | None:
        table, rng = self.table, self.rng
        palette = PALETTES[int(rng.integers(len(PALETTES)))]
        first = int(rng.choice(self.by_part["top"]))
        if table.colours.values[table.colours.of[first]] not in palette:
            return None
        outfit = [first]
        for part in PARTS[1:]:
            fits = [
                place for place in self.fitting(part, first) if table.colours.values[table.colours.of[place]] in palette
            ]
            if not fits:
                return None
            outfit.append(int(rng.choice(fits)))
        return outfit

    def fitting(self, part: str, first: int) -> np.ndarray:
        """Products of a part for the same people and season."""
        table, inside = self.table, self.by_part[part]
        same = table.genders.of[inside] == table.genders.of[first]
        return inside[same & (table.seasons.of[inside] == table.seasons.of[first])]

    def outfits(self, count: int) -> list[list[int]]:
        found: list[list[int]] = []
        while len(found) < count:
            if (made := self.outfit()) is not None:
                found.append(made)
        return found


def outfits(store, count: int, known: int) -> None:
    """Filled in by the category tree's word alone, and after so many other outfits were seen in baskets."""
    _, table = table_of(store)
    seen = Stylist(table, 2).outfits(known)
    events = Interactions(
        table.ids,
        np.repeat(np.arange(len(seen)), [len(each) for each in seen]),
        np.concatenate(seen),
        np.full(sum(map(len, seen)), BUY),
        np.zeros(sum(map(len, seen))),
    )
    for name, told in (("no basket", NO_INTERACTIONS), (f"{known:,} other outfits in baskets", events)):
        begun = time.process_time()
        complements = Complements(table, count_baskets(table, told))
        print(f"{name} (learned in {time.process_time() - begun:.2f} s): {complements._harmonies.weights.round(3)}")
        fill_in(table, complements, count)


def fill_in(table, complements, count: int) -> None:
    stylist = Stylist(table, 1)
    right = {"wrong ones of the same people": 0, "wrong ones of anybody": 0}
    for outfit in stylist.outfits(count):
        blank = int(stylist.rng.integers(1, len(outfit)))
        rest = [place for at, place in enumerate(outfit) if at != blank]
        for name in right:
            inside = stylist.by_part[PARTS[blank]]
            if name.endswith("people"):
                inside = inside[table.genders.of[inside] == table.genders.of[outfit[0]]]
            wrong = stylist.rng.choice(inside, 3)
            four = np.array([outfit[blank], *wrong])
            score = sum(complements.agreement(place, four).score for place in rest)
            right[name] += int(np.argmax(score + 1e-9 * stylist.rng.random(4))) == 0
    for name, value in right.items():
        print(f"  fill in the blank of four, {name}: {value / count:.1%} of {count:,} (synthetic, chance 25 %)")


def baskets(store, count: int) -> None:
    """Pairs of products that a hidden rule puts together: everybody who buys the first buys one of three partners."""
    _, table = table_of(store)
    rng = np.random.default_rng(4)
    stylist = Stylist(table, 4)
    seeds = [each[0] for each in stylist.outfits(60)]
    fitting = {seed: [stylist.fitting(part, seed) for part in ("bottom", "shoes")] for seed in seeds}
    partners = {seed: [int(rng.choice(each)) for each in those if len(each)] for seed, those in fitting.items()}
    now = time.time()
    drawn = []
    for number in range(count):
        seed = seeds[int(rng.integers(len(seeds)))]
        bought = [seed, *[one for one in partners[seed] if rng.random() < 0.6], int(rng.integers(len(table)))]
        drawn.append((f"b{number}", bought))
    train, test = drawn[: count * 4 // 5], drawn[count * 4 // 5 :]
    store.record(
        [
            lapel.Event(f"rows-{who}-{at}", who, table.ids[place], "buy", now + at)
            for who, places in train
            for at, place in enumerate(places)
        ]
    )
    popular = [place for place, _ in Counter(place for _, places in train for place in places).most_common(10)]
    maker, snapshot = store.rows._recommender, store._context.current()
    hit = {"together": 0, "popularity": 0, "random": 0}
    asked = [(places[0], set(places[1:-1])) for _, places in test if len(places) > 2]
    for seed, held in asked:
        row = maker.row(snapshot, RowQuery("together", product_id=table.ids[seed]), store.rows.settings, None, now=now)
        hit["together"] += bool(held & {place for place, _ in row.best})
        hit["popularity"] += bool(held & set(popular))
        hit["random"] += bool(held & set(rng.integers(len(table), size=10).tolist()))
        assert all(
            together(table.parts.values[table.parts.of[seed]], table.parts.values[table.parts.of[p]]) or p in held
            for p, _ in row.best
        )
    for name, value in hit.items():
        print(f"  {name:10} hit@10 {value / len(asked):.3f}  ({len(asked):,} drawn baskets, synthetic)")


def promises(store, count: int) -> None:
    """Rows of every kind for people who bought, dismissed and disliked things, in a shop of which a tenth is hidden and
    a tenth sold out: how many of so many products that were shown should not have been."""
    recommender, table = table_of(store)
    rng = np.random.default_rng(6)
    table = replace(
        table,
        shown=rng.random(len(table)) > 0.1,
        stock=np.where(rng.random(len(table)) > 0.1, table.stock, SOLD_OUT).astype(np.int8),
    )
    recommender._tables._table = table
    snapshot, settings, now = store._context.current(), store.rows.settings, time.time()
    wrong, shown, rows = Counter(), 0, Counter()
    used = time.process_time()
    while shown < count:
        middle = int(rng.integers(len(table)))
        near = np.argsort(-(table.vectors @ table.vectors[middle]))[: int(rng.integers(5, 300))]
        did = np.concatenate([near[rng.random(len(near)) < 0.5], rng.integers(len(table), size=5)])
        kinds = rng.integers(len(EVENTS), size=len(did))
        products = tuple(table.ids[place] for place in did.tolist())
        refused = frozenset(products[at] for at in np.flatnonzero(np.isin(kinds, (BUY, DISMISS))))
        history = History(products, kinds, now - np.arange(len(did), 0, -1.0), refused)
        kind = KINDS[int(rng.integers(len(KINDS)))]
        asked = RowQuery(kind, product_id="" if kind == "for-you" else table.ids[middle], k=200)
        row = [place for place, _ in recommender.row(snapshot, asked, settings, history, now=now).best]
        rows[kind] += 1
        shown += len(row)
        brands = Counter(int(brand) for brand in table.brands.of[row] if brand)
        found = {
            "hidden": (~table.shown[row]).sum(),
            "sold out": (table.stock[row] == SOLD_OUT).sum(),
            "bought, dismissed or disliked": np.isin(row, did[np.isin(kinds, (BUY, DISMISS, DISLIKE))]).sum(),
            "shown twice": len(row) - len(set(table.photos[row].tolist())),
            "above so many of a brand": sum(max(0, each - settings.per_brand) for each in brands.values()),
        }
        wrong.update({name: int(each) for name, each in found.items()})
    took = 1000 * (time.process_time() - used) / sum(rows.values())
    print(f"{shown:,} products in {sum(rows.values()):,} rows ({took:.1f} ms of processor each): {dict(rows)}")
    for name, value in wrong.items():
        print(f"  {name}: {value}")


def speed(store, count: int) -> None:
    """What a row for somebody with many events takes beside its index look-ups, by the clock of an idle machine."""
    recommender, table = table_of(store)
    snapshot, settings, rng, now = store._context.current(), store.rows.settings, np.random.default_rng(8), time.time()
    search, spent = snapshot.index.search, [0.0]

    def timed(*asked):
        begun = time.perf_counter()
        found = search(*asked)
        spent[0] += time.perf_counter() - begun
        return found

    snapshot.index.search = timed
    took = []
    for _ in range(PEOPLE):
        middles = rng.integers(len(table), size=int(rng.integers(1, 6)))
        near = np.concatenate([np.argsort(-(table.vectors @ table.vectors[each]))[:400] for each in middles])
        products = tuple(table.ids[place] for place in rng.choice(near, count).tolist())
        kinds = np.where(rng.random(count) < 0.9, VIEW, LIKE)
        history = History(products, kinds, now - 3600.0 * np.arange(count)[::-1], frozenset())
        for turn in range(ROUNDS):  # the first one warms up
            begun, spent[0] = time.perf_counter(), 0.0
            recommender.row(snapshot, RowQuery("for-you"), settings, history, now=now)
            took.append((turn, 1000 * (time.perf_counter() - begun - spent[0]), 1000 * spent[0]))
    beside, inside = np.median([(rest, index) for turn, rest, index in took if turn], axis=0)
    print(f"for you, {count:,} events a person: {beside:.1f} ms beside {inside:.1f} ms of index look-ups (aim 10)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("substitutes", "outfits", "baskets", "promises", "speed"))
    parser.add_argument("--store", required=True)
    parser.add_argument("--products", type=int, default=2000)
    parser.add_argument("--outfits", type=int, default=1000)
    parser.add_argument("--baskets", type=int, default=3000)
    parser.add_argument("--shown", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--sheet")
    chosen = parser.parse_args()
    with lapel.open_store(chosen.store, read_only=None if chosen.what != "baskets" else False) as store:
        if chosen.what == "substitutes":
            substitutes(store, chosen.products, chosen.sheet)
        elif chosen.what == "outfits":
            outfits(store, chosen.outfits, chosen.baskets)
        elif chosen.what == "promises":
            promises(store, chosen.shown)
        elif chosen.what == "speed":
            speed(store, chosen.events)
        else:
            baskets(store, chosen.baskets)


if __name__ == "__main__":
    main()
