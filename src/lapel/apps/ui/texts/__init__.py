"""Every text of the page, in one place: ``en.toml`` and beside it one file a language, with the same names.

>>> text("results.more")
'Show more'
>>> text("results.more", language="de")
'Mehr zeigen'

Messages of the engine (why a picture cannot be used, say) are English in every language.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LANGUAGES = {"en": "English", "de": "Deutsch"}
DEFAULT = "en"


@cache
def texts_of(language: str) -> Mapping[str, str]:
    """The texts of a language by ``section.name``."""
    sections = tomllib.loads(Path(__file__).with_name(f"{language}.toml").read_text("utf-8"))
    return {f"{section}.{name}": words for section, texts in sections.items() for name, words in texts.items()}


def text(name: str, /, *, language: str = DEFAULT, **values: object) -> str:
    """A text with its values filled in; counts are written with the separators of the language.

    Args:
        name: Such as ``results.more``. With a value ``n`` of 1, the text ``name_one`` is taken where there is one.
        language: One of :data:`LANGUAGES`.
        values: What stands in its braces.
    """
    known = texts_of(language)
    found = known.get(f"{name}_one") if values.get("n") == 1 else None
    shown = {key: number(value, language) if isinstance(value, int) else value for key, value in values.items()}
    return (found or known[name]).format(**shown)


def number(value: float, language: str, digits: int = 0) -> str:
    """A number for people: ``1,234.5``, in German ``1.234,5``."""
    written = f"{value:,.{digits}f}"
    return written.translate(str.maketrans(",.", ".,")) if language == "de" else written


def language_for(locale: str | None) -> str:
    """The language for a browser's, such as ``de-AT``; English where there is none of it."""
    wanted = (locale or "").partition("-")[0].lower()
    return wanted if wanted in LANGUAGES else DEFAULT
