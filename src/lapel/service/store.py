"""One shop folder as one object: everything a program can do with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lapel.core.errors import LapelError, QueryError
from lapel.core.events import Erasure, Event, EventReport, PersonExport
from lapel.core.filters import NO_FILTER
from lapel.core.types import (
    EmbeddedQuery,
    Explanation,
    Hit,
    ImageLike,
    LookMix,
    Part,
    Photo,
    Query,
    Region,
    SearchResult,
)
from lapel.engine.context import CATALOGUE, StoreContext, open_context, open_to_look
from lapel.engine.retrieval import SearchEngine
from lapel.engine.rules import RuleBook
from lapel.service import adding, browsing, information
from lapel.service.asking import Where, answer_batch, answer_many, filter_of
from lapel.service.backup import BackupReport, backup, restore
from lapel.service.events import EventService
from lapel.service.index import IndexService
from lapel.service.insight import InsightCalls
from lapel.service.jobs import JobRunner, JobService
from lapel.service.keys import KeyService
from lapel.service.media import MediaService
from lapel.service.models import ModelService
from lapel.service.pack import PackService
from lapel.service.products import ProductService
from lapel.service.recommend import RowService
from lapel.service.rules import RuleService
from lapel.service.thumbnails import ThumbnailService

if TYPE_CHECKING:
    from lapel.catalog.history import ChangeFeed, PricePoint
    from lapel.catalog.jobs import ReplayTable
    from lapel.insight.evaluate import EvalReport

Progress = Callable[[int, int | None], None]  # done, and in all when that is known


class Store(InsightCalls):
    """A shop folder: products, photos, vectors, and a search over them. Safe to share between threads.

    >>> import lapel
    >>> with lapel.open_store("shop", create=True) as store:
    ...     store.add("photos/")
    ...     for hit in store.search(image="photo.jpg", k=5, where=["gender=Women"]):
    ...         print(hit.rank, hit.score, hit.product.title)

    Attributes:
        models: Which model it is searched with: list, compare, change, go back.
        media: Its photos where they are hosted: check them, move them, their thumbnails.
        index: The index of its vectors: kind, check, rebuild, tune.
        products: Single products that a program has at hand: put, patch, remove.
        keys: Who may ask over HTTP.
        jobs: Long work that goes on after its answer.
        events: What people did with its products: from files, counted.
        rules: What the shop wants of answers: pin, hide, boost, bury, what is in stock first.
        rows: How rows of recommendations are made, and what another way would have done.
        pack: What phones download, to search without a server.
    """

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._pricing = Lock()
        rules = RuleBook(context.catalog)
        self._engine = SearchEngine(context, rules=rules)
        self.models = ModelService(context)
        self.media = MediaService(context)
        self.index = IndexService(context)
        self.products = ProductService(context)
        self.keys = KeyService(context)
        self.jobs = JobService(context, self)
        self.events = EventService(context)
        self.rows = RowService(context, self._engine, rules)
        self.rules = RuleService(context, rules, self._engine, self.rows)
        self.pack = PackService(context)

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._context.folder

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written to it."""
        return self._context.catalog.read_only

    @property
    def revision(self) -> int:
        """A number that rises with every change of products or photos: what was computed at one is right while it
        stays."""
        return self._context.catalog.generation

    def info(self) -> information.StoreInfo:
        """What it holds: products, photos, model, index, fields and their commonest values."""
        return information.info(self._context)

    def overview(self) -> browsing.Overview:
        """What can be filtered by, and how much there is: what a gallery's side bar shows."""
        return browsing.overview(self._context)

    def check_model(self) -> None:
        """Make sure that the store's own model is there, before somebody waits for it.

        Raises:
            ModelMismatchError, ModelError: it is another one now, or gone.
        """
        if self._context.model.fingerprint:
            _ = self._context.encoder

    # --- filling it ---------------------------------------------------------------------------------------------------

    def add(
        self,
        source: str | Path,
        *,
        products: str | Path | None = None,
        mapping: Sequence[str] = (),
        encoding: str = "",
        exclude: Sequence[str] = (),
        limit: int | None = None,
        runner: str = "threads:",
        verify: bool = False,
        progress: Progress | None = None,
    ) -> adding.AddReport:
        """Add products, or update them: what has not changed is skipped.

        Stopped half way, the same call goes on where it stopped.

        Args:
            source: A folder or ZIP of image files, a table whose rows name image files, or an address such as
                ``gdrive://FOLDER_ID``.
            products: A CSV, TSV, JSON, Excel or XML table of products, beside the images.
            mapping: Where a field comes from, such as ``title=productDisplayName``.
            encoding: What the table is written in; found by itself when empty.
            exclude: Patterns of file and folder names to leave out.
            limit: Stop after so many rows.
            runner: Who reads and encodes: ``threads:``, or ``ray://host:10001`` for a cluster.
            verify: Read every image again, also where size and time of the file say that it is the same.
            progress: Called with the rows done, and how many there are.

        Raises:
            SourceError, TableError: the source or the table cannot be read.
            StoreBusyError, StoreReadOnlyError: nothing can be written now.
            ModelMismatchError: the store's vectors come from another model.
        """
        wanted = adding.AddRequest(
            source, products, tuple(mapping), encoding, tuple(exclude), limit, runner, verify=verify
        )
        return adding.add(self._context, wanted, progress)

    def sync(
        self,
        source: str | Path,
        *,
        feed: str = "",
        force: bool = False,
        products: str | Path | None = None,
        mapping: Sequence[str] = (),
        encoding: str = "",
        exclude: Sequence[str] = (),
        runner: str = "threads:",
        verify: bool = False,
        progress: Progress | None = None,
    ) -> adding.AddReport:
        """Add like :meth:`add`, and take the source for all there is: products it no longer names are hidden until they
        return.

        Args:
            source: See :meth:`add`, as for all that is not named here.
            feed: Which of several feeds this is all of.
            force: Hide what is missing even if it is more than half.
            products: See :meth:`add`.
            mapping: See :meth:`add`.
            encoding: See :meth:`add`.
            exclude: See :meth:`add`.
            runner: See :meth:`add`.
            verify: See :meth:`add`.
            progress: See :meth:`add`.

        Raises:
            InputError: it names nothing, has rows that cannot be read, or lacks more than half; nothing was changed.
        """
        wanted = adding.AddRequest(
            source,
            products,
            tuple(mapping),
            encoding,
            tuple(exclude),
            None,
            runner,
            verify=verify,
            feed=feed,
            whole=True,
            force=force,
        )
        return adding.add(self._context, wanted, progress)

    def remove(self, product_ids: Sequence[str]) -> adding.RemoveReport:
        """Take products out, with their photos and vectors; their image files are not touched."""
        return adding.remove(self._context, product_ids)

    def backup(self, path: str | Path, *, progress: Progress | None = None) -> BackupReport:
        """Keep all of it in one new file, while others search and write: one moment of the catalogue with its vectors,
        and the pictures that came by requests. :func:`lapel.restore` makes a store of it again.

        Raises:
            InputError: there is such a file, or it cannot be written.
        """
        return backup(self._context, Path(path), progress)

    # --- asking it ----------------------------------------------------------------------------------------------------

    def search(
        self,
        *,
        image: ImageLike | None = None,
        text: str | None = None,
        product_id: str | None = None,
        colour: str | None = None,
        box: Sequence[float] | None = None,
        vector: Any = None,
        parts: Sequence[Part] = (),
        query: Query | None = None,
        k: int = 10,
        where: Where = NO_FILTER,
        exclude: Iterable[str] = (),
        least: float | str | None = None,
        group: str = "",
        diversity: float = 0.0,
        max_per: str = "",
        distinct: bool = False,
        facets: Sequence[str] | bool = (),
        segment: bool = True,
        colour_weight: float | None = None,
        look: LookMix | Mapping[str, float] | str | None = None,
    ) -> SearchResult:
        """The products that look most like an image, words, a product, a colour, or a mixture, best first.

        Args:
            image: A path, the bytes of a file, a PIL image or an array.
            text: Words, such as ``red saree``; they are looked for in the products' texts too.
            product_id: "More like this".
            colour: A colour by name or as ``#rrggbb``; beside others it takes the place of theirs.
            box: Of ``image``, the only part that counts: left, top, right and bottom in pixels, or in shares 0..1.
            vector: (dim,) float32 of length 1.
            parts: Several of these with weights, see :class:`lapel.Part`.
            query: All of this as one value; then nothing else is given.
            k: How many products, 1..10,000.
            where: A :class:`lapel.Filter`, or texts such as ``["gender=Women", "price<2000"]``.
            exclude: Ids of products to leave out.
            least: The lowest score that will do, -1..1, or verdict, such as ``same kind``.
            group: A field of which each value comes once, or ``variants``: each model once, whatever its colour.
            diversity: 0..1, how much hits should differ from each other.
            max_per: At most so many hits of each value of a field, such as ``brand:2``.
            distinct: Leave out hits that are nearly the same photo as a better one.
            facets: Fields whose values are counted; ``True`` for all useful ones.
            segment: Whether the product in an image is found too and laid on white.
            colour_weight: How much the colours of a single image count beside its vector, 0..1; by default as the
                setting ``colour_weight`` says.
            look: How much shape, colour and pattern count, such as ``"colour=2,pattern=0"``.

        Raises:
            QueryError: what is asked cannot be understood; ImageError: an image cannot be used.
            ModelMismatchError: the vectors come from another model.
        """
        if query is None:
            query = Query(
                image=image,
                text=text,
                product_id=product_id,
                colour=colour,
                box=box,  # type: ignore[arg-type]  # a query checks it
                vector=vector,
                parts=tuple(parts),
                k=k,
                where=filter_of(where),
                exclude=exclude,  # type: ignore[arg-type]  # a query makes a set of it
                least=least,
                group=group,
                diversity=diversity,
                max_per=max_per,
                distinct=distinct,
                facets=facets,  # type: ignore[arg-type]  # and a tuple
                segment=segment,
                colour_weight=colour_weight,
                look=look,
            )
        elif not isinstance(query, Query):
            raise QueryError(f"query is a lapel.Query; found {type(query).__name__}. An image is given with image=.")
        elif any(value is not None for value in (image, text, product_id, colour, box, vector)) or parts:
            raise QueryError("Give either query=, or image=, text=, product_id=, colour=, box=, vector= and parts=.")
        return self._engine.search(query)

    def search_many(
        self,
        queries: Iterable[Query | ImageLike],
        *,
        k: int = 10,
        where: Where = NO_FILTER,
        segment: bool = True,
        least: float | str | None = None,
        group: str = "",
        colour_weight: float | None = None,
        look: LookMix | Mapping[str, float] | str | None = None,
        progress: Progress | None = None,
        errors: str = "raise",
    ) -> Iterator[SearchResult | LapelError]:
        """The answer to each of many queries, in their order, as they come: images are decoded ahead, encoded and
        looked up in batches.

        Args:
            queries: Queries, or images as :meth:`search` takes them.
            k: Of images, how many products.
            where: Of images, see :meth:`search`.
            segment: Of images, see :meth:`search`.
            least: Of images, see :meth:`search`.
            group: Of images, see :meth:`search`.
            colour_weight: Of images, see :meth:`search`.
            look: Of images, see :meth:`search`.
            progress: Called with how many were answered.
            errors: ``raise`` the error of an image that cannot be used, or ``return`` it in place of its answer.

        Raises:
            QueryError, ImageError: see :meth:`search`.
        """
        if isinstance(queries, (str, bytes, os.PathLike)):
            raise QueryError(
                f"search_many takes several images or queries, such as a list of paths; found {queries!r:.60}."
            )
        if errors not in ("raise", "return"):
            raise QueryError(f"errors is 'raise' or 'return'; found '{errors}'.")
        conditions = filter_of(where)
        asked: dict[str, Any] = {"k": k, "where": conditions, "least": least, "group": group}
        asked |= {"colour_weight": colour_weight, "look": look}
        Query(text="any", **asked)  # what is wrong for all is told at once

        def read(query: Query | ImageLike) -> Query | LapelError:
            try:
                if isinstance(query, Query):
                    return query
                return Query(image=query, segment=segment, **asked)
            except LapelError as error:
                return error

        return answer_many(self._engine, iter(queries), read, progress, raising=errors == "raise")

    def search_batch(
        self, queries: Sequence[Query], *, encoded: Callable[[], None] = lambda: None
    ) -> list[SearchResult | Exception]:
        """The answers to queries of different people at once: their images go through the network together, and what is
        wrong with one of them stands in place of its answer.

        Args:
            queries: What they ask.
            encoded: Called when the images are vectors: the network is free for the next batch while this one is
                looked up. Where something is wrong it may never be called, or more than once.
        """
        return answer_batch(self._engine, queries, encoded)

    def embed(self, query: Query | ImageLike) -> EmbeddedQuery:
        """A query, or an image, as one direction, with how each of its parts was read: the product that was found in
        an image, and both vectors."""
        return self._engine.embed(query if isinstance(query, Query) else Query(image=query))

    def explain(self, query: Query | ImageLike, hit: Hit) -> Explanation:
        """Why a hit is in the answer to a query: what each place of both pictures adds to the score, and what they
        share in words.

            query = lapel.Query(image="photo.jpg")
            store.explain(query, store.search(query=query)[0]).shared  # ['kind: Shirts', 'gender: Men']

        Args:
            query: What was asked; the same object as in the search is not read again.
            hit: One of the answer's hits.

        Raises:
            ModelError: the store's model has no maps of places.
            QueryError: the hit is none, or none of this store and model any more.
            SourceError: the hit's picture cannot be read, and there is no thumbnail of it.
        """
        if not isinstance(hit, Hit):
            raise QueryError(f"What is explained is a hit of an answer, as search gives; found {hit!r}.")
        return self._engine.explain(query if isinstance(query, Query) else Query(image=query), hit)

    def explanation_sheet(self, query: Query | ImageLike, hits: Sequence[Hit], title: str = "") -> Image.Image:
        """The first hits of an answer with heatmaps of what matches and in words, as one RGB image; see
        :meth:`explain`."""
        from lapel.insight.explanation_sheet import HITS, draw_explanations

        asked = query if isinstance(query, Query) else Query(image=query)
        return draw_explanations(hits[:HITS], [self.explain(asked, hit) for hit in hits[:HITS]], title)

    def heatmaps(self, found: Explanation) -> tuple[Image.Image | None, Image.Image]:
        """The pictures of an explanation with what their places add to the score laid over them: the query's, None
        where it has none, and the hit's; RGB, as large as the pictures."""
        from lapel.insight.explanation_sheet import heatmap

        asked = None if found.query_picture is None else heatmap(found.query_picture, found.query_map)
        assert found.hit_picture is not None
        return asked, heatmap(found.hit_picture, found.hit_map)

    def regions(self, image: ImageLike) -> list[Region]:
        """Up to five products in a picture, the largest first; a box of them can be given to a search.

        Raises:
            ImageError: the picture cannot be used.
        """
        return self._engine.regions(image)

    def browse(
        self, words: str = "", *, where: Where = NO_FILTER, limit: int = 20, offset: int = 0
    ) -> browsing.BrowseResult:
        """Products in the order they were added, or those whose texts have all of some words, best match first.

        Args:
            words: Whole words, without regard to case and accents; empty for all products.
            where: See :meth:`search`.
            limit: How many.
            offset: How many to pass over.
        """
        return browsing.browse(self._context, words, filter_of(where), limit, offset)

    def facets(
        self, names: Sequence[str] | str | None = None, *, where: Where = NO_FILTER, limit: int = 100
    ) -> Mapping[str, tuple[tuple[str, int], ...]]:
        """By field its most frequent values, with how many products that pass a filter have them; all useful fields by
        default. ``price`` is counted in bands."""
        wanted = self.overview().fields if names is None else (names,) if isinstance(names, str) else names
        return self._engine.facets.count(wanted, filter_of(where), limit=limit)

    def count(self, where: Where = NO_FILTER) -> int:
        """How many products pass a filter and are shown."""
        return self._context.catalog.count(filter_of(where))

    def product(self, product_id: str) -> browsing.ProductDetails:
        """One product with its photos.

        Raises:
            QueryError: there is none of this id.
        """
        return browsing.details(self._context, product_id)

    def variants(self, product_id: str, *, k: int = 10, where: Where = NO_FILTER) -> SearchResult:
        """The other variants of a product's model, such as its other colours, those that look most like it first.

        Args:
            product_id: The product.
            k: How many, 1..10,000.
            where: See :meth:`search`.

        Raises:
            QueryError: there is none of this id.
        """
        product = self.product(product_id).product
        wanted = browsing.like_model(product, filter_of(where))
        found = self.search(product_id=product_id, k=browsing.MOST_VARIANTS, where=wanted)
        return browsing.only_variants(product, found, k)

    def price_history(self, product_id: str) -> tuple[PricePoint, ...]:
        """What a product cost and whether it could be bought, since when; the oldest first.

        Raises:
            QueryError: there is none of this id.
        """
        return browsing.price_history(self._context, product_id)

    def run_jobs(self) -> JobRunner:
        """Begin to do the store's jobs in threads; whoever began closes what is returned, before the store."""
        self.jobs.tidy()
        return JobRunner(self._context, self.jobs)

    @property
    def replays(self) -> ReplayTable:
        """Answers that a repeated request gets again."""
        return self._context.catalog.replays

    @property
    def changes(self) -> ChangeFeed:
        """Every change of products and photos in order, read with cursors that survive a restart."""
        return self._context.catalog.feed

    # --- people -------------------------------------------------------------------------------------------------------

    def record(self, events: Iterable[Event | Mapping[str, Any]], *, progress: Progress | None = None) -> EventReport:
        """Keep what people did with products: each event once by its id, in any order.

        >>> store.record([lapel.Event("e1", "anna", "1163", "like", "2026-11-29T10:00:00Z")]).added  # doctest: +SKIP
        1

        Args:
            events: :class:`lapel.Event`, or mappings with its names. The person is stored as a keyed hash.
            progress: Called with how many were read.

        Raises:
            StoreReadOnlyError, StoreBusyError: nothing of the last 20,000 was kept.
        """
        return self.events.record(events, progress)

    def export(self, person: str) -> PersonExport:
        """All that is known of a person: what they did, and the lists they were shown."""
        self.rows.flush()
        return self.events.export(person)

    def erase(self, person: str) -> Erasure:
        """Forget a person: what they did, and the lists they were shown."""
        self.rows.flush()
        return self.events.erase(person)

    def recommend(
        self,
        *,
        person: str | None = None,
        product_id: str | None = None,
        basket: Iterable[str] = (),
        kind: str | None = None,
        k: int = 10,
        where: Where = NO_FILTER,
        exclude: Iterable[str] = (),
        seed: int | None = None,
        keep_margin: bool = False,
    ) -> SearchResult:
        """A row of products to show next, each with its reason.

        Never one that is hidden, sold out, or that the person bought, disliked or dismissed; never the same photo
        twice; at most three of a brand.

        >>> for hit in store.recommend(person="anna", k=5):  # doctest: +SKIP
        ...     print(hit.product.title, hit.reason.words)
        Red saree because you liked 'Maroon saree'

        Args:
            person: For whom, as in :meth:`record`; nobody has to be known.
            product_id: The product it stands beside.
            basket: Products that are chosen already.
            kind: ``for-you``, the usual with a person; ``similar``, the usual with a product; ``together``, what goes
                with it, the usual with a basket alone; ``look``, one of each part of an outfit that it lacks;
                ``upsell``, the same look with a better margin (a column ``margin``) or dearer; ``substitutes``, what
                can be sold in its place.
            k: How many products, 1..1,000.
            where: See :meth:`search`.
            exclude: Ids of products to leave out.
            seed: Of what is drawn where lists are explored; the same gives the same list.
            keep_margin: Of substitutes, only such with at least the product's margin.

        Returns:
            Fewer than ``k`` hits only where no more may be shown. Scores are cosines with what the reason names.

        Raises:
            QueryError: an unknown product or kind, or a filter that cannot be understood.
        """
        return self.rows.recommend(
            person=person,
            product_id=product_id,
            basket=basket,
            kind=kind,
            k=k,
            where=where,
            exclude=exclude,
            seed=seed,
            keep_margin=keep_margin,
        )

    # --- its images ---------------------------------------------------------------------------------------------------

    @cached_property
    def _thumbnails(self) -> ThumbnailService:
        return ThumbnailService(self._context)

    def thumbnail(self, photo: Photo | int) -> bytes | None:
        """A photo, or the photo of a key, as a JPEG of 450 x 600 pixels; None where it cannot be read now."""
        if not isinstance(photo, Photo):
            entry = self._context.catalog.entries(np.array([photo], np.int64)).get(photo)
            if entry is None:
                raise QueryError(f"There is no photo {photo} in the store {self.folder}.")
            photo = entry[1]
        return self.thumbnails([photo])[0]

    def thumbnail_of(self, sha256: str) -> bytes | None:
        """The same of the photo whose bytes have this SHA-256, hex; None where there is none, or it cannot be read."""
        photo = self._context.catalog.photo_of(sha256)
        return None if photo is None else self.thumbnail(photo)

    def thumbnails(self, photos: Sequence[Photo]) -> list[bytes | None]:
        """The same for several, read together."""
        return self._thumbnails.tiles(photos)

    def image(self, photo: Photo | int) -> Image.Image:
        """A photo as large as it is, RGB, read from where it was added from.

        Raises:
            QueryError: no such photo.
            SourceError, ImageError: its file is gone or broken.
        """
        return self._context.image(photo.key if isinstance(photo, Photo) else photo)

    # --- judging it ---------------------------------------------------------------------------------------------------

    def evaluate(
        self,
        relevant: Sequence[str],
        *,
        queries: Where = NO_FILTER,
        gallery: Where = NO_FILTER,
        k: Sequence[int] = (1, 5, 10),
        depth: int = 100,
        group_by: str = "category",
        progress: Progress | None = None,
    ) -> EvalReport:
        """Recall@K, Precision@K, MAP and MRR: photos of the store ask, and rules say which answers are right.

        Args:
            relevant: Fields that must agree, such as ``articleType,gender``; or ``id``: the product's other photos.
            queries: Whose photos ask.
            gallery: What may be found.
            k: Ranks for recall and precision.
            depth: How many products are looked at for MAP and MRR.
            group_by: The field of the breakdown.
            progress: Called with the queries answered.

        Raises:
            QueryError: a rule or a filter that cannot be understood, or nothing that can be query_set.
        """
        from lapel.insight.evaluate import evaluate

        return evaluate(
            self._context,
            queries=filter_of(queries),
            gallery=filter_of(gallery),
            relevant=list(relevant),
            k=tuple(k),
            depth=depth,
            per=group_by,
            report=progress,
        )

    def contact_sheet(self, report: EvalReport) -> Image.Image:
        """The worst queries of an evaluation with their answers, as one image."""
        from lapel.insight.sheet import draw_sheet

        return draw_sheet(report, self._context.image)

    # --- leaving it ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of its files. Closing twice is fine."""
        self.rows.close()
        self._close_insight()
        self._context.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_store(
    folder: str | Path = "shop", *, create: bool = False, encoder: str | None = None, read_only: bool | None = False
) -> Store:
    """Open a shop folder.

    Args:
        folder: Where it is.
        create: Make an empty store when there is none.
        encoder: A spec for :func:`lapel.open_encoder`; by default the one the store was filled with.
        read_only: Never write, not even a rebuilt index. None: do not mean to write, but bring a catalogue of an older
            version to this one.

    Raises:
        StoreNotFoundError, StoreBusyError, StoreTooNewError, StoreDamagedError, ModelMismatchError: see
            :mod:`lapel.core.errors`.
    """
    if read_only is None:
        return Store(open_to_look(folder))
    return Store(open_context(folder, create=create, encoder=encoder, read_only=read_only))


def store_exists(folder: str | Path) -> int:
    """A number that tells one store in this folder from another made there later; 0 where there is none."""
    try:
        return (Path(folder) / CATALOGUE).stat().st_ino
    except OSError:
        return 0


def restore_store(file: str | Path, folder: str | Path, *, progress: Progress | None = None) -> BackupReport:
    """Make a store of a file that :meth:`Store.backup` wrote.

        lapel.restore_store("shop.backup", "shop-again")

    Args:
        file: The backup.
        folder: Where the store shall be; there must be nothing yet.
        progress: Called with the bytes written, and how many there are.

    Raises:
        InputError: there is something already, or the file is no backup.
        StoreDamagedError: the backup is damaged; nothing was made.
    """
    return restore(Path(file), Path(folder), progress)
