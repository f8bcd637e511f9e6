"""Questions of the whole catalogue, as methods of a store: each a thin call of its file in :mod:`lapel.insight`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING

from lapel.core.errors import InputError, QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.text import reason_of
from lapel.engine.context import StoreContext
from lapel.service.asking import Where, filter_of

if TYPE_CHECKING:
    from lapel.catalog.pairs import Dismissed, PairTable
    from lapel.core.types import ImageLike
    from lapel.insight.audit_assortment import AssortmentAudit
    from lapel.insight.audit_labels import LabelAudit, LabelFill
    from lapel.insight.audit_photos import PhotoAudit
    from lapel.insight.catalogue_map import CatalogueMap
    from lapel.insight.clusters import Clusters
    from lapel.insight.duplicates import Duplicates
    from lapel.insight.findings import Findings
    from lapel.insight.new_picture import NewCheck, NewPictures
    from lapel.insight.price import PriceBook, PriceEstimate
    from lapel.insight.trends import Trends
    from lapel.insight.watch import WatchReport
    from lapel.service.watching import WatchService

Progress = Callable[[int, int | None], None]  # done, and in all when that is known


class InsightCalls:
    """What :class:`lapel.Store` answers about all of its products. Nothing is deleted or changed by itself."""

    _context: StoreContext
    _pricing: Lock
    _price_book: tuple[tuple[int, str, str], PriceBook] | None = None

    def save_findings(self, found: Findings, folder: str | Path, name: str, *, title: str = "") -> tuple[Path, Path]:
        """Write what was found as a table and a page of pictures: ``folder/name.csv`` and ``folder/name.html``.

        Args:
            found: What was found.
            folder: Where to; it is made.
            name: Of both files, without ending.
            title: Of the page; the name without one.

        Raises:
            InputError: it cannot be written there.
        """
        from lapel.insight.picture_sheet import write_picture_sheet

        out = Path(folder)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {out} cannot be made: {reason_of(error)}. Name another one.") from error
        table, sheet = out / f"{name}.csv", out / f"{name}.html"
        found.to_csv(table)
        write_picture_sheet(
            self._context, sheet, title=title or name.capitalize(), summary=found.summary(), sections=found.sections()
        )
        return table, sheet

    # --- duplicates ---------------------------------------------------------------------------------------------------

    @cached_property
    def _pairs(self) -> PairTable:
        from lapel.catalog.pairs import PairTable

        return PairTable(self._context.folder, read_only=self._context.catalog.read_only)

    @cached_property
    def _new_pictures(self) -> NewPictures:
        from lapel.insight.new_picture import NewPictures

        return NewPictures(self._context, self._pairs)

    def duplicates(
        self, *, where: Where = NO_FILTER, least: float = 0.9, progress: Progress | None = None
    ) -> Duplicates:
        """Products with the same picture, with copies of one picture, or listed twice: groups with the one worth
        keeping.

        >>> for group in store.duplicates(where=["gender=Women"]).groups:  # doctest: +SKIP
        ...     print(group.kind, group.best, [member.product for member in group.members])
        exact W0012 ['W0012', 'W0207']

        Args:
            where: Which products; both of a pair must pass.
            least: How sure a near duplicate is at least, 0..1.
            progress: Called with the photos looked at, and how many there are to look at: those that are new.

        Raises:
            QueryError: nothing passes the filter.
        """
        from lapel.insight.duplicates import find_duplicates

        return find_duplicates(self._context, self._pairs, filter_of(where), least=least, progress=progress)

    def duplicates_of(self, product_id: str, *, least: float = 0.9) -> Duplicates:
        """What one product is a duplicate of: quick, as only its nearest are compared.

        A copy that its vector does not give away, such as one that was cut small, is found once :meth:`duplicates` was
        asked for the whole catalogue.

        Args:
            product_id: The product; it stands in every group.
            least: How sure a near duplicate is at least, 0..1.

        Raises:
            QueryError: there is no such product.
        """
        from lapel.insight.product_duplicates import duplicates_of

        return duplicates_of(self._context, self._pairs, product_id, least=least)

    def check_new_picture(self, picture: ImageLike, *, where: Where = NO_FILTER, least: float = 0.9) -> NewCheck:
        """Whether a picture that is not added yet is a copy of one that is.

        Args:
            picture: A path, the bytes of a file, a PIL image or an array.
            where: Which products.
            least: How sure a copy is at least.

        Raises:
            ImageError: it cannot be read.
        """
        return self._new_pictures.check(picture, filter_of(where), least=least)

    def dismiss_duplicate(self, one: str, other: str, *, note: str = "") -> None:
        """Remember for good that two products are no duplicates; also when they are taken out and added again.

        Raises:
            QueryError: there is no such product, or it is the same one twice.
        """
        if one == other:
            raise QueryError(f"A product is no duplicate of itself; found '{one}' twice. Name two products.")
        for name in (one, other):
            self._context.catalog.product(name)
        self._pairs.dismiss(one, other, note)

    def restore_duplicate(self, one: str, other: str) -> bool:
        """Take back :meth:`dismiss_duplicate`. Returns whether the pair was dismissed."""
        return self._pairs.restore(one, other)

    def dismissed_duplicates(self) -> list[Dismissed]:
        """The pairs that somebody said are no duplicates, the newest first."""
        return self._pairs.dismissed()

    # --- watching -----------------------------------------------------------------------------------------------------

    @cached_property
    def watching(self) -> WatchService:
        """The banks of pictures that are watched for, the queue of what was found, and its log."""
        from lapel.service.watching import WatchService

        return WatchService(self._context)

    def watch(
        self,
        uploads: str | Path,
        *,
        banks: Sequence[str] = (),
        words: Sequence[str] = (),
        nudity: float | None = None,
        record: bool = True,
        alerts: IO[str] | None = None,
        webhook: str = "",
        webhook_secret: str = "",
        progress: Progress | None = None,
    ) -> WatchReport:
        """Check uploads against the banks of :attr:`watching`: which are copies of what is watched for.

        >>> store.watching.add("own designs", "designs/", kind="own")  # doctest: +SKIP
        >>> for match in store.watch("https://shop.example/feed.csv").matches:  # doctest: +SKIP
        ...     print(match.bank, match.place, match.chance)

        Args:
            uploads: A picture, a link to one, a folder, ZIP, table, feed or address; see :meth:`lapel.Store.add`.
            banks: Which banks; all by default. Negative ones always count.
            words: Words that are looked for on the pictures, with the extra ``watch``. Then no bank is needed.
            nudity: The probability from which on nudity is told, with the extra ``watch``; None does not look.
            record: Whether what is found is put into the queue and the log.
            alerts: A file that gets a line of JSON for each new finding.
            webhook: A link that is told of each, signed as those of jobs are, tried up to eight times.
            webhook_secret: What signs that; made when it is empty.
            progress: Called with the pictures checked.

        Raises:
            QueryError: there is no bank, or none holds a picture.
            MissingDependencyError: words or nudity are asked for without the extra.
            SourceError, TableError: the uploads cannot be read at all; single ones are in the report.
        """
        return self.watching.check(
            uploads,
            banks=banks,
            words=words,
            nudity=nudity,
            record=record,
            alerts=alerts,
            webhook=webhook,
            webhook_secret=webhook_secret,
            progress=progress,
        )

    def _close_insight(self) -> None:
        if "_pairs" in self.__dict__:
            self._pairs.close()
        if "watching" in self.__dict__:
            self.watching.close()

    # --- clusters and the map -----------------------------------------------------------------------------------------

    def clusters(
        self,
        *,
        where: Where = NO_FILTER,
        levels: Sequence[int] = (),
        seed: int = 0,
        fresh: bool = False,
        progress: Progress | None = None,
    ) -> Clusters:
        """Groups of products that look alike, at several levels, with names, medoids and spreads.

            for group in store.clusters().level(0):
                print(group.name, group.size, group.medoid)

        See :func:`lapel.insight.clusters.find_clusters`.
        """
        from lapel.insight.clusters import find_clusters

        return find_clusters(
            self._context, where=filter_of(where), levels=levels, seed=seed, fresh=fresh, progress=progress
        )

    def save_clusters(self, found: Clusters, folder: str | Path) -> tuple[Path, ...]:
        """What :meth:`save_findings` writes, and ``cluster-members.csv``: each product with its groups.

        Raises:
            InputError: it cannot be written there.
        """
        written = self.save_findings(found, folder, "clusters")
        members = Path(folder) / "cluster-members.csv"
        found.write_members(members)
        return (*written, members)

    def catalogue_map(
        self,
        *,
        where: Where = NO_FILTER,
        levels: Sequence[int] = (),
        seed: int = 0,
        fresh: bool = False,
        title: str = "",
        progress: Progress | None = None,
    ) -> CatalogueMap:
        """The catalogue as a map in one HTML page: ``.html`` to embed, ``.save(path)`` for a file that opens offline.

            store.catalogue_map().save("map.html")

        See :func:`lapel.insight.catalogue_map.catalogue_map`.
        """
        from lapel.insight.catalogue_map import catalogue_map

        return catalogue_map(
            self._context,
            where=filter_of(where),
            levels=levels,
            seed=seed,
            fresh=fresh,
            title=title,
            progress=progress,
        )

    def audit_labels(
        self,
        *,
        fields: Sequence[str] = (),
        where: Where = NO_FILTER,
        titles: bool = True,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> LabelAudit:
        """Labels that disagree with what products of the same look and title have, each with a suggestion.

            for each in store.audit_labels(fields=["category"]).suggestions:
                print(each.product, each.has, "->", each.suggested, each.probability)

        See :func:`lapel.insight.audit_labels.audit_labels`.
        """
        from lapel.insight.audit_labels import audit_labels

        return audit_labels(
            self._context, fields=fields, where=filter_of(where), titles=titles, seed=seed, progress=progress
        )

    def fill_labels(
        self,
        *,
        fields: Sequence[str] = (),
        precision: float = 0.95,
        where: Where = NO_FILTER,
        titles: bool = True,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> LabelFill:
        """Values for labels that are missing, only where so many of 1 are right.

        See :func:`lapel.insight.audit_labels.fill_labels`.
        """
        from lapel.insight.audit_labels import fill_labels

        return fill_labels(
            self._context,
            fields=fields,
            precision=precision,
            where=filter_of(where),
            titles=titles,
            seed=seed,
            progress=progress,
        )

    def save_suggestions(self, found: LabelAudit | LabelFill, folder: str | Path, name: str) -> tuple[Path, ...]:
        """What :meth:`save_findings` writes, and ``name-products.csv``: the products with the suggested labels, for
        ``lapel add SOURCE --products``.

        Raises:
            InputError: it cannot be written there.
        """
        written = self.save_findings(found, folder, name)
        products = Path(folder) / f"{name}-products.csv"
        found.write_products(self._context, products)
        return (*written, products)

    def trends(
        self,
        *,
        over: str = "",
        period: str = "",
        searches: str | Path = "",
        looks: int | None = None,
        where: Where = NO_FILTER,
        least: int = 30,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Trends:
        """Which looks, colours and kinds rise and fade, and what comes next.

        >>> for each in store.trends(over="year").moving("rising"):  # doctest: +SKIP
        ...     print(each.value, each.shares[-1])

        Args:
            over: Where times come from: ``events``, ``added_at``, or columns such as ``year`` or ``year,season``; by
                default the first of them that spans two periods.
            period: ``day``, ``week``, ``month``, ``quarter`` or ``year``; by default as the covered time asks for.
            searches: A CSV of searches with ``text`` and ``time``, to be counted in place of products.
            looks: How many looks to tell apart.
            where: Which products, see :meth:`lapel.Store.search`.
            least: Things of a period below which it is left out.
            progress: Called with how many searches were answered.

        Raises:
            QueryError: nothing has a time, or all is of one period. TableError: the log cannot be read.
        """
        from lapel.insight.trend_times import TrendRequest
        from lapel.insight.trends import find_trends

        asked = TrendRequest(over, period, str(searches), looks, filter_of(where), least)
        return find_trends(self._context, asked, progress)

    def estimate_price(
        self,
        image: ImageLike,
        *,
        condition: str = "",
        brand: str = "",
        kind: str = "",
        currency: str = "",
        where: Where = NO_FILTER,
        k: int = 12,
    ) -> PriceEstimate:
        """What a photo's product should sell for, by the store's products with a price, and a draft of its listing.

        >>> found = store.estimate_price("photo.jpg", brand="Nike", condition="good")  # doctest: +SKIP
        >>> print(found.low, found.price, found.high, found.currency, found.title)  # doctest: +SKIP

        What is learned is kept, also in the store's folder, until a tenth of the products changed: the next photo costs
        little.

        Args:
            image: See :meth:`lapel.Store.search`.
            condition: As in the store's column ``condition``.
            brand: If it is known.
            kind: If it is known: the last level of a category; else it is guessed.
            currency: Prices of which count; by default the commonest. Currencies are never mixed.
            where: Which products count as sold.
            k: How many of the nearest to tell.

        Raises:
            QueryError: too few products with a price, or a condition or kind that no product has.
            ImageError: the picture cannot be used.
        """
        from lapel.insight.price import PriceBook

        asked = filter_of(where)
        version = (self._context.catalog.generation, repr(asked), currency.upper())
        with self._pricing:  # who asks meanwhile waits, and does not read all products, too
            if self._price_book is None or self._price_book[0] != version:
                self._price_book = (version, PriceBook(self._context, self._new_pictures, asked, currency=currency))
            book = self._price_book[1]
        return book.estimate(image, condition=condition, brand=brand, kind=kind, k=k)

    def audit_photos(
        self,
        *,
        where: Where = NO_FILTER,
        least_side: int = 400,
        checks: Iterable[str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> PhotoAudit:
        """Photos that should be taken again, what mending would bring the most first.

        >>> for each in store.audit_photos(checks=["blurred", "cut off"]).found[:10]:  # doctest: +SKIP
        ...     print(each.product_id, [problem.detail for problem in each.problems])

        Figures of each photo are kept: a second audit costs what came since. Stopped, the same call goes on.

        Args:
            where: Which products, see :meth:`lapel.Store.search`.
            least_side: Pixels of the shorter side, below which a photo is too small.
            checks: Names, such as ``blurred``; all by default.
            progress: Called with how many photos are measured, and how many there are.

        Raises:
            QueryError: no photo passes, or no such check.
        """
        from lapel.insight.audit_photos import PhotoRequest, audit_photos

        return audit_photos(self._context, PhotoRequest(filter_of(where), least_side, tuple(checks)), progress)

    def audit_assortment(
        self,
        *,
        where: Where = NO_FILTER,
        alike: float = 0.95,
        searches: str | Path = "",
        looks: int | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> AssortmentAudit:
        """Goods that compete with each other, and what is asked for more than there is of it.

        >>> store.audit_assortment().gaps[:3]  # doctest: +SKIP

        Args:
            where: Which products, see :meth:`lapel.Store.search`.
            alike: Cosine from which on two products look nearly the same.
            searches: A CSV of searches (``text``, perhaps ``count``) to read demand from, in place of events.
            looks: How many looks to tell apart.
            progress: Called with how many searches were answered.

        Raises:
            QueryError: no photo passes. TableError: the log cannot be read.
        """
        from lapel.insight.audit_assortment import AssortmentRequest, audit_assortment

        asked = AssortmentRequest(filter_of(where), alike, str(searches), looks)
        return audit_assortment(self._context, asked, progress)
