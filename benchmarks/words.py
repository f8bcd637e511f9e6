"""Words as queries, pictures as answers: what the text tower of a model finds. Titles are never searched in.

    python benchmarks/words.py [--encoder default] [--encoder small] [--misses] [--without-sentences]

- **title -> picture**: each val title (one product has none) asked among the pictures of the whole shop; right is the
  product's own picture.
- **words**: names of kinds and colours (those of 20 products or more), and two together ("Red Skirts", "Men's Sandals";
  combinations of 10 or more), among the pictures of the whole shop and among those of ``val`` alone (10 or more), which
  no model learned from; right is a picture whose product carries exactly those labels.
- **languages**: ``words.csv``, a hand-written list of 31 kinds and 14 colours in twelve languages and of the labels
  that count as right; ``in lexicon``: the share of a language's words that the shipped models were taught
  (``src/lapel/core/lexicon.csv``).
- **shops without it**: what :func:`word_hits` asks of shops that lack half of the kinds; ``calibration.py`` learns from
  it how likely a hit is what was asked for.
- **not understood**: how many of those words, of made-up words, and of words in scripts it does not know are taken for
  understood.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from encoders import add_arguments, encode_shop
from lapel import Query
from lapel.catalog.entries import Entry, PhotoEntry
from lapel.core.lexicon import read_lexicon
from lapel.core.metrics import proportion
from lapel.core.synonyms import spellings
from lapel.core.vectors import Vectors
from lapel.core.words import tokens
from lapel.encoders import Encoder, open_encoder, words
from lapel.encoders.probes import Probes
from lapel.engine.calibration import WORD_FIGURES, Calibration, Features, Scale, Told
from lapel.engine.context import open_context
from lapel.engine.retrieval import SearchEngine
from shops import Shop, machine, open_shop

WORDS = Path(__file__).with_name("words.csv")
LANGUAGES = "en de es fr it pt nl pl ru tr ja zh".split()
K = 10
MANY, FEW = 20, 10  # products of a label, and of a combination
UNKNOWN_SCRIPTS = "კაბა ቀሚስ कमीज שמלה φόρεμα உடை հագուստ පාවහන් ጫማ ფეხსაცმელი κόκκινο אדום".split()
SHOPS = {12: 4, 40: 4, 200: 2, 1000: 2, 5000: 2, 0: 2}  # how many of each size; 0: all products
MISSING = 0.5  # of the kinds are taken out of each, and of the whole catalogue
MISSING_WHOLE = 0.2
ASKED = 24  # questions of each sort, of each shop
TITLES = 400
WRITTEN = 2000  # products at a time
# What no shop of clothes sells, two lists: what one half learned from is not asked of it.
OTHER_GOODS = [
    """surfboard, coffee machine, bicycle, car tyre, guitar, sofa, smartphone, kitchen knife, book, bed sheet, helmet,
    drill, headphones, baby stroller, washing machine, tomato seeds, hammer, printer ink, chess board, orange juice,
    plane ticket, fridge, wooden table, garden hose, dictionary, mortgage, cheese, fishing rod, yoga mat, trumpet""",
    """skateboard, teapot, motorcycle, garden chair, piano, lamp, laptop, frying pan, novel, pillow, tent, screwdriver,
    camera, toy train, vacuum cleaner, dog food, saw, keyboard, puzzle, red wine, hotel room, microwave, bookshelf,
    lawn mower, magazine, insurance, bread, canoe, treadmill, violin""",
]


@dataclass(frozen=True)
class Question:
    """Words, and which pictures are right answers, (n,) bool.

    Attributes:
        sort: What kind of question it is.
        half: Which of two halves of all names it is of: what it names is in no question of the other.
    """

    text: str
    right: NDArray[np.bool_]
    sort: str = ""
    half: int = 0


@dataclass(frozen=True)
class WordHits:
    """The hits of questions that were asked of shops, one question after the other.

    Attributes:
        features: (m, figures) see :func:`lapel.engine.calibration.word_features`.
        named: (m,) bool, which hold all of three words or more.
        right: (m,) bool.
        query: (m,) which answer each is of.
        sorts, sizes: (a,) of each answer, its question's sort and how many products the shop was drawn to have.
        halves: (a, 2) of which half of the names the question is, and of which the shop.
        there: (a,) bool, whether the shop has a right answer.
        silent: By sort, how many questions were not understood.
    """

    features: Features
    named: NDArray[np.bool_]
    right: NDArray[np.bool_]
    query: NDArray[np.int64]
    sorts: NDArray[np.str_]
    sizes: NDArray[np.int64]
    halves: NDArray[np.int64]
    there: NDArray[np.bool_]
    silent: Counter[str]

    def best(self, likely: NDArray[np.float64]) -> NDArray[np.float64]:
        """(a,) the highest of each answer."""
        found = np.zeros(len(self.sorts))
        np.maximum.at(found, self.query, likely)
        return found


@dataclass(frozen=True)
class Noting(Calibration):
    """Judges nothing, and keeps what it would judge words by."""

    noted: list[tuple[Features, NDArray[np.bool_]]] = field(default_factory=list)

    def judge_words(self, features: Features, *, named: NDArray[np.bool_]) -> Told:
        """Every hit is as likely as not."""
        self.noted.append((features, named))
        return super().judge_words(features, named=named)


def precisions(encoder: Encoder, questions: Sequence[Question], vectors: Vectors) -> NDArray[np.float64]:
    """Precision@10 of each question among (n, dim) pictures."""
    if not questions:
        return np.zeros(0)
    scores = encoder.encode_text([question.text for question in questions]) @ vectors.T
    top = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return np.array([question.right[found].mean() for question, found in zip(questions, top, strict=True)])


def title_ranks(encoder: Encoder, titles: Sequence[str], own: NDArray[np.int64], vectors: Vectors) -> NDArray[np.int64]:
    """At which place each title finds its own picture, from 1; ties count against it."""
    ranks = []
    for at in range(0, len(titles), 512):
        scores = encoder.encode_text(titles[at : at + 512]) @ vectors.T
        rows = own[at : at + 512]
        ranks.append((scores >= scores[np.arange(len(rows)), rows][:, None]).sum(axis=1))
    return np.concatenate(ranks)


def labels_of(shop: Shop) -> dict[str, NDArray[np.str_]]:
    """Kind, colour and gender of each product."""
    products = shop.products
    return {
        "kind": np.array([product.category[-1] if product.category else "" for product in products]),
        "colour": np.array([product.colour for product in products]),
        "gender": np.array([product.gender for product in products]),
    }


def word_questions(labels: dict[str, NDArray[np.str_]], least: int) -> dict[str, list[Question]]:
    """Kinds, colours, and two words, as questions among the pictures that these are the labels of."""
    kinds, colours, genders = labels["kind"], labels["colour"], labels["gender"]
    found: dict[str, list[Question]] = {}
    for name, values in (("kind words", kinds), ("colour words", colours)):
        counts = Counter(values.tolist())
        found[name] = [Question(word, values == word) for word, count in counts.items() if word and count >= least]
    for name, first, form in (("colour + kind", colours, "{} {}"), ("gender + kind", genders, "{}'s {}")):
        counts = Counter(zip(first.tolist(), kinds.tolist(), strict=True))
        found[name] = [
            Question(form.format(one, kind), (first == one) & (kinds == kind))
            for (one, kind), count in counts.items()
            if one and kind and count >= FEW
        ]
    return found


def half_of(name: str) -> int:
    """Which of two halves a name is of."""
    return zlib.crc32(name.encode()) % 2


def judged_questions(shop: Shop) -> list[Question]:
    """Questions of every sort, with what is a right answer: of the kind by its label, or by its title, as a shop calls
    a tunic a top in one place and a tunic in the other; and of the colour and for those that are named."""
    labels, titles = labels_of(shop), [product.title for product in shop.products]
    kinds, colours, genders = labels["kind"], labels["colour"], labels["gender"]
    held: dict[str, set[int]] = {}
    for row, title in enumerate(titles):
        for word in tokens(title):
            held.setdefault(word, set()).add(row)

    def called(name: str) -> NDArray[np.bool_]:
        rows = set.intersection(*[set().union(*(held.get(s, set()) for s in spellings(w))) for w in tokens(name)])
        found = kinds == name
        found[list(rows)] = True
        return found

    is_kind = {kind: called(kind) for kind, count in Counter(kinds.tolist()).items() if kind and count >= FEW}
    found = [Question(kind, right, "kind", half_of(kind)) for kind, right in is_kind.items()]
    for sort, first, form in (("colour + kind", colours, "{} {}"), ("gender + kind", genders, "{}'s {}")):
        for one, kind in sorted({pair for pair in zip(first.tolist(), kinds.tolist(), strict=True) if all(pair)}):
            right = (first == one) & is_kind.get(kind, np.zeros(1, bool))
            if right.sum() >= FEW:
                found.append(Question(form.format(one, kind), right, sort, half_of(kind)))
    for colour, count in Counter(colours.tolist()).items():
        if colour and count >= MANY:
            found.append(Question(colour, colours == colour, "colour", half_of(colour)))
    first_words = Counter(tokens(title)[0] for title in titles if tokens(title))
    for brand in sorted(word for word, count in first_words.items() if count >= MANY and word not in is_kind):
        right = np.zeros(len(titles), bool)
        right[list(held[brand])] = True
        found.append(Question(brand, right, "brand", half_of(brand)))
    every = np.unique(titles, return_inverse=True)[1]
    alike = np.unique(
        np.stack([np.unique(each, return_inverse=True)[1] for each in labels.values()]), axis=1, return_inverse=True
    )[1]
    for row in np.random.default_rng(3).permutation(np.flatnonzero([bool(title) for title in titles]))[:TITLES]:
        right = (alike == alike[row]) | (every == every[row])
        found.append(Question(titles[row], right, "title", half_of(str(kinds[row]))))
    with WORDS.open(encoding="utf-8", newline="") as file:
        for each in csv.DictReader(file):
            names = each["right"].split("|")
            right = np.isin(labels[each["level"]], names)
            if each["level"] == "kind":
                right = right | np.any([is_kind[name] for name in names if name in is_kind], axis=0)
            for language in LANGUAGES:
                found.append(Question(each[language], right, f"{each['level']}, {language}", half_of(names[0])))
    nothing = np.zeros(len(titles), bool)
    for half, goods in enumerate(OTHER_GOODS):
        found += [Question(text.strip(), nothing, "no clothes", half) for text in goods.split(",")]
    return found


def drawn_shops(shop: Shop) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Sizes, halves and products of shops that lack some of the kinds: of each half half of the products, and of the
    whole catalogue all."""
    kinds = labels_of(shop)["kind"]
    half = np.array([half_of(group) for group in shop.values("group")])
    for size, count in SHOPS.items():
        for number in range(count):
            rng = np.random.default_rng((size, number))
            every = rng.permutation(np.unique(kinds))
            gone = every[: round(len(every) * (MISSING if size else MISSING_WHOLE))]
            rows = np.flatnonzero(~np.isin(kinds, gone) & ((half == number % 2) | (size == 0)))
            yield size, number % 2, np.sort(rng.permutation(rows)[: size or None])


