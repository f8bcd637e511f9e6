"""Single products, and bulks of them: put, changed and taken out by requests. ``store.products``.

A feed is added with ``store.add``; here whoever asks holds the products and their pictures in hand.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeVar

from lapel.catalog import Entry, PhotoEntry, request_lock, writer_lock
from lapel.core.errors import InputError, LapelError, ProductError, StoreBusyError
from lapel.core.text import shortened
from lapel.core.types import Product
from lapel.engine.context import StoreContext
from lapel.engine.ingest import ingest
from lapel.service.browsing import ProductDetails, details
from lapel.service.results import details_json
from lapel.service.uploads import let_go, own_pictures
from lapel.sources.mixed import MixedSource
from lapel.sources.names import as_link
from lapel.sources.table import TableRow
from lapel.sources.uploads import FOLDER, UploadSource

PATIENCE_SECONDS = 5.0  # that a request waits for a run that adds products
LINK_SCHEMES = ("https", "http")

Result = TypeVar("Result")
State = Literal["added", "updated", "unchanged", "rejected"]


class ChangedError(InputError):
    """The product is no longer what the request takes it for."""

    code = "product_changed"


@dataclass(frozen=True)
class ProductPut:
    """A product as it shall be from now on.

    Attributes:
        product: Its fields.
        pictures: What it is shown by, best first: links, and names of ``files``; None keeps those that are stored.
        files: Bytes of image files, by name.
    """

    product: Product
    pictures: tuple[str, ...] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name in self.pictures or ():
            if name not in self.files and not (as_link(name) or "").startswith(LINK_SCHEMES):
                raise ProductError(
                    f"The picture '{shortened(name)}' of the product '{self.product.id}' is no http or https link, no"
                    " data: address, and no file that was sent along."
                )


@dataclass(frozen=True)
class PutResult:
    """What became of one product.

    Attributes:
        id: Which.
        state: ``added``, ``updated``, ``unchanged`` or ``rejected``.
        problems: Why it was rejected, or which of its pictures were left out and why.
    """

    id: str
    state: State
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"id": self.id, "status": self.state, "problems": list(self.problems)}


class ProductService:
    """Changes products of one store. Safe to share between threads."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._lock = Lock()

    def put(self, wanted: ProductPut, *, expect: str | None = None) -> PutResult:
        """Add a product, or replace it.

        Args:
            wanted: What it shall be.
            expect: The :func:`version` that it must have now; ``*`` for any, that it must be there at all.

        Raises:
            ChangedError: it has another.
            StoreBusyError: a run is adding products; nothing was changed.
        """
        with self._alone():
            self._check(wanted.product.id, expect)
            return self._put([wanted])[0]

    def patch(
        self,
        product_id: str,
        change: Callable[[Product], Product],
        *,
        pictures: tuple[str, ...] | None = None,
        files: Mapping[str, bytes] | None = None,
        expect: str | None = None,
    ) -> PutResult:
        """Change some fields of a product that is there.

        Args:
            product_id: Which.
            change: Its fields now -> what they shall be.
            pictures: See :class:`ProductPut`.
            files: See :class:`ProductPut`.
            expect: See :meth:`put`.

        Raises:
            QueryError: there is none of this id.
        """
        with self._alone():
            now = self._context.catalog.product(product_id)
            self._check(product_id, expect)
            return self._put([ProductPut(change(now), pictures, files or {})])[0]

    def put_many(self, wanted: Sequence[ProductPut | LapelError]) -> list[PutResult]:
        """Add or replace several; each is told apart, and one that cannot be used never stops the others.

        Args:
            wanted: Products; errors stand for rows that could not even be read, and become results.
        """
        seen: set[str] = set()
        results: list[PutResult | None] = []
        usable: list[ProductPut] = []
        for each in wanted:
            if isinstance(each, LapelError):
                results.append(PutResult(str(each.fields.get("id", "")), "rejected", (str(each),)))
            elif each.product.id in seen:
                text = f"The id '{each.product.id}' stands twice in this request; the first row counts."
                results.append(PutResult(each.product.id, "rejected", (text,)))
            else:
                seen.add(each.product.id)
                usable.append(each)
                results.append(None)
        if not usable:
            return [each for each in results if each is not None]
        with self._alone():
            done = iter(self._put(usable))
        return [next(done) if each is None else each for each in results]

    def remove(self, product_id: str, *, expect: str | None = None) -> None:
        """Take a product out, with its photos and vectors.

        Raises:
            QueryError: there is none of this id. ChangedError: see :meth:`put`.
        """
        with self._alone():
            self._context.catalog.product(product_id)
            self._check(product_id, expect)
            pictures = own_pictures(self._context, self._addresses([product_id]))
            self._context.catalog.remove([product_id])
            let_go(self._context, pictures)

    # --- how ----------------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One request at a time changes products, whichever process it came to."""
        with self._lock, request_lock(self._context.folder):
            yield

    def _check(self, product_id: str, expect: str | None) -> None:
        if expect is None:
            return
        there = bool(self._context.catalog.stored([product_id], fingerprint=""))
        found = version(details(self._context, product_id)) if there else ""
        if found != expect and not (there and expect == "*"):
            now = f"it is '{found}' now" if found else "there is none of this id"
            raise ChangedError(
                f"The product '{product_id}' is not of the version '{expect}' that was asked for: {now}. Read it again,"
                " and change what is there now.",
                product_id=product_id,
            )

    def _put(self, wanted: Sequence[ProductPut]) -> list[PutResult]:
        ids = [each.product.id for each in wanted]
        catalog = self._context.catalog
        before = catalog.stored(ids, fingerprint="")
        problems: dict[int, list[str]] = {}
        encoded = [(at, each) for at, each in enumerate(wanted) if each.pictures is not None or ids[at] not in before]
        if encoded:
            problems = self._ingest(encoded)
        kept = [each for each in wanted if each.pictures is None and each.product.id in before]
        if kept:
            self._patiently(lambda: self._rewrite(kept))
        after = catalog.stored(ids, fingerprint="")
        results = []
        for at, name in enumerate(ids):
            old, new = before.get(name), after.get(name)
            state: State = "added" if old is None else "unchanged" if old == new else "updated"
            if new is None or (at in problems and old == new):
                state = "rejected"
            results.append(PutResult(name, state, tuple(problems.get(at, ()))))
        return results

    def _ingest(self, wanted: Sequence[tuple[int, ProductPut]]) -> dict[int, list[str]]:
        """Encode and write products with their pictures. Returns by number what was wrong."""
        # Two products may call different files alike.
        files = {f"{at}/{name}": data for at, each in wanted for name, data in each.files.items()}
        rows = [
            TableRow(
                at + 1,
                each.product,
                tuple(f"{at}/{name}" if name in each.files else name for name in each.pictures or ()),
                "",
                each.product.id,
            )
            for at, each in wanted
        ]
        uploads = UploadSource(self._context.folder / FOLDER, files)
        before = self._addresses([each.product.id for _, each in wanted])
        small = self._context.thumbnails
        with closing(MixedSource(uploads, LINK_SCHEMES)) as source, tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "rejected.csv"
            try:
                self._patiently(
                    lambda: ingest(
                        self._context, rows, source=source, rejects=told, small=small if small.max_bytes else None
                    )
                )
                with told.open(encoding="utf-8", newline="") as lines:
                    noted = list(csv.DictReader(lines))
            finally:  # of what no product took, and of what they were shown by before
                let_go(self._context, [*uploads.written, *own_pictures(self._context, before)])
        problems: dict[int, list[str]] = {}
        for note in noted:
            problems.setdefault(int(note["line"]) - 1, []).append(note["reason"])
        return problems

    def _addresses(self, ids: Sequence[str]) -> list[str]:
        """Where the photos of products are."""
        stored = self._context.catalog.stored(ids, fingerprint="").values()
        return [uri for product in stored for uri in product.photos]

    def _rewrite(self, wanted: Sequence[ProductPut]) -> None:
        """Write products whose pictures stay."""
        context = self._context
        with writer_lock(context.folder):
            fingerprint = context.model.fingerprint
            stored = context.catalog.stored([each.product.id for each in wanted], fingerprint=fingerprint)
            entries = [
                Entry(
                    each.product,
                    tuple(
                        PhotoEntry(uri, photo.version_token, photo.sha256, None, photo.links)
                        for uri, photo in stored[each.product.id].photos.items()
                    ),
                )
                for each in wanted
                if each.product.id in stored
            ]
            context.catalog.write(entries, fingerprint=fingerprint)

    def _patiently(self, work: Callable[[], Result]) -> Result:
        """Do something that one process at a time may do; another one gets a little while to end."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return work()
            except StoreBusyError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)


def version(shown: ProductDetails) -> str:
    """A short text that changes whenever a product or its photos do: what HTTP calls an entity tag."""
    text = json.dumps(details_json(shown), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]
