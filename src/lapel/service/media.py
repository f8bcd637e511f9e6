"""A store's photos where they are hosted: check them, move them, make their thumbnails. ``store.media``."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from lapel.catalog.hosting import MediaIssue, MoveReport
from lapel.catalog.thumbnails import Size
from lapel.core.errors import InputError
from lapel.engine.backfill import BackfillReport, backfill, missing
from lapel.engine.context import StoreContext
from lapel.engine.features import FEATURES, THUMBNAIL
from lapel.engine.hosting import move
from lapel.engine.media_check import MediaCheckReport, check_media
from lapel.sources.link_checker import LinkChecker

ISSUES = "hosting.csv"  # in the store
Progress = Callable[[int, int | None], None]


class MediaService:
    """Looks after where the photos of one store are."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context

    @property
    def issues_file(self) -> Path:
        """The list of every photo that the last check found an issue with."""
        return self._context.folder / ISSUES

    def check(
        self,
        *,
        grace: timedelta = timedelta(days=7),
        force: bool = False,
        allow_private: bool = False,
        progress: Progress | None = None,
    ) -> MediaCheckReport:
        """Visit every photo: changed ones are embedded anew, those out of reach for long are hidden until they return.

        Args:
            grace: How long a photo may be out of reach before it is hidden.
            force: Hide also when more than half of all photos are out of reach.
            allow_private: Links may lead into this machine's own network.
            progress: Called with how many photos were looked at, and how many there are.

        Raises:
            StoreBusyError: another process adds to the store; what was found is written down.
            StoreReadOnlyError: nothing can be written there.
            InputError: the list of issues cannot be written.
        """
        checker = LinkChecker(allow_private=allow_private)
        try:
            found = check_media(self._context, checker, grace=grace, force=force, report=progress)
        finally:
            checker.close()
        _write_issues(self.issues_file, found.issues)
        return found

    def move(self, old: str, new: str, *, dry_run: bool = False) -> MoveReport:
        """Say that photos, or the links to them, have moved: nothing is read or embedded anew.

        Args:
            old: The folder, the ZIP or the beginning of the addresses where they were.
            new: The same, where they are.
            dry_run: Only count.

        Raises:
            SourceError: a place is missing, or both are the same.
            InputError: a product has a photo at the new address already; nothing was changed.
            StoreBusyError: another process adds to the store.
        """
        return move(self._context, old, new, keep=not dry_run)

    @property
    def photos(self) -> int:
        """How many photos there are."""
        return self._context.catalog.counts().photos

    def fill_thumbnails(self, *, progress: Progress | None = None) -> BackfillReport:
        """Make the thumbnails that are missing, and let go of those that are of no photo any more.

        Raises:
            StoreReadOnlyError: nothing can be written there.
        """
        return backfill(self._context, THUMBNAIL, progress=progress)

    def missing_features(self) -> dict[str, int]:
        """How many photos lack each feature, such as ``palette``; none where a store of before was never backfilled."""
        return missing(self._context)

    def fill_features(self, *, progress: Progress | None = None) -> dict[str, BackfillReport]:
        """Derive what photos lack of each feature but the embedding, which :meth:`ModelService.use` makes. Stopped half
        way, the same call goes on where it stopped.

        Args:
            progress: Called with the photos that are done, over all features, and how many there are.

        Raises:
            StoreReadOnlyError: nothing can be written there.
        """
        lacking = {name: count for name, count in missing(self._context).items() if count and name in FEATURES}
        total, finished, reports = sum(lacking.values()), 0, {}
        for name, count in lacking.items():

            def tell(done: int, of: int, before: int = finished, most: int = count) -> None:
                if progress is not None:
                    progress(before + max(0, most - (of - done)), total)

            reports[name] = backfill(self._context, FEATURES[name], progress=tell)
            finished += count
        return reports

    def limit_thumbnails(self, megabytes: int) -> None:
        """Let the thumbnails take so many MB of the disk from now on; 0 keeps none."""
        self._context.limit_thumbnails(megabytes)

    def thumbnail_size(self) -> Size:
        """How many photos have thumbnails, and what they take."""
        return self._context.thumbnails.size()


def _write_issues(path: Path, issues: Sequence[MediaIssue]) -> None:
    """Write down every issue, in place of what the last check found."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("kind", "since", "hidden", "product", "picture", "reason"))
            rows.writerows(
                (each.kind, each.since, each.hidden, each.product_id, each.uri, each.reason) for each in issues
            )
        part.replace(path)
    except OSError as error:
        raise InputError(
            f"The list of pictures in trouble cannot be written to {path}: {error.strerror}. Make room there, or give"
            " this user the right to write."
        ) from error
