"""Texts as they are compared, counted and printed: one folding for every filter, one plural, one cleaning before a
terminal sees them."""

from __future__ import annotations

import re
import ssl
import unicodedata

# What a terminal acts upon instead of showing it: whole escape sequences first, then single control characters, then
# the marks that turn the direction of what follows. Tabs and line ends are among the control characters.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def fold(text: str) -> str:
    """A text as it is compared: without case, without blanks around it, and composed (NFC), however its accents were
    typed.

    >>> fold(" Gro\u0308\u00dfe ") == fold("GR\u00d6SSE")
    True
    """
    if text.isascii():
        return text.casefold().strip()
    # Folding case may take a composed letter apart and is only sound on decomposed ones (Unicode, D145), so it stands
    # in between.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold()).strip()


def printable(text: str) -> str:
    """A text on one line, without anything that a terminal would act upon: control characters become a blank, escape
    sequences nothing.

    >>> printable("Red\tdress\x1b[31m!\n")
    'Red dress!'
    """
    if text.isprintable():
        return text
    return _CONTROLS.sub(" ", _SEQUENCES.sub("", text)).strip()


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 product``, ``2,000 products``: a number with its noun, whose plural is the noun and an s where no other is
    given."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def shortened(text: str, most: int = 80) -> str:
    """A name as a message shows it: not longer than ``most`` characters, cut in the middle."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}\u2026{text[-half:]}"


def reason_of(error: BaseException) -> str:
    """What went wrong, as a part of a sentence: of an operating system's error its words alone, without number and file
    name.

    >>> reason_of(FileNotFoundError(2, "No such file or directory", "/shop")), reason_of(ValueError("no digits."))
    ('No such file or directory', 'no digits')
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for each in chain:
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({each.verify_message}); SSL_CERT_FILE may name further ones"
        if isinstance(each, ssl.SSLError):
            return (
                f"its encryption is not understood ({(getattr(each, 'reason', '') or 'TLS').lower().replace('_', ' ')})"
            )
    for each in chain:
        text = (each.strerror if isinstance(each, OSError) else None) or str(each)
        if text.strip() and "[Errno" not in text:  # else the one beneath has the words
            return text.strip().rstrip(".")
    return type(error).__name__
