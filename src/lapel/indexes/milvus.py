"""Vectors in Milvus: embedded in one file's folder (``milvus-lite``), or on a server that many machines share.

Unlike the other indexes this one is external: what is added is there for every process and after a restart, so there is
nothing to save or load. Beside its vectors it keeps a *version tag*, in which a store writes the catalogue's generation
that it is complete for.

``milvus://lite`` lives beside the store's catalogue, ``milvus:///path/to/file.db`` anywhere else on this machine (one
process at a time may have either open), ``milvus://host:port/database`` on a server. ``?index=FLAT`` scans all vectors,
``?index=AUTOINDEX`` leaves the structure to Milvus; by default an embedded one scans and a server chooses.
``?tls=yes`` encrypts. Who must log in sets ``LAPEL_MILVUS_TOKEN`` to ``user:password`` or a token; a store's settings
are no place for it.
"""

from __future__ import annotations

import logging
import re
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from lapel.core.errors import IndexUnavailableError, InputError
from lapel.core.settings import settings
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.base import BaseIndex
from lapel.indexes.files import wrong_width
from lapel.indexes.rows import RowFilter, merge_matches, no_matches, scan

DEFAULT_PORT = 19530  # Milvus' own
TIMEOUT_S = 30.0  # an answer may take
MAX_HITS = 16_384  # Milvus gives for a query, and keys one expression names
CHUNK_ROWS = 4096  # sent or fetched at once: 2 MB of 128 floats
MAX_CALL_HITS = 131_072  # asked for in one call, over all its queries
FETCH_GROWTH = 8  # times as many hits are asked for when those that came do not decide
VERSION_TAG = "lapel.note"  # the collection's property
STRUCTURES = ("FLAT", "AUTOINDEX")
FORMS = (
    r"//(?:lite|(?P<file>/.*\.db)|(?P<host>(?!lite/)[\w.-]+|\[[\da-f:]+\])(?::(?P<port>\d+))?(?:/(?P<database>[^/]*))?)"
)

_embedded: Counter[Path] = Counter()  # how many indexes of this process have a file open
_embedded_lock = threading.Lock()


