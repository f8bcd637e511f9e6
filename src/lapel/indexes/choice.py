"""Which structure an index of a size is kept in, and why: the rules behind ``faiss:auto``.

``docs/decisions/0009-indexes.md`` says why these; ``benchmarks/indexes.py`` sets them beside other libraries.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, fields
from urllib.parse import parse_qsl

from lapel.core.errors import InputError
from lapel.indexes.structure import ROWS_PER_CENTROID, least_rows

MAX_EXACT_ROWS = 4096  # up to which scanning all vectors is about as quick as asking a graph, and exact
GRAPH_LINKS = 16  # of a node on the upper levels; twice as many on the lowest
BYTE_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


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
        return self.memory or machine_memory() // 2

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


def read_kind(rest: str) -> tuple[str, Options]:
    """What follows ``faiss:`` -> FAISS's factory string, empty for ``auto``; and the options after a question mark."""
    factory, _, options = rest.partition("?")
    return "" if factory == "auto" else factory, Options.parse(options)


@dataclass(frozen=True)
class Choice:
    """What an index is kept in.

    Attributes:
        factory: FAISS's factory string; empty when all vectors are scanned.
        why: One sentence for people.
        bytes_a_vector: Memory each vector takes, about.
    """

    factory: str
    why: str
    bytes_a_vector: int


def choose(count: int, *, dim: int, options: Options, factory: str = "") -> Choice:
    """The structure for so many vectors.

    Args:
        count: How many vectors there are.
        dim: Their width.
        options: Memory and recall.
        factory: What was asked for by name; empty leaves the choice to size and memory.
    """
    flat = 4 * dim + 8
    if factory:
        needed = least_rows(factory)
        if count < needed:
            return Choice(
                "", f"{count:,} of the {needed:,} vectors that '{factory}' needs: all are scanned until then.", flat
            )
        return Choice(factory, f"'{factory}' was asked for.", bytes_of(factory, dim))
    if count <= MAX_EXACT_ROWS:
        return Choice("", f"Up to {MAX_EXACT_ROWS:,} vectors, scanning all of them is exact and quick enough.", flat)
    lists = 2 ** min(round(math.log2(8 * count**0.5)), int(math.log2(count / ROWS_PER_CENTROID)))
    graph = f"HNSW{GRAPH_LINKS}"
    ladder = (graph, f"{graph}_SQfp16", f"IVF{lists}_HNSW16,PQ{max(dim // 4, 1)}x4fs,Refine(SQ8)")
    limit = options.bytes
    for kind in ladder:
        each = bytes_of(kind, dim)
        if each * count <= limit:
            return Choice(kind, f"{count:,} vectors at {each} bytes each fit the {limit / 1e9:.1f} GB allowed.", each)
    each = bytes_of(ladder[-1], dim)
    why = (
        f"Even at {each} bytes each, {count:,} vectors take {each * count / 1e9:.1f} GB, more than the"
        f" {limit / 1e9:.1f} GB allowed."
    )
    return Choice(ladder[-1], f"{why} Give more memory, or keep them on several machines with milvus://.", each)


def bytes_of(factory: str, dim: int) -> int:
    """Memory a vector takes in a structure, about: codes, links, the vector for the exact last step, and its key; twice
    the links while more are added, and an eighth more of a graph's vectors as room for them."""
    each = 8 + 1 + 16  # and the place of the key among the sorted ones
    if "IVF" in factory:
        each += 16  # its number in its list, and where it is
    if match := re.match(r"HNSW(\d+)", factory):
        each += 4 * 2 * int(match[1]) * 17 // 16 + 12  # its links, its level, and where they are
    if match := re.search(r"PQ(\d+)x4", factory):
        each += int(match[1]) // 2 + 8
    elif match := re.search(r"PQ(\d+)", factory):
        each += int(match[1]) + 8
    kept = 4 * dim if re.search(r"^HNSW\d+$|Flat", factory) else dim if "Refine(SQ8)" in factory else 2 * dim
    return each + kept + (dim if re.search(r"(?<!\()SQ8", factory) else 0)


def machine_memory() -> int:
    """Bytes of memory this process may use: the machine's, or its container's."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")] if hasattr(os, "sysconf") else [8 * 10**9]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123
                limits.append(int(file.read()))
        except (OSError, ValueError):
            continue
    return min(limits)
