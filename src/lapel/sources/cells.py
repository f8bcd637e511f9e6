"""What stands in a table's cells: clean texts, several values in one cell, and the names of photos.

Cells go in as CSV, JSON or a spreadsheet have them; texts, tuples of texts and names of photos come out.
"""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from lapel.core.text import printable
from lapel.sources.names import as_link, is_image_name
from lapel.sources.prices import ExactNumber

# What programs write where they know nothing.
NOTHING = frozenset("nan n/a #n/a null none nil undefined - -- \u2013 \u2014 <na> #value! #ref!".split())
PROBLEM = "\0problem"  # a record's own note, under a name that no column has
ADDRESS_KEYS = "src url href link image original full path file filename".split()
NOTHING_CHARACTERS = max(map(len, NOTHING))
_PLAIN = re.compile(r"[ -%'-;=-{}~]*")  # printable ASCII but & < |
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_BREAK = re.compile(r"<(?:br|/p|/li|/div)\b[^<>]*>", re.IGNORECASE)


def raw_text(value: Any) -> str:
    """A cell as text: JSON's numbers as written, yes and no for its truth values, lists joined by ``|``."""
    if type(value) is str:
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, ExactNumber):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "|".join(filter(None, map(raw_text, value)))
    return json.dumps(value, ensure_ascii=False)


def identifier(value: Any) -> str:
    """A cell that names a product or a photo: as it is written, without what no name can hold."""
    text = raw_text(value)
    if text.isascii():
        return text.replace("\0", "").strip() if "\0" in text else text
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip("\ufeff").strip()


def text_of(value: Any) -> str:
    """A cell that people read: without HTML, control characters and words for nothing; several values between bars,
    without blanks.

    >>> text_of(" S | M | L "), text_of("Tom &amp; <b>Jerry</b>"), text_of("N/A")
    ('S|M|L', 'Tom & Jerry', '')
    """
    if isinstance(value, list):
        return "|".join(filter(None, map(text_of, value)))
    return _cleaned(value if type(value) is str else identifier(value))


@lru_cache(4096)  # a table says the same in most of its cells
def _cleaned(text: str) -> str:
    text = text.strip()
    if len(text) <= NOTHING_CHARACTERS and text.casefold() in NOTHING:
        return ""
    if _PLAIN.fullmatch(text):  # nearly all
        return text
    text = identifier(text)
    if "&" in text or "<" in text:
        # Unescaped first: feeds write tags as &lt;p&gt; too.
        text = _TAG.sub("", _BREAK.sub(" ", html.unescape(html.unescape(text))))  # some exports escape twice
    if "\n" in text and text.isprintable() is False:
        text = "\n".join(line for line in map(printable, text.splitlines()) if line)
    else:
        text = printable(text)
    if "|" in text:
        text = "|".join(filter(None, (part.strip() for part in text.split("|"))))
    return text.strip()


def looks_like_image(text: str) -> bool:
    """Whether a text is the name of a photo file, or a link that ends like one."""
    try:
        path = urlsplit(text).path if "://" in text or as_link(text) else text
    except ValueError:
        return False
    return len(path) < 500 and is_image_name(path) and "\n" not in path


def photo_names(value: Any) -> tuple[str, ...]:
    """The photos that a cell names, each once, in their order.

    Between them may stand bars; commas, semicolons, blanks or line ends do where each part is a link or is named like a
    photo, as a file's name may hold them too. A list may be JSON's, also inside of a text, and of objects such as
    ``{"src": ...}``.

    >>> photo_names("1.jpg,2.jpg"), photo_names("red, blue.jpg"), photo_names([{"src": "a.png"}])
    (('1.jpg', '2.jpg'), ('red, blue.jpg',), ('a.png',))
    """
    return tuple(dict.fromkeys(_names(value)))


def _names(value: Any) -> Iterable[str]:
    if isinstance(value, list):
        for each in value:
            yield from _names(each)
    elif isinstance(value, dict):
        address = next((value[key] for key in ADDRESS_KEYS if value.get(key)), None)
        yield from _names(address) if address is not None else ()
    else:
        text = identifier(value)
        if "&amp;" in text and as_link(text):
            text = html.unescape(text)
        if text[:1] in ("[", "{") and text[-1:] in ("]", "}"):
            for read in (json.loads, ast.literal_eval):  # the second for lists as pandas writes them
                try:
                    listed = read(text)
                except (ValueError, SyntaxError, RecursionError, MemoryError):
                    continue
                yield from _names(listed if isinstance(listed, list | dict) else [])
                return
        for part in text.split("|"):
            yield from _split(part.strip())


def _split(text: str) -> Iterable[str]:
    if not text or text.casefold() in NOTHING:
        return ()
    for pattern in (r"[,;]\s*|\s*\n\s*", r",\s*(?=https?://|//)|\s+"):
        parts = [part.strip() for part in re.split(pattern, text) if part.strip()]
        links = all(map(as_link, parts))
        if len(parts) > 1 and (links or (all(map(looks_like_image, parts)) and "\\s+" not in pattern)):
            return parts
    return (text.rstrip(",; "),) if looks_like_image(text.rstrip(",; ")) else (text,)