def word_hits(
    encoder: Encoder, spec: str, shop: Shop, vectors: Vectors, probes: Probes, known: Calibration
) -> WordHits:
    """What the engine answers to words in shops that have what they name and in shops that have not.

    Args:
        encoder: The model.
        spec: What opens it.
        shop: The catalogue that shops are drawn from.
        vectors: (n, dim) its products'.
        probes: The model's, by which hits are judged.
        known: A calibration, of which words may be left out.
    """
    questions = judged_questions(shop)
    sorts: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        sorts.setdefault(question.sort, []).append(place)
    nothing = Scale(np.zeros(WORD_FIGURES), 0.0, (np.zeros(1), np.zeros(1)))
    noting = Noting(known.scales, known.least, known.kind_floor, density=known.density, words=nothing)
    parts: list[tuple[Features, NDArray[np.bool_]]] = []
    right: list[bool] = []
    query: list[int] = []
    answers: list[tuple[str, int, int, int, bool]] = []
    silent: Counter[str] = Counter()
    for size, half, rows in track(list(drawn_shops(shop)), "words in shops"):
        rng = np.random.default_rng(int(rows.sum()))
        places = [int(at) for each in sorts.values() for at in rng.permutation(each)[: _share(questions[each[0]].sort)]]
        with (
            patch("lapel.engine.context.open_encoder", return_value=encoder),
            patch("lapel.engine.encoder_cache.open_encoder", return_value=encoder),  # once for all shops
            tempfile.TemporaryDirectory() as folder,
            open_context(folder, create=True, encoder=spec) as context,
        ):
            context.claim()
            for at in range(0, len(rows), WRITTEN):
                entries = [
                    Entry(shop.products[row], (PhotoEntry(f"file:/{row}", "", f"{row:064x}", vectors[row]),))
                    for row in rows[at : at + WRITTEN].tolist()
                ]
                context.catalog.write(entries, fingerprint=encoder.fingerprint)
            with (
                patch("lapel.engine.judging.read_calibration", return_value=noting),
                patch("lapel.engine.judging.read_probes", return_value=probes),
            ):
                results = SearchEngine(context).search_many([Query(text=questions[at].text, k=K) for at in places])
        numbers = {shop.products[row].id: row for row in rows.tolist()}
        for place, result in zip(places, results, strict=True):
            asked = questions[place]
            if not len(result) or result[0].verdict is None:
                silent[asked.sort] += not len(result)
                continue
            query += [len(answers)] * len(result)
            right += [bool(asked.right[numbers[hit.product.id]]) for hit in result]
            answers.append((asked.sort, size, asked.half, half, bool(asked.right[rows].any())))
        parts += noting.noted
        noting.noted.clear()
    features, named = (np.concatenate(each) for each in zip(*parts, strict=True))
    of_sorts, sizes, halves, other, there = (np.array(column) for column in zip(*answers, strict=True))
    return WordHits(
        features,
        named,
        np.array(right),
        np.array(query),
        of_sorts,
        sizes,
        np.stack([halves, other], axis=1),
        there,
        silent,
    )