class MilvusIndex(BaseIndex):
    """One collection. See :class:`lapel.indexes.VectorIndex` and :class:`lapel.indexes.ExternalIndex`.

    Safe to share between threads. With ``path``, the collection is named after it and stays; without, it goes when the
    index is closed.
    """

    is_external = True

    def __init__(self, rest: str, *, dim: int = 128, path: Path | None = None) -> None:
        super().__init__(dim=dim)
        self._spec = _parse(rest)
        self._is_kept = path is not None
        name = uuid.uuid4().hex if path is None else re.sub(r"\W", "_", path.stem if path.suffix else path.name)
        self._name = f"lapel_{name}"
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._file: Path | None = None  # the embedded database; None on a server
        if self._spec["file"]:
            self._file = Path(self._spec["file"])
        elif not self._spec["host"] and path is not None:
            self._file = path.absolute().parent / "milvus.db"
        elif not self._spec["host"]:
            self._folder = tempfile.TemporaryDirectory(prefix="lapel-milvus-")
            self._file = Path(self._folder.name) / "milvus.db"
        self._place = str(self._file or f"{self._spec['host']}:{self._spec['port'] or DEFAULT_PORT}")
        self._client: Any = None
        self._is_disconnected = False  # after a restart an embedded Milvus must load the collection again
        try:
            with self._access():
                self._client = self._connect()
                self._open()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> Any:
        for library in ("pymilvus", "milvus_lite"):  # they print every failed call with its stack; here it is an error
            logging.getLogger(library).setLevel(logging.CRITICAL)
        if self._file is None:
            uri = f"{'https' if 'tls' in self._spec else 'http'}://{self._place}"
            # A server that is back is found again within two seconds; gRPC would wait up to two minutes.
            back = {"grpc.max_reconnect_backoff_ms": 2000}
            token, database = settings().milvus_token.get_secret_value(), self._spec["database"]
            return MilvusClient(uri, token=token, db_name=database, timeout=TIMEOUT_S, grpc_options=back)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with _embedded_lock:
            client = MilvusClient(str(self._file), timeout=TIMEOUT_S)
            _embedded[self._file] += 1
        return client

    def _open(self) -> None:
        """Find the collection, or make it; after a restart it must be loaded before it is searched."""
        if not self._client.has_collection(self._name, timeout=TIMEOUT_S):
            schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("key", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._dim)
            # Strong: a search sees everything that was added before it, by whomever.
            self._client.create_collection(self._name, schema=schema, consistency_level="Strong", timeout=TIMEOUT_S)
        if not self._client.list_indexes(self._name, timeout=TIMEOUT_S):  # new, or its making was interrupted
            how = MilvusClient.prepare_index_params()
            structure = self._spec.get("index", "AUTOINDEX" if self._file is None else "FLAT")
            how.add_index("vector", index_type=structure, metric_type="IP")
            # Loading waits for it; waiting for it here takes half a second more.
            self._client.create_index(self._name, how, timeout=TIMEOUT_S, sync=False)
        about = self._client.describe_collection(self._name, timeout=TIMEOUT_S)
        found = next(int(field["params"]["dim"]) for field in about["fields"] if field["name"] == "vector")
        if found != self._dim:
            raise wrong_width(f"{self._name} in Milvus ({self._place})", found, self._dim)
        self._client.load_collection(self._name, timeout=TIMEOUT_S)

    # --- what it holds ---

    def _sorted_keys(self) -> Keys:
        return np.sort(np.array([row["key"] for page in self._pages(["key"]) for row in page], np.int64))

    def _count(self) -> int:
        return self._count_where("")

    def get_version_tag(self) -> str:
        """What was last written into it; empty at first."""
        with self._access():
            properties = self._client.describe_collection(self._name, timeout=TIMEOUT_S).get("properties", {})
            return str(properties.get(VERSION_TAG, ""))

    def set_version_tag(self, text: str) -> None:
        """Keep another text."""
        with self._access():
            self._client.alter_collection_properties(self._name, properties={VERSION_TAG: text}, timeout=TIMEOUT_S)

    # --- changing it ---

    def _put(self, keys: Keys, vectors: Vectors) -> None:
        for at in range(0, len(keys), CHUNK_ROWS):
            some = zip(keys[at : at + CHUNK_ROWS].tolist(), vectors[at : at + CHUNK_ROWS], strict=True)
            self._client.upsert(self._name, [{"key": key, "vector": row} for key, row in some], timeout=TIMEOUT_S)

    def _drop(self, keys: Keys) -> int:
        count = 0
        for at in range(0, len(keys), MAX_HITS):
            where = _is_one_of(keys[at : at + MAX_HITS])
            if there := self._count_where(where):
                self._client.delete(self._name, filter=where, timeout=TIMEOUT_S)
                count += there
        return count

    # --- searching it ---

    def _search(self, queries: Vectors, k: int, row_filter: RowFilter | None, fetch: int = 0) -> Matches:
        """Milvus' nearest, as many as are needed to decide; what stays undecided is searched in parts."""
        if row_filter is not None and not len(row_filter):
            return no_matches(len(queries), k)
        # A filter of more keys than one expression names.
        many = row_filter if row_filter is not None and len(row_filter) > MAX_HITS else None
        where = "" if row_filter is None or many is not None else _is_one_of(row_filter.keys)
        # Of many keys, mostly enough are among the nearest of all. Else one more than wanted is asked for, as equal
        # scores may go on behind the last one and the rule wants the lowest keys.
        fetch = min(fetch or (k + 1 if many is None else FETCH_GROWTH * k), MAX_HITS)
        if k > fetch:
            return self._search_parts(queries, k, many, where)
        found = self._ask(queries, fetch, where)
        last = found.scores[:, -1].copy()  # -inf where Milvus gave fewer, as a graph may: that does not decide
        if many is not None:
            out = ~many.of_these(found.keys)
            found.keys[out], found.scores[out] = -1, -np.inf
            found = merge_matches([found], fetch)
        best = Matches(found.keys[:, :k], found.scores[:, :k])
        rest = np.flatnonzero((best.scores[:, -1] <= last) | np.isneginf(last))
        if len(rest):
            most = MAX_HITS if many is None else FETCH_GROWTH**2 * k  # then asking for these keys alone is quicker
            if fetch < min(most, MAX_HITS) and last[rest].max() > -np.inf:
                decided = self._search(queries[rest], k, row_filter, fetch * FETCH_GROWTH)
            else:
                decided = self._search_parts(queries[rest], k, many, where)
            best.keys[rest], best.scores[rest] = decided.keys, decided.scores
        return best

    def _search_parts(self, queries: Vectors, k: int, many: RowFilter | None, where: str) -> Matches:
        """The best of some keys at a time: of many keys by asking for these alone, else by fetching their vectors."""
        best = no_matches(len(queries), k)
        if many is not None:
            for at in range(0, len(many), MAX_HITS):
                part = self._search(queries, k, RowFilter(many.keys[at : at + MAX_HITS]))
                best = merge_matches([best, part], k)
            return best
        for page in self._pages(["key", "vector"], where):
            vectors = np.array([row["vector"] for row in page], np.float32)
            part = scan(queries, vectors, np.array([row["key"] for row in page]), k)
            best = merge_matches([best, part], k)
        return best

    def _ask(self, asked: Vectors, limit: int, where: str) -> Matches:
        """Milvus' own answer, (q, limit), in our order."""
        answer = no_matches(len(asked), limit)
        step = max(1, MAX_CALL_HITS // limit)
        how = {"anns_field": "vector", "search_params": {"metric_type": "IP"}, "output_fields": ["key"]}
        for at in range(0, len(asked), step):
            some = asked[at : at + step]
            found = self._client.search(self._name, data=some, filter=where, limit=limit, timeout=TIMEOUT_S, **how)
            for row, hits in enumerate(found, start=at):
                answer.keys[row, : len(hits)] = [hit["key"] for hit in hits]
                answer.scores[row, : len(hits)] = [hit["distance"] for hit in hits]
        return merge_matches([answer], limit)

    def _pages(self, fields: list[str], where: str = "") -> Iterator[list[dict[str, Any]]]:
        """Every row that fulfils an expression, a page at a time."""
        pages = self._client.query_iterator(
            self._name, batch_size=CHUNK_ROWS, filter=where, output_fields=fields, timeout=TIMEOUT_S
        )
        try:
            while rows := pages.next():
                yield rows
        finally:
            pages.close()

    def _count_where(self, where: str) -> int:
        found = self._client.query(self._name, filter=where, output_fields=["count(*)"], timeout=TIMEOUT_S)
        return int(found[0]["count(*)"])

    # --- keeping it ---

    def save(self, path: Path | None = None) -> None:
        """Everything is kept already; an embedded one puts what is new in order, so that searches are quick.

        Raises:
            InputError: a file to write to, which there is none of.
        """
        if path is not None:
            raise InputError("An index in Milvus is kept there and is not written to a file.")
        with self._access():
            if self._file is not None:
                self._client.flush(self._name, timeout=TIMEOUT_S)

    def drop(self) -> None:
        """Remove the collection with everything in it, and close."""
        with self._access():
            self._client.drop_collection(self._name, timeout=TIMEOUT_S)
        self.close()

    def close(self) -> None:
        """Let go of the connection, and of a collection that nobody named. Closing twice is fine."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            if not self._is_kept:
                with suppress(MilvusException, grpc.RpcError):
                    client.drop_collection(self._name, timeout=TIMEOUT_S)
            client.close()
            if self._file is not None:
                _release(self._file)
        if self._folder is not None:
            self._folder.cleanup()

    @contextmanager
    def _access(self, *, changes: bool = False) -> Iterator[None]:
        """What the client raises inside leaves as Lapel's errors."""
        del changes  # Milvus itself puts them in order
        self._check_open()
        try:
            if self._is_disconnected:
                self._client.load_collection(self._name, timeout=TIMEOUT_S)
                self._is_disconnected = False
            yield
        except (MilvusException, grpc.RpcError, OSError) as error:
            self._is_disconnected = self._client is not None
            reason = str(getattr(error, "message", "") or error).splitlines()[0]
            if self._file is not None and "Open local milvus failed" in reason:
                reason = "it is open in another process, or its folder may not be written to"
            raise IndexUnavailableError(
                f"The index in Milvus ({self._place}) cannot be used: {reason}. The catalogue is whole; the index"
                " catches up with it when it is next searched and Milvus answers. To search without it: lapel index use"
                " faiss:auto"
            ) from error


def _is_one_of(keys: Keys) -> str:
    """Milvus' expression for these keys."""
    return f"key in [{','.join(map(str, keys.tolist()))}]"


def _release(file: Path) -> None:
    """Stop the embedded Milvus of a file when this process's last index of it is closed, so that another process may
    open it."""
    from milvus_lite.server_manager import server_manager_instance

    with _embedded_lock:
        _embedded[file] -= 1
        if not _embedded[file]:
            server_manager_instance.release_server(str(file))


def _parse(rest: str) -> dict[str, str]:
    """What follows ``milvus:`` -> file or host, port and database, empty for those it does not name; and its options.

    Raises:
        InputError: it is none of the three forms, or has options that there are not.
    """
    if "@" in rest:
        raise InputError(
            "A Milvus spec is kept in the store and shown; set LAPEL_MILVUS_TOKEN to user:password instead."
        )
    where, _, text = rest.partition("?")
    found, options = re.fullmatch(FORMS, where), dict(parse_qsl(text, keep_blank_values=True))
    allowed = {"index": STRUCTURES, "tls": ("yes",) if found and found["host"] else ()}
    if found is None or any(value not in allowed.get(name, ()) for name, value in options.items()):
        raise InputError(
            "A Milvus index is milvus://lite, milvus:///path/to/file.db or milvus://host:port/database, perhaps"
            f" with ?index={'|'.join(STRUCTURES)}&tls=yes; found 'milvus:{rest}'."
        )
    return found.groupdict("") | options
