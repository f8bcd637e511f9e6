"""Feeds written as XML: RSS and Atom in, one record of texts an item out.

Nothing outside of the file is ever fetched, and nothing in it grows.

The whole file is read before its first record is given, so a feed that is cut short gives none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lapel.core.errors import TableError

ITEMS = ("item", "entry")  # RSS calls a product so, Atom so
GOOGLE = "{http://base.google.com/"  # begins the names of Google's own elements
MAX_DEPTH = 64  # elements within each other; a feed has five


def read_items(path: Path) -> list[dict[str, Any]]:
    """The items of a feed, each as texts by the elements' names without their namespace; a name that repeats holds a
    list.

    Raises:
        TableError: it is no XML, is cut short, holds no item, or defines entities as attacks do.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, iterparse

    try:
        with path.open("rb") as file:
            items = list(_items(iterparse(file, events=("start", "end"), forbid_dtd=True)))
    except OSError as error:
        raise TableError(f"The feed {path} cannot be read: {error.strerror}. Give an RSS or Atom file.") from error
    except DefusedXmlException as error:
        raise TableError(
            f"The feed {path} defines its own XML entities or a document type ({type(error).__name__}), which no"
            f" product feed needs and"
            " attacks use. It was not read and nothing was changed. Export it again, or take the <!DOCTYPE ...> out."
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise TableError(
            f"The feed {path} is broken XML: {error}. It was not read and nothing was changed. Download or export it"
            f" again."
        ) from error
    if not items:
        raise TableError(f"The feed {path} holds no <item> (RSS) and no <entry> (Atom), so there is no product in it.")
    return items


def _items(events: Iterator[tuple[str, Any]]) -> Iterator[dict[str, Any]]:
    above: list[Any] = []
    for event, element in events:
        if event == "start":
            above.append(element)
            if len(above) > MAX_DEPTH:
                raise ValueError(f"more than {MAX_DEPTH} elements lie within each other")
            continue
        above.pop()
        if _name(element) in ITEMS:
            yield _record(element)
        if above and _name(above[-1]) not in ITEMS and not any(_name(one) in ITEMS for one in above):
            above[-1].remove(element)  # so that a large feed does not stay in memory as a tree


def _record(item: Any) -> dict[str, Any]:
    record: dict[str, Any] = {}
    # Atom has an id, a title and a link of its own; Google's count where both are there.
    google = {_name(element) for element in item if str(element.tag).startswith(GOOGLE)}
    for element in item:
        text = (element.text or "").strip() or element.get("href", "").strip()
        if not text or len(element):
            continue
        name = _name(element)
        if name in google and not str(element.tag).startswith(GOOGLE):
            continue
        known = record.get(name)
        if known is None:
            record[name] = text
        elif isinstance(known, list):
            known.append(text)
        elif known != text:
            record[name] = [known, text]
    return record


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
