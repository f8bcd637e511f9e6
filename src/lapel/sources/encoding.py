"""Which encoding a table is written in: found by looking at its bytes, unless somebody says it.

A path goes in; the encoding's name, and what to tell people about a guess, come out. UTF-8 and UTF-16 prove themselves;
everything else is a guess of charset-normalizer among the encodings that spreadsheets still write.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from lapel.core.errors import TableError
from lapel.core.text import counted

SAMPLE_BYTES = 256 * 1024  # bytes of lines with other letters than ASCII's, which is where encodings differ
# What spreadsheets and shop systems write where they do not write Unicode.
CANDIDATES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
]
LATIN = ("cp1252", "cp1250", "cp1254")  # alike in most letters
CENTRAL = re.compile(
    rb"[A-Za-z][\x8a\x8d-\x8f\x9a\x9d-\x9f\xb3\xb9\xbc\xbe\xbf]|[\x8a\x8d-\x8f\x9a\x9d-\x9f\xa3\xaf][a-z]"
)
# Within a word these are letters of Central Europe; Western ones are signs such as \u00b3 and \u00bf, which stand
# outside of words.
WITHIN = re.compile(rb"[A-Za-z\xc0-\xff][\xa3\xb3\xb9\xbc\xbe\xbf][a-z\xe0-\xff]")
TURKISH = re.compile(rb"[A-Za-z][\xf0\xfd\xfe]|[\xd0\xdd\xde\xf0\xfd\xfe][a-z]")
RUSSIAN = re.compile("(?:[\u0401\u0410-\u042f]?[\u0430-\u044f\u0451]+|[\u0401\u0410-\u042f]+)")


@dataclass(frozen=True)
class Encoding:
    """How a table's bytes become text.

    Attributes:
        name: Python's name of the encoding.
        note: What to tell people: that it is a guess, or that some bytes are wrong; empty when all is certain.
        broken: Whether some bytes are no text in it.
    """

    name: str
    note: str = ""
    broken: bool = False


def find_encoding(path: Path, head: bytes, wanted: str = "") -> Encoding:
    """The encoding of a table.

    Args:
        path: The file.
        head: Its first bytes, some thousands.
        wanted: What somebody says it is; empty to find out.

    Raises:
        TableError: ``wanted`` is no encoding.
        OSError: the file cannot be read.
    """
    if wanted:
        try:
            name = codecs.lookup(wanted).name
        except LookupError as error:
            raise TableError(
                f"--encoding '{wanted}' is not known. Common ones are utf-8, cp1252 (Western), cp1250 (Central"
                f" European),"
                " cp1251 (Cyrillic), shift_jis, gbk and big5."
            ) from error
        sample, bad = _look(path, name)
        broken = f"{counted(bad, 'line')} of {path.name} {'is' if bad == 1 else 'are'} not {name}" if bad else ""
        return Encoding("utf-8-sig" if name == "utf-8" else name, broken, bool(bad))
    unicode = _by_marks(head)
    if unicode:
        return Encoding(unicode)
    sample, bad = _look(path, "utf-8")
    if not bad:
        return Encoding("utf-8-sig")
    text = sample.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    if sum(letter > "\x7f" for letter in text) - wrong >= wrong:
        lines = f"{counted(bad, 'line')} {'holds' if bad == 1 else 'hold'} bytes that are not"
        return Encoding(
            "utf-8-sig", f"{path.name} is UTF-8, but {lines}. If it is not, name its encoding: --encoding", True
        )
    name = _guess(sample)
    note = f"{path.name} is not UTF-8; it is read as {name}. If texts look wrong, name its encoding: --encoding"
    return Encoding(name, note, bool(_look(path, name)[1]))


def _by_marks(head: bytes) -> str:
    """UTF-16 and UTF-32 by their mark or their zeros; empty for all others."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    pairs = max(1, len(head) // 2)
    if head[1::2].count(0) > 0.4 * pairs:  # Latin letters have a zero as every second byte
        return "utf-16-le"
    if head[0::2].count(0) > 0.4 * pairs:
        return "utf-16-be"
    return ""


def _look(path: Path, encoding: str) -> tuple[bytes, int]:
    """Lines with other letters than ASCII's, and how many lines are no text in an encoding."""
    sample = bytearray()
    bad = 0
    if encoding.startswith(("utf-16", "utf-32", "utf_16", "utf_32")):  # their line ends are not single bytes
        text = path.read_bytes().decode(encoding, "replace")
        return b"", sum("\ufffd" in line for line in text.splitlines())
    with path.open("rb") as file:
        for line in file:
            if line.isascii():
                continue
            if len(sample) < SAMPLE_BYTES:
                sample += line
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                bad += 1
    return bytes(sample), bad


def _guess(sample: bytes) -> str:
    """The likeliest of :data:`CANDIDATES`; Western where nothing speaks for another."""
    from charset_normalizer import from_bytes

    # A few words are too little for statistics, but other encodings read as Cyrillic give no regular words.
    words = [word for word in re.findall(r"[^\W\d_]+", sample.decode("cp1251", "replace")) if not word.isascii()]
    if words and all(map(RUSSIAN.fullmatch, words)) and any(word[0].isupper() for word in words):
        return "cp1251"
    best = from_bytes(sample, cp_isolation=CANDIDATES).best()
    found = best.encoding if best is not None else "cp1252"
    if found == "cp932" and _is_halfwidth(sample):
        return "gb18030"
    if found not in LATIN:
        return found
    if WITHIN.search(sample) or len(CENTRAL.findall(sample)) >= 2:
        return "cp1250"
    return "cp1254" if TURKISH.search(sample) else "cp1252"


def _is_halfwidth(sample: bytes) -> bool:
    """Whether it is mostly half-width katakana in Shift-JIS: nobody writes whole tables in them, and short texts in GBK
    look so."""
    letters = [letter for letter in sample.decode("cp932", "replace") if letter > "\x7f"]
    return 2 * sum("\uff61" <= letter <= "\uff9f" for letter in letters) > len(letters)
