"""What probabilities and verdicts are worth: calibration error, kinds told, kinds that are gone, no fashion at all.

    python benchmarks/calibration.py [--encoder default] [--only-words] [--pictures WHEELS] [--plot PNG] [--write]

Fitted twice, each time on half of the products (by ``group``) and of the photos' senders, and measured on the other
half, so no figure is of a pair that it was learned from. ``--write`` then fits on both halves and writes
``calibration.json`` and ``probes.npz`` beside the model. Queries: val pictures against the train part of the
catalogue; people's photos, and val pictures on drawn scenes, like phone photos, cut and lit (:mod:`distortions`),
against all of it; pictures without fashion (:mod:`strangers`), of which only those of
:mod:`lapel.insight.strangers` are learned from.
``kind out``: everything of the query's kind was taken out of the catalogue.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.progress import track
from scipy.stats import rankdata

import strangers
from encoders import CACHE, encode_shop
from lapel.core.types import Verdict
from lapel.core.vectors import Vectors
from lapel.encoders import Encoder, open_encoder, shipped_model
from lapel.encoders.probes import DOMAINS, Probe, Probes, read_probes, save_probes
from lapel.encoders.segmenter import embed_images
from lapel.engine.calibration import (
    JUDGEMENTS,
    LIKELY,
    NEIGHBOURS,
    Calibration,
    Density,
    Neighbourhood,
    Scale,
    density_of,
    fashion_features,
    hit_features,
    read_calibration,
    rows_of,
    save_calibration,
)
from lapel.engine.judging import SAMPLED
from lapel.insight import copies
from lapel.insight import fit_probes as learning
from lapel.insight.calibrate import (
    Pairs,
    calibration_error,
    fit_fashion,
    fit_scale,
    joined,
    kind_floor,
    least_likely,
    usual_strength,
)
from lapel.insight.distortions import DISTORTIONS, enlarge
from lapel.insight.own_calibration import DRAWN, HITS, OUT_WEIGHT, REFUSED, STRANGER_WEIGHT, VERDICTS
from lapel.insight.strangers import STRANGERS, drawn
from lapel.service import open_store
from phone_to_shop import KINDS, PHOTOS, ClothingPhotos, read_photos
from shops import Shop, machine, open_shop
from words import SHOPS, WordHits, word_hits

SCENES = {"cluttered scene": 1000, "phone photo": 1000, "crop to 60 %": 500, "light and white balance": 500}
MADE = ("cluttered scene", "phone photo")
SIZES = (12, 30, 100, 300, 1000, 3000)  # of shops drawn from the catalogue, by which the kind is learned, too
HIT_WEIGHT = 0.3  # of hits of words in learning: ten of one answer are no ten proofs
WORD_ALARMS = 0.03  # share of the answers that hold what was asked for, which may be called nothing close
CROPS = 5  # of each picture of a package
PHOTOS_COUNT = 2  # times, beside val pictures, in learning what shows anything of a shop
COLUMNS = {
    "kind": "articleType",
    "section": "subCategory",
    "colour": "baseColour",
    "gender": "gender",
    "season": "season",
}
SLEEVED = ("Tshirts", "Tops", "Shirts", "Sweatshirts")
COLLARED = ("Tshirts", "Tops", "Sweaters", "Sweatshirts")
LONG_SLEEVES = Path(__file__).parent / "long_sleeves.csv"
AIMS = "aims: error <= .03, coverage 88-92 %, AUROC >= .97, kind out >= 80 % at <= 5 % false alarms"


@dataclass(frozen=True)
class Queries:
    """Pictures as queries.

    Attributes:
        vectors: (q, dim) as searches use them.
        on_white: (q,) bool.
        strengths: (q, 2), how strongly the network answers.
    """

    vectors: Vectors
    on_white: NDArray[np.bool_]
    strengths: NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """Queries with the ten nearest of each.

    Attributes:
        features: (q, 10, 12), see :func:`lapel.engine.calibration.hit_features`.
        found: (q, 10) positions in the shop.
        kinds: (q, kinds), how likely each query is of each of the probe's kinds.
        on_white: (q,) bool.
        strengths: (q, 2), how strongly the network answers.
    """

    features: NDArray[np.float64]
    found: NDArray[np.int64]
    kinds: NDArray[np.float64]
    on_white: NDArray[np.bool_]
    strengths: NDArray[np.float32]

    def fashion(self, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(n, 4), see :func:`lapel.engine.calibration.fashion_features`."""
        return fashion_features(self.features[rows, 0], self.strengths[rows])


