"""Reading the words of a query: typing errors, synonyms, plurals, colours, and what nobody understands.

The catalogue's own words are the dictionary. What is in neither it nor the synonyms, nor learned by the model, is taken
for a typing error of a word that is one edit away (Damerau-Levenshtein: a letter too many, too few, another, or two
swapped). A model guesses the meaning of words that it never learned from how they are written, of other languages and
misspelt ones alike; such a word is corrected where a frequent word of the catalogue is one edit away. Of several such
words those are right that most products hold together (a noisy channel, with the catalogue as its language model), so
"blak snekers" is read as black sneakers although "slack" and "sneakers" exist too, and "back heels" as black heels
where hardly any product has a back and heels. Words of other languages are read as what the catalogue calls the same
(:mod:`lapel.engine.translation`), unless a product has all words of the query as they are.
"""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import Catalog
from lapel.core.colour_names import find_colour
from lapel.core.synonyms import Synonyms, spellings, synonyms_of
from lapel.core.words import WordReading, Words, tokens
from lapel.engine.translation import Translation, cut, translate

# What says nothing of a product: how people ask.
FILLERS = frozenset(
    "a an the this that these those it its is in of for with and or to by at on as like same similar but please one"
    " ones some any me my i we want need show find give get make look looking something anything dont not colour color"
    " coloured colored version instead"
    # The same of other languages; articles and "van", which begin names of brands, are not among them.
    " mit von vom zum zur und oder ein eine einen pour avec et des du une para con y por del de una un di da per e com"
    " dos um uma voor met en een dla z ze do na ve ile icin bir для с со из и в на の 用 と で に 的 和 给".split()
)
GERMAN_FOR = re.compile(r"\bfür\b", re.IGNORECASE)  # a filler, and without its dots the fur of a coat
_WORD = re.compile(r"\w+")
FEW_TOGETHER = 3  # products that hold all words of a query, up to which one of the words may be a typing error
CANDIDATES = 12  # words that one typing error may have been
BEAM = 12  # readings that are kept from word to word
EDIT_COST = 3.0  # nats: a reading with an edit must be e^3 times as frequent as one without
LETTER_COST = 2.0  # nats, of a letter that is typed in place of another, or too many: it is one of 26
REAL_COST = 6.0  # nats, of changing a word that the catalogue has
NONE_COST = 12.0  # nats, where no product holds this word together with those before it
UNKNOWN_COST = 16.0  # nats, of not understanding a word that may be a typing error
GUESSED_COST = 13.0  # nats, of leaving to the model a word that it only guesses
RARE = 30  # times as frequent as a word is another that it may be a typing error of; products of a frequent word
LEAST_LETTERS = 2  # of a word that is corrected,
LEAST_GUESSED = 3  # and of one whose meaning the model guesses
MAX_CATEGORIES = 5_000
CACHED_BYTES = 64 * 2**20  # of sets of products by word


@dataclass(frozen=True)
class _Term:
    """A word, or words in a row, that the catalogue knows.

    Attributes:
        asked: As asked for.
        read: What it is called in the catalogue.
        spellings: All that mean it, each words in a row.
        edited: Whether a typing error was taken out.
        cost: Nats, of that error beside a plain one.
    """

    asked: str
    read: str
    spellings: tuple[Words, ...]
    edited: bool = False
    cost: float = 0.0


@dataclass(frozen=True)
class _Slot:
    """A word of a query.

    Attributes:
        asked: As asked for.
        terms: What it may mean, the plainest first; none where nobody knows.
        sure: Whether the first is a word of the catalogue or the synonyms.
        alone: Nats, of none of them being meant, where it is not sure.
        english: What the model is asked with instead, where no product has a word for it.
    """

    asked: str
    terms: tuple[_Term, ...]
    sure: bool
    alone: float = UNKNOWN_COST
    english: str = ""


