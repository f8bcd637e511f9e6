"""Questions of the whole catalogue, as methods of a store: each a thin call of its file in :mod:`lapel.insight`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lapel.core.errors import InputError
from lapel.core.text import reason_of
from lapel.engine.context import StoreContext

if TYPE_CHECKING:
    from lapel.insight.findings import Findings


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
