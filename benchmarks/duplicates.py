"""How well and how fast duplicates are found: ``lapel duplicates``.

    python benchmarks/duplicates.py --store SHOP                 # all but --learn and --million
    python benchmarks/duplicates.py --store SHOP --learn         # writes the weights of lapel.insight.copy_check
    python benchmarks/duplicates.py --million                    # a million synthetic vectors: time and memory

SHOP is a store of the catalogue. Copies are seeded (:mod:`lapel.insight.copies`); the products that ``--learn`` takes
are left out of what is measured. ``--cache DIR`` keeps the encoded copies, as encoding them is what takes the time; a
run that was stopped goes on there. A store without hashes (of before) is hashed by ``lapel duplicates`` first.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import pickle
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from lapel.catalog.pairs import PairTable
from lapel.core.filters import NO_FILTER
from lapel.core.text import fold
from lapel.engine.context import StoreContext, open_context
from lapel.engine.picture_hash import PictureHashes
from lapel.insight import copies, distortions
from lapel.insight.copy_check import (
    COLOURS,
    DYED,
    MEASURES,
    NET,
    Nearness,
    compare,
    far_chance,
    far_figures_of,
    figures_of,
)
from lapel.insight.duplicate_search import (
    BLOCK,
    CHECKED,
    CandidateSearch,
    PairSearch,
    bits_apart,
    chance_of,
    read_columns,
)
from lapel.insight.duplicates import LEAST_CHANCE, find_duplicates
from lapel.insight.new_picture import NewPictures
from lapel.insight.picture_views import PictureViews, joined, views_of
from lapel.sources import read_uri

BASIC = copies.COPIES
HARD = {"manipulated": copies.manipulated, **{name: copies.HARDER[name] for name in ("cluttered scene", "phone photo")}}
LEARNED_SHARE = 5  # one product in five is for --learn
BATCH = 32
LIT = 0.998  # of copies whose colours are no further apart than what counts as dyed
HIDDEN = 16  # of the network that gives the chance
COPY_WEIGHT, DYED_WEIGHT = 14, 12  # of pairs while learning, so that .8 is where 99 of 100 are right


@dataclass
class Made:
    """Pictures made of products: (n,) places of their sources, kinds, whether another colour can be seen where one was
    made, and their hashes by another library; and (m,) their views, whole ones first."""

    places: Any
    kinds: Any
    seen: Any
    others: Any
    views: PictureViews


class Shop:
    """A store with all that the measurements need of it."""

    def __init__(self, folder: Path, cache: Path | None, imagededup: Path | None = None) -> None:
        self.phash = None if imagededup is None else imagededup_phash(imagededup)
        self.context: StoreContext = open_context(folder, read_only=True)
        catalog = self.context.catalog
        shown = np.intersect1d(catalog.matching_keys(NO_FILTER), catalog.vector_keys(self.context.model.fingerprint))
        self.columns = read_columns(self.context, shown)
        self.pairs = PairSearch(self.context, PairTable(folder, read_only=True))
        self.looks = self.pairs.looks(self.columns, np.arange(len(self.columns.keys)))
        self.cache = cache
        entries: dict[int, Any] = {}
        for at in range(0, len(self.columns.keys), 4096):
            entries |= catalog.entries(self.columns.keys[at : at + 4096])
        self.products = [entries[int(key)][0] for key in self.columns.keys]
        self.uris = [entries[int(key)][1].uri for key in self.columns.keys]
        learned = [int(hashlib.sha256(p.id.encode()).hexdigest(), 16) % LEARNED_SHARE == 0 for p in self.products]
        self.learned = np.array(learned)

    def stored(self, place: int) -> Image.Image:
        """A product's picture, as the catalogue has it."""
        with Image.open(io.BytesIO(read_uri(self.uris[place]))) as image:
            return image.convert("RGB")

    def picture(self, place: int) -> Image.Image:
        """The same, 320 pixels in height."""
        return distortions.enlarge(self.stored(place))

    def other_hash(self, image: Image.Image) -> Any:
        """The PHash of imagededup for a picture, (8,) uint8; zeros where it is not compared with."""
        if self.phash is None:
            return np.zeros(8, np.uint8)
        return np.frombuffer(bytes.fromhex(self.phash.encode_image(image_array=np.asarray(image))), np.uint8)

    def make(self, name: str, places: Any, kinds: dict[str, Callable[..., Image.Image]], seed: int) -> Made:
        """A picture of each place, of the kinds in turn; stopped, it goes on from the last kept part."""
        names = np.array([list(kinds)[at % len(kinds)] for at in range(len(places))])
        path = None if self.cache is None else self.cache / f"{name}-{len(places)}-{seed}.pickle"
        if path is not None and path.exists():
            return Made(places, names, *pickle.loads(path.read_bytes()))  # written by a run before
        rng = np.random.default_rng(seed)
        parts: list[tuple[Any, Any, PictureViews]] = []
        part = None if path is None else path.with_suffix(".part")
        if part is not None and part.exists():
            parts, rng = pickle.loads(part.read_bytes())
        for start in range(BATCH * len(parts), len(places), BATCH):
            parts.append(self._made(places[start : start + BATCH], names[start : start + BATCH], kinds, rng))
            if part is not None and len(parts) % 4 == 0:
                part.write_bytes(pickle.dumps((parts, rng)))
        seen, others, views = zip(*parts, strict=True)
        made = np.concatenate(seen), np.concatenate(others), joined(views)
        if path is not None and part is not None:
            path.write_bytes(pickle.dumps(made))
            part.unlink(missing_ok=True)
        return Made(places, names, *made)

    def _made(
        self, places: Any, names: Any, kinds: dict[str, Callable[..., Image.Image]], rng: Any
    ) -> tuple[Any, Any, PictureViews]:
        """What was seen, other hashes, and views."""
        owns = [self.picture(int(place)) for place in places]
        images = [kinds[kind](own, rng) for own, kind in zip(owns, names, strict=True)]
        seen = [
            not kind.endswith("recoloured") or copies.in_another_colour(own, image)
            for own, image, kind in zip(owns, images, names, strict=True)
        ]
        others = [self.other_hash(each) for each in images]
        return np.array(seen), np.array(others), views_of(self.context.encoder, images)

    def squares_of(self, places: Any) -> Any:
        """Small pictures of places, with their shapes."""
        names = [self.columns.hashes[place].decode() for place in places]
        read = self.pairs.pictures.read(
            {name: int(self.columns.keys[p]) for name, p in zip(names, places, strict=True)}
        )
        values = [read[name] for name in names]
        return np.stack([v.square for v in values]), np.array([v.ratio for v in values])


