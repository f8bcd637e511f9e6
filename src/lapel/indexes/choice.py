"""Which structure so many vectors are kept in, and why: what a spec of ``faiss:`` says, and the rules behind ``auto``.

``docs/decisions/0009-indexes.md`` says why these; ``benchmarks/indexes.py`` sets them beside other libraries.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple
from urllib.parse import parse_qsl

from lapel.core.errors import InputError
from lapel.core.machine import memory_bytes
from lapel.indexes.files import Content
from lapel.indexes.structure import ReadRows, Structure

RECALL = 0.99  # at 10, wanted by default
MAX_EXACT_ROWS = 4096  # up to which scanning all vectors is about as quick as asking a graph, and exact
GRAPH, COMPRESSED = r"HNSW16(_SQfp16)?", r"IVF\d+,PQ\d+x4fs"  # the structures that can be named
BYTE_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
MIN_ROWS = 1000  # below these no structure is worth building
ROWS_PER_CENTROID = 39  # that FAISS wants for learning
# Factory strings of FAISS that stores of before may name; what Lapel builds no more is kept as 'auto' says.
NAMED_BEFORE = r"faiss:((?:IVF|HNSW|PQ|OPQ|PCA|SQ|NSG|LSH|RQ|Flat,)[^:?]*)(\?.*)?"


class Choice(NamedTuple):
    """What an index is kept in: the name of a structure, empty when all vectors are scanned; and why, for people."""

    name: str
    why: str


class Plan:
    """What a growing index is kept in as it grows: ``faiss:auto``, ``faiss:Flat`` or a structure by name.

    Args:
        name: Which of these.
        dim: Width of the vectors.
        recall: Wanted Recall@10 against exact search, 0..1.
        memory: Bytes it may take; half of the machine's by default.

    Attributes:
        kind: What opens it, without options; its file says so.
        is_named: Whether one structure was asked for, which is built as soon as there are enough vectors.

    Raises:
        InputError: there is no such structure, or a recall that is none.
    """

    def __init__(self, name: str, dim: int, recall: float = RECALL, memory: int = 0) -> None:
        if not 0 < recall <= 1:
            raise InputError(f"The wanted recall of an index is above 0 and at most 1; found {recall}.")
        self.kind, self._name = f"faiss:{name}", name
        self.is_named = name not in ("auto", "Flat")
        self._dim, self._recall, self._limit = dim, recall, memory or memory_bytes() // 2
        if self.is_named:
            self._find(name)

    @classmethod
    def parse(cls, rest: str, dim: int) -> Plan:
        """What follows ``faiss:``, such as ``auto?recall=0.95&memory=4GB``.

        Raises:
            InputError: there is no such structure, or options that are none.
        """
        name, _, text = rest.partition("?")
        given = {"recall": str(RECALL), "memory": "0"} | (named := dict(parse_qsl(text, keep_blank_values=True)))
        if unknown := sorted(set(named) - {"recall", "memory"}):
            raise InputError(f"An index has the options recall, memory; found '{unknown[0]}'.")
        size = re.fullmatch(r"(\d+\.?\d*)\s*([KMGT]?)B?", given["memory"].upper())
        if size is None:
            raise InputError(f"An index's memory is a number of bytes such as 4GB; found '{given['memory']}'.")
        try:
            recall = float(given["recall"])
        except ValueError as error:
            raise InputError(f"'{text}' is not read as index options. Write recall=0.95&memory=4GB.") from error
        return cls(name, dim, recall, int(float(size[1]) * BYTE_UNITS[size[2]]))

    def build(self, name: str, count: int, read: ReadRows) -> Structure:
        """A structure of rows 0 to ``count`` - 1."""
        return self._find(name).build(name, count, read, recall=self._recall)

    def restore(self, name: str, content: Content) -> Structure:
        """A structure as it was saved."""
        return self._find(name).restore(name, content)

    def _find(self, name: str) -> type[Structure]:
        if re.fullmatch(GRAPH, name):
            from lapel.indexes.graph import Graph  # Numba takes half a second to load

            return Graph
        if re.fullmatch(COMPRESSED, name):
            from lapel.indexes.compressed import Compressed

            return Compressed
        raise InputError(
            f"There is no index 'faiss:{name}'. Write faiss:auto, faiss:Flat, faiss:HNSW16,"
            f" faiss:HNSW16_SQfp16, or faiss:IVF1024,PQ{max(self._dim // 4, 1)}x4fs."
        )

    def choose(self, count: int) -> Choice:
        """For so many vectors."""
        if self._name == "Flat":
            return Choice("", "All vectors are scanned.")
        if self.is_named:
            if count < (needed := least_rows(self._name)):
                why = f"{count:,} of the {needed:,} vectors that '{self._name}' needs: all are scanned until then."
                return Choice("", why)
            return Choice(self._name, f"'{self._name}' was asked for.")
        if count <= MAX_EXACT_ROWS:
            return Choice("", f"Up to {MAX_EXACT_ROWS:,} vectors, scanning all of them is exact and quick enough.")
        lists = 2 ** min(round(math.log2(8 * count**0.5)), int(math.log2(count / ROWS_PER_CENTROID)))
        allowed = f"the {self._limit / 1e9:.1f} GB allowed"
        for name in ("HNSW16", "HNSW16_SQfp16", f"IVF{lists},PQ{max(self._dim // 4, 1)}x4fs"):
            each = bytes_of(name, self._dim)
            if each * count <= self._limit:
                return Choice(name, f"{count:,} vectors at {each} bytes each fit {allowed}.")
        why = (
            f"Even at {each} bytes each, {count:,} vectors take {each * count / 1e9:.1f} GB, more than {allowed}."
            " Give more memory, or keep them on several machines with milvus://."
        )
        return Choice(name, why)


def current_spec(spec: str) -> str:
    """A spec that a store names -> how it is opened now."""
    old = re.fullmatch(NAMED_BEFORE, spec)
    if old is None or re.fullmatch(f"{GRAPH}|{COMPRESSED}", old[1]):
        return spec
    if graph := re.fullmatch(r"HNSW\d+(_SQfp16)?", old[1]):  # once with any number of links
        return f"faiss:HNSW16{graph[1] or ''}{old[2] or ''}"
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
    # Links of its levels, an eighth more of all as room; a byte for each number, and its cell.
    return each + 9 * (133 + dim + (2 if name.endswith("SQfp16") else 4) * dim) // 8 + 2
