"""Questions of the whole catalogue, as methods of a store: each a thin call of its file in :mod:`lapel.insight`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lapel.core.errors import InputError, QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.text import reason_of
from lapel.engine.context import StoreContext
from lapel.service.asking import Where, filter_of

if TYPE_CHECKING:
    from lapel.catalog.pairs import Dismissed, PairTable
    from lapel.core.types import ImageLike
    from lapel.insight.duplicates import Duplicates
    from lapel.insight.findings import Findings
    from lapel.insight.new_picture import NewCheck, NewPictures
    from lapel.insight.watch import WatchReport
    from lapel.service.watching import WatchService

Progress = Callable[[int, int | None], None]


class InsightCalls:
    """What :class:`lapel.Store` answers about all of its products. Nothing is deleted or changed by itself."""

    _context: StoreContext

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
        self, *, where: Where = NO_FILTER, least: float = 0.8, progress: Progress | None = None
    ) -> Duplicates:
        """Products with the same picture, with copies of one picture, or listed twice: groups with the one worth
        keeping.

        >>> for group in store.duplicates(where=["gender=Women"]).groups:  # doctest: +SKIP
        ...     print(group.kind, group.best, [member.product for member in group.members])
        exact 1163 ['1163', '20411']

        Args:
            where: Which products; both of a pair must pass.
            least: How sure a near duplicate is at least, 0..1.
            progress: Called with the photos looked at, and how many there are to look at: those that are new.

        Raises:
            QueryError: nothing passes the filter.
        """
        from lapel.insight.duplicates import find_duplicates

        return find_duplicates(self._context, self._pairs, filter_of(where), least=least, progress=progress)

    def check_new_picture(self, picture: ImageLike, *, where: Where = NO_FILTER, least: float = 0.8) -> NewCheck:
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
            record: Whether what is found is put into the queue and the log.
            alerts: A file that gets a line of JSON for each new finding.
            webhook: A link that is told of each, signed as those of jobs are, tried up to eight times.
            webhook_secret: What signs that; made when it is empty.
            progress: Called with the pictures checked.

        Raises:
            QueryError: there is no bank, or none holds a picture.
            SourceError, TableError: the uploads cannot be read at all; single ones are in the report.
        """
        return self.watching.check(
            uploads,
            banks=banks,
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
