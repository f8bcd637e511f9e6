"""The table of the pages, for the page's script and for the server beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PageRow:
    """One page: the file ``pages/NAME.py``, and its text ``page.NAME``.

    Attributes:
        name: Its file and its address; the first page's address is empty.
        icon: Of Material Symbols.
        manage: Whether it is only for those who may manage.
    """

    name: str
    icon: str
    manage: bool = False


PAGES = (
    PageRow("search", ":material/search:"),
    PageRow("discover", ":material/explore:"),
    PageRow("product", ":material/checkroom:"),
    PageRow("map", ":material/map:"),
    PageRow("catalogue", ":material/inventory_2:", manage=True),
    PageRow("insight", ":material/insights:", manage=True),
    PageRow("prove", ":material/fact_check:", manage=True),
    PageRow("status", ":material/monitor_heart:"),
)
HIDDEN = ("product",)  # reached from others: without a product it has nothing to show


def path_of(row: PageRow) -> str:
    """The last part of a page's address."""
    return "" if row is PAGES[0] else row.name
