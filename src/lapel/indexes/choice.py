"""Which structure so many vectors are kept in, and why: what a spec of ``faiss:`` says, and the rules behind ``auto``.

``docs/decisions/0009-indexes.md`` says why these; ``benchmarks/indexes.py`` sets them beside other libraries.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Protocol
from urllib.parse import parse_qsl

from lapel.core.errors import InputError
from lapel.core.machine import memory_bytes
from lapel.indexes.compressed import Compressed
from lapel.indexes.files import Content
from lapel.indexes.graph import Graph
from lapel.indexes.structure import Structure

MAX_EXACT_ROWS = 4096  # up to which scanning all vectors is about as quick as asking a graph, and exact
GRAPH_LINKS = 16  # of a node on the upper levels; twice as many on the lowest
BYTE_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
MIN_ROWS = 1000  # below these no structure is worth building
ROWS_PER_CENTROID = 39  # that FAISS wants for learning
STRUCTURES: dict[str, type[Structure]] = {r"HNSW\d+(_SQfp16)?": Graph, r"IVF\d+,PQ\d+x4fs": Compressed}
# Factory strings of FAISS that stores of before may name; what Lapel builds no more is kept as 'auto' says.
NAMED_BEFORE = r"faiss:((?:IVF|HNSW|PQ|OPQ|PCA|SQ|NSG|LSH|RQ|Flat,)[^:?]*)(\?.*)?"


@dataclass(frozen=True)
class Options:
    """What is asked of an index besides its kind.

    Attributes:
        recall: Wanted Recall@10 against exact search, 0..1.
        memory: Bytes it may take; half of the machine's by default.
    """

    recall: float = 0.99
    memory: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise InputError(f"The wanted recall of an index is above 0 and at most 1; found {self.recall}.")
        if self.memory < 0:
            raise InputError(f"An index's memory is a number of bytes such as 4GB; found {self.memory}.")

    @property
    def bytes(self) -> int:
        """The memory limit; the default where none was given."""
        return self.memory or memory_bytes() // 2

    @classmethod
    def parse(cls, text: str) -> Options:
        """``recall=0.95&memory=4GB`` -> Options.

        Raises:
            InputError: an unknown name, or a value that is none.
        """
        given = dict(parse_qsl(text, keep_blank_values=True))
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise InputError(f"An index has the options {', '.join(names)}; found '{unknown[0]}'.")
        size = re.fullmatch(r"([\d.]+)\s*([KMGT]?)B?", given.get("memory", "0B").upper())
        try:
            recall = float(given.get("recall", cls.recall))
            memory = int(float(size[1]) * BYTE_UNITS[size[2]]) if size else -1
        except (ValueError, KeyError) as error:
            raise InputError(f"'{text}' is not read as index options. Write recall=0.95&memory=4GB.") from error
        return cls(recall, memory)


@dataclass(frozen=True)
class Choice:
    """What an index is kept in.

    Attributes:
        name: The structure's; empty when all vectors are scanned.
        why: One sentence for people.
        bytes_a_vector: Memory each vector takes, about.
        structure: What is built.
    """

    name: str
    why: str
    bytes_a_vector: int
    structure: type[Structure] | None = None


class Plan(Protocol):
    """What a growing index is kept in as it grows.

    Attributes:
        spec: What opens it.
        kind: What its file's header says it is.
        recall: Wanted Recall@10, 0..1.
        is_named: Whether one structure was asked for, which is built as soon as there are enough vectors.
    """

    spec: str
    kind: str
    recall: float
    is_named: bool

    def choose(self, count: int) -> Choice:
        """For so many vectors."""
        ...

    def restore(self, name: str, content: Content) -> Structure:
        """A structure as it was saved."""
        ...


class FaissPlan:
    """``faiss:auto``, ``faiss:Flat`` or a structure by name. See :class:`Plan`.

    Args:
        kind: The same without options.
        options: Memory and recall.
        dim: Width of the vectors.
    """

    def __init__(self, kind: str, options: Options, dim: int) -> None:
        self.spec, self.kind, self.recall = f"faiss:{kind}", kind, options.recall
        self.is_named = kind not in ("auto", "Flat")
        self._limit, self._dim = options.bytes, dim
        if self.is_named:
            self._find(kind)

    @classmethod
    def parse(cls, rest: str, dim: int) -> FaissPlan:
        """What follows ``faiss:``.

        Raises:
            InputError: there is no such structure, or options that are none.
        """
        kind, _, options = rest.partition("?")
        return cls(kind, Options.parse(options), dim)

    def _find(self, name: str) -> type[Structure]:
        for pattern, structure in STRUCTURES.items():
            if re.fullmatch(pattern, name):
                return structure
        raise InputError(
            f"There is no index 'faiss:{name}'. Write faiss:auto, faiss:Flat, faiss:HNSW16 or another number of links,"
            f" faiss:HNSW16_SQfp16, or faiss:IVF1024,PQ{max(self._dim // 4, 1)}x4fs."
        )

    def choose(self, count: int) -> Choice:
        """See :meth:`Plan.choose`."""
        flat = 4 * self._dim + 8
        if self.kind == "Flat":
            return Choice("", "All vectors are scanned.", flat)
        if self.is_named:
            if count < (needed := least_rows(self.kind)):
                why = f"{count:,} of the {needed:,} vectors that '{self.kind}' needs: all are scanned until then."
                return Choice("", why, flat)
            return self._choice(self.kind, f"'{self.kind}' was asked for.")
        if count <= MAX_EXACT_ROWS:
            why = f"Up to {MAX_EXACT_ROWS:,} vectors, scanning all of them is exact and quick enough."
            return Choice("", why, flat)
        lists = 2 ** min(round(math.log2(8 * count**0.5)), int(math.log2(count / ROWS_PER_CENTROID)))
        graph = f"HNSW{GRAPH_LINKS}"
        ladder = (graph, f"{graph}_SQfp16", f"IVF{lists},PQ{max(self._dim // 4, 1)}x4fs")
        for name in ladder:
            each = bytes_of(name, self._dim)
            if each * count <= self._limit:
                why = f"{count:,} vectors at {each} bytes each fit the {self._limit / 1e9:.1f} GB allowed."
                return self._choice(name, why)
        why = (
            f"Even at {each} bytes each, {count:,} vectors take {each * count / 1e9:.1f} GB, more than the"
            f" {self._limit / 1e9:.1f} GB allowed. Give more memory, or keep them on several machines with milvus://."
        )
        return self._choice(ladder[-1], why)

    def _choice(self, name: str, why: str) -> Choice:
        return Choice(name, why, bytes_of(name, self._dim), self._find(name))

    def restore(self, name: str, content: Content) -> Structure:
        """See :meth:`Plan.restore`."""
        return self._find(name).restore(name, content)


def current_spec(spec: str) -> str:
    """A spec that a store names -> how it is opened now."""
    old = re.fullmatch(NAMED_BEFORE, spec)
    if old is None or any(re.fullmatch(pattern, old[1]) for pattern in STRUCTURES):
        return spec
    return f"faiss:auto{old[2] or ''}"


def least_rows(name: str) -> int:
    """How many vectors a structure needs before it can be built well."""
    lists = re.match(r"IVF(\d+)", name)
    return max(MIN_ROWS, ROWS_PER_CENTROID * int(lists[1]) if lists else 0)


def bytes_of(name: str, dim: int) -> int:
    """Memory a vector takes in a structure, about."""
    each = 8 + 1 + 16  # its key, its mark, and the place of the key among the sorted ones
    if lists := re.match(r"IVF\d+,PQ(\d+)", name):
        return each + 8 + int(lists[1]) // 2 + 9 * dim // 8  # its number in its list, 4-bit and 8-bit codes, room
    links = int(name.removeprefix("HNSW").partition("_")[0])
    # Twice the links while more are added, and an eighth more of the vectors as room for them; level, offset, cell.
    return each + 4 * 2 * links * 17 // 16 + 14 + (2 if name.endswith("SQfp16") else 4) * dim
