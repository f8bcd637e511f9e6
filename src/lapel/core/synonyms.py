"""Words that mean the same: the table that ships, and a shop's own lines beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path

from lapel.core.errors import InputError
from lapel.core.words import Words, tokens

FILE = "synonyms.csv"  # in the folder of a shop, and the one that ships
LONGEST = 4  # words of an entry


class Synonyms:
    """Groups of words that mean the same.

    Args:
        groups: Each a list of words, or of several words in a row.

    >>> Synonyms([["jumper", "sweater"], ["trainers", "sports shoes"]]).of(("sports", "shoe"))
    (('trainers',),)
    """

    def __init__(self, groups: Iterable[Iterable[str]]) -> None:
        self._groups: list[tuple[Words, ...]] = []
        self._of: dict[Words, list[int]] = {}
        for group in groups:
            entries = tuple(dict.fromkeys(words for text in group if (words := tokens(text))))
            for entry in entries:
                self._of.setdefault(_singular(entry), []).append(len(self._groups))
            self._groups.append(entries)
        self.longest = min(LONGEST, max(map(len, self._of), default=1))
        self.words: Mapping[str, None] = dict.fromkeys(word for entry in self._of for word in entry)

    def of(self, words: Words) -> tuple[Words, ...]:
        """What means the same as these words, without themselves."""
        own = _singular(words)
        found = (entry for group in self._of.get(own, ()) for entry in self._groups[group])
        return tuple(dict.fromkeys(entry for entry in found if _singular(entry) != own))


def read_synonyms(path: Path) -> list[list[str]]:
    """The groups of a file: one a line, with commas between the words; lines that begin with # are remarks.

    Raises:
        InputError: it cannot be read, or a line holds a single word.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The synonyms in {path} cannot be read: {error}. It is a CSV in UTF-8.") from error
    groups = []
    for number, line in enumerate(lines, 1):
        group = [entry for text in line.split(",") if (entry := text.strip())]
        if not group or line.lstrip().startswith("#"):
            continue
        if len(group) < 2:
            raise InputError(
                f"Line {number} of the synonyms in {path} holds one word: '{line.strip():.60}'. Write those that mean"
                f" the same on one line, with commas between them."
            )
        groups.append(group)
    return groups


def synonyms_of(folder: Path) -> Synonyms:
    """The table that ships, with the lines of a shop's own file where it has one; read again when that changes."""
    path = folder / FILE
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        return _with_own(None, 0)
    return _with_own(path, stamp)


@lru_cache(maxsize=8)
def _with_own(path: Path | None, _: int) -> Synonyms:
    shipped = read_synonyms(Path(str(resources.files("lapel.core") / FILE)))
    return Synonyms(shipped + (read_synonyms(path) if path else []))


def spellings(word: str) -> tuple[str, ...]:
    """A word in singular and plural, itself first.

    >>> spellings("dress"), spellings("scarves"), spellings("bodies")
    (('dress', 'dresses'), ('scarves', 'scarve', 'scarf'), ('bodies', 'body'))
    """
    if len(word) < 3 or not word.isalpha():
        return (word,)
    if word.endswith("ies"):
        return word, word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word, word[:-2]
    if word.endswith("ves"):
        return word, word[:-1], word[:-3] + "f"
    if word.endswith("s") and not word.endswith("ss"):
        return word, word[:-1]
    if word.endswith(("ss", "sh", "ch", "x", "z")):
        return word, word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word, word[:-1] + "ies"
    return word, word + "s"


def _singular(words: Words) -> Words:
    return *words[:-1], min(spellings(words[-1]), key=len)