def imagededup_phash(folder: Path) -> Any:
    """The PHash of imagededup, from its unpacked wheel: what else it imports (torchvision, matplotlib, wavelets) is not
    needed for that."""
    import sys
    from types import ModuleType

    for name, part in (("methods.cnn", "CNN"), ("utils.plotter", "plot_duplicates"), ("utils.models", "CustomModel")):
        module = ModuleType(f"imagededup.{name}")
        setattr(module, part, None)
        sys.modules[module.__name__] = module
    sys.modules.setdefault("pywt", ModuleType("pywt"))
    sys.path.insert(0, str(folder))
    from imagededup.methods import PHash  # type: ignore[import-not-found]

    return PHash(verbose=False)


def matches(shop: Shop, made: Made, search: CandidateSearch, gallery: Any) -> dict[str, Any]:
    """Every candidate of the made pictures with its score; places are of the shop."""
    asking, found, scores = [], [], []

    def read(places: Any) -> tuple[Any, Any, Any]:
        return np.ones(len(places), bool), *shop.squares_of(gallery[places])

    for start in range(0, len(made.places), 128):
        rows, at, likely, _ = search.copies(made.views.of_pictures(start, start + 128), read)
        likely = search.beside_rivals(rows, at, likely, read(at)[1:])
        for into, values in ((asking, rows + start), (found, gallery[at]), (scores, likely)):
            into.append(values)
    told = {"asking": asking, "found": found, "scores": scores}
    return {name: np.concatenate(each) for name, each in told.items()}