def _share(sort: str) -> int:
    """How many questions of a sort are asked: a language is a twelfth of those of all."""
    return max(1, 2 * ASKED // len(LANGUAGES)) if ", " in sort else ASKED


def show_words(encoder: Encoder, shop: Shop, vectors: Vectors, *, misses: bool) -> None:
    """Print Precision@10 of kinds, colours and two words."""
    labels = labels_of(shop)
    val = np.array([split == "val" for split in shop.values("split")])
    print(f"\nPrecision@{K}, pictures alone")
    for where, rows, least in (("whole shop", np.ones(len(val), bool), MANY), ("val pictures", val, FEW)):
        for name, questions in word_questions({key: values[rows] for key, values in labels.items()}, least).items():
            found = precisions(encoder, questions, vectors[rows])
            print(f"  {where:14}{name:16}{len(questions):5} words {100 * found.mean():6.1f} %" if len(found) else "")
            if misses:
                worst = [f"{questions[at].text} {found[at]:.1f}" for at in np.argsort(found)[:12]]
                print(f"    worst: {', '.join(worst)}")


def show_titles(encoder: Encoder, shop: Shop, vectors: Vectors) -> None:
    """Print how well titles find their own pictures."""
    splits = shop.values("split")
    rows = np.array([row for row, split in enumerate(splits) if split == "val" and shop.products[row].title], np.int64)
    ranks = title_ranks(encoder, [shop.products[row].title for row in rows], rows, vectors)
    print(f"\ntitle -> its own picture, {len(rows):,} val titles among {len(vectors):,} pictures")
    for k in (1, 5, 10):
        share = proportion((ranks <= k).astype(np.float64))
        print(f"  Recall@{k:<3} {share.value:.3f} [{share.low:.3f}, {share.high:.3f}]")
    print(f"  MRR        {(1 / ranks).mean():.3f}")


def show_languages(encoder: Encoder, shop: Shop, vectors: Vectors, *, misses: bool) -> None:
    """Print the table of languages."""
    with WORDS.open(encoding="utf-8", newline="") as file:
        concepts = list(csv.DictReader(file))
    taught = {
        language: {words.folded(word) for meaning in read_lexicon() for word in meaning[language]}
        for language in LANGUAGES
    }
    labels = labels_of(shop)
    print(
        f"\nPrecision@{K} of words.csv, pictures of the whole shop alone\n"
        f"  {'':10}{'kinds':>8}{'colours':>9}{'in lexicon':>12}"
    )
    for language in LANGUAGES:
        asked = [
            Question(each[language], np.isin(labels[each["level"]], each["right"].split("|"))) for each in concepts
        ]
        found = precisions(encoder, asked, vectors)
        kinds = np.array([each["level"] == "kind" for each in concepts])
        known = np.mean([words.folded(question.text) in taught[language] for question in asked])
        print(f"  {language:10}{100 * found[kinds].mean():8.1f}{100 * found[~kinds].mean():9.1f}{100 * known:11.0f}%")
        if misses:
            print("    below .7:", ", ".join(f"{asked[at].text} {found[at]:.1f}" for at in np.flatnonzero(found < 0.7)))


def made_up_words(count: int = 1000) -> list[str]:
    """Words that can be spoken and mean nothing, always the same ones."""
    rng = np.random.default_rng(11)
    starts, vowels = "b c d f g h j k l m n p r s t v w z bl br cl dr fl gr kr pl st tr zl".split(), list("aeiou")
    ends = ["", "", *"l m n r s t x k rk nd sp".split()]

    def one() -> str:
        return "".join(rng.choice(starts) + rng.choice(vowels) for _ in range(rng.integers(2, 4))) + rng.choice(ends)

    return [str(one()) for _ in range(count)]


def show_unknown(encoder: Encoder) -> None:
    """Print how often words are taken for understood that are, and that are not."""
    with WORDS.open(encoding="utf-8", newline="") as file:
        listed = [row[language] for row in csv.DictReader(file) for language in LANGUAGES]
    print("\ntaken for understood")
    for name, asked in (
        ("words.csv", listed),
        ("made-up words", made_up_words()),
        ("scripts it does not know", UNKNOWN_SCRIPTS),
    ):
        passed = [word for word in asked if not encoder.known_words(word).unknown]
        print(f"  {name:26}{len(passed):5} of {len(asked):5}   {', '.join(passed[:8]) if name != 'words.csv' else ''}")


def show_speed(encoder: Encoder) -> None:
    """Print the processor time of one query."""
    asked = ["red dress", "Nike men black running shoes", "rotes Kleid für Damen", "navy checked shirt"]
    encoder.encode_text(asked)
    start, wall = time.process_time(), time.perf_counter()
    for _ in range(50):
        for text in asked:
            encoder.encode_text([text])
    taken, waited = time.process_time() - start, time.perf_counter() - wall
    print(f"\none query: {5 * taken:.2f} ms of processor time, {5 * waited:.2f} ms waited")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--misses", action="store_true", help="name the words that find little")
    parser.add_argument("--without-sentences", action="store_true", help="as where the sentence encoder is missing")
    wanted = parser.parse_args(arguments)
    if wanted.without_sentences:
        words.sentence_encoder = lambda: None
    shop = open_shop(wanted.data, wanted.products, wanted.cache)
    for spec in wanted.encoder or ["default"]:
        encoder = open_encoder(spec)
        if not encoder.has_text:
            print(f"\n{spec} knows no words.")
            continue
        vectors = encode_shop(encoder, shop, wanted.cache)
        print(f"\n{spec} ({encoder.fingerprint}), {len(vectors):,} pictures; {machine()}")
        show_titles(encoder, shop, vectors)
        show_words(encoder, shop, vectors, misses=wanted.misses)
        show_languages(encoder, shop, vectors, misses=wanted.misses)
        show_unknown(encoder)
        show_speed(encoder)


if __name__ == "__main__":
    main()
