"""Questions of the whole catalogue, as methods of a store: each a thin call of its file in :mod:`lapel.insight`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lapel.core.errors import InputError
from lapel.core.filters import NO_FILTER
from lapel.core.text import reason_of
from lapel.engine.context import StoreContext
from lapel.service.asking import Where, filter_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lapel.core.images import ImageLike
    from lapel.insight.audit_assortment import AssortmentAudit
    from lapel.insight.audit_photos import PhotoAudit
    from lapel.insight.findings import Findings
    from lapel.insight.price import PriceBook, PriceEstimate
    from lapel.insight.trends import Trends


class InsightCalls:
    """What :class:`lapel.Store` answers about all of its products. Nothing is deleted or changed by itself."""

    _context: StoreContext
    _price_book: tuple[tuple[int, str, str], PriceBook] | None = None

    def save_findings(self, found: Findings, folder: str | Path, name: str) -> tuple[Path, Path]:
        """Write what was found as a table and a page of pictures: ``folder/name.csv`` and ``folder/name.html``.

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
            self._context, sheet, title=name.capitalize(), summary=found.summary(), sections=found.sections()
        )
        return table, sheet

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

        What is learned is kept until products change, so the next photo costs little.

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
        if self._price_book is None or self._price_book[0] != version:
            self._price_book = (version, PriceBook(self._context, asked, currency=currency))
        return self._price_book[1].estimate(image, condition=condition, brand=brand, kind=kind, k=k)

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
