"""A store's own calibration: what its model's cosines mean among its own products, see :mod:`lapel.engine.calibration`.

Photos of the store ask for its other photos: as they are, cut or lit like a screenshot, and laid on drawn scenes like a
phone's; drawn pictures without fashion ask too, and the same photos once more with all of their kind taken out. Labels
are the store's: its categories, genders and colours. Each half of the products is judged by what the other half taught;
what is kept is learned from both.

Probabilities hold for pictures that are as new to the model as those that asked. Where the model was trained on this
very store, let only products ask that it was not trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lapel.core.errors import ImageError, InputError, SourceError
from lapel.core.filters import NO_FILTER
from lapel.core.types import Filter, Verdict
from lapel.core.vectors import Keys, Vectors
from lapel.encoders import Encoder
from lapel.encoders.probes import DOMAINS, Probe, Probes
from lapel.encoders.segmenter import embed_images
from lapel.engine.calibration import (
    AGREEING,
    JUDGEMENTS,
    LIKELY,
    NEIGHBOURS,
    Calibration,
    Labels,
    Neighbourhood,
    Scale,
    fashion_features,
    hit_features,
    rows_of,
)
from lapel.engine.context import StoreContext
from lapel.engine.judging import Judge
from lapel.indexes import VectorIndex
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
from lapel.insight.distortions import DISTORTIONS, Distortion, enlarge
from lapel.insight.fit_probes import fit_probe, tempered, with_threshold
from lapel.insight.strangers import STRANGERS, drawn

SAMPLE = 2000  # photos that ask
LEAST = 200  # below which probabilities would be guesses
LEARNED = 20_000  # photos that probes are learned from
HITS = 10
DRAWN = 60  # pictures without fashion of each kind
REFUSED = 0.01  # share of known queries that may be taken for pictures without fashion
OUT_WEIGHT, STRANGER_WEIGHT = 0.3, 1.5  # of queries whose kind is gone, and of pictures without fashion, in learning
BATCH = 32
CUT_OR_LIT = ("crop to 60 %", "light and white balance")
ON_SCENES = ("cluttered scene", "phone photo")
VERDICTS = (Verdict.SAME_PRODUCT, Verdict.SAME_STYLE, Verdict.SAME_KIND)

Texts = NDArray[np.str_]
Flags = NDArray[np.bool_]
Progress = Callable[[int, int], None]
Shares = dict[str, dict[Verdict, float]]  # by domain and verdict


@dataclass(frozen=True)
class OwnCalibration:
    """A calibration with what it is worth.

    Attributes:
        calibration: What is kept.
        probes: What is kept beside it: the model's, and those that the store's labels could teach.
        photos: How many photos asked.
        unreadable: How many more could not be read.
        errors: By domain and verdict, the expected calibration error on the half not used, 0..1.
        right: By domain and verdict, the share of hits for which it holds.
        held: By domain and verdict, of hits that it is said of (likelier than not), the share for which it holds.
        refused: By domain, of queries whose kind was taken out, the share told *nothing close* or only *same style*.
        alarms: By domain, of queries whose kind is there, the share told *nothing close*.
        errors_before: As ``errors``, on the same pictures, of the calibration that came with the model; empty where it
            has none.
    """

    calibration: Calibration
    probes: Probes
    photos: int
    unreadable: int
    errors: Mapping[str, Mapping[Verdict, float]]
    right: Mapping[str, Mapping[Verdict, float]]
    held: Mapping[str, Mapping[Verdict, float]]
    refused: Mapping[str, float]
    alarms: Mapping[str, float]
    errors_before: Mapping[str, Mapping[Verdict, float]]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""

        def plain(table: Mapping[str, Mapping[Verdict, float]]) -> dict[str, dict[str, float]]:
            return {name: {verdict.value: value for verdict, value in row.items()} for name, row in table.items()}

        return {
            "photos": self.photos,
            "unreadable": self.unreadable,
            "calibration_error": plain(self.errors),
            "calibration_error_before": plain(self.errors_before),
            "right": plain(self.right),
            "held": plain(self.held),
            "kind_out_refused": dict(self.refused),
            "false_alarms": dict(self.alarms),
            "probes": sorted(self.probes),
        }


def calibrate_store(
    store: StoreContext,
    *,
    queries: Filter = NO_FILTER,
    sample: int = SAMPLE,
    seed: int = 0,
    report: Progress | None = None,
) -> OwnCalibration:
    """Learn a calibration from a store's own products; nothing is written.

    Args:
        store: The store.
        queries: Whose photos may ask.
        sample: At most so many of them.
        seed: Another one draws others.
        report: Called with the pictures encoded and how many there are.

    Raises:
        InputError: it has too few photos with a category, or all have the same.
    """
    shop = _Shop.of(store)
    asking = shop.sampled(store.catalog.matching_keys(queries), sample, seed)
    pictures = _Pictures(store, shop.keys[asking], seed, report)
    shown = pictures.encoded()
    asking = asking[pictures.good]
    if len(asking) < LEAST:
        raise InputError(f"{_NEEDS} Of {len(pictures.good):,} that were chosen, {len(asking):,} can be read.")
    probes = shop.probes(store.encoder, asking, shown["plain"])
    answers = {name: shop.answers(name, asking, vectors, probes) for name, vectors in shown.items()}
    answers |= {f"{name} out": shop.answers(f"{name} out", asking, shown[name], probes) for name in ("plain", "scenes")}
    halves = np.random.default_rng(seed).integers(0, 2, shop.products[asking].max() + 1)[shop.products[asking]]
    fits = [_Fit(answers, halves != half) for half in (0, 1)]
    whole = _Fit(answers, np.ones(len(asking), bool))
    details = {"learned_from": f"{len(asking)} photos of this store", "model": store.model.name}
    shipped, with_probes = Judge(store, own=False).of(store.encoder)
    before: Mapping[str, Mapping[Verdict, float]] = {}
    if shipped is not None:
        answers_before = {name: shop.answers(name, asking, shown[name], with_probes) for name in ("plain", "scenes")}
        before = _judged(answers_before, [(shipped, np.ones(len(asking), bool))])[0]
    return OwnCalibration(
        replace(whole.calibration, details=details),
        probes,
        len(asking),
        int((~pictures.good).sum()),
        *_judged(answers, [(fit.calibration, halves == half) for half, fit in enumerate(fits)]),
        before,
    )


_NEEDS = f"A calibration of its own needs {LEAST} photos of products with a category, of two kinds or more."


@dataclass(frozen=True)
class Shown:
    """Pictures as searches embed them.

    Attributes:
        vectors: (q, dim).
        on_white: (q,) bool.
        strengths: (q, 2), how strongly the network answers to each.
    """

    vectors: Vectors
    on_white: Flags
    strengths: NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """What was found for some queries.

    Attributes:
        features: (q, 10, 12), see :func:`lapel.engine.calibration.hit_features`.
        right: By verdict, (q, 10), whether it holds.
        categories: (q, 10) the kinds of the hits.
        likely_kind: (q,) how likely each query was said to be of its own kind.
        on_white: (q,) bool.
        strengths: (q, 2), see :class:`lapel.core.queries.UnderstoodPart`.
    """

    features: NDArray[np.float64]
    right: Mapping[Verdict, Flags]
    categories: Texts
    likely_kind: NDArray[np.float64]
    on_white: Flags
    strengths: NDArray[np.float32]

    @property
    def fashion(self) -> NDArray[np.float64]:
        """(q, 4), see :func:`lapel.engine.calibration.fashion_features`."""
        return fashion_features(self.features[:, 0], self.strengths)

    def pairs(self, verdict: Verdict, rows: Flags, weight: float = 1.0) -> Pairs:
        """Every hit of some queries."""
        features = self.features[rows].reshape(-1, self.features.shape[2])
        return Pairs(features, self.right[verdict][rows].ravel(), weight)


@dataclass(frozen=True)
class _Shop:
    """All photos that have a vector and a category.

    Attributes:
        keys: (n,) rising.
        products: (n,) whose each is.
        labels: By attribute, (n,) texts; empty where nothing is known.
        numbers: (n, 4) the same as numbers, see :func:`lapel.engine.calibration.labels_of`.
    """

    store: StoreContext
    index: VectorIndex
    fingerprint: str
    keys: Keys
    products: NDArray[np.int64]
    labels: Mapping[str, Texts]
    numbers: Labels
    _allowed: dict[str, Keys] = field(default_factory=dict)

    @classmethod
    def of(cls, store: StoreContext) -> _Shop:
        """Read it from the catalogue."""
        view = store.current()
        photos = store.catalog.photo_facets(["category", "gender", "colour"])
        paths = [path.split(" > ") for path in photos.values["category"]]
        labels = {
            "kind": np.array([path[-1] for path in paths]),
            "section": np.array([path[-2] if len(path) > 1 else path[-1] for path in paths]),
            "colour": np.array(photos.values["colour"]),
            "gender": np.array(photos.values["gender"]),
        }
        good = np.isin(photos.keys, view.index.keys)
        if len(paths):
            good &= labels["kind"] != ""
        kinds = len(np.unique(labels["kind"][good])) if len(paths) else 0
        if int(good.sum()) < LEAST or kinds < 2:
            raise InputError(
                f"{_NEEDS} {store.folder} has {int(good.sum()):,} of {kinds} kinds. Name the column with"
                " --map category=COLUMN when you add them."
            )
        found = {name: values[good] for name, values in labels.items()}
        numbers = np.stack([_numbered(found[name]) for name in AGREEING], axis=1)
        return cls(store, view.index, view.model.fingerprint, photos.keys[good], photos.rows[good], found, numbers)

    def sampled(self, passing: Keys, count: int, seed: int) -> NDArray[np.int64]:
        """Rows of the photos that ask."""
        rows = np.flatnonzero(np.isin(self.keys, passing))
        if len(rows) < LEAST:
            raise InputError(f"{_NEEDS} The filter leaves {len(rows):,}.")
        return np.sort(np.random.default_rng(seed).permutation(rows)[: max(count, LEAST)])

    def probes(self, encoder: Encoder, asking: NDArray[np.int64], shown: Shown) -> dict[str, Probe]:
        """The model's, and in their place those that the store's labels teach; sureness from the photos that ask."""
        found: dict[str, Probe] = dict(Judge(self.store).of(encoder)[1])
        others = np.flatnonzero(~np.isin(self.products, self.products[asking]))
        some = np.sort(np.random.default_rng(1).permutation(others)[:LEARNED])
        vectors = self.store.catalog.vector_of(self.keys[some], fingerprint=self.fingerprint)
        for name in AGREEING if len(vectors) == len(some) else ():
            values: list[str | None] = [value or None for value in self.labels[name].tolist()]
            probe = fit_probe(name, vectors, [values[row] for row in some])
            if probe is None:
                continue
            known = [values[row] for row in asking]
            probe = tempered(probe, shown.vectors, known)
            for domain in DOMAINS:
                fit = shown.on_white == (domain == "white")
                right = [frozenset({known[row]}) if known[row] else None for row in np.flatnonzero(fit)]
                probe = with_threshold(probe, domain, shown.vectors[fit], right)
            found[name] = probe
        return found

    def answers(self, name: str, asking: NDArray[np.int64], shown: Shown, probes: Probes) -> Answers:
        """What the store's index finds; ``... out``: without anything of the query's kind."""
        own = np.full(len(shown.vectors), -1) if name == "strangers" else asking
        features, found, likely = [], [], []
        for row, vector in enumerate(shown.vectors):
            keys, scores = self._nearest(vector, int(own[row]), name)
            vectors = self.store.catalog.vector_of(keys, fingerprint=self.fingerprint)
            places = np.searchsorted(self.keys, keys)
            numbers = self.numbers[places]
            around = Neighbourhood(vector, scores, vectors, numbers)
            features.append(hit_features(probes, around, scores[:HITS], vectors[:HITS], numbers[:HITS]))
            found.append(places[:HITS])
            likely.append(self._own_kind(probes, around, int(own[row])))
        return Answers(
            np.array(features),
            self._right(np.array(found), own),
            self.labels["kind"][np.array(found)],
            np.array(likely),
            shown.on_white,
            shown.strengths,
        )

    def _nearest(self, vector: NDArray[np.float32], own: int, name: str) -> tuple[Keys, NDArray[np.float32]]:
        """Twenty photos with a category, and their cosines; of photos as they are, without themselves."""
        kind = self.labels["kind"][own] if name.endswith(" out") else ""
        if kind not in self._allowed:
            self._allowed[kind] = self.keys[self.labels["kind"] != kind] if kind else self.keys
        matches = self.index.search(vector[None], NEIGHBOURS + 1, self._allowed[kind])
        kept = matches.keys[0] >= 0
        if name == "plain":
            kept &= matches.keys[0] != self.keys[own]
        keys, scores = matches.keys[0][kept][:NEIGHBOURS], matches.scores[0][kept][:NEIGHBOURS]
        if len(keys) < HITS:
            raise InputError(f"{_NEEDS} Without '{kind}' fewer than {HITS} photos are left.")
        return keys, scores

    def _own_kind(self, probes: Probes, around: Neighbourhood, own: int) -> float:
        names = probes["kind"].values if "kind" in probes else ()
        kind = self.labels["kind"][own] if own >= 0 else ""
        return float(around.kinds(probes)[names.index(kind)]) if kind in names else 0.0

    def _right(self, found: NDArray[np.int64], own: NDArray[np.int64]) -> dict[Verdict, Flags]:
        """By verdict, (q, 10)."""
        asked, known = own[:, None], own[:, None] >= 0

        def same(name: str) -> Flags:
            values = self.labels[name]
            return np.asarray((values[found] == values[asked]) & (values[asked] != ""))

        return {
            Verdict.SAME_PRODUCT: (self.products[found] == self.products[asked]) & known,
            Verdict.SAME_STYLE: same("section") & same("gender") & same("colour") & known,
            Verdict.SAME_KIND: same("kind") & known,
        }


def _numbered(texts: Texts) -> Labels:
    """(n,) a number for each different text, 0 for none."""
    values, numbers = np.unique(texts, return_inverse=True)
    return np.where(values[numbers] == "", 0, numbers + 1).astype(np.int64)


class _Pictures:
    """What asks: photos of the store in three forms, and drawn pictures without fashion."""

    def __init__(self, store: StoreContext, keys: Keys, seed: int, report: Progress | None) -> None:
        self.good = np.ones(len(keys), bool)
        self._store, self._keys, self._seed = store, keys, seed
        self._report, self._done = report, 0

    def encoded(self) -> dict[str, Shown]:
        """By the name of the form: ``plain``, ``changed``, ``scenes`` and ``strangers``."""
        forms: dict[str, list[Shown]] = {"plain": [], "changed": [], "scenes": [], "strangers": []}
        for start in range(0, len(self._keys), BATCH):
            images = list(self._read(range(start, min(start + BATCH, len(self._keys)))))
            if not images:
                continue
            forms["plain"].append(self._embed(image for _, image in images))
            for form, names in ("changed", CUT_OR_LIT), ("scenes", ON_SCENES):
                changes = [DISTORTIONS[names[number % len(names)]] for number, _ in images]
                forms[form].append(self._embed(self._changed(images, changes)))
        strangers = (image for _, image in drawn(STRANGERS, DRAWN, 1))
        while some := list(islice(strangers, BATCH)):
            forms["strangers"].append(self._embed(some))
        return {
            name: Shown(
                np.concatenate([p.vectors for p in parts]),
                np.concatenate([p.on_white for p in parts]),
                np.concatenate([p.strengths for p in parts]),
            )
            for name, parts in forms.items()
            if parts
        }

    def _read(self, numbers: Sequence[int]) -> Iterator[tuple[int, Image.Image]]:
        for number in numbers:
            try:
                yield number, self._store.image(int(self._keys[number])).convert("RGB")
            except (SourceError, ImageError):
                self.good[number] = False

    def _changed(
        self, images: Sequence[tuple[int, Image.Image]], changes: Sequence[Distortion]
    ) -> Iterator[Image.Image]:
        for (number, image), change in zip(images, changes, strict=True):
            yield change(enlarge(image), np.random.default_rng((self._seed, number)))

    def _embed(self, images: Iterable[Image.Image]) -> Shown:
        found = embed_images(self._store.encoder, list(images))
        self._done += len(found.vectors)
        if self._report is not None:
            total = 3 * len(self._keys) + DRAWN * len(STRANGERS)
            self._report(min(self._done, total), total)
        return Shown(found.vectors, found.on_white, found.strengths)


class _Fit:
    """A calibration from the queries ``used``, (q,) bool."""

    def __init__(self, answers: Mapping[str, Answers], used: Flags) -> None:
        self._answers, self._used = answers, used
        self._strange = answers["strangers"]
        whites = int(sum((used & answers[name].on_white).sum() for name in ("plain", "scenes")))
        # Where a shop has hardly a picture on white, or only such, both kinds are learned from all.
        self._mixed = whites < LEAST / 4 or 2 * used.sum() - whites < LEAST / 4
        self.calibration = self._fitted()

    def _pairs(self, name: str, domain: str, verdict: Verdict, weight: float = 1.0) -> Pairs:
        return self._answers[name].pairs(verdict, self._rows(name, domain), weight)

    def _rows(self, name: str, domain: str) -> Flags:
        white = self._answers[name].on_white
        return np.asarray(self._used & ((white == (domain == "white")) | self._mixed))

    def _scale(self, domain: str, verdict: Verdict) -> Scale:
        every = np.ones(len(self._strange.features), bool)
        strange = self._strange.pairs(verdict, every, STRANGER_WEIGHT)
        usual = [self._pairs("plain", domain, verdict)]
        if domain == "photo":
            usual.append(self._pairs("scenes", domain, verdict))
        elif verdict is Verdict.SAME_PRODUCT:
            usual.append(self._pairs("changed", domain, verdict))
        gone = [] if verdict is Verdict.SAME_PRODUCT else [
            self._pairs(f"{name} out", domain, verdict, OUT_WEIGHT) for name in ("plain", "scenes")
        ]  # fmt: skip
        return fit_scale([*usual, *gone, strange], joined(usual))

    def _fitted(self) -> Calibration:
        scales: dict[str, dict[Verdict, Scale]] = {}
        for domain in DOMAINS:
            scales[domain] = {Verdict.SAME_KIND: self._scale(domain, Verdict.SAME_KIND)}
            for verdict in VERDICTS[:2]:
                try:
                    scales[domain][verdict] = self._scale(domain, verdict)
                except InputError:  # no colours, say: it is never told
                    continue
        first = Calibration(scales, dict.fromkeys(DOMAINS, 0.0), {})
        least, floors = {}, {}
        usual = {
            domain: [
                (name, self._rows(name, domain)) for name in (("plain",) if domain == "white" else ("plain", "scenes"))
            ]
            for domain in DOMAINS
        }
        for domain, sets in usual.items():
            hits = np.concatenate([self._answers[name].features[rows] for name, rows in sets])
            told = first.scales[domain][Verdict.SAME_KIND].probabilities(hits.reshape(-1, hits.shape[2]))
            least[domain] = least_likely(told.reshape(-1, HITS).max(axis=1))
            floors[domain] = kind_floor(np.concatenate([self._answers[name].likely_kind[rows] for name, rows in sets]))
        found = replace(first, least=least, kind_floor=floors)
        if not np.isfinite(self._strange.strengths).all():
            return found  # a model without maps
        known = {
            domain: np.concatenate([self._answers[name].fashion[rows] for name, rows in sets])
            for domain, sets in usual.items()
        }
        every = np.concatenate(list(known.values()))
        fashion = fit_fashion(every, self._strange.fashion)
        refused = {domain: float(np.quantile(fashion.probabilities(some), REFUSED)) for domain, some in known.items()}
        return replace(found, fashion=fashion, fashion_least=refused, strength=usual_strength(every))


def _judged(
    answers: Mapping[str, Answers], halves: Sequence[tuple[Calibration, Flags]]
) -> tuple[Shares, Shares, Shares, dict[str, float], dict[str, float]]:
    """Errors, shares right, shares right of what is said, refusals and false alarms: each half by the other's
    calibration."""
    errors: Shares = {domain: {} for domain in DOMAINS}
    right: Shares = {domain: {} for domain in DOMAINS}
    held: Shares = {domain: {} for domain in DOMAINS}
    refused, alarms = {}, {}
    for domain, name in zip(DOMAINS, ("plain", "scenes"), strict=True):
        asked = answers[name]
        parts = [(found, rows & (asked.on_white == (domain == "white"))) for found, rows in halves]
        if not any(rows.any() for _, rows in parts):
            continue
        for verdict in VERDICTS:
            if not all(verdict in found.scales[domain] for found, _ in parts):
                continue
            told = [
                found.scales[domain][verdict].probabilities(
                    asked.pairs(verdict, rows).features, rows_of(asked.categories[rows].ravel().tolist())
                )
                for found, rows in parts
            ]
            true = np.concatenate([asked.right[verdict][rows].ravel() for _, rows in parts])
            errors[domain][verdict] = calibration_error(np.concatenate(told), true)
            right[domain][verdict] = float(true.mean())
            if (likely := np.concatenate(told) >= LIKELY).any():
                held[domain][verdict] = float(true[likely].mean())
        said = [_said(found, asked, rows) for found, rows in parts]
        if f"{name} out" not in answers:
            continue
        gone = [_said(found, answers[f"{name} out"], rows) for found, rows in parts]
        alarms[domain] = float(np.mean([each is Verdict.NOTHING_CLOSE for some in said for each in some]))
        refused[domain] = float(
            np.mean([each in (Verdict.NOTHING_CLOSE, Verdict.SAME_STYLE) for some in gone for each in some])
        )
    return errors, right, held, refused, alarms


def _said(found: Calibration, asked: Answers, rows: Flags) -> list[Verdict]:
    """The verdict on each query's answer; all of one domain."""
    if not rows.any():
        return []
    told = found.judge(
        asked.features[rows].reshape(-1, asked.features.shape[2]),
        asked.categories[rows].ravel().tolist(),
        on_white=bool(asked.on_white[rows][0]),
        strengths=np.repeat(asked.strengths[rows], HITS, axis=0),
    )
    return [JUDGEMENTS[best] for best in told.closest.reshape(-1, HITS).min(axis=1).tolist()]
