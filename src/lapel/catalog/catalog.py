"""The catalogue: every product, photo, vector and setting of a shop, in one SQLite file that is the only truth.

Questions go in as values (keys, ids, a :class:`~lapel.core.types.Filter`), values come out. Every writing method is one
transaction; any number of threads and processes may read while one writes.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import facets, lookup, models, writing
from lapel.catalog import words as full_text
from lapel.catalog.columns import ProductColumns, product_columns
from lapel.catalog.connection import Pool, make_file
from lapel.catalog.entries import (
    PHOTOS,
    PRODUCT_COLUMNS,
    Change,
    Counts,
    Entry,
    IndexDelta,
    ModelEntry,
    PhotoFacets,
    StoredProduct,
    from_row,
    to_photo,
)
from lapel.catalog.entry_cache import EntryCache
from lapel.catalog.features import FeatureTable
from lapel.catalog.filters import field_names, where_clause
from lapel.catalog.history import ChangeFeed, Clock, PricePoint, latest_sequence, price_points, utc_now, utc_text
from lapel.catalog.hosting import Hosting
from lapel.catalog.jobs import JobTable, ReplayTable
from lapel.catalog.keys import KeyTable
from lapel.catalog.matching import PhotoRows, matching_rows
from lapel.catalog.rules import RuleTable
from lapel.catalog.schema import migrate
from lapel.catalog.visibility import DELISTED, HIDDEN, NOT_SHOWN, SHOWN, Visibility
from lapel.core.errors import QueryError, StoreError
from lapel.core.types import Filter, Photo, Product
from lapel.core.vectors import Keys, Vectors, check_keys

EVERYTHING = Filter()  # no condition


class Catalog:
    """One catalogue file. Open it with :meth:`open`; safe to share between threads."""

    def __init__(self, pool: Pool, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._clock = clock
        self._entries = EntryCache()
        self._photo_rows = PhotoRows()

    @classmethod
    def open(
        cls, path: str | Path, *, create: bool = False, read_only: bool = False, clock: Clock = utc_now
    ) -> Catalog:
        """Open a catalogue file.

        Args:
            path: The file.
            create: Make it, and its folder, when there is none.
            read_only: Never write; without it, a file that cannot be written to is still opened for reading.
            clock: The time, for what is written.

        Raises:
            StoreNotFoundError: there is none, and ``create`` is false.
            StoreDamagedError: the file is no catalogue, or is broken.
            StoreTooNewError: a newer Lapel wrote it.
            StoreReadOnlyError: it must be made or brought to a newer version, and may not be written to.
            StoreBusyError: another process is making it.
        """
        path = Path(path)
        made = make_file(path, create=create and not read_only)
        pool = Pool(path, read_only=read_only)
        try:
            with pool.errors():
                pool.start()
            made = False
            with pool.borrow() as database:
                migrate(database, path, create=create, read_only=pool.read_only)
                if not pool.read_only and database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    # Kept in the file from the first time on; readers then never wait for the writer.
                    database.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            pool.close()
            if made:  # an empty file that SQLite cannot open is of no use
                path.unlink(missing_ok=True)
            raise
        return cls(pool, clock)

    @property
    def path(self) -> Path:
        """The file."""
        return self._pool.path

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading only, by wish or because nothing else was possible."""
        return self._pool.read_only

    @property
    def visibility(self) -> Visibility:
        """Which products are shown, and changing that."""
        return Visibility(self._pool)

    @property
    def hosting(self) -> Hosting:
        """Where the photos are, and changing that."""
        return Hosting(self._pool, self._clock)

    @property
    def feed(self) -> ChangeFeed:
        """What changed, in order, and how far its readers have come."""
        return ChangeFeed(self._pool, self._clock)

    @property
    def keys(self) -> KeyTable:
        """Who may ask over HTTP."""
        return KeyTable(self._pool, self._clock)

    @property
    def rules(self) -> RuleTable:
        """What the shop wants of its answers."""
        return RuleTable(self._pool, self._clock)

    @property
    def jobs(self) -> JobTable:
        """Work that goes on after its answer."""
        return JobTable(self._pool, self._clock)

    @property
    def replays(self) -> ReplayTable:
        """Answers that a repeated request gets again."""
        return ReplayTable(self._pool)

    @property
    def features(self) -> FeatureTable:
        """What was derived from each photo beside its vector."""
        return FeatureTable(self._pool)

    def close(self) -> None:
        """Let go of the file. Closing twice is fine."""
        self._pool.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- settings -----------------------------------------------------------------------------------------------------

    def setting(self, name: str) -> str | None:
        """One setting, or None."""
        with self._pool.borrow() as database:
            row = database.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def settings(self) -> dict[str, str]:
        """Every setting, all as of one moment."""
        with self._pool.borrow() as database:
            return models.settings(database)

    def set_setting(self, name: str, value: str) -> None:
        """Keep one setting. Settings are not products: the generation stays."""
        if name == "generation":
            raise StoreError("The generation counts changes and is not set by hand.")
        with self._pool.transaction() as database:
            models.keep(database, {name: value})

    @property
    def generation(self) -> int:
        """How many transactions changed products, photos, or which vectors are searched.

        An index made at this number is complete.
        """
        return int(self.setting("generation") or 0)

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, entries: Sequence[Entry], *, fingerprint: str) -> Change:
        """Insert or update products with their photos and vectors: all of them, or none.

        A product's stored photos that its entry does not list are removed. A photo whose bytes changed gets a new key.

        Args:
            entries: Products, each id once.
            fingerprint: The model that made the vectors.

        Raises:
            InputError: an id or a photo twice, or a new photo without a vector.
            StoreBusyError, StoreReadOnlyError: nothing was written.
        """
        with self._pool.transaction() as database:
            return writing.put(database, entries, fingerprint, at=self._now())

    def remove(self, product_ids: Iterable[str]) -> tuple[int, Keys]:
        """Remove products; unknown ids are ignored. Returns how many were there, and the keys of their photos."""
        with self._pool.transaction() as database:
            count, change = writing.take_out(database, product_ids, at=self._now())
        return count, change.removed

    def copy_to(self, path: Path, *, pages: int) -> None:
        """Copy the catalogue as it is at this moment into a new file, so many pages a step; others go on writing."""
        with self._pool.snapshot() as database, closing(sqlite3.connect(path)) as copy:
            database.execute("SELECT 1 FROM setting").fetchone()  # the moment begins: later writes are not seen
            database.backup(copy, pages=pages)

    def _now(self) -> str:
        return utc_text(self._clock())

    # --- one thing ----------------------------------------------------------------------------------------------------

    def product(self, product_id: str) -> Product:
        """One product.

        Raises:
            QueryError: there is none of this id.
        """
        with self._pool.borrow() as database:
            row = database.execute(f"SELECT {PRODUCT_COLUMNS} FROM product WHERE id = ?", (product_id,)).fetchone()
            if row is None:
                some = [text for (text,) in database.execute("SELECT id FROM product ORDER BY row LIMIT 3")]
        if row is None:
            found = f"Its ids look like {', '.join(some)}." if some else "It is empty; fill it with: lapel add"
            raise QueryError(f"The catalogue has no product '{product_id}'. {found}", product_id=product_id)
        return from_row(row)

    def photos(self, product_id: str) -> tuple[Photo, ...]:
        """A product's photos in their order; none when there is no such product."""
        with self._pool.borrow() as database:
            asked = f"{PHOTOS} WHERE product.id = ? ORDER BY position, key"
            return tuple(to_photo(row) for row in database.execute(asked, (product_id,)))

    def photo_of(self, sha256: str) -> Photo | None:
        """A photo whose bytes have this hash, hex; None where there is none."""
        with self._pool.borrow() as database:
            row = database.execute(f"{PHOTOS} WHERE sha256 = ? LIMIT 1", (sha256,)).fetchone()
        return None if row is None else to_photo(row)

    def times(self, product_id: str) -> tuple[str, str]:
        """When a product came and when it last changed, UTC; empty where it was so before the catalogue kept times."""
        asked = "SELECT added_at, changed_at FROM product WHERE id = ?"
        with self._pool.borrow() as database:
            added_at, changed_at = database.execute(asked, (product_id,)).fetchone() or ("", "")
        return str(added_at), str(changed_at)

    def added_at(self) -> dict[str, str]:
        """When each product came, UTC, by its id; without those that came before the catalogue kept times."""
        with self._pool.borrow() as database:
            return dict(database.execute("SELECT id, added_at FROM product WHERE added_at <> ''"))

    def price_history(self, product_id: str) -> tuple[PricePoint, ...]:
        """What a product has cost and whether it could be bought, the oldest first: a point when it came and one for
        each change. They go with their product; there are none when there is no such product."""
        with self._pool.borrow() as database:
            return price_points(database, product_id)

    def entries(self, keys: Keys | Sequence[int]) -> dict[int, tuple[Product, Photo]]:
        """The product and photo of each key in their order; keys that are gone are left out.

        Products that were read before are shared between answers: their attributes are not to be changed.
        """
        wanted: list[int] = check_keys(np.asarray(keys, np.int64)).tolist()
        with self._pool.snapshot() as database:
            return self._entries.get(database, wanted)

    def latest_change(self) -> int:
        """The number of the newest change of any product or photo; 0 when nothing ever changed."""
        with self._pool.borrow() as database:
            return latest_sequence(database)

    def stored(self, product_ids: Sequence[str], *, fingerprint: str) -> dict[str, StoredProduct]:
        """What is known of these products, for deciding what work is left; unknown ids are left out."""
        with self._pool.snapshot() as database:
            return lookup.stored(database, json.dumps(list(product_ids)), fingerprint)

    def existing(self, product_ids: Iterable[str]) -> set[str]:
        """Those of these ids that a product has."""
        asked = "SELECT product.id FROM json_each(?) AS wanted JOIN product ON product.id = wanted.value"
        with self._pool.borrow() as database:
            return {name for (name,) in database.execute(asked, (json.dumps(list(product_ids)),))}

    # --- vectors ------------------------------------------------------------------------------------------------------

    def vectors(self, fingerprint: str, *, batch: int = 8192) -> Iterator[tuple[Keys, Vectors]]:
        """Every vector of a model by rising key, as of one moment, in pieces of (n,) keys and (n, dim) float32.

        Raises:
            StoreDamagedError: vectors of different width.
        """
        with self._pool.snapshot() as database:
            yield from models.pieces(database, fingerprint, batch)

    @contextmanager
    def searched(self) -> Iterator[tuple[dict[str, str], Iterator[tuple[Keys, Vectors]]]]:
        """The settings and every vector of the model they name, as :meth:`vectors` gives them: both as of one
        moment."""
        with self._pool.snapshot() as database:
            own = models.settings(database)
            yield own, models.pieces(database, own.get("fingerprint", ""), 8192)

    def changes_since(self, since: int) -> IndexDelta | None:
        """What changed among the vectors of the model that is searched after a generation; None when that is no longer
        known."""
        with self._pool.snapshot() as database:
            return models.delta(database, since)

    def vector_keys(self, fingerprint: str) -> Keys:
        """The keys of every vector of a model, (n,) int64, sorted."""
        asked = "SELECT key FROM vector WHERE model = (SELECT id FROM model WHERE fingerprint = ?) ORDER BY key"
        with self._pool.borrow() as database:
            return np.fromiter((key for (key,) in database.execute(asked, (fingerprint,))), np.int64)

    def vector_of(self, keys: Keys | Sequence[int], *, fingerprint: str) -> Vectors:
        """The vectors of a model for these keys in this order, (n, dim) float32; keys without one are left out."""
        return self.vectors_there(keys, fingerprint=fingerprint)[1]

    def vectors_there(self, keys: Keys | Sequence[int], *, fingerprint: str) -> tuple[NDArray[np.bool_], Vectors]:
        """Which of these keys have a vector of a model, (n,), and those vectors in the keys' order, (m, dim) float32.

        Photos come and go: what an index found a moment ago may have none any more.
        """
        asked = (
            "SELECT wanted.key, data FROM json_each(?) AS wanted JOIN vector ON vector.key = wanted.value"
            " AND vector.model = (SELECT id FROM model WHERE fingerprint = ?) ORDER BY wanted.key"
        )
        there = np.zeros(len(keys), bool)
        with self._pool.borrow() as database:
            found = database.execute(asked, (_json(keys), fingerprint)).fetchall()
            there[[place for place, _ in found]] = True
            return there, models.matrix(database, [data for _, data in found])

    def vectors_of_products(
        self, product_ids: Sequence[str], *, fingerprint: str
    ) -> tuple[dict[str, list[int]], Vectors]:
        """The vectors of a model for the photos of several products, those of one product after the other.

        Returns:
            The keys of each product's photos, in their order, and (n, dim) float32; what has no vector is left out.
        """
        with self._pool.borrow() as database:
            return models.vectors_of_products(database, json.dumps(list(product_ids)), fingerprint)

    # --- models -------------------------------------------------------------------------------------------------------

    def models(self) -> list[tuple[ModelEntry, int]]:
        """Every model that is known here, the oldest first, with how many photos have its vector."""
        with self._pool.snapshot() as database:
            return models.known(database)

    def claim(self, model: ModelEntry, **settings: str) -> None:
        """Make a model the one of a store that has none yet, together with other settings."""
        with self._pool.transaction() as database:
            if not models.settings(database).get("fingerprint"):
                models.register(database, model)
                models.keep(database, {**settings, **models.as_settings(model)})

    def repair_models(self, repair: Callable[[str, str], tuple[str, str]]) -> None:
        """Keep for each model, and for the store's own, the encoder and the fingerprint that ``repair`` makes of those
        kept. Vectors stay with their model."""
        with self._pool.borrow() as database:
            wrong = models.wrong_models(database, repair)
        if wrong:
            with self._pool.transaction() as database:
                for fingerprint, right in wrong:
                    models.set_model(database, fingerprint, *right)

    def photos_without(self, fingerprint: str, *, after: int = 0, limit: int = 1024) -> list[Photo]:
        """Photos that have no vector of a model, by rising key, only those with keys above ``after``."""
        with self._pool.borrow() as database:
            return models.photos_without(database, fingerprint, after, limit)

    def put_vectors(self, model: ModelEntry, keys: Keys, vectors: Vectors) -> None:
        """Keep vectors of stored photos: (n,) keys with (n, dim) vectors. Photos that are gone by now are passed over.

        Vectors of a model that is not the store's do not change the generation: nobody searches them.
        """
        with self._pool.transaction() as database:
            models.put_vectors(database, model, check_keys(keys, len(vectors)), vectors, at=self._now())

    def activate(self, model: ModelEntry, *, missing: Keys) -> bool:
        """Make a model the store's own, remember the former one as the previous, and raise the generation: all in one
        transaction.

        Args:
            model: The model whose vectors will be searched.
            missing: Keys of photos that may be without its vector.

        Returns:
            Whether it was done. False when other photos have no vector of it: nothing was changed.
        """
        with self._pool.transaction() as database:
            return models.activate(database, model, set(missing.tolist()), at=self._now())

    def forget(self, fingerprints: Iterable[str]) -> int:
        """Drop models with all their vectors, never the store's own. Returns how many vectors there were."""
        with self._pool.transaction() as database:
            return models.forget(database, fingerprints)

    # --- many things --------------------------------------------------------------------------------------------------

    def matching_keys(self, where: Filter) -> Keys:
        """The keys of all photos whose product fulfils every condition, (n,) int64, sorted.

        ``category=`` takes a whole path, the beginning of one (``Apparel > Topwear``) or one level's name
        (``Topwear``); ``price`` compares major units; attributes compare as texts without regard to case, or as numbers
        with ``<`` and ``>``. ``!=`` also allows products that lack the field.

        Raises:
            QueryError: an unknown field (the message lists those there are), or a range over texts.
        """
        with self._pool.snapshot() as database:
            return self._photo_rows.keys_of(database, matching_rows(database, where))

    def matching(self, where: Filter) -> tuple[NDArray[np.int64], Keys]:
        """The rows of the products that are shown and fulfil every condition, and the keys of their photos, both
        sorted.

        Raises:
            QueryError: as :meth:`matching_keys`.
        """
        with self._pool.snapshot() as database:
            rows = matching_rows(database, where)
            return rows, self._photo_rows.keys_of(database, rows)

    def products(self, where: Filter = EVERYTHING, *, limit: int = 100, offset: int = 0) -> list[Product]:
        """Products that fulfil every condition and are shown, in the order they were first added."""
        with self._pool.snapshot() as database:
            clause, parameters = where_clause(database, where)
            asked = f"SELECT {PRODUCT_COLUMNS} FROM product WHERE {clause} ORDER BY row LIMIT ? OFFSET ?"
            return [from_row(row) for row in database.execute(asked, (*parameters, limit, offset))]

    def search_words(
        self, words: str, where: Filter = EVERYTHING, *, limit: int = 100, offset: int = 0
    ) -> tuple[list[Product], int]:
        """Products that are shown, fulfil every condition and hold every word, and how many there are in all.

        Whole words count, in any text of a product, without regard to case and accents; a product of exactly this id
        comes first, then what BM25 ranks best. Any text will do: signs are no words, and without words all products
        come in the order they were first added.

        Raises:
            QueryError: as :meth:`matching_keys`.
        """
        with self._pool.snapshot() as database:
            return full_text.search(database, words, where, limit, offset)

    def vocabulary(self) -> dict[str, int]:
        """Every word of the products' texts, without case and accents, with how many products hold it."""
        with self._pool.borrow() as database:
            return full_text.vocabulary(database)

    def rows_of_words(self, words: Sequence[str]) -> list[int]:
        """The numbers of the products, shown or not, that hold these words in a row."""
        with self._pool.borrow() as database:
            return full_text.rows_of(database, words)

    def last_row(self) -> int:
        """The highest number of a product; 0 where there is none."""
        with self._pool.borrow() as database:
            return int(database.execute("SELECT coalesce(max(row), 0) FROM product").fetchone()[0])

    def ranked_by_words(
        self, groups: Sequence[Sequence[Sequence[str]]], where: Filter = EVERYTHING, *, limit: int = 100
    ) -> list[tuple[str, float]]:
        """The ids of products that are shown, fulfil ``where`` and hold one spelling of every group, each spelling one
        or several words in a row, with their BM25, the best first.

        Raises:
            QueryError: as :meth:`matching_keys`.
        """
        with self._pool.snapshot() as database:
            return full_text.ranked(database, groups, where, limit)

    def photo_hashes(self, keys: Keys | Sequence[int]) -> Iterator[tuple[int, str]]:
        """The place among these keys, and the SHA-256, hex, of each photo that is there."""
        asked = "SELECT wanted.key, sha256 FROM json_each(?) AS wanted JOIN photo ON photo.key = wanted.value"
        with self._pool.borrow() as database:
            yield from database.execute(asked, (_json(keys),)).fetchall()

    def photos_by_hash(self, hashes: Iterable[str]) -> dict[str, list[int]]:
        """The keys of the photos whose bytes have one of these SHA-256, hex, rising."""
        asked = (
            "SELECT sha256, photo.key FROM json_each(?) AS wanted CROSS JOIN photo ON sha256 = wanted.value"
            " ORDER BY photo.key"
        )
        keys: dict[str, list[int]] = defaultdict(list)
        with self._pool.borrow() as database:
            for sha256, key in database.execute(asked, (json.dumps(list(hashes)),)):
                keys[sha256].append(key)
        return keys

    def repeated_photos(self) -> list[str]:
        """The SHA-256, hex, of bytes that more than one photo has."""
        asked = "SELECT sha256 FROM photo GROUP BY sha256 HAVING count(*) > 1 ORDER BY min(key)"
        with self._pool.borrow() as database:
            return [sha256 for (sha256,) in database.execute(asked)]

    def first_photos(self, product_ids: Sequence[str]) -> Keys:
        """The key of each product's first photo that can be reached, (n,) int64, in their order; those without are left
        out."""
        with self._pool.borrow() as database:
            return lookup.first_photos(database, json.dumps(list(product_ids)))

    def count(self, where: Filter = EVERYTHING) -> int:
        """How many products fulfil every condition and are shown."""
        with self._pool.snapshot() as database:
            if where:
                return len(matching_rows(database, where))
            asked = f"SELECT (SELECT count(*) FROM product) - (SELECT count(*) FROM ({NOT_SHOWN}))"
            return int(database.execute(asked).fetchone()[0])

    def field_names(self) -> list[str]:
        """Every name a filter can use: the fields, then the attributes that some product has."""
        with self._pool.borrow() as database:
            return field_names(database)

    def value_counts(self, most: int) -> dict[str, int]:
        """By field and attribute how many different values there are, counted up to ``most``: ids have many, kinds have
        few."""
        with self._pool.snapshot() as database:
            return facets.value_counts(database, most)

    def facet_values(self, name: str, *, where: Filter = EVERYTHING, limit: int = 100) -> list[tuple[str, int]]:
        """The most frequent values of a field, with how many products that fulfil ``where`` have them.

        A category counts at each of its levels. Values longer than 120 characters are shortened.

        Raises:
            QueryError: an unknown field; or ``price``, which has a range instead.
        """
        with self._pool.snapshot() as database:
            return facets.facet_values(database, name, where, limit)

    def facet_links(self, name: str) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
        """The values of a field, and which product has which: (n,) products' numbers and (n,) places among the values.

        Raises:
            QueryError: an unknown field.
        """
        with self._pool.snapshot() as database:
            return facets.facet_links(database, name)

    def prices(self) -> list[tuple[int, str, float]]:
        """The number, currency and price in major units of every product that is shown and has one, by currency and
        price."""
        with self._pool.snapshot() as database:
            return facets.prices(database)

    def matching_rows(self, where: Filter = EVERYTHING) -> NDArray[np.int64]:
        """The numbers of the products that are shown and fulfil every condition.

        Raises:
            QueryError: as :meth:`matching_keys`.
        """
        with self._pool.snapshot() as database:
            return matching_rows(database, where)

    def price_ranges(self) -> dict[str, tuple[float, float]]:
        """By currency the lowest and the highest price of what is shown, in major units; the commonest currency
        first."""
        with self._pool.snapshot() as database:
            return facets.price_ranges(database)

    def shared_photo_products(self) -> int:
        """How many products that are shown hold a photo file which a newer product holds too."""
        shared = "SELECT min(product_row) AS old FROM photo GROUP BY uri HAVING count(DISTINCT product_row) > 1"
        asked = f"SELECT count(DISTINCT old) FROM ({shared}) JOIN product ON product.row = old WHERE {SHOWN}"
        with self._pool.borrow() as database:
            return int(database.execute(asked).fetchone()[0])

    def counts(self) -> Counts:
        """How many products, photos and vectors there are."""
        with self._pool.snapshot() as database:
            tables = ("product", "photo", f"({DELISTED})", f"({NOT_SHOWN})", f"({HIDDEN})")
            products, photos, delisted, not_shown, hidden = (
                int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in tables
            )
            asked = "SELECT fingerprint, (SELECT count(*) FROM vector WHERE model = model.id) FROM model"
            vectors = {fingerprint: count for fingerprint, count in database.execute(asked) if count}
        return Counts(products - not_shown, photos, vectors, delisted, not_shown - delisted, hidden)

    def photo_facets(self, names: Sequence[str], where: Filter = EVERYTHING) -> PhotoFacets:
        """Every photo whose product fulfils ``where``, with the named fields: what evaluation reads.

        Raises:
            QueryError: an unknown field, or ``price``.
        """
        with self._pool.snapshot() as database:
            return facets.photo_facets(database, names, where)

    def photo_columns(self) -> tuple[Keys, NDArray[np.int64], dict[str, list[str]]]:
        """Each photo's key, (n,) int64, rising, and its product's number, (n,) int64, ``colour``, ``category`` and
        ``gender``, n texts."""
        with self._pool.snapshot() as database:
            return facets.photo_columns(database)

    def product_columns(self, fingerprint: str) -> list[ProductColumns]:
        """Every product with its first photo that has a vector of a model, by the product's number."""
        with self._pool.snapshot() as database:
            return product_columns(database, fingerprint)

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file; empty when it is sound. Reads all of it."""
        with self._pool.borrow() as database:
            found = [text for (text,) in database.execute("PRAGMA integrity_check")]
            found += [
                f"{table} row {row} has no {parent}"
                for table, row, parent, _ in database.execute("PRAGMA foreign_key_check")
            ]
        return [text for text in found if text != "ok"]


def _json(keys: Keys | Sequence[int]) -> str:
    return json.dumps(check_keys(np.asarray(keys, np.int64)).tolist())