def embedded(encoder: Encoder, images: Iterable[Image.Image], name: str, cache: Path) -> Queries:
    """Pictures as searches embed them, kept in the cache."""
    path = cache / f"calibration-{encoder.fingerprint}-{name.replace(' ', '-').replace('%', '')}.npz"
    if path.is_file():
        with np.load(path) as file:
            return Queries(file["vectors"], file["on_white"], file["strengths"])
    source: Iterator[Image.Image] = iter(track(images, name))
    parts = []
    while some := list(islice(source, 32)):
        parts.append(embed_images(encoder, some))
    found = Queries(
        np.concatenate([p.vectors for p in parts]),
        np.concatenate([p.on_white for p in parts]),
        np.concatenate([p.strengths for p in parts]),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, vectors=found.vectors, on_white=found.on_white, strengths=found.strengths)
    return found


def fit_probes(shop: Shop, vectors: Vectors, rows: dict[str, NDArray[np.int64]]) -> dict[str, Probe]:
    """The probes of a model: weights from ``train``, sureness and thresholds from the rows ``told``, printed on
    ``judged``."""
    found = {}
    for name in (*COLUMNS, *learning.TITLE_WORDS):
        values = attribute(shop, name)
        probe = learning.fit_probe(name, vectors[rows["train"]], [values[row] for row in rows["train"]])
        if probe is None:
            continue
        held = [values[row] for row in rows["told"]]
        right = [None if value is None else frozenset({value}) for value in held]
        probe = learning.tempered(probe, vectors[rows["told"]], held)
        found[name] = learning.with_threshold(probe, "white", vectors[rows["told"]], right)
    return found


def attribute(shop: Shop, name: str) -> list[str | None]:
    """What the catalogue, or its titles, say of each product; empty where the attribute asks nothing of it."""
    if name in COLUMNS:
        given = [product.gender for product in shop.products] if name == "gender" else shop.values(COLUMNS[name])
        if not any(given):
            plain = {"colour": "colour", "season": "season"}.get(name)
            given = [getattr(product, plain) if plain else "" for product in shop.products]
        return [value or None for value in given]
    long = frozenset(LONG_SLEEVES.read_text(encoding="utf-8").split()[1:])
    told = learning.title_values([product.title for product in shop.products], name)
    kinds = shop.values("articleType")
    clothes = [product.category[0] == "Apparel" if product.category else False for product in shop.products]
    asks: dict[str, Callable[[int], bool]] = {
        "pattern": lambda row: clothes[row],
        "neck": lambda row: kinds[row] in COLLARED,
        "sleeves": lambda row: kinds[row] in SLEEVED,
    }
    values: list[str | None] = [value if asks[name](row) else "" for row, value in enumerate(told)]
    if name == "sleeves":  # T-shirts are short-sleeved unless they were seen not to be
        for row in np.flatnonzero(np.array(kinds) == "Tshirts").tolist():
            values[row] = "long sleeves" if shop.products[row].id in long else values[row] or "short sleeves"
    return values