def measured(one: Any, other: Any) -> Any:
    """(n, 20) measures of pairs of small pictures; none is given up for what was learned before."""
    ratios = np.stack([one[1], other[1]], axis=1)
    parts = [slice(start, start + CHECKED) for start in range(0, len(ratios), CHECKED)]
    return np.concatenate([compare(one[0][part], other[0][part], ratios[part]).measures for part in parts])


def twins(shop: Shop, one: Any, other: Any) -> Any:
    """(m,) whether two of the catalogue's own pictures are one, so that either is right: nearly equal pixels, or
    in every part the same drawing in the same colours and light."""
    (mine, ratios), (its, shapes) = shop.squares_of(one), shop.squares_of(other)
    blocks = [each.reshape(len(each), 8, 6, 8, 6, 3).mean(axis=(2, 4)).reshape(len(each), -1) for each in (mine, its)]
    found = np.abs(blocks[0] - blocks[1]).mean(axis=1) < 3
    for start in range(0, len(one), BATCH):
        some = slice(start, start + BATCH)
        measures = compare(mine[some], its[some], np.stack([ratios[some], shapes[some]], axis=1)).measures
        have = dict(zip(MEASURES, measures.T, strict=True))
        same = (have["patch_least"] > 0.85) & (have["detail"] > 0.93) & (have["overlap"] > 0.5)
        found[some] |= same & (have["colour_part"] < 0.6) & (have["rest_part"] < 0.4)
    return found & (one != other)


def whole(shop: Shop) -> tuple[CandidateSearch, Any]:
    """The search over all pictures, and their places."""
    search = CandidateSearch(shop.columns.vectors, shop.looks)
    return search, np.arange(len(shop.columns.keys))


def measure_copies(shop: Shop, count: int) -> dict[str, Any]:
    """Seeded copies of products among all of the catalogue."""
    rng = np.random.default_rng(11)
    places = rng.choice(np.flatnonzero(~shop.learned), count, replace=False)
    made = shop.make("copies", places, BASIC, 12)
    found = matches(shop, made, *whole(shop))
    own = places[found["asking"]]
    right = found["found"] == own
    twin = twins(shop, own, found["found"])
    told: dict[str, Any] = {"copies": count, "catalogue": len(shop.columns.keys)}
    for least in (0.5, LEAST_CHANCE, 0.95):
        said = (found["scores"] >= least) & ~twin
        hit = np.zeros(count, bool)
        hit[found["asking"][said & right]] = True
        told[f"at {least}"] = {
            "precision": round(float(right[said].mean()), 4),
            "recall": round(float(hit.mean()), 4),
            "recall by kind": {k: round(float(hit[made.kinds == k].mean()), 3) for k in BASIC},
            "wrong": [
                f"{shop.products[int(own[at])].id} / {shop.products[int(found['found'][at])].id}"
                for at in np.flatnonzero(said & ~right)
            ][:40],
        }
    told["pairs of pictures that the catalogue has twice, left out"] = int(twin[found["scores"] >= LEAST_CHANCE].sum())
    return told


def measure_colours(shop: Shop, count: int) -> dict[str, Any]:
    """How many pictures of the same product in another colour are taken for copies."""
    rng = np.random.default_rng(21)
    places = rng.choice(np.flatnonzero(~shop.learned), count, replace=False)
    made = shop.make("recoloured", places, {"recoloured": copies.recolour}, 22)
    views = made.views
    own = places[views.of]
    bits = bits_apart(views.looks.hashes, shop.looks.hashes[own])
    cosines = np.einsum("nd,nd->n", views.vectors, shop.columns.vectors[own])
    nearest = -np.sort(-(views.vectors @ shop.columns.vectors.T), axis=1)[:, :10].mean(axis=1)
    near = Nearness(cosines, (cosines - nearest).astype(np.float32), bits)
    of_views, _ = chance_of((views.squares, views.ratios), shop.squares_of(own), near)
    likely = np.zeros(count)
    np.maximum.at(likely, views.of, of_views)
    flagged = np.flatnonzero((likely >= LEAST_CHANCE) & made.seen)
    return {
        "recoloured": int(made.seen.sum()),
        "left out, as nobody sees another colour or goods could not be cut out": int((~made.seen).sum()),
        "flagged": len(flagged),
        "share": round(len(flagged) / int(made.seen.sum()), 4),
        "which": [shop.products[int(places[at])].id for at in flagged],
    }


