"""Words of fashion in twelve languages: the table that ships, a row a meaning."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources

FILE = "lexicon.csv"

Lexicon = Sequence[Mapping[str, Sequence[str]]]  # of each meaning: language -> words, the first English one in front


@lru_cache(maxsize=1)
def read_lexicon() -> Lexicon:
    """The table that ships; its last row holds words that say nothing of a product: "for", "with", "the"."""
    text = (resources.files("lapel.core") / FILE).read_text(encoding="utf-8")
    return [{language: cell.split("|") for language, cell in row.items()} for row in csv.DictReader(text.splitlines())]