class Bench:
    """One model's queries, answers and truth."""

    def __init__(self, encoder: Encoder, shop: Shop, photos: ClothingPhotos, wanted: argparse.Namespace) -> None:
        self.encoder, self.shop, self.photos = encoder, shop, photos
        self.vectors = encode_shop(encoder, shop, wanted.cache)
        split = np.array(shop.values("split"))
        self.train, self.val = np.flatnonzero(split == "train"), np.flatnonzero(split == "val")
        self.kind, self.section = np.array(shop.values("articleType")), np.array(shop.values("subCategory"))
        self.colour = np.array([value or "" for value in attribute(shop, "colour")])
        self.gender = np.array([product.gender for product in shop.products])
        labels = np.stack([self.kind, self.section, self.colour, self.gender], axis=1)
        values, numbers = np.unique(labels, return_inverse=True)
        self.numbers = np.where(values[numbers] == "", 0, numbers + 1).reshape(labels.shape).astype(np.int64)
        self.groups = np.array(shop.values("group"))
        self.drawn = np.random.default_rng(7).permutation(self.val)[: max(SCENES.values())]
        rng = np.random.default_rng(0)
        self.fold = rng.integers(0, 2, 1 + max(map(int, self.groups)))[self.groups.astype(int)]  # of each product
        senders = read_senders(wanted.photos)
        self.sender_fold = rng.integers(0, 2, 1 + senders.max())[senders]
        self.held_out = photos.splits == "validation"
        self.known = Calibration({}, {}, {}, density=self.density(self.train))
        self.queries = self._queries(wanted)

    def _queries(self, wanted: argparse.Namespace) -> dict[str, Queries]:
        encoder, cache, shop = self.encoder, wanted.cache, self.shop
        found = {"val": embedded(encoder, (shop.image(int(row)) for row in self.val), "val", cache)}
        pictures = (self.photos.picture(row) for row in range(len(self.photos.files)))
        found["photos"] = embedded(encoder, pictures, "photos", cache)
        for name, count in SCENES.items():
            changed = (
                DISTORTIONS[name](enlarge(shop.image(int(row))), np.random.default_rng((9, at)))
                for at, row in enumerate(self.drawn[:count])
            )
            found[name] = embedded(encoder, changed, name, cache)
        for name, kinds, seed in (("fitted", STRANGERS, 1), ("held out", strangers.HELD_OUT, 2)):
            found[name] = embedded(encoder, (image for _, image in drawn(kinds, DRAWN, seed)), name, cache)
        rng, shipped = np.random.default_rng(3), strangers.package_pictures(wanted.pictures)
        self.package_names = [name for name in shipped for _ in range(CROPS)]
        cut = (part for image in shipped.values() for part in strangers.crops(image, CROPS, rng))
        found["packages"] = embedded(encoder, cut, f"packages {len(shipped)}", cache)
        return found

    def ask(self, probes: Probes, name: str, *, out: str = "", size: int = 0) -> Asked:
        """The answers to a set of queries; ``out``: without what has the query's own ``kind`` or ``section``; ``size``:
        of a shop of so many products, drawn from the catalogue."""
        queries = self.queries[name]
        gallery = self.train if name == "val" else np.arange(len(self.vectors))
        if size:
            gallery = np.sort(np.random.default_rng(size).choice(gallery, size, replace=False))
        features, found, kinds = [], [], []
        for at in range(0, len(queries.vectors), 256):
            scores = queries.vectors[at : at + 256] @ self.vectors[gallery].T
            if out:
                scores[self._same(name, out, slice(at, at + 256), gallery)] = -1
            best = np.argpartition(-scores, min(NEIGHBOURS, len(gallery)) - 1, axis=1)[:, :NEIGHBOURS]
            for row, places in enumerate(best):
                order = places[np.argsort(-scores[row, places], kind="stable")]
                rows = gallery[order]
                around = Neighbourhood(
                    queries.vectors[at + row], scores[row, order], self.vectors[rows], self.numbers[rows]
                )
                features.append(
                    hit_features(probes, around, around.scores[:HITS], around.vectors[:HITS], around.labels[:HITS])
                )
                kinds.append(around.kinds(probes))
                found.append(rows[:HITS])
        flat = np.array(features)
        if size:
            flat = self.known.levelled(flat.reshape(-1, flat.shape[2]), self.density(gallery)).reshape(flat.shape)
        return Asked(flat, np.array(found), np.array(kinds), queries.on_white, queries.strengths)

    def density(self, gallery: NDArray[np.int64]) -> Density:
        """How near products of a part of the catalogue lie to each other."""
        some = np.random.default_rng(0).permutation(gallery)[:SAMPLED]
        scores = self.vectors[some] @ self.vectors[gallery].T
        scores[self.groups[some][:, None] == self.groups[gallery]] = -np.inf
        return density_of(-np.sort(-scores, axis=1)[:, :10])

    def _same(self, name: str, out: str, at: slice, gallery: NDArray[np.int64]) -> NDArray[np.bool_]:
        if name == "val":
            own = self.kind if out == "kind" else self.section
            return np.asarray(own[self.val[at]][:, None] == own[gallery])
        kinds = [sorted(KINDS[label]) for label in self.photos.labels[at]]
        return np.stack([np.isin(self.kind[gallery], each) for each in kinds])

    def right(self, name: str, asked: Asked, verdict: Verdict) -> NDArray[np.bool_]:
        """(q, 10): whether a verdict is true of each hit."""
        found = asked.found
        if name in ("fitted", "held out", "packages") or (name == "photos" and verdict is not Verdict.SAME_KIND):
            return np.zeros(found.shape, bool)
        if name == "photos":
            return np.stack(
                [
                    np.isin(self.kind[row], sorted(KINDS[label]))
                    for row, label in zip(found, self.photos.labels, strict=True)
                ]
            )
        rows = (self.val if name == "val" else self.drawn[: SCENES[name]])[:, None]
        if verdict is Verdict.SAME_PRODUCT:
            return np.asarray(self.groups[found] == self.groups[rows])
        if verdict is Verdict.SAME_KIND:
            return np.asarray(self.kind[found] == self.kind[rows])
        same = [own[found] == own[rows] for own in (self.section, self.gender, self.colour)]
        return np.asarray(np.logical_and.reduce(same))

    def folds(self, name: str) -> NDArray[np.int64]:
        """(q,) which half each query is of; strangers are of both, 2."""
        if name == "photos":
            return self.sender_fold
        if name in ("fitted", "held out", "packages"):
            return np.full(len(self.queries[name].vectors), 2)
        return self.fold[self.val if name == "val" else self.drawn[: SCENES[name]]]


