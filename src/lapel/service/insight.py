"""Questions of the whole catalogue, as methods of a store: each a thin call of its file in :mod:`lapel.insight`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lapel.core.errors import InputError
from lapel.core.filters import NO_FILTER
from lapel.core.text import reason_of
from lapel.engine.context import StoreContext
from lapel.service.asking import Where, filter_of

if TYPE_CHECKING:
    from lapel.insight.clusters import Clusters
    from lapel.insight.findings import Findings

Progress = Callable[[int, int], None]  # done, and in all


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

    def clusters(
        self, *, where: Where = NO_FILTER, levels: Sequence[int] = (), seed: int = 0, progress: Progress | None = None
    ) -> Clusters:
        """Groups of products that look alike, at several levels, with names, medoids and spreads.

            for group in store.clusters().level(0):
                print(group.name, group.size, group.medoid)

        See :func:`lapel.insight.clusters.find_clusters`.
        """
        from lapel.insight.clusters import find_clusters

        return find_clusters(self._context, where=filter_of(where), levels=levels, seed=seed, progress=progress)
