"""Words against texts and vectors together: names, ids, descriptions, and one typing error in each word.

Queries are drawn from the catalogue with a seed: titles (the product, or one of the same title, must come), brand and
kind and colour (brand and kind in the title, colour in its field), kind and colour, and ids. The typing errors are
those of keyboards: a letter left out, doubled, exchanged, or two swapped, in every word of three letters and more. What
is kept is the number of right answers in the top ten with errors, over that without. Then ``words.csv``: names of kinds
and colours, and a colour and a kind together, in twelve languages.

    python benchmarks/hybrid.py --store shop --queries 300
"""

from __future__ import annotations

import argparse
import csv
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lapel import Product, Query
from lapel.core.synonyms import spellings
from lapel.core.words import tokens
from lapel.engine.context import StoreContext, open_context
from lapel.engine.retrieval import SearchEngine

WORDS = Path(__file__).with_name("words.csv")
PAIRS = 40  # of a colour and a kind, in each language
DEPTH = 10
SYNONYMS = (
    ("sneakers", "trainers", "sports shoes"),
    ("jumper", "sweater"),
    ("handbag", "purse"),
    ("maroon", "burgundy"),
)


@dataclass(frozen=True)
class Asked:
    """A query in words and what is a right answer to it."""

    text: str
    right: Callable[[Product], bool]


def with_error(word: str, random: np.random.Generator) -> str:
    """A word with one typing error; short ones stay."""
    if len(word) < 3 or not word.isalpha():
        return word
    at, kind = int(random.integers(len(word))), int(random.integers(4))
    letter = string.ascii_lowercase[int(random.integers(26))]
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + letter + word[at:]
    if kind == 2:
        return word[:at] + letter + word[at + 1 :]
    at = min(at, len(word) - 2)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def mistyped(text: str, random: np.random.Generator) -> str:
    return " ".join(with_error(word, random) for word in text.lower().split())


def has_word(product: Product, word: str) -> bool:
    held = set(tokens(product.title))
    return any(form in held for form in spellings(word))


def draw(context: StoreContext, count: int, random: np.random.Generator) -> dict[str, list[Asked]]:
    """Queries of every sort."""
    products = context.catalog.products(limit=context.catalog.last_row())
    some = [products[at] for at in random.choice(len(products), count, replace=False)]
    groups: dict[str, list[Asked]] = {"title": [], "brand + kind + colour": [], "kind + colour": [], "id": []}
    for product in some:
        title, colour = product.title, product.colour
        kind = product.attributes.get("articleType", product.category[-1] if product.category else "")
        brand = product.brand or title.split(" ")[0]
        groups["title"].append(Asked(title, lambda each, title=title: each.title == title))
        groups["id"].append(Asked(product.id, lambda each, own=product.id: each.id == own))
        if not kind or not colour:
            continue

        def fits(each: Product, kind: str = kind, colour: str = colour) -> bool:
            return each.category[-1] == kind and each.colour == colour

        def branded(each: Product, brand: str = brand, fits: Callable[[Product], bool] = fits) -> bool:
            return fits(each) and has_word(each, tokens(brand)[0])

        groups["kind + colour"].append(Asked(f"{colour} {kind}", fits))
        groups["brand + kind + colour"].append(Asked(f"{brand} {kind} {colour}", branded))
    return groups


def right_answers(engine: SearchEngine, asked: Sequence[Asked], texts: Sequence[str]) -> list[list[bool]]:
    """For each query which of its first ten answers are right."""
    results = [engine.search(Query(text=text, k=DEPTH)) for text in texts]
    return [[one.right(hit.product) for hit in result] for one, result in zip(asked, results, strict=True)]


def report(engine: SearchEngine, groups: dict[str, list[Asked]], random: np.random.Generator) -> None:
    print("| query | queries | first right | right in 10 | P@10 | kept with typing errors |\n|---|---|---|---|---|---|")
    kept_all, all_ = 0, 0
    for name, asked in groups.items():
        plain = right_answers(engine, asked, [one.text for one in asked])
        first = np.mean([any(row[:1]) for row in plain])
        some, precision = np.mean([any(row) for row in plain]), np.mean([sum(row) / DEPTH for row in plain])
        kept = ""
        if name != "id":
            wrong = right_answers(engine, asked, [mistyped(one.text, random) for one in asked])
            before, after = sum(map(sum, plain)), sum(map(sum, wrong))
            kept_all, all_, kept = kept_all + after, all_ + before, f"{after / before:.3f}"
        print(f"| {name} | {len(asked)} | {first:.3f} | {some:.3f} | {precision:.3f} | {kept} |", flush=True)
    print(f"\nKept of all right answers with one typing error a word: {kept_all / all_:.3f}")


def overlaps(engine: SearchEngine) -> None:
    print("\n| words that mean the same | the first's top ten in the other's |\n|---|---|")
    for first, *others in SYNONYMS:
        own = {hit.product.id for hit in engine.search(Query(text=first, k=DEPTH))}
        for other in others:
            found = {hit.product.id for hit in engine.search(Query(text=other, k=DEPTH))}
            print(f"| {first}, {other} | {len(own & found)} of {DEPTH} |")


def languages(engine: SearchEngine, random: np.random.Generator) -> None:
    """Print the precision of words in twelve languages, on the whole shop; the pairs are the same in all, and others
    with another seed or number of queries."""
    with WORDS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kinds, colours = ([row for row in rows if row["level"] == level] for level in ("kind", "colour"))
    pairs = [(colours[random.integers(len(colours))], kinds[random.integers(len(kinds))]) for _ in range(PAIRS)]

    def precision(texts: Sequence[str], rights: Sequence[Sequence[dict[str, str]]]) -> float:
        def fits(product: Product, wanted: dict[str, str]) -> bool:
            value = product.category[-1] if wanted["level"] == "kind" else product.colour
            return value in wanted["right"].split("|")

        results = engine.search_many([Query(text=text, k=DEPTH) for text in texts])
        found = [
            [all(fits(hit.product, each) for each in right) for hit in result]
            for result, right in zip(results, rights, strict=True)
        ]
        return sum(map(sum, found)) / (DEPTH * len(texts))

    print("\n| P@10 | kinds | colours | colour + kind |\n|---|---|---|---|")
    for language in [name for name in rows[0] if len(name) == 2]:
        values = [precision([row[language] for row in some], [[row] for row in some]) for some in (kinds, colours)]
        both = precision([f"{one[language]} {other[language]}" for one, other in pairs], pairs)
        print(f"| {language} | {values[0]:.3f} | {values[1]:.3f} | {both:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    with open_context(given.store, read_only=True) as context:
        engine = SearchEngine(context)
        report(engine, draw(context, given.queries, random), random)
        overlaps(engine)
        languages(engine, random)
        times = [
            engine.search(Query(text=text, k=DEPTH)).took_ms for text in ("nike zoom vomero", "navy checked shirt")
        ]
        print(f"\nMilliseconds: {', '.join(f'{each:.1f}' for each in times)}")


if __name__ == "__main__":
    main()