def read_senders(folder: Path) -> NDArray[np.int64]:
    """(n,) who sent each photo."""
    import csv

    with (folder / "photos.csv").open(encoding="utf-8", newline="") as file:
        return np.array([int(row["sender_id"]) for row in csv.DictReader(file)])


@dataclass(frozen=True)
class Answers:
    """The answers that a calibration is learned from or judged by, by the name of the set; ``val out`` and ``photos
    out`` are those without the query's kind."""

    bench: Bench
    probes: Probes
    asked: dict[str, Asked]

    def pairs(self, name: str, verdict: Verdict, rows: NDArray[np.bool_], weight: float = 1.0) -> Pairs:
        """Every hit of some queries."""
        asked, base = self.asked[name], name.split()[0] if name.startswith(("val ", "photos ")) else name
        right = self.bench.right(base, asked, verdict)[rows]
        return Pairs(asked.features[rows].reshape(-1, asked.features.shape[2]), right.ravel(), weight)

    def categories(self, name: str, rows: NDArray[np.bool_]) -> list[str]:
        """Of those hits."""
        return [str(kind) for kind in self.bench.kind[self.asked[name].found[rows]].ravel()]

    def fit(self, used: Callable[[str], NDArray[np.bool_]]) -> Calibration:
        """A calibration from the queries that ``used`` picks of each set."""
        bench, every = self.bench, used("fitted")
        distorted = list(SCENES)
        scales: dict[str, dict[Verdict, object]] = {domain: {} for domain in DOMAINS}
        for verdict in (Verdict.SAME_PRODUCT, Verdict.SAME_STYLE, Verdict.SAME_KIND):
            strange = self.pairs("fitted", verdict, every, STRANGER_WEIGHT)
            val, gone = self.pairs("val", verdict, used("val")), self.pairs("val out", verdict, used("val"), OUT_WEIGHT)
            if verdict is Verdict.SAME_PRODUCT:
                made = [self.pairs(name, verdict, used(name) & self.asked[name].on_white) for name in distorted]
                scales["white"][verdict] = fit_scale([val, *made, strange], joined([val, *made]))
                made = [self.pairs(name, verdict, used(name) & ~self.asked[name].on_white) for name in distorted]
                people = self.pairs("photos", verdict, used("photos"))
                scales["photo"][verdict] = fit_scale([*made, people, strange], joined([*made, people]))
            elif verdict is Verdict.SAME_STYLE:
                scales["white"][verdict] = fit_scale([val, gone, strange], val)
                made = [self.pairs(name, verdict, used(name) & ~self.asked[name].on_white) for name in distorted]
                scales["photo"][verdict] = fit_scale([*made, strange], joined(made))
            else:
                scales["white"][verdict] = fit_scale([val, gone, strange], val, self.categories("val", used("val")))
                people = self.pairs("photos", verdict, used("photos") & ~bench.held_out)
                gone = self.pairs("photos out", verdict, used("photos"), OUT_WEIGHT)
                checked = self.pairs("photos", verdict, used("photos") & bench.held_out)
                scales["photo"][verdict] = fit_scale([people, gone, strange, checked], checked)
        found = Calibration(scales, dict.fromkeys(DOMAINS, 0.0), {})  # type: ignore[arg-type]
        people = used("photos") & bench.held_out
        rows = {"white": ("val", used("val")), "photo": ("photos", people)}
        least = {domain: least_likely(self.best(found, name, some)) for domain, (name, some) in rows.items()}
        floors = {domain: kind_floor(self.own_kinds(name)[some]) for domain, (name, some) in rows.items()}
        known = {name: self.asked[name].fashion(used(name)) for name in ("val", "photos")}
        every = np.concatenate([known["val"], *[known["photos"]] * PHOTOS_COUNT])
        fashion = fit_fashion(every, self.asked["fitted"].fashion(used("fitted")))
        held = {"white": known["val"], "photo": self.asked["photos"].fashion(people)}
        refused = {domain: float(np.quantile(fashion.probabilities(some), REFUSED)) for domain, some in held.items()}
        return replace(
            found,
            least=least,
            kind_floor=floors,
            fashion=fashion,
            fashion_least=refused,
            strength=usual_strength(known["photos"]),
            density=bench.known.density,
            smaller=self.smaller(used),
        )

    def smaller(self, used: Callable[[str], NDArray[np.bool_]]) -> dict[str, Scale]:
        """How likely the same kind is in smaller shops, by domain."""
        rows = {"white": ("val", used("val")), "photo": ("photos", used("photos") & self.bench.held_out)}
        found = {}
        for domain, (name, some) in rows.items():
            shops = [self.pairs(f"{name} in {size}", Verdict.SAME_KIND, some) for size in SIZES]
            found[domain] = fit_scale(shops, joined(shops))
        return found

    def likely(self, found: Calibration, name: str, verdict: Verdict, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(q, 10) how likely a verdict holds for each hit."""
        asked = self.asked[name]
        values = np.zeros(asked.found.shape)
        for domain in DOMAINS:
            some = rows & (asked.on_white == (domain == "white"))
            flat = asked.features[some].reshape(-1, asked.features.shape[2])
            told = found.scales[domain][verdict].probabilities(flat, rows_of(self.categories(name, some)))
            values[some] = told.reshape(-1, HITS)
        fashion = self.fashion(found, name, rows)
        for domain in DOMAINS:
            strange = (asked.on_white[rows] == (domain == "white")) & (fashion < found.fashion_least.get(domain, 0.0))
            at = np.flatnonzero(rows)[strange]
            values[at] = np.minimum(values[at], fashion[strange, None])
        return values[rows]

    def fashion(self, found: Calibration, name: str, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(q,) how likely each query shows anything of a shop."""
        if found.fashion is None:
            return np.ones(int(rows.sum()))
        return found.fashion.probabilities(self.asked[name].fashion(rows))

    def best(self, found: Calibration, name: str, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(q,) the highest probability of the query's kind among its ten hits."""
        return self.likely(found, name, Verdict.SAME_KIND, rows).max(axis=1)

    def verdicts(self, found: Calibration, name: str, rows: NDArray[np.bool_]) -> NDArray[np.str_]:
        """(q,) the verdict on the answer."""
        asked = self.asked[name]
        told = np.empty(len(asked.found), object)
        for white in (True, False):
            some = rows & (asked.on_white == white)
            judged = found.judge(
                asked.features[some].reshape(-1, asked.features.shape[2]),
                self.categories(name, some),
                on_white=white,
                strengths=np.repeat(asked.strengths[some], HITS, axis=0),
            )
            told[some] = [JUDGEMENTS[best].value for best in judged.closest.reshape(-1, HITS).min(axis=1).tolist()]
        return told[rows].astype(str)

    def own_kinds(self, name: str) -> NDArray[np.float64]:
        """(q,) how likely the query's own kind was said to be; 0 where the probe does not know it."""
        names = list(self.probes["kind"].values)
        if name == "photos":
            wanted = [sorted(KINDS[label]) for label in self.bench.photos.labels]
        else:
            wanted = [[str(kind)] for kind in self.bench.kind[self.bench.val]]
        likely = self.asked[name].kinds
        return np.array(
            [
                max((likely[row, names.index(k)] for k in some if k in names), default=0.0)
                for row, some in enumerate(wanted)
            ]
        )


def auroc(known: NDArray[np.float64], strange: NDArray[np.float64]) -> float:
    """How often a known picture's figure is above a strange one's."""
    ranks = rankdata(np.concatenate([strange, known]))[len(strange) :]
    return float((ranks.sum() - len(known) * (len(known) + 1) / 2) / (len(known) * len(strange)))


def report(answers: Answers, calibrations: Sequence[Calibration]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Print everything: each half by the calibration of the other. Returns probabilities of the same kind, and whether
    they were right, of val pictures and held-out photos."""
    bench = answers.bench
    shown: list[tuple[NDArray[np.float64], NDArray[np.bool_]]] = []
    sets = {"val": np.ones(len(bench.val), bool), "photos": bench.held_out}
    sets |= {name: np.ones(len(answers.asked[name].found), bool) for name in SCENES}
    print(
        f"{'expected calibration error':28}{'queries':>9}"
        + "".join(f"{v.value:>18}" for v in VERDICTS)
        + f"{'right':>8}"
    )
    for name, some in sets.items():
        cells, rate = [], 0.0
        for verdict in VERDICTS:
            if name == "photos" and verdict is not Verdict.SAME_KIND:
                cells.append(float("nan"))
                continue
            told, true = halves(answers, calibrations, name, verdict, some)
            cells.append(calibration_error(told.ravel(), true.ravel()))
            rate = float(true.mean())
            if verdict is Verdict.SAME_KIND and name in ("val", "photos"):
                shown.append((told.ravel(), true.ravel()))
        print(f"{name:28}{int(some.sum()):9,}" + "".join(f"{cell:18.3f}" for cell in cells) + f"{rate:8.3f}")
    for name, domain in (("val", "white"), ("photos", "photo")):
        folds, own = bench.folds(name), answers.own_kinds(name)
        inside, sizes, alarms, gone = [], [], [], []
        for half, found in enumerate(calibrations):
            rows = sets[name] & (folds == half)
            floor = found.kind_floor[domain]
            inside += (own[rows] >= floor).tolist()
            sizes += (answers.asked[name].kinds[rows] >= floor).sum(axis=1).tolist()
            alarms += (answers.verdicts(found, name, rows) == Verdict.NOTHING_CLOSE.value).tolist()
            gone += [answers.verdicts(found, f"{name} out", rows)]
        said = np.concatenate(gone)
        nothing, style = np.mean(said == "nothing close"), np.mean(said == "same style")
        print(
            f"{name}: kinds told hold the right one for {100 * np.mean(inside):.1f} % ({np.mean(sizes):.2f} kinds);"
            f" kind out: nothing close {100 * nothing:.1f} %, same style of another kind {100 * style:.1f} %, together"
            f" {100 * (nothing + style):.1f} % at {100 * np.mean(alarms):.1f} % false alarms"
        )
    of_sizes(answers, calibrations)
    strange(answers, calibrations)
    return np.concatenate([told for told, _ in shown]), np.concatenate([true for _, true in shown])


def of_sizes(answers: Answers, calibrations: Sequence[Calibration]) -> None:
    """Print how well the kind is told in smaller shops, drawn from the catalogue."""
    heads = f"{'error':>8}{'told':>8}{'right':>8}   not said: though one of ten is / where none is"
    print(f"{'same kind in a shop of':28}{heads}")
    for name in ("val", "photos"):
        some = np.ones(len(answers.bench.val), bool) if name == "val" else answers.bench.held_out
        for size in SIZES:
            asked, folds = answers.asked[f"{name} in {size}"], answers.bench.folds(name)
            true = answers.bench.right(name, asked, Verdict.SAME_KIND)
            told = np.zeros(true.shape)
            for half, found in enumerate(calibrations):
                for domain in DOMAINS:
                    rows = some & (folds == half) & (asked.on_white == (domain == "white"))
                    flat = asked.features[rows].reshape(-1, asked.features.shape[2])
                    told[rows] = found.smaller[domain].probabilities(flat).reshape(-1, HITS)
            told, true = told[some], true[some]
            silent, there = told.max(axis=1) < LIKELY, true.any(axis=1)
            error = calibration_error(told.ravel(), true.ravel())
            print(
                f"{f'{name}, {size:,} products':28}{error:8.3f}{told.mean():8.3f}{true.mean():8.3f}"
                f"   {silent[there].mean():.3f} / {silent[~there].mean() if (~there).any() else np.nan:.3f}"
            )


def halves(
    answers: Answers, calibrations: Sequence[Calibration], name: str, verdict: Verdict, some: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Of each half by the other's calibration: how likely, and whether right."""
    folds, true = answers.bench.folds(name), answers.bench.right(name, answers.asked[name], verdict)
    rows = [some & (folds == half) for half in range(len(calibrations))]
    told = [answers.likely(found, name, verdict, each) for found, each in zip(calibrations, rows, strict=True)]
    return np.concatenate(told), np.concatenate([true[each] for each in rows])


def strange(answers: Answers, calibrations: Sequence[Calibration]) -> None:
    """Print how pictures without fashion are told from others, by how likely they show anything of a shop."""
    bench = answers.bench
    known = {}
    for name, some in (("val", np.ones(len(bench.val), bool)), ("photos", bench.held_out)):
        parts = [
            answers.fashion(found, name, some & (bench.folds(name) == half)) for half, found in enumerate(calibrations)
        ]
        known[name] = np.concatenate(parts)
    names = np.array(bench.package_names)
    clothed = np.isin(names, strangers.CLOTHED)
    kinds = [name for name, _ in drawn(strangers.HELD_OUT, DRAWN, 2)]
    rows = {f"drawn: {kind}": ("held out", np.array(kinds) == kind) for kind in strangers.HELD_OUT}
    rows |= {
        "packages, no clothes to see": ("packages", ~clothed),
        "packages, people in clothes": ("packages", clothed),
    }
    print(f"{'without fashion':32}{'pictures':>9}{'AUROC, val':>12}{'photos':>9}{'nothing close':>15}")
    for title, (name, some) in rows.items():
        if not some.any():
            continue
        told = np.mean([answers.fashion(found, name, some) for found in calibrations], axis=0)
        said = answers.verdicts(calibrations[0], name, some) == Verdict.NOTHING_CLOSE.value
        cells = "".join(
            f"{auroc(values, told):{width}.3f}" for values, width in ((known["val"], 12), (known["photos"], 9))
        )
        print(f"{title:32}{int(some.sum()):9}{cells}{100 * said.mean():14.1f}%")


def small_shops(spec: str, shop: Shop, sizes: Sequence[int] = (9, 30)) -> None:
    """Print how many pictures of a small shop's own goods are answered with *nothing close*, by the calibration that
    lies beside the model."""
    rng, ways = np.random.default_rng(5), {"re-cut": copies.recut, **{name: DISTORTIONS[name] for name in MADE}}
    val = np.flatnonzero(np.array(shop.values("split")) == "val")
    for size in sizes:
        rows = rng.choice(val, size, replace=False)
        with tempfile.TemporaryDirectory() as folder:
            for row in rows:
                shop.image(int(row)).save(Path(folder) / f"{row}.png")
            said: list[str] = []
            with open_store(Path(folder) / "shop", create=True, encoder=spec) as store:
                store.add(folder)
                for name, way in ways.items():
                    asked = (way(enlarge(shop.image(int(row))), rng) for row in rows)
                    verdicts = [store.search(image=image).verdict for image in asked]
                    said.append(f"{name} {verdicts.count(Verdict.NOTHING_CLOSE.value)}")
        print(f"a shop of {size} products, its own goods called nothing close: {', '.join(said)} of {size} each")


def fit_words(hits: WordHits, some: NDArray[np.bool_]) -> tuple[Scale, float]:
    """How likely a hit is what words ask for, from some of the answers, and below which it is nothing close."""
    rows = some[hits.query]
    pairs = Pairs(hits.features[rows], hits.right[rows], HIT_WEIGHT)
    scale = fit_scale([pairs], pairs)
    best = hits.best(words_likely(scale, hits))
    return scale, min(LIKELY, float(np.quantile(best[some & hits.there], WORD_ALARMS)) - 1e-6)


def words_likely(scale: Scale, hits: WordHits) -> NDArray[np.float64]:
    """(m,) as the engine says it."""
    likely = scale.probabilities(hits.features)
    return np.where(hits.named, np.maximum(likely, LIKELY), likely)


def report_words(hits: WordHits) -> None:
    """Print what is said of words in shops that have what they name and in those that have not: each quarter - a half
    of the names in a half of the shops - by what the opposite quarter taught."""
    likely, silent = np.zeros(len(hits.right)), np.zeros(len(hits.sorts), bool)
    for names in (0, 1):
        for shops in (0, 1):
            scale, least = fit_words(hits, (hits.halves == (1 - names, 1 - shops)).all(axis=1))
            own = (hits.halves == (names, shops)).all(axis=1)
            told = words_likely(scale, hits)
            likely[own[hits.query]] = told[own[hits.query]]
            silent[own] = hits.best(told)[own] < least
    print(f"{'words in shops':28}{'has it':>8}{'alarms':>8}{'has not':>9}{'told':>7}{'error':>8}{'not understood':>16}")
    silent_of = hits.silent | Counter(all=hits.silent.total())
    groups = {"all": np.ones(len(silent), bool)}
    groups |= {f"{size or 'all':,} products" if size else "the whole": hits.sizes == size for size in SHOPS}
    groups |= {sort: hits.sorts == sort for sort in dict.fromkeys(hits.sorts.tolist())}
    for name, some in groups.items():
        there, gone, rows = some & hits.there, some & ~hits.there, some[hits.query]
        alarms = f"{100 * silent[there].mean():8.1f}" if there.any() else f"{'-':>8}"
        found = f"{100 * silent[gone].mean():7.1f}" if gone.any() else f"{'-':>7}"
        error = calibration_error(likely[rows], hits.right[rows])
        print(f"{name:28}{there.sum():8,}{alarms}{gone.sum():9,}{found}{error:8.3f}{silent_of[name] or '':>16}")


def draw_reliability(told: NDArray[np.float64], true: NDArray[np.bool_], path: Path) -> None:
    """How many hits were right against how likely they were said to be; bars: how many hits."""
    side, left, base = 360, 60, 400
    sheet = Image.new("RGB", (460, 470), (255, 255, 255))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    pen.rectangle((left, base - side, left + side, base), outline=(209, 213, 219))
    pen.line((left, base, left + side, base - side), (156, 163, 175), 1)
    at = np.minimum((told * 10).astype(int), 9)
    counts = np.bincount(at, minlength=10)
    points = []
    for place in range(10):
        x = left + place * side // 10
        tall = round(0.25 * side * counts[place] / counts.max())
        pen.rectangle((x + 6, base - tall, x + side // 10 - 6, base - 1), (219, 234, 254))
        pen.text((x, base + 4), f".{place}", (107, 114, 128), font)
        pen.text((left - 28, base - place * side // 10 - 8), f".{place}", (107, 114, 128), font)
        if counts[place] >= 20:
            rows = at == place
            points.append((left + told[rows].mean() * side, base - true[rows].mean() * side))
    pen.line(points, (24, 93, 196), 3)
    for x, y in points:
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), (24, 93, 196))
    pen.text((left, base + 26), "said to be of the same kind", (31, 36, 43), font)
    pen.text((left, base - side - 24), "are (share of hits, on data not used for it)", (31, 36, 43), font)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, "PNG")


def show_probes(bench: Bench) -> dict[str, Probe]:
    """Fit the probes on each half of val, print what they are worth on the other, and fit them on all of it."""
    val, fold = bench.val, bench.fold[bench.val]
    print(f"{'probe':10}{'values':>8}{'precision':>11}{'told of':>9}   on the half of val not used for its threshold")
    for half in (0, 1):
        rows = {"train": bench.train, "told": val[fold != half]}
        for name, probe in fit_probes(bench.shop, bench.vectors, rows).items():
            values = attribute(bench.shop, name)
            judged = val[fold == half]
            right = [None if values[row] is None else frozenset({str(values[row])}) for row in judged]
            precision, told, _ = learning.measured(probe, "white", bench.vectors[judged], right)
            print(f"{name:10}{len(probe.values):8}{precision:11.3f}{told:9.3f}")
    probes = fit_probes(bench.shop, bench.vectors, {"train": bench.train, "told": val})
    labels = [frozenset(KINDS[label]) for label in bench.photos.labels[bench.held_out]]
    people, senders = bench.queries["photos"].vectors[bench.held_out], bench.sender_fold[bench.held_out]
    for half in (0, 1):
        given = [label if fold != half else None for label, fold in zip(labels, senders, strict=True)]
        kept = [label if fold == half else None for label, fold in zip(labels, senders, strict=True)]
        probe = learning.with_threshold(probes["kind"], "photo", people, given)
        precision, told, count = learning.measured(probe, "photo", people, kept)
        print(f"kind, people's photos {precision:10.3f}{told:9.3f}   ({count} photos)")
    probes["kind"] = learning.with_threshold(probes["kind"], "photo", people, labels)
    return probes


def with_words(
    known: Calibration, encoder: Encoder, wanted: argparse.Namespace, shop: Shop, probes: Probes
) -> Calibration:
    """A calibration that says what is likely of words, too; what it is worth is printed."""
    if not encoder.has_text:
        return known
    hits = word_hits(encoder, wanted.encoder, shop, encode_shop(encoder, shop, wanted.cache), probes, known)
    report_words(hits)
    scale, least = fit_words(hits, np.ones(len(hits.sorts), bool))
    return replace(known, words=scale, words_least=least)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="default", help="default, small or a model folder")
    parser.add_argument("--data", type=Path, help="folder or ZIP of pictures, with --products")
    parser.add_argument("--products", type=Path, help="table of the products")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder with photos.csv and images.zip")
    parser.add_argument("--pictures", type=Path, nargs="*", default=[], help="wheels or folders with other pictures")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where vectors are kept")
    parser.add_argument("--plot", type=Path, help="write the reliability diagram as a PNG")
    parser.add_argument("--only-words", action="store_true", help="words alone, beside the rest as it is")
    parser.add_argument("--write", action="store_true", help="write calibration.json and probes.npz beside the model")
    wanted = parser.parse_args(arguments)
    encoder = open_encoder(wanted.encoder)
    shop = open_shop(wanted.data, wanted.products, wanted.cache)
    name = wanted.encoder.rpartition(":")[2]  # without what runs it
    folder = shipped_model(name) if name in ("default", "small") else Path(name)
    if wanted.only_words:
        known = read_calibration(folder)
        if known is None:
            parser.error(f"{folder} has no calibration: leave --only-words out")
        print(f"{encoder.name}, {len(shop.products):,} products; {machine()}")
        known = with_words(known, encoder, wanted, shop, read_probes(folder, encoder.dim))
        if wanted.write:
            save_calibration(known, folder)
        return
    bench = Bench(encoder, shop, read_photos(wanted.photos), wanted)
    print(f"{encoder.name}, {len(shop.products):,} products, {len(bench.photos.files):,} photos; {machine()}\n{AIMS}")
    probes = show_probes(bench)
    asked = {name: bench.ask(probes, name) for name in bench.queries}
    for name in ("val", "photos"):
        asked[f"{name} out"] = bench.ask(probes, name, out="kind")
        asked |= {f"{name} in {size}": bench.ask(probes, name, size=size) for size in SIZES}
    answers = Answers(bench, probes, asked)
    calibrations = [answers.fit(lambda name, half=half: bench.folds(name) != half) for half in (0, 1)]
    told, true = report(answers, calibrations)
    small_shops(wanted.encoder, shop)
    if wanted.plot:
        draw_reliability(told, true, wanted.plot)
    details = {"learned_from": "val pictures, people's photos, drawn scenes; benchmarks/calibration.py"}
    fitted = replace(answers.fit(lambda name: bench.folds(name) >= 0), details=details)
    fitted = with_words(fitted, encoder, wanted, shop, probes)
    if wanted.write:
        save_calibration(fitted, folder)
        save_probes(probes, folder)


if __name__ == "__main__":
    main()