def micro_ap(scores: Any, right: Any, positives: int) -> float:
    """Micro average precision as DISC 2021 has it: all pairs of all queries in one list."""
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    hits = np.asarray(right)[order]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1) * hits).sum() / positives)


def measure_disc(shop: Shop, references: int, distractors: int, queries: int) -> dict[str, Any]:
    """Copies in the manner of DISC 2021: half of the queries have a reference, half have none."""
    rng = np.random.default_rng(31)
    order = rng.permutation(np.flatnonzero(~shop.learned))
    references = min(references, len(order) // 3)
    gallery = np.sort(order[: min(references + distractors, len(order) - queries)])
    asked = np.concatenate([rng.choice(order[:references], queries, replace=False), order[-queries:]])
    made = shop.make("disc", asked, HARD, 32)
    search = CandidateSearch(shop.columns.vectors[gallery], shop.looks.of(gallery))
    found = matches(shop, made, search, gallery)
    scores = made.views.whole.vectors @ shop.columns.vectors[gallery].T
    nearest = np.argsort(-scores, axis=1)[:, :10]
    rows = np.repeat(np.arange(len(asked)), 10)
    at = nearest.ravel()
    plain = scores[rows, at]
    normal = plain - np.take_along_axis(scores, nearest, axis=1).mean(axis=1)[rows]
    told: dict[str, Any] = {
        "references": references, "distractors": len(gallery) - references, "queries": len(asked), "micro-AP": {}
    }  # fmt: skip
    have = made.places < 0
    have[:queries] = True

    def ap(values: Any, asking: Any, places: Any) -> float:
        right = (places == asked[asking]) & have[asking]
        return round(micro_ap(values, right, queries), 4)

    found = with_neighbours(shop, made, found, gallery)
    told["micro-AP"]["lapel duplicates"] = ap(found["scores"], found["asking"], found["found"])
    told["micro-AP"]["vector alone"] = ap(plain, rows, gallery[at])
    told["micro-AP"]["vector, normalised"] = ap(normal, rows, gallery[at])
    whole_hash = _by_hash(made.views.whole.looks.hashes[:, 0], shop.looks.hashes[gallery, 0], gallery)
    told["micro-AP"]["256-bit hash alone (PDQ's way)"] = ap(*whole_hash)
    if shop.phash is not None:
        small = np.stack([shop.other_hash(shop.stored(int(place))) for place in gallery])
        told["micro-AP"]["imagededup PHash"] = ap(*_by_hash(made.others, small, gallery))
    for kind in HARD:
        mine = made.kinds[found["asking"]] == kind
        number = int((made.kinds[:queries] == kind).sum())
        right = (found["found"] == asked[found["asking"]]) & have[found["asking"]]
        told.setdefault("by kind", {})[kind] = round(micro_ap(found["scores"][mine], right[mine], number), 4)
    return told


def with_neighbours(shop: Shop, made: Made, found: dict[str, Any], gallery: Any) -> dict[str, Any]:
    """The candidates and, by their nearness alone, the neighbours of every view that were not worth a check."""
    views = made.views
    scores = views.vectors @ shop.columns.vectors[gallery].T
    nearest = np.argsort(-scores, axis=1)[:, :10]
    cosines = np.take_along_axis(scores, nearest, axis=1)
    rows, places = np.repeat(np.arange(len(views.of)), 10), gallery[nearest.ravel()]
    bits = bits_apart(views.looks.hashes[rows], shop.looks.hashes[places])
    margins = cosines - cosines.mean(axis=1, keepdims=True)
    likely = far_chance(Nearness(cosines.ravel(), margins.ravel().astype(np.float32), bits))
    asking = np.concatenate([found["asking"], views.of[rows]])
    places = np.concatenate([found["found"], places])
    scores = np.concatenate([found["scores"], likely])
    known = np.arange(len(asking)) < len(found["asking"])
    order = np.lexsort((-scores, ~known, places, asking))  # what was checked counts; else the surer view
    first = order[np.unique(np.stack([asking, places], axis=1)[order], axis=0, return_index=True)[1]]
    return {"asking": asking[first], "found": places[first], "scores": scores[first]}


def _by_hash(asked: Any, hashes: Any, gallery: Any) -> tuple[Any, Any, Any]:
    distances, rows, places = [], [], []
    for row, each in enumerate(asked):
        bits = np.bitwise_count(hashes ^ each).sum(axis=1)
        near = np.argpartition(bits, 10)[:10]
        distances.append(-bits[near].astype(np.float64))
        rows.append(np.full(10, row))
        places.append(gallery[near])
    return np.concatenate(distances), np.concatenate(rows), np.concatenate(places)


def measure_speed(shop: Shop) -> dict[str, Any]:
    """The whole catalogue at first, again, and one picture against it."""
    import shutil

    told: dict[str, Any] = {"photos": len(shop.columns.keys)}
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held) / "shop"
        shutil.copytree(shop.context.folder, folder, ignore=shutil.ignore_patterns("duplicates.sqlite*"))
        with open_context(folder) as context:
            for name in ("first run", "second run"):
                table = PairTable(folder, read_only=False)
                wall, cpu = time.perf_counter(), time.process_time()
                found = find_duplicates(context, table)
                told[name] = {
                    "seconds": round(time.perf_counter() - wall, 1),
                    "CPU seconds": round(time.process_time() - cpu, 1),
                }
                table.close()
            kinds = [group.kind for group in found.groups]
            told["groups"] = {kind: kinds.count(kind) for kind in ("exact", "near", "same product")}
            repeated = context.catalog.repeated_photos()
            told["exact groups by bytes"] = len(repeated)
            new = NewPictures(context, PairTable(folder, read_only=False))
            times = []
            for place in np.random.default_rng(41).choice(len(shop.uris), 40, replace=False):
                checked = new.check(read_uri(shop.uris[int(place)]))
                times.append(checked.checking_ms)
            told["--new, ms beside encoding"] = {
                "median": round(float(np.median(times[5:])), 2),
                "95 of 100": round(float(np.percentile(times[5:], 95)), 2),
            }
    told["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return told


def measure_variants(shop: Shop) -> dict[str, Any]:
    """Real products whose titles differ by nothing but a colour's name: how many pairs are told as near, and how many
    would be in a shop that names no colours. Quick where ``lapel duplicates`` was run before."""
    by_title: dict[str, list[Any]] = {}
    for product in shop.products:
        words = [word for word in fold(product.title).split() if word not in fold(product.colour).split()]
        if product.colour and words:
            by_title.setdefault(" ".join(words), []).append(product)
    variants = {
        _ordered(one.id, other.id)
        for group in by_title.values()
        if len(group) <= 20
        for one, other in combinations(group, 2)
        if fold(one.colour) != fold(other.colour)
    }
    context = shop.context
    found = find_duplicates(context, PairTable(context.folder, read_only=True))
    told = {
        _ordered(one.product, other.product)
        for group in found.groups
        if group.kind != "exact"
        for one, other in combinations(group.members, 2)
    }
    place = {name.decode(): at for at, name in enumerate(shop.columns.hashes.tolist())}
    pairs = shop.pairs.run(shop.columns, np.ones(len(place), bool))
    looks = {
        _ordered(shop.products[place[pair.one]].id, shop.products[place[pair.other]].id)
        for pair in pairs
        if pair.chance >= LEAST_CHANCE
    }
    return {
        "pairs": len(variants),
        "told": len(variants & told),
        "by pictures alone": len(variants & looks),
        "share": round(len(variants & looks) / max(1, len(variants)), 5),
        "which": sorted(variants & looks),
    }


def _ordered(one: str, other: str) -> tuple[str, str]:
    return min(one, other), max(one, other)


def learn(shop: Shop, count: int) -> None:
    """Fit the weights of the chance of a copy, on products that are not measured with: their seeded copies, and what
    the catalogue itself finds for their pictures, of which few are copies."""
    rng = np.random.default_rng(1)
    places = rng.choice(np.flatnonzero(shop.learned), count, replace=False)
    kinds = {**BASIC, **copies.HARDER, "manipulated": copies.manipulated}
    kinds |= {"recoloured": copies.recolour, "partly recoloured": copies.partly_recoloured}
    search, _ = whole(shop)
    parts: list[tuple[Any, ...]] = []
    plain = []  # measures of copies that people make on purpose
    for seed, (kind, way) in enumerate(kinds.items(), 100):
        made = shop.make(f"learn-{kind.split()[0]}-{seed}", places, {kind: way}, seed)
        views = made.views
        found = search.of(views.vectors, views.looks)
        rows, at, near = found.asking[found.worth], found.found[found.worth], found.nearness.of(found.worth)
        measures = measured((views.squares[rows], views.ratios[rows]), shop.squares_of(at))
        own = views.of[rows]
        same = at == places[own]
        kept = made.seen[own] & ~twins(shop, places[own], at)
        dyed = kind.endswith("recoloured")
        right, weights = same & (not dyed), np.full(len(rows), DYED_WEIGHT if dyed else 1)
        parts.append((measures[kept], near.of(kept), right[kept], weights[kept]))
        if kind in BASIC:
            plain.append(measures[same])
        print(kind, "candidates", round(len(np.unique(own[same])) / count, 3), flush=True)
    parts.append(own_pairs(shop, search))
    measures, right, weights = (np.concatenate([part[at] for part in parts]) for at in (0, 2, 3))
    near = Nearness(*(np.concatenate(each) for each in zip(*(part[1] for part in parts), strict=True)))
    passed = measures[:, MEASURES.index("overlap")] > 0
    x, y = figures_of(measures, near)[passed], right[passed]
    w = np.where(y, COPY_WEIGHT, 1) * weights[passed]
    x, y = np.repeat(x, w, axis=0), np.repeat(y, w)
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    net = MLPClassifier((HIDDEN,), alpha=0.3, max_iter=400, random_state=0).fit((x - mean) / spread, y)
    (hidden, out), (hidden_bias, out_bias) = net.coefs_, net.intercepts_
    far = LogisticRegression(max_iter=1000).fit(far_figures_of(near.of(~passed)), right[~passed])
    copied = np.concatenate(plain)
    copied = copied[copied[:, MEASURES.index("overlap")] > 0]
    colours, dyes = ([MEASURES.index(name) for name in names] for names in (COLOURS, DYED))
    kept = {
        "mean": mean, "spread": spread, "hidden": hidden, "hidden_bias": hidden_bias, "out": out[:, 0],
        "out_bias": out_bias, "far": far.coef_[0], "far_bias": far.intercept_,
        "of_copies": np.quantile(copied[:, colours], 0.25, axis=0), "dyed": np.quantile(copied[:, dyes], LIT, axis=0),
    }  # fmt: skip
    np.savez(NET, **{name: each.astype(np.float32) for name, each in kept.items()})
    print(f"{len(y):,} pairs, {int(y.sum()):,} of them copies; wrote {NET}")


def own_pairs(shop: Shop, search: CandidateSearch) -> tuple[Any, ...]:
    """The catalogue's own candidates of the products to learn from: their measures, nearness, which are one picture,
    and their weights. What may be one or not is left out: goods of one title and colour, and those with too little in
    them to tell, such as rings and glasses."""
    parts = []
    asked = np.flatnonzero(shop.learned)
    for start in range(0, len(asked), BLOCK):
        own = asked[start : start + BLOCK]
        found = search.of(shop.columns.vectors[own], shop.looks.of(own), own=own)
        one, other, near = own[found.asking], found.found, found.nearness
        kept = np.flatnonzero(found.worth & ~(shop.learned[other] & (other < one)))  # each pair once
        one, other, near = one[kept], other[kept], near.of(kept)
        measures = measured(shop.squares_of(one), shop.squares_of(other))
        alike = twins(shop, one, other)
        have = dict(zip(MEASURES, measures.T, strict=True))
        same = alike & (have["patch_least"] > 0.85) & (have["detail"] > 0.93)
        same &= (have["texture"] > 0.25) & (have["colour_part"] < 0.6)
        dyed = np.array([_differ(shop, a, b, "colour") for a, b in zip(one, other, strict=True)], bool)
        told = np.array([_differ(shop, a, b, "title") for a, b in zip(one, other, strict=True)], bool)
        sure = np.where(same, ~dyed, ~alike & (dyed | told))
        parts.append((measures[sure], near.of(sure), same[sure], np.ones(int(sure.sum()), int)))
    measures, same, weights = (np.concatenate([part[at] for part in parts]) for at in (0, 2, 3))
    near = Nearness(*(np.concatenate(each) for each in zip(*(part[1] for part in parts), strict=True)))
    return measures, near, same, weights


def _differ(shop: Shop, one: int, other: int, field: str) -> bool:
    values = {fold(getattr(shop.products[at], field)) for at in (one, other)} - {""}
    return len(values) > 1


def million(count: int) -> dict[str, Any]:
    """Candidates of many synthetic vectors: memory and time; each tenth is a copy of another."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((2000, 128)).astype(np.float32)
    vectors = np.empty((count, 128), np.float32)
    for start in range(0, count, 65_536):
        some = slice(start, min(start + 65_536, count))
        size = some.stop - some.start
        vectors[some] = centres[rng.integers(2000, size=size)] + 0.9 * rng.standard_normal((size, 128), np.float32)
        vectors[some] /= np.linalg.norm(vectors[some], axis=1, keepdims=True)
    copies_at = np.arange(0, count - 1, 10)
    vectors[copies_at + 1] = vectors[copies_at] + 0.02 * rng.standard_normal((len(copies_at), 128), np.float32)
    vectors[copies_at + 1] /= np.linalg.norm(vectors[copies_at + 1], axis=1, keepdims=True)
    hashes = rng.integers(0, 256, (count, 2, 32), np.uint8)
    looks = PictureHashes(hashes, np.full(count, 99, np.uint8), rng.integers(0, 256, (count, 2, 8, 8, 3), np.uint8))
    start = time.perf_counter()
    search = CandidateSearch(vectors, looks)
    built = time.perf_counter() - start
    asked, found = 5_000, 0
    start = time.perf_counter()
    for at in range(0, asked, 512):
        block = np.arange(at, min(at + 512, asked))
        candidates = search.of(vectors[block], looks.of(block), own=block)
        wanted = {(int(a), int(a) + 1) for a in block if a % 10 == 0}
        found += len(wanted & set(zip(block[candidates.asking].tolist(), candidates.found.tolist(), strict=True)))
    seconds = time.perf_counter() - start
    return {
        "vectors": count,
        "seconds to build": round(built, 1),
        "pictures looked up a second": round(asked / seconds),
        "copies found": round(found / (asked / 10), 4),
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Run what is asked for, and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--learn", type=int, nargs="?", const=300)
    parser.add_argument("--million", type=int, nargs="?", const=1_000_000)
    parser.add_argument("--only", choices=("copies", "colours", "variants", "disc", "speed"))
    parser.add_argument("--imagededup", type=Path, help="Folder of its unpacked wheel, to compare with in disc.")
    parser.add_argument("--copies", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=1000, help="With and without a reference, each.")
    parser.add_argument("--distractors", type=int, default=20_000, help="Of disc, beside 5,000 references.")
    asked = parser.parse_args()
    if asked.million:
        print(json.dumps(million(asked.million), indent=1))
        return
    if asked.cache is not None:
        asked.cache.mkdir(parents=True, exist_ok=True)
    shop = Shop(asked.store, asked.cache, asked.imagededup)
    if asked.learn:
        learn(shop, asked.learn)
        return
    told: dict[str, Any] = {}
    for name, work in (
        ("copies", lambda: measure_copies(shop, asked.copies)),
        ("colours", lambda: measure_colours(shop, asked.copies)),
        ("variants", lambda: measure_variants(shop)),
        ("disc", lambda: measure_disc(shop, 5000, asked.distractors, asked.queries)),
        ("speed", lambda: measure_speed(shop)),
    ):
        if asked.only in (None, name):
            told[name] = work()
            print(json.dumps({name: told[name]}, indent=1, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
