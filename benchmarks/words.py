"""Words as queries, pictures as answers: what the text tower of a model finds. Titles are never searched in.

    python benchmarks/words.py [--encoder default] [--encoder small] [--misses] [--without-sentences]

- **title -> picture**: each val title (one product has none) asked among the pictures of the whole shop; right is the
  product's own picture.
- **words**: names of kinds and colours (those of 20 products or more), and two together ("Red Skirts", "Men's Sandals";
  combinations of 10 or more), among the pictures of the whole shop and among those of ``val`` alone (10 or more), which
  no model learned from; right is a picture whose product carries exactly those labels.
- **languages**: ``words.csv``, a hand-written list of 31 kinds and 14 colours in twelve languages and of the labels
  that count as right; ``in lexicon``: the share of a language's words that the shipped models were taught
  (``src/lapel/training/lexicon.csv``).
- **not understood**: how many of those words, of made-up words, and of words in scripts it does not know are taken for
  understood.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders import add_arguments, encode_shop
from lapel.core.metrics import proportion
from lapel.core.vectors import Vectors
from lapel.encoders import Encoder, open_encoder, words
from shops import Shop, machine, open_shop

WORDS = Path(__file__).with_name("words.csv")
LANGUAGES = "en de es fr it pt nl pl ru tr ja zh".split()
K = 10
MANY, FEW = 20, 10  # products of a label, and of a combination
UNKNOWN_SCRIPTS = "კაბა ቀሚስ कमीज שמלה φόρεμα உடை հագուստ පාවහන් ጫማ ფეხსაცმელი κόκκινο אדום".split()


@dataclass(frozen=True)
class Question:
    """Words, and which pictures are right answers, (n,) bool."""

    text: str
    right: NDArray[np.bool_]


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
    from lapel.training.text_tower import read_lexicon

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
