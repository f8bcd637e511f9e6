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
    from lapel.insight.audit_labels import LabelAudit, LabelFill
    from lapel.insight.catalogue_map import CatalogueMap
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