class WordReader:
    """Reads words with one catalogue as the dictionary. Safe to share between threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._generation = -1
        self._vocabulary: dict[str, int] = {}
        self._letters = ""
        self._size = 0
        self._kinds: frozenset[str] = frozenset()
        self._rows: OrderedDict[Words, NDArray[np.bool_]] = OrderedDict()

    def read(
        self,
        text: str,
        known: frozenset[str] = frozenset(),
        guessed: frozenset[str] = frozenset(),
    ) -> WordReading:
        """How a text is read.

        Args:
            text: What was asked for.
            known: Words, as :func:`lapel.core.words.tokens` cuts them, that the model understands by itself.
            guessed: Those of them that it never learned, and understands by what they are like.
        """
        asked = text.strip()
        if len(asked) <= 200 and self._catalog.photos(asked):
            return WordReading(text, product_id=asked)
        self._refresh()
        synonyms = synonyms_of(self._catalog.path.parent)
        plain_text = GERMAN_FOR.sub(" ", unicodedata.normalize("NFC", text))
        words = cut(tokens(plain_text), self._holds, known)
        slots = self._slots(words, synonyms, known, guessed)
        plain = [slot.terms[0] for slot in slots if slot.terms]
        if len(plain) > 1 and np.count_nonzero(self._together(plain)) <= FEW_TOGETHER:
            # One of them may be a typing error that makes another word, such as "back" for "black".
            unheld = frozenset(word for word in known if self._term((word,), synonyms) is None)
            again = self._slots(words, synonyms, unheld, guessed)
            slots = [self._reread(old, new) for old, new in zip(slots, again, strict=True)]
        terms = (
            self._choose(slots) if self._doubtful(slots) else [each.terms[0] if each.terms else None for each in slots]
        )
        written = {each[0]: word for word in _WORD.findall(plain_text.lower()) if len(each := tokens(word)) == 1}
        return self._reading(text, slots, terms, known, written)

    def phrases(self, reading: WordReading) -> tuple[tuple[Words, ...], ...]:
        """The groups of a reading as the catalogue is asked with them."""
        return tuple(tuple(tuple(each.split()) for each in group) for group in reading.groups)

    def kinds(self) -> frozenset[str]:
        """The words of the catalogue's categories, in singular and plural."""
        self._refresh()
        return self._kinds

    def names_a_kind(self, reading: WordReading) -> bool:
        """Whether one of the words is that of a category: then it says what a thing is, and not what it is like."""
        kinds = self.kinds()
        return any(set(words) <= kinds for group in self.phrases(reading) for words in group)

    def rows_with(self, reading: WordReading) -> NDArray[np.bool_]:
        """(n,) by the numbers of products, which hold a spelling of every word of a reading."""
        return np.asarray(self.counts_of(reading) == len(reading.groups))

    def counts_of(self, reading: WordReading) -> NDArray[np.int64]:
        """(n,) by the numbers of products, of how many words of a reading each holds a spelling."""
        self._refresh()
        counts = np.zeros(self._size, np.int64)
        for group in self.phrases(reading):
            any_of = np.zeros(self._size, bool)
            for words in group:
                any_of |= self._rows_of_words(words)
            counts += any_of
        return counts

    # --- what a word may mean -----------------------------------------------------------------------------------------

    def _slots(self, words: Words, synonyms: Synonyms, known: frozenset[str], guessed: frozenset[str]) -> list[_Slot]:
        """Each word, or words that belong together, with all that it may mean, the plainest first."""
        parts = translate(words, self._holds, synonyms.words.__contains__)
        if parts is None or self._holds_all(words):
            return self._slots_of(words, synonyms, known, guessed)
        slots: list[_Slot] = []
        plain: Words = ()
        for part in parts:
            if not isinstance(part, Translation):
                plain += part
                continue
            slots += self._slots_of(plain, synonyms, known, guessed)
            plain = ()
            if slot := self._translated(part, synonyms, known):
                slots.append(slot)
        return [*slots, *self._slots_of(plain, synonyms, known, guessed)]

    def _slots_of(
        self, words: Words, synonyms: Synonyms, known: frozenset[str], guessed: frozenset[str]
    ) -> list[_Slot]:
        slots, at = [], 0
        while at < len(words):
            for length in range(min(synonyms.longest, len(words) - at), 1, -1):
                some = words[at : at + length]
                if synonyms.of(some) and (term := self._term(some, synonyms)):
                    slots.append(_Slot(" ".join(some), (term,), True))
                    at += length
                    break
            else:
                word, at = words[at], at + 1
                if word not in FILLERS:
                    slots.append(self._slot(word, synonyms, known, guessed))
        return slots

    def _slot(self, word: str, synonyms: Synonyms, known: frozenset[str], guessed: frozenset[str]) -> _Slot:
        own = self._term((word,), synonyms)
        unsure = word in guessed and own is None and len(word) >= LEAST_GUESSED
        if word in known and not unsure:
            return _Slot(word, (own,) if own else (), True)
        edits = list(self._edits(word, synonyms)) if len(word) >= LEAST_LETTERS else []
        if unsure:
            return _Slot(word, tuple(edits), not edits, GUESSED_COST)
        # Titles hold typing errors too: a rare word beside a frequent one may be one.
        held = max((self._count(form[-1]) for form in own.spellings), default=0) if own else 0
        sure = own is not None and not any(self._count(each.read) > RARE * held for each in edits)
        return _Slot(word, tuple(filter(None, (own, *edits))), sure)

    def _reread(self, slot: _Slot, again: _Slot) -> _Slot:
        """What a word of the catalogue and the model may be a typing error of: of a much more frequent word, by a
        letter left out or two swapped. Another letter mostly makes another word that is meant."""
        if not (slot.sure and slot.terms):
            return slot
        most = RARE * self._count(slot.terms[0].read)
        frequent = [each for each in again.terms if each.edited and not each.cost and self._count(each.read) > most]
        return replace(again, terms=(slot.terms[0], *frequent))

    def _translated(self, part: Translation, synonyms: Synonyms, known: frozenset[str]) -> _Slot | None:
        """What words of another language mean; None where they say nothing of a product."""
        asked = " ".join(part.asked)
        if not part.english:
            return None if part.own else _Slot(asked, (), True)
        english = dict.fromkeys((*part.english, *synonyms.of(part.english[0])))
        frequent = RARE * max(map(self._count_of, part.own))  # a brand, or a word by accident, beside many products
        entries = [*english] if max(map(self._count_of, english)) > frequent else [*english, *part.own]
        if found := self._held_of(entries):
            return _Slot(asked, (_Term(asked, " ".join(found[0]), found),), True)
        return _Slot(asked, (), True, english=" ".join(part.english[0]) if known else "")

    def _held_of(self, entries: Iterable[Words]) -> tuple[Words, ...]:
        """What the catalogue has of these, in singular and plural."""
        every = (form for entry in entries for form in _forms(entry) if all(self._count(word) for word in form))
        return tuple(dict.fromkeys(every))

    def _term(self, words: Words, synonyms: Synonyms, *, edited: str = "") -> _Term | None:
        """What the catalogue has of these words, or of what means the same; None where it has nothing."""
        found = self._held_of(dict.fromkeys((words, *synonyms.of(words))))
        if not found:
            return None
        asked = " ".join(words)
        own = [form for form in found if form in set(_forms(words))]
        read = asked if words in found or own else " ".join(found[0])
        return _Term(edited or asked, read, found, bool(edited))

    def _edits(self, word: str, synonyms: Synonyms) -> Iterator[_Term]:
        """The words one edit away that the catalogue or the synonyms have, the most frequent first."""
        near = {each for each in edits_of(word, self._letters) if each in self._vocabulary or each in synonyms.words}
        near = {each for each in near - {word} if len(each) >= LEAST_LETTERS}
        counted = sorted(near, key=lambda each: (-self._count(each), each))
        for each in counted[:CANDIDATES]:
            if term := self._term((each,), synonyms, edited=word):
                yield replace(term, cost=_letter_cost(word, each))

    # --- which of it is meant -----------------------------------------------------------------------------------------

    def _doubtful(self, slots: Sequence[_Slot]) -> bool:
        """Whether anything has to be chosen: a word that nobody knows, or words that no product has together."""
        if any(not slot.sure and slot.terms for slot in slots):
            return True
        plain = [slot.terms[0] for slot in slots if slot.terms]
        return len(plain) > 1 and any(len(slot.terms) > 1 for slot in slots) and not self._together(plain).any()

    def _choose(self, slots: Sequence[_Slot]) -> list[_Term | None]:
        """The likeliest reading: a beam search over the words in their order."""
        beam: list[tuple[float, tuple[_Term | None, ...], NDArray[np.bool_]]] = [(0.0, (), self._every())]
        for slot in slots:
            if not slot.terms:
                beam = [(cost, (*terms, None), rows) for cost, terms, rows in beam]
                continue
            longer = [] if slot.sure else [(cost + slot.alone, (*terms, None), rows) for cost, terms, rows in beam]
            for cost, terms, rows in beam:
                for term in slot.terms:
                    both = rows & self._rows_of(term)
                    more = term.cost + (REAL_COST if slot.sure else EDIT_COST) if term.edited else 0.0
                    if not both.any():
                        both, more = rows, more + NONE_COST
                    longer.append((cost + more, (*terms, term), both))
            longer.sort(key=lambda each: each[0] - math.log1p(int(each[2].sum())))
            beam = longer[:BEAM]
        return list(beam[0][1])

    def _together(self, terms: Iterable[_Term]) -> NDArray[np.bool_]:
        rows = self._every()
        for term in terms:
            rows = rows & self._rows_of(term)
        return rows

    def _every(self) -> NDArray[np.bool_]:
        return np.ones(self._size, bool)

    def _rows_of(self, term: _Term) -> NDArray[np.bool_]:
        """(products,) which products hold one of its spellings."""
        rows = np.zeros(self._size, bool)
        for spelling in term.spellings:
            rows |= self._rows_of_words(spelling)
        return rows

    def _rows_of_words(self, words: Words) -> NDArray[np.bool_]:
        with self._lock:
            known = self._rows.get(words)
            if known is not None and len(known) == self._size:
                self._rows.move_to_end(words)
                return known
        rows = np.zeros(self._size, bool)
        at = np.array(self._catalog.rows_of_words(words), np.int64)
        rows[at[at < self._size]] = True
        with self._lock:
            self._rows[words] = rows
            while len(self._rows) > 1 and len(self._rows) * self._size > CACHED_BYTES:
                self._rows.popitem(last=False)
        return rows

    # --- the answer ---------------------------------------------------------------------------------------------------

    def _reading(
        self,
        text: str,
        slots: Sequence[_Slot],
        terms: Sequence[_Term | None],
        known: frozenset[str],
        written: Mapping[str, str],
    ) -> WordReading:
        read: list[str] = []
        unknown: list[str] = []
        groups, corrected, other, colours = [], [], [], []
        for slot, term in zip(slots, terms, strict=True):
            asked = " ".join(written.get(word, word) for word in slot.asked.split())
            if term is None and slot.english:
                read.append(slot.english)
                other.append((asked, slot.english))
                continue
            if term is None:
                (read if slot.asked in known else unknown).append(asked)
                continue
            meant = term.read
            read.append(meant)
            groups.append(tuple(" ".join(spelling) for spelling in term.spellings))
            if term.edited:
                corrected.append((asked, meant))
            elif term.asked != meant:
                other.append((asked, meant))
            if find_colour(meant) is not None:
                colours.append(meant)
        return WordReading(
            text, " ".join(read), tuple(groups), tuple(corrected), tuple(other), tuple(unknown), tuple(colours)
        )

    # --- the dictionary -----------------------------------------------------------------------------------------------

    def _count(self, word: str) -> int:
        return self._vocabulary.get(word, 0)

    def _count_of(self, words: Words) -> int:
        """Of the rarest of some words in a row, in singular or plural."""
        return max(min(map(self._count, form)) for form in _forms(words))

    def _holds(self, words: Words) -> bool:
        """Whether a product has these words in a row."""
        return all(map(self._count, words)) and (len(words) == 1 or bool(self._rows_of_words(words).any()))

    def _holds_all(self, words: Words) -> bool:
        """Whether a product has all of these words but those that say nothing."""
        said = [word for word in words if word not in FILLERS]
        if not all(map(self._count, said)):
            return False
        return bool(np.logical_and.reduce([self._every(), *(self._rows_of_words((word,)) for word in said)]).any())

    def _refresh(self) -> None:
        """Read the catalogue's words again where it has changed."""
        generation = self._catalog.generation
        with self._lock:
            if generation == self._generation:
                return
            self._vocabulary = self._catalog.vocabulary()
            self._letters = "".join(sorted({letter for word in self._vocabulary for letter in word}))[:400]
            self._size = self._catalog.last_row() + 1
            paths = (value for value, _ in self._catalog.facet_values("category", limit=MAX_CATEGORIES))
            words = {word for path in paths for word in tokens(path.rpartition(" > ")[2])}
            self._kinds = frozenset(form for word in words for form in spellings(word)) - FILLERS
            self._rows.clear()
            self._generation = generation


def _letter_cost(asked: str, meant: str) -> float:
    """Nats, of the letter that was typed by mistake; where one is missing, or two are swapped, there is none."""
    return 0.0 if len(meant) > len(asked) or sorted(meant) == sorted(asked) else LETTER_COST


def edits_of(word: str, letters: str) -> set[str]:
    """Every text one edit away: a letter less, more, other, or two neighbours swapped (Damerau-Levenshtein).

    >>> sorted(edits_of("ab", "c"))
    ['a', 'ac', 'abc', 'acb', 'b', 'ba', 'cab', 'cb']
    """
    cuts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    less = {left + right[1:] for left, right in cuts if right}
    swapped = {left + right[1] + right[0] + right[2:] for left, right in cuts if len(right) > 1}
    other = {left + letter + right[1:] for left, right in cuts if right for letter in letters}
    more = {left + letter + right for left, right in cuts for letter in letters}
    return (less | swapped | other | more) - {word, ""}


def _forms(words: Words) -> tuple[Words, ...]:
    """Words in a row with the last in singular and plural."""
    return tuple((*words[:-1], form) for form in spellings(words[-1]))
