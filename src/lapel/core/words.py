"""Texts that people search with: which can be, and how they are cut into words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from lapel.core.errors import QueryError
from lapel.core.text import counted

MAX_WORDS = 64  # a title has ten; what is longer is no search
MAX_LETTERS = 2_000
MAX_PIECE = 10  # letters of a word of a script that sets no blanks
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")

Words = tuple[str, ...]


def check_words(text: str) -> None:
    """See that a text can be searched with.

    Raises:
        QueryError: it is empty, or longer than any search.
    """
    if not any(letter.isalnum() for letter in text):
        held = "is empty" if not text.strip() else "holds no letter and no digit"
        raise QueryError(f"The text to look for {held}. Give words, such as 'red saree'.")
    words = len(text.split())
    if words > MAX_WORDS or len(text) > MAX_LETTERS:
        raise QueryError(
            f"The text to look for has {counted(words, 'word')} and {len(text):,} characters; at most {MAX_WORDS} words"
            f" and {MAX_LETTERS:,} characters are read. Give what matters most, such as 'red saree'."
        )


@lru_cache(maxsize=4096)
def tokens(text: str) -> tuple[str, ...]:
    """The words of a text as the word search of the catalogue cuts them: letters, digits and the signs that are parts
    of letters, without case and accents.

    >>> tokens("Men's T-Shirt, Café!")
    ('men', 's', 't', 'shirt', 'cafe')
    """
    plain = re.sub("(?<=[a-z])[\u0300-\u036f]+", "", unicodedata.normalize("NFD", text.lower()))
    kept = (letter if _is_letter(letter) else " " for letter in unicodedata.normalize("NFC", plain))
    return tuple("".join(kept).split())


@lru_cache(maxsize=4096)
def _is_letter(letter: str) -> bool:
    category = unicodedata.category(letter)
    return category[0] in "LN" or category in ("Co", "Mn", "Mc")


def cut_unspaced(word: str, is_word: Callable[[str], bool]) -> list[str]:
    """A word as it is; of a script without blanks, the longest known words in it, and what is left between them.

    >>> cut_unspaced("赤いワンピース", {"赤い", "ワンピース"}.__contains__), cut_unspaced("red", lambda _: False)
    (['赤い', 'ワンピース'], ['red'])
    """
    if not UNSPACED.search(word):
        return [word]
    found, at, left = [], 0, ""
    while at < len(word):
        ends = range(min(len(word), at + MAX_PIECE), at, -1)
        end = next((end for end in ends if is_word(word[at:end])), 0)
        if end:
            found += [left, word[at:end]]
            at, left = end, ""
        else:
            left, at = left + word[at], at + 1
    return [piece for piece in (*found, left) if piece]


@dataclass(frozen=True)
class WordReading:
    """How a text was read.

    Attributes:
        asked: The text.
        read: What is looked for: the text with corrections, and without what was not understood.
        groups: For each word, or words that belong together, the spellings of which one must be in a product's texts.
        corrected: Words that were taken for typing errors, each with what it was read as.
        synonyms: Words that no product has, each with the word of the catalogue that means the same.
        unknown: Words that were not understood.
        colours: The colours among them.
        product_id: The product whose id the whole text is; empty where it is none.
    """

    asked: str
    read: str = ""
    groups: tuple[tuple[str, ...], ...] = ()
    corrected: tuple[tuple[str, str], ...] = ()
    synonyms: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    product_id: str = ""

    @property
    def understood(self) -> bool:
        """Whether anything of it was."""
        return bool(self.read or self.product_id)

    @property
    def only_colours(self) -> bool:
        """Whether it says colours and nothing else."""
        return bool(self.colours) and len(self.colours) == len(self.groups)

    @property
    def note(self) -> str:
        """In words for people.

        >>> WordReading("blak zorblax", "black", corrected=(("blak", "black"),), unknown=("zorblax",)).note
        "the words 'black' ('blak' read as 'black'); not understood: 'zorblax'"
        """
        if self.product_id:
            return f"the product {self.product_id}"
        text = f"the words '{self.read}'" if self.read else ""
        changed = ", ".join(f"'{word}' read as '{other}'" for word, other in self.corrected + self.synonyms)
        text = f"{text} ({changed})" if text and changed else text or changed
        missing = ", ".join(f"'{word}'" for word in self.unknown)
        return "; ".join(filter(None, (text, f"not understood: {missing}" if missing else "")))
