"""Words of other languages in a query, and what they are called in English: "scarpe da donna" is shoes for women.

One language is found for the whole query, the one that explains most of it: "donna" is a brand beside "top" and means
women beside "scarpe", and a French "robe rouge" is a red dress and no bath robe. The words are those of the lexicon,
for every shop, whether its model reads words or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from lapel.core.lexicon import read_lexicon
from lapel.core.words import Words, cut_unspaced, tokens

ENGLISH = "en"
JOINED = ("de", "nl")  # languages that write two words as one, with what a thing is at the end: "Sommerkleid"
PLURAL_S = ("es", "fr", "pt")  # languages with plurals in s
LEAST_HEAD, LEAST_START = 4, 3  # letters of the two
LONGEST = 4  # words of an entry
# Words of the lexicon that mean something else in English.
ENGLISH_TOO = frozenset(
    "bone bones bordeaux bot brim cafe chemise collar collier costume creme elegant estate haut hose hut jack karo la"
    " lapis main mallas manga marine mauve mono notebook nylon over parasol parfum pet pull pulls robes rock roses"
    " samba slip social sole sort tanktop uni up vert viola".split()
)

Meanings = Mapping[Words, tuple[int, ...]]  # words in a row -> rows of the lexicon


@dataclass(frozen=True)
class Translation:
    """Words of another language.

    Attributes:
        asked: As asked for.
        english: All that they may be called, each words in a row, the plainest first; none of words that say nothing of
            a product, and of what nobody knows.
        own: Other words of their own language that mean the same, none of them English, and themselves; none of what
            nobody knows.
    """

    asked: Words
    english: tuple[Words, ...] = ()
    own: tuple[Words, ...] = ()


Parts = list[Words | Translation]


def cut(words: Words, is_held: Callable[[Words], bool], known: frozenset[str]) -> Words:
    """Words with those of scripts that set no blanks cut into what the lexicon and the model know, unless the catalogue
    has them as they are."""
    table = _meanings()

    def is_word(part: str) -> bool:
        return part in known or any((part,) in meanings for meanings in table.values())

    found = [[word] if is_held((word,)) else cut_unspaced(word, is_word) for word in words]
    return tuple(piece for some in found for piece in some)


def translate(words: Words, is_held: Callable[[Words], bool], is_english: Callable[[str], bool]) -> Parts | None:
    """The words of a query in their order, one by one, and those of another language as translations; None where
    nothing says that it is in another.

    Args:
        words: As :func:`lapel.core.words.tokens` cuts them.
        is_held: Whether the catalogue has words in a row.
        is_english: Whether a word is one of the shop's synonyms.
    """
    best, most = None, (0, 0)
    table = _meanings()

    def english(some: Words) -> bool:
        return len(some) == 1 and (some in table[ENGLISH] or is_english(some[0]))

    def ambiguous(some: Words) -> bool:
        return english(some) or (len(some) == 1 and some[0] in ENGLISH_TOO)

    for language in table:
        if language == ENGLISH:
            continue
        parts = _read(words, language, lambda word: is_held((word,)) or english((word,)))
        said = [part for part in parts if isinstance(part, Translation) and part.english]
        purely = not any(english(part) for part in parts if not isinstance(part, Translation))
        plain = [part.asked for part in said if not (english if purely else ambiguous)(part.asked)]
        only_here = [asked for asked in plain if not is_held(asked)]
        score = (sum(len(part.asked) for part in said), len(only_here))
        if score > most and (only_here or (purely and plain and len(said) > 1)):
            most, best = score, parts
            if not purely:  # beside English words they are meant in English
                best = [
                    part.asked if isinstance(part, Translation) and ambiguous(part.asked) else part for part in parts
                ]
    return best


def _read(words: Words, language: str, is_plain: Callable[[str], bool]) -> Parts:
    """A query as words of one language, the longest rows of words first."""
    meanings = _meanings()[language]
    found: Parts = []
    at = 0
    while at < len(words):
        for length in range(min(LONGEST, len(words) - at), 0, -1):
            if (some := words[at : at + length]) in meanings:
                found.append(_translation(some, language))
                break
        else:
            length = 1
            apart = language in JOINED and not is_plain(words[at])
            found += (_taken_apart(words[at], language) if apart else None) or [(words[at],)]
        at += length
    return found


def _taken_apart(word: str, language: str) -> Parts | None:
    """A word that is two: what the thing is stands at its end, and need be known."""
    table = _meanings()
    for at in range(LEAST_START, len(word) - LEAST_HEAD + 1):
        start, head = (word[:at],), (word[at:],)
        if head in table[language] and head not in table[ENGLISH]:
            first = _translation(start, language) if start in table[language] else Translation(start)
            return [first, _translation(head, language)]
    return None


def _translation(asked: Words, language: str) -> Translation:
    rows = _meanings()[language][asked]
    nothing = len(read_lexicon()) - 1  # the row of words that say nothing
    english, own = (
        dict.fromkeys(tokens(word) for row in rows if row != nothing for word in read_lexicon()[row][of])
        for of in (ENGLISH, language)
    )
    others = (some for some in own if some not in _meanings()[ENGLISH])
    return Translation(asked, tuple(english), tuple(dict.fromkeys((asked, *others))))


@lru_cache(maxsize=1)
def _meanings() -> Mapping[str, Meanings]:
    """By language, what its words mean."""
    found: dict[str, dict[Words, tuple[int, ...]]] = {}
    for number, row in enumerate(read_lexicon()):
        for language, words in row.items():
            of = found.setdefault(language, {})
            for word in words:
                for key in {tokens(word), tokens(word.replace("ß", "ss"))}:
                    of[key] = (*of.get(key, ()), number)
    for language in PLURAL_S:
        for key, rows in list(found[language].items()):
            many = (*key[:-1], f"{key[-1]}s")
            if len(key[-1]) > 2 and not {key[-1], many[-1]} & ENGLISH_TOO:
                found[language].setdefault(many, rows)
    return found
