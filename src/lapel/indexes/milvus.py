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
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from lapel.core.errors import IndexUnavailableError, InputError
from lapel.core.settings import settings
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.base import BaseIndex
from lapel.indexes.files import wrong_width
from lapel.indexes.rows import Mask, RowFilter, merge_matches, no_matches, scan

DEFAULT_PORT = 19530  # Milvus' own
TIMEOUT_S = 30.0  # an answer may take
MAX_HITS = 16_384  # Milvus gives for a query, and keys one expression names
CHUNK_ROWS = 4096  # sent or fetched at once: 2 MB of 128 floats
MAX_CALL_HITS = 131_072  # asked for in one call, over all its queries
FETCH_GROWTH = 8  # times as many hits are asked for when those that came do not decide
VERSION_TAG = "lapel.note"  # the collection's property
STRUCTURES = ("FLAT", "AUTOINDEX")

_embedded: Counter[Path] = Counter()  # how many indexes of this process have a file open
_embedded_lock = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where an index is, as its spec says.

    Attributes:
        file: The embedded database; None in a folder of its own that goes when it is closed, or on a server.
        address: ``host:port`` of a server; empty when embedded.
        database: Of that server; empty for its default one.
        index: Milvus' name of the structure.
        tls: Whether the server is spoken to through TLS.
    """

    file: Path | None
    address: str
    database: str
    index: str
    tls: bool

    @classmethod
    def parse(cls, rest: str, path: Path | None) -> Place:
        """What follows ``milvus:`` -> Place.

        Raises:
            InputError: it is none of the three forms, or has options that there are not.
        """
        if "@" in rest:
            raise InputError(
                "A Milvus spec is kept in the store and shown; set LAPEL_MILVUS_TOKEN to user:password instead."
            )
        wrong = InputError(
            f"A Milvus index is milvus://lite, milvus:///path/to/file.db or milvus://host:port/database, perhaps with"
            f" ?index={'|'.join(STRUCTURES)}&tls=yes; found 'milvus:{rest}'."
        )
        try:
            parts = urlsplit(f"milvus:{rest}")
            host, port = parts.hostname or "", parts.port or DEFAULT_PORT
        except ValueError as error:  # a port that is no number, a bracket that is not closed
            raise wrong from error
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        if set(given) - {"index", "tls"} or given.get("tls", "yes") != "yes" or parts.fragment:
            raise wrong
        embedded = host in ("", "lite")
        index = given.get("index", "FLAT" if embedded else "AUTOINDEX")
        if index not in STRUCTURES or not rest.startswith("//") or (embedded and "tls" in given):
            raise wrong
        if host == "lite" and not parts.path:
            return cls(None if path is None else path.absolute().parent / "milvus.db", "", "", index, False)
        if not host and parts.path.endswith(".db"):
            return cls(Path(parts.path), "", "", index, False)
        if embedded or parts.path.count("/") > 1:
            raise wrong
        return cls(None, f"{host}:{port}", parts.path.strip("/"), index, "tls" in given)

    def __str__(self) -> str:
        return self.address or str(self.file or "in a folder of its own")


class MilvusIndex(BaseIndex):
    """One collection. See :class:`lapel.indexes.VectorIndex` and :class:`lapel.indexes.ExternalIndex`.

    Safe to share between threads. With ``path``, the collection is named after it and stays; without, it goes when the
    index is closed.
    """

    is_external = True

    def __init__(self, rest: str, *, dim: int = 128, path: Path | None = None) -> None:
        super().__init__(dim=dim)
        self._place = Place.parse(rest, path)
        self._is_kept = path is not None
        name = uuid.uuid4().hex if path is None else re.sub(r"\W", "_", path.stem if path.suffix else path.name)
        self._name = f"lapel_{name}"
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._file = self._place.file
        if self._file is None and not self._place.address:
            self._folder = tempfile.TemporaryDirectory(prefix="lapel-milvus-")
            self._file = Path(self._folder.name) / "milvus.db"
        self._client: Any = None
        self._is_disconnected = False  # after a restart an embedded Milvus must load the collection again
        try:
            with self._connected():
                self._client = self._connect()
                self._open()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> Any:
        for library in ("pymilvus", "milvus_lite"):  # they print every failed call with its stack; here it is an error
            logging.getLogger(library).setLevel(logging.CRITICAL)
        token = settings().milvus_token.get_secret_value()
        if self._file is None:
            scheme = "https" if self._place.tls else "http"
            # A server that is back is found again within two seconds; gRPC would wait up to two minutes.
            back = {"grpc.max_reconnect_backoff_ms": 2000}
            uri, database = f"{scheme}://{self._place.address}", self._place.database
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
            how.add_index("vector", index_type=self._place.index, metric_type="IP")
            # Loading waits for it; waiting for it here takes half a second more.
            self._client.create_index(self._name, how, timeout=TIMEOUT_S, sync=False)
        about = self._client.describe_collection(self._name, timeout=TIMEOUT_S)
        found = next(int(field["params"]["dim"]) for field in about["fields"] if field["name"] == "vector")
        if found != self._dim:
            raise wrong_width(f"{self._name} in Milvus ({self._place})", found, self._dim)
        self._client.load_collection(self._name, timeout=TIMEOUT_S)

    # --- what it holds ---

    def _sorted_keys(self) -> Keys:
        found = [[row["key"] for row in rows] for rows in self._pages(["key"], MAX_HITS)]
        return np.sort(np.array([key for keys in found for key in keys], np.int64))

    def _count(self) -> int:
        return self._count_where("")

    def get_version_tag(self) -> str:
        """What was last written into it; empty at first."""
        with self._connected():
            properties = self._client.describe_collection(self._name, timeout=TIMEOUT_S).get("properties", {})
            return str(properties.get(VERSION_TAG, ""))

    def set_version_tag(self, text: str) -> None:
        """Keep another text."""
        with self._connected():
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

    def _search(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        wanted = None if row_filter is None else row_filter.keys
        if not len(queries) or (wanted is not None and not len(wanted)):
            return no_matches(len(queries), k)
        if wanted is None or len(wanted) <= MAX_HITS:
            return self._best(queries, k, wanted)
        return self._best_of_many(queries, k, wanted)

    def _best_of_many(self, asked: Vectors, k: int, wanted: Keys) -> Matches:
        """The k best among more keys than one expression names.

        Mostly enough of them are among the nearest of all; for queries where they are not, the keys are asked for in
        pages.
        """
        best, decided = self._nearest(asked, k, "", wanted)
        rest = np.flatnonzero(~decided)
        if len(rest):
            pages = [self._best(asked[rest], k, wanted[at : at + MAX_HITS]) for at in range(0, len(wanted), MAX_HITS)]
            found = merge_matches(pages, k)
            best.keys[rest], best.scores[rest] = found.keys, found.scores
        return best

    def _best(self, asked: Vectors, k: int, wanted: Keys | None) -> Matches:
        """The k best of all, or among at most ``MAX_HITS`` keys."""
        best, decided = self._nearest(asked, k, "" if wanted is None else _is_one_of(wanted), None)
        rest = np.flatnonzero(~decided)
        if len(rest):
            found = self._scan(asked[rest], k, wanted)
            best.keys[rest], best.scores[rest] = found.keys, found.scores
        return best

    def _nearest(self, asked: Vectors, k: int, where: str, wanted: Keys | None) -> tuple[Matches, Mask]:
        """Ask for the k nearest that fulfil ``where`` and are ``wanted``, for ever more until that is decided.

        Returns:
            (q, k), and for each query whether it was decided: not when more than ``MAX_HITS`` hits would be needed, or
            when Milvus gave fewer than there are.
        """
        best = no_matches(len(asked), k)
        decided = np.zeros(len(asked), bool)
        # One more than wanted, as equal scores may go on behind the last one and the rule wants the lowest keys.
        fetch = k + 1 if wanted is None else FETCH_GROWTH * k
        there = -1
        while not decided.all():
            rows = np.flatnonzero(~decided)
            fetch = min(fetch, MAX_HITS)
            found = self._ask(asked[rows], fetch, where)
            came, last = (found.keys >= 0).sum(axis=1), found.scores[:, -1]
            if wanted is not None:
                found = _only(found, wanted)
            decides = found.scores[:, k - 1] > last if k <= fetch else np.zeros(len(rows), bool)
            if (came < fetch).any():  # are these all there are?
                there = self._count_where(where) if there < 0 else there
                decides |= came == there
            best.keys[rows[decides], : min(k, fetch)] = found.keys[decides, :k]
            best.scores[rows[decides], : min(k, fetch)] = found.scores[decides, :k]
            decided[rows[decides]] = True
            if fetch == MAX_HITS:
                break
            fetch *= FETCH_GROWTH
        return best, decided

    def _ask(self, asked: Vectors, limit: int, where: str) -> Matches:
        """Milvus' own answer, (q, limit), in our order."""
        answer = no_matches(len(asked), limit)
        step = max(1, MAX_CALL_HITS // limit)
        for at in range(0, len(asked), step):
            found = self._client.search(
                self._name,
                data=asked[at : at + step],
                anns_field="vector",
                filter=where,
                limit=limit,
                output_fields=["key"],
                search_params={"metric_type": "IP"},
                timeout=TIMEOUT_S,
            )
            for row, hits in enumerate(found, start=at):
                answer.keys[row, : len(hits)] = [hit["key"] for hit in hits]
                answer.scores[row, : len(hits)] = [hit["distance"] for hit in hits]
        return merge_matches([answer], limit)

    def _scan(self, asked: Vectors, k: int, wanted: Keys | None) -> Matches:
        """The exact k best, by fetching the vectors themselves, a piece at a time."""
        best = no_matches(len(asked), k)
        if wanted is None:
            pieces = (self._columns(rows) for rows in self._pages(["key", "vector"], CHUNK_ROWS))
        else:
            pieces = (self._fetch(wanted[at : at + CHUNK_ROWS]) for at in range(0, len(wanted), CHUNK_ROWS))
        for keys, vectors in pieces:
            best = merge_matches([best, scan(asked, vectors, keys, k)], k)
        return best

    def _pages(self, fields: list[str], size: int) -> Iterator[list[dict[str, Any]]]:
        """Every row, a page at a time."""
        pages = self._client.query_iterator(self._name, batch_size=size, output_fields=fields, timeout=TIMEOUT_S)
        try:
            while rows := pages.next():
                yield rows
        finally:
            pages.close()

    def _fetch(self, keys: Keys) -> tuple[Keys, Vectors]:
        """The keys among these that are there, sorted, with their vectors."""
        return self._columns(
            self._client.query(self._name, filter=_is_one_of(keys), output_fields=["key", "vector"], timeout=TIMEOUT_S)
        )

    def _columns(self, rows: list[dict[str, Any]]) -> tuple[Keys, Vectors]:
        keys = np.array([row["key"] for row in rows], np.int64)
        vectors = np.array([row["vector"] for row in rows], np.float32).reshape(len(rows), self._dim)
        order = np.argsort(keys)
        return keys[order], vectors[order]

    def _count_where(self, where: str) -> int:
        found = self._client.query(self._name, filter=where, output_fields=["count(*)"], timeout=TIMEOUT_S)
        return int(found[0]["count(*)"])

    # --- keeping it ---

    def save(self, path: Path | None = None) -> None:
        """Nothing needs it: everything is kept already.

        An embedded one puts what is new in order, so that searches are quick.

        Raises:
            InputError: a file to write to, which there is none of.
        """
        if path is not None:
            raise InputError("An index in Milvus is kept there and is not written to a file.")
        with self._connected():
            if self._file is not None:
                self._client.flush(self._name, timeout=TIMEOUT_S)

    def drop(self) -> None:
        """Remove the collection with everything in it, and close."""
        with self._connected():
            self._client.drop_collection(self._name, timeout=TIMEOUT_S)
        self.close()

    def close(self) -> None:
        """Let go of the connection, and of a collection that nobody named. Closing twice is fine."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            with suppress(MilvusException, grpc.RpcError):
                if not self._is_kept and self._folder is None:
                    client.drop_collection(self._name, timeout=TIMEOUT_S)
            client.close()
            if self._file is not None:
                _release(self._file)
        if self._folder is not None:
            self._folder.cleanup()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """What the client raises inside leaves as Lapel's errors."""
        self._check_open()
        try:
            if self._is_disconnected:
                self._client.load_collection(self._name, timeout=TIMEOUT_S)
                self._is_disconnected = False
            yield
        except (MilvusException, grpc.RpcError, OSError) as error:
            self._is_disconnected = self._client is not None
            raise self._unavailable(error) from error

    _reading = _changing = _connected

    def _unavailable(self, error: Exception) -> IndexUnavailableError:
        reason = str(getattr(error, "message", "") or error).splitlines()[0]
        if self._file is not None and "Open local milvus failed" in reason:
            reason = "it is open in another process, or its folder may not be written to"
        return IndexUnavailableError(
            f"The index in Milvus ({self._place}) cannot be used: {reason}. The catalogue is whole; the index catches"
            f" up"
            " with it when it is next searched and Milvus answers. To search without it: lapel index use faiss:auto"
        )


def _is_one_of(keys: Keys) -> str:
    """Milvus' expression for these keys."""
    return f"key in [{','.join(map(str, keys.tolist()))}]"


def _only(found: Matches, wanted: Keys) -> Matches:
    """The same without hits that are not wanted, the others moved up."""
    out = ~np.isin(found.keys, wanted)
    scores = np.where(out, -np.inf, found.scores).astype(np.float32)
    return merge_matches([Matches(np.where(out, -1, found.keys), scores)], scores.shape[1])


def _release(file: Path) -> None:
    """Stop the embedded Milvus of a file when this process's last index of it is closed, so that another process may
    open it."""
    from milvus_lite.server_manager import server_manager_instance

    with _embedded_lock:
        _embedded[file] -= 1
        if not _embedded[file]:
            del _embedded[file]
            server_manager_instance.release_server(str(file))
